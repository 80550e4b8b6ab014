"""GradCache on a tiny real Qwen2-VL: the gradient of the one big batch, chunk by chunk, on one rank and on several."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.tiny_step import (
    CONFIG,
    cached,
    difference,
    draw_pictures,
    network_of,
    one_big_batch,
    samples,
    step_of,
    taken_gradients,
)
from trainer import grad_cache
from trainer.grad_cache import GradCache
from trainer.network import TrainableEmbedder
from trainer.objective import Objective
from trainer.sample_format import TrainSample

EVERYTHING = 1000


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[TrainSample]:
    return samples(draw_pictures(tmp_path_factory.mktemp("pictures")))


@pytest.fixture
def network(tiny_checkpoint: Path) -> TrainableEmbedder:
    return network_of(tiny_checkpoint)


@pytest.mark.parametrize("per_chunk", [1, 3, 6])
@pytest.mark.parametrize("mixing", ["mixed", "homogeneous"])
@pytest.mark.parametrize("matryoshka", [(), (64, 256)])
def test_gradients_equal_those_of_the_one_big_batch(network, drawn, per_chunk: int, mixing, matryoshka) -> None:
    objective = Objective(CONFIG, matryoshka, mixing)
    expected_report = one_big_batch(network, step_of(network, drawn, EVERYTHING), objective)
    expected = taken_gradients(network)
    step = step_of(network, drawn, per_chunk)
    kinds = {("pixel_values" in chunk.inputs, len(set(chunk.kinds.tolist()))) for chunk in step.chunks}
    assert len(step.chunks) >= 3 and {True, False} == {images for images, _ in kinds}, "texts apart, and with images"
    report = cached(network, step, objective)
    assert difference(taken_gradients(network), expected) < 1e-5
    torch.testing.assert_close(report.rows, expected_report.rows, rtol=0, atol=1e-5)
    assert report.metrics.keys() == expected_report.metrics.keys()
    assert not report.loss.requires_grad and float(report.loss) == pytest.approx(expected_report.loss.item(), rel=1e-5)


def test_a_single_chunk_takes_one_pass(network, drawn) -> None:
    calls = []
    step = step_of(network, drawn, EVERYTHING)

    def embed(inputs: dict[str, Tensor]) -> Tensor:
        calls.append(torch.is_grad_enabled())
        return network(inputs)

    GradCache(embed, Objective(CONFIG)).step(step)
    found = taken_gradients(network)
    one_big_batch(network, step, Objective(CONFIG))
    assert calls == [True] and difference(found, taken_gradients(network)) < 1e-6


def test_gradients_add_to_what_is_there(network, drawn) -> None:
    step = step_of(network, drawn, 3)
    cached(network, step, Objective(CONFIG))
    once = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    cached(network, step, Objective(CONFIG))
    assert difference(taken_gradients(network), {name: 2 * gradient for name, gradient in once.items()}) < 1e-6


class Dropped(nn.Module):
    """A network whose vectors lose some entries, on top of its dropped attention."""

    def __init__(self, network: TrainableEmbedder) -> None:
        super().__init__()
        self.network = network
        self.dropout = nn.Dropout(0.2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return nn.functional.normalize(self.dropout(self.network(inputs)), dim=-1)


@pytest.mark.parametrize("replayed", [True, False])
def test_dropout_is_replayed(tiny_checkpoint, drawn, replayed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both passes drop the same units; without the replay (the second case) the gradient is another one."""
    if not replayed:
        monkeypatch.setattr(grad_cache._RandomState, "restore", lambda self: None)
    network = Dropped(network_of(tiny_checkpoint, attention_dropout=0.3)).train()
    step = step_of(network.network, drawn, 3)
    assert len(step.chunks) > 3
    torch.manual_seed(11)
    one_big_batch(network, step, Objective(CONFIG))
    expected, after = taken_gradients(network), torch.get_rng_state()
    torch.manual_seed(11)
    cached(network, step, Objective(CONFIG))
    deviation = difference(taken_gradients(network), expected)
    if replayed:
        assert deviation < 1e-5
        assert torch.equal(torch.get_rng_state(), after), "the next step's numbers do not depend on the second pass"
    else:
        assert deviation > 1e-2


def test_dropout_is_replayed_under_gradient_checkpointing(tiny_checkpoint, drawn) -> None:
    found = []
    for checkpointing in (False, True):
        network = network_of(tiny_checkpoint, attention_dropout=0.3, checkpointing=checkpointing)
        torch.manual_seed(5)
        cached(network, step_of(network, drawn, 3), Objective(CONFIG))
        found.append(taken_gradients(network))
    assert difference(found[1], found[0]) < 1e-5


class SavedBytes:
    """Bytes of activations that autograd holds, at most at one time."""

    def __init__(self) -> None:
        self.held = self.peak = 0

    def pack(self, tensor: Tensor) -> Any:
        box = [tensor]
        keeper = _Keeper(box)
        size = tensor.numel() * tensor.element_size()
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(keeper, self._release, size)
        return keeper

    def _release(self, size: int) -> None:
        self.held -= size

    def __enter__(self) -> "SavedBytes":
        gc.collect()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda keeper: keeper.box[0])
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)


class _Keeper:
    def __init__(self, box: list[Tensor]) -> None:
        self.box = box


def test_the_second_pass_holds_the_graph_of_one_chunk(network, drawn) -> None:
    """Peak of saved activations: that of the largest chunk, not of their sum."""
    parts = [step_of(network, [sample], EVERYTHING) for sample in drawn]
    alone = []
    for part in parts:
        with SavedBytes() as saved:
            network(part.chunks[0].to("cpu").inputs).sum().backward()
        assert saved.held == 0
        alone.append(saved.peak)
    chunked = step_of(network, drawn, 1)
    with SavedBytes() as saved:
        cached(network, chunked, Objective(CONFIG))
    largest = saved.peak
    with SavedBytes() as saved:
        one_big_batch(network, chunked, Objective(CONFIG))
    assert saved.peak > 0.8 * sum(alone), "what would be held without GradCache"
    assert largest < 1.3 * max(alone) < 0.3 * saved.peak


def test_a_step_without_samples_gives_zero_gradients(network) -> None:
    """All of them were bad: there is a gradient for every parameter, and it is zero."""
    report = cached(network, step_of(network, [], 3), Objective(CONFIG))
    assert float(report.loss) == 0.0 and report.metrics == {}
    assert not any(gradient.any() for gradient in taken_gradients(network).values())


def lost_rows(drawn_step: Any) -> Iterator[Any]:
    yield replace(drawn_step, chunks=drawn_step.chunks[1:])
    yield replace(drawn_step, chunks=[*drawn_step.chunks, drawn_step.chunks[0]])
    yield replace(drawn_step, owner=drawn_step.owner[1:], negative_keys=drawn_step.negative_keys[1:])


def test_lost_or_doubled_rows_are_refused(network, drawn) -> None:
    for wrong in lost_rows(step_of(network, drawn, 3)):
        with pytest.raises(ValueError, match="exactly once"):
            cached(network, wrong, Objective(CONFIG))
