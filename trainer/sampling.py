"""Which lines a step sees on which rank: shuffled, weighted by task, and the same whenever it is asked again."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

_WHOLE_FILE = 255  # stands where a task's number does in a seed; task numbers are smaller


class StepSampler(Sampler[list[int]]):
    """Yields, for every step of an epoch, the lines that one rank loads; a `batch_sampler` for a `DataLoader`.

    A pure function of (seed, epoch, step, rank), without state that a resumed run would need. A step's global rows do
    not depend on the number of ranks as long as `per_rank * world` stays: rank r has every `world`-th of them, from the
    r-th. The last step of an epoch may be smaller; a rank then may have fewer rows than another, or none (an empty
    list: every rank has the same number of steps).

    Weights: 1 is each sample once an epoch; 2 is twice; 0.5 is one half in one epoch and the other in the next, then
    shuffled anew; 1.5 is each once and half of them again. 0 leaves a task out.

    It shards by itself: `accelerate` must not shard it again (give `prepare_data_loader` `num_processes=1`).

    Args:
        tasks: uint8 [size], each line's index into `task_names`; None if all weights are 1.
        size: lines of the file.
        per_rank: rows of a step on one rank.
        sampling: weight by task name; 1 where a task is not named.

    Raises:
        ValueError: a size is below 1, the rank is not below `world`, a weight is negative, or nothing is left to draw.
    """

    def __init__(
        self,
        tasks: npt.NDArray[np.uint8] | None,
        size: int,
        per_rank: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 42,
        sampling: Mapping[str, float] | None = None,
        task_names: Sequence[str] = (),
    ) -> None:
        if min(size, per_rank, world) < 1 or not 0 <= rank < world:
            raise ValueError(f"no sampler for {size} lines, {per_rank} rows a rank, rank {rank} of {world}")
        weights = {name: weight for name, weight in (sampling or {}).items() if weight != 1}
        if weights and (tasks is None or len(tasks) != size):
            raise ValueError("sampling weights need the task of every line")
        if wrong := [name for name, weight in weights.items() if not 0 <= weight < np.inf]:
            raise ValueError(f"the sampling weight of {wrong[0]} is {weights[wrong[0]]}, not a number of at least 0")
        self.batch_size = per_rank  # accelerate reads these two
        self.drop_last = False
        self._tasks = tasks if weights else None
        self._weights = [weights.get(name, 1.0) for name in task_names]
        self._size = size
        self._rank = rank
        self._world = world
        self._seed = seed % 2**64
        self._epoch = 0
        self._order: tuple[int, npt.NDArray[np.uint32]] | None = None
        self._rows = self._count_rows()
        if not self._rows:
            raise ValueError("no sample is left to train on: the sampling weights of all tasks in the file are 0")

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration goes through; epochs differ in order (and in what a weight leaves out)."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._rows // (self.batch_size * self._world))

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self._epoch
        for step in range(len(self)):
            yield self.rows(step, epoch).tolist()

    def rows(self, step: int, epoch: int | None = None) -> npt.NDArray[np.uint32]:
        """This rank's lines in a step, as uint32; the epoch set by default.

        Raises:
            IndexError: the epoch has no such step.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)} steps")
        wanted = self._epoch if epoch is None else epoch
        if self._order is None or self._order[0] != wanted:
            self._order = None  # 11 million lines are 44 MB: not two epochs at once
            self._order = wanted, self._epoch_order(wanted)
        count = self.batch_size * self._world
        return self._order[1][step * count : (step + 1) * count][self._rank :: self._world]

    def _count_rows(self) -> int:
        if self._tasks is None:
            return self._size
        counts = np.bincount(self._tasks, minlength=len(self._weights))
        return sum(
            int(count) * int(weight) + _part(int(count), weight)
            for count, weight in zip(counts, self._weights, strict=True)
        )

    def _epoch_order(self, epoch: int) -> npt.NDArray[np.uint32]:
        """All lines of an epoch, in order."""
        order = _shuffled(self._size if self._tasks is None else self._rows, self._seed, epoch, _WHOLE_FILE)
        return order if self._tasks is None else self._drawn(epoch)[order]

    def _drawn(self, epoch: int) -> npt.NDArray[np.uint32]:
        """The lines of an epoch, task by task."""
        drawn: list[npt.NDArray[np.uint32]] = []
        for code, weight in enumerate(self._weights):
            lines = np.flatnonzero(self._tasks == code).astype(np.uint32)
            drawn += [lines] * int(weight)
            if part := _part(len(lines), weight):
                # Parts are cut from one shuffled pass until less than a part is left: no line comes twice before.
                in_pass = len(lines) // part
                order = _shuffled(len(lines), self._seed, epoch // in_pass, code)
                cut = epoch % in_pass
                drawn.append(lines[order[cut * part : (cut + 1) * part]])
        return np.concatenate(drawn)


def _part(count: int, weight: float) -> int:
    """How many of a task's lines the broken part of its weight draws."""
    return int((weight - int(weight)) * count + 0.5)


def _shuffled(count: int, *key: int) -> npt.NDArray[np.uint32]:
    """The numbers below `count` in an order that depends on the key alone. uint32 [count].

    By sorting random keys: NumPy promises that raw bits stay the same from version to version, and does not promise
    it of `Generator.permutation`. A run that is resumed after an upgrade must see the same order.
    """
    bits = np.random.Philox(np.random.SeedSequence(key)).random_raw(count)
    return np.argsort(bits, kind="stable").astype(np.uint32)
