"""Mining with the packaged starter: the hard is chosen, the probably right left out, lines stay themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from embedder import ColPaLiQwenEmbedder
from trainer.data import JsonlSamples, TrainSample
from trainer.errors import TrainerError
from trainer.mining import MiningReport, mine

RICE = "To cook rice, wash it, put it into a pot and boil it in water."
RICE_AGAIN = "Cooking rice: wash the rice and let it boil in a pot of water."
BANK = "The bank closes the account if no money is paid in."
SPRING = "In spring the weather is mild and the flowers open."
ASKED = "to cook rice, wash it and boil it in water"  # nearest RICE, then RICE_AGAIN, the others far away


@pytest.fixture(scope="module")
def starter() -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained("starter", device="cpu")


def write(file: Path, entries: list[dict[str, Any] | str]) -> JsonlSamples:
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = [entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in entries]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return JsonlSamples(file)


def pair(query: str, positive: str, task: str = "ocr", **more: Any) -> dict[str, Any]:
    return {"task": task, "query": {"text": query}, "positive": {"text": positive}, **more}


def negatives(file: Path) -> list[list[str]]:
    """The negatives' texts of each line, read as a training run would."""
    samples = JsonlSamples(file)
    return [[side.text for side in samples[row].negatives] for row in range(len(samples))]


def cosine(embedder: ColPaLiQwenEmbedder, query: str, document: str) -> float:
    one, other = embedder.encode(query, task="ocr"), embedder.encode(document)
    assert isinstance(one, Tensor) and isinstance(other, Tensor)
    return float((one * other).sum())


