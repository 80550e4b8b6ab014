"""OCR reads pages with the engine there is, gives boxes that fit the picture, and says what is missing."""

import pickle
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders import ocr
from connectors.loaders.image import ImageLoader
from connectors.loaders.ocr import OCREngine, RapidOCR, Tesseract, available, load_ocr, tesseract_languages, text_of
from connectors.loaders.pool import PAGE_SECONDS
from connectors.page import Page, WordBox
from embedder.errors import PluginError

VIETNAMESE = "Cộng hòa xã hội chủ nghĩa Việt Nam độc lập tự do hạnh phúc"
ENGLISH = "The annual report describes revenue and costs of the coming year"
CHINESE = "本合同由甲乙双方根据有关法律规定在平等自愿的基础上签订"

needs_tesseract = pytest.mark.skipif(
    not {"vie", "eng", "chi_sim"} <= tesseract_languages(),
    reason="Tesseract with vie, eng and chi_sim is not installed",
)


def has_rapidocr() -> bool:
    try:
        RapidOCR()
    except PluginError:
        return False
    return True


needs_rapidocr = pytest.mark.skipif(not has_rapidocr(), reason="rapidocr-onnxruntime (extra 'ocr') is not installed")


def scan(text: str, turn: float = 0.0) -> Image.Image:
    """A part of a page at 150 dpi with `text` on it, maybe skewed."""
    with pymupdf.open() as document:
        page = document.new_page(width=330, height=220)
        page.insert_htmlbox(pymupdf.Rect(30, 50, 300, 200), f"<p style='font-size:12pt'>{text}</p>")
        drawn = page.get_pixmap(dpi=150)
        image = Image.frombytes("RGB", (drawn.width, drawn.height), drawn.samples)
    return image.rotate(turn, Image.Resampling.BICUBIC, fillcolor="white")


def ink(image: Image.Image, word: WordBox) -> float:
    """The share of dark pixels in a word's box."""
    width, height = image.size
    box = (int(word.x0 * width), int(word.y0 * height), int(word.x1 * width) + 1, int(word.y1 * height) + 1)
    letters = image.convert("L").crop(box).histogram()
    return sum(letters[:128]) / sum(letters)


def letters(text: str) -> str:
    return "".join(text.split())


@needs_tesseract
@pytest.mark.parametrize("text", [VIETNAMESE, ENGLISH, CHINESE])
@pytest.mark.parametrize("turn", [0.0, 1.0])
def test_tesseract_reads_three_languages(text: str, turn: float) -> None:
    image = scan(text, turn)
    words = Tesseract().words(image)
    assert shared(letters(text), letters(text_of(words))) >= 0.95
    assert all(0 <= word.x0 < word.x1 <= 1 and 0 <= word.y0 < word.y1 <= 1 for word in words)
    assert min(ink(image, word) for word in words) > 0.02 > ink(image, WordBox("", 0, 0, 1, 0.2))


@needs_rapidocr
@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_rapidocr_reads_chinese_and_english(text: str) -> None:
    image = scan(text, 0.5)
    words = RapidOCR().words(image)
    assert shared(letters(text), letters(text_of(words))) >= 0.9
    assert all(0 <= word.x0 < word.x1 <= 1 and 0 <= word.y0 < word.y1 <= 1 for word in words)
    assert min(ink(image, word) for word in words) > 0.02


def shared(wanted: str, got: str) -> float:
    """The share of `wanted` that is in `got` in the same order."""
    lengths = [0] * (len(got) + 1)
    for letter in wanted:
        last = lengths[:]
        for place, other in enumerate(got):
            lengths[place + 1] = last[place] + 1 if letter == other else max(last[place + 1], lengths[place])
    return lengths[-1] / len(wanted)


@pytest.fixture(
    scope="module",
    params=[pytest.param(Tesseract, marks=needs_tesseract), pytest.param(RapidOCR, marks=needs_rapidocr)],
)
def engine(request: pytest.FixtureRequest) -> Iterator[OCREngine]:
    yield request.param()


def test_an_empty_page_has_no_words(engine: OCREngine) -> None:
    assert engine.words(Image.new("RGB", (400, 300), "white")) == ()
    assert engine.words(Image.new("RGB", (3, 2), "black")) == ()


def test_engines_go_to_other_processes(engine: OCREngine) -> None:
    image = scan(ENGLISH)
    words = engine.words(image)
    assert pickle.loads(pickle.dumps(engine)).words(image) == words != ()


