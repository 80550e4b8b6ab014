"""How sure a mean over queries is: bootstrap intervals, and of two runs over the same queries, their paired difference.

Everything is drawn from one fixed seed: the same values give the same intervals, on every machine.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

LEVEL: Final = 0.95
SEED: Final = 20060806
# Below, an interval says little more than which values there are: of two, it is the two.
LEAST_QUERIES: Final = 5
MOST_RESAMPLES: Final = 10_000
_LEAST_RESAMPLES: Final = 1000
# Draws of one mean's intervals: 10,000 resamples of 1,000 queries take a tenth of a second.
_DRAWS: Final = 10_000_000
_DRAWS_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval.

    `low` and `high` are None where the values do not tell: fewer than five of them, or all equal (resampling these
    would claim to be certain).
    """

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Paired:
    """A run against another over the same queries: the mean of the differences per query.

    Attributes:
        better, worse: queries on which it has a higher or lower value.
        p: how often differences at least as far from 0 come about if which of the two is which is left to chance
            (two-sided randomisation test); 1 where no query differs.
    """

    difference: Interval
    queries: int
    better: int
    worse: int
    p: float


def resamples(queries: int) -> int:
    """How many resamples are drawn: 10,000 up to 1,000 queries, fewer of more (1,000 from 10,000 queries on)."""
    return max(_LEAST_RESAMPLES, min(MOST_RESAMPLES, _DRAWS // max(1, queries)))


def intervals(values_QM: Values) -> list[Interval]:
    """The mean of each column, with its bias-corrected and accelerated (BCa) bootstrap interval over the rows.

    Percentile intervals of bounded, skewed values such as recall near 1 lie too low; BCa shifts and stretches them by
    what the resamples and the jackknife tell of bias and skew.

    Args:
        values_QM: one row for each query, one column for each metric.

    Source: Efron 1987, "Better Bootstrap Confidence Intervals".
    """
    queries = len(values_QM)
    means = [math.fsum(column) / queries for column in values_QM.T]
    if queries < LEAST_QUERIES:
        return [Interval(mean) for mean in means]
    drawn_BM = np.concatenate(list(_resampled_means(values_QM)))
    return [_bca(column, mean, drawn) for column, mean, drawn in zip(values_QM.T, means, drawn_BM.T, strict=True)]


def paired(values_Q: Values, others_Q: Values) -> Paired:
    """A run's values against another's, of the same queries in the same order.

    Source of the test: Smucker, Allan and Carterette 2007, "A Comparison of Statistical Significance Tests for
    Information Retrieval Evaluation".
    """
    gaps = values_Q - others_Q
    (difference,) = intervals(gaps[:, None])
    return Paired(difference, len(gaps), int(np.sum(gaps > 0)), int(np.sum(gaps < 0)), _randomisation_p(gaps))


def _resampled_means(values_QM: Values) -> Iterator[Values]:
    queries = len(values_QM)
    random = np.random.default_rng(SEED)
    for rows in _chunks(queries):
        drawn = random.integers(0, queries, (rows, queries))
        places = (drawn + np.arange(rows)[:, None] * queries).ravel()
        counts_BQ = np.bincount(places, minlength=rows * queries).reshape(rows, queries)
        yield counts_BQ.astype(np.float64) @ values_QM / queries


def _chunks(queries: int) -> Iterator[int]:
    """`resamples(queries)` in parts whose draws fit in little memory."""
    left = resamples(queries)
    while left:
        rows = min(left, max(1, _DRAWS_AT_ONCE // queries))
        yield rows
        left -= rows


def _bca(values: Values, mean: float, drawn: Values) -> Interval:
    apart = values - mean
    squares = float(np.sum(apart**2))
    if np.all(values == values[0]) or squares == 0.0:
        return Interval(mean)
    near = 1e-12 * max(1.0, abs(mean))  # the same draw summed in another order
    below = float(np.mean(drawn < mean - near)) + 0.5 * float(np.mean(np.abs(drawn - mean) <= near))
    normal = NormalDist()
    bias = normal.inv_cdf(min(max(below, 1 / (len(drawn) + 1)), 1 - 1 / (len(drawn) + 1)))
    skew = float(np.sum(apart**3)) / (6 * squares**1.5)

    def share(z: float) -> float:
        return normal.cdf(bias + (bias + z) / (1 - skew * (bias + z)))

    edge = normal.inv_cdf((1 + LEVEL) / 2)
    low, high = np.quantile(drawn, [share(-edge), share(edge)])
    return Interval(mean, float(low), float(high))


def _randomisation_p(gaps: Values) -> float:
    apart = gaps[gaps != 0]
    if not len(apart):
        return 1.0
    seen = abs(float(np.sum(apart))) * (1 - 1e-12)
    random, reached, drawn = np.random.default_rng(SEED), 0, 0
    for rows in _chunks(len(apart)):
        signs = random.integers(0, 2, (rows, len(apart)), dtype=np.int8).astype(np.float64) * 2 - 1
        reached += int(np.sum(np.abs(signs @ apart) >= seen))
        drawn += rows
    return (reached + 1) / (drawn + 1)
