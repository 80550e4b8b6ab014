"""StepSampler: every sample once an epoch, the same steps on any number of ranks, resume without loading."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from trainer.sampling import StepSampler

SIZES = st.integers(1, 200)
SEEDS = st.integers(-5, 2**70)


def epoch_lines(sampler: StepSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return [line for step in sampler for line in step]


@settings(deadline=None)
@given(size=SIZES, per_rank=st.integers(1, 20), world=st.integers(1, 5), seed=SEEDS, epoch=st.integers(0, 50))
def test_an_epoch_is_a_permutation_cut_into_steps(size: int, per_rank: int, world: int, seed: int, epoch: int) -> None:
    samplers = [StepSampler(None, size, per_rank, rank, world, seed) for rank in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    ranks = [list(sampler) for sampler in samplers]
    assert sorted(line for steps in ranks for step in steps for line in step) == list(range(size))
    for sampler, steps in zip(samplers, ranks, strict=True):
        assert len(steps) == len(sampler) == -(-size // (per_rank * world))
        assert all(len(step) == per_rank for step in steps[:-1])
        assert all(type(line) is int for step in steps for line in step)
    last = [len(steps[-1]) for steps in ranks]
    assert sum(last) > 0 and max(last) - min(last) <= 1


@settings(deadline=None)
@given(size=SIZES, per_rank=st.integers(1, 8), world=st.sampled_from([2, 4, 6]), seed=SEEDS)
def test_steps_do_not_depend_on_how_many_ranks_share_them(size: int, per_rank: int, world: int, seed: int) -> None:
    ranks = [list(StepSampler(None, size, per_rank, rank, world, seed)) for rank in range(world)]
    for whole, *parts in zip(StepSampler(None, size, per_rank * world, 0, 1, seed), *ranks, strict=True):
        assert [part == whole[rank::world] for rank, part in enumerate(parts)] == [True] * world


@settings(deadline=None)
@given(size=st.integers(1, 100), seed=SEEDS, epoch=st.integers(0, 9), data=st.data())
def test_a_step_is_a_function_of_seed_epoch_step_and_rank(size: int, seed: int, epoch: int, data: Any) -> None:
    def fresh() -> StepSampler:
        return StepSampler(None, size, 3, 1, 2, seed)

    used = fresh()
    used.set_epoch(epoch + 1)
    list(used)
    step = data.draw(st.integers(0, len(used) - 1))
    other = fresh()
    other.set_epoch(epoch)
    assert used.rows(step, epoch).tolist() == list(other)[step] == other.rows(step).tolist()


def test_the_order_of_an_epoch_is_fixed_for_good() -> None:
    """A run resumed after an upgrade must go on with the same samples: these numbers may never change."""
    assert StepSampler(None, 12, 12, seed=42).rows(0, 1).tolist() == [2, 11, 10, 1, 5, 0, 4, 8, 9, 6, 3, 7]
    tasks = np.array([0, 1] * 6, dtype=np.uint8)
    weighted = StepSampler(tasks, 12, 12, seed=42, sampling={"b": 0.5}, task_names=("a", "b"))
    assert weighted.rows(0, 1).tolist() == [4, 2, 10, 0, 8, 7, 9, 6, 5]


def test_epochs_and_seeds_differ() -> None:
    sampler = StepSampler(None, 50, 7)
    orders = [tuple(epoch_lines(sampler, epoch)) for epoch in range(5)]
    orders += [tuple(epoch_lines(StepSampler(None, 50, 7, seed=seed))) for seed in (1, 2)]
    assert len(set(orders)) == 7


@settings(deadline=None)
@given(
    tasks=st.lists(st.integers(0, 2), min_size=1, max_size=60),
    weights=st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 3.3]), min_size=3, max_size=3),
    seed=SEEDS,
    epoch=st.integers(0, 20),
)
def test_weights_say_how_often_a_task_comes(tasks: list[int], weights: list[float], seed: int, epoch: int) -> None:
    names = ("a", "b", "c")
    expected = {
        code: count * int(weights[code]) + int(count * (weights[code] % 1) + 0.5)
        for code, count in Counter(tasks).items()
    }
    codes = np.array(tasks, dtype=np.uint8)
    options: dict[str, Any] = {"sampling": dict(zip(names, weights, strict=True)), "task_names": names, "seed": seed}
    if not sum(expected.values()):
        with pytest.raises(ValueError, match="no sample is left"):
            StepSampler(codes, len(tasks), 4, **options)
        return
    sampler = StepSampler(codes, len(tasks), 4, **options)
    lines = Counter(epoch_lines(sampler, epoch))
    found = Counter[int]()
    for line, times in lines.items():
        found[tasks[line]] += times
        assert int(weights[tasks[line]]) <= times <= int(weights[tasks[line]]) + 1
    assert found == {code: count for code, count in expected.items() if count}
    assert len(sampler) == -(-sum(expected.values()) // 4)


def test_half_a_task_is_the_other_half_in_the_next_epoch() -> None:
    tasks = np.zeros(40, dtype=np.uint8)
    sampler = StepSampler(tasks, 40, 8, sampling={"a": 0.5}, task_names=("a",))
    halves = [set(epoch_lines(sampler, epoch)) for epoch in range(4)]
    assert halves[0] | halves[1] == halves[2] | halves[3] == set(range(40))
    assert halves[0] not in (halves[2], halves[3])


def test_ranks_agree_on_weighted_epochs() -> None:
    tasks = np.array([0, 1, 1] * 20, dtype=np.uint8)
    options: dict[str, Any] = {"sampling": {"a": 1.5, "b": 0.3}, "task_names": ("a", "b")}
    whole = list(StepSampler(tasks, 60, 6, **options))
    parts = [list(StepSampler(tasks, 60, 3, rank, 2, **options)) for rank in range(2)]
    assert [[step[0::2], step[1::2]] for step in whole] == [list(pair) for pair in zip(*parts, strict=True)]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((None, 0, 4), {}, "no sampler for 0 lines"),
        ((None, 5, 4, 2, 2), {}, "rank 2 of 2"),
        ((None, 5, 4), {"sampling": {"a": 2.0}}, "need the task of every line"),
        ((np.zeros(5, np.uint8), 5, 4), {"sampling": {"a": -1.0}, "task_names": ("a",)}, "weight of a is -1.0"),
        ((np.zeros(5, np.uint8), 5, 4), {"sampling": {"a": np.nan}, "task_names": ("a",)}, "weight of a is nan"),
    ],
)
def test_what_cannot_be_sampled_is_refused(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StepSampler(*arguments, **options)


def test_there_is_no_step_behind_the_last() -> None:
    sampler = StepSampler(None, 10, 4)
    with pytest.raises(IndexError):
        sampler.rows(3)


class Counted(Dataset[int]):
    """Says which of its items were read."""

    def __init__(self, size: int) -> None:
        self.read: list[int] = []
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        self.read.append(index)
        return index


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("skipped", [0, 1, 4, 5, 6])
def test_resume_in_the_middle_of_an_epoch_loads_only_the_rest(prepared: bool, skipped: int) -> None:
    """As transformers' Trainer resumes: `skip_first_batches`, then `set_epoch` on the sampler below."""
    epoch = 3
    sampler = StepSampler(None, 23, 2, 1, 2, seed=9)
    expected = [sampler.rows(step, epoch).tolist() for step in range(6)]
    dataset = Counted(23)
    loader: Any = DataLoader(dataset, batch_sampler=StepSampler(None, 23, 2, 1, 2, seed=9), collate_fn=list)
    if prepared:
        loader = prepare_data_loader(loader, num_processes=1, process_index=0)
    resumed = skip_first_batches(loader, skipped)
    if hasattr(resumed, "set_epoch"):
        resumed.set_epoch(epoch)
    resumed.batch_sampler.batch_sampler.set_epoch(epoch)
    assert len(resumed) == 6 - skipped
    assert list(resumed) == expected[skipped:]
    assert dataset.read == [line for step in expected[skipped:] for line in step]


def test_a_prepared_loader_goes_through_the_epochs_by_itself() -> None:
    loader = prepare_data_loader(
        DataLoader(Counted(10), batch_sampler=StepSampler(None, 10, 4), collate_fn=list),
        num_processes=1,
        process_index=0,
    )
    expected = StepSampler(None, 10, 4)
    for epoch in range(3):
        assert list(loader) == [expected.rows(step, epoch).tolist() for step in range(3)]


def test_millions_of_lines_are_a_matter_of_arrays() -> None:
    size = 3_000_000  # the shape of the real thing in a quarter of its time
    tasks = (np.arange(size) % 5).astype(np.uint8)
    sampler = StepSampler(tasks, size, 192, 3, 4, sampling={"b": 0.5, "c": 2.0}, task_names=tuple("abcde"))
    assert len(sampler) == -(-int(size * 1.1) // 768)
    first = sampler.rows(0)
    assert first.dtype == np.uint32 and len(first) == 192
    assert len(sampler.rows(len(sampler) - 1)) <= 192