def test_a_picture_gets_its_words(engine: OCREngine, tmp_path: Path) -> None:
    scan(ENGLISH).save(tmp_path / "scan.png")
    (page,) = ImageLoader(ocr=engine).pages(tmp_path / "scan.png")
    assert isinstance(page, Page) and "revenue" in page.text and page.metadata["ocr"] == engine.name
    assert "revenue" in "".join(word.text for word in page.words)
    (plain,) = ImageLoader().pages(tmp_path / "scan.png")
    assert isinstance(plain, Page) and plain.text == "" and plain.words == () and "ocr" not in plain.metadata


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def with_command(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A `tesseract` that lists Vietnamese and otherwise does what `text` says."""
    script(folder / "tesseract", f'if [ "$1" = --list-langs ]; then echo List; echo vie; exit 0; fi\n{text}')
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


def test_a_slow_or_failing_command_is_an_error_of_that_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("RGB", (30, 30), "white")
    with_command(tmp_path, monkeypatch, "exec sleep 20")
    with pytest.raises(DocumentError, match=r"more than 0\.2 s"):
        Tesseract(seconds=0.2).words(image)
    assert Tesseract().seconds < PAGE_SECONDS, "the reader process would be killed first, and the page lost"
    with_command(tmp_path, monkeypatch, "echo first >&2; echo no memory >&2; exit 3")
    with pytest.raises(DocumentError, match="OCR failed: no memory"):
        Tesseract().words(image)
    image.save(tmp_path / "x.png")
    (page,) = ImageLoader(ocr=Tesseract()).pages(tmp_path / "x.png")
    assert isinstance(page, Page) and page.image and page.text == "" and "no memory" in page.metadata["ocr_error"]


def test_what_is_not_installed_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    ocr._rapidocr_problem.cache_clear()
    try:
        assert available() == {}
        for name, ways in (
            ("tesseract", ["tesseract-ocr-vie"]),
            ("rapidocr", ["vipylo-rag[ocr]", "diacritics"]),
            ("auto", ["tesseract-ocr-vie", "vipylo-rag[ocr]"]),
        ):
            with pytest.raises(PluginError) as caught:
                load_ocr(name)
            assert all(way in str(caught.value) for way in ways) and "\n" not in str(caught.value)
        with pytest.raises(PluginError, match="vipylo-rag"):
            ImageLoader(ocr="auto")
    finally:
        ocr._rapidocr_problem.cache_clear()
    with pytest.raises(PluginError, match="no OCR engine named 'abbyy'"):
        load_ocr("abbyy")


def test_auto_prefers_what_reads_vietnamese(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(tmp_path, monkeypatch, "exit 0")
    assert load_ocr("auto").name == "tesseract" and "reads vie" in available()["tesseract"]
    (tmp_path / "tesseract").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    if has_rapidocr():
        assert load_ocr("auto").name == "rapidocr"


def boxes(*words: tuple[str, float, float]) -> list[WordBox]:
    return [WordBox(text, x, y, x + 0.1, y + 0.02) for text, x, y in words]


def test_words_become_lines() -> None:
    assert text_of(()) == ""
    assert text_of(boxes(("Kính", 0.1, 0.1), ("gửi", 0.3, 0.105), ("anh", 0.1, 0.14))) == "Kính gửi\nanh"
    assert text_of(boxes(("合", 0.1, 0.1), ("同", 0.2, 0.1), ("No", 0.3, 0.1), ("2", 0.4, 0.1))) == "合同 No 2"
    skewed = boxes(*((str(place), place / 10, 0.1 + place / 100) for place in range(5)), ("x", 0.05, 0.16))
    assert text_of(skewed) == "0 1 2 3 4\nx"


@given(st.text(max_size=30), st.floats(0, 50), st.floats(-20, 20))
def test_words_of_a_line_stand_side_by_side_within_it(text: str, left: float, slope: float) -> None:
    corners = [[left, 40], [left + 100, 40 + slope], [left + 100, 60 + slope], [left, 60]]
    words = list(ocr._line_words(corners, text, 200, 100))
    assert len(words) == len(text.split())
    for word in words:
        assert left / 200 - 1e-4 <= word.x0 <= word.x1 <= (left + 100) / 200 + 1e-4
    assert all(one.x1 <= other.x0 + 1e-4 for one, other in pairwise(words))
