"""What both PDF engines must do alike at the edges: boxes of words on the picture as shown, odd pages, forms, size."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import clean_text
from connectors.loaders.pdf import PDFLoader
from connectors.page import Page, WordBox
from connectors.render import PageRenderer, PdfiumRenderer, RenderedDocument, load_renderer

ENGINES = ("pymupdf", "pypdfium2")
TEXT = "<p>Quốc hội Việt Nam</p><p>plain English words, 2 of them</p><p>中华人民共和国 宪法</p>"
Change = Callable[[Any, Any], None]


@pytest.fixture(params=ENGINES)
def renderer(request: pytest.FixtureRequest) -> PageRenderer:
    return load_renderer(request.param)


def text_pdf(path: Path, change: Change | None = None, text: str = TEXT, **save: Any) -> Path:
    """A page of 400 x 500 points with `text` in its upper left part."""
    with pymupdf.open() as document:
        page = document.new_page(width=400, height=500)
        page.insert_htmlbox(pymupdf.Rect(60, 80, 320, 300), text)
        if change:
            change(document, page)
        document.save(path, **save)
    return path


def rotated(degrees: int) -> Change:
    return lambda document, page: page.set_rotation(degrees)


def cropped(document: Any, page: Any) -> None:
    page.set_cropbox(pymupdf.Rect(40, 50, 340, 330))


def cropped_and_turned(document: Any, page: Any) -> None:
    cropped(document, page)
    page.set_rotation(90)


def lying(document: Any, page: Any) -> None:
    """Drawn from below to above on a page that is turned: upright as shown, as most turned pages are."""
    page.set_mediabox(pymupdf.Rect(0, 0, 400, 500))
    page.clean_contents()
    document.update_stream(page.get_contents()[0], b"q 0 1 -1 0 450 0 cm\n" + page.read_contents() + b"\nQ")
    page.set_rotation(90)


def far_origin(document: Any, page: Any) -> None:
    """The page's corner is not at 0, 0."""
    document.xref_set_key(page.xref, "MediaBox", "[-30 -40 400 500]")


def double_units(document: Any, page: Any) -> None:
    document.xref_set_key(page.xref, "UserUnit", "2")


def strip(document: Any, page: Any) -> None:
    """A page 40 points wide and 8,000 high: its picture has a white margin on both sides."""
    document.xref_set_key(page.xref, "MediaBox", "[60 -7500 100 500]")


CHANGES: dict[str, Change | None] = {
    "plain": None,
    "turned by 90": rotated(90),
    "turned by 180": rotated(180),
    "turned by 270": rotated(270),
    "cropped": cropped,
    "cropped and turned": cropped_and_turned,
    "drawn lying, turned upright": lying,
    "far origin": far_origin,
    "double units": double_units,
}


def ink_in(image: Image.Image, word: WordBox) -> float:
    """The share of dark pixels in the word's box."""
    dark = np.asarray(image.convert("L")) < 128
    rows = slice(math.floor(word.y0 * image.height), math.ceil(word.y1 * image.height))
    columns = slice(math.floor(word.x0 * image.width), math.ceil(word.x1 * image.width))
    return float(dark[rows, columns].mean())


def ink_outside(image: Image.Image, words: tuple[WordBox, ...]) -> int:
    """The dark pixels in no word's box; two pixels around a box are its own."""
    dark = np.asarray(image.convert("L")) < 128
    for word in words:
        rows = slice(max(0, math.floor(word.y0 * image.height) - 2), math.ceil(word.y1 * image.height) + 2)
        columns = slice(max(0, math.floor(word.x0 * image.width) - 2), math.ceil(word.x1 * image.width) + 2)
        dark[rows, columns] = False
    return int(dark.sum())


@pytest.mark.parametrize("change", CHANGES)
def test_each_word_stands_where_its_ink_is(renderer: PageRenderer, tmp_path: Path, change: str) -> None:
    document = renderer.open(text_pdf(tmp_path / "w.pdf", CHANGES[change]))
    image, words = document.render(0), document.words(0)
    assert [word.text for word in words] == clean_text(document.text(0)).split()
    assert {"Quốc", "Việt", "English", "words,", "中华人民共和国", "宪法"} <= {word.text for word in words}
    for word in words:
        assert 0 <= word.x0 < word.x1 <= 1 and 0 <= word.y0 < word.y1 <= 1
        assert 0.03 < ink_in(image, word) < 0.7, word
    assert ink_outside(image, words) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_the_engines_agree_on_places(tmp_path: Path, change: str) -> None:
    path = text_pdf(tmp_path / "w.pdf", CHANGES[change])
    one, other = (load_renderer(name).open(path).words(0) for name in ENGINES)
    assert [word.text for word in one] == [word.text for word in other]
    for mine, yours in zip(one, other, strict=True):
        places = [(w.x0, w.y0, w.x1, w.y1) for w in (mine, yours)]
        assert places[0] == pytest.approx(places[1], abs=0.015), mine.text


