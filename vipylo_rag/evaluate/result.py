"""What an evaluation found, query by query and in groups, and the JSON file that it is kept in."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from embedder.errors import InputError
from vipylo_rag.evaluate.dataset_lines import Modality
from vipylo_rag.evaluate.intervals import LEVEL, SEED, Interval, Paired
from vipylo_rag.evaluate.outputs import FORMAT, written
from vipylo_rag.evaluate.targets import Unit

GroupBy: TypeAlias = Literal["all", "modality", "language"]

# Of what each query found, in the JSON; the rest is in the run files.
_KEPT: Final = 10


@dataclass(frozen=True)
class Right:
    """A right document of a query: its grade, and where it was found (None: it was not)."""

    id: str
    grade: float
    rank: int | None
    score: float | None = None


@dataclass(frozen=True)
class FoundDocument:
    """A document in a query's ranking. `page_id` is the page (of a document, the best one) in the index, None where the
    ranking is a file's."""

    id: str
    score: float
    page_id: str | None


@dataclass(frozen=True)
class QueryResult:
    """What became of a query in a mode.

    Attributes:
        language: as the data set says, else as detected; None for a picture without words.
        right: all right documents, those that were found first, by rank.
        found: the ranking, best first.
        tied: a right document and a wrong one have the same score, so that chance (pages' ids, names) set their order.
        error: why nothing was found, where the query itself was at fault.
    """

    query: str
    mode: str
    modality: Modality
    language: str | None
    unit: Unit
    right: tuple[Right, ...]
    found: tuple[FoundDocument, ...]
    metrics: Mapping[str, float]
    tied: bool = False
    error: str | None = None

    @property
    def first_rank(self) -> int | None:
        """The rank of the first right document."""
        return min((one.rank for one in self.right if one.rank is not None), default=None)

    @property
    def last_rank(self) -> float:
        """The rank of the last right document; infinite where one was not found."""
        return max(math.inf if one.rank is None else one.rank for one in self.right)


@dataclass(frozen=True)
class Group:
    """The means of a group of queries in a mode, with their intervals. `value` is "" for all of them."""

    mode: str
    by: GroupBy
    value: str
    queries: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True)
class Difference:
    """A mode against another one, or against itself in an earlier evaluation (`earlier`), over the queries of both."""

    mode: str
    than: str
    earlier: bool
    metric: str
    paired: Paired


@dataclass(frozen=True)
class ReadRun:
    """A run file that was scored as a mode.

    Attributes:
        unknown_queries: how many queries of the run are none of the data set's.
        unknown_documents: how many of the documents that were looked at are not in the data set's corpus.
    """

    mode: str
    file: str
    tag: str | None
    unknown_queries: int = 0
    unknown_documents: int = 0


@dataclass(frozen=True)
class Measured:
    """What was measured, and with what.

    Attributes:
        documents: sources of the index; `pages` of them. Of runs, documents of the corpus that was at hand, or None.
        embedder, fingerprint: of the index; None where runs were scored.
        runs: the files, where rankings were read and nothing was searched.
        reserved: fields of the corpus's documents that are not stored, as the index has its own of these names.
        empty: documents of the corpus without text and picture, which are not embedded.
        unjudged: queries of the file without a right document, which are left out.
        depth: how far down each ranking was read; beyond it a document counts as not found.
        candidates: how many pages the reranker was given; None without one.
        earlier: the file that was compared with.
    """

    dataset: str
    split: str
    queries: int
    unjudged: int
    documents: int | None
    pages: int | None
    embedder: str | None
    fingerprint: str | None
    depth: int
    candidates: int | None = None
    earlier: str | None = None
    empty: int = 0
    reserved: tuple[str, ...] = ()
    runs: tuple[ReadRun, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate` or of `score`.

    Attributes:
        modes: in the order asked for; the first is the one that others are compared with.
        ks: the cuts.
        results: of each mode, its queries; a query without words has none in lexical mode.
    """

    measured: Measured
    modes: tuple[str, ...]
    ks: tuple[int, ...]
    results: tuple[QueryResult, ...]
    groups: tuple[Group, ...]
    differences: tuple[Difference, ...] = field(default=())

    def of(self, mode: str) -> tuple[QueryResult, ...]:
        """The queries' results in a mode."""
        return tuple(result for result in self.results if result.mode == mode)

    def mean(self, metric: str, mode: str | None = None) -> float:
        """The mean of a metric ("ndcg@10", "recall@5", "mrr@10", ...) over all queries of a mode (the first).

        Raises:
            InputError: there is no such metric or mode.
        """
        for group in self.groups:
            if group.by == "all" and group.mode == (mode or self.modes[0]) and metric in group.metrics:
                return group.metrics[metric].mean
        raise InputError(f"there is no {metric!r} in mode {mode or self.modes[0]!r}: k is one of {self.ks}")

    def write(self, file: str | Path) -> None:
        """Write it as JSON: what was measured, the groups and differences, and one line for each query and mode.

        Of each ranking the first 10 documents are kept, and the ranks of all right ones.
        """
        head = {
            "format": FORMAT,
            "measured": asdict(self.measured),
            "modes": self.modes,
            "ks": self.ks,
            "intervals": {"level": LEVEL, "method": "BCa bootstrap over queries", "seed": SEED},
            "groups": [asdict(group) for group in self.groups],
            "differences": [asdict(difference) for difference in self.differences],
        }
        lines = ",\n".join(_json(_row(result)) for result in self.results)
        text = json.dumps(head, ensure_ascii=False, indent=2, allow_nan=False).removesuffix("\n}")
        written(Path(file), f'{text},\n  "queries": [\n{lines}\n]\n}}\n'.encode("utf-8", "replace"))


@dataclass(frozen=True)
class Earlier:
    """An evaluation that was read back from its file: enough to compare with."""

    file: str
    depth: int
    results: Mapping[tuple[str, str], tuple[Right, ...]]

    @classmethod
    def read(cls, file: str | Path) -> "Earlier":
        """What `Evaluation.write` wrote.

        Raises:
            InputError: there is no such file, or it is another one.
        """
        path = Path(file)
        try:
            said = json.loads(path.read_bytes())
            if said["format"] != FORMAT:
                raise ValueError(f"its format is {said['format']!r}, not {FORMAT!r}")
            depth = int(said["measured"]["depth"])
            rows = {
                (row["mode"], str(row["query"])): tuple(_right(right, depth) for right in row["right"])
                for row in said["queries"]
            }
            return cls(path.name, depth, rows)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise InputError(f"{path}: is no result that `vipylo evaluate --json` wrote ({error})") from error


def _row(result: QueryResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "query": result.query,
        "mode": result.mode,
        "modality": result.modality,
        "language": result.language,
        "unit": result.unit,
        "metrics": dict(result.metrics),
        "right": [asdict(one) for one in result.right],
        "found": [{"id": one.id, "score": one.score} for one in result.found[:_KEPT]],
        "tied": result.tied,
    }
    return row | ({"error": result.error} if result.error else {})


def _right(row: Any, depth: int) -> Right:
    rank = row["rank"]
    if rank is not None and (type(rank) is not int or not 1 <= rank <= depth):
        raise ValueError(f"a rank is {rank!r}")
    return Right(str(row["id"]), float(row["grade"]), rank)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
