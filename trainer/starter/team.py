"""Data parallelism on one machine's cores: processes of one thread each that average gradients in shared memory.

On a shared CPU this beats one process of many threads: a busy neighbour delays a step once, not at every operation.
"""

from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier

import torch
from torch import Tensor, nn
from torch import multiprocessing as mp

_PATIENCE = 180  # seconds that a member waits for the others; longer means that one was killed


class Team:
    """`size` processes with one gradient; `done` is the leader's (rank 0's) progress, 0..1."""

    def __init__(self, size: int, parameters: int) -> None:
        context = mp.get_context("fork")
        self.size = size
        self.rank = 0
        self.done: Synchronized[float] = context.Value("d", 0.0)
        self._barrier: Barrier = context.Barrier(size)
        self._gradients: Tensor = torch.zeros((size, parameters) if size > 1 else (0, 0))
        self._gradients.share_memory_()  # type: ignore[no-untyped-call]

    def run(self, work: Callable[[], None]) -> None:
        """`work` in every process, the leader's in this one. A member's failure ends the run."""
        context = mp.get_context("fork")
        members = [context.Process(target=self._join, args=(rank, work), daemon=False) for rank in range(1, self.size)]
        for member in members:
            member.start()
        try:
            work()
        except BaseException:
            self._barrier.abort()
            raise
        finally:
            for member in members:
                member.join()

    def average(self, module: nn.Module, done: float) -> float:
        """Replace every gradient by the team's mean; returns the leader's progress, the same in every process."""
        if self.size == 1:
            self.done.value = done
            return done
        parameters = [p for p in module.parameters() if p.requires_grad]
        own = self._gradients[self.rank]
        offset = 0
        for p in parameters:
            slot = own[offset : offset + p.numel()]
            slot.zero_() if p.grad is None else slot.copy_(p.grad.flatten())
            offset += p.numel()
        if self.rank == 0:
            self.done.value = done
        self._barrier.wait(timeout=_PATIENCE)
        mean = self._gradients.mean(dim=0)
        agreed = self.done.value
        self._barrier.wait(timeout=_PATIENCE)
        offset = 0
        for p in parameters:
            p.grad = mean[offset : offset + p.numel()].view_as(p)
            offset += p.numel()
        return agreed

    def _join(self, rank: int, work: Callable[[], None]) -> None:
        self.rank = rank
        torch.set_num_threads(1)
        try:
            work()
        except BaseException:
            self._barrier.abort()
            raise
