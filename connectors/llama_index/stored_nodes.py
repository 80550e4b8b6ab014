"""Any LlamaIndex node as a payload and back, nothing lost: metadata once and filterable, media as files.

A page that `vipylo ingest` stored (see `connectors.payload`) comes back through `node_of` too.
"""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    TextNode,
)

from connectors.errors import StoreError
from connectors.llama_index.media import MEDIA_FIELDS, is_file_url, keep, resource_of
from connectors.loaders.base import one_line
from connectors.page import PAGE_NAMESPACE, media_type
from connectors.payload import asset_path, payload_node
from embedder.errors import InputError

NODE_ID: Final = "node_id"
DOCUMENT_ID: Final = "ref_doc_id"
NODE_CLASS: Final = "node_class"
_REST: Final = "_node"
_MEDIA: Final = "_media"
_KEYS: Final = "_metadata_keys"
_OURS: Final = frozenset({"tenant", "text", "asset", "words", NODE_ID, DOCUMENT_ID, NODE_CLASS, _REST, _MEDIA, _KEYS})
_CLASSES: Final[Mapping[str, type[BaseNode]]] = {
    known.class_name(): known for known in (Node, TextNode, ImageNode, IndexNode, Document, ImageDocument)
}
# Kept elsewhere in the payload, or below the assets.
_LEFT_OUT: Final = {"embedding", "metadata", "class_name", "text", "image", "image_path", "obj"}
_OBJECT: Final = "obj"
# What stock multimodal engines open when an image node has no image of its own.
_FILE_PATH: Final = "file_path"


def field_of(key: str) -> str:
    """The payload field that holds the metadata `key`: its own name, unless the payload needs that name itself."""
    return f"metadata.{key}" if key in _OURS or key.startswith("metadata.") else key


def point_id_of(node_id: str, tenant: str) -> str:
    """The point id of a node. Stores take UUIDs only, LlamaIndex any text; and two tenants may use the same id."""
    try:
        canonical = str(uuid.UUID(node_id))
    except ValueError:
        canonical = ""
    return node_id if not tenant and canonical == node_id else str(uuid.uuid5(PAGE_NAMESPACE, f"{tenant}\x00{node_id}"))


def text_of(node: BaseNode) -> str:
    """What the lexical side indexes: the node's text without its metadata."""
    return node.get_content(metadata_mode=MetadataMode.NONE)


def payload_of(node: BaseNode, tenant: str, assets: Path | None) -> dict[str, Any]:
    """A node's payload. Bytes and files of its media are copied below `assets`; the payload holds references.

    The path of a text (`text_resource.path`) is not kept: the text itself is.

    Raises:
        InputError: the node has media and there is no asset folder, or they cannot be kept; names the node.
    """
    dumped = node.model_dump(mode="json", exclude_defaults=True)
    metadata = dumped.get("metadata", {})
    media = _kept(node, assets)
    rest = {key: value for key, value in dumped.items() if key not in _LEFT_OUT}
    for field in MEDIA_FIELDS:
        if field in media and field in rest:
            rest[field]["path"] = None
    if rest.get("text_resource"):
        rest["text_resource"] |= {"text": None, "path": None}
    if isinstance(node, IndexNode) and isinstance(node.obj, BaseNode):
        rest[_OBJECT] = payload_of(node.obj, tenant, assets)
    elif dumped.get(_OBJECT) is not None:
        rest[_OBJECT] = {"text": str(dumped[_OBJECT])}
    _share_metadata(rest.get("relationships", {}), metadata)
    payload: dict[str, Any] = {field_of(key): value for key, value in metadata.items()}
    payload |= {
        "tenant": tenant,
        "text": text_of(node),
        NODE_ID: node.node_id,
        NODE_CLASS: _class_name(node),
        # As text: engines may sort the keys of objects, and metadata are shown to models in their order.
        _REST: json.dumps(rest, ensure_ascii=False),
        _KEYS: list(metadata),
    }
    if node.ref_doc_id:
        payload[DOCUMENT_ID] = node.ref_doc_id
    if "image_resource" in media:
        payload["asset"] = media.pop("image_resource")
    if media:
        payload[_MEDIA] = media
    return payload


