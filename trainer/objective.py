"""What is minimised: each row's task selects its loss terms, and the whole global batch gives the negatives."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import normalize

from trainer.config import Mixing, ObjectiveConfig
from trainer.errors import ConfigError
from trainer.losses import cosine_distance, hardest, info_nce, squared_error, triplet


@dataclass(frozen=True)
class Term:
    """One part of a task's loss.

    Attributes:
        name: one of `TERMS`; also its name in the log.
        weight: factor of the term; `ObjectiveConfig.weights` multiplies it.
        applies: to "positives" (rows with a score above 0), to "all" rows, or to each row "by_score".
    """

    name: str
    weight: float = 1.0
    applies: Literal["positives", "all", "by_score"] = "positives"


@dataclass(frozen=True)
class TaskObjective:
    """The terms of one task.

    Attributes:
        multi_turn: whether triplets use the margin of multi-turn questions.
    """

    terms: tuple[Term, ...]
    multi_turn: bool = False


@dataclass(frozen=True)
class EmbeddedBatch:
    """A global batch as vectors; all tensors on one device.

    Attributes:
        queries, positives: float32 [B, D], unit length.
        negatives: float32 [M, D], the explicit negatives of all rows; M may be 0.
        owner: int64 [M], the row that a negative belongs to.
        tasks: int64 [B], index into `task_names`.
        scores: float32 [B], 1.0 where a sample has none.
        query_keys, positive_keys: int64 [B], content hashes (text and images).
        negative_keys: int64 [M], content hashes.
        groups: int64 [B], hash of the group, or a value of the row's own.
        task_names: names of the tasks.
    """

    queries: Tensor
    positives: Tensor
    negatives: Tensor
    owner: Tensor
    tasks: Tensor
    scores: Tensor
    query_keys: Tensor
    positive_keys: Tensor
    negative_keys: Tensor
    groups: Tensor
    task_names: tuple[str, ...]


@dataclass(frozen=True)
class TaskRows:
    """What a term sees: the rows of one task, with the candidates that the whole batch gives them.

    Attributes:
        queries, positives: [R, D], unit length.
        scores: [R].
        cosines: [R], query with own positive.
        candidates: [R, B + M], cosines of a query with the positives of all rows, then with all explicit negatives.
        excluded: bool [R, B + M], candidates that are no negatives of the row (its own positive is not excluded).
        reverse, reverse_excluded: [R, B], the same for a positive with the queries of all rows.
        own: int64 [R], column of the row's own positive (and of its own query in `reverse`).
        hardest_negative: [R], cosine with the hardest of the row's explicit negatives, or of all candidates if it has
            none; -inf if there is no candidate at all.
        hardest_candidate: [R], cosine with the hardest of all candidates, or -inf.
        temperature, margin: the constants of the objective that hold for this task.
    """

    queries: Tensor
    positives: Tensor
    scores: Tensor
    cosines: Tensor
    candidates: Tensor
    excluded: Tensor
    reverse: Tensor
    reverse_excluded: Tensor
    own: Tensor
    hardest_negative: Tensor
    hardest_candidate: Tensor
    temperature: float
    margin: float

    def select(self, index: Tensor, margin: float) -> "TaskRows":
        """Some of the rows, with their task's margin. Columns stay those of the whole batch."""
        parts: dict[str, Any] = {name: part[index] for name, part in vars(self).items() if isinstance(part, Tensor)}
        return replace(self, **parts, margin=margin)


TermFunction: TypeAlias = Callable[[TaskRows], Tensor]


def symmetric_info_nce(rows: TaskRows) -> Tensor:
    """Mean of InfoNCE from query to positives and from positive to queries, per row. [R]

    Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision".
    """
    forward = info_nce(rows.candidates, rows.own, rows.temperature, rows.excluded)
    backward = info_nce(rows.reverse, rows.own, rows.temperature, rows.reverse_excluded)
    return (forward + backward) / 2


TERMS: dict[str, TermFunction] = {
    "infonce": symmetric_info_nce,
    "mse": lambda rows: squared_error(rows.cosines, rows.scores),
    "cosine": lambda rows: cosine_distance(rows.cosines),
    "triplet": lambda rows: triplet(rows.cosines, rows.hardest_negative, rows.margin),
}

