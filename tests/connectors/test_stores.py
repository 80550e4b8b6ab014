"""One conformance suite for every store engine: what the protocol promises, and that the engines agree.

Runs on Qdrant Edge, on qdrant-client's in-memory mode, and on a real server where VIPYLO_QDRANT_URL is set.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.errors import StoreError
from connectors.stores.edge import EdgeStore
from connectors.stores.filters import And, AnyOf, Exists, Filter, Not, Or, Range, matches, parse_filter
from connectors.stores.protocol import Point, VectorStore
from connectors.stores.server import ServerStore

DIM = 16
URL = os.environ.get("VIPYLO_QDRANT_URL")
ENGINES = ["edge", "memory", *(["server"] if URL else [])]
WORDS = [
    "hóa",
    "đơn",
    "giá",
    "trị",
    "gia",
    "tăng",
    "hợp",
    "đồng",
    "invoice",
    "contract",
    "total",
    "发票",
    "合同",
    "战国无双",
]


def make_store(engine: str, path: Path, dim: int = DIM) -> VectorStore:
    if engine == "edge":
        return EdgeStore.open(path / "store", dim)
    if engine == "memory":
        from qdrant_client import QdrantClient

        return ServerStore.over(QdrantClient(":memory:"), dim)
    assert URL
    return ServerStore.open(URL, dim, collection=f"vipylo_test_{uuid.uuid4().hex}")


def drop(store: VectorStore) -> None:
    if isinstance(store, ServerStore):
        with contextlib.suppress(StoreError):  # closed by the test
            store.drop()
    store.close()


@pytest.fixture(scope="module")
def empty_edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making an Edge store takes a dozen disk syncs, copying one takes none."""
    path = tmp_path_factory.mktemp("empty") / "store"
    EdgeStore.open(path, DIM).close()
    return path


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path, empty_edge: Path) -> Iterator[VectorStore]:
    if request.param == "edge":
        shutil.copytree(empty_edge, tmp_path / "store")
    opened = make_store(request.param, tmp_path)
    yield opened
    drop(opened)


@pytest.fixture(scope="module", params=ENGINES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    """One store for many hypothesis examples, each of which cleans up."""
    opened = make_store(request.param, tmp_path_factory.mktemp("shared"))
    yield opened
    drop(opened)


def uid(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def point(number: int, text: str = "", **payload: Any) -> Point:
    return Point(uid(number), unit(number), text, payload)


def sample(count: int, seed: int = 0) -> list[Point]:
    """Points whose texts share words and whose payloads share values."""
    random = np.random.default_rng(seed)
    return [
        point(
            number,
            f"{' '.join(random.choice(WORDS, size=random.integers(3, 12)))} số {number}",
            source=f"{number % 5}.pdf",
            kind=("pdf", "image")[number % 2],
            page=number,
        )
        for number in range(count)
    ]


# --- the protocol, method by method ---


def test_is_a_vector_store(store: VectorStore) -> None:
    assert isinstance(store, VectorStore)
    assert store.dim == DIM
    assert store.count() == 0
    assert list(store.scroll()) == []
    assert store.search(unit(0)) == []


def test_dense_finds_the_nearest_by_cosine(store: VectorStore) -> None:
    points = sample(50)
    assert store.upsert(iter(points)) == 50
    query = unit(1000)
    cosines = {p.id: float(query @ p.vector) for p in points}
    found = store.search(3 * query, top_k=7, mode="dense")
    assert [hit.id for hit in found] == sorted(cosines, key=lambda i: -cosines[i])[:7]
    assert [hit.score for hit in found] == pytest.approx(sorted(cosines.values(), reverse=True)[:7], abs=1e-5)
    assert found[0].payload == next(p.payload for p in points if p.id == found[0].id)


def test_lexical_finds_words_in_three_languages(store: VectorStore) -> None:
    store.upsert(
        [point(1, "Hoá đơn giá trị gia tăng"), point(2, "The total of the invoices"), point(3, "战国无双的合同")]
    )
    for text, number in (("hóa ĐƠN", 1), ("invoice", 2), ("无双", 3)):
        assert [hit.id for hit in store.search(text=text, mode="lexical")] == [uid(number)]
    assert store.search(text="nowhere", mode="lexical") == []


def test_hybrid_prefers_what_both_sides_find(store: VectorStore) -> None:
    store.upsert([*sample(30), point(100, "mã xyzzy")])
    found = store.search(unit(100), "xyzzy", top_k=5)
    assert found[0].id == uid(100)
    assert len(found) == 5
    assert found[0].score == pytest.approx(2 / 5)  # first on both sides: 1 / (5 + 0), twice


def test_hybrid_with_one_side_is_that_side(store: VectorStore) -> None:
    store.upsert(sample(30))
    assert store.search(unit(3)) == store.search(unit(3), mode="dense") == store.search(unit(3), "?!")
    assert store.search(text="hóa đơn") == store.search(text="hóa đơn", mode="lexical")


def test_modes_ignore_the_other_side(store: VectorStore) -> None:
    store.upsert(sample(30))
    assert store.search(unit(3), "hóa đơn", mode="dense") == store.search(unit(3), mode="dense")
    assert store.search(unit(3), "hóa đơn", mode="lexical") == store.search(text="hóa đơn", mode="lexical")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "given neither"),
        ({"text": ""}, "given neither"),
        ({"text": "…?"}, "has no words"),
        ({"text": "a", "mode": "dense"}, "needs a vector"),
        ({"vector": np.ones(DIM), "mode": "lexical"}, "needs text"),
        ({"vector": np.ones(DIM + 1)}, r"shape \[17\], the store holds \[16\]"),
        ({"vector": np.zeros(DIM)}, "all zero"),
        ({"vector": np.full(DIM, np.nan)}, "NaN"),
        ({"vector": np.ones(DIM), "top_k": 0}, "top_k is 0"),
        ({"vector": np.ones(DIM), "mode": "sparse"}, "unknown search mode"),
    ],
)
def test_search_with_nothing_to_search_for_raises(store: VectorStore, arguments: dict[str, Any], said: str) -> None:
    store.upsert(sample(3))
    with pytest.raises(StoreError, match=said):
        store.search(**arguments)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_filter_holds_in_every_mode(store: VectorStore, mode: Any) -> None:
    store.upsert(sample(60))
    where = parse_filter({"kind": "pdf", "page": {"gte": 10, "lt": 40}})
    found = store.search(unit(1), "số hóa đơn", top_k=50, where=where, mode=mode)
    assert len(found) == 15
    assert all(matches(where, hit.payload) for hit in found)


