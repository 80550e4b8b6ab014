"""What other tasks in the batch may change for a sample: nothing, or its negatives and nothing else."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.trainer.embedded_batches import CONFIG, TASKS, batch_of
from trainer.config import ObjectiveConfig
from trainer.objective import EmbeddedBatch, Objective


def joined(first: EmbeddedBatch, second: EmbeddedBatch) -> EmbeddedBatch:
    parts = {name: torch.cat([part, getattr(second, name)]) for name, part in vars(first).items()
             if isinstance(part, Tensor)}  # fmt: skip
    parts["owner"] = torch.cat([first.owner, second.owner + len(first.tasks)])
    return EmbeddedBatch(**parts, task_names=TASKS)


def apart(tasks: list[int], owner: tuple[int, ...] = ()) -> EmbeddedBatch:
    other = batch_of(tasks, owner=owner, seed=7)
    shift = {name: getattr(other, name) + 50_000 for name in ("query_keys", "positive_keys", "negative_keys", "groups")}
    return replace(other, **shift)


@pytest.mark.parametrize("task", range(5))
def test_homogeneous_rows_do_not_notice_other_tasks(task: int) -> None:
    """Not in their losses and not in their gradients, even if the others are near copies with the same keys."""
    alone = batch_of([task] * 4, owner=(0, 2), dtype=torch.float32)
    others = [code for code in range(5) if code != task]
    copies = replace(alone, tasks=torch.tensor(others))
    objective = Objective(CONFIG, mixing="homogeneous")
    results = []
    for batch in (alone, joined(alone, copies)):
        queries = batch.queries.clone().requires_grad_()
        report = objective(replace(batch, queries=queries))
        report.loss.backward()
        assert queries.grad is not None
        results.append((report.rows[:4], queries.grad[:4]))
    assert results[0][0].max() > 0.1
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=1e-6)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("task", range(5))
def test_mixed_rows_notice_other_tasks_as_negatives_and_as_nothing_else(task: int) -> None:
    """InfoNCE grows by exactly the candidates that joined; whose task, score and owner they are does not matter."""
    others = [code for code in range(5) if code != task]
    alone, more = batch_of([task] * 3, owner=(0, 1, 2)), apart(others, owner=(1, 3))
    contrastive = Objective(ObjectiveConfig(only_contrastive=True))
    whole = joined(alone, more)

    def partition(batch: EmbeddedBatch) -> Tensor:
        """Log of the denominators, mean of both directions, of the first three rows."""
        forward = torch.cat([batch.queries[:3] @ batch.positives.T, batch.queries[:3] @ batch.negatives.T], dim=1)
        return ((forward / 0.07).logsumexp(1) + (batch.positives[:3] @ batch.queries.T / 0.07).logsumexp(1)) / 2

    change = contrastive(whole).rows[:3] - contrastive(alone).rows
    assert change.min() > 1e-3
    torch.testing.assert_close(change, partition(whole) - partition(alone))
    full = Objective(CONFIG)
    torch.testing.assert_close(full(whole).rows[:3] - full(alone).rows, change)  # the other terms do not change
    for disguise in ({"tasks": whole.tasks.new_tensor([task] * 3 + others[::-1])},
                     {"scores": torch.tensor([1, 1, 1, 0, 0.3, 0.9, 0], dtype=torch.float64)},
                     {"owner": torch.tensor([0, 1, 2, 6, 6])}):  # fmt: skip
        assert torch.equal(full(replace(whole, **disguise)).rows[:3], full(whole).rows[:3])


def test_mixed_rows_do_not_notice_masked_rows_at_all() -> None:
    alone, more = batch_of([2]), apart([0, 1, 3, 4], owner=(1, 3))
    shared = replace(more, groups=alone.groups.repeat(4))
    assert float(Objective(CONFIG)(joined(alone, more)).rows[0]) > 0.1
    assert float(Objective(CONFIG)(joined(alone, shared)).rows[0]) == float(Objective(CONFIG)(alone).rows[0]) == 0.0
