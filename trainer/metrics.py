"""Figures of merit of a search, each a small function of the ranks of a query's right documents; and Spearman's rho."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = Sequence[float] | npt.NDArray[np.floating] | npt.NDArray[np.integer]


def ndcg_at_k(ranks: Numbers, k: int = 10, gains: Numbers | None = None) -> float:
    """Normalised discounted cumulative gain of one query.

        DCG@k = sum over right documents with rank <= k of gain / log2(rank + 1)
        nDCG@k = DCG@k / (DCG@k of the best order there is)

    With no gains every right document counts 1 (binary relevance). Gains are linear, as first published and as in
    trec_eval; for the web-search form pass `2 ** relevance - 1`.

    Args:
        ranks: 1-based ranks of all right documents of the query, in any order; infinite for one that was not found.
        gains: of these documents, in the same order; not negative.

    Returns:
        0 to 1; NaN if no document is right, or no gain is positive (there is nothing to find).

    Source: Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", with the discount
    log2(rank + 1) of Burges et al. 2005.
    """
    place = _checked(ranks, k)
    gain = np.ones(len(place)) if gains is None else np.asarray(gains, dtype=np.float64)
    if gain.shape != place.shape or not np.all(gain >= 0):
        raise ValueError("gains are numbers >= 0, one for each rank")
    best = np.sort(gain)[::-1][:k]
    ideal = float(np.sum(best / np.log2(np.arange(2, len(best) + 2))))
    if ideal == 0.0:
        return math.nan
    seen = place <= k
    return float(np.sum(gain[seen] / np.log2(place[seen] + 1.0))) / ideal


def recall_at_k(ranks: Numbers, k: int) -> float:
    """Share of a query's right documents that stand among the first k: |{rank <= k}| / |right documents|.

    Args:
        ranks: 1-based ranks of all right documents; infinite for one that was not found.

    Returns:
        0 to 1; NaN if no document is right. Where more than k documents are right, it cannot reach 1.

    Source: Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", 8.3.
    """
    place = _checked(ranks, k)
    return float(np.mean(place <= k)) if len(place) else math.nan


def reciprocal_rank(ranks: Numbers) -> float:
    """1 / rank of the first right document; its mean over queries is MRR.

    Args:
        ranks: 1-based ranks of all right documents; infinite for one that was not found.

    Returns:
        0 to 1; NaN if no document is right.

    Source: Voorhees 1999, "The TREC-8 Question Answering Track Report".
    """
    place = _checked(ranks, 1)
    return float(1.0 / place.min()) if len(place) else math.nan


def spearman(x: Numbers, y: Numbers) -> float:
    """Spearman's rank correlation: Pearson's correlation of the ranks, equal values sharing the mean of their ranks.

        rho = cov(rank x, rank y) / (std(rank x) * std(rank y))

    (The short form 1 - 6 sum d² / (n (n² - 1)) holds only without ties; human scores are full of them.)

    Returns:
        -1 to 1; NaN with fewer than two values, where all values of one side are equal, or where one is not finite.

    Source: Spearman 1904, "The Proof and Measurement of Association between Two Things"; ties as in Kendall and
    Gibbons, "Rank Correlation Methods".
    """
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"two lists of one length are needed, not {left.shape} and {right.shape}")
    if len(left) < 2 or not (np.isfinite(left).all() and np.isfinite(right).all()):
        return math.nan
    a, b = average_ranks(left), average_ranks(right)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(float(a @ b) / scale, -1.0, 1.0)) if scale else math.nan


def average_ranks(values: Numbers) -> npt.NDArray[np.float64]:
    """1-based ranks, smallest value first; equal values get the mean of the ranks that they fill together."""
    numbers = np.asarray(values, dtype=np.float64)
    _, place, count = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: npt.NDArray[np.float64] = ((2 * last - count + 1) / 2.0)[place]
    return ranks


def _checked(ranks: Numbers, k: int) -> npt.NDArray[np.float64]:
    place = np.asarray(ranks, dtype=np.float64).reshape(-1)
    if k < 1:
        raise ValueError(f"k is at least 1, not {k}")
    if not np.all(place >= 1):
        raise ValueError("ranks start at 1")
    return place
