"""Hard negatives mined with a checkpoint: exact search among the positives of all lines, written back as JSONL."""

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from embedder.errors import InputError
from embedder.model import ColPaLiQwenEmbedder
from trainer.data import JsonlSamples, Side, TrainSample
from trainer.errors import DataError, TrainerError
from trainer.evaluation import RIGHT_SCORE
from trainer.exact_search import nearest
from trainer.jsonl_rewrite import rewrite
from trainer.loading import group_key
from trainer.side_vectors import SideVectors, embed_sides, prefixed, read_samples, side_key

logger = logging.getLogger(__name__)

Keys: TypeAlias = npt.NDArray[np.int64]
Lines: TypeAlias = npt.NDArray[np.int64]
Sampling: TypeAlias = Literal["top", "random"]
_SHOWN = 20
_NONE = -1


@dataclass(frozen=True)
class MiningReport:
    """What `mine` did.

    Attributes:
        lines: of the file; `mined` of them got negatives, `short` of these fewer than asked for.
        negatives: that were added.
        false_negatives: candidates left out because they score above positive - margin, over all queries.
        positive_cosine, negative_cosine: means over the mined lines and over the added negatives; None without any.
        skipped: lines that could not be used; they were written back as they were. `bad` has the first reasons.
    """

    lines: int
    mined: int
    short: int
    negatives: int
    false_negatives: int
    positive_cosine: float | None
    negative_cosine: float | None
    skipped: int
    bad: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        text = (
            f"{self.negatives:,} negatives for {self.mined:,} of {self.lines:,} lines ({self.short:,} of them got "
            f"fewer than asked for), {self.false_negatives:,} candidates left out as right; {self.seconds:.0f} s"
        )
        if self.negative_cosine is not None:
            text += (
                f"\nmean cosine of the negatives {self.negative_cosine:.3f}, of positives {self.positive_cosine:.3f}"
            )
        return text + (f"\n{self.skipped:,} lines were skipped, such as {self.bad[0]}" if self.skipped else "")


def mine(
    embedder: ColPaLiQwenEmbedder,
    samples: JsonlSamples,
    out: Path,
    *,
    per_query: int = 4,
    margin: float = 0.05,
    depth: int = 100,
    sampling: Sampling = "top",
    same_task: bool = True,
    replace: bool = False,
    prefixes: bool = True,
    batch_size: int = 32,
    block: int = 1024,
    seed: int = 0,
    show_progress: bool = True,
) -> MiningReport:
    """Add to every line the positives of other lines that the model takes for its own, and write all lines to `out`.

    Left out as no negatives are candidates that score above the line's own positive less `margin` (probably right too:
    Moreira et al. 2024, "NV-Retriever", in its absolute form), that equal the query or the positive in text and images,
    or that are positives of a line with an equal query or of the same group. Pairs with a score below 0.5 have no right
    answer to measure by, and get none.

    Lines, their order and unknown fields stay; image paths are made relative to the folder of `out`. `out` appears at
    the end, whole; it may be the file itself. Document vectors are held as float16 (2 KB each at 1,024 dimensions),
    queries pass by in blocks.

    Args:
        per_query: negatives to add to a line.
        margin: as a cosine.
        depth: how many of the hardest remaining candidates "random" draws from.
        sampling: "top" takes the hardest; "random" draws, seeded, from the `depth` hardest.
        same_task: candidates are positives of the query's own task.
        replace: drop the negatives that lines have, instead of adding to them.
        prefixes: whether queries carry their task's prefix, as in training.
        block: queries embedded and searched at once.

    Raises:
        TrainerError: an option makes no sense. DataError: the file has changed meanwhile.
    """
    if min(per_query, depth, block, batch_size) < 1 or margin < 0 or sampling not in ("top", "random"):
        raise TrainerError(
            "mining: per_query, depth, block and batch_size are at least 1, margin at least 0, sampling top or random"
        )
    began = time.monotonic()
    options = _Options(per_query, margin, depth, sampling, replace, prefixes, batch_size, block, seed, show_progress)
    miner = _Miner(embedder, samples, options)
    for lines in miner.keys.pools(same_task):
        miner.mine(lines)
    rewrite(samples, Path(out), miner.sides, replace=replace, show_progress=show_progress)
    return miner.report(time.monotonic() - began)


@dataclass(frozen=True)
class _Options:
    per_query: int
    margin: float
    depth: int
    sampling: Sampling
    replace: bool
    prefixes: bool
    batch_size: int
    block: int
    seed: int
    show_progress: bool


