"""Nodes by id: asked for by their points' ids, deleted by indexed fields, and never another tenant's."""

from pathlib import Path

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from connectors.llama_index import ViPyloVectorStore
from connectors.llama_index.stored_nodes import point_id_of
from connectors.stores.edge import EdgeStore
from connectors.stores.server import ServerStore
from tests.connectors.qdrant_rest import QdrantRest

DIM = 8


def node(id_: str, **metadata: object) -> TextNode:
    embedding = [1.0] * DIM
    embedding[len(id_) % DIM] = 2.0
    return TextNode(id_=id_, text=f"văn bản {id_}", metadata=metadata, embedding=embedding)


def test_by_id_nothing_is_scanned(qdrant: QdrantRest, tmp_path: Path) -> None:
    with ServerStore.open(qdrant.url, DIM) as server:
        store = ViPyloVectorStore.over(server, tenant="a")
        store.add([node("one", year=1), node("two", year=2)])
        indexed = {seen.body.decode() for seen in qdrant.seen if seen.path.endswith("/index")}
        assert all(any(f'"{field}"' in body for body in indexed) for field in ("node_id", "ref_doc_id"))

        def requests() -> list[str]:
            paths = [seen.path.rsplit("/", 1)[1] for seen in qdrant.seen]
            qdrant.seen.clear()
            return paths

        requests()
        assert [node.node_id for node in store.get_nodes(["two", "three", "one"])] == ["two", "one"]
        late = MetadataFilters(filters=[MetadataFilter(key="year", value=2)])
        assert [node.node_id for node in store.get_nodes(["one", "two"], late)] == ["two"]
        assert requests() == ["points", "points"]
        store.query(VectorStoreQuery(query_embedding=[1.0] * DIM, mode=VectorStoreQueryMode.MMR, similarity_top_k=2))
        assert requests() == ["query", "points"]
        store.delete_nodes(["one"])
        store.delete("two")
        assert requests() == ["count", "delete"] * 2
        assert server.count() == 0


def test_an_id_of_another_tenants_point_gives_nothing(tmp_path: Path) -> None:
    with EdgeStore.open(tmp_path / "store", DIM) as engine:
        ours, theirs = ViPyloVectorStore.over(engine), ViPyloVectorStore.over(engine, tenant="a")
        theirs.add([node("n")])
        crafted = point_id_of("n", "a")
        assert engine.get([crafted])
        assert ours.get_nodes([crafted]) == []
        ours.delete_nodes([crafted])
        assert len(theirs.get_nodes(["n"])) == 1
