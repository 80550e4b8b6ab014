"""Numbered behaviours of LlamaIndex 0.14.25 around vector stores: what the stock part does wrong, ours does right.

The stock Qdrant store is no dependency: its half of 13, 15, 16 and 17 runs where it is installed.
"""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import Document, ImageDocument, ImageNode, MediaResource, Node, NodeRelationship, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
from PIL import Image

from connectors.llama_index import ViPyloVectorStore
from connectors.llama_index.stored_nodes import payload_of

DIM = 4
HYBRID = VectorStoreQueryMode.HYBRID


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "nodes")


@pytest.fixture
def store(place: str) -> Iterator[ViPyloVectorStore]:
    with ViPyloVectorStore(location=place, dim=DIM) as opened:
        yield opened


def noise() -> bytes:
    """A PNG of about 100 kB."""
    pixels = np.random.default_rng(0).integers(0, 255, (180, 185, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def vector(place: int) -> list[float]:
    return [1.0 if row == place else 0.0 for row in range(DIM)]


def test_05_pictures_stay_out_of_payloads_and_are_not_lost(store: ViPyloVectorStore, tmp_path: Path) -> None:
    content = noise()
    (tmp_path / "noise.png").write_bytes(content)
    encoded = base64.b64encode(content).decode()

    def nodes() -> dict[str, Any]:
        return {
            "base64": ImageNode(id_="base64", image=encoded),
            "bytes": Node(id_="bytes", image_resource=MediaResource(data=content)),
            "document": ImageDocument(id_="document", image_path=str(tmp_path / "noise.png")),
        }

    stock = {name: node_to_metadata_dict(node, remove_text=True) for name, node in nodes().items()}
    assert len(json.dumps(stock["base64"])) > len(encoded), "the picture is in the payload"
    assert metadata_dict_to_node(stock["bytes"]).image_resource.data is None, "its bytes are lost"
    assert type(metadata_dict_to_node(stock["document"])) is TextNode, "its picture is lost"

    store.add([node.model_copy(update={"embedding": vector(0)}) for node in nodes().values()])
    payloads = [dict(point.payload) for point in store.client.scroll()]
    assert max(len(json.dumps(payload)) for payload in payloads) < 1000
    found = {node.node_id: node for node in store.get_nodes()}
    assert {name: type(node) for name, node in found.items()} == {name: type(node) for name, node in nodes().items()}
    paths = [found["base64"].image_path, found["bytes"].image_resource.path, found["document"].image_path]
    assert [Path(path).read_bytes() for path in paths] == [content] * 3


def test_05_metadata_are_stored_once(tmp_path: Path) -> None:
    document = Document(text="chữ", metadata={"title": "MARKER"})
    node = TextNode(text="chữ", metadata={"title": "MARKER"})
    node.relationships[NodeRelationship.SOURCE] = document.as_related_node_info()
    assert json.dumps(node_to_metadata_dict(node)).count("MARKER") == 3
    assert json.dumps(payload_of(node, "", tmp_path)).count("MARKER") == 1


def test_13_any_text_is_a_node_id(store: ViPyloVectorStore) -> None:
    store.add([Document(id_="d1", text="chữ", embedding=vector(0))])
    found = store.query(VectorStoreQuery(query_embedding=vector(0)))
    assert found.ids == ["d1"] and found.nodes[0].node_id == "d1"
    store.add([Document(id_="d1", text="chữ mới", embedding=vector(0))])
    assert [node.get_content() for node in store.get_nodes(["d1"])] == ["chữ mới"], "replaced, not doubled"
    store.delete_nodes(["d1"])
    assert store.get_nodes() == []


def test_15_one_store_for_dense_and_hybrid_search(place: str) -> None:
    with ViPyloVectorStore(location=place, dim=DIM) as store:
        store.add([TextNode(id_="a", text="hóa đơn", embedding=vector(0))])
        assert store.query(VectorStoreQuery(query_embedding=vector(0))).ids == ["a"]
    with ViPyloVectorStore(location=place, dim=DIM) as later:
        later.add([TextNode(id_="b", text="hợp đồng", embedding=vector(1))])
        for mode in (HYBRID, VectorStoreQueryMode.SPARSE):
            asked = VectorStoreQuery(query_embedding=vector(0), query_str="hợp đồng", mode=mode, similarity_top_k=2)
            assert "b" in later.query(asked).ids


def test_16_async_on_the_embedded_engine(store: ViPyloVectorStore) -> None:
    async def whole() -> list[str]:
        await store.async_add([TextNode(id_=f"n{row}", text="x", embedding=vector(row)) for row in range(3)])
        queries = [VectorStoreQuery(query_embedding=vector(row)) for row in range(3)]
        results = await asyncio.gather(*(store.aquery(query) for query in queries))
        await store.adelete("n1")
        return [result.ids[0] for result in results]

    assert asyncio.run(whole()) == ["n0", "n1", "n2"]
    assert {node.node_id for node in store.get_nodes()} == {"n0", "n2"}


def test_17_alpha_zero_is_zero_sync_and_async(store: ViPyloVectorStore) -> None:
    store.add([TextNode(id_="near", text="khác", embedding=vector(0))])
    store.add([TextNode(id_="word", text="hóa đơn", embedding=vector(1))])
    for alpha, best in ((0, "word"), (0.0, "word"), (1, "near"), (0.9, "near"), (0.1, "word")):
        asked = VectorStoreQuery(query_embedding=vector(0), query_str="hóa đơn", mode=HYBRID, alpha=alpha)
        assert store.query(asked).ids == asyncio.run(store.aquery(asked)).ids == [best], alpha


class TestStockQdrantStore:
    """The halves that need `llama-index-vector-stores-qdrant`."""

    @pytest.fixture
    def qdrant(self) -> Any:
        return pytest.importorskip("llama_index.vector_stores.qdrant", reason="the stock Qdrant store is not installed")

    @staticmethod
    def sparse(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
        return [[1]] * len(texts), [[1.0]] * len(texts)

    @pytest.fixture
    def client(self, tmp_path: Path) -> Iterator[Any]:
        from qdrant_client import QdrantClient

        opened = QdrantClient(path=str(tmp_path / "qdrant"))
        yield opened
        opened.close()

    def test_13_refuses_ids(self, qdrant: Any, client: Any) -> None:
        stock = qdrant.QdrantVectorStore("c", client=client)
        with pytest.raises(ValueError, match="not a valid UUID"):
            stock.add([Document(id_="d1", text="chữ", embedding=vector(0))])

    def test_15_cannot_turn_hybrid_later(self, qdrant: Any, client: Any) -> None:
        qdrant.QdrantVectorStore("c", client=client).add([TextNode(text="a", embedding=vector(0))])
        hybrid = qdrant.QdrantVectorStore(
            "c", client=client, enable_hybrid=True, sparse_doc_fn=self.sparse, sparse_query_fn=self.sparse
        )
        with pytest.raises(ValueError, match="text-sparse-new is not found"):
            hybrid.query(VectorStoreQuery(query_embedding=vector(0), query_str="a", mode=HYBRID))

    def test_16_has_no_async_on_the_embedded_engine(self, qdrant: Any, client: Any, tmp_path: Path) -> None:
        from qdrant_client import AsyncQdrantClient

        stock = qdrant.QdrantVectorStore("c", client=client)
        stock.add([TextNode(text="a", embedding=vector(0))])
        with pytest.raises(ValueError, match="Async client is not initialized"):
            asyncio.run(stock.aquery(VectorStoreQuery(query_embedding=vector(0))))
        with pytest.raises(RuntimeError, match="already accessed by another instance"):
            AsyncQdrantClient(path=str(tmp_path / "qdrant"))

    def test_17_takes_alpha_zero_for_a_half(self, qdrant: Any, client: Any) -> None:
        from qdrant_client import AsyncQdrantClient

        seen: list[float] = []

        def fusion(dense: Any, sparse: Any, alpha: float = 0.5, top_k: int = 2) -> Any:
            seen.append(alpha)
            return dense

        stock = qdrant.QdrantVectorStore(
            "c",
            client=client,
            aclient=AsyncQdrantClient(":memory:"),
            enable_hybrid=True,
            sparse_doc_fn=self.sparse,
            sparse_query_fn=self.sparse,
            hybrid_fusion_fn=fusion,
        )
        nodes = [TextNode(text="a", embedding=vector(0))]
        asked = VectorStoreQuery(query_embedding=vector(0), query_str="a", mode=HYBRID, alpha=0)

        async def later() -> None:
            await stock.async_add(nodes)
            await stock.aquery(asked)

        stock.add(nodes)
        stock.query(asked)
        asyncio.run(later())
        assert seen == [0, 0.5]
