"""Several threads at a first use, a point deleted during a search, a full disk: what goes on beside a call."""

import asyncio
import copy
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import MediaResource, Node, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

import connectors.llama_index.embedding
from connectors.errors import StoreError
from connectors.llama_index import ViPyloEmbedding, ViPyloVectorStore
from connectors.llama_index.stored_nodes import point_id_of
from connectors.stores.edge import EdgeStore
from connectors.stores.protocol import StoredPoint
from embedder import InputError
from embedder.load import load_embedder
from embedder.protocol import Embedder


def test_threads_open_a_new_store_once(tmp_path: Path) -> None:
    async def at_once(store: ViPyloVectorStore) -> list[Any]:
        return await asyncio.gather(*(store.aget_nodes() for _ in range(8)))

    with ViPyloVectorStore(location=str(tmp_path / "nodes"), dim=3) as store:
        assert asyncio.run(at_once(store)) == [[]] * 8
        store.add([TextNode(text="x", embedding=[1.0, 0.0, 0.0])])
        copies = [pickle.loads(pickle.dumps(store))]
    copies += [copy.deepcopy(store), store.model_copy(deep=True)]
    for copied in copies:
        with copied:
            assert [len(nodes) for nodes in asyncio.run(at_once(copied))] == [1] * 8


def test_a_copy_of_what_was_given_open_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with EdgeStore.open(tmp_path / "store", 3) as engine:
        sent = pickle.loads(pickle.dumps(ViPyloVectorStore.over(engine)))
    with pytest.raises(StoreError, match="given open"):
        sent.get_nodes()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_threads_load_the_model_once(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(name: str, **options: Any) -> Embedder:
        loaded.append(name)
        return load_embedder(name, **options)

    monkeypatch.setattr(connectors.llama_index.embedding, "load_embedder", load)
    model = copy.deepcopy(ViPyloEmbedding(model_name=str(tiny_checkpoint), device="cpu"))

    async def at_once() -> list[list[float]]:
        return await asyncio.gather(*(model.aget_query_embedding("hóa đơn") for _ in range(4)))

    vectors = asyncio.run(at_once())
    assert len(loaded) == 1 and np.allclose(vectors, vectors[0], atol=1e-5)
    assert len(pickle.dumps(model)) < 10_000 and model.embedder.name == str(tiny_checkpoint)


class LosesAPoint(EdgeStore):
    """A store from which another thread deletes a point between a search and the fetch of what was found."""

    def get(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[StoredPoint]:
        self.delete([point_id_of("b", "")])
        return super().get(ids, with_vectors=with_vectors)


def test_mmr_goes_on_without_a_point_deleted_meanwhile(tmp_path: Path) -> None:
    with LosesAPoint.open(tmp_path / "store", 3) as engine:
        store = ViPyloVectorStore.over(engine)
        store.add([TextNode(id_=id_, text=id_, embedding=[1.0, float(row), 0.0]) for row, id_ in enumerate("abc")])
        mode = VectorStoreQueryMode.MMR
        query = VectorStoreQuery(query_embedding=[1.0, 0.0, 0.0], mode=mode, similarity_top_k=3)
        assert set(store.query(query).ids) == {"a", "c"}


def test_media_that_do_not_fit_leave_nothing_behind(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    node = Node(
        id_="big", audio_resource=MediaResource(data=b"RIFF" + bytes(4_000_000), mimetype="audio/wav"), embedding=[1.0]
    )
    with EdgeStore.open(tmp_path / "store", 1) as engine:
        store = ViPyloVectorStore.over(engine, assets=tmp_path / "assets")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            with pytest.raises(InputError, match=r"node big: .*assets cannot hold its media .*too large"):
                store.add([node])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in (tmp_path / "assets").rglob("*") if path.is_file()]