def test_upsert_replaces_the_whole_point(store: VectorStore) -> None:
    store.upsert([point(1, "hóa đơn", source="a.pdf", old=True)])
    store.upsert([Point(uid(1), unit(2), "", {"source": "b.pdf"})])
    assert store.count() == 1
    assert store.search(text="hóa đơn") == []
    [held] = store.scroll(with_vectors=True)
    assert held.payload == {"source": "b.pdf"}
    assert held.vector == pytest.approx(unit(2), abs=1e-6)


def test_upsert_takes_any_number_of_points(store: VectorStore) -> None:
    assert store.upsert([]) == 0
    assert store.upsert(point(number % 600, page=number) for number in range(1300)) == 1300
    assert store.count() == 600
    assert [hit.payload["page"] for hit in store.search(unit(7), top_k=1)] == [1207]  # the last of the same id wins


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Point("page-1", unit(0), ""), "'page-1' is no UUID"),
        (Point(uid(1), np.ones(3, dtype=np.float32), ""), r"has shape \[3\]"),
        (Point(uid(1), np.full(DIM, np.inf, dtype=np.float32), ""), "NaN or infinity"),
        (Point(uid(1), np.zeros(DIM, dtype=np.float32), ""), "all zero"),
        (Point(uid(1), unit(1), "", {"when": object()}), "not JSON"),
        (Point(uid(1), unit(1), "", {"score": float("nan")}), "not JSON"),
        (Point(uid(1), unit(1), "", {"text": "\ud800"}), "not JSON"),
        (Point(uid(1), unit(1), "", {"page": [1, 2.5]}), "give integers"),
    ],
)
def test_bad_points_are_named_and_not_stored(store: VectorStore, bad: Point, said: str) -> None:
    with pytest.raises(StoreError, match=said) as raised:
        store.upsert([bad])
    assert bad.id in str(raised.value)
    assert store.count() == 0


def test_payload_comes_back_as_it_was(store: VectorStore) -> None:
    payload = {
        "source": "thư mục/hợp đồng số 1 (bản 2).pdf",
        "page": 3,
        "标题": "战国无双",
        "emoji 🙂": "👩‍👩‍👧",
        "a.b[0]": {"deep": [1, 2.5, None, True, {"x": []}]},
        "text": "\u0000 \n\t ok",
        "big": 2**53 + 1,
        "empty": "",
    }
    store.upsert([Point(uid(1), unit(1), "x", payload)])
    assert next(iter(store.scroll())).payload == payload
    assert store.search(unit(1))[0].payload == payload
    for field in ("source", "标题", "emoji 🙂", "text"):
        assert store.count(AnyOf(field, (payload[field],))) == 1, field


