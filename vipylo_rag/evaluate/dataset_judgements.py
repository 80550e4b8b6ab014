"""The judgements of a data set: qrels as BEIR has them (three columns), and as TREC has them (four)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from embedder.errors import InputError
from vipylo_rag.evaluate.dataset_files import text_lines
from vipylo_rag.evaluate.dataset_lines import short
from vipylo_rag.evaluate.trec_ids import columns

DEFAULT_SPLIT: Final = "test"

# Gains are summed: larger ones would overflow, and lose the small ones beside them long before.
_MOST_SCORE: Final = 1e9
_HEADER: Final = ["query-id", "corpus-id", "score"]
_ENDINGS: Final = (".tsv", ".txt", ".qrels", ".trec")


@dataclass(frozen=True)
class Judgement:
    """How well a document answers a query: `grade` > 0 is right, and is its gain; others are judged wrong."""

    document: str
    grade: float
    place: str = ""


@dataclass(frozen=True)
class WrittenJudgement:
    """A line of a qrels file. `escaped`: it is TREC's, whose ids may be written as `trec_ids.escaped` writes them."""

    query: str
    judgement: Judgement
    escaped: bool


def read_judgements(file: Path, folder: Path) -> Iterator[WrittenJudgement]:
    """The judgements of a qrels file, whose first line tells its form.

    Query, document and score parted by tabs, after a header or without one, are BEIR's; query, a column that is not
    read, document and score, parted by blanks or tabs, are TREC's.

    Args:
        folder: of the data set, which the file has to lie in.

    Raises:
        InputError: no such file, or a line of another form than the first.
    """
    trec: bool | None = None
    for number, line in text_lines(file, folder):
        place = f"{file}:{number}"
        tabbed, parted = line.split("\t"), columns(line)
        if trec is None:
            trec = len(tabbed) != 3 and len(parted) == 4
            if [column.strip().casefold() for column in tabbed] == _HEADER:
                continue
        if trec and len(parted) != 4:
            raise InputError(f"{place}: is not query-id, 0, corpus-id and score, as the lines before it")
        if not trec and (len(tabbed) != 3 or not tabbed[0] or not tabbed[1]):
            raise InputError(f"{place}: is not query-id, corpus-id and score with tabs between them")
        query, document, score = (parted[0], parted[2], parted[3]) if trec else tabbed
        yield WrittenJudgement(query, Judgement(document, _grade(score, place), place), trec)


def qrels_file(folder: Path, split: str | None) -> Path:
    """The file of a split: qrels/SPLIT.tsv, .txt, .qrels or .trec; of none in particular, qrels.tsv or .txt ... too.

    Raises:
        InputError: there is none (names the splits that are there), or there are several.
    """
    if split is not None and Path(split).name != split:
        raise InputError(f"split={split!r} is no name of a file in {folder / 'qrels'}")
    named = _one_of(folder / "qrels", split or DEFAULT_SPLIT)
    if named is None and split is None:
        named = _one_of(folder, "qrels")
    if named is not None:
        return named
    there = sorted({file.stem for file in (folder / "qrels").glob("*") if file.suffix in _ENDINGS})
    way_out = f"there are the splits {', '.join(there)}" if there else "write it: query-id, corpus-id, score"
    raise InputError(f"{folder / 'qrels' / f'{split or DEFAULT_SPLIT}.tsv'}: is not there; {way_out}")


def _one_of(folder: Path, name: str) -> Path | None:
    there = [file for ending in _ENDINGS if (file := folder / f"{name}{ending}").exists()]
    if len(there) > 1:
        raise InputError(f"{there[0]} and {there[1].name} are both there: keep one")
    return there[0] if there else None


def _grade(score: str, place: str) -> float:
    try:
        grade = float(score)
    except ValueError:
        grade = math.nan
    if not math.isfinite(grade):
        raise InputError(f"{place}: the score is {short(score.strip())}, no number")
    if abs(grade) > _MOST_SCORE:
        raise InputError(f"{place}: the score is {short(score.strip())}, beyond {_MOST_SCORE:,.0f}")
    return grade