def node_of(payload: Mapping[str, Any], assets: Path | None) -> BaseNode:
    """The node of a payload, with its media at their places below `assets`.

    Others may write to a store. So a node names no file of its own but these: an image node without a picture has no
    "file_path" in its metadata either, which stock engines would open in the picture's place. Other metadata are data.

    Raises:
        StoreError: the payload is none of ours, or names a file outside `assets`.
    """
    try:
        return payload_node(payload, assets) if _REST not in payload else _node(payload, assets)
    except KeyError as error:
        raise StoreError(f"a point of the store is neither a page nor a node: it has no {error}") from error
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a point of the store holds no node that can be read: {one_line(error)}") from error


def _node(payload: Mapping[str, Any], assets: Path | None) -> BaseNode:
    known = _CLASSES.get(payload[NODE_CLASS])
    if known is None:
        raise StoreError(f"node {payload[NODE_ID]} is of the unknown class {payload[NODE_CLASS]!r}")
    written = json.loads(payload[_REST])
    # Fields alone: constructors take further words, and open or fetch what these name.
    rest = {key: value for key, value in written.items() if key in known.model_fields and key not in _LEFT_OUT}
    metadata = {key: payload[field_of(key)] for key in payload[_KEYS]}
    for related in _related(rest.get("relationships", {})):
        if "metadata" in related and related["metadata"] is None:
            related["metadata"] = metadata
    media = dict(payload.get(_MEDIA, {}))
    if "asset" in payload:
        media["image_resource"] = payload["asset"]
    if unknown := media.keys() - set(MEDIA_FIELDS):
        raise StoreError(f"node {payload[NODE_ID]} has media of an unknown kind: {', '.join(sorted(unknown))}")
    paths = {field: asset_path(assets, reference) for field, reference in media.items()}
    if issubclass(known, Node):
        for field in ("text_resource", *MEDIA_FIELDS):
            _check_no_file(payload, rest.get(field))
        if "text_resource" in rest:
            rest["text_resource"]["text"] = payload["text"]
        for field, path in paths.items():
            told = rest[field].get("mimetype") or (path and media_type(path))
            rest[field] = MediaResource.model_validate({**rest[field], "path": path, "mimetype": told})
    else:
        _check_no_file(payload, {"path": written.get("image_path"), "url": rest.get("image_url")})
        rest["text"] = payload["text"]
        if path := paths.get("image_resource"):
            rest["image_path"] = str(path)
    shown = paths.get("image_resource")
    if known in (ImageNode, ImageDocument) and not (shown and shown.is_file()):
        metadata.pop(_FILE_PATH, None)
    made = known.from_dict({**rest, "metadata": metadata})
    if isinstance(made, IndexNode) and (inner := written.get(_OBJECT)) is not None:
        made.obj = node_of(inner, assets) if _REST in inner else TextNode(text=inner["text"])
    return made


def _check_no_file(payload: Mapping[str, Any], resource: Mapping[str, Any] | None) -> None:
    """Media files are told by reference, never in the node itself; a URL may name a file, too."""
    named = {} if resource is None else resource
    if named.get("path") is not None or is_file_url(named.get("url")):
        raise StoreError(f"node {payload[NODE_ID]} names a file outside the asset folder; it was not written here")


def _class_name(node: BaseNode) -> str:
    """Of the nearest class that can be made again: a subclass of the user's comes back as what it extends."""
    return next(name for kind in type(node).__mro__ for name, known in _CLASSES.items() if kind is known)


def _kept(node: BaseNode, assets: Path | None) -> dict[str, str]:
    if not isinstance(node, tuple(_CLASSES.values())):
        raise InputError(f"node {node.node_id} is a {type(node).__name__}; known are {', '.join(_CLASSES)}")
    kept: dict[str, str] = {}
    for field in MEDIA_FIELDS:
        resource = resource_of(node, field)
        if resource is None:
            continue
        if is_file_url(resource.url):
            raise InputError(f"node {node.node_id} has an {field} with a URL of a file; give it the path instead")
        if not (resource.data or resource.path):
            continue
        if assets is None:
            raise InputError(
                f"node {node.node_id} has an {field}, and the store no folder for it: give it assets=FOLDER"
            )
        if reference := keep(resource, node, assets):
            kept[field] = reference
    return kept


def _related(relationships: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [info for entry in relationships.values() for info in (entry if isinstance(entry, list) else [entry])]


def _share_metadata(relationships: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """A relation repeats the metadata of what it points to, which are mostly the node's own: null stands for these."""
    for related in _related(relationships):
        if metadata and related.get("metadata") == metadata:
            related["metadata"] = None
