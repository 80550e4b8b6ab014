"""What the processes of `test_several_ranks` run: scenarios one after another, results written to files."""

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from tests import prepared
from tests.trainer.tiny_step import CONFIG, TASKS, network_of, samples, step_of
from trainer.errors import TrainerError
from trainer.gather import gather_batch
from trainer.grad_cache import GradCache
from trainer.network import TrainableEmbedder
from trainer.objective import EmbeddedBatch, Objective

WORLD = 2
# A lost collective must fail the test, not hang it. (Processes take a minute to start on a busy machine.)
COLLECTIVE_LIMIT, LIMIT = datetime.timedelta(seconds=120), 400


@dataclass(frozen=True)
class Scenario:
    """Which of the samples each rank holds (by number), and how many sample's worth of rows it embeds at a time."""

    shares: tuple[tuple[int, ...], ...]
    per_chunk: tuple[int, ...] = (2, 2)
    mixing: str = "mixed"
    matryoshka: tuple[int, ...] = ()
    sharded: bool = False


EVEN, ODD = (0, 2, 4, 6, 8, 10), (1, 3, 5, 7, 9, 11)
SCENARIOS = {
    "equal shares": Scenario((EVEN, ODD)),
    "unequal shares": Scenario(((0, 1, 2, 3, 4, 5, 6, 7, 8), (9, 10, 11))),
    "homogeneous, several widths": Scenario((EVEN, ODD), mixing="homogeneous", matryoshka=(64,)),
    "a rank that lacks tasks": Scenario(((0, 6, 9, 11, 4), (1, 2, 3, 5, 7, 8, 10))),
    "a rank whose texts have no image": Scenario(((1, 2, 3, 4), (0, 6, 9, 11)), per_chunk=(2, 1)),
    "a rank whose one chunk has no image": Scenario(((1, 2, 3, 4), (0, 6, 9, 11)), per_chunk=(99, 99)),
    "a rank without samples": Scenario((tuple(range(12)), ())),
    "different numbers of chunks": Scenario((EVEN, ODD), per_chunk=(99, 1)),
    "as many chunks as ranks": Scenario((EVEN, ODD), per_chunk=(4, 6)),
    "no sample anywhere": Scenario(((), ())),
    "sharded": Scenario((EVEN, ODD), per_chunk=(3, 2), sharded=True),
    "sharded, a rank without samples": Scenario(((), tuple(range(12))), sharded=True),
    "sharded, a rank whose texts have no image": Scenario(((1, 2, 3, 4), (0, 6, 9, 11)), sharded=True),
}


def run_ranks(work: Callable[[int, Path], None], folder: Path) -> None:
    """Run `work(rank, folder)` in processes that form a gloo group. A failure or a hang fails the caller."""
    processes = [
        prepared.start(_join_and_work, work, rank, folder, output=folder / f"said-by-{rank}") for rank in range(WORLD)
    ]
    end = time.monotonic() + LIMIT
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    said = "".join((folder / f"said-by-{rank}").read_text() for rank in range(WORLD))
    assert codes == [0] * WORLD, f"exit codes of the ranks: {codes} (None: still running after {LIMIT} s)\n{said}"


def _join_and_work(work: Callable[[int, Path], None], rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=WORLD, timeout=COLLECTIVE_LIMIT
    )
    work(rank, folder)
    dist.barrier()
    dist.destroy_process_group()


def train_scenarios(rank: int, folder: Path, checkpoint: Path) -> None:
    """One GradCache step for every scenario, under DDP or FSDP2; gradients and report to a file."""
    drawn = samples(folder)
    for name, scenario in SCENARIOS.items():
        network = network_of(checkpoint)
        step = step_of(network, [drawn[number] for number in scenario.shares[rank]], scenario.per_chunk[rank])
        wrapped, no_sync, reduced = _sharded(network) if scenario.sharded else _replicated(network)
        objective = Objective(CONFIG, scenario.matryoshka, scenario.mixing)  # type: ignore[arg-type]
        report = GradCache(wrapped, objective, no_sync=no_sync).step(step)
        torch.save(
            {"gradients": {name: _whole(parameter.grad) for name, parameter in network.named_parameters()},
             "rows": report.rows, "loss": report.loss, "chunks": len(step.chunks), "reduced": len(reduced)},
            folder / f"{name}-{rank}.pt",
        )  # fmt: skip


def _replicated(network: TrainableEmbedder) -> tuple[nn.Module, Callable[[], Any], list[int]]:
    reduced: list[int] = []

    def count(group: Any, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        reduced.append(bucket.index())
        return allreduce_hook(group, bucket)

    wrapped = DistributedDataParallel(network)
    wrapped.register_comm_hook(None, count)
    return wrapped, wrapped.no_sync, reduced


def _sharded(network: TrainableEmbedder) -> tuple[nn.Module, Callable[[], Any], list[int]]:
    mesh = init_device_mesh("cpu", (WORLD,))
    for layer in (*network.model.visual.blocks, *network.model.language_model.layers):
        fully_shard(layer, mesh=mesh)
    root: Any = fully_shard(network, mesh=mesh)

    @contextmanager
    def no_sync() -> Iterator[None]:
        root.set_requires_gradient_sync(False)
        yield
        root.set_requires_gradient_sync(True)

    return root, no_sync, []


def _whole(gradient: Tensor | None) -> Tensor | None:
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient


def numbered_batch(rank: int) -> EmbeddedBatch:
    """A rank's part in which every number says where it came from; rank 0 holds 3 rows, the others 1."""
    rows, negatives = (3, 2) if rank == 0 else (1, 4)

    def numbers(start: int, count: int) -> Tensor:
        return torch.arange(count, dtype=torch.int64) + 1000 * rank + start

    return EmbeddedBatch(
        queries=numbers(0, rows)[:, None].expand(-1, 2).float(),
        positives=numbers(100, rows)[:, None].expand(-1, 2).float(),
        negatives=numbers(200, negatives)[:, None].expand(-1, 2).float(), owner=torch.arange(negatives) % rows,
        tasks=torch.full((rows,), rank), scores=numbers(300, rows).float(), query_keys=numbers(400, rows),
        positive_keys=numbers(500, rows), negative_keys=numbers(600, negatives), groups=numbers(700, rows),
        task_names=TASKS,
    )  # fmt: skip


def gather_numbers(rank: int, folder: Path) -> None:
    """What a rank sees of the global batch, and what it says when the ranks do not speak of the same tasks."""
    own = numbered_batch(rank)
    own = replace(own, queries=own.queries.requires_grad_())
    whole, rows, negatives = gather_batch(own)
    error = ""
    try:
        gather_batch(replace(own, task_names=TASKS[rank:]))
    except TrainerError as caught:
        error = str(caught)
    torch.save({"whole": vars(whole), "rows": rows, "negatives": negatives, "error": error}, folder / f"seen-{rank}.pt")


def train(checkpoint: Path, folder: Path) -> None:
    """All scenarios in one group of processes: starting processes is what takes time."""
    run_ranks(partial(_everything, checkpoint=checkpoint), folder)


def _everything(rank: int, folder: Path, checkpoint: Path) -> None:
    gather_numbers(rank, folder)
    train_scenarios(rank, folder, checkpoint)