def test_a_near_topic_is_chosen_and_equal_content_is_not(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    entries: list[dict[str, Any] | str] = [
        pair(ASKED, RICE),
        pair("To cook rice, wash it, put it in a pot and boil it", f" {RICE.upper()} "),  # equal but for case and space
        pair("Cook the rice in a pot of boiling water.", RICE_AGAIN),
        pair("The bank closes an account if no money is paid.", BANK),
        pair("In spring the weather is mild.", SPRING),
    ]
    out = tmp_path / "mined.jsonl"
    # The margin is off (two recipes score alike): what is right here is told by content.
    report = mine(starter, write(tmp_path / "plain.jsonl", entries), out, per_query=1, margin=0.0)
    found = negatives(out)
    assert found[0] == [RICE_AGAIN] and found[1] == [RICE_AGAIN]
    assert all(RICE not in text and RICE.upper() not in text for text in (*found[0], *found[1]))
    assert report.lines == 5 and report.mined == sum(map(bool, found)) and report.skipped == 0
    assert report.negative_cosine is not None and report.positive_cosine is not None
    assert report.negative_cosine < report.positive_cosine


def test_the_margin_leaves_out_what_scores_too_high(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    entries: list[dict[str, Any] | str] = [pair(ASKED, RICE), *(pair(text[:20], text) for text in (RICE_AGAIN, BANK))]
    samples = write(tmp_path / "plain.jsonl", entries)
    own, near, far = (cosine(starter, ASKED, text) for text in (RICE, RICE_AGAIN, BANK))
    assert own > near > far
    between, beyond = own - (near + far) / 2, own - far + 0.05
    results = {}
    for margin in (0.0, between, beyond):
        results[margin] = mine(starter, samples, tmp_path / "out.jsonl", per_query=2, margin=margin)
        expected = {0.0: [RICE_AGAIN, BANK], between: [BANK], beyond: []}[margin]
        assert negatives(tmp_path / "out.jsonl")[0] == expected
    assert results[beyond].false_negatives > results[between].false_negatives > results[0.0].false_negatives - 1


def test_equal_queries_groups_and_the_query_itself_are_left_out(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    entries: list[dict[str, Any] | str] = [
        pair("rice", RICE),
        pair("Rice", RICE_AGAIN),  # an equal query
        pair("bank account", BANK, group=7),
        pair("no money", "Without money the account ends.", group=7),
        pair("rice in a pot", "rice"),  # a document that is line 1's query
        pair("spring", SPRING),
    ]
    samples = write(tmp_path / "plain.jsonl", entries)
    mine(starter, samples, tmp_path / "out.jsonl", per_query=9, margin=0.0)
    found = negatives(tmp_path / "out.jsonl")
    assert RICE_AGAIN not in found[0] and RICE not in found[1] and "rice" not in found[0]
    assert "Without money the account ends." not in found[2] and BANK not in found[3]
    assert any(SPRING in texts for texts in found)


def test_tasks_stay_apart_unless_asked_otherwise(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    entries: list[dict[str, Any] | str] = [
        pair(ASKED, RICE),
        pair("the bank closes the account", BANK),
        pair("wash and boil rice", RICE_AGAIN, "instr"),
        pair("weather in spring", SPRING, "instr"),
    ]
    samples = write(tmp_path / "plain.jsonl", entries)
    mine(starter, samples, tmp_path / "apart.jsonl", margin=0.0)
    assert negatives(tmp_path / "apart.jsonl")[0] == [BANK]
    mine(starter, samples, tmp_path / "together.jsonl", margin=0.0, same_task=False)
    together = negatives(tmp_path / "together.jsonl")[0]
    assert together[0] == RICE_AGAIN and set(together) == {RICE_AGAIN, BANK, SPRING}


def test_lines_keep_order_fields_and_bytes(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    odd = pair(ASKED, RICE, source={"id": 7, "π": [1, None]}, negatives=[{"text": BANK}])
    lines = [
        json.dumps(odd, ensure_ascii=False),
        "",
        '{"task": "ocr",   "query": {"text": "broken"}',
        json.dumps(pair("boil the rice", RICE_AGAIN, half="\ud83d")),
        '{"task": "text_pair", "query":  {"text": "no answer"}, "positive": {"text": "at all"}, "score": 0}',
    ]
    file = tmp_path / "plain.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    report = mine(starter, JsonlSamples(file), file, margin=0.0)  # onto itself
    after = file.read_bytes().split(b"\r\n")
    assert len(after) == len(lines)
    assert [after[1], after[2], after[4]] == [line.encode() for line in (lines[1], lines[2], lines[4])]
    first = json.loads(after[0])
    assert list(first) == [*odd] and first["source"] == odd["source"]
    assert first["negatives"] == [{"text": BANK}, {"text": RICE_AGAIN}]  # the one it had is not repeated
    assert json.loads(after[3])["half"] == "\ud83d"
    assert (report.lines, report.skipped) == (4, 1) and "plain.jsonl:3:" in report.bad[0]
    assert {entry.name for entry in tmp_path.iterdir()} == {"plain.jsonl"}


def test_old_negatives_can_be_replaced(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    had = pair(ASKED, RICE, negatives=[{"text": "old"}])
    samples = write(tmp_path / "plain.jsonl", [had, pair("bank", BANK)])
    mine(starter, samples, tmp_path / "out.jsonl", margin=0.0, replace=True)
    assert negatives(tmp_path / "out.jsonl")[0] == [BANK]


def test_image_paths_lead_to_the_same_files(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """From another folder, which is reached through a link, also in turns, and for absolute paths."""
    tiny = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")
    data = tmp_path / "data"
    (data / "pages").mkdir(parents=True)
    for number, colour in enumerate(("red", "green", "blue", "white")):
        Image.new("RGB", (56, 56), colour).save(data / "pages" / f"{number}.png")
    (data / "pages" / "cut.png").write_bytes((data / "pages" / "0.png").read_bytes()[:60])

    def page(number: object, **more: Any) -> dict[str, Any]:
        positive = {"images": [f"pages/{number}.png"]}
        return {"task": "ocr", "query": {"text": f"page {number}"}, "positive": positive, **more}

    absolute = {"task": "ocr", "query": {"text": "white"}, "positive": {"images": [str(data / "pages" / "3.png")]}}
    turns = {"task": "vqa_multi", "turns": [{"user": "colour?", "images": ["pages/0.png"], "assistant": "red"}]}
    entries: list[dict[str, Any] | str] = [page(0), page(1, negatives=[{"images": ["pages/2.png"]}]), absolute, turns]
    before = write(data / "plain.jsonl", [*entries, page("cut")])
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    out = tmp_path / "link" / "mined.jsonl"
    report = mine(tiny, before, out, margin=0.0, per_query=3)
    assert report.skipped == 1 and "cut.png" in report.bad[0] and report.negatives > 0
    after = JsonlSamples(out)
    for row in range(len(before)):
        for old, new in zip(_images(before[row]), _images(after[row]), strict=False):  # mined ones come last
            assert old.samefile(new)
    assert json.loads(out.read_text().splitlines()[2])["positive"] == absolute["positive"]
    assert all("cut.png" not in str(path) for row in range(4) for path in _images(after[row]))


def _images(sample: TrainSample) -> list[Path]:
    return [path for side in (sample.query, sample.positive, *sample.negatives) for path in side.images]


def test_blocks_and_draws_are_repeatable(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    texts = (RICE, RICE_AGAIN, BANK, SPRING, "A neural network has layers.", "The train leaves at noon.")
    samples = write(tmp_path / "plain.jsonl", [pair(text[:18], text) for text in texts])
    outs = [tmp_path / f"{number}.jsonl" for number in range(5)]
    mine(starter, samples, outs[0], per_query=2, margin=0.0)
    mine(starter, samples, outs[1], per_query=2, margin=0.0, block=1)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    for out, seed in zip(outs[2:], (0, 0, 3), strict=True):
        mine(starter, samples, out, per_query=1, margin=0.0, sampling="random", depth=5, seed=seed)
    assert outs[2].read_bytes() == outs[3].read_bytes() != outs[4].read_bytes()


def test_a_failure_leaves_the_old_file(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    samples = write(tmp_path / "plain.jsonl", [pair("rice", RICE), pair("bank", BANK)])
    out = tmp_path / "out.jsonl"
    out.write_text("precious")
    project = starter.projection.weight.data
    starter.projection.weight.data = torch.zeros(1, 1)  # every batch fails: that is not the samples' fault
    try:
        with pytest.raises(Exception, match=r"shape|size|dim"):
            mine(starter, samples, out)
    finally:
        starter.projection.weight.data = project
    assert out.read_text() == "precious" and len(list(tmp_path.iterdir())) == 2


def test_options_are_checked(starter: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    samples = write(tmp_path / "plain.jsonl", [pair("rice", RICE), pair("bank", BANK)])
    for wrong in ({"per_query": 0}, {"margin": -0.1}, {"sampling": "best"}):
        with pytest.raises(TrainerError, match="mining"):
            mine(starter, samples, tmp_path / "out.jsonl", **wrong)


def test_report_reads_well() -> None:
    report = MiningReport(1200, 1000, 5, 3990, 77, 0.8123, 0.6, 1, ("x.jsonl:3: query: is empty",), 12.0)
    assert "3,990 negatives for 1,000 of 1,200 lines" in str(report) and "negatives 0.600" in str(report)
    assert "x.jsonl:3" in str(report) and json.loads(json.dumps(report.to_json()))["short"] == 5
