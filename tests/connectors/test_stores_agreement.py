"""Every store engine filters as the reference says, and all of them rank, fuse and count alike."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.stores.filters import And, AnyOf, Exists, Filter, Not, Or, Range, matches, parse_filter
from connectors.stores.protocol import VectorStore
from tests.connectors.store_engines import ENGINES, WORDS, drop, make_store, point, sample, uid, unit

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
def pair(tmp_path_factory: pytest.TempPathFactory, qdrant_url: str) -> Iterator[list[VectorStore]]:
    stores = [make_store(engine, tmp_path_factory.mktemp(engine), qdrant_url) for engine in ENGINES]
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


def test_engines_fuse_alike(tmp_path: Path, qdrant_url: str) -> None:
    """Texts of different lengths, as equal lexical scores may be ranked either way. Ids are compared above the last
    score, since two pages with swapped ranks fuse to the same one."""
    stores = [make_store(engine, tmp_path, qdrant_url) for engine in ENGINES]
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