def test_turning_a_page_turns_its_words(renderer: PageRenderer, tmp_path: Path) -> None:
    upright, turned = (
        renderer.open(text_pdf(tmp_path / f"{degrees}.pdf", rotated(degrees))).words(0) for degrees in (0, 90)
    )
    for before, after in zip(upright, turned, strict=True):
        clockwise = (1 - before.y1, before.x0, 1 - before.y0, before.x1)
        assert (after.x0, after.y0, after.x1, after.y1) == pytest.approx(clockwise, abs=1e-3)


def test_words_stand_beside_the_margin_of_a_strip(renderer: PageRenderer, tmp_path: Path) -> None:
    document = renderer.open(text_pdf(tmp_path / "s.pdf", strip, "<p>abc</p>"))
    image, (word,) = document.render(0), document.words(0)
    assert image.height == pytest.approx(100 * image.width, rel=0.02)
    middle = (word.x0 + word.x1) / 2
    assert 0.25 < word.x0 < middle < 0.7 and ink_in(image, word) > 0.02


def test_what_the_crop_box_hides_is_neither_text_nor_words(renderer: PageRenderer, tmp_path: Path) -> None:
    def crop_below(document: Any, page: Any) -> None:
        page.insert_text((60, 450), "hidden words")
        page.set_cropbox(pymupdf.Rect(0, 0, 400, 400))

    document = renderer.open(text_pdf(tmp_path / "c.pdf", crop_below))
    assert "hidden" not in document.text(0) and "English" in document.text(0)
    assert "hidden" not in {word.text for word in document.words(0)}


def test_a_word_that_the_edge_cuts_stays_within_the_page(renderer: PageRenderer, tmp_path: Path) -> None:
    def cut(document: Any, page: Any) -> None:
        page.set_cropbox(pymupdf.Rect(70, 0, 400, 500))

    words = renderer.open(text_pdf(tmp_path / "e.pdf", cut)).words(0)
    assert words and all(0 <= word.x0 <= word.x1 <= 1 and 0 <= word.y0 <= word.y1 <= 1 for word in words)
    assert any(word.x0 == 0 for word in words)


def test_ligatures_and_decomposed_letters_come_as_in_the_text(renderer: PageRenderer, tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "l.pdf", text="e\ufb03cient Tie\u0302\u0301ng Vie\u0323\u0302t")
    assert [word.text for word in renderer.open(path).words(0)] == ["efficient", "Tiếng", "Việt"]


def test_a_hyphen_at_the_end_of_a_line_stays(renderer: PageRenderer, tmp_path: Path) -> None:
    """One word over two lines would have a box over both."""

    def lines(document: Any, page: Any) -> None:
        page.insert_text((60, 400), "multi-")
        page.insert_text((60, 414), "modal pages")

    document = renderer.open(text_pdf(tmp_path / "h.pdf", lines, "<p>start</p>"))
    assert clean_text(document.text(0)).split() == ["start", "multi-", "modal", "pages"]
    assert all(word.y1 - word.y0 < 0.05 for word in document.words(0))


def test_no_text_no_words(renderer: PageRenderer, tmp_path: Path) -> None:
    document = renderer.open(text_pdf(tmp_path / "n.pdf", text="<p> </p>"))
    assert document.words(0) == () and not document.text(0).strip()
    with pytest.raises(DocumentError, match="page 4"):
        document.words(3)


@pytest.mark.parametrize("size", [(14400, 14400), (3, 3), (200, 14400), (14400, 40)])
def test_words_of_huge_and_tiny_pages(renderer: PageRenderer, tmp_path: Path, size: tuple[int, int]) -> None:
    with pymupdf.open() as made:
        page = made.new_page(width=size[0], height=size[1])
        page.insert_text((size[0] * 0.2, size[1] * 0.7), "word", fontsize=min(size) * 0.3)
        made.save(tmp_path / "h.pdf")
    document = renderer.open(tmp_path / "h.pdf")
    (word,) = document.words(0)
    image = document.render(0)
    assert word.text == "word" and 0 <= word.x0 < word.x1 <= 1
    assert image.width < 10 or ink_in(image, word) > 0.05


