"""Traps of training Qwen2-VL as an embedder, each a property of a tiny real network or of the loss.

Where each known trap is tested:

====  ==================================================  ==========================================================
 1    pooling must not see padding                        embedder/test_invariants: padding_side
 2    image grids, token types, order of images           embedder/test_invariants: image_order, a_marker_moves
 3    3-D positions, none cached from the last call       embedder/test_invariants: three_dimensional_positions;
                                                          embedder/test_encode: a_row_does_not_depend
 4    truncation hits text only                           embedder/test_invariants: truncation_drops_text
 5    batches planned by visual tokens                    embedder/test_invariants: memory_follows; trainer/test_loading
 6    template; a bad image costs its own row             embedder/test_encode: an_unreadable_image; test_checkpoint
 7    missing or unexpected weights                       embedder/test_checkpoint: fail_loudly
 8    the projection's module path                        embedder/test_checkpoint: layout_is_sentence_transformers
 9    unused parameters, caches, checkpointing            here
10    pixel rows of a batch; a batch without images       here; with processes in test_several_ranks
11    gradient scale on several ranks                     test_several_ranks: gradient_scale, two_ranks_equal
12    duplicates put a floor of ln k under InfoNCE        here
13    sums divided by global counts; weights of terms     here
14    easy negatives of other tasks                       test_objective: homogeneous_rows, mixed_rows
15    what the mean is taken over                         here
16    resuming is exact                                   test_sampling, test_training; random numbers: test_grad_cache
====  ==================================================  ==========================================================
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

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
from trainer.config import ObjectiveConfig
from trainer.network import TrainableEmbedder
from trainer.objective import EmbeddedBatch, Objective
from trainer.sample_format import Side, TrainSample

TEXTS = [TrainSample(line, "text_pair", Side(f"câu {line}"), Side(f"sentence {line}")) for line in range(1, 4)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[TrainSample]:
    return samples(draw_pictures(tmp_path_factory.mktemp("pictures")))


@pytest.fixture
def network(tiny_checkpoint: Path) -> TrainableEmbedder:
    return network_of(tiny_checkpoint)


# --- 9 ---------------------------------------------------------------------------------------------------------------


def test_every_parameter_is_used_and_nothing_is_cached(network, drawn) -> None:
    outputs: list[Any] = []
    network.model.register_forward_hook(lambda module, args, output: outputs.append(output))
    cached(network, step_of(network, drawn, 3), Objective(CONFIG))
    gradients = taken_gradients(network)  # fails where one is missing
    assert not [name for name in gradients if "lm_head" in name]
    unmoved = [name for name, gradient in gradients.items() if not gradient.any()]
    assert not unmoved, "no parameter is there for nothing"
    assert outputs and all(output.past_key_values is None for output in outputs)


def test_checkpointing_recomputes_both_towers_and_changes_nothing(tiny_checkpoint, drawn) -> None:
    """Also with frozen embeddings, where reentrant checkpointing would lose the gradients of the first layers."""
    found, runs = [], []
    for checkpointing in (False, True):
        network = network_of(tiny_checkpoint, checkpointing=checkpointing)
        network.model.get_input_embeddings().weight.requires_grad_(False)
        calls = {"vision": 0, "text": 0}

        def count(tower: str, calls: dict[str, int] = calls) -> Any:
            def hook(*_: object) -> None:
                calls[tower] += 1

            return hook

        network.model.visual.blocks[0].mlp.register_forward_pre_hook(count("vision"))
        network.model.language_model.layers[0].mlp.register_forward_pre_hook(count("text"))
        one_big_batch(network, step_of(network, drawn, 1000), Objective(CONFIG))
        found.append(taken_gradients(network))
        runs.append(calls)
    assert runs == [{"vision": 1, "text": 1}, {"vision": 2, "text": 2}]
    assert difference(found[1], found[0]) < 1e-6


# --- 10 --------------------------------------------------------------------------------------------------------------


def test_a_row_keeps_its_own_pixels_in_every_chunk(network, drawn) -> None:
    """Rows with none, one, two images of other sizes around it: the vector is that of the row alone."""

    def vectors(chosen: list[TrainSample], per_chunk: int) -> dict[tuple[int, int], Tensor]:
        with torch.no_grad():
            return {
                (kind, row): vector
                for chunk in step_of(network, chosen, per_chunk).chunks
                for kind, row, vector in zip(
                    chunk.kinds.tolist(), chunk.rows.tolist(), network(chunk.to("cpu").inputs), strict=True
                )
            }

    alone = [vectors([sample], 1000) for sample in drawn]
    for per_chunk in (1, 3, 1000):
        together = vectors(drawn, per_chunk)
        for row, own in enumerate(alone):
            for kind in (0, 1):
                assert (together[kind, row] - own[kind, 0]).abs().max() < 1e-5


def test_texts_alone_reach_every_parameter_and_move_no_vision_weight(network) -> None:
    cached(network, step_of(network, TEXTS, 1), Objective(CONFIG))
    for name, gradient in taken_gradients(network).items():
        assert bool(gradient.any()) != name.startswith("model.visual"), name


def test_the_blank_image_does_not_show_in_the_vectors(network) -> None:
    inputs = step_of(network, TEXTS, 1000).chunks[0].to("cpu").inputs
    with torch.no_grad():
        trained = network.train()(inputs)
        assert torch.equal(trained, network.eval()(inputs))


def test_the_towers_run_in_the_same_order_with_and_without_images(network, drawn) -> None:
    """FSDP and ZeRO-3 gather weights as modules run: another order on one rank mixes up the ranks' collectives."""
    order: list[str] = []
    network.model.visual.register_forward_pre_hook(lambda *_: order.append("vision"))
    network.model.language_model.register_forward_pre_hook(lambda *_: order.append("text"))
    network.model.visual.blocks[0].register_full_backward_hook(lambda *_: order.append("vision, backward"))
    network.model.language_model.layers[0].register_full_backward_hook(lambda *_: order.append("text, backward"))
    seen = []
    for chosen in (TEXTS, drawn[1:2]):
        inputs = step_of(network, chosen, 1000).chunks[0].to("cpu").inputs
        assert ("pixel_values" in inputs) == (chosen is not TEXTS)
        order.clear()
        network(inputs)[:, 0].sum().backward()
        seen.append(list(order))
    assert seen[0] == seen[1] == ["vision", "text", "text, backward", "vision, backward"]


