"""Plans of runs: their numbers against the training they plan, and against sums done by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from trainer.config import TrainConfig, load_config
from trainer.cost import Work
from trainer.data import JsonlSamples
from trainer.errors import ConfigError, DataError
from trainer.hardware import DEVICES, GB, device
from trainer.plan import PEAK_SHARE, TrainPlan, plan
from trainer.token_counts import measured

PUBLISHED = Path(__file__).parents[2] / "trainer" / "configs" / "qwen2VL2B.yaml"
LORA = PUBLISHED.with_name("lora2B.yaml")


@pytest.fixture(scope="module")
def published() -> TrainPlan:
    return plan(load_config(PUBLISHED), gpu="h100", gpus=4, strategy="fsdp")


def small(folder: Path, checkpoint: Path | str, lines: list[dict[str, Any]], **changes: Any) -> TrainConfig:
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.yaml").write_text(
        json.dumps({"output": "out", "model": {"checkpoint": str(checkpoint)}, "data": {"train": "train.jsonl"}})
    )
    return load_config(folder / "run.yaml", {name.replace("__", "."): value for name, value in changes.items()})


def samples(folder: Path, count: int = 24) -> list[dict[str, Any]]:
    """Pages of two sizes asked about, and pairs of texts, some with a negative."""
    for name, size in {"tall": (56, 112), "wide": (112, 84)}.items():
        Image.new("RGB", size, "white").save(folder / f"{name}.png")
    found: list[dict[str, Any]] = []
    for number in range(count):
        if number % 3:
            image = "tall.png" if number % 2 else "wide.png"
            query: dict[str, Any] = {"text": "Tổng cộng bao nhiêu? " * (number % 4 + 1), "images": [image]}
            found.append({"task": "ocr", "query": query, "positive": {"text": "12.000 đồng " * number + "x"}})
        else:
            found.append({"task": "text_pair", "query": {"text": "a cat"}, "positive": {"text": "một con mèo"}})
        if number % 5 == 0:
            found[-1]["negatives"] = [{"text": "một con chó"}]
    return found


def test_the_published_run_in_steps(published: TrainPlan) -> None:
    assert published.step.samples == 768
    assert published.steps_per_epoch == math.ceil(11_000_000 / 768) == 14_323
    assert published.steps == 28_646
    assert published.trainable == published.parameters.total


def test_time_is_flops_over_speed(published: TrainPlan) -> None:
    per_second = published.device.peak * PEAK_SHARE
    assert published.hours == pytest.approx(published.flops.total * published.steps / per_second / 3600)
    halved = plan(load_config(PUBLISHED), gpu="h100", gpus=4, strategy="fsdp", share=PEAK_SHARE / 2)
    assert halved.hours == pytest.approx(2 * published.hours)
    # Each parameter and token: 8 FLOPs (two forwards, a backward of twice one), more for layers computed again.
    work, parameters = published.step.work, published.parameters
    least = 8 * (work.tokens * parameters.language + work.patches * parameters.vision)
    assert 1.0 < published.flops.total / least < 1.5


def test_sharding_divides_what_it_shards(published: TrainPlan) -> None:
    whole = plan(load_config(PUBLISHED), gpu="h100", gpus=4, strategy="ddp")
    sizes = {item.name.partition(",")[0]: item.bytes for item in published.memory}
    alone = {item.name.partition(",")[0]: item.bytes for item in whole.memory}
    assert alone["weights"] == 4 * whole.parameters.total
    for name in ("weights", "gradients", "AdamW: two moments"):
        assert sizes[name] == pytest.approx(alone[name] / 4)
    assert published.memory_total < whole.memory_total
    assert published.memory_total == sum(item.bytes for item in published.memory)
    zero = plan(load_config(PUBLISHED), gpu="h100", gpus=4, strategy="zero3")
    assert published.fits and zero.fits


def test_checkpointing_trades_flops_for_memory(published: TrainPlan) -> None:
    config = load_config(PUBLISHED, {"model.gradient_checkpointing": False})
    without = plan(config, gpu="h100", gpus=4, strategy="fsdp")
    assert without.flops.recomputed == 0 < published.flops.recomputed
    assert without.flops.total == pytest.approx(published.flops.total - published.flops.recomputed)
    assert without.memory_total > 3 * published.memory_total
    assert not without.fits
    text = str(without)
    assert "DOES NOT FIT" in text and "model.gradient_checkpointing: true" in text


def test_advice_fits_when_followed() -> None:
    config = load_config(PUBLISHED, {"model.gradient_checkpointing": False})
    refused = plan(config, gpu="h100", gpus=4, strategy="fsdp")
    assert refused.advice
    for change in refused.advice:
        fields = dict(part.split(": ") for part in change.name.split(" and ") if not part.startswith("--"))
        followed = load_config(
            PUBLISHED,
            {"model.gradient_checkpointing": False} | {name: json.loads(value) for name, value in fields.items()},
        )
        better = plan(followed, gpu="h100", gpus=4, strategy="fsdp")
        assert better.fits and better.memory_total == pytest.approx(change.bytes)


def test_lora_fits_a_small_gpu() -> None:
    adapted = plan(load_config(LORA), gpu="rtx4090", samples=1000)
    assert adapted.fits and adapted.trainable < 0.01 * adapted.parameters.total
    # Nothing in or before the vision tower learns: it is computed, never differentiated.
    flops = adapted.flops
    assert flops.backward < flops.forward and flops.recomputed < flops.forward
    full = plan(load_config(LORA, {"model.lora": None}), gpu="rtx4090", samples=1000)
    assert not full.fits


def test_samples_of_a_file(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = small(tmp_path, tiny_checkpoint, samples(tmp_path, 24), optimization__per_device_batch=2)
    made = plan(config)
    assert made.samples == 24 and made.step.samples == 16
    assert (made.steps_per_epoch, made.steps) == (2, 4)
    weighted = small(tmp_path, tiny_checkpoint, samples(tmp_path, 24), data__sampling={"text_pair": 2.0, "ocr": 0.5})
    assert plan(weighted).samples == 8 * 2 + 16 // 2
    shortened = small(tmp_path, tiny_checkpoint, samples(tmp_path, 24), optimization__max_steps=3)
    assert plan(shortened).steps == 3


def test_tokens_and_chunks_are_those_that_training_makes(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """Against the trainer's own collator, on one step that holds the whole file."""
    from embedder.model import ColPaLiQwenEmbedder
    from trainer.loading import StepCollator
    from trainer.objective import OBJECTIVES

    config = small(
        tmp_path,
        tiny_checkpoint,
        samples(tmp_path, 24),
        optimization__per_device_batch=4,
        optimization__accumulation=6,
        optimization__token_budget=700,
    )
    made = plan(config)
    processor = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu").processor
    collator = StepCollator(processor, 512, 5, 4, 700, tuple(OBJECTIVES))
    data = JsonlSamples(config.data.train)
    step = collator([data[number] for number in range(len(data))])
    assert step.bad == ()
    assert made.step.chunks == len(step.chunks)
    assert made.step.visual + made.step.text == pytest.approx(step.tokens)
    done = Work()
    for chunk in step.chunks:
        rows, length = chunk.inputs["input_ids"].shape
        patches = chunk.inputs["image_grid_thw"].prod(dim=1) if "image_grid_thw" in chunk.inputs else torch.zeros(0)
        done += Work(rows, rows * length, rows * length**2, int(patches.sum()), int((patches**2).sum()))
    assert made.step.work == pytest.approx(done)
    assert 0 <= made.step.padding < 1


