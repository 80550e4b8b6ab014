"""Training files made from texts: five tasks that the trainer accepts, pictures that show what they claim."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedder.errors import InputError
from embedder.prefixes import TASKS
from trainer.data_check import check_file
from trainer.starter import pairs
from trainer.starter.corpus import Corpus, Document, Pair, is_held_out, read_corpus
from trainer.starter.layouts import KINDS
from trainer.starter.pairs import PairWriter, write_pairs
from trainer.starter.render import CELL, Crop, Fonts, cut

Line = dict[str, Any]

# A held-out document and one for training have no word of their own language in common.
WORDS = {
    ("vi", False): "người lao động hưởng nguyên lương theo hợp đồng",
    ("vi", True): "bệnh viện khám chữa trẻ em miễn phí",
    ("en", False): "workers keep their full wage under this contract",
    ("en", True): "hospitals treat small children without any fee",
    ("zh", False): "劳动者领取合同规定全部工资",
    ("zh", True): "医院免费治疗儿科患病小孩",
}


def text_of(language: str, held: bool, start: int, count: int) -> str:
    """A sentence from the words of its kind, another for each start; numbers tell it apart."""
    words = WORDS[language, held]
    units = list(words) if language == "zh" else words.split()
    body = [units[(start * 3 + place * (1 + start % 3)) % len(units)] for place in range(count)]
    return f"{'' if language == 'zh' else ' '}".join(body) + f" {start}."


def write_texts(folder: Path) -> Path:
    """Parallel pairs, questions and scored pairs of documents on both sides of the split."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["vi\ten\tzh\tfile"]
    for number in range(60):
        held = is_held_out(f"#f{number}")
        sides = (text_of(language, held, number * 8 + row, 14) for row in range(8) for language in ("vi", "en", "zh"))
        for three in zip(*[sides] * 3, strict=True):
            rows.append("\t".join((*three, f"f{number}")))
    (folder / "books.tsv").write_text("\n".join(rows), encoding="utf-8")
    articles = []
    for number in range(60):
        held = is_held_out(f"squad.json#{number}")
        language = ("vi", "zh")[number % 2]
        entry = {
            "context": text_of(language, held, number, 60),
            "qas": [{"question": text_of(language, held, number + 500, 9)}],
        }
        articles.append({"title": str(number), "paragraphs": [entry]})
    (folder / "squad.json").write_text(json.dumps({"data": articles}), encoding="utf-8")
    alike = []
    for number in range(1600):
        held = is_held_out(f"alike.csv#{number // 40}")
        alike.append(f"{text_of('zh', held, number, 9)},{text_of('zh', held, number + 1, 9)},{number % 6}")
    (folder / "alike.csv").write_text("\n".join(alike), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def corpus(texts: Path) -> Corpus:
    return read_corpus(texts)


@pytest.fixture(scope="module")
def written(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Crop]]:
    """A file of 60 samples, and the crops drawn for it in order."""
    folder = tmp_path_factory.mktemp("pairs")
    crops: list[Crop] = []

    def kept(*arguments: Any) -> Crop:
        crops.append(cut(*arguments))
        return crops[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "cut", kept)
        write_pairs(corpus, folder / "train.jsonl", 60, Fonts(), seed=1)
    return folder / "train.jsonl", crops


def read_lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts_of(line: Line) -> list[str]:
    sides = [line[name] for name in ("query", "positive") if name in line]
    turns = [turn[name] for turn in line.get("turns", []) for name in ("user", "assistant")]
    return [side["text"] for side in sides if "text" in side] + turns


def images_of(line: Line) -> list[str]:
    places = [line[name] for name in ("query", "positive") if name in line] + line.get("turns", [])
    return [image for place in places for image in place.get("images", [])]


def crop_number(image: str) -> int:
    return int(image.removesuffix(".jpg").rpartition("-")[2]) - 1_000_000


def test_file_passes_the_trainers_check_with_all_tasks(written: tuple[Path, list[Crop]]) -> None:
    report = check_file(written[0], known_tasks=TASKS, open_images=True, show_progress=False)
    assert report.ok, report.problems
    assert report.samples == 60 and set(report.tasks) == set(TASKS)
    assert {"vi", "en", "zh"} < set(report.languages)
    assert set(report.images["query"]) == {0, 1, 2} and set(report.images["positive"]) == {0, 1}


def test_scores_stand_on_pairs_that_have_one(written: tuple[Path, list[Crop]], corpus: Corpus) -> None:
    scored = {(pair.query, pair.positive): pair.score for pair in corpus.pairs if pair.kind == "scored"}
    found = [line for line in read_lines(written[0]) if "score" in line]
    assert found and {line["task"] for line in found} == {"text_pair"}
    for line in found:
        assert line["score"] == scored[line["query"]["text"], line["positive"]["text"]]


def test_pictures_show_what_was_drawn_for_them(written: tuple[Path, list[Crop]]) -> None:
    path, crops = written
    names = [image for line in read_lines(path) for image in images_of(line)]
    assert len(set(names)) == len(names)  # every sample has its own
    assert {file.name for file in (path.parent / "images").iterdir()} >= {Path(name).name for name in names}
    for name in names:
        drawn = crops[crop_number(name)].grey.astype(float)
        with Image.open(path.parent / name) as image:
            shown = np.asarray(image.convert("L")).astype(float)
        assert shown.shape == drawn.shape and not shown.shape[0] % CELL and not shown.shape[1] % CELL
        assert (drawn < 128).mean() > 0.001
        # Worn, tinted, perhaps light on dark, but the same marks.
        assert abs(np.corrcoef(shown.ravel(), drawn.ravel())[0, 1]) > 0.5