_FINDS_ITS_PAGE = (Term("infonce"), Term("triplet"))

# Prefix -> loss, the table of the published model. A pair with score 0 is no positive: only "mse" learns from it.
OBJECTIVES: dict[str, TaskObjective] = {
    "text_pair": TaskObjective((Term("infonce", applies="by_score"), Term("mse", applies="all"))),
    "instr": TaskObjective((Term("infonce"), Term("cosine"))),
    "ocr": TaskObjective(_FINDS_ITS_PAGE),
    "vqa_single": TaskObjective(_FINDS_ITS_PAGE),
    "vqa_multi": TaskObjective(_FINDS_ITS_PAGE, multi_turn=True),
}
_CONTRASTIVE = TaskObjective((Term("infonce"),))


def register_term(name: str, function: TermFunction) -> None:
    """Add a loss term. `function` gets the rows of a task and returns one finite value per row, [R].

    Raises:
        ConfigError: a term of this name exists.
    """
    if name in TERMS:
        raise ConfigError(f"a loss term {name!r} exists: choose another name")
    TERMS[name] = function


def register_task(name: str, *terms: Term, multi_turn: bool = False) -> None:
    """Add a task, or give a task other terms.

    Example:
        A task whose pairs should also meet a cosine of at least 0.5:

        >>> register_term("floor", lambda rows: (0.5 - rows.cosines).relu())
        >>> register_task("caption", Term("infonce"), Term("floor", weight=0.1))
        >>> [term.name for term in OBJECTIVES["caption"].terms]
        ['infonce', 'floor']

    Raises:
        ConfigError: no term, or one that nobody registered.
    """
    OBJECTIVES[name] = _task(name, terms, multi_turn)


def objectives_of(config: ObjectiveConfig) -> dict[str, TaskObjective]:
    """The map of a run: `OBJECTIVES`, and what `config.tasks` adds to it or changes in it.

    Raises:
        ConfigError: a task without a term, or with one that nobody registered.
    """
    found = dict(OBJECTIVES)
    for name, terms in config.tasks.items():
        multi_turn = name in OBJECTIVES and OBJECTIVES[name].multi_turn  # other terms do not make it another task
        found[name] = _task(name, tuple(Term(term.name, term.weight, term.applies) for term in terms), multi_turn)
    return found


def _task(name: str, terms: tuple[Term, ...], multi_turn: bool) -> TaskObjective:
    if not terms:
        raise ConfigError(f"task {name!r} has no loss term (known: {', '.join(TERMS)})")
    if unknown := [term.name for term in terms if term.name not in TERMS]:
        raise ConfigError(f"task {name!r}: unknown loss terms {', '.join(unknown)} (known: {', '.join(TERMS)})")
    return TaskObjective(terms, multi_turn)


@dataclass(frozen=True)
class LossReport:
    """What one step's loss came to.

    Attributes:
        loss: scalar, with gradient.
        rows: [B], each row's own loss (before any division by counts), detached.
        metrics: detached scalars, for every task in the batch: "{task}/loss", "{task}/{term}" (mean over the task's
            rows, before the term's weight), "{task}/count"; and over its rows with a score above 0:
            "{task}/positive_cosine", "{task}/hardest_negative_cosine" (the hardest candidate in the batch) and
            "{task}/accuracy" (share of queries whose own positive is nearest). A key without a row is left out.
    """

    loss: Tensor
    rows: Tensor
    metrics: dict[str, float | Tensor]


