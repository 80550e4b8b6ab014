"""Options of new stores: kept by the store, obeyed by its searches, refused where an engine cannot do them."""

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.errors import StoreError
from connectors.llama_index import ViPyloVectorStore
from connectors.stores import open as open_module
from connectors.stores.edge import EdgeStore
from connectors.stores.open import open_store
from connectors.stores.options import Quantization, StoreOptions
from connectors.stores.protocol import Point, VectorStore
from connectors.stores.quantization import oversampling
from connectors.stores.server import ServerStore
from embedder.errors import InputError, PluginError
from tests.connectors.qdrant_rest import QdrantRest
from tests.connectors.store_engines import ENGINES, drop, make_store, sample, uid, unit

KEPT = [
    StoreOptions(),
    StoreOptions(on_disk=True),
    StoreOptions(quantization="int8"),
    StoreOptions(quantization="binary", on_disk=True),
]


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", KEPT, ids=str)
def test_store_keeps_and_tells_its_options(engine: str, options: StoreOptions, tmp_path: Path, qdrant_url: str) -> None:
    store = make_store(engine, tmp_path, qdrant_url, options=options)
    try:
        assert store.options.quantization == options.quantization
        assert store.options.on_disk == options.on_disk
        assert store.options.replicas == 1
        store.upsert(sample(50))
        assert store.search(unit(7), top_k=1)[0].id == uid(7)
        store.backup(tmp_path / "copy")
        with EdgeStore.open(tmp_path / "copy", store.dim) as copy:
            assert copy.options == options
            assert copy.search(unit(7), "hóa đơn", top_k=5)[0].id == store.search(unit(7), "hóa đơn", top_k=5)[0].id
    finally:
        drop(store)


def test_directory_keeps_its_options_whatever_it_is_opened_with(tmp_path: Path) -> None:
    EdgeStore.open(tmp_path / "store", 8, options=StoreOptions(quantization="int8", on_disk=True)).close()
    with EdgeStore.open(tmp_path / "store", 8, options=StoreOptions(quantization="binary")) as store:
        assert store.options == StoreOptions(quantization="int8", on_disk=True)


def test_collection_keeps_its_options_whatever_it_is_opened_with(qdrant: QdrantRest) -> None:
    made = StoreOptions(quantization="binary", on_disk=True, shards=12, replicas=3, write_consistency=2)
    assert ServerStore.open(qdrant.url, 8, options=made).options == made
    assert ServerStore.open(qdrant.url, 8, options=StoreOptions(quantization="int8")).options == made


def test_server_is_asked_for_what_the_options_say(qdrant: QdrantRest) -> None:
    options = StoreOptions(quantization="int8", on_disk=True, shards=4, replicas=2, write_consistency=2)
    store = ServerStore.open(qdrant.url, 8, options=options)
    [created] = [json.loads(seen.body) for seen in qdrant.seen if seen.method == "PUT" and seen.path.count("/") == 2]
    assert created["vectors"]["page"]["on_disk"] is True
    assert created["vectors"]["page"]["quantization_config"]["scalar"] == {"type": "int8", "always_ram": True}
    assert created["sparse_vectors"]["bm25"]["index"]["on_disk"] is True
    assert [created[k] for k in ("shard_number", "replication_factor", "write_consistency_factor")] == [4, 2, 2]
    indexes = {
        body["field_name"]: body["field_schema"]
        for body in (json.loads(seen.body) for seen in qdrant.seen if seen.path.endswith("/index"))
    }
    assert set(indexes) == {"source", "kind", "tenant", "page", "node_id", "ref_doc_id"}
    assert indexes["tenant"] == {"type": "keyword", "is_tenant": True}
    assert not indexes["source"].get("is_tenant")
    store.upsert(sample_of(8, 5))
    qdrant.seen.clear()
    for arguments in ({"mode": "dense"}, {"mode": "hybrid"}, {"mode": "lexical"}):
        store.search(np.ones(8, dtype=np.float32), "hóa đơn", top_k=10, **arguments)  # type: ignore[arg-type]
    dense, hybrid, lexical = (json.loads(seen.body) for seen in qdrant.seen)
    assert dense["params"]["quantization"] == {"rescore": True, "oversampling": 3.0}
    both = {side["using"]: (side.get("params") or {}).get("quantization") for side in hybrid["prefetch"]}
    assert both == {"page": {"rescore": True, "oversampling": 3.0}, "bm25": None}
    assert "params" not in lexical


def sample_of(dim: int, count: int) -> list[Point]:
    random = np.random.default_rng(0)
    return [Point(uid(n), random.normal(size=dim).astype(np.float32), f"hóa đơn {n}", {}) for n in range(count)]


