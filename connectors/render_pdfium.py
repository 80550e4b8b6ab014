"""PDF pages through PDFium (pypdfium2: Apache-2.0 or BSD-3-Clause)."""

import ctypes
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.picture import MAX_PAGE_PIXELS, pad_to_ratio
from connectors.page import WordBox
from connectors.render_protocol import (
    BROKEN,
    RawWord,
    RenderedDocument,
    page_error,
    password_error,
    raster_size,
    word_boxes,
)

# A hyphen that PDFium takes for a word's break at the end of a line, the line break left out. As MuPDF, we keep both.
_BREAKS = (0x02, 0xFFFE)
_BLANKS = frozenset({0x09, 0x0A, 0x0D, 0x20, 0xA0, 0x3000, *range(0x2000, 0x200B)})
# The page's corners are asked for as integers on a raster so fine that rounding is not seen.
_FINE = 1_000_000
# How many letters of a page are asked which way they stand.
_ASKED_LETTERS = 60
# PDFium never forgets what it parsed (70 KB a page and more): after so many pages the file is opened anew.
_KEPT_PAGES = 128


class PdfiumRenderer:
    """Renders with PDFium through pypdfium2 (Apache-2.0 or BSD-3-Clause)."""

    name: ClassVar[str] = "pypdfium2"

    def open(self, path: Path, password: str | None = None) -> RenderedDocument:
        """See `PageRenderer.open`."""
        import pypdfium2

        if not path.is_file():
            raise DocumentError(f"{path}: does not exist")

        def opened() -> Any:
            document = pypdfium2.PdfDocument(path, password=password)
            if document.get_formtype():
                document.init_forms()  # without it, what is filled into form fields is not drawn
            return document

        try:
            document = opened()
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise password_error(path, password) from error
            raise DocumentError(f"{path}: {BROKEN}") from error
        if len(document) < 1:
            document.close()
            raise DocumentError(f"{path}: {BROKEN}")
        return _PdfiumDocument(document, opened, pypdfium2.raw)


@dataclass(frozen=True)
class _Layer:
    """A page's text and the words in it, from one pass over its letters."""

    text: str
    words: tuple[WordBox, ...]


class _PdfiumDocument:
    repaired: ClassVar[bool] = False  # PDFium repairs in silence

    def __init__(self, document: Any, reopen: Callable[[], Any], raw: Any) -> None:
        self._document: Any | None = document
        self._reopen = reopen
        self._loads = 0
        self._raw = raw
        self._page: Any = None
        self._layer: _Layer | None = None
        self._index = -1

    @property
    def page_count(self) -> int:
        return len(self._open())

    def render(self, page_index: int, max_pixels: int = MAX_PAGE_PIXELS) -> Image.Image:
        try:
            return pad_to_ratio(_picture(self._loaded(page_index), max_pixels))
        except Exception as error:
            raise page_error("rendered", page_index, error) from error

    def text(self, page_index: int) -> str:
        return self._text_layer(page_index).text

    def words(self, page_index: int) -> tuple[WordBox, ...]:
        return self._text_layer(page_index).words

    def close(self) -> None:
        if self._document is not None:
            self._let_go()
            self._document.close()
            self._document = None

    def _open(self) -> Any:
        if self._document is None:
            raise DocumentError("the document has been closed")
        return self._document

    def _loaded(self, page_index: int) -> Any:
        if self._page is None or self._index != page_index:
            self._let_go()  # first: never two pages at a time
            self._loads += 1
            if self._loads % _KEPT_PAGES == 0:
                self._open().close()
                self._document = None  # should the file be gone, it stays closed
                self._document = self._reopen()
            self._page = self._open()[page_index]
            self._index = page_index
        return self._page

    def _let_go(self) -> None:
        if self._page is not None:
            self._page.close()
        self._page = self._layer = None

    def _text_layer(self, page_index: int) -> _Layer:
        try:
            page = self._loaded(page_index)
            if self._layer is None:
                letters = _upright(self._raw, page)
                try:
                    self._layer = _read(self._raw, page, letters)
                finally:
                    letters.close()
        except Exception as error:
            raise page_error("read", page_index, error) from error
        return self._layer


def _picture(page: Any, max_pixels: int) -> Image.Image:
    page_width, page_height = page.get_size()
    width, height = raster_size(page_width, page_height, max_pixels)
    # PDFium rounds up to whole pixels from one scale for both sides, so an extreme shape may come a pixel larger.
    scale = min(width / page_width, height / page_height)
    bitmap = page.render(scale=scale, rev_byteorder=True, prefer_bgrx=False)
    try:
        picture: Image.Image = bitmap.to_pil().convert("RGB")
        return picture.copy() if picture.readonly else picture
    finally:
        bitmap.close()