# --- 12 --------------------------------------------------------------------------------------------------------------


def matched(copies: int, same_key: str | None) -> EmbeddedBatch:
    """Three perfect, orthogonal pairs, each `copies` times; the copies' contents differ unless a key says otherwise."""
    rows = 3 * copies
    vectors, pair = torch.eye(3).repeat_interleave(copies, 0), torch.arange(3).repeat_interleave(copies)
    keys = {
        name: pair + 10_000 if name == same_key else torch.arange(rows) + 100 * place
        for place, name in enumerate(("query_keys", "positive_keys", "groups"))
    }
    return EmbeddedBatch(
        queries=vectors, positives=vectors, negatives=vectors[:0], owner=pair[:0], negative_keys=pair[:0],
        tasks=torch.zeros(rows, dtype=torch.int64), scores=torch.ones(rows), task_names=("ocr",), **keys,
    )  # fmt: skip


@pytest.mark.parametrize("copies", [2, 4, 8])
def test_duplicates_are_a_floor_only_if_nobody_knows_them(copies: int) -> None:
    def contrast(same_key: str | None) -> float:
        return float(Objective(CONFIG)(matched(copies, same_key)).metrics["ocr/infonce"])

    assert contrast(None) == pytest.approx(math.log(copies), abs=1e-4)
    for key in ("query_keys", "positive_keys", "groups"):
        assert contrast(key) == pytest.approx(0.0, abs=1e-4)


# --- 13 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_chunk", [1, 2, 4])
def test_a_task_is_divided_by_its_count_in_all_chunks(network, drawn, per_chunk: int) -> None:
    """However tasks fall into chunks: not a mean of the chunks' means."""
    report = cached(network, step_of(network, drawn, per_chunk), Objective(CONFIG))
    names = [sample.task for sample in drawn]
    means = [sum(float(loss) for loss, name in zip(report.rows, names, strict=True) if name == task) / names.count(task)
             for task in set(names)]  # fmt: skip
    assert float(report.loss) == pytest.approx(sum(means), rel=1e-5)
    assert len({names.count(task) for task in names}) > 1, "otherwise the two means are the same"


def test_a_weight_scales_its_term_and_no_other() -> None:
    """1 - cos pulls as hard near the end as at the start, when InfoNCE's gradient is gone: its weight must work."""
    generator = torch.Generator().manual_seed(3)
    queries = torch.nn.functional.normalize(torch.eye(6, 16) + 0.02 * torch.randn(6, 16, generator=generator), dim=-1)
    keys = torch.arange(6)

    def gradient(config: ObjectiveConfig) -> Tensor:
        leaf = queries.clone().requires_grad_()
        batch = EmbeddedBatch(
            queries=leaf, positives=torch.eye(6, 16), negatives=torch.zeros(0, 16), owner=keys[:0],
            tasks=torch.zeros(6, dtype=torch.int64), scores=torch.ones(6), query_keys=keys, positive_keys=keys + 10,
            negative_keys=keys[:0], groups=keys, task_names=("instr",),
        )  # fmt: skip
        return torch.autograd.grad(Objective(config)(batch).loss, leaf)[0]

    contrastive = gradient(ObjectiveConfig(only_contrastive=True))
    pulls = [gradient(ObjectiveConfig(weights={"cosine": weight})) - contrastive for weight in (0.0, 0.5, 1.0)]
    assert not pulls[0].any()
    torch.testing.assert_close(2 * pulls[1], pulls[2])
    assert pulls[2].norm() > 100 * contrastive.norm()


# --- 15 --------------------------------------------------------------------------------------------------------------


def test_the_mean_is_over_all_real_tokens_template_and_image_included(network, drawn) -> None:
    chunk = step_of(network, drawn, 1000).chunks[0].to("cpu")
    with torch.no_grad():
        found, states = network(chunk.inputs), network.token_states(chunk.inputs)
        for row, mask in enumerate(chunk.inputs["attention_mask"].bool()):
            vector = network.projection.weight @ states[row][mask].mean(dim=0)
            assert (found[row] - vector / vector.norm()).abs().max() < 1e-5
