"""The global batch: every rank's vectors on every rank, whatever rows and tasks each holds."""

import hashlib

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.errors import TrainerError
from trainer.objective import EmbeddedBatch


def world_size() -> int:
    """Number of ranks; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def largest(number: int, device: torch.device) -> int:
    """The largest of all ranks' numbers, on every rank."""
    if world_size() == 1:
        return number
    found = torch.tensor(number, dtype=torch.int64, device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return int(found)


def gather_batch(batch: EmbeddedBatch) -> tuple[EmbeddedBatch, slice, slice]:
    """The rows of all ranks, in rank order, with the span of this rank's rows and that of its explicit negatives.

    Ranks may hold different numbers of rows, also none. Vectors come back without gradient: the caller makes leaves of
    them (see `trainer.grad_cache`). Without torch.distributed the batch itself comes back, detached. The calls that
    ranks make of each other depend only on sizes that all of them know, never on tasks. All ranks must call it.

    Raises:
        TrainerError: the ranks disagree about the vectors' width or the list of tasks (raised on all of them).
    """
    rows, negatives = len(batch.tasks), len(batch.owner)
    floats = torch.cat([batch.queries, batch.positives, batch.scores[:, None]], dim=1).detach()
    integers = torch.stack([batch.tasks, batch.query_keys, batch.positive_keys, batch.groups], dim=1)
    pointers = torch.stack([batch.owner, batch.negative_keys], dim=1)
    sizes = _sizes(batch)
    row_counts, negative_counts = [size[0] for size in sizes], [size[1] for size in sizes]
    rank = dist.get_rank() if len(sizes) > 1 else 0
    before, negatives_before = sum(row_counts[:rank]), sum(negative_counts[:rank])
    width = batch.queries.shape[1]
    # Owners count rows of their own rank: made global before they travel.
    pointers = pointers + pointers.new_tensor([before, 0])
    floats, integers = _gather(floats, row_counts), _gather(integers, row_counts)
    pointers = _gather(pointers, negative_counts)
    whole = EmbeddedBatch(
        queries=floats[:, :width],
        positives=floats[:, width : 2 * width],
        negatives=_gather(batch.negatives.detach(), negative_counts),
        owner=pointers[:, 0],
        tasks=integers[:, 0],
        scores=floats[:, 2 * width],
        query_keys=integers[:, 1],
        positive_keys=integers[:, 2],
        negative_keys=pointers[:, 1],
        groups=integers[:, 3],
        task_names=batch.task_names,
    )
    return whole, slice(before, before + rows), slice(negatives_before, negatives_before + negatives)


def _sizes(batch: EmbeddedBatch) -> list[list[int]]:
    """[rows, negatives] of every rank; also checks that all ranks speak of the same thing."""
    names = int.from_bytes(hashlib.sha256("\n".join(batch.task_names).encode()).digest()[:7])
    own = torch.tensor(
        [len(batch.tasks), len(batch.owner), batch.queries.shape[1], names],
        dtype=torch.int64,
        device=batch.tasks.device,
    )
    found: list[list[int]] = _gather(own[None], [1] * world_size()).tolist()
    if any(size[2:] != found[0][2:] for size in found):
        raise TrainerError(
            f"ranks disagree about the vectors' width ({[size[2] for size in found]}) or about the list of tasks: "
            "start all of them with the same configuration and code"
        )
    return [size[:2] for size in found]


def _gather(own: Tensor, counts: list[int]) -> Tensor:
    """The rows of all ranks, one after another. Shorter ranks are padded for the way, as collectives want one shape."""
    longest = max(counts)
    if len(counts) == 1 or longest == 0:
        return own
    padded = own.new_zeros(longest, *own.shape[1:])
    padded[: len(own)] = own
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