def _read(raw: Any, page: Any, letters: Any) -> _Layer:
    """The text and the words of a page. Letters outside of what the page shows (its crop box) are left out of both."""
    place = _placer(raw, page)
    text: list[str] = []
    words: list[RawWord] = []
    word: list[str] = []
    box: tuple[float, float, float, float] | None = None

    def end_word() -> None:
        nonlocal box
        if word and box is not None:
            words.append(("".join(word), *box))
        word.clear()
        box = None

    for code, bounds in _letters(raw, letters):
        if code in _BLANKS:
            text.append(chr(code))
            end_word()
            continue
        if code in _BREAKS:
            letter = "-\n"
        elif 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            letter = "\ufffd"
        else:
            letter = chr(code)
        spot = place(*bounds) if bounds else None
        if spot is not None and (spot[2] <= 0 or spot[3] <= 0 or spot[0] >= 1 or spot[1] >= 1):
            continue
        text.append(letter)
        word.append(letter)
        if spot is not None:
            box = spot if box is None else _around(box, spot)
        if code in _BREAKS:
            end_word()
    end_word()
    return _Layer("".join(text), word_boxes(words, *page.get_size()))


def _letters(raw: Any, letters: Any) -> Iterator[tuple[int, tuple[float, float, float, float] | None]]:
    """Each letter's code with its left, bottom, right, top in the file's coordinates; None for one without a place."""
    rect = raw.FS_RECTF()
    blanks: list[int] = []
    for index in range(letters.count_chars()):
        code = raw.FPDFText_GetUnicode(letters, index)
        if code in _BLANKS:
            blanks.append(code)
        elif code:
            if not (blanks and unicodedata.combining(chr(min(code, 0x10FFFF)))):
                yield from ((blank, None) for blank in blanks)
            # else: PDFium sees a new line in a mark that stands above its letter.
            blanks = []
            # "Loose" is the whole height of the font: boxes of one line are of one height, as MuPDF's.
            found = raw.FPDFText_GetLooseCharBox(letters, index, rect)
            bounds = (rect.left, rect.bottom, rect.right, rect.top)
            yield code, bounds if found and bounds != (0, 0, 0, 0) else None


def _upright(raw: Any, page: Any) -> Any:
    """The page's text layer, read the way that most of its letters stand.

    PDFium cuts text into lines as the page is shown: one that is shown lying or upside down would come letter by
    letter. The page is turned for the reading and back.
    """
    letters = page.get_textpage()
    shown = page.get_rotation()
    count = letters.count_chars()
    sample = range(0, count, max(1, count // _ASKED_LETTERS))
    turns = Counter(
        round(-math.degrees(raw.FPDFText_GetCharAngle(letters, index)) / 90) * 90 % 360
        for index in sample
        if raw.FPDFText_GetUnicode(letters, index) not in _BLANKS
    )
    best = turns.most_common(1)[0][0] if turns else shown
    if best == shown:
        return letters
    letters.close()
    page.set_rotation(best)
    try:
        return page.get_textpage()
    finally:
        page.set_rotation(shown)


def _placer(raw: Any, page: Any) -> Callable[[float, float, float, float], tuple[float, float, float, float]]:
    """The function from a box in the file's coordinates to fractions of the page as shown (rotated, cropped)."""
    x, y = ctypes.c_double(), ctypes.c_double()
    corners = []
    for across, down in ((0, 0), (_FINE, 0), (0, _FINE)):
        raw.FPDF_DeviceToPage(page, 0, 0, _FINE, _FINE, 0, across, down, x, y)
        corners.append((x.value, y.value))
    (left, top), (right_x, right_y), (down_x, down_y) = corners
    a, b, c, d = right_x - left, right_y - top, down_x - left, down_y - top
    area = a * d - b * c
    if not area:
        raise DocumentError("the page has no area")

    def share(px: float, py: float) -> tuple[float, float]:
        px, py = px - left, py - top
        return (d * px - c * py) / area, (a * py - b * px) / area

    def place(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        (u0, v0), (u1, v1) = share(x0, y0), share(x1, y1)
        return min(u0, u1), min(v0, v1), max(u0, u1), max(v0, v1)

    return place


def _around(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, float, float, float]:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