@pytest.mark.parametrize("kind", ["int8", "binary"])
def test_quantised_search_finds_and_scores_as_the_full_vectors_do(tmp_path: Path, kind: Quantization) -> None:
    """Ten clusters of 60 in 256 dimensions: bits alone cannot tell a cluster's points apart, nor give cosines."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(10, 256))
    vectors = (centres.repeat(60, axis=0) + random.normal(size=(600, 256))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = (centres + random.normal(size=(10, 256))).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    with EdgeStore.open(tmp_path / "store", 256, options=StoreOptions(quantization=kind)) as store:
        store.upsert(Point(uid(n), vector, "", {}) for n, vector in enumerate(vectors))
        found = 0
        for query in queries:
            cosines = {uid(n): float(cosine) for n, cosine in enumerate(vectors @ query)}
            best = sorted(cosines, key=lambda i: -cosines[i])[:10]
            hits = store.search(query, top_k=10, mode="dense")
            assert [hit.score for hit in hits] == pytest.approx([cosines[hit.id] for hit in hits], abs=1e-4)
            found += len({hit.id for hit in hits} & set(best))
        assert found >= 95


@pytest.mark.parametrize(
    ("kind", "limit", "times"),
    [("none", 10, None), ("int8", 10, 3.0), ("int8", 400, 3.0), ("binary", 10, 24.0), ("binary", 1, 240.0)],
)
def test_candidates_for_each_result(kind: Quantization, limit: int, times: float | None) -> None:
    assert oversampling(kind, limit) == times


def test_many_binary_results_need_fewer_candidates_each() -> None:
    assert oversampling("binary", 400) == 4.0


@pytest.mark.parametrize("options", [StoreOptions(shards=12), StoreOptions(replicas=2)], ids=str)
def test_directory_refuses_what_needs_a_server(tmp_path: Path, options: StoreOptions) -> None:
    with pytest.raises(StoreError, match="need a Qdrant server") as raised:
        open_store(tmp_path / "store", 8, options=options)
    assert str(tmp_path / "store") in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    open_store(tmp_path / "store", 8, options=StoreOptions(shards=1)).close()


def test_open_store_hands_the_options_on(tmp_path: Path, qdrant_url: str) -> None:
    options = StoreOptions(quantization="int8")
    with EdgeStore.open(tmp_path / "other", 8):
        pass
    for place in (str(tmp_path / "store"), tmp_path / "path", qdrant_url):
        store = open_store(place, 8, collection=f"vipylo_test_{uuid.uuid4().hex}", options=options)
        assert store.options.quantization == "int8"
        drop(store)


@pytest.mark.parametrize("modern", [False, True])
def test_engines_of_third_parties_may_not_know_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modern: bool
) -> None:
    class Old:
        @staticmethod
        def open(location: str, dim: int, *, collection: str, api_key: str | None) -> VectorStore:
            return EdgeStore.open(location.removeprefix("old://"), dim)

    class Modern:
        @staticmethod
        def open(location: str, dim: int, **given: Any) -> VectorStore:
            return EdgeStore.open(location.removeprefix("old://"), dim, options=given["options"])

    monkeypatch.setattr(open_module, "load_plugin", lambda group, name: Modern if modern else Old)
    location, binary = f"old://{tmp_path / 'store'}", StoreOptions(quantization="binary")
    if modern:
        store = open_store(location, 8, options=binary)
        assert store.options == binary
    else:
        with pytest.raises(StoreError, match="'old' has no options"):
            open_store(location, 8, options=binary)
        store = open_store(location, 8)
    store.close()


def test_a_third_partys_store_that_cannot_do_all_is_refused_when_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    class Earlier:
        """As the protocol once was: without `get` and `options`."""

        dim = 8
        upsert = search = delete = scroll = count = facet = optimize = backup = close = lambda self: None

        @classmethod
        def open(cls, location: str, dim: int, **given: Any) -> "Earlier":
            return cls()

    monkeypatch.setattr(open_module, "load_plugin", lambda group, name: Earlier)
    with pytest.raises(PluginError, match=r"Earlier has no options, get: get a newer version of its package"):
        open_store("earlier://here", 8)
    with pytest.raises(PluginError, match="has no options, get"):
        ViPyloVectorStore.over(Earlier())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantization": "int4"}, "none, int8, binary"),
        ({"shards": 0}, "at least 1"),
        ({"replicas": 0}, "at least 1 copy"),
        ({"replicas": 2, "write_consistency": 3}, "1 to replicas=2"),
        ({"write_consistency": 0}, "1 to replicas=1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        StoreOptions(**options)
