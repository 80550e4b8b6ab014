"""Samples of all tasks, and a tiny real network to train on them; shared by the tests of one process and of several."""

from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from trainer.config import ModelConfig, ObjectiveConfig
from trainer.grad_cache import GradCache
from trainer.loading import StepBatch, StepCollator
from trainer.network import TrainableEmbedder, trainable
from trainer.objective import OBJECTIVES, EmbeddedBatch, LossReport, Objective
from trainer.sample_format import Side, TrainSample

TASKS = tuple(OBJECTIVES)
CONFIG = ObjectiveConfig(multi_turn_margin=0.3)
BUDGET = 10**6


def draw_pictures(folder: Path) -> Path:
    """Six small pictures of different sizes, 0.png to 5.png."""
    for number, size in enumerate([(56, 56), (84, 56), (56, 112), (112, 112), (84, 84), (56, 84)]):
        image = Image.new("RGB", size, (40 * number, 255 - 30 * number, 90))
        ImageDraw.Draw(image).ellipse((5, 5, 20 + 5 * number, 40), fill=(255, 255 - 50 * number, 0))
        image.save(folder / f"{number}.png")
    return folder


def samples(folder: Path) -> list[TrainSample]:
    """Twelve samples: every task twice or more, images on either side, explicit negatives, scores, equal answers."""

    def side(text: str, *numbers: int) -> Side:
        return Side(text, tuple(folder / f"{number}.png" for number in numbers))

    drawn = [
        ("text_pair", side("Hai con mèo"), side("Two cats"), (), 0.8, None),
        ("ocr", side("total?", 0), side("12,000 đ"), (side("9,000 đ"), side("12,500 đ")), 1.0, None),
        ("vqa_single", side("Is it round?", 1), side("yes"), (), 1.0, None),
        ("vqa_single", side("Is it yellow?", 2), side("Yes"), (side("no"),), 1.0, None),
        ("vqa_multi", side("compare", 3, 4), side("the second is smaller"), (), 1.0, "page 4"),
        ("instr", side("find the page"), side("", 4), (side("", 5),), 1.0, "page 4"),
        ("text_pair", side("a dog"), side("the stock market fell"), (), 0.0, None),
        ("ocr", side("", 5), side("a longer text that stands on that page, word for word"), (), 1.0, None),
        ("instr", side("which plot shows rain?"), side("rain", 2), (), 1.0, None),
        ("text_pair", side("我喜欢茶"), side("I like tea"), (), 1.0, None),
        ("vqa_multi", side("and then?", 0, 1), side("it rains"), (side("it snows"),), 1.0, None),
        ("text_pair", side("sông Hồng"), side("the Red River"), (side("the Black River"),), 0.4, None),
    ]
    return [TrainSample(line, *entry[:5], group=entry[5]) for line, entry in enumerate(drawn, start=1)]


def network_of(checkpoint: Path, attention_dropout: float = 0.0, checkpointing: bool = False) -> TrainableEmbedder:
    """The network a run would train, from a checkpoint on disk."""
    config = ModelConfig(checkpoint=str(checkpoint), precision="fp32", gradient_checkpointing=checkpointing)
    network = trainable(config)
    for module in network.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = attention_dropout
    return network


def step_of(network: TrainableEmbedder, chosen: list[TrainSample], per_chunk: int) -> StepBatch:
    """The samples as one step with `2 * per_chunk` rows in a chunk."""
    step = StepCollator(network.processor, 512, 5, per_chunk, BUDGET, TASKS)(chosen)
    assert not step.bad
    return step


def one_big_batch(network: TrainableEmbedder, step: StepBatch, objective: Objective) -> LossReport:
    """Embed everything with a graph, compute the loss, call backward: what GradCache must equal, without its code."""
    count = len(step.tasks)
    place: dict[tuple[int, int], Tensor] = {}
    for chunk in step.chunks:
        vectors = network(chunk.to("cpu").inputs)
        for kind, row, vector in zip(chunk.kinds.tolist(), chunk.rows.tolist(), vectors, strict=True):
            place[kind, row] = vector
    report = objective(EmbeddedBatch(
        queries=torch.stack([place[0, row] for row in range(count)]),
        positives=torch.stack([place[1, row] for row in range(count)]),
        negatives=torch.stack([place[2, number] for number in range(len(step.owner))]),
        owner=step.owner, tasks=step.tasks, scores=step.scores, query_keys=step.query_keys,
        positive_keys=step.positive_keys, negative_keys=step.negative_keys, groups=step.groups,
        task_names=step.task_names,
    ))  # fmt: skip
    report.loss.backward()
    return report


def cached(network: TrainableEmbedder, step: StepBatch, objective: Objective) -> LossReport:
    """The same by GradCache."""
    return GradCache(network, objective).step(step)


def taken_gradients(network: torch.nn.Module) -> dict[str, Tensor]:
    """The gradients of what is trained, which are gone afterwards. Fails if a parameter has none."""
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    missing = [name for name, parameter in trained.items() if parameter.grad is None]
    assert not missing, f"no gradient: {missing}"
    found = {name: parameter.grad.clone() for name, parameter in trained.items() if parameter.grad is not None}
    network.zero_grad(set_to_none=True)
    return found


def difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest deviation of any entry, relative to the largest entry of all gradients."""
    assert found.keys() == expected.keys()
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    return max(float((found[name] - expected[name]).abs().max()) for name in expected) / scale
