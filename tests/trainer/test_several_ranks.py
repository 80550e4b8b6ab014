"""Two gloo processes give the gradient of one process on the same global batch, whatever each of them holds."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import ranks
from tests.trainer.ranks import SCENARIOS, WORLD, numbered_batch
from tests.trainer.tiny_step import (
    CONFIG,
    difference,
    draw_pictures,
    network_of,
    one_big_batch,
    samples,
    step_of,
    taken_gradients,
)
from trainer.gather import gather_batch
from trainer.objective import Objective

pytestmark = [pytest.mark.slow, pytest.mark.timeout(ranks.LIMIT + 60)]
WITH_SAMPLES = [name for name, scenario in SCENARIOS.items() if any(scenario.shares)]


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all ranks have left their results."""
    place = draw_pictures(tmp_path_factory.mktemp("ranks"))
    ranks.train(tiny_checkpoint, place)
    return place


def results(folder: Path, name: str) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=False) for rank in range(WORLD)]


@pytest.mark.parametrize("name", WITH_SAMPLES)
def test_two_ranks_equal_one_process(name: str, folder: Path, tiny_checkpoint: Path) -> None:
    scenario = SCENARIOS[name]
    network, drawn = network_of(tiny_checkpoint), samples(folder)
    order = [number for share in scenario.shares for number in share]
    step = step_of(network, [drawn[number] for number in order], 1000)
    report = one_big_batch(network, step, Objective(CONFIG, scenario.matryoshka, scenario.mixing))
    expected = taken_gradients(network)
    for found in results(folder, name):
        assert difference(found["gradients"], expected) < 1e-5
        torch.testing.assert_close(found["rows"], report.rows, rtol=0, atol=1e-5)
        assert float(found["loss"]) == pytest.approx(report.loss.item(), rel=1e-5)


def test_gradient_scale_is_one(folder: Path, tiny_checkpoint: Path) -> None:
    """Neither 1 / ranks nor ranks: DDP averages, and every rank has computed the whole loss."""
    network, drawn = network_of(tiny_checkpoint), samples(folder)
    scenario = SCENARIOS["equal shares"]
    step = step_of(network, [drawn[number] for share in scenario.shares for number in share], 1000)
    one_big_batch(network, step, Objective(CONFIG))
    expected = torch.cat([gradient.flatten() for gradient in taken_gradients(network).values()])
    for found in results(folder, "equal shares"):
        gradient = torch.cat([gradient.flatten() for gradient in found["gradients"].values()])
        assert float(gradient @ expected / (expected @ expected)) == pytest.approx(1.0, abs=1e-5)


def test_scenarios_are_what_they_say(folder: Path) -> None:
    chunks = {name: [found["chunks"] for found in results(folder, name)] for name in SCENARIOS}
    assert chunks["different numbers of chunks"][0] == 1 < chunks["different numbers of chunks"][1]
    assert chunks["a rank without samples"][1] == 0 < chunks["a rank without samples"][0]
    assert chunks["a rank whose one chunk has no image"] == [1, 1]
    assert chunks["as many chunks as ranks"] == [WORLD, WORLD]  # was once taken for one process with one chunk
    texts = samples(folder)
    assert not any(side.images for number in SCENARIOS["a rank whose texts have no image"].shares[1]
                   for side in (texts[number].query, texts[number].positive, *texts[number].negatives))  # fmt: skip


def test_gradients_travel_once_a_step(folder: Path) -> None:
    """However many chunks there are: all but the last one's backward leave their gradients on the rank."""
    one_chunk = results(folder, "a rank whose one chunk has no image")[0]["reduced"]
    assert one_chunk > 0
    for found in results(folder, "different numbers of chunks"):
        assert found["reduced"] == one_chunk


def test_a_step_without_samples_on_any_rank(folder: Path) -> None:
    for found in results(folder, "no sample anywhere"):
        assert float(found["loss"]) == 0.0
        assert not any(gradient.any() for gradient in found["gradients"].values())


def test_the_global_batch_is_the_same_on_every_rank(folder: Path) -> None:
    seen = results(folder, "seen")
    parts = [numbered_batch(rank) for rank in range(WORLD)]
    for rank, found in enumerate(seen):
        assert (found["rows"], found["negatives"]) == [(slice(0, 3), slice(0, 2)), (slice(3, 4), slice(2, 6))][rank]
        for name, value in found["whole"].items():
            if name == "owner":
                assert value.tolist() == [0, 1, 3, 3, 3, 3], "owners count the rows of all ranks"
            elif isinstance(value, torch.Tensor):
                expected = torch.cat([getattr(part, name) for part in parts])
                assert value.dtype == expected.dtype and torch.equal(value, expected) and not value.requires_grad


def test_ranks_that_disagree_all_say_so(folder: Path) -> None:
    assert all("ranks disagree" in found["error"] for found in results(folder, "seen"))


def test_without_a_group_the_batch_is_the_global_one() -> None:
    own = numbered_batch(0)
    whole, rows, negatives = gather_batch(own)
    assert (rows, negatives) == (slice(0, 3), slice(0, 2))
    assert all(torch.equal(value, getattr(own, name)) for name, value in vars(whole).items()
               if isinstance(value, torch.Tensor))  # fmt: skip
