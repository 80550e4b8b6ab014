"""Training files: what a line may hold, what is said about one that is wrong, and files of any size and shape."""

import doctest
import json
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from embedder.prefixes import TASKS
from trainer import data, line_index
from trainer.data import JsonlSamples, Side, TrainSample
from trainer.data_check import check_file
from trainer.errors import DataError

GOOD = {"task": "ocr", "query": {"text": "total?"}, "positive": {"text": "12"}}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines (dicts, or bytes as they are) to train.jsonl, beside p1.png and p2.png."""
    for name in ("p1.png", "p2.png"):
        Image.new("RGB", (40, 30), "white").save(tmp_path / name)

    def write_lines(*lines: dict[str, Any] | bytes, end: bytes = b"\n") -> Path:
        path = tmp_path / "train.jsonl"
        raw = [line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines]
        path.write_bytes(b"\n".join(raw) + end)
        return path

    return write_lines


def without_file(sample: TrainSample) -> TrainSample:
    return TrainSample(**{**sample.__dict__, "file": ""})


def test_a_line_with_everything(write: Write, tmp_path: Path) -> None:
    path = write(
        {
            "task": "vqa_single",
            "query": {"text": "<image> giá?", "images": ["p1.png"]},
            "positive": {"images": [str(tmp_path / "p2.png"), f"../{tmp_path.name}/p1.png"]},
            "negatives": [{"text": "no"}, {"images": ["p2.png"], "text": None}],
            "score": 0.5,
            "group": 7,
            "language": "vi-en",
        }
    )
    expected = TrainSample(
        line=1,
        task="vqa_single",
        query=Side("<image> giá?", (tmp_path / "p1.png",)),
        positive=Side("", (tmp_path / "p2.png", tmp_path / f"../{tmp_path.name}/p1.png")),
        negatives=(Side("no"), Side("", (tmp_path / "p2.png",))),
        score=0.5,
        group="7",
        language="vi-en",
    )
    assert without_file(JsonlSamples(path)[0]) == expected


def test_null_is_absent_as_exported_tables_have_it(write: Write) -> None:
    absent = {"turns": None, "negatives": None, "score": None, "group": None, "language": None}
    path = write({**GOOD, **absent, "query": {"text": "q", "images": None}}, GOOD)
    sample, plain = JsonlSamples(path)
    assert (sample.score, sample.group, sample.language, sample.negatives) == (1.0, None, None, ())
    assert plain.score == 1.0


def test_turns_become_the_conversation_and_its_last_answer(write: Write, tmp_path: Path) -> None:
    turns = [
        {"user": "How much?", "images": ["p1.png", "p2.png"], "assistant": "12"},
        {"user": "And?", "assistant": "x"},
    ]
    sample = JsonlSamples(write({"task": "vqa_multi", "turns": turns}))[0]
    assert sample.query == Side("How much?\n12\nAnd?", (tmp_path / "p1.png", tmp_path / "p2.png"))
    assert sample.positive == Side("x")


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({"user": "A"}, {"user": "B", "images": ["p2.png"]}, "A\n1\n<image>B"),
        ({"user": "A", "images": ["p1.png"]}, {"user": "B", "images": ["p2.png"]}, "<image>A\n1\n<image>B"),
        ({"user": "A <image>", "images": ["p1.png"]}, {"user": "B", "images": ["p2.png"]}, "A <image>\n1\n<image>B"),
        ({"user": "A", "images": ["p1.png"]}, {"user": "B<image>", "images": ["p2.png"]}, "<image>A\n1\nB<image>"),
    ],
)
def test_images_of_later_turns_stay_with_their_turn(
    write: Write, first: dict[str, Any], second: dict[str, Any], text: str
) -> None:
    turns = [{**first, "assistant": "1"}, {**second, "assistant": "2"}]
    sample = JsonlSamples(write({"task": "vqa_multi", "turns": turns}))[0]
    assert sample.query.text == text
    assert [path.name for path in sample.query.images] == [
        name for turn in (first, second) for name in turn.get("images", [])
    ]


def side(**fields: Any) -> dict[str, Any]:
    return {**GOOD, "query": fields}


def turns(*entries: Any) -> dict[str, Any]:
    return {"task": "vqa_multi", "turns": list(entries)}


TURN = {"user": "a", "assistant": "b"}

WRONG: list[tuple[dict[str, Any] | bytes, str]] = [
    (side(images=["p1.png", "p2.png", "p3.png"]), "query.images[2]: no such file p3.png"),
    (side(images=["p1.png"] * 6), "query.images: 6 images, at most 5 are allowed on one side"),
    ({**GOOD, "negatives": [{"text": "n"}, {"images": ["x"]}]}, "negatives[1].images[0]: no such file x"),
    (side(images=["."]), "query.images[0]: . is not a file"),
    (side(images=["p1.png/x"]), "query.images[0]: cannot be read (Not a directory): p1.png/x"),
    (side(images=["a\0b"]), "query.images[0]: cannot be read (embedded null byte): a\0b"),
    (
        side(images=["https://example.com/a.png"]),
        "query.images[0]: https://example.com/a.png is a URL: nothing is fetched, save the image and name its file",
    ),
    (side(images="p1.png"), "query.images: is a string, not a list"),
    (side(images=[3]), "query.images[0]: is a number, not a path"),
    (side(images=[""]), "query.images[0]: is empty"),
    (side(text=5), "query.text: is a number, not a string"),
    (side(text=" \n"), "query: is empty: it has neither text nor an image"),
    (side(text="<ocr> "), "query: is empty: it has neither text nor an image"),
    (side(text="<instr> do"), "query.text: starts with <instr>, but the task is ocr"),
    ({**GOOD, "positive": {}}, "positive: is empty: it has neither text nor an image"),
    ({"task": "ocr", "query": {"text": "q"}}, "positive: is missing"),
    ({**GOOD, "query": "q"}, "query: is a string, not an object"),
    ({**GOOD, "negatives": {}}, "negatives: is an object, not a list"),
    (
        side(text="<image><image>", images=["p1.png"]),
        "query.text: 2 <image> markers but 1 images "
        "(text that is data, not markup, goes through embedder.prefixes.literal first)",
    ),
    ({**GOOD, "score": 1.5}, "score: 1.5 is outside 0 to 1"),
    ({**GOOD, "score": -0.1}, "score: -0.1 is outside 0 to 1"),
    ({**GOOD, "score": float("nan")}, "score: is not finite"),
    ({**GOOD, "score": "1"}, "score: is a string, not a number"),
    ({**GOOD, "score": True}, "score: is true or false, not a number"),
    (
        {**GOOD, "task": "orc"},
        "task: unknown task 'orc' (known: instr, ocr, text_pair, vqa_multi, vqa_single)",
    ),
    ({"query": {"text": "q"}, "positive": {"text": "p"}}, "task: is missing"),
    ({**GOOD, "group": 1.5}, "group: is a number, not a string"),
    (turns(), "turns: is empty"),
    ({**GOOD, **turns(TURN)}, "query: stands beside turns; a line has either turns, or query and positive"),
    (turns(TURN, {"user": "c"}), "turns[1].assistant: is empty"),
    (turns({"assistant": "c"}), "turns[0].user: is empty, and the turn has no image"),
    (turns(TURN, "c"), "turns[1]: is a string, not an object"),
    (
        turns({**TURN, "images": ["p1.png"] * 3}, {**TURN, "images": ["p2.png"] * 3}),
        "turns[1].images: 6 images with those of the turns before (3), at most 5 are allowed on one side",
    ),
    (
        turns({**TURN, "user": "<image>"}),
        "turns[0].user: 1 <image> markers but 0 images "
        "(text that is data, not markup, goes through embedder.prefixes.literal first)",
    ),
    (b'{"task": "ocr", ', "is not JSON: Expecting property name enclosed in double quotes (column 16)"),
    (b'["task"]', "is a list, not an object"),
    (b'{"task": "\xff"}', "is not UTF-8 (byte 10 of the line)"),
    (
        b'{"task": "ocr", "query": {"text": "\\ud83d"}, "positive": {"text": "p"}}',
        "query.text: has half a surrogate pair at character 0",
    ),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_line_is_named_with_file_line_and_field(
    write: Write, line: dict[str, Any] | bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(GOOD, b"", line, GOOD)
    monkeypatch.chdir(path.parent)
    samples = JsonlSamples("train.jsonl", TASKS)
    with pytest.raises(DataError) as raised:
        samples[1]
    assert str(raised.value) == f"train.jsonl:3: {message}"
    entries = samples.__getitems__([0, 1, 2])
    assert [str(entry) for entry in entries if isinstance(entry, DataError)] == [str(raised.value)]
    report = check_file("train.jsonl", known_tasks=TASKS)
    assert (report.problems, report.problem_count, report.samples) == ((str(raised.value),), 1, 2)


@pytest.mark.parametrize("raw", [b"[" * 200_000, b'{"score": ' + b"1" * 5000 + b"}"])
def test_json_that_python_refuses_is_bad_data_not_a_crash(write: Write, raw: bytes) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl:1: is not JSON that can be read"):
        JsonlSamples(write(raw))[0]


def test_unknown_fields_are_problems_for_the_check_only(write: Write) -> None:
    path = write({**GOOD, "meta": 1}, side(text="q", image=["p1.png"]), turns({**TURN, "bot": "b"}), GOOD)
    assert len([sample.task for sample in JsonlSamples(path)]) == 4
    report = check_file(path)
    assert [problem.partition(".jsonl:")[2] for problem in report.problems] == [
        "1: meta: unknown field (known: group, language, negatives, positive, query, score, task, turns)",
        "2: query.image: unknown field (known: images, text)",
        "3: turns[0].bot: unknown field (known: assistant, images, user)",
    ]


def test_index_as_a_sequence(write: Write) -> None:
    samples = JsonlSamples(write(GOOD, {**GOOD, "group": "last"}))
    assert samples[-1].group == "last"
    with pytest.raises(IndexError):
        samples[2]


@pytest.mark.parametrize("content", [b"", b"\n \r\n\t", b"\xef\xbb\xbf"])
def test_a_file_without_samples_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"empty\.jsonl: has no samples"):
        JsonlSamples(path)
    assert "has no samples" in check_file(path).problems[0]


@pytest.mark.parametrize("path", ["nowhere.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, path: str) -> None:
    for read in (JsonlSamples, check_file):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path / path)


LINES = st.lists(st.sampled_from([b"", b" ", b"\t \r", b"\r", b"{}", b'{"a": 1}\r', b'  {"b": "\xc3\xa9"}', b"x" * 40]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=LINES, newline_at_end=st.booleans(), mark=st.booleans(), block=st.integers(1, 50))
def test_lines_and_their_numbers_are_those_of_an_editor(
    tmp_path: Path, lines: list[bytes], newline_at_end: bool, mark: bool, block: int
) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + b"\n".join(lines) + (b"\n" if newline_at_end else b""))
    expected = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "BLOCK", block)
        if not expected:
            with pytest.raises(DataError):
                line_index.LineIndex(path)
            return
        index = line_index.LineIndex(path)
        found = [raw.strip() for raw in index.read(range(len(index)))]
    assert [(index.number(row), raw) for row, raw in enumerate(found)] == expected


def test_a_file_that_is_one_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_index, "BLOCK", 100)
    monkeypatch.setattr(line_index, "LONGEST_LINE", 1000)
    path = tmp_path / "array.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + b"[" + b"1," * 2000)
    with pytest.raises(DataError, match=r"array\.jsonl: the line at byte \d+ is longer than"):
        JsonlSamples(path)
    report = check_file(path)
    assert report.samples == 1 and "one sample on each line" in report.problems[0]


def test_a_changed_file_is_an_error_not_other_samples(write: Write) -> None:
    path = write(GOOD, GOOD)
    samples = JsonlSamples(path)
    copy = pickle.dumps(samples)
    write({**GOOD, "task": "instr"}, GOOD, GOOD)
    for read in (lambda: samples[0], lambda: samples.__getitems__([0]), samples.tasks, lambda: pickle.loads(copy)[0]):
        with pytest.raises(DataError, match="changed while it was in use"):
            read()


def test_a_file_rewritten_at_the_same_size_is_noticed(write: Write) -> None:
    path = write(GOOD)
    samples = JsonlSamples(path)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with pytest.raises(DataError, match="changed"):
        samples[0]


def test_tasks_are_what_the_parsed_lines_say(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        {**GOOD, "task": "vqa_single"},
        {"meta": {"task": "other"}, **GOOD},
        b'  {"query": {"text": "\\"task\\": \\"instr\\""}, "positive": {"text": "task"}, "task" :\t"instr"}',
        b"",
        b'{"task": "\\u006fcr", "query": {"text": "q"}, "positive": {"text": "p"}}',
        {**GOOD, "task": "của tôi"},
        GOOD,
        end=b"",
    )
    expected = [sample.task for sample in JsonlSamples(path)]
    assert expected == ["vqa_single", "ocr", "instr", "ocr", "của tôi", "ocr"]
    for block in (7, 100, 1 << 20):
        monkeypatch.setattr(line_index, "BLOCK", block)
        samples = JsonlSamples(path)
        assert samples.task_names == ("của tôi", "instr", "ocr", "vqa_single")
        assert samples.tasks().dtype == np.uint8
        assert [samples.task_names[code] for code in samples.tasks()] == expected


def test_lines_without_a_task_keep_their_place(write: Write) -> None:
    samples = JsonlSamples(write(GOOD, b'{"task": "instr', b"[1]", {**GOOD, "task": 3}, {**GOOD, "task": "instr"}))
    assert [samples.task_names[code] for code in samples.tasks()] == ["ocr", "", "", "", "instr"]


def test_a_task_field_that_holds_no_task_names_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match="more than 255 different tasks"):
        JsonlSamples(write(*({**GOOD, "task": f"q{number}"} for number in range(300)))).tasks()


def test_a_large_file_costs_eight_bytes_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        for number in range(40_000):
            text = f"câu {number} " + "x" * (number % 800)
            task = TASKS[number % 5]
            line = {"task": task, "query": {"text": text}, "positive": {"text": str(number)}}
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    assert path.stat().st_size > 18_000_000
    monkeypatch.setattr(line_index, "BLOCK", 1 << 20)
    tracemalloc.start()
    try:
        samples = JsonlSamples(path)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 8 * 40_000 + 200_000
    assert peak < 8_000_000
    assert len(samples) == 40_000
    for number in (0, 1, 12_345, 39_999):
        assert samples[number].positive.text == str(number)
        assert samples[number].line == number + 1
    assert (
        samples.tasks() == np.array([samples.task_names.index(task) for task in TASKS])[np.arange(40_000) % 5]
    ).all()
    pickled = pickle.dumps(samples)
    assert len(pickled) < 2_000
    assert pickle.loads(pickled)[39_999] == samples[39_999]


def test_check_counts_what_the_file_holds(write: Write, tmp_path: Path) -> None:
    path = write(
        {**side(text="q", images=["p1.png", "p2.png"]), "language": "vi"},
        {**GOOD, "language": "en", "negatives": [{"text": "n"}, {"images": ["p1.png"]}]},
        {**GOOD, "task": "instr", "language": "vi"},
        *[{**GOOD, "score": 7}] * 5,
    )
    report = check_file(path, known_tasks=TASKS, limit=2)
    assert report.samples == 3 and not report.ok
    assert report.problem_count == 5
    assert report.problems == (f"{path}:4: score: 7 is outside 0 to 1", f"{path}:5: score: 7 is outside 0 to 1")
    assert report.tasks == {"instr": 1, "ocr": 2}
    assert report.languages == {"en": 1, "vi": 2}
    assert report.images == {"query": {0: 2, 2: 1}, "positive": {0: 3}, "negatives": {0: 1, 1: 1}}
    assert check_file(write(GOOD)).ok


def test_check_opens_headers_only_when_asked(write: Write, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    Image.new("RGB", (402, 2)).save(tmp_path / "strip.png")
    Image.new("RGB", (400, 2)).save(tmp_path / "thin.png")
    path = write(
        side(images=["p1.png", "empty.png"]),
        {**GOOD, "negatives": [{"images": ["strip.png"]}]},
        {**GOOD, "positive": {"images": ["thin.png"]}},
    )
    assert check_file(path).ok
    first, second = check_file(path, open_images=True).problems
    assert first.startswith(f"{path}:1: query.images[1]: {tmp_path / 'empty.png'} cannot be opened as an image")
    assert second == (
        f"{path}:2: negatives[0].images[0]: {tmp_path / 'strip.png'} "
        "is 402x2 pixels: one side may be at most 200 times the other"
    )


def test_documented_example() -> None:
    assert doctest.testmod(data).failed == 0 and doctest.testmod(data).attempted > 0
