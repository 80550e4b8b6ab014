"""Points that others wrote into a store: no node read from it names a file outside the asset folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.generic_utils import image_node_to_image_block
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    TextNode,
)
from PIL import Image

from connectors.errors import StoreError
from connectors.llama_index.stored_nodes import NODE_CLASS, node_of, payload_of
from embedder import InputError


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A real picture outside the assets, so that what would open it could."""
    path = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(path)
    return path


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    return tmp_path / "assets"


def forged(node: BaseNode, added: dict[str, Any], assets: Path, **fields: Any) -> dict[str, Any]:
    payload = payload_of(node, "", assets)
    payload["_node"] = json.dumps({**json.loads(payload["_node"]), **added})
    return {**payload, **fields}


@pytest.mark.parametrize("field", ["image_resource", "audio_resource", "video_resource", "text_resource"])
@pytest.mark.parametrize("node", [Node(id_="n"), Document(id_="d", text="x")], ids=["node", "document"])
def test_a_resource_that_names_a_file_is_refused(node: BaseNode, field: str, secret: Path, assets: Path) -> None:
    for named in ({"path": str(secret)}, {"url": secret.as_uri()}):
        with pytest.raises(StoreError, match=f"{node.node_id} names a file outside the asset folder"):
            node_of(forged(node, {field: named}, assets), assets)


def test_an_image_node_that_names_a_file_is_refused(secret: Path, assets: Path) -> None:
    for named in ({"image_path": str(secret)}, {"image_url": secret.as_uri()}, {"image_url": str(secret)}):
        with pytest.raises(StoreError, match="names a file outside the asset folder"):
            node_of(forged(ImageNode(id_="i"), named, assets), assets)


def test_constructors_are_given_fields_alone(secret: Path, assets: Path) -> None:
    resource = {"image_resource": {"path": str(secret)}}
    assert node_of(forged(ImageNode(), resource, assets), assets).image_path is None
    opened = {"image_path": str(secret)}
    assert node_of(forged(ImageDocument(text="x"), opened, assets), assets).image_resource is None
    # Would be fetched while the node is made.
    fetched = {"image_url": "http://127.0.0.1:9/x.png"}
    assert node_of(forged(ImageDocument(text="x"), fetched, assets), assets).image_resource is None


def test_no_file_path_in_the_place_of_a_missing_picture(secret: Path, assets: Path) -> None:
    meant = ImageNode(image_path=str(secret), metadata={"file_path": "scans/a.png"})
    payload = payload_of(meant, "", assets)
    kept = node_of(payload, assets)
    assert kept.metadata == meant.metadata and image_node_to_image_block(kept).path.is_relative_to(assets)
    bare = payload_of(ImageNode(metadata={"file_path": str(secret)}), "", assets)
    for without in (bare, {**bare, "asset": "ab/gone.png"}, {**payload, "asset": "ab/gone.png"}):
        assert "file_path" not in node_of(without, assets).metadata
    assert image_node_to_image_block(node_of(bare, assets)).path is None


def test_the_object_of_an_index_node(secret: Path, assets: Path) -> None:
    inner = ImageNode(id_="inner", text="chữ", image_path=str(secret))
    payload = payload_of(IndexNode(index_id="x", text="y", obj=inner), "", assets)
    found = node_of(payload, assets).obj
    assert (type(found), found.node_id, found.text) == (ImageNode, "inner", "chữ")
    assert Path(found.image_path).read_bytes() == secret.read_bytes()
    assert Path(found.image_path).is_relative_to(assets) and str(secret) not in str(payload)
    forgeries = [
        {"__type__": "4", "__data__": {"image_path": str(secret)}},
        {**payload_of(inner, "", assets), "asset": str(secret)},
        forged(ImageNode(), {"image_path": str(secret)}, assets),
    ]
    for obj in forgeries:
        with pytest.raises(StoreError):
            node_of(forged(IndexNode(index_id="x", text="y"), {"obj": obj}, assets), assets)


def test_what_is_no_node_is_told_so(assets: Path) -> None:
    good = payload_of(TextNode(text="x"), "", assets)
    broken: list[dict[str, Any]] = [
        {"_node": "{"},
        {"_node": "[]"},
        {"_node": "[" * 100_000},
        {"_media": {"text_resource": "ab/x.png"}},
        {"_media": {"audio_resource": 3}},
        {"_metadata_keys": 7},
        {NODE_CLASS: ["Node"]},
    ]
    for fields in broken:
        with pytest.raises(StoreError):
            node_of({**good, **fields}, assets)


def test_written_nodes_name_no_file_either(secret: Path, assets: Path) -> None:
    node = Node(text_resource=MediaResource(text="chữ", path=secret))
    payload = payload_of(node, "", assets)
    assert str(secret) not in str(payload) and node_of(payload, assets).get_content() == "chữ"
    with pytest.raises(InputError, match="URL of a file; give it the path"):
        payload_of(Node(image_resource=MediaResource(url=secret.as_uri())), "", assets)
    online = Node(image_resource=MediaResource(url="https://example.com/a.png"))
    assert node_of(payload_of(online, "", assets), assets).image_resource == online.image_resource