class Objective:
    """The loss of a global batch of vectors.

    With balance "tasks" the loss is the sum of every task's mean over its rows in the global batch; with "rows" it is
    the mean over all rows. Negatives of a row are the positives of all other rows (of its own task if `mixing` is
    "homogeneous") and the explicit negatives of these rows and its own, less false negatives: candidates with the
    content of its query or positive, or from a row with the same query, positive or group.

    Args:
        matryoshka: leading widths that get the same loss as the full one (Kusupati et al. 2022, "Matryoshka
            Representation Learning"); the loss is the mean over all widths.

    Raises:
        ConfigError: a weight for a term that does not exist.
    """

    def __init__(self, config: ObjectiveConfig, matryoshka: tuple[int, ...] = (), mixing: Mixing = "mixed") -> None:
        if unknown := set(config.weights) - set(TERMS):
            raise ConfigError(
                f"objective.weights names unknown terms: {', '.join(sorted(unknown))} (known: {', '.join(TERMS)})"
            )
        self.config = config
        self.tasks = objectives_of(config)
        self.matryoshka = matryoshka
        self.mixing = mixing

    def __call__(self, batch: EmbeddedBatch) -> LossReport:
        """The loss of all rows and what to log of it. One host-device synchronisation (the tasks' counts).

        Raises:
            ConfigError: a task nobody registered, or a Matryoshka width above the vectors'.
        """
        # Similarities in bfloat16 have steps of 0.004: divided by the temperature, a visible error in every logit.
        with torch.autocast(batch.queries.device.type, enabled=False):
            return self._report(batch)

    def _report(self, batch: EmbeddedBatch) -> LossReport:
        masks = _Masks.of(batch, self.mixing == "homogeneous")
        views = [_all_rows(batch, masks, width, self.config) for width in self._widths(batch.queries.shape[1])]
        loss = (batch.queries.sum() + batch.positives.sum()) * 0.0  # on the graph even without a row
        row_losses = torch.zeros_like(batch.scores)
        metrics: dict[str, float | Tensor] = {}
        for part in _by_task(batch, masks):
            objective = self._objective(part.task)
            margin = self.config.multi_turn_margin if objective.multi_turn else self.config.margin
            rows = [view.select(part.index, margin) for view in views]
            total = torch.zeros_like(rows[-1].cosines)
            for term in objective.terms:
                values = torch.stack([_term_of(term, view) for view in rows]).mean(dim=0)
                metrics[f"{part.task}/{term.name}"] = values.detach().mean()
                total = total + values * (term.weight * self.config.weights.get(term.name, 1.0))
            # A sum over the rows of all ranks and chunks, divided once: a mean of means would reweight rare tasks.
            loss = loss + total.sum() / (part.count if self.config.balance == "tasks" else len(row_losses))
            row_losses[part.index] = total.detach()
            metrics[f"{part.task}/loss"] = total.detach().mean()
            metrics |= part.cosines(rows[-1])
        return LossReport(loss, row_losses, metrics)

    def _objective(self, task: str) -> TaskObjective:
        if task not in self.tasks:
            raise ConfigError(f"no loss for task {task!r} (known: {', '.join(self.tasks)}): name it in objective.tasks")
        return _CONTRASTIVE if self.config.only_contrastive else self.tasks[task]

    def _widths(self, full: int) -> list[int]:
        if wrong := [width for width in self.matryoshka if width > full]:
            raise ConfigError(f"model.matryoshka has {wrong}, but the vectors have {full} dimensions")
        return sorted({*self.matryoshka, full})


def _term_of(term: Term, rows: TaskRows) -> Tensor:
    values = TERMS[term.name](rows)
    if values.shape != rows.scores.shape:
        raise ConfigError(f"loss term {term.name!r} gives {tuple(values.shape)}, not one value for each of its "
                          f"{len(rows.scores)} rows")  # fmt: skip
    if term.applies == "by_score":
        return values * rows.scores
    return values * (rows.scores > 0) if term.applies == "positives" else values


