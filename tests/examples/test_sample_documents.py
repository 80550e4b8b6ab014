"""The demo's documents: complete, readable, deterministic, and each query has its page."""

import hashlib
import re
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pymupdf
import pytest
from PIL import Image, ImageSequence

from examples.sample_documents import DOCUMENTS, QUERIES, build, queries_folder
from examples.sample_documents.canvas import Sheet, face
from examples.sample_documents.typeset import Style, compose, manuscript

ROOT = Path(__file__).resolve().parents[2]
SECONDS_ALLOWED = 30.0

# Letters that one language has and the two others have not.
_LETTERS = {
    "vi": re.compile("[ăơưđạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]"),
    "zh": re.compile("[\u4e00-\u9fff]"),
}

_PDF_MANUSCRIPTS = {
    "hop-dong-thue-can-ho.pdf": "hop_dong_thue.txt",
    "bang-gia-gom.pdf": "price_list.txt",
    "solar-park-report-2025.pdf": "solar_report.txt",
    "cargo-ebike-manual.pdf": "ebike_manual.txt",
    "rice-moisture-paper.pdf": "rice_paper.txt",
    "water-purifier-manual-zh.pdf": "water_purifier_zh.txt",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("samples") / "documents"
    started = time.perf_counter()
    build(target)
    assert time.perf_counter() - started < SECONDS_ALLOWED
    return target


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[tuple[str, int], tuple[str, np.ndarray]]:
    """Text layer and pixels of every page, by file name and page number."""
    return {
        (document.name, number): page
        for document in DOCUMENTS
        for number, page in enumerate(_pages(folder / document.name), start=1)
    }


def _pages(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    match path.suffix:
        case ".pdf":
            with pymupdf.open(path) as document:
                assert not document.is_repaired
                for page in document:
                    pixmap = page.get_pixmap(dpi=36)
                    yield page.get_text(), np.frombuffer(pixmap.samples, np.uint8)
        case ".md" | ".txt":
            yield path.read_text(encoding="utf-8"), np.zeros(0)
        case ".dcm":
            yield "", pydicom.dcmread(path).pixel_array
        case _:
            with Image.open(path) as image:
                for frame in ImageSequence.Iterator(image):
                    yield "", np.asarray(frame.convert("L"))


def _words(text: str) -> set[str]:
    """Words, and pairs of neighbours for Chinese, as a lexical index would see them."""
    text = text.lower()
    chinese = re.findall("[\u4e00-\u9fff]+", text)
    return set(re.findall(r"[^\W\u4e00-\u9fff]+", text)) | {
        run[i : i + 2] for run in chinese for i in range(len(run) - 1)
    }


def _letters(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_there_are_enough_documents_and_pages_in_three_languages(pages: dict) -> None:
    assert len(DOCUMENTS) >= 12
    assert len(pages) >= 55
    assert len(pages) == sum(document.pages for document in DOCUMENTS)
    assert {document.language for document in DOCUMENTS} >= {"vi", "en", "zh"}


def test_text_layers_are_in_the_language_of_the_catalog_and_composed(pages: dict) -> None:
    languages = {document.name: document.language for document in DOCUMENTS}
    for (name, number), (text, _) in pages.items():
        if not text:
            continue
        assert unicodedata.is_normalized("NFC", text), (name, number)
        assert "\ufffd" not in text, (name, number)
        found = {language for language, letters in _LETTERS.items() if letters.search(text)} or {"en"}
        assert found == {languages[name]}, (name, number)


@pytest.mark.parametrize(("name", "source"), _PDF_MANUSCRIPTS.items())
def test_text_layer_says_what_the_manuscript_says(pages: dict, name: str, source: str) -> None:
    for number, page in enumerate(re.split(r"^---$", manuscript(source), flags=re.MULTILINE), start=1):
        extracted = _letters(pages[name, number][0])
        for block in re.split(r"\n\s*\n", page.strip()):
            if block.startswith(("!", "===")):
                continue
            for piece in re.split(r"\s\|\s?|^\| |\n", re.sub(r"(?m)^(#+|\^|~|>|-) ", "", block).replace("**", "")):
                # A table cell may be broken into lines beside its neighbours, so it is looked up word by word.
                for part in piece.split() if block.startswith("|") else [piece]:
                    assert _letters(part.strip("|")) in extracted, (name, number, part)


def test_no_page_is_blank(pages: dict) -> None:
    for key, (_, pixels) in pages.items():
        assert pixels.size == 0 or pixels.std() > 4, key


def test_no_two_pages_are_alike(pages: dict) -> None:
    digests = {hashlib.sha256(text.encode() + pixels.tobytes()).digest() for text, pixels in pages.values()}
    assert len(digests) == len(pages)


def test_fonts_are_embedded_and_drawn_without_a_missing_glyph(folder: Path) -> None:
    for path in folder.glob("*.pdf"):
        with pymupdf.open(path) as document:
            for page in document:
                assert all(kind in {"cid", "otf", "ttf"} for _, kind, *_ in page.get_fonts()), path.name
                for span in page.get_texttrace():
                    assert all(glyph != 0 for _, glyph, *_ in span["chars"]), (path.name, page.number, span["font"])


def test_text_stays_inside_its_page(folder: Path) -> None:
    for path in folder.glob("*.pdf"):
        with pymupdf.open(path) as document:
            for page in document:
                for *box, word, _, _, _ in page.get_text("words"):
                    assert pymupdf.Rect(box) in page.rect, (path.name, page.number, word)


def test_every_query_has_a_page_and_its_picture(folder: Path, pages: dict) -> None:
    pictures = queries_folder(folder)
    assert len({query.name for query in QUERIES}) == len(QUERIES) >= 9
    for query in QUERIES:
        assert query.expected and all(page in pages for page in query.expected), query.name
        assert query.text or query.image, query.name
        if query.image:
            assert not (folder / query.image).exists()
            with Image.open(pictures / query.image) as image:
                assert min(image.size) >= 112, query.name
                assert np.asarray(image.convert("L")).std() > 10, query.name
    assert {path.name for path in pictures.iterdir()} == {query.image for query in QUERIES if query.image}
    assert {query.kind for query in QUERIES} == {"text", "image", "mixed"}
    assert sum(query.kind == "mixed" for query in QUERIES) >= 2


def test_words_of_a_query_point_at_its_page(pages: dict) -> None:
    """A page that answers shares more words with the question than all but two other pages do."""
    for query in QUERIES:
        if query.text is None:
            continue
        asked = _words(query.text)
        shared = {key: len(asked & _words(text)) for key, (text, _) in pages.items()}
        best = max(shared[page] for page in query.expected)
        assert best >= 2, query.name
        assert sum(count > best for count in shared.values()) <= 2, query.name


def test_building_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    build(again)
    for first, second in ((folder, again), (queries_folder(folder), queries_folder(again))):
        assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}
        for path in first.iterdir():
            assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_a_manuscript_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="page 2"):
        compose("one line\n---\n" + "too many words " * 900, Style(face("en"), accent=(0, 0, 0)))


def test_chinese_lines_do_not_begin_with_a_closing_mark() -> None:
    sheet = Sheet(pymupdf.open().new_page(), face("zh"))
    for width in range(60, 140, 7):
        lines = sheet.wrap("先看指示灯，再检查水压。（冬天水温低）、出水量减少！", width, 12)
        assert all(line[0][0][0] not in "，。）、！" for line in lines)


def test_command_line_names_what_it_wrote() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.sample_documents", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "OUTDIR" in done.stdout
