"""Batch planning: every row once, within the limits."""

from hypothesis import given
from hypothesis import strategies as st

from embedder.batching import plan_batches


@given(
    lengths=st.lists(st.integers(1, 5000), max_size=200),
    batch_size=st.integers(1, 70),
    budget=st.integers(1, 10_000),
)
def test_every_row_once_within_the_limits(lengths: list[int], batch_size: int, budget: int) -> None:
    batches = plan_batches(lengths, batch_size, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget
    assert [lengths[row] for batch in batches for row in batch] == sorted(lengths, reverse=True)
