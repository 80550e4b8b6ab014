"""StepCollator: a step's chunks hold every side once, within their budgets, as `encode` sees it; bad data are said."""

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from embedder.model import ColPaLiQwenEmbedder
from embedder.pixels import PixelBudget, patches
from embedder.prefixes import TASKS
from trainer import loading
from trainer.data import JsonlSamples, Side, TrainSample
from trainer.errors import DataError
from trainer.loading import NEGATIVE, POSITIVE, QUERY, StepBatch, StepCollator, content_key
from trainer.pixel_bytes import PixelBytes
from trainer.sampling import StepSampler


@pytest.fixture(scope="module")
def embedder(tiny_checkpoint: Path) -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """p0.png ... p5.png of different sizes and noise; turned.jpg needs its EXIF orientation."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for number in range(6):
        shape = (30 + 17 * number, 120 - 11 * number, 3)
        Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"p{number}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise.integers(0, 256, (40, 90, 3), dtype=np.uint8)).save(folder / "turned.jpg", exif=exif)
    return folder


def collator(embedder: ColPaLiQwenEmbedder, **options: Any) -> StepCollator:
    settings = {"max_tokens": 512, "max_images": 5, "per_chunk": 4, "token_budget": 200, "task_names": TASKS, **options}
    return StepCollator(embedder.processor, **settings)


def sample(line: int = 1, **fields: Any) -> TrainSample:
    return TrainSample(**{"line": line, "task": "ocr", "query": Side("q"), "positive": Side("p"), **fields})


def scattered(step: StepBatch, embed: Callable[[dict[str, torch.Tensor]], torch.Tensor]) -> dict[tuple[int, int], Any]:
    """What `embed` gives for each side, by (kind, row); no side twice."""
    found: dict[tuple[int, int], Any] = {}
    for chunk in step.chunks:
        values = embed(chunk.to("cpu").inputs)
        for kind, row, value in zip(chunk.kinds.tolist(), chunk.rows.tolist(), values, strict=True):
            assert (kind, row) not in found
            found[kind, row] = value
    return found


def test_chunks_give_the_vectors_of_encode(embedder: ColPaLiQwenEmbedder, pictures: Path) -> None:
    pages = [pictures / f"p{number}.png" for number in range(6)]
    samples = [
        sample(1, query=Side("tổng <image> là?", (pages[0], pages[1])), negatives=(Side("n1"), Side("", (pages[2],)))),
        sample(2, task="instr", positive=Side("", (pages[3], pictures / "turned.jpg"))),
        sample(3, task="text_pair", query=Side("<text_pair> a"), positive=Side("b " * 300), negatives=(Side("n3"),)),
        sample(4, task="vqa_multi", query=Side("", tuple(pages[:5]))),
    ]
    step = collator(embedder)(samples)
    assert step.bad == () and step.owner.tolist() == [0, 0, 2] and len(step.chunks) > 2
    with torch.inference_mode():
        found = scattered(step, lambda inputs: torch.nn.functional.normalize(embedder(inputs), dim=-1))
    negatives = [side for entry in samples for side in entry.negatives]
    sides = {(QUERY, row): (entry.query, entry.task) for row, entry in enumerate(samples)}
    sides |= {(POSITIVE, row): (entry.positive, None) for row, entry in enumerate(samples)}
    sides |= {(NEGATIVE, row): (side, None) for row, side in enumerate(negatives)}
    assert found.keys() == sides.keys()
    for place, (side, task) in sides.items():
        images = [Image.open(path) for path in side.images]
        expected = embedder.encode(text=side.text, images=images or None, task=task)[0]  # type: ignore[arg-type]
        assert torch.allclose(found[place], expected, atol=1e-5), place


def test_pixels_are_those_of_the_embedder_to_the_last_bit(embedder: ColPaLiQwenEmbedder, pictures: Path) -> None:
    path = pictures / "turned.jpg"
    [chunk] = collator(embedder)([sample(positive=Side("", (path,)))]).chunks
    rows, grid = patches(Image.open(path), PixelBudget.of(embedder.processor.image_processor))
    assert chunk.inputs["pixel_values"].dtype == torch.uint8
    assert torch.equal(chunk.to("cpu").inputs["pixel_values"], torch.from_numpy(rows))
    assert chunk.inputs["image_grid_thw"].tolist() == [[1, *grid]]


def test_every_byte_survives_the_way_to_numbers_and_back() -> None:
    budget = PixelBudget(1, 1, 14, 2, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 3)
    pixels = PixelBytes.of(budget)
    levels = np.tile(np.arange(256, dtype=np.uint8), 3)[None]
    numbers = pixels.restore(torch.from_numpy(levels))
    assert np.array_equal(pixels.reduce(numbers.numpy()), levels)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(0, 3)), max_size=12),
    per_chunk=st.integers(1, 5),
    token_budget=st.integers(1, 150),
)
def test_every_side_is_in_one_chunk_and_budgets_hold(
    embedder: ColPaLiQwenEmbedder,
    pictures: Path,
    shape: list[tuple[int, int, int]],
    per_chunk: int,
    token_budget: int,
) -> None:
    samples = [
        sample(
            line=row + 1,
            query=Side(f"q{row}" + "x" * length, tuple(pictures / f"p{number}.png" for number in range(images))),
            positive=Side(f"p{row}" + "y" * (length // 2)),
            negatives=tuple(Side(f"n{row}.{number}") for number in range(negatives)),
        )
        for row, (length, images, negatives) in enumerate(shape)
    ]
    step = collator(embedder, per_chunk=per_chunk, token_budget=token_budget)(samples)
    tokenizer = embedder.processor.tokenizer

    def texts(inputs: dict[str, torch.Tensor]) -> list[str]:
        pairs = zip(inputs["input_ids"], inputs["attention_mask"].bool(), strict=True)
        return [tokenizer.decode(ids[mask], skip_special_tokens=True).strip() for ids, mask in pairs]

    negatives = [side.text for entry in samples for side in entry.negatives]
    expected = {(QUERY, row): entry.query.text for row, entry in enumerate(samples)}
    expected |= {(POSITIVE, row): entry.positive.text for row, entry in enumerate(samples)}
    expected |= {(NEGATIVE, row): text for row, text in enumerate(negatives)}
    assert scattered(step, texts) == expected
    assert step.owner.tolist() == [row for row, entry in enumerate(samples) for _ in entry.negatives]
    assert step.tokens == sum(int(chunk.inputs["attention_mask"].sum()) for chunk in step.chunks)
    for chunk in step.chunks:
        rows, longest = chunk.inputs["input_ids"].shape
        assert rows <= 2 * per_chunk and (rows == 1 or rows * longest <= token_budget)
        pads = int(chunk.inputs["mm_token_type_ids"].sum())
        grids = chunk.inputs.get("image_grid_thw", torch.zeros(0, 3, dtype=torch.int64))
        assert pads * 4 == int(grids.prod(-1).sum()) == len(chunk.inputs.get("pixel_values", ()))


def broken_files(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Files that are no images in different ways, and what is said of each."""

    def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    png = saved(noise, "PNG")
    bomb = bytearray(saved(noise, "BMP"))
    bomb[18:26] = (20_000).to_bytes(4, "little") * 2  # a header that promises 400 megapixels
    return {
        "zero.png": ("zero.png is no image that can be read", b""),
        "text.jpg": ("text.jpg is no image that can be read", b"<html>404</html>"),
        "cut.jpg": ("cut.jpg cannot be decoded", saved(noise, "JPEG")[:800]),
        "cut.png": ("cut.png cannot be decoded", png[: len(png) // 2]),
        "bomb.bmp": ("bomb.bmp cannot be opened: Image size (400000000 pixels) exceeds", bytes(bomb)),
        "strip.png": ("strip.png: the image is 402x2 pixels", saved(noise.resize((402, 2)), "PNG")),
    }


BROKEN = tuple(broken_files(Path()))


@pytest.mark.parametrize("name", [*BROKEN, "missing.png"])
def test_a_broken_image_costs_its_sample_and_is_named(
    embedder: ColPaLiQwenEmbedder, pictures: Path, tmp_path: Path, name: str
) -> None:
    reason, content = broken_files(tmp_path).get(name, ("missing.png cannot be opened: [Errno 2] No such file", None))
    if content is not None:
        (tmp_path / name).write_bytes(content)
    page = pictures / "p0.png"
    samples = [
        sample(3, query=Side("first"), negatives=(Side("a"),)),
        sample(
            4, query=Side("second", (page,)), negatives=(Side("b"), Side("c", (page, tmp_path / name))), file="t.jsonl"
        ),
        sample(5, task="instr", query=Side("third"), score=0.5, negatives=(Side("d"), Side("e"))),
    ]
    step = collator(embedder)(samples)
    assert len(step.bad) == 1 and step.bad[0].startswith(f"t.jsonl:4: negatives[1].images[1]: {reason}")
    without = collator(embedder)([samples[0], samples[2]])
    assert step.owner.tolist() == [0, 1, 1]
    assert step.tasks.tolist() == [TASKS.index("ocr"), TASKS.index("instr")]
    assert step.scores.tolist() == [1.0, 0.5]
    for field in ("query_keys", "positive_keys", "negative_keys", "groups"):
        assert torch.equal(getattr(step, field), getattr(without, field))
    ids = scattered(step, lambda inputs: inputs["input_ids"])
    expected = scattered(without, lambda inputs: inputs["input_ids"])
    assert ids.keys() == expected.keys()
    assert all(torch.equal(ids[place], expected[place]) for place in ids)


@pytest.mark.parametrize("fault", [ValueError("conversion not supported"), (np.zeros((4, 588), np.float32), (2, 2))])
def test_what_goes_wrong_behind_the_header_costs_the_sample_too(
    embedder: ColPaLiQwenEmbedder, pictures: Path, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """Pixels of another size than the plan was made for would stop the model, and the run with it."""

    def faulty(*_: Any) -> Any:
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(loading, "patches", faulty)
    step = collator(embedder)([sample(1, positive=Side("", (pictures / "p5.png",))), sample(2)])
    [message] = step.bad
    assert message in (
        "line 1: positive.images[0]: p5.png cannot be converted: conversion not supported",
        "line 1: positive.images[0]: p5.png is not of the size its header says",
    )
    assert len(step.tasks) == 1 and (QUERY, 0) in scattered(step, lambda inputs: inputs["input_ids"])


def test_other_reasons_to_leave_a_sample_out(embedder: ColPaLiQwenEmbedder, pictures: Path) -> None:
    page = pictures / "p5.png"
    step = collator(embedder, max_tokens=12, max_images=2)(
        [
            DataError("t.jsonl:1: score: 7 is outside 0 to 1"),
            sample(2, task="new"),
            sample(3, query=Side("<instr> x")),
            sample(4, positive=Side("", (page, page, page))),
            sample(5, positive=Side("", (page, page))),
            sample(6, query=Side("")),
            sample(7),
        ]
    )
    assert [message.removeprefix("line ") for message in step.bad] == [
        "t.jsonl:1: score: 7 is outside 0 to 1",
        f"2: task: unknown task 'new' (known: {', '.join(TASKS)})",
        "3: query.text: task='ocr', but the text already starts with <instr>",
        "4: positive: 3 images, but this checkpoint allows 2 in one sample",
        "5: positive: its images take 20 tokens, the limit is 12: lower max_pixels or send fewer images",
        "6: query: the sample is empty: it has neither text nor an image",
    ]
    assert len(step.tasks) == 1


@pytest.mark.parametrize("samples", [[], [DataError("t.jsonl:1: task: is missing")]])
def test_a_step_without_a_good_sample_has_no_chunks(embedder: ColPaLiQwenEmbedder, samples: list[Any]) -> None:
    step = collator(embedder)(samples)
    assert step.chunks == [] and step.tokens == 0 and len(step.bad) == len(samples)
    integers = (step.owner, step.tasks, step.query_keys, step.positive_keys, step.negative_keys, step.groups)
    assert {(tensor.dtype, tuple(tensor.shape)) for tensor in integers} == {(torch.int64, (0,))}
    assert (step.scores.dtype, tuple(step.scores.shape)) == (torch.float32, (0,))


@pytest.mark.parametrize(
    ("task", "text", "prefixes", "seen"),
    [
        ("ocr", "q", True, "<ocr> q"),
        ("ocr", "<ocr> q", True, "<ocr> q"),
        ("ocr", "q", False, "q"),
        ("ocr", "<ocr> q", False, "q"),
        ("caption", "q", True, "q"),
        ("caption", "<caption> q", True, "<caption> q"),
    ],
)
def test_the_prefix_is_on_the_query_alone(
    embedder: ColPaLiQwenEmbedder, task: str, text: str, prefixes: bool, seen: str
) -> None:
    collate = collator(embedder, prefixes=prefixes, task_names=(*TASKS, "caption"))
    step = collate([sample(task=task, query=Side(text), negatives=(Side("n"),))])
    found = scattered(step, lambda inputs: [ids[mask.bool()] for ids, mask in zip(*map(inputs.get, IDS), strict=True)])
    decoded = {place: embedder.processor.tokenizer.decode(ids) for place, ids in found.items()}
    assert decoded == {(QUERY, 0): seen, (POSITIVE, 0): "p", (NEGATIVE, 0): "n"}


IDS = ("input_ids", "attention_mask")


def test_keys_are_of_content_not_of_names(embedder: ColPaLiQwenEmbedder, pictures: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes((pictures / "p0.png").read_bytes())
    first, second = (pictures / f"p{number}.png" for number in range(2))
    same = [
        sample(1, query=Side("Đúng  vậy", (first, second)), positive=Side("Yes"), negatives=(Side("x"),)),
        sample(2, query=Side("<ocr> đu\u0301ng vậy\n", (copy, second)), positive=Side("yes "), negatives=(Side("X"),)),
    ]
    step = collator(embedder)(same)
    for keys in (step.query_keys, step.positive_keys, step.negative_keys):
        assert keys[0] == keys[1] and keys.min() >= 0
    assert step.groups[0] != step.groups[1]
    other = [Side("Đúng vậy", (second, first)), Side("Đúng vậy", (first,)), Side("Đúng vậy"), Side("", (first, second))]
    step = collator(embedder)([sample(row, query=side) for row, side in enumerate([same[0].query, *other])])
    assert len(set(step.query_keys.tolist())) == 5


def test_keys_stay_the_same_from_process_to_process() -> None:
    assert content_key("Yes", []) == 3646899820589589183


def test_groups_join_lines_and_lines_join_themselves(embedder: ColPaLiQwenEmbedder) -> None:
    lines = [(1, "a"), (2, "a"), (3, "b"), (4, None), (5, None), (4, None), (6, "4")]
    groups = collator(embedder)([sample(line, group=group) for line, group in lines]).groups.tolist()
    assert [groups.index(group) for group in groups] == [0, 0, 2, 3, 4, 3, 6]


def test_no_file_stays_open(embedder: ColPaLiQwenEmbedder, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes((pictures / "p5.png").read_bytes()[:2000])

    def open_files() -> set[str]:
        return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}

    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        step = collator(embedder)(
            [sample(1, query=Side("", (pictures / "p1.png",))), sample(2, query=Side("", (tmp_path / "cut.png",)))]
        )
    assert not [name for name in open_files() if name.endswith(".png")] and len(step.bad) == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_load_what_this_process_would(
    embedder: ColPaLiQwenEmbedder, pictures: Path, tmp_path: Path, method: str
) -> None:
    lines = [
        {"task": "ocr", "query": {"text": f"q{row}"}, "positive": {"images": [str(pictures / f"p{row % 6}.png")]}}
        for row in range(14)
    ]
    lines[5] = {"task": "ocr", "query": {"text": "x"}}
    path = tmp_path / "train.jsonl"
    path.write_text("\n\n".join(json.dumps(line) for line in lines))
    samples = JsonlSamples(path)
    collate = collator(embedder)

    def steps(**options: Any) -> list[StepBatch]:
        sampler = StepSampler(None, len(samples), 4)
        return list(DataLoader(samples, batch_sampler=sampler, collate_fn=collate, **options))

    here, there = steps(), steps(num_workers=1, multiprocessing_context=method)
    assert len(here) == len(there) == 4
    assert [step.bad for step in here if step.bad] == [(f"{path}:11: positive: is missing",)]
    for one, other in zip(here, there, strict=True):
        assert one.bad == other.bad and one.tokens == other.tokens
        assert torch.equal(one.positive_keys, other.positive_keys)
        for chunk, copy in zip(one.chunks, other.chunks, strict=True):
            assert chunk.inputs.keys() == copy.inputs.keys()
            assert all(torch.equal(tensor, copy.inputs[name]) for name, tensor in chunk.inputs.items())
            assert torch.equal(chunk.kinds, copy.kinds) and torch.equal(chunk.rows, copy.rows)


def test_a_file_changed_under_the_workers_stops_the_run(embedder: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    line = json.dumps({"task": "ocr", "query": {"text": "q"}, "positive": {"text": "p"}}) + "\n"
    path = tmp_path / "train.jsonl"
    path.write_text(line * 3)
    samples = JsonlSamples(path)
    path.write_text(line * 4)
    loader = DataLoader(samples, batch_size=3, collate_fn=collator(embedder), num_workers=1)
    with pytest.raises(DataError, match="changed while it was in use"):
        next(iter(loader))