@dataclass(frozen=True)
class _Masks:
    """Which candidate is no negative of which row.

    Attributes:
        excluded: bool [B, B + M], a row's own positive is not excluded.
        reverse_excluded: bool [B, B], for positives against queries.
        not_given: bool [B, B + M], all that is not an explicit negative of the row itself, or is excluded.
        no_candidate: bool [B, B + M], excluded or own.
    """

    excluded: Tensor
    reverse_excluded: Tensor
    not_given: Tensor
    no_candidate: Tensor

    @classmethod
    def of(cls, batch: EmbeddedBatch, homogeneous: bool) -> "_Masks":
        rows = torch.arange(len(batch.tasks), device=batch.tasks.device)
        own_BB = _equal(rows, rows)
        given_BM = _equal(rows, batch.owner)
        pairs_BB = (
            _equal(batch.positive_keys, batch.positive_keys)
            | _equal(batch.query_keys, batch.query_keys)
            | _equal(batch.groups, batch.groups)
            | _equal(batch.query_keys, batch.positive_keys)
        )
        negatives_BM = (
            _equal(batch.positive_keys, batch.negative_keys)
            | _equal(batch.query_keys, batch.negative_keys)
            | (_equal(batch.groups, batch.groups[batch.owner]) & ~given_BM)
        )
        if homogeneous:
            pairs_BB |= ~_equal(batch.tasks, batch.tasks)
            negatives_BM |= ~_equal(batch.tasks, batch.tasks[batch.owner])
        pairs_BB &= ~own_BB
        excluded = torch.cat([pairs_BB, negatives_BM], dim=1)
        not_given = torch.cat([torch.ones_like(own_BB), negatives_BM | ~given_BM], dim=1)
        return cls(excluded, pairs_BB.T, not_given, torch.cat([pairs_BB | own_BB, negatives_BM], dim=1))


def _equal(left: Tensor, right: Tensor) -> Tensor:
    return left[:, None] == right[None, :]


def _all_rows(batch: EmbeddedBatch, masks: _Masks, width: int, config: ObjectiveConfig) -> TaskRows:
    queries, positives, negatives = (
        vectors if width == vectors.shape[1] else normalize(vectors[:, :width], dim=-1)
        for vectors in (batch.queries, batch.positives, batch.negatives)
    )
    pairs_BB = queries @ positives.T
    candidates = torch.cat([pairs_BB, queries @ negatives.T], dim=1)
    given = hardest(candidates, masks.not_given)
    anywhere = hardest(candidates, masks.no_candidate)
    return TaskRows(
        queries=queries,
        positives=positives,
        scores=batch.scores,
        cosines=(queries * positives).sum(dim=1),
        candidates=candidates,
        excluded=masks.excluded,
        reverse=pairs_BB.T,
        reverse_excluded=masks.reverse_excluded,
        own=torch.arange(len(queries), device=queries.device),
        hardest_negative=torch.where(masks.not_given.all(dim=1), anywhere, given),
        hardest_candidate=anywhere,
        temperature=config.temperature,
        margin=config.margin,
    )


@dataclass(frozen=True)
class _TaskPart:
    """The rows of one task: how many, how many with a score above 0, and how many of those have a candidate."""

    task: str
    index: Tensor
    count: int
    positives: int
    contested: int

    def cosines(self, rows: TaskRows) -> dict[str, float | Tensor]:
        """The metrics that read cosines, detached. "Accuracy" needs no temperature: is the own positive nearest?"""
        with torch.no_grad():
            chosen = rows.scores > 0
            own, other = rows.cosines.detach(), rows.hardest_candidate.detach()
            metrics: dict[str, float | Tensor] = {f"{self.task}/count": float(self.count)}
            if self.positives:
                metrics[f"{self.task}/positive_cosine"] = own.where(chosen, 0.0).sum() / self.positives
                metrics[f"{self.task}/accuracy"] = (chosen & (own > other)).sum() / self.positives
            if self.contested:
                kept = chosen & other.isfinite()
                metrics[f"{self.task}/hardest_negative_cosine"] = other.where(kept, 0.0).sum() / self.contested
            return metrics


def _by_task(batch: EmbeddedBatch, masks: _Masks) -> list[_TaskPart]:
    codes = torch.arange(len(batch.task_names), device=batch.tasks.device)
    of_task_TB = _equal(codes, batch.tasks)
    positive_B = batch.scores > 0
    contested_B = positive_B & ~masks.no_candidate.all(dim=1)
    counts = torch.stack([(of_task_TB & kept).sum(dim=1) for kept in (positive_B | True, positive_B, contested_B)])
    order = batch.tasks.argsort(stable=True)
    numbers: list[list[int]] = counts.T.tolist()  # the one synchronisation
    chunks = torch.split(order, [count for count, _, _ in numbers])
    return [
        _TaskPart(task, index, *found)
        for task, index, found in zip(batch.task_names, chunks, numbers, strict=True)
        if found[0]
    ]
