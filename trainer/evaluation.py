"""How well a model finds: every task's queries against all its distinct positives, by exact search."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from embedder.errors import InputError
from embedder.model import ColPaLiQwenEmbedder
from trainer.data import JsonlSamples, Side, TrainSample
from trainer.errors import DataError
from trainer.exact_search import ranks_of_right
from trainer.metrics import ndcg_at_k, recall_at_k, reciprocal_rank, spearman
from trainer.side_vectors import embed_sides, prefixed, read_samples, side_key

logger = logging.getLogger(__name__)

# From this score on a document answers its query, and the score is its gain. Others are candidates like any other.
RIGHT_SCORE = 0.5
_SHOWN = 20


@dataclass(frozen=True)
class Part:
    """What was measured on one task, or on one language of it.

    Attributes:
        task, language: `language` is None for the whole task.
        queries, documents: distinct ones; every query was searched among all the documents.
        metrics: "ndcg@10", "recall@K", "mrr", and "spearman" where scores differ.
    """

    task: str
    language: str | None
    queries: int
    documents: int
    metrics: dict[str, float]

    @property
    def name(self) -> str:
        """ "ocr", or "ocr/vi" for one language."""
        return self.task if self.language is None else f"{self.task}/{self.language}"


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        parts: each task, followed by its languages.
        samples: that were read; `skipped` of them could not be used, the first reasons are in `bad`.
        seconds: that it took.
    """

    parts: tuple[Part, ...]
    samples: int
    skipped: int = 0
    bad: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    @property
    def metrics(self) -> dict[str, float]:
        """Flat: "ocr/ndcg@10", "ocr/vi/recall@1", "text_pair/spearman", ... and "mean".

        "mean" is the mean over tasks of nDCG@10, or of Spearman's rho where a task is scored. It is missing if no task
        has two documents to choose from.
        """
        flat = {f"{part.name}/{metric}": value for part in self.parts for metric, value in part.metrics.items()}
        mains = [_main_metric(part.metrics) for part in self.parts if part.language is None]
        known = [value for value in mains if value is not None]
        return flat | ({"mean": math.fsum(known) / len(known)} if known else {})

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers."""
        return {**asdict(self), "parts": [asdict(part) for part in self.parts], "metrics": self.metrics}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Evaluation":
        """Back from `to_json`."""
        rest = {name: content[name] for name in ("samples", "skipped", "seconds")}
        return cls(tuple(Part(**part) for part in content["parts"]), bad=tuple(content["bad"]), **rest)

    def table(self) -> str:
        """A small text table: one line for each task and language."""
        columns = sorted({metric for part in self.parts for metric in part.metrics}, key=metric_order)
        rows = [["task", "language", "queries", "documents", *columns]]
        for part in self.parts:
            numbers = [f"{part.metrics[name]:.3f}" if name in part.metrics else "" for name in columns]
            rows.append([part.task, part.language or "all", str(part.queries), str(part.documents), *numbers])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        mean = self.metrics.get("mean")
        lines.append(f"mean {mean:.3f}" if mean is not None else "no task has two documents to choose from")
        if self.skipped:
            lines.append(f"{self.skipped} of {self.samples} samples were skipped, such as {self.bad[0]}")
        return "\n".join(lines)


def metric_order(name: str) -> tuple[int, int]:
    """Sorts metrics as people read them: nDCG, recall by rising k, MRR, Spearman, then what else there is."""
    kind, _, cut = name.partition("@")
    known = ("ndcg", "recall", "mrr", "spearman")
    return known.index(kind) if kind in known else len(known), int(cut) if cut.isdigit() else 0


def evaluate(
    embedder: ColPaLiQwenEmbedder,
    samples: JsonlSamples,
    *,
    batch_size: int = 32,
    ks: Sequence[int] = (1, 5, 10),
    prefixes: bool = True,
    show_progress: bool = True,
) -> Evaluation:
    """Search every task's queries among all distinct positives of the task, and each language's among its own.

    Positives of equal text and images are one document. All positives of equal queries, or of one group, are right.
    Explicit negatives are not searched. A document is right from a score of 0.5 on, and its score is its gain. Where a
    task's scores differ, Spearman's rho of cosine against score is given too.

    A sample that fails to load is skipped and counted; nothing is raised for it.

    Args:
        ks: cuts of recall.
        prefixes: whether queries carry their task's prefix, as in training.
    """
    began = time.monotonic()
    bad: list[str] = []
    read = _read(samples, prefixes, bad, show_progress)
    rows, query_vectors, document_vectors = _embed(embedder, read, batch_size, bad, show_progress)
    for message in bad[:_SHOWN]:
        logger.warning("skipped: %s", message)
    measured = [
        _measure(task, language, chosen, query_vectors, document_vectors, ks, embedder.device)
        for task, language, chosen in _scopes(rows)
    ]
    parts = tuple(part for part in measured if part is not None)
    return Evaluation(parts, len(samples), len(bad), tuple(bad[:_SHOWN]), time.monotonic() - began)


@dataclass(frozen=True)
class _Read:
    """A sample that could be read, its query as the model sees it, and the keys of its two sides."""

    sample: TrainSample
    query: Side
    query_key: tuple[str, int]
    positive_key: int


@dataclass(frozen=True)
class _Row:
    """A sample and the rows of its two sides among the distinct vectors."""

    sample: TrainSample
    query: int
    document: int


def _read(samples: JsonlSamples, prefixes: bool, bad: list[str], show_progress: bool) -> list[_Read]:
    read: list[_Read] = []
    entries = read_samples(samples, range(len(samples)))
    for _, entry in tqdm(entries, "read", len(samples), unit="sample", disable=not show_progress, delay=1.0):
        if isinstance(entry, DataError):
            bad.append(str(entry))
            continue
        try:
            query = prefixed(entry.query, entry.task, prefixes)
            read.append(_Read(entry, query, (entry.task, side_key(query)), side_key(entry.positive)))
        except InputError as error:
            bad.append(f"{entry.place}: {error}")
    return read


def _embed(
    embedder: ColPaLiQwenEmbedder, read: list[_Read], batch_size: int, bad: list[str], show_progress: bool
) -> tuple[list[_Row], Tensor, Tensor]:
    """Vectors of distinct queries and of distinct documents, and the samples of which both sides have one."""
    queries = {entry.query_key: entry.query for entry in reversed(read)}
    documents = {entry.positive_key: entry.sample.positive for entry in reversed(read)}
    places = ({key: row for row, key in enumerate(queries)}, {key: row for row, key in enumerate(documents)})
    asked, found = (
        embed_sides(embedder, sides, len(sides), batch_size=batch_size, label=label, show_progress=show_progress)
        for sides, label in ((list(queries.values()), "embed queries"), (list(documents.values()), "embed documents"))
    )
    rows: list[_Row] = []
    for entry in read:
        row = _Row(entry.sample, places[0][entry.query_key], places[1][entry.positive_key])
        if row.query in asked.errors:
            bad.append(f"{entry.sample.place}: query: {asked.errors[row.query]}")
        elif row.document in found.errors:
            bad.append(f"{entry.sample.place}: positive: {found.errors[row.document]}")
        else:
            rows.append(row)
    return rows, asked.vectors, found.vectors


def _scopes(rows: list[_Row]) -> Iterator[tuple[str, str | None, list[_Row]]]:
    """Each task whole, then its languages."""
    tasks: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        tasks[row.sample.task].append(row)
    for task in sorted(tasks):
        yield task, None, tasks[task]
        languages: dict[str, list[_Row]] = defaultdict(list)
        for row in tasks[task]:
            if row.sample.language:
                languages[row.sample.language].append(row)
        for language in sorted(languages):
            yield task, language, languages[language]


def _measure(
    task: str,
    language: str | None,
    rows: list[_Row],
    query_vectors: Tensor,
    document_vectors: Tensor,
    ks: Sequence[int],
    device: torch.device,
) -> Part | None:
    """One part; None where there is nothing to choose from."""
    candidates = sorted({row.document for row in rows})
    if len(candidates) < 2:
        return None
    place = {document: number for number, document in enumerate(candidates)}
    gains = _gains(rows)
    asked = list(gains)
    ranks = ranks_of_right(
        query_vectors[asked],
        document_vectors[candidates],
        [[place[document] for document in gains[query]] for query in asked],
        device=device,
    )
    metrics = _means(ranks, [list(gains[query].values()) for query in asked], ks) if asked else {}
    scores = np.asarray([row.sample.score for row in rows])
    if len(np.unique(scores)) > 1:
        pairs = query_vectors[[row.query for row in rows]] * document_vectors[[row.document for row in rows]]
        rho = spearman(pairs.sum(dim=1).numpy(), scores)
        metrics["spearman"] = 0.0 if math.isnan(rho) else rho  # one cosine for every pair: it ranks nothing
    return Part(task, language, len(asked), len(candidates), metrics)


def _gains(rows: list[_Row]) -> dict[int, dict[int, float]]:
    """Query -> its right documents and their gains (scores). A query of which no document is right is left out."""
    right = [row for row in rows if row.sample.score >= RIGHT_SCORE]
    of_group: dict[str, dict[int, float]] = defaultdict(dict)
    of_query: dict[int, dict[int, float]] = defaultdict(dict)
    for row in right:
        if row.sample.group is not None:
            _raise_to(of_group[row.sample.group], {row.document: row.sample.score})
        _raise_to(of_query[row.query], {row.document: row.sample.score})
    for row in right:
        if row.sample.group is not None:
            _raise_to(of_query[row.query], of_group[row.sample.group])
    return dict(of_query)


def _raise_to(gains: dict[int, float], more: dict[int, float]) -> None:
    for document, gain in more.items():
        gains[document] = max(gain, gains.get(document, 0.0))


def _means(ranks: Sequence[Any], gains: Sequence[list[float]], ks: Sequence[int]) -> dict[str, float]:
    """Means over queries, each query counting once."""
    cuts = sorted(set(ks))
    sums = {
        "ndcg@10": [ndcg_at_k(of, 10, gain) for of, gain in zip(ranks, gains, strict=True)],
        **{f"recall@{k}": [recall_at_k(of, k) for of in ranks] for k in cuts},
        "mrr": [reciprocal_rank(of) for of in ranks],
    }
    return {name: math.fsum(values) / len(values) for name, values in sums.items()}


def _main_metric(metrics: dict[str, float]) -> float | None:
    return metrics.get("spearman", metrics.get("ndcg@10"))