@dataclass
class _Keys:
    """Content keys of all lines, 8 bytes each: what is equal is known without holding a text.

    Attributes:
        query, positive, group: int64 [lines].
        tasks: int64 [lines], number of the task.
        usable: bool [lines].
    """

    query: Keys
    positive: Keys
    group: Keys
    tasks: Keys
    usable: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, samples: JsonlSamples, prefixes: bool, bad: dict[int, str], show_progress: bool) -> "_Keys":
        size = len(samples)
        query, positive, group, tasks = (np.zeros(size, dtype=np.int64) for _ in range(4))
        usable = np.zeros(size, dtype=np.bool_)
        names: dict[str, int] = {}
        entries = read_samples(samples, range(size))
        for row, entry in tqdm(entries, "read", size, unit="line", disable=not show_progress, delay=1.0):
            try:
                if isinstance(entry, DataError):
                    raise entry
                prefixed(entry.query, entry.task, prefixes)
                query[row], positive[row] = side_key(entry.query), side_key(entry.positive)
                group[row], tasks[row] = group_key(entry), names.setdefault(entry.task, len(names))
                usable[row] = True
            except InputError as error:
                bad[row] = str(error) if isinstance(entry, DataError) else f"{entry.place}: {error}"
        return cls(query, positive, group, tasks, usable)

    def pools(self, same_task: bool) -> list[Lines]:
        """Lines that search each other's positives."""
        lines = np.flatnonzero(self.usable)
        return [lines[self.tasks[lines] == task] for task in np.unique(self.tasks[lines])] if same_task else [lines]


class _Pool:
    """The distinct positives of some lines as documents, and which of them no query with given keys may get."""

    def __init__(self, lines: Lines, keys: _Keys) -> None:
        self.contents, first, number = np.unique(keys.positive[lines], return_index=True, return_inverse=True)
        self.lines = lines[first]  # of each document, the first line that has it
        self._by_query = _Groups(keys.query[lines], number)
        self._by_group = _Groups(keys.group[lines], number)

    def document(self, content: int) -> list[int]:
        """The document of this content, if it is there."""
        place = int(np.searchsorted(self.contents, content))
        return [place] if place < len(self.contents) and self.contents[place] == content else []

    def related(self, query: int, group: int) -> list[int]:
        """Documents of lines with an equal query or of the same group, and the one that equals the query."""
        return [*self._by_query.members(query), *self._by_group.members(group), *self.document(query)]


class _Groups:
    """Documents by a key of their lines."""

    def __init__(self, keys: Keys, documents: Keys) -> None:
        order = np.argsort(keys, kind="stable")
        self._keys, self._documents = keys[order], documents[order]

    def members(self, key: int) -> list[int]:
        first, last = np.searchsorted(self._keys, key, side="left"), np.searchsorted(self._keys, key, side="right")
        return [int(number) for number in self._documents[first:last]]


@dataclass(frozen=True)
class _Asked:
    """A line whose query is searched: its own document, and those that are no negatives of it."""

    line: int
    query: Side
    own: int
    excluded: list[int]


