"""The report's HTML, parsed: known points stand where they should, everything is escaped, and nothing is fetched."""

import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.chart import (
    HEIGHT,
    LEFT,
    MOST_POINTS,
    RIGHT,
    WIDTH,
    Chart,
    Series,
    log_ticks,
    moving_mean,
    nice_ticks,
    thinned,
)
from trainer.chart import number as spelled
from trainer.config import TrainConfig
from trainer.evaluation import Evaluation, Part
from trainer.report import write_report
from trainer.run_facts import amount, duration, fact_rows

VOID = {"meta", "br", "img", "input", "link"}
EVALUATION = Evaluation(
    (Part("ocr", None, 40, 38, {"ndcg@10": 0.8125, "recall@1": 0.5}), Part("ocr", "vi", 20, 19, {"ndcg@10": 0.75})),
    samples=41,
    skipped=1,
)


def config(**more: Any) -> TrainConfig:
    content: dict[str, Any] = {"output": "run", "model": {"checkpoint": "starter"}, "data": {"train": "t.jsonl"}}
    return TrainConfig.model_validate(content | more)


class Checked(HTMLParser):
    """Fails on tags that are not closed; keeps tags, attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_known_series_stands_where_it_should() -> None:
    page = Chart("Loss", (Series("loss", ((0, 4.0), (50, 3.0), (100, 2.0))),)).html()
    figure = ET.fromstring(page)
    (path,) = figure.iter("path")
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", path.attrib["d"])[1:]]
    assert [x for x, _ in points] == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]
    assert points[0][1] < points[1][1] < points[2][1] < HEIGHT
    assert points[1][1] - points[0][1] == pytest.approx(points[2][1] - points[1][1], abs=0.11)
    # A tick's line and label stand at the height of its value: 3 is one of them.
    labels = {text.text: float(text.attrib["y"]) - 4 for text in figure.iter("text")}
    assert labels["3"] == pytest.approx(points[1][1], abs=0.11)
    titles = [title.text for title in figure.iter("title")]
    assert titles == ["step 0\nloss: 4", "step 50\nloss: 3", "step 100\nloss: 2"]


def test_gaps_single_points_and_nothing() -> None:
    broken = ((0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0), (4, math.inf), (5, 3.0), (6, 2.0))
    (path,) = ET.fromstring(Chart("x", (Series("x", broken),)).html()).iter("path")
    assert [len(piece.split("L")) for piece in path.attrib["d"].split("M")[1:]] == [2, 1, 2]
    alone = ET.fromstring(Chart("x", (Series("x", ((7, 0.25),)),)).html())
    assert not list(alone.iter("path")) and len(list(alone.iter("circle"))) == 2  # the point, and the pointer's
    assert Chart("x", (Series("x", ()), Series("y", ((0, math.nan),)))).html() == ""
    for value in (0.0, -3.0, 1e-30, 1e30):
        assert "nan" not in Chart("x", (Series("x", ((0, value), (1, value))),)).html().lower()


def test_peaks_make_the_scale_logarithmic() -> None:
    calm = tuple((step, 1.0 + step % 2) for step in range(20))
    peaked = (*calm, (20, 4000.0))
    assert "logarithmic" in Chart("norm", (Series("n", peaked),), allow_log=True).html()
    assert "logarithmic" not in Chart("norm", (Series("n", calm),), allow_log=True).html()
    assert "logarithmic" not in Chart("norm", (Series("n", ((0, -1.0), *peaked)),), allow_log=True).html()


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    high = low + span
    if high - low < abs(high) * 1e-6:
        return
    ticks = nice_ticks(low, high)
    assert 1 <= len(ticks) <= 8
    room = (high - low) * 1e-6
    assert all(low - room <= tick <= high + room for tick in ticks)
    gaps = {f"{b - a:.3e}"[0] for a, b in pairwise(ticks)}
    assert gaps <= {"1", "2", "5", "9", "4"}  # 9.999 and 4.999 are roundings of far numbers


def test_log_ticks_and_numbers() -> None:
    assert log_ticks(0.02, 300) == (0.1, 1.0, 10.0, 100.0) and len(log_ticks(1e-9, 1e9)) <= 6
    cases = {0: "0", 0.25: "0.25", 1e-4: "1e-4", 2.5e-5: "2.5e-5", 2000: "2000", 15000: "15k", 3e6: "3M", -0.5: "-0.5"}
    assert {value: spelled(value) for value in cases} == cases


@given(st.lists(st.floats(-100, 100) | st.just(math.nan), min_size=1, max_size=60), st.integers(0, 12))
def test_moving_mean_equals_plain_means(values: list[float], window: int) -> None:
    half = window // 2
    for place, (step, mean) in enumerate(moving_mean(list(enumerate(values)), window)):
        assert step == place
        near = [v for v in values[max(0, place - half) : place + half + 1] if not math.isnan(v)]
        expected = math.nan if math.isnan(values[place]) else sum(near) / len(near)
        assert mean == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_thinning_keeps_peaks_and_order() -> None:
    points = [(float(step), math.sin(step)) for step in range(20_000)]
    points[7777] = (7777.0, 99.0)
    points[4444] = (4444.0, -99.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2 and kept == sorted(kept)
    assert points[7777] in kept and points[4444] in kept


def history() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(10, 210, 10):
        lines.append(
            {
                "step": step, "epoch": step / 100, "loss": 400.0 / step, "grad_norm": 1.5, "learning_rate": 1e-4,
                "tokens_per_second": 1234.0, "ocr/infonce": 3.125, "ocr/triplet": 0.5, "ocr/positive_cosine": 0.7,
                "ocr/hardest_negative_cosine": 0.25, "ocr/accuracy": 0.875, "instr/infonce": 2.0, "my_own": 7.0,
            }
        )  # fmt: skip
        if step % 100 == 0:
            lines.append({"step": step, "epoch": step / 100, "eval_ocr/ndcg@10": 0.625, "eval_text_pair/spearman": 0.5,
                          "eval_ocr/vi/ndcg@10": 0.375, "eval_mean": 0.5625, "eval_runtime": 3.0})  # fmt: skip
    lines.append({"step": 200, "train_runtime": 9.0, "total_flos": 1e9, "train_loss": 1.0})
    return lines


def test_every_curve_is_there_and_the_page_is_whole(tmp_path: Path) -> None:
    facts = {"steps": 200, "samples": 4800, "skipped": 2, "hours": 0.5, "best_step": 100, "device": "cpu"}
    path = write_report(tmp_path, history(), config(), EVALUATION, facts, ["t.jsonl:3: query: is empty"])
    assert path == tmp_path / "training_report.html"
    page = path.read_text(encoding="utf-8")
    seen = Checked(page)
    text = "\n".join(seen.texts)
    for title in ("Loss", "InfoNCE", "Triplet", "ocr: cosines", "In-batch accuracy", "Gradient norm", "Learning rate",
                  "Tokens a second", "nDCG@10", "Spearman's rho", "ocr: nDCG@10 by language", "my_own"):  # fmt: skip
        assert title in seen.texts, title
    for point in ("step 10\nLoss: 40", "step 200\nLoss: 2", "ocr: 3.125", "hardest negative: 0.25", "vi: 0.375"):
        assert point in text, point
    for said in ("t.jsonl:3: query: is empty", "0.812", "30 min", "4,800", "temperature: 0.07", "40 → 2"):
        assert said in text, said
    assert "train_runtime" not in text and "eval_runtime" not in text
    links = [value for _, names in seen.tags for key, value in names.items() if key in ("src", "href", "xlink:href")]
    assert not links and "url(" not in page and "@import" not in page
    assert not [tag for tag, _ in seen.tags if tag in ("script", "link", "iframe", "img")]
    assert sum(tag == "svg" for tag, _ in seen.tags) > 10


def test_everything_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"&"
    lines = [{"step": step, f"{evil}/infonce": 1.0, f"eval_{evil}/{evil}/ndcg@10": 0.5, evil: 3.0} for step in (1, 2)]
    evaluation = Evaluation((Part(evil, evil, 1, 2, {evil: 0.5}),), 2)
    report = {"name": evil, "data_credits": [evil]}
    model = {"checkpoint": evil}
    page = write_report(
        tmp_path, lines, config(report=report, model=model), evaluation, {"device": evil, evil: evil}, [evil]
    ).read_text(encoding="utf-8")
    seen = Checked(page)
    assert "<script" not in page and not [tag for tag, _ in seen.tags if tag == "script"]
    assert any(evil in text for text in seen.texts)


def test_an_empty_or_broken_history_is_no_error(tmp_path: Path) -> None:
    for lines in ([], [{"loss": 1.0}], [{"step": 1, "loss": math.nan, "note": "text", "ok": True, "epoch": 0.1}]):
        page = write_report(tmp_path, lines, config()).read_text(encoding="utf-8")
        assert "Settings" in Checked(page).texts and "<svg" not in page


def test_the_later_of_two_lines_of_a_step_counts(tmp_path: Path) -> None:
    """A resumed run may log a step again."""
    lines = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 8.0}, {"step": 2, "loss": 5.0}]
    text = "\n".join(Checked(write_report(tmp_path, lines, config()).read_text(encoding="utf-8")).texts)
    assert "step 2\nLoss: 5" in text and "Loss: 8" not in text


def test_facts_as_people_read_them() -> None:
    assert [duration(h) for h in (0.01, 0.1, 0.999, 5.94)] == ["36 s", "6 min", "1.0 h", "5.9 h"]
    assert [amount(n) for n in (950, 12345, 4_610_000, 3.81e9)] == ["950", "12,345", "4.61 million", "3.81 billion"]
    rows = fact_rows({"hours": 2.0, "steps": 3, "tokens": None, "colour": "red", "messages": ("a",)})
    assert rows == [("optimizer steps", "3"), ("time of training, without evaluation", "2.0 h"), ("colour", "red")]
