"""What one tenant stores does not show in another's word statistics, on every engine."""

from typing import Any

import pytest

from connectors.stores.filters import And, AnyOf, Filter, Not, Or, parse_filter
from connectors.stores.protocol import VectorStore
from connectors.stores.qdrant_filter import corpus_of
from tests.connectors.qdrant_rest import QdrantRest
from tests.connectors.store_engines import DIM, drop, make_store, point, unit

MINE = AnyOf("tenant", ("a",))
# One page says "invoice", the others "hợp": to tenant "a" the first word is the rarer one.
TEXTS = ["invoice số một", *(f"hợp đồng số {number}" for number in range(9))]
QUESTION = "invoice hợp"


def fill(store: VectorStore) -> None:
    store.upsert(
        point(number, text, tenant="a", kind="pdf", page=number, source="a.pdf") for number, text in enumerate(TEXTS)
    )


def flood(store: VectorStore) -> list[str]:
    """Another tenant's pages: the word that is rare with "a" is common in the store now."""
    points = [point(100 + number, "invoice invoice", tenant="b", source="b.pdf") for number in range(60)]
    store.upsert(points)
    return [each.id for each in points]


def scores(store: VectorStore, where: Filter | None, mode: Any = "lexical") -> dict[str, float]:
    return {hit.id: hit.score for hit in store.search(unit(5), QUESTION, top_k=100, where=where, mode=mode)}


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
@pytest.mark.parametrize("where", [MINE, And((MINE, AnyOf("kind", ("pdf",)))), And((And((MINE,)), Not(Or(()))))])
def test_other_tenants_do_not_change_a_tenants_scores(store: VectorStore, where: Filter, mode: Any) -> None:
    fill(store)
    alone = scores(store, where, mode)
    assert len(alone) == len(TEXTS)
    others = flood(store)
    assert scores(store, where, mode) == pytest.approx(alone, abs=1e-6)
    store.delete(others[:30])
    assert scores(store, where, mode) == pytest.approx(alone, abs=1e-6)


def test_a_search_of_all_counts_among_all(store: VectorStore) -> None:
    """The flood does change what is counted among all: else the test above would show nothing."""
    fill(store)
    before = store.search(text=QUESTION, where=MINE, mode="lexical")[0]
    assert before.payload["page"] == 0
    flood(store)
    among_all = store.search(text=QUESTION, where=AnyOf("source", ("a.pdf",)), mode="lexical")[0]
    assert among_all.payload["page"] != 0


def test_two_tenants_together_are_one_corpus(store: VectorStore) -> None:
    fill(store)
    flood(store)
    both = scores(store, AnyOf("tenant", ("a", "b")))
    assert both == pytest.approx(scores(store, None), abs=1e-6)
    store.upsert(point(200 + number, "hợp hợp", tenant="c") for number in range(40))
    assert scores(store, AnyOf("tenant", ("a", "b"))) == pytest.approx(both, abs=1e-6)


@pytest.mark.parametrize(
    ("where", "corpus"),
    [
        (None, None),
        (MINE, MINE),
        (parse_filter({"tenant": "a", "page": {"gte": 3}}), And((MINE,))),
        (And((MINE, And((AnyOf("tenant", ("b",)),)))), And((MINE, And((AnyOf("tenant", ("b",)),))))),
        (AnyOf("kind", ("a",)), None),
        (Not(MINE), None),
        (Or((MINE, AnyOf("kind", ("pdf",)))), None),
        (And(()), None),
    ],
    ids=str,
)
def test_what_a_filter_holds_to(where: Filter | None, corpus: Filter | None) -> None:
    assert corpus_of(where) == corpus


def test_a_server_is_asked_for_its_tenants_until_there_are_several(qdrant: QdrantRest, tmp_path: Any) -> None:
    store = make_store("http", tmp_path, qdrant.url, DIM)
    fill(store)

    def asked() -> list[str]:
        qdrant.seen.clear()
        store.search(text=QUESTION, where=MINE)
        return [seen.path.rsplit("/", 1)[1] for seen in qdrant.seen]

    assert asked() == asked() == ["facet", "query"]
    flood(store)
    assert asked() == ["facet", "query"]
    assert asked() == ["query"]
    assert b'"corpus"' in qdrant.seen[-1].body
    drop(store)