def test_a_field_is_a_top_level_key_whatever_its_characters(store: VectorStore) -> None:
    store.upsert([point(1, **{"a.b": "flat"}), point(2, a={"b": "deep"}), point(3, **{"x[]": ["y"]})])
    assert store.count(AnyOf("a.b", ("flat",))) == 1
    assert store.count(AnyOf("a.b", ("deep",))) == 0
    assert store.count(AnyOf("x[]", ("y",))) == 1


def test_delete_by_ids(store: VectorStore) -> None:
    store.upsert(sample(10))
    assert store.delete([uid(1), uid(2), uid(2), uid(999)]) == 2
    assert store.delete([]) == 0
    assert store.count() == 8
    assert uid(1) not in {held.id for held in store.scroll()}


def test_delete_by_filter(store: VectorStore) -> None:
    store.upsert(sample(10))
    assert store.delete(where=parse_filter({"source": "3.pdf"})) == 2
    assert store.delete(where=parse_filter({"source": "3.pdf"})) == 0
    assert store.count() == 8


def test_delete_needs_ids_or_a_filter(store: VectorStore) -> None:
    for arguments in ({}, {"ids": [uid(1)], "where": Exists("source")}):
        with pytest.raises(StoreError, match="ids or a filter"):
            store.delete(**arguments)


def test_scroll_gives_each_point_once_in_id_order(store: VectorStore) -> None:
    points = sample(700)
    store.upsert(points)
    assert [held.id for held in store.scroll()] == sorted(p.id for p in points)
    where = parse_filter({"kind": "image"})
    assert [held.id for held in store.scroll(where)] == sorted(p.id for p in points if p.payload["kind"] == "image")


def test_scroll_gives_vectors_only_when_asked(store: VectorStore) -> None:
    store.upsert([Point(uid(1), 5 * unit(1), "", {})])
    assert next(iter(store.scroll())).vector is None
    vector = next(iter(store.scroll(with_vectors=True))).vector
    assert vector is not None
    assert vector.dtype == np.float32
    assert vector == pytest.approx(unit(1), abs=1e-6)  # stored at unit length


def test_scroll_survives_deleting_what_it_gave(store: VectorStore) -> None:
    store.upsert(sample(600))
    seen = 0
    for seen, held in enumerate(store.scroll(), start=1):
        if seen % 50 == 0:
            store.delete([held.id])
    assert seen == 600
    assert store.count() == 588


def test_facet_counts_values_most_frequent_first(store: VectorStore) -> None:
    store.upsert([*sample(12), point(50, source="0.pdf", tags=["x", "y", "x"], scan=True, page=1)])
    assert store.facet("source") == {"0.pdf": 4, "1.pdf": 3, "2.pdf": 2, "3.pdf": 2, "4.pdf": 2}
    assert list(store.facet("source")) == ["0.pdf", "1.pdf", "2.pdf", "3.pdf", "4.pdf"]
    assert store.facet("source", limit=2) == {"0.pdf": 4, "1.pdf": 3}
    assert store.facet("source", parse_filter({"page": {"lt": 2}})) == {"0.pdf": 2, "1.pdf": 1}
    assert store.facet("page", limit=1) == {1: 2}
    assert store.facet("tags") == {"x": 1, "y": 1}
    assert store.facet("scan") == {True: 1}
    assert store.facet("nowhere") == {}


def test_optimize_changes_no_result(store: VectorStore) -> None:
    store.upsert(sample(100))
    before = store.search(unit(5), "hóa đơn", top_k=20)
    store.optimize()
    assert store.search(unit(5), "hóa đơn", top_k=20) == before


def test_backup_opens_as_a_store_and_stands_alone(store: VectorStore, tmp_path: Path) -> None:
    store.upsert(sample(40))
    store.backup(tmp_path / "deep" / "copy")
    store.delete(where=Exists("source"))
    store.upsert([point(999)])  # the original goes on working
    with EdgeStore.open(tmp_path / "deep" / "copy", DIM) as copy:
        assert copy.count() == 40
        assert copy.search(unit(7), mode="dense")[0].id == uid(7)
        assert copy.search(text="số 17", top_k=1)[0].id == uid(17)
        assert copy.facet("kind") == {"image": 20, "pdf": 20}
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["copy"]


