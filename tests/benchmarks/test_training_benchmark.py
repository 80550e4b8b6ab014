"""The training benchmark runs at tiny size; its memory counter counts what it should."""

import argparse
import importlib.util
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "training.py"
TINY = ["--chunk", "4", "--large", "16", "--compare", "8", "--words", "30", "--repeats", "1"]


@pytest.fixture(scope="module")
def benchmark() -> SimpleNamespace:
    """The script's names, as a user's `python benchmarks/training.py` defines them, without its main."""
    return SimpleNamespace(**runpy.run_path(str(BENCHMARK)))


def test_main_measures_and_writes_json(
    benchmark: SimpleNamespace, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "picture.png"
    Image.new("RGB", (84, 56), "red").save(image)
    out = tmp_path / "training.json"
    benchmark.main([*TINY, "--checkpoint", str(tiny_checkpoint), "--image", str(image), "--out", str(out)])
    report = json.loads(out.read_text(encoding="utf-8"))
    rows = {row["what"]: row for row in report["measurements"]}
    assert list(rows)[:3] == ["ours, at once", "ours, GradCache", "ours"]
    assert [(row["batch"], row["chunk"]) for row in list(rows.values())[:3]] == [(4, 4), (16, 4), (8, 4)]
    for row in rows.values():
        assert row["samples_per_s"] > 0 and row["tokens_per_s"] > row["samples_per_s"] and row["peak_mb"] > 0
    # Four times the batch in the memory of one chunk, but for the vectors.
    ratio = rows["ours, GradCache"]["peak_mb"] / rows["ours, at once"]["peak_mb"]
    assert report["memory_ratio"] == pytest.approx(ratio) and 0.5 < ratio < 1.5
    assert report["versions"]["torch"] == torch.__version__
    shown = capsys.readouterr().out
    assert "peak at batch 16 over batch 4" in shown and "ours, GradCache" in shown
    told = report["versions"]["sentence-transformers"]
    assert (told == "not installed") == (importlib.util.find_spec("sentence_transformers") is None)
    # It cannot load a model of images without torchvision.
    missing = [name for name in ("sentence_transformers", "torchvision") if importlib.util.find_spec(name) is None]
    if missing:
        _, _, why = shown.partition("sentence-transformers is not measured: ")
        assert missing[0] in why.lower() and len(rows) == 3
    else:
        assert list(rows)[3:] == ["sentence-transformers"]


def test_absent_library_is_said_and_ours_still_measured(
    benchmark: SimpleNamespace, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    network = benchmark.network_of(str(tiny_checkpoint), "cpu", "sdpa")
    options = argparse.Namespace(compare=4, chunk=2, device="cpu", words=4, repeats=1, checkpoint=str(tiny_checkpoint))
    rows = benchmark.comparison(options, network)
    assert [row.what for row in rows] == ["ours"]
    assert "sentence-transformers is not measured" in capsys.readouterr().out


def test_step_at_once_needs_more_memory_for_more_samples(benchmark: SimpleNamespace, tiny_checkpoint: Path) -> None:
    network = benchmark.network_of(str(tiny_checkpoint), "cpu", "sdpa")
    peaks = []
    for size in (2, 8):
        batch = benchmark.collated(network, benchmark.samples_of(size, 8, None), size)
        step = benchmark.ours(network, batch, "cpu")
        step()  # as in the benchmark: gradients are there before memory is measured
        peaks.append(benchmark.peak_of(step.gradient, "cpu"))
    # Activations grow fourfold; copies of the weights in bfloat16 do not.
    assert 1.8 < peaks[1] / peaks[0] < 4.2


def test_samples_are_distinct_and_equally_long(benchmark: SimpleNamespace) -> None:
    samples = benchmark.samples_of(30, 10, Path("x.png"))
    assert len({sample.query.text for sample in samples}) == len({sample.positive.text for sample in samples}) == 30
    assert {len(sample.positive.text.split()) for sample in samples} == {11}
    assert all(sample.query.images == (Path("x.png"),) and not sample.positive.images for sample in samples)


def test_time_is_the_median_of_calls_after_the_first(benchmark: SimpleNamespace) -> None:
    calls: list[int] = []
    seconds = benchmark.seconds_of(lambda: calls.append(1), 3, "cpu")
    assert len(calls) == 4 and 0 <= seconds < 0.1


def test_live_bytes_are_those_of_new_tensors(benchmark: SimpleNamespace) -> None:
    with benchmark.LiveBytes() as live:
        one = torch.zeros(256)
        assert live.now == 1024
        two = torch.ones(128, dtype=torch.float64)
        assert live.now == 2048
        three = torch.tensor([1.0] * 256)
        assert live.now == live.peak == 3072
    assert len(one) + len(three) == 4 * len(two)


def test_live_bytes_forget_what_is_freed_and_keep_the_peak(benchmark: SimpleNamespace) -> None:
    with benchmark.LiveBytes() as live:
        tensor = torch.zeros(256)
        view = tensor.view(16, 16)[2:]
        assert live.now == 1024  # a view is no new memory
        del tensor
        assert live.now == 1024  # and keeps it
        del view
        assert live.now == 0 and live.peak == 1024
        for _ in range(5):
            torch.zeros(512)
        assert live.now == 0 and live.peak == 2048


def test_live_bytes_do_not_hold_what_was_there_before(benchmark: SimpleNamespace) -> None:
    weight = torch.zeros(64, 64, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    with benchmark.LiveBytes() as live:
        turned = weight.t()
        weight.grad.zero_()
        with torch.no_grad():
            weight.add_(1.0)
        assert live.now == 0
        output = torch.ones(4, 64) @ turned
        assert live.now >= 4 * 64 * 4
        output.sum().backward()
        del output, turned
        assert live.now == 0
    assert 64 * 64 * 4 <= live.peak < 3 * 64 * 64 * 4  # the gradient, before it is added to the one that is there


def test_live_bytes_hold_what_the_graph_saved(benchmark: SimpleNamespace) -> None:
    start = torch.ones(1000, requires_grad=True)
    with benchmark.LiveBytes() as live:
        value = start
        for _ in range(5):
            value = value.exp()  # saved for backward
        assert live.now == 5 * 4000
        value.sum().backward()
        del value
        assert live.now == 4000  # the gradient
