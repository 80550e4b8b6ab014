"""Intervals: they cover what they should, are those of scipy, and say nothing where nothing can be said."""

import numpy as np
import pytest

from vipylo_rag.evaluate.intervals import Values, intervals, paired, resamples


def test_they_cover_the_truth_nineteen_times_in_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 samples of 60 skewed values each, about 95 % hold the true mean; 0.90 to 0.98 leaves room for chance
    (standard error 0.011) and for the bootstrap's own shortfall at 60 values."""
    monkeypatch.setattr("vipylo_rag.evaluate.intervals.MOST_RESAMPLES", 1000)
    random = np.random.default_rng(3)
    values_QM = np.where(random.random((60, 400)) < 0.3, 0.0, random.beta(4, 1, (60, 400)))
    truth = 0.7 * 4 / 5
    found = intervals(values_QM)
    held = np.mean([one.low <= truth <= one.high for one in found if one.low is not None and one.high is not None])
    assert 0.90 <= held <= 0.98


def test_they_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(5).beta(5, 1, 80)
    (ours,) = intervals(values[:, None])
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=10_000, rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)
    assert ours.mean == pytest.approx(values.mean(), abs=1e-12)


@pytest.mark.parametrize("values", [[0.4], [0.4, 0.1, 0.4, 0.7], [1.0, 1.0, 1.0], [0.0] * 50, [0.1 + 0.2] * 7])
def test_values_that_tell_nothing_get_none(values: list[float]) -> None:
    (found,) = intervals(np.array(values)[:, None])
    assert (found.low, found.high) == (None, None) and found.mean == pytest.approx(np.mean(values))


def test_five_queries_are_enough() -> None:
    (found,) = intervals(np.array([0.4, 0.1, 0.4, 0.7, 1.0])[:, None])
    assert found.low is not None and found.high is not None and 0.1 < found.low < found.mean < found.high < 1.0


def test_they_repeat_and_do_not_depend_on_other_columns() -> None:
    values = np.random.default_rng(1).random((30, 3))
    assert intervals(values) == intervals(values)
    assert intervals(values)[1] == intervals(values[:, 1:2])[0]


def test_more_queries_take_fewer_resamples() -> None:
    assert [resamples(queries) for queries in (1, 1000, 2000, 100_000)] == [10_000, 10_000, 5000, 1000]


def test_a_paired_difference_by_hand() -> None:
    """Differences .5, 0, .5, .5, -.5, .5: mean .25; 4 better, 1 worse. Of the 32 signs of 5 equal differences, those
    with 5, 4, 1 or 0 of one sign reach |sum| >= 1.5: 1 + 5 + 5 + 1 = 12, so p = 12/32."""
    ours, others = np.array([1, 0.5, 1, 1, 0, 1.0]), np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    found = paired(ours, others)
    assert found.difference.mean == pytest.approx(0.25) and (found.better, found.worse, found.queries) == (4, 1, 6)
    assert found.p == pytest.approx(12 / 32, abs=0.02)
    assert found.difference.low is not None and found.difference.low < 0.25
    swapped = paired(others, ours)
    assert swapped.difference.mean == -found.difference.mean and swapped.p == found.p


def test_runs_that_are_the_same_differ_by_nothing() -> None:
    same: Values = np.array([0.1, 0.9, 0.3])
    found = paired(same, same)
    assert (found.p, found.better, found.worse, found.difference.low) == (1.0, 0, 0, None)
