"""The figures of merit of one query, and of groups of queries with how sure they are."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from embedder.errors import InputError
from trainer.metrics import ndcg_at_k, recall_at_k, reciprocal_rank
from vipylo_rag.evaluate.intervals import Values, intervals
from vipylo_rag.evaluate.result import Group, GroupBy, QueryResult

DEFAULT_KS = (1, 5, 10, 100)
_MAIN_K = 10


def checked_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Cuts in rising order, each once.

    Raises:
        InputError: there is none, or one below 1.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"k={list(ks)}: give at least one, and none below 1")
    return tuple(sorted(set(ks)))


def main_k(ks: Sequence[int]) -> int:
    """The cut that a table shows nDCG and MRR at: 10 where it is one of them, else the largest."""
    return _MAIN_K if _MAIN_K in ks else max(ks)


def main_metric(ks: Sequence[int]) -> str:
    """What queries are called good or bad by."""
    return f"ndcg@{main_k(ks)}"


def metric_names(ks: Sequence[int]) -> list[str]:
    """The metrics in the order in which they are shown."""
    return [f"{kind}@{k}" for kind in ("ndcg", "recall", "mrr") for k in ks]


def figures(ranks: Sequence[int | None], grades: Sequence[float], ks: Sequence[int]) -> dict[str, float]:
    """The metrics of one query.

    nDCG@k has linear gains, as trec_eval has; MRR@k is 1 / rank of the first right document, and 0 where none is among
    the first k.

    Args:
        ranks: 1-based, of all its right documents; None for one that was not found.
        grades: of these documents, above 0.
    """
    places = [math.inf if rank is None else float(rank) for rank in ranks]
    found: dict[str, float] = {}
    for k in ks:
        found[f"ndcg@{k}"] = ndcg_at_k(places, k, grades)
        found[f"recall@{k}"] = recall_at_k(places, k)
        found[f"mrr@{k}"] = reciprocal_rank([place if place <= k else math.inf for place in places])
    return {name: found[name] for name in metric_names(ks)}


def table_of(results: Sequence[QueryResult], names: Sequence[str]) -> Values:
    """One row for each query, one column for each metric."""
    return np.array([[result.metrics[name] for name in names] for result in results], dtype=np.float64)


def groups(results: Sequence[QueryResult], modes: Sequence[str], ks: Sequence[int]) -> tuple[Group, ...]:
    """Each mode's queries all together; then by what they are made of and by language, where there are several."""
    names = metric_names(ks)
    made = []
    for mode in modes:
        own = [result for result in results if result.mode == mode]
        for by, value, chosen in _parts(own):
            found = intervals(table_of(chosen, names))
            made.append(Group(mode, by, value, len(chosen), dict(zip(names, found, strict=True))))
    return tuple(made)


def _parts(results: Sequence[QueryResult]) -> Iterator[tuple[GroupBy, str, list[QueryResult]]]:
    if not results:
        return
    yield "all", "", list(results)
    made_of = {one.modality for one in results}
    modalities = [modality for modality in ("text", "image", "mixed") if modality in made_of]
    if len(modalities) > 1:
        yield from (("modality", value, [one for one in results if one.modality == value]) for value in modalities)
    languages = sorted({one.language for one in results if one.language})
    if len(languages) > 1:
        yield from (("language", value, [one for one in results if one.language == value]) for value in languages)
