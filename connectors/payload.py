"""What a store keeps beside a page's vector, and the LlamaIndex node that this gives back."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from llama_index.core.schema import Node

from connectors.errors import StoreError
from connectors.page import page_node_of

# Payload fields that are ours; a loader's metadata cannot set them.
RESERVED_FIELDS = frozenset(
    {"source", "name", "page", "kind", "text", "content_sha256", "asset", "words", "width", "height", "tenant"}
)

# How files of ours are named below the asset folder: by their content, in a folder of its first digits.
_OURS = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(\.[a-z]+)+")


def page_payload(
    *,
    source: str,
    number: int,
    kind: str,
    text: str,
    content_sha256: str,
    tenant: str = "",
    asset: str | None = None,
    words: str | None = None,
    size: tuple[int, int] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A page's payload. `asset` (its picture) and `words` (its word boxes) are paths below the asset folder.

    `tenant` is always there, "" for pages of nobody in particular: every search names the tenant it is for, and a page
    without the field would be seen by none.
    """
    # A loader's metadata come first: they must not name another page's image or source.
    content: dict[str, Any] = {key: value for key, value in (metadata or {}).items() if key not in RESERVED_FIELDS}
    content |= {
        "tenant": tenant,
        "source": source,
        "name": PurePosixPath(source).name,
        "page": number,
        "kind": kind,
        "text": text,
        "content_sha256": content_sha256,
    }
    if asset:
        content["asset"] = asset
    if words:
        content["words"] = words
    if size:
        content["width"], content["height"] = size
    return content


def payload_node(payload: Mapping[str, Any], assets: Path | None) -> Node:
    """The page of a payload as a node: the same id, text, picture and metadata as `connectors.page.page_node` gives.

    `assets` is the folder that the payload's references are below; None leaves the picture out.

    Raises:
        StoreError: the payload refers to a file outside `assets`.
    """
    asset = payload.get("asset")
    metadata = {key: value for key, value in payload.items() if key not in ("text", "asset", "words", "tenant")}
    return page_node_of(
        source=payload["source"],
        number=payload["page"],
        text=payload["text"],
        image_path=asset_path(assets, asset) if asset else None,
        metadata=metadata,
        tenant=payload.get("tenant", ""),
    )


def asset_path(assets: Path | None, reference: str) -> Path | None:
    """Where a payload's reference lies below `assets`; None without such a folder.

    Raises:
        StoreError: it lies elsewhere. Payloads come from stores that others may write to: no reference of theirs opens
            a file outside.
    """
    if assets is None:
        return None
    path = assets / reference
    if _OURS.fullmatch(reference):  # nothing in it leads out, and asking the disk is slow
        return path
    if not path.resolve().is_relative_to(assets.resolve()):
        raise StoreError(f"a payload refers to {reference!r}, which is outside the asset folder {assets}")
    return path