class _Miner:
    """Finds, for each line, the lines whose positives are its hard negatives."""

    def __init__(self, embedder: ColPaLiQwenEmbedder, samples: JsonlSamples, options: _Options) -> None:
        self.embedder, self.samples, self.options = embedder, samples, options
        self.bad: dict[int, str] = {}
        self.keys = _Keys.of(samples, options.prefixes, self.bad, options.show_progress)
        self.found = np.full((len(samples), options.per_query), _NONE, dtype=np.int64)
        self.false_negatives = 0
        self.cosines = [0.0, 0.0]  # sums over mined lines' positives, and over negatives

    def mine(self, lines: Lines) -> None:
        """Search the queries of these lines among their positives."""
        pool = _Pool(lines, self.keys)
        documents = embed_sides(
            self.embedder,
            (self._sample(line).positive for line in pool.lines.tolist()),
            len(pool.lines),
            batch_size=self.options.batch_size,
            dtype=torch.float16,
            label="embed documents",
            show_progress=self.options.show_progress,
        )
        for document, reason in documents.errors.items():
            for line in lines[self.keys.positive[lines] == pool.contents[document]].tolist():
                self.bad[line] = f"{self._sample(line).place}: positive: {reason}"
        vectors = _placed(documents.vectors, self.embedder.device)
        with tqdm(total=len(lines), desc="mine", disable=not self.options.show_progress, delay=1.0) as bar:
            for start in range(0, len(lines), self.options.block):
                block = lines[start : start + self.options.block]
                self._mine_block([line for line in block.tolist() if line not in self.bad], pool, vectors, documents)
                bar.update(len(block))

    def sides(self, line: int) -> list[Side]:
        """The negatives that were found for a line."""
        chosen = self.found[line]
        return [self._sample(number).positive for number in chosen[chosen != _NONE].tolist()]

    def report(self, seconds: float) -> MiningReport:
        """The counts."""
        counts = (self.found != _NONE).sum(axis=1)
        mined, negatives = int((counts > 0).sum()), int(counts.sum())
        messages = [message for _, message in sorted(self.bad.items())[:_SHOWN]]
        for message in messages:
            logger.warning("skipped: %s", message)
        return MiningReport(
            lines=len(self.samples),
            mined=mined,
            short=int(((counts > 0) & (counts < self.options.per_query)).sum()),
            negatives=negatives,
            false_negatives=self.false_negatives,
            positive_cosine=self.cosines[0] / mined if mined else None,
            negative_cosine=self.cosines[1] / negatives if negatives else None,
            skipped=len(self.bad),
            bad=tuple(messages),
            seconds=seconds,
        )

    def _mine_block(self, lines: list[int], pool: _Pool, vectors: Tensor, documents: SideVectors) -> None:
        asked = self._asked(lines, pool, list(documents.errors))
        queries = embed_sides(
            self.embedder,
            [one.query for one in asked],
            len(asked),
            batch_size=self.options.batch_size,
            show_progress=False,
        )
        for number, reason in queries.errors.items():
            self.bad[asked[number].line] = f"{self._sample(asked[number].line).place}: query: {reason}"
        good = [number for number in range(len(asked)) if number not in queries.errors]
        if not good:
            return
        asked, vectors_BD = [asked[number] for number in good], queries.vectors[good]
        own_B = (vectors_BD * documents.vectors[[one.own for one in asked]].float()).sum(dim=1)
        options = self.options
        nearby = nearest(
            vectors_BD.to(self.embedder.device),
            vectors,
            max(options.depth, options.per_query) if options.sampling == "random" else options.per_query,
            ceiling=own_B - options.margin,
            excluded=[one.excluded for one in asked],
        )
        self.false_negatives += int(nearby.above.sum())
        for row, one in enumerate(asked):
            places = self._choose(int(nearby.scores[row].isfinite().sum()), one.line)
            if len(places):
                self.found[one.line, : len(places)] = pool.lines[nearby.rows[row, places].numpy()]
                self.cosines[0] += float(own_B[row])
                self.cosines[1] += float(nearby.scores[row, places].sum())

    def _asked(self, lines: list[int], pool: _Pool, broken: list[int]) -> list[_Asked]:
        asked: list[_Asked] = []
        for line, entry in read_samples(self.samples, lines):
            try:
                if isinstance(entry, DataError):
                    raise entry
                if entry.score < RIGHT_SCORE:
                    continue
                has = () if self.options.replace else entry.negatives
                known = [document for side in has for document in pool.document(side_key(side))]
                query = prefixed(entry.query, entry.task, self.options.prefixes)
            except InputError as error:
                self.bad[line] = str(error) if isinstance(entry, DataError) else f"{entry.place}: {error}"
                continue
            (own,) = pool.document(int(self.keys.positive[line]))
            related = pool.related(int(self.keys.query[line]), int(self.keys.group[line]))
            asked.append(_Asked(line, query, own, [own, *related, *known, *broken]))
        return asked

    def _choose(self, available: int, line: int) -> Keys:
        """Places in the list of the nearest, hardest first."""
        wanted = min(self.options.per_query, available)
        if self.options.sampling == "top":
            return np.arange(wanted)
        generator = np.random.default_rng((self.options.seed, line))
        return np.sort(generator.choice(available, wanted, replace=False))

    def _sample(self, line: int) -> TrainSample:
        return self.samples[line]


def _placed(documents: Tensor, device: torch.device) -> Tensor:
    """On the GPU if they take less than half of what is free there; else they travel block by block."""
    if device.type != "cuda":
        return documents
    free, _ = torch.cuda.mem_get_info(device)
    return documents.to(device) if documents.nbytes < free / 2 else documents
