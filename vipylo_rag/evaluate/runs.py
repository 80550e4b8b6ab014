"""Rankings from files: runs as TREC has them, six columns a line, in the order that trec_eval gives them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from embedder.errors import InputError
from vipylo_rag.evaluate.dataset import Dataset
from vipylo_rag.evaluate.dataset_files import PACKED, text_lines
from vipylo_rag.evaluate.dataset_lines import Item, short
from vipylo_rag.evaluate.ranking import Ranking
from vipylo_rag.evaluate.result import FoundDocument, ReadRun
from vipylo_rag.evaluate.searching import applies
from vipylo_rag.evaluate.trec import TAG
from vipylo_rag.evaluate.trec_ids import columns, meant, unescaped

# A run is in memory as a whole. MS MARCO's queries with 1,000 documents each are 7 million lines.
MOST_RUN_LINES: Final = 20_000_000
MOST_RUN_BYTES: Final = 2 * 2**30
_MOST_TAG: Final = 100
_MOST_SCORE: Final = float(np.finfo(np.float32).max)
_FORM: Final = "query, Q0, document, rank, score and tag"


@dataclass(frozen=True)
class Run:
    """A run file.

    Attributes:
        tag: the last column, where all lines have the same, of at most 100 characters; else None.
        documents: of each query, as written, the documents with their scores as trec_eval holds them (32-bit numbers),
            in trec_eval's order: by score, equal ones by name, the last of the alphabet first. Ranks are not read.
    """

    file: Path
    tag: str | None
    documents: Mapping[str, Sequence[tuple[str, float]]]

    @classmethod
    def read(cls, file: str | Path) -> "Run":
        """Read a run file, or a gzipped one (*.gz).

        Raises:
            InputError: there is no such file, it is too large, a line is no line of a run, or has a document that the
                query has already.
        """
        path = Path(file)
        scores: dict[str, dict[str, float]] = {}
        tags: set[str] = set()
        names: dict[str, str] = {}  # a document's name is in memory once, however many queries find it
        for count, (number, line) in enumerate(text_lines(path, most_bytes=MOST_RUN_BYTES), start=1):
            place, parts = f"{path}:{number}", columns(line)
            if len(parts) != 6:
                raise InputError(f"{place}: is no line of a run: {_FORM}, with blanks between them")
            if count > MOST_RUN_LINES:
                raise InputError(f"{place}: a run of more than {MOST_RUN_LINES:,} lines is not read: cut its rankings")
            query, _, document, _, score, tag = parts
            own = scores.setdefault(query, {})
            if document in own:
                raise InputError(f"{place}: the query {short(query)} has the document {short(document)} already")
            own[names.setdefault(document, document)] = _score(score, place)
            if len(tags) < 2:
                tags.add(tag)
        if not scores:
            raise InputError(f"{path}: is empty: a run has lines of {_FORM}")
        told = [tag for tag in tags if len(tags) == 1 and len(tag) <= _MOST_TAG]
        return cls(path, told[0] if told else None, {query: _ordered(own) for query, own in scores.items()})

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return Path(self.file.name.removesuffix(PACKED)).stem

    @property
    def mode(self) -> str | None:
        """The mode that the tag tells, of a run that `--run-out` wrote without its "vipylo-"."""
        return self.tag and (self.tag.removeprefix(TAG) or self.tag)


def named_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs by the names of their modes: by their tags where these tell them apart, else by their files.

    Raises:
        InputError: there is no run, or a file is given twice.
    """
    if not runs:
        raise InputError("there is no run to be scored: give at least one")
    for names in ([run.mode for run in runs], [run.stem for run in runs], [str(run.file) for run in runs]):
        said = [name for name in names if name]
        if len(set(said)) == len(runs):
            return dict(zip(said, runs, strict=True))
    twice = next(run.file for number, run in enumerate(runs) if run.file in [one.file for one in runs[:number]])
    raise InputError(f"{twice}: is given twice")


def read_rankings(mode: str, run: Run, dataset: Dataset, depth: int) -> tuple[list[Ranking], ReadRun]:
    """The rankings of a data set's queries in a run, as deep as is looked at, and what is to be told of it.

    A query that the run does not have found nothing; but for a run that `--run-out` wrote in lexical mode, which has
    none for a query without words.

    Raises:
        InputError: no query of the data set is in the run.
    """
    place, ours = str(run.file), run.tag is not None and run.tag.startswith(TAG)
    documents = _documents(dataset)
    of: dict[str, Sequence[tuple[str, float]]] = {}
    strange = 0
    for written, found in run.documents.items():
        query = meant(written, lambda id_: id_ in dataset.queries or id_ in dataset.others, place)
        if query is None:
            strange += 1
        else:
            of[query] = found
    if not any(query in of for query in dataset.queries):
        first = next(iter(run.documents))
        raise InputError(f"{place}: has no query that is judged in {dataset.folder} (its first is {short(first)})")
    rankings, unknown = [], set[str]()
    for item in dataset.queries.values():
        if item.id not in of and run.tag == f"{TAG}lexical" and not applies("lexical", item):
            continue
        ranking: dict[str, FoundDocument] = {}
        for written, score in of.get(item.id, ()):
            known = documents(item)
            # Of a run that we wrote, it is sure how ids are written.
            id_ = unescaped(written) if ours else meant(written, known, place) or written
            if not known(id_):
                unknown.add(id_)
            ranking.setdefault(id_, FoundDocument(id_, score, None))
            if len(ranking) == depth:
                break
        grades = {one.document: one.grade for one in dataset.judgements[item.id] if one.grade > 0}
        error = None if item.id in of else f"not in {run.file.name}"
        rankings.append(Ranking(item, mode, "document", grades, tuple(ranking.values()), error))
    return rankings, ReadRun(mode, run.file.name, run.tag, strange, len(unknown) if dataset.corpus is not None else 0)


def _documents(dataset: Dataset) -> Callable[[Item], Callable[[str], bool]]:
    """Of a query, what tells whether an id is one: the corpus, or where there is none, what the query is judged by."""
    corpus = dataset.corpus
    if corpus is not None:
        return lambda query: corpus.has
    judged = {query: {one.document for one in given} for query, given in dataset.judgements.items()}
    return lambda query: judged[query.id].__contains__


def _score(written: str, place: str) -> float:
    try:
        score = float(written)
    except ValueError:
        score = math.nan
    if not abs(score) <= _MOST_SCORE:  # NaN, too
        raise InputError(f"{place}: the score is {short(written)}, no number that trec_eval can hold")
    return score


def _ordered(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    held = np.fromiter(scores.values(), np.float32, len(scores)).tolist()
    return sorted(zip(scores, held, strict=True), key=lambda pair: (pair[1], pair[0]), reverse=True)
