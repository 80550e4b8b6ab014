"""Rankings and judgements as TREC files, so that trec_eval and its kin can check the figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np

from embedder.errors import InputError
from vipylo_rag.evaluate.dataset_judgements import Judgement
from vipylo_rag.evaluate.outputs import written
from vipylo_rag.evaluate.result import Evaluation, QueryResult
from vipylo_rag.evaluate.trec_ids import escaped

TAG: Final = "vipylo-"


def write_runs(evaluation: Evaluation, judgements: Mapping[str, Sequence[Judgement]], folder: str | Path) -> list[Path]:
    """Write FOLDER/MODE.run for each mode and FOLDER/qrels.txt, as trec_eval reads them.

    trec_eval orders by the score, as a 32-bit number, and not by the rank: where a ranking's scores do not fall from a
    document to the next (ties, a reranker's order), the later one is written lower by the smallest step there is.
    Blanks in ids, which part the columns, are written as %20 in both files.

    Raises:
        InputError: the folder cannot be written.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{place}: cannot be made: {error.strerror}") from error
    files = []
    for mode in evaluation.modes:
        lines = [line for result in evaluation.of(mode) for line in _run_lines(result)]
        files.append(place / f"{quote(mode, safe='')}.run")
        written(files[-1], "".join(lines).encode("utf-8", "replace"))
    judged = [
        f"{escaped(query)} 0 {escaped(one.document)} {_grade(one.grade)}\n"
        for query, given in judgements.items()
        for one in given
    ]
    files.append(place / "qrels.txt")
    written(files[-1], "".join(judged).encode("utf-8", "replace"))
    return files


def fractional(judgements: Mapping[str, Sequence[Judgement]]) -> int:
    """How many grades are no whole numbers: trec_eval cuts off their fractions, and its nDCG is another then."""
    return sum(not one.grade.is_integer() for given in judgements.values() for one in given)


def _run_lines(result: QueryResult) -> list[str]:
    lines, below = [], np.float32(np.inf)
    for rank, one in enumerate(result.found, start=1):
        score = np.float32(one.score)
        if not score < below:
            score = np.nextafter(below, np.float32(-np.inf), dtype=np.float32)
        below = score
        lines.append(
            f"{escaped(result.query)} Q0 {escaped(one.id)} {rank} {float(score)!r} {TAG}{escaped(result.mode)}\n"
        )
    return lines


def _grade(grade: float) -> str:
    """In full: trec_eval reads whole numbers, so 1e+06 as 1. A fraction is written as it is, for others."""
    return str(int(grade)) if grade.is_integer() else repr(grade)
