"""Differences between modes, and between an evaluation and an earlier one, over the queries that both have."""

from collections.abc import Sequence

import numpy as np

from embedder.errors import InputError
from vipylo_rag.evaluate.figures import figures, main_k
from vipylo_rag.evaluate.intervals import paired
from vipylo_rag.evaluate.result import Difference, Earlier, QueryResult, Right


def compared_metrics(ks: Sequence[int]) -> list[str]:
    """What is compared: nDCG, recall and MRR at the main cut."""
    return [f"{kind}@{main_k(ks)}" for kind in ("ndcg", "recall", "mrr")]


def between_modes(results: Sequence[QueryResult], modes: Sequence[str], ks: Sequence[int]) -> tuple[Difference, ...]:
    """Each other mode against the first, over the queries that both could be asked with."""
    of = {mode: {one.query: one for one in results if one.mode == mode} for mode in modes}
    made = []
    for mode in modes[1:]:
        shared = [query for query in of[mode] if query in of[modes[0]]]
        for metric in compared_metrics(ks) if shared else ():
            own, other = (np.array([of[each][query].metrics[metric] for query in shared]) for each in (mode, modes[0]))
            made.append(Difference(mode, modes[0], False, metric, paired(own, other)))
    return tuple(made)


def with_earlier(
    results: Sequence[QueryResult], modes: Sequence[str], ks: Sequence[int], earlier: Earlier
) -> tuple[Difference, ...]:
    """Each mode against itself in an earlier evaluation.

    Raises:
        InputError: the two have no query in common in any mode; a query has other judgements now; or the earlier one
            did not look down to the cut that is compared at.
    """
    if earlier.depth < main_k(ks):
        raise InputError(f"{earlier.file}: looked at the first {earlier.depth} documents only, not at {main_k(ks)}")
    made = []
    for mode in modes:
        shared = [one for one in results if one.mode == mode and (mode, one.query) in earlier.results]
        pairs = [(one, earlier.results[mode, one.query]) for one in shared]
        for one, before in pairs:
            if _judged(one.right) != _judged(before):
                raise InputError(
                    f"{earlier.file}: the query {one.query!r} had other right documents then: not comparable"
                )
        old = [figures([one.rank for one in right], [one.grade for one in right], ks) for _, right in pairs]
        for metric in compared_metrics(ks) if pairs else ():
            own = np.array([one.metrics[metric] for one in shared])
            made.append(Difference(mode, mode, True, metric, paired(own, np.array([each[metric] for each in old]))))
    if not made:
        there = ", ".join(sorted({mode for mode, _ in earlier.results})) or "none"
        raise InputError(
            f"{earlier.file}: has none of these queries in the mode {' or '.join(modes)} (its modes: {there})"
        )
    return tuple(made)


def _judged(right: Sequence[Right]) -> dict[str, float]:
    return {one.id: one.grade for one in right}
