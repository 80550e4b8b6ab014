"""The objective once more, in plain NumPy and loops, from the formulas alone. Shares no code with `trainer`."""

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class ReferenceBatch:
    """One entry per row; a negative is (vector, key)."""

    queries: np.ndarray
    positives: np.ndarray
    tasks: list[str]
    scores: list[float]
    query_keys: list[int]
    positive_keys: list[int]
    groups: list[int]
    negatives: list[list[tuple[np.ndarray, int]]] = field(default_factory=list)


def cross_entropy(cosines: list[float], own: int, temperature: float) -> float:
    """-log softmax of the own candidate, summed up by hand."""
    top = max(cosines)
    total = 0.0
    for cosine in cosines:
        total += math.exp((cosine - top) / temperature)
    return math.log(total) - (cosines[own] - top) / temperature


def candidates(batch: ReferenceBatch, row: int, homogeneous: bool) -> list[tuple[np.ndarray, int | None]]:
    """Negatives of a query: (vector, row whose explicit negative it is, or None for another row's positive)."""
    found: list[tuple[np.ndarray, int | None]] = []
    for other in range(len(batch.tasks)):
        if homogeneous and batch.tasks[other] != batch.tasks[row]:
            continue
        related = batch.groups[other] == batch.groups[row]
        if other != row and not related:
            twin = batch.query_keys[other] == batch.query_keys[row]
            known = batch.positive_keys[other] in (batch.positive_keys[row], batch.query_keys[row])
            if not twin and not known:
                found.append((batch.positives[other], None))
        if other != row and related:
            continue
        for vector, key in batch.negatives[other]:
            if key not in (batch.positive_keys[row], batch.query_keys[row]):
                found.append((vector, other))
    return found


def reverse_candidates(batch: ReferenceBatch, row: int, homogeneous: bool) -> list[np.ndarray]:
    """Negatives of a positive: the queries of other rows."""
    found = []
    for other in range(len(batch.tasks)):
        if other == row or (homogeneous and batch.tasks[other] != batch.tasks[row]):
            continue
        if batch.groups[other] == batch.groups[row] or batch.positive_keys[other] == batch.positive_keys[row]:
            continue
        if batch.query_keys[other] in (batch.query_keys[row], batch.positive_keys[row]):
            continue
        found.append(batch.queries[other])
    return found


def row_loss(batch: ReferenceBatch, row: int, *, temperature: float, margins: dict[str, float],
             weights: dict[str, float], homogeneous: bool, only_contrastive: bool) -> float:  # fmt: skip
    """The loss of one row."""
    task, score = batch.tasks[row], batch.scores[row]
    query, positive = batch.queries[row], batch.positives[row]
    cosine = float(query @ positive)
    negatives = candidates(batch, row, homogeneous)
    forward = cross_entropy([cosine, *(float(query @ vector) for vector, _ in negatives)], 0, temperature)
    others = reverse_candidates(batch, row, homogeneous)
    backward = cross_entropy([cosine, *(float(positive @ vector) for vector in others)], 0, temperature)
    contrastive = weights.get("infonce", 1.0) * (forward + backward) / 2
    if only_contrastive:
        return contrastive if score > 0 else 0.0
    if task == "text_pair":
        return score * contrastive + weights.get("mse", 1.0) * (cosine - score) ** 2
    if score == 0:
        return 0.0
    if task == "instr":
        return contrastive + weights.get("cosine", 1.0) * (1 - cosine)
    given = [float(query @ vector) for vector, owner in negatives if owner == row]
    anywhere = given or [float(query @ vector) for vector, _ in negatives]
    violated = max(0.0, margins[task] - cosine + max(anywhere)) if anywhere else 0.0
    return contrastive + weights.get("triplet", 1.0) * violated


def cut(batch: ReferenceBatch, width: int) -> ReferenceBatch:
    """The leading components of every vector, at unit length."""

    def shorter(vector: np.ndarray) -> np.ndarray:
        return vector[:width] / math.sqrt(sum(float(x) ** 2 for x in vector[:width]))

    return ReferenceBatch(
        np.array([shorter(vector) for vector in batch.queries]),
        np.array([shorter(vector) for vector in batch.positives]),
        batch.tasks, batch.scores, batch.query_keys, batch.positive_keys, batch.groups,
        [[(shorter(vector), key) for vector, key in row] for row in batch.negatives],
    )  # fmt: skip


def row_losses(batch: ReferenceBatch, widths: list[int], **constants: object) -> list[float]:
    """Per row, the mean over the widths."""
    views = [cut(batch, width) for width in widths]
    return [
        sum(row_loss(view, row, **constants) for view in views) / len(views)  # type: ignore[arg-type]
        for row in range(len(batch.tasks))
    ]


def total(batch: ReferenceBatch, losses: list[float], balance: str) -> float:
    """Sum of the tasks' means, or the mean over all rows."""
    if balance == "rows":
        return sum(losses) / len(losses)
    result = 0.0
    for task in set(batch.tasks):
        own = [loss for loss, name in zip(losses, batch.tasks, strict=True) if name == task]
        result += sum(own) / len(own)
    return result