def test_backup_refuses_a_target_that_exists(store: VectorStore, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(StoreError, match="exists already"):
        store.backup(tmp_path / "there")


def test_closed_store_says_so(store: VectorStore) -> None:
    if isinstance(store, ServerStore):
        store.drop()
    store.close()
    store.close()
    with pytest.raises(StoreError, match=r"closed; open it again"):
        store.count()


# --- filters: every engine agrees with the reference ---

names = st.sampled_from(["source", "kind", "page", "tenant", "note", "mã số"])
strings = st.sampled_from(["", "a", "A", "b.pdf", "hóa đơn", "1", "true", "战国"])
integers = st.sampled_from([-1, 0, 1, 2, 3, 2**40])
scalars = strings | integers | st.booleans()
numbers = integers | st.sampled_from([-0.5, 0.5, 1.0, 2.5])
values = scalars | numbers | st.none() | st.lists(scalars, max_size=3) | st.just({"deep": 1})
# Wrong types in indexed fields too: what a payload index leaves out must not change a result.
whole = scalars | st.none() | st.lists(scalars, max_size=3) | st.just({"deep": 1})
payloads = st.fixed_dictionaries(
    {}, optional={"source": values, "kind": values, "tenant": values, "page": whole, "note": values, "mã số": values}
)
ranges = st.builds(
    lambda field, bounds: Range(field, **bounds),
    names,
    st.dictionaries(st.sampled_from(["gte", "gt", "lte", "lt"]), numbers, min_size=1, max_size=2),
)
leaves = st.builds(AnyOf, names, st.lists(scalars, max_size=3).map(tuple)) | ranges | st.builds(Exists, names)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.builds(And, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Not, inner)
    ),
    max_leaves=5,
)
# Few examples with many payloads and filters each: a round of upsert and delete costs more than a hundred filters.
wide = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],  # shrinking takes minutes where syncs are slow
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@wide
@given(
    held=st.lists(payloads, min_size=10, max_size=20),
    wheres=st.lists(trees, min_size=10, max_size=25),
)
def test_engine_filters_equal_the_reference(
    shared: VectorStore, held: list[dict[str, Any]], wheres: list[Filter]
) -> None:
    shared.upsert(point(number, **payload) for number, payload in enumerate(held))
    try:
        for where in wheres:
            expected = {uid(number) for number, payload in enumerate(held) if matches(where, payload)}
            assert {stored.id for stored in shared.scroll(where)} == expected, where
            assert shared.count(where) == len(expected), where
            assert {hit.id for hit in shared.search(unit(0), top_k=20, where=where)} == expected, where
    finally:
        shared.delete([uid(number) for number in range(len(held))])


# --- the engines agree with each other ---


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[VectorStore]]:
    stores = [make_store(engine, tmp_path_factory.mktemp(engine)) for engine in ENGINES]
    for opened in stores:
        opened.upsert(sample(400, seed=3))
    yield stores
    for opened in stores:
        drop(opened)


@pytest.mark.parametrize("mode", ["dense", "lexical"])
@pytest.mark.parametrize("where", [None, {"kind": "pdf"}, {"not": {"source": ["1.pdf", "2.pdf"]}}])
def test_engines_rank_alike(pair: list[VectorStore], mode: Any, where: dict[str, Any] | None) -> None:
    for seed in range(15):
        text = " ".join(np.random.default_rng(seed).choice(WORDS, size=3))
        results = [s.search(unit(5000 + seed), text, top_k=400, where=parse_filter(where), mode=mode) for s in pair]
        for other in results[1:]:
            scores = {hit.id: hit.score for hit in other}
            assert set(scores) == {hit.id for hit in results[0]}
            assert [scores[hit.id] for hit in results[0]] == pytest.approx([h.score for h in results[0]], abs=1e-4)


def test_engines_fuse_alike(tmp_path: Path) -> None:
    """Texts of different lengths, as equal lexical scores may be ranked either way. Ids are compared above the last
    score, since two pages with swapped ranks fuse to the same one."""
    stores = [make_store(engine, tmp_path) for engine in ENGINES]
    for opened in stores:
        opened.upsert(point(n, "chung " + " ".join(f"w{n}x{i}" for i in range(n))) for n in range(130))
    for seed in range(15):
        results = [s.search(unit(6000 + seed), f"chung w{seed * 7}x0", top_k=10) for s in stores]
        for other in results[1:]:
            assert [hit.score for hit in other] == pytest.approx([hit.score for hit in results[0]], abs=1e-6)
            last = results[0][-1].score + 1e-6
            assert {h.id for h in other if h.score > last} == {h.id for h in results[0] if h.score > last}
    for opened in stores:
        drop(opened)


def test_engines_count_alike(pair: list[VectorStore]) -> None:
    for field in ("source", "kind", "page"):
        assert len({tuple(s.facet(field, limit=20).items()) for s in pair}) == 1, field
