"""Batches of vectors for the tests of the objective: every key differs unless a test says otherwise."""

import itertools
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.trainer import reference_objective as reference
from trainer.config import ObjectiveConfig
from trainer.objective import EmbeddedBatch

TASKS = ("text_pair", "instr", "ocr", "vqa_single", "vqa_multi")
CONFIG = ObjectiveConfig(margin=0.2, multi_turn_margin=0.35)


def unit(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Unit vectors with a common part, so that cosines are spread around 0.5 and not around 0."""
    drawn = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return normalize(drawn + 0.8, dim=-1).to(dtype)


def batch_of(tasks: list[int], *, owner: tuple[int, ...] = (), seed: int = 0, dim: int = 12,
             dtype: torch.dtype = torch.float64) -> EmbeddedBatch:  # fmt: skip
    """Rows of the given tasks; every key and group differs."""
    rows, keys = len(tasks), itertools.count(1000)

    def own(number: int) -> Tensor:
        return torch.tensor([next(keys) for _ in range(number)], dtype=torch.int64)

    return EmbeddedBatch(
        queries=unit(rows, dim, seed=3 * seed, dtype=dtype),
        positives=unit(rows, dim, seed=3 * seed + 1, dtype=dtype),
        negatives=unit(len(owner), dim, seed=3 * seed + 2, dtype=dtype),
        owner=torch.tensor(owner, dtype=torch.int64),
        tasks=torch.tensor(tasks, dtype=torch.int64),
        scores=torch.ones(rows, dtype=dtype),
        query_keys=own(rows),
        positive_keys=own(rows),
        negative_keys=own(len(owner)),
        groups=own(rows),
        task_names=TASKS,
    )


def put(tensor: Tensor, **values: float) -> Tensor:
    """A copy with some entries changed: put(t, _3=7)."""
    changed = tensor.clone()
    for place, value in values.items():
        changed[int(place[1:])] = value
    return changed


def tangled(seed: int) -> EmbeddedBatch:
    """All tasks, scores, explicit negatives, and every kind of false negative, at random."""
    draw = torch.Generator().manual_seed(seed)
    rows, given = 17, 9
    batch = batch_of(torch.randint(5, (rows,), generator=draw).tolist(), seed=seed,
                     owner=tuple(torch.randint(rows, (given,), generator=draw).tolist()))  # fmt: skip
    scores = torch.rand(rows, dtype=torch.float64, generator=draw)
    keys = {name: torch.randint(40, (size,), generator=draw) for name, size in
            (("query_keys", rows), ("positive_keys", rows), ("negative_keys", given))}  # fmt: skip
    return replace(batch, scores=torch.where(scores < 0.3, 0.0, scores), **keys,
                   groups=torch.randint(12, (rows,), generator=draw))  # fmt: skip


def as_reference(batch: EmbeddedBatch) -> reference.ReferenceBatch:
    negatives: list[list[tuple[np.ndarray, int]]] = [[] for _ in batch.tasks]
    for vector, row, key in zip(batch.negatives.numpy(), batch.owner, batch.negative_keys, strict=True):
        negatives[int(row)].append((vector, int(key)))
    return reference.ReferenceBatch(
        batch.queries.numpy(), batch.positives.numpy(), [TASKS[code] for code in batch.tasks],
        batch.scores.tolist(), batch.query_keys.tolist(), batch.positive_keys.tolist(), batch.groups.tolist(),
        negatives,
    )  # fmt: skip