def test_without_a_tokenizer_text_is_counted_in_bytes(tmp_path: Path) -> None:
    config = small(tmp_path, "Qwen/Qwen2-VL-2B-Instruct", samples(tmp_path, 24))
    lengths = measured(config, JsonlSamples(config.data.train))
    assert "bytes of UTF-8 a token" in lengths.notes[0]
    pair = lengths.samples[0]
    assert pair[0].text == math.ceil(len("<text_pair> a cat") / 4) and pair[0].patches == ()
    asked = lengths.samples[1]
    assert asked[0].patches == (4 * 8,)  # the tall page: 56 x 112 pixels


def test_broken_lines_are_left_out_and_told(tmp_path: Path, tiny_checkpoint: Path) -> None:
    lines = [*samples(tmp_path, 6), {"task": "ocr", "query": {"text": "?", "images": ["gone.png"]}}]
    made = plan(small(tmp_path, tiny_checkpoint, lines))
    assert any("1 of 7 lines cannot be read" in note and "gone.png" in note for note in made.notes)
    with pytest.raises(DataError, match="none of 1 lines"):
        plan(small(tmp_path, tiny_checkpoint, lines[-1:]))


def test_given_tokens_replace_measured_ones(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = small(tmp_path, tiny_checkpoint, samples(tmp_path, 6), optimization__per_device_batch=3)
    made = plan(config, tokens_per_sample=(100, 30), samples=240)
    assert made.step.visual == 100 * made.step.samples and made.step.text == 30 * made.step.samples
    assert made.steps_per_epoch == 10
    texts = plan(config, tokens_per_sample=(0, 30), samples=240)
    assert texts.step.visual == 0 == texts.full_chunk.patches


def test_one_chunk_on_one_device_needs_no_second_forward(tmp_path: Path, tiny_checkpoint: Path) -> None:
    lines = [{name: side for name, side in line.items() if name != "negatives"} for line in samples(tmp_path, 6)]
    config = small(tmp_path, tiny_checkpoint, lines, optimization__accumulation=1, optimization__per_device_batch=24)
    assert plan(config).step.chunks == 1
    assert plan(config).flops.cached == 0
    assert plan(config, gpus=2).flops.cached > 0


def test_no_file_and_no_number_is_an_error(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = small(tmp_path, tiny_checkpoint, samples(tmp_path, 6))
    config.data.train.unlink()
    with pytest.raises(ConfigError, match=r"data\.train: .*train\.jsonl does not exist"):
        plan(config)
    assert plan(config, samples=100).samples == 100


def test_the_text_holds_the_numbers(published: TrainPlan) -> None:
    text = str(published)
    for expected in ("2,210.6 M", "11,000,000", "768 (192 on each GPU)", "28,646", "H100 SXM 80 GB", "AdamW"):
        assert expected in text
    assert all(known.name in text for known in DEVICES.values())
    assert "Measured or assumed" in text and "35% of the device's peak" in text


def test_devices() -> None:
    assert device("H100").peak == 989e12 and device("a100-40").memory == 40 * GB
    with pytest.raises(ConfigError, match="no GPU named 'h1000'"):
        device("h1000")
    with pytest.raises(ConfigError, match="at least 1 GPU"):
        plan(load_config(PUBLISHED), gpus=-1)


def test_this_cpu_is_measured() -> None:
    here = device("cpu")
    assert 1e8 < here.peak < 1e15 and here.memory > GB