def test_fields_and_notes_are_drawn(renderer: PageRenderer, tmp_path: Path) -> None:
    def fill(document: Any, page: Any) -> None:
        field = pymupdf.Widget()
        field.field_name, field.field_type = "name", pymupdf.PDF_WIDGET_TYPE_TEXT
        field.rect, field.field_value = pymupdf.Rect(60, 350, 300, 380), "FILLED IN"
        page.add_widget(field)
        page.add_rect_annot(pymupdf.Rect(100, 400, 300, 450)).update(fill_color=(0, 0, 0))

    image = renderer.open(text_pdf(tmp_path / "f.pdf", fill)).render(0)
    dark = np.asarray(image.convert("L")) < 128
    row, column = image.height / 500, image.width / 400
    assert dark[int(352 * row) : int(378 * row), int(62 * column) : int(298 * column)].mean() > 0.01
    assert dark[int(410 * row) : int(440 * row), int(110 * column) : int(290 * column)].mean() > 0.9


@pytest.mark.parametrize("password", ["user", "owner"])
def test_either_password_opens(renderer: PageRenderer, tmp_path: Path, password: str) -> None:
    lock = {"encryption": pymupdf.PDF_ENCRYPT_AES_256, "user_pw": "user", "owner_pw": "owner"}
    document = renderer.open(text_pdf(tmp_path / "p.pdf", **lock), password)
    assert "English" in {word.text for word in document.words(0)}


def test_damage_gives_pages_or_one_line(renderer: PageRenderer, tmp_path: Path) -> None:
    whole = text_pdf(tmp_path / "whole.pdf").read_bytes()
    path = tmp_path / "cut.pdf"
    whole_pages = 0
    for kept in (*(len(whole) * share // 100 for share in range(5, 100, 10)), len(whole) - 50):
        path.write_bytes(whole[:kept] + b"\x00garbage" * 20)
        try:
            document = renderer.open(path)
            for index in range(document.page_count):
                document.render(index)
                whole_pages += "English" in {word.text for word in document.words(index)}
            document.close()
        except DocumentError as error:
            assert "\n" not in str(error)
    assert whole_pages or isinstance(renderer, PdfiumRenderer)  # the last cut took the table of contents only


def test_pages_in_any_order_give_the_same(renderer: PageRenderer, tmp_path: Path) -> None:
    """What an engine keeps of a page in work, and that it lets go of old ones, is not seen."""
    with pymupdf.open() as made:
        for number in range(20):
            made.new_page(width=200, height=100).insert_text((20, 50), f"page{number}")
        made.save(tmp_path / "m.pdf")
    document = renderer.open(tmp_path / "m.pdf")
    there = [document.words(index)[0] for index in range(20)]
    back = [(document.text(index), document.words(index)[0])[1] for index in reversed(range(20))]
    assert there == back[::-1] and [word.text for word in there] == [f"page{number}" for number in range(20)]
    assert document.render(3).size == document.render(4).size


def test_a_long_document_is_read_on_after_it_was_opened_anew(
    renderer: PageRenderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.render_pdfium._KEPT_PAGES", 3)
    monkeypatch.setattr("connectors.render_pymupdf._KEPT_PAGES", 3)
    with pymupdf.open() as made:
        for number in range(10):
            made.new_page(width=200, height=100).insert_text((20, 50), f"page{number}")
        made.save(tmp_path / "m.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="pw")
    document = renderer.open(tmp_path / "m.pdf", "pw")
    found = [(document.render(index).size, document.words(index)[0].text) for index in range(10)]
    assert [text for _, text in found] == [f"page{number}" for number in range(10)]
    assert all(one[0] == other[0] for one, other in pairwise(found))


def test_a_renderer_that_knows_no_words_still_works(tmp_path: Path) -> None:
    class Wordless:
        """As a third party wrote it before there were words."""

        def __init__(self, document: RenderedDocument) -> None:
            self._document = document
            self.page_count, self.repaired = document.page_count, False
            self.render, self.text, self.close = document.render, document.text, document.close

    class OldRenderer:
        def open(self, path: Path, password: str | None = None) -> Any:
            return Wordless(load_renderer("pymupdf").open(path, password))

    (page,) = PDFLoader(renderer=OldRenderer()).pages(text_pdf(tmp_path / "o.pdf"))
    assert isinstance(page, Page) and page.words == () and "English" in page.text