def test_texts_are_those_of_their_pictures(written: tuple[Path, list[Crop]]) -> None:
    path, crops = written
    seen = set()
    for line in read_lines(path):
        images = [crops[crop_number(image)] for image in images_of(line)]
        if line["task"] == "vqa_multi":
            assert len(images) == 2 and line["turns"][1]["assistant"] == images[1].text
            seen.add("multi")
        elif line["task"] == "ocr" and "images" in line["query"]:
            assert line["positive"]["text"] == images[0].text
            seen.add("read")
        elif line["task"] == "ocr":
            assert line["query"]["text"] in images[0].text and line["query"]["text"]
            seen.add("find")
        elif line["task"] == "vqa_single" and "text" in line["positive"]:
            assert line["positive"]["text"] == images[0].text and line["query"]["text"] in images[0].text
            seen.add("joint")
        elif line["task"] == "vqa_single":
            seen.add("page")
        else:
            assert not images
    assert seen == {"multi", "read", "find", "joint", "page"}


def test_pages_of_questions_hold_the_whole_answer(written: tuple[Path, list[Crop]], corpus: Corpus) -> None:
    answers = {pair.query: pair.positive for pair in corpus.pairs if pair.kind == "question"}
    path, crops = written
    found = [line for line in read_lines(path) if line["task"] == "vqa_single" and "text" not in line["positive"]]
    assert found
    for line in found:
        crop = crops[crop_number(images_of(line)[0])]
        assert crop.grey.shape[1] == 26 * CELL and crop.grey.shape[0] <= 36 * CELL
        answer = set(re.findall(r"\w+", answers[line["query"]["text"]]))
        if line["language"] != "zh":
            assert len(answer & set(re.findall(r"\w+", crop.text))) > 0.9 * len(answer)


def test_same_seed_gives_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        write_pairs(corpus, tmp_path / name / "train.jsonl", 12, Fonts(), seed)
    contents = [
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in ("one", "again", "other")
    ]
    assert len(contents[0]) > 3 and contents[0] == contents[1]
    assert contents[0].keys() & contents[2].keys() == {Path("train.jsonl")}  # no picture overwrites another's
    assert contents[0][Path("train.jsonl")] != contents[2][Path("train.jsonl")]


def test_command_keeps_held_out_documents_to_the_evaluation(texts: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer.starter.pairs", "--texts", str(texts), "--out", str(tmp_path)]
    counts = ("--samples", "30", "--held-out", "20", "--shares", "3", "2", "2", "2", "1")
    subprocess.run([*command, *counts], check=True, capture_output=True)
    words = {
        held: {word for (_, side), line in WORDS.items() if side == held for word in line.split()}
        | set("".join(WORDS["zh", held]))
        for held in (False, True)
    }
    asked = " ".join(
        [*(" ".join(part) for part in (*pairs._READ.values(), *pairs._COUNT.values())), *pairs._SECOND.values()]
    )
    for name, held, count in (("train", False, 30), ("evaluation", True, 20)):
        lines = read_lines(tmp_path / f"{name}.jsonl")
        assert len(lines) == count
        assert check_file(tmp_path / f"{name}.jsonl", open_images=True, show_progress=False).ok
        found = 0
        for text in (text for line in lines for text in texts_of(line) if text not in asked):
            there = set(text) | set(re.findall(r"[^\W\d]+", text))
            found += bool(there & words[held])
            assert not there & (words[not held] - words[held] - set(asked)), text
        assert found > count
    images = {path.name for path in (tmp_path / "images").iterdir()}
    assert {name[3] for name in images} == {"1", "2"}


def test_tasks_without_texts_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, corpus: Corpus
) -> None:
    only_questions = Corpus([], [Pair("d", "question", f"what is {i}", f"it is {i}", "en", "en") for i in range(5)])
    (tmp_path / "images").mkdir()
    lines = list(PairWriter(only_questions, tmp_path, Fonts(), 1).lines(6))
    assert {line["task"] for line in lines} == {"instr"}
    assert "nothing for text_pair, ocr, vqa_single, vqa_multi" in caplog.text
    english = [d for d in corpus.documents if d.language == "en"]
    lines = list(PairWriter(Corpus(english, []), tmp_path, Fonts(), 1).lines(6))
    assert {line["task"] for line in lines} == {"ocr", "vqa_multi"} and {line["language"] for line in lines} == {"en"}
    unscored = Corpus([], [pair for pair in corpus.pairs if pair.kind == "parallel"])
    lines = list(PairWriter(unscored, tmp_path, Fonts(), 1).lines(10))
    assert {line["task"] for line in lines} == {"text_pair"} and not any("score" in line for line in lines)
    with pytest.raises(InputError, match="no sample can be made"):
        list(PairWriter(Corpus([Document("d", "en", ("short",))], []), tmp_path, Fonts(), 1).lines(1))


def test_shares_choose_the_tasks(corpus: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shares = {"text_pair": 0.0, "instr": 3.0, "vqa_multi": 1.0}
    write_pairs(corpus, tmp_path / "train.jsonl", 24, Fonts(), 1, shares)
    tasks = [line["task"] for line in read_lines(tmp_path / "train.jsonl")]
    assert set(tasks) == {"instr", "vqa_multi"} and tasks.count("instr") > tasks.count("vqa_multi")
    assert not caplog.text  # what has no share is not missed


def test_special_pages_occur(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []

    def noted(kind: str, *rest: Any) -> Any:
        kinds.append(kind)
        return lay_out_special(kind, *rest)

    lay_out_special = pairs.lay_out_special
    monkeypatch.setattr(pairs, "lay_out_special", noted)
    writer = PairWriter(corpus, tmp_path, Fonts(), 5)
    for _ in range(60):
        writer._page(writer.documents["vi"][0])
    assert set(kinds) <= set(KINDS) and 1 <= len(kinds) < 20
