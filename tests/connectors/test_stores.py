"""What the protocol promises, method by method, for every store engine.

Runs on Qdrant Edge, on qdrant-client's in-memory mode, over HTTP (`qdrant_rest.py`), and on a real server where
VIPYLO_QDRANT_URL is set.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.errors import StoreError
from connectors.stores.edge import EdgeStore
from connectors.stores.filters import AnyOf, Exists, matches, parse_filter
from connectors.stores.protocol import Point, VectorStore
from connectors.stores.server import ServerStore
from tests.connectors.store_engines import DIM, point, sample, uid, unit


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


@pytest.mark.parametrize("first_by_hash", [0, 1])
def test_pages_of_one_score_stand_by_what_they_show_not_by_their_ids(store: VectorStore, first_by_hash: int) -> None:
    """An id is made of a document's path: the order would be another in every folder."""
    nearer, wordier = (dict(content_sha256=str(number != first_by_hash)) for number in range(2))
    store.upsert(
        [
            Point(uid(200), unit(200), "mã xyzzy và nhiều chữ khác nữa", nearer),
            Point(uid(201), unit(200) + 0.05 * unit(201), "mã xyzzy xyzzy", wordier),
        ]
    )
    for mode, first in (("dense", 200), ("lexical", 201)):
        assert store.search(unit(200), "xyzzy", mode=mode)[0].id == uid(first)  # type: ignore[arg-type]
    found = store.search(unit(200), "xyzzy")
    assert found[0].score == found[1].score
    assert [hit.id for hit in found] == [uid(200 + first_by_hash), uid(201 - first_by_hash)]


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


@pytest.mark.parametrize("field", ["page", "year"])
def test_two_bounds_on_one_side_both_hold(store: VectorStore, field: str) -> None:
    store.upsert(point(number, **{field: number}) for number in range(8))
    for bounds in (
        {"lt": 6, "lte": 2},
        {"lt": 2, "lte": 6},
        {"lt": 3, "lte": 3},
        {"gt": 5, "gte": 2},
        {"gt": 2, "gte": 5},
    ):
        where = parse_filter({field: bounds})
        assert {hit.payload[field] for hit in store.scroll(where)} == {
            n for n in range(8) if matches(where, {field: n})
        }


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


def test_get_gives_points_by_id_in_the_order_asked(store: VectorStore) -> None:
    points = sample(5)
    store.upsert(points)
    found = store.get([uid(3), uid(999), uid(1), uid(3), uid(0).upper()])
    assert [held.id for held in found] == [uid(3), uid(1), uid(0)]
    assert found[0].payload == points[3].payload and found[0].vector is None
    [held] = store.get([uid(2)], with_vectors=True)
    assert held.vector is not None and held.vector.dtype == np.float32
    assert held.vector == pytest.approx(unit(2), abs=1e-6)
    assert store.get([]) == store.get([uid(999)]) == []
    with pytest.raises(StoreError, match="'page-1' is no UUID"):
        store.get(["page-1"])


def test_get_takes_any_number_of_ids(store: VectorStore) -> None:
    store.upsert(sample(1100))
    ids = [uid(number) for number in reversed(range(1100))]
    assert [held.id for held in store.get(ids)] == ids
    assert len(store.get(ids[:300], with_vectors=True)) == 300


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
