"""What a PDF engine must offer, and what the engines share: page sizes, where words stand, errors in one wording."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import clean_text
from connectors.loaders.picture import MAX_PAGE_PIXELS, MAX_RATIO, fitted_size
from connectors.page import WordBox

DPI = 150
POINTS_PER_INCH = 72
BROKEN = "is no readable PDF (broken, cut off, or another format); open and save it again with a PDF program"
_NO_MEMORY = re.compile(r"\b(malloc|calloc|realloc)\b.* failed")  # MuPDF's words
# A word as an engine gives it: its letters, and left, top, right, bottom in fractions of the page as shown.
RawWord = tuple[str, float, float, float, float]


class PasswordError(DocumentError):
    """A document is encrypted and the password is missing or wrong."""


class RenderedDocument(Protocol):
    """An open document. Not safe to share between threads; page indices start at 0.

    Calls for one page come together (`render`, `text`, `words`), so an engine may keep what it knows of that page, but
    of no other.
    """

    @property
    def page_count(self) -> int:
        """Number of pages."""

    @property
    def repaired(self) -> bool:
        """Whether the file was damaged and the engine rebuilt its structure: pages may be missing."""

    def render(self, page_index: int, max_pixels: int = MAX_PAGE_PIXELS) -> Image.Image:
        """The page as shown (rotation, annotations, form fields), mode RGB, 150 dpi or less so as to keep `max_pixels`.

        Raises:
            DocumentError: this page cannot be rendered.
        """

    def text(self, page_index: int) -> str:
        """The page's text layer in the file's order; "" where it has none.

        Raises:
            DocumentError: this page's text cannot be read.
        """

    def words(self, page_index: int) -> tuple[WordBox, ...]:
        """The words of `text`, cleaned, in its order, each with its place on the picture that `render` gives.

        A run without blanks (Chinese) is one word for each line. Letters that take no space have no box and are left
        out. A renderer without this method gives pages without word boxes.

        Raises:
            DocumentError: this page's text cannot be read.
        """

    def close(self) -> None:
        """Free the document. Safe to call twice."""


class PageRenderer(Protocol):
    """An engine that opens documents."""

    def open(self, path: Path, password: str | None = None) -> RenderedDocument:
        """Open a PDF. A password is needed only where the file asks for one to be read.

        Raises:
            PasswordError: the file is encrypted and `password` is missing or wrong.
            DocumentError: the file is no readable PDF.
        """


def raster_size(width: float, height: float, max_pixels: int) -> tuple[int, int]:
    """The pixel size of a page of `width` x `height` points. Decided before anything is allocated.

    Raises:
        DocumentError: the page has no area.
    """
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise DocumentError(f"the page has no area ({width} x {height} points)")
    return fitted_size(width, height, max_pixels, DPI / POINTS_PER_INCH)


def word_boxes(words: Iterable[RawWord], width: float, height: float) -> tuple[WordBox, ...]:
    """Engine words on a page of `width` x `height` points as boxes on its picture; what lies outside is left out.

    The picture's margin is counted in: a page of extreme shape is centred on white (`pad_to_ratio`).
    """
    columns, rows = raster_size(width, height, MAX_PAGE_PIXELS)
    wide, high = max(columns, math.ceil(rows / MAX_RATIO)), max(rows, math.ceil(columns / MAX_RATIO))
    left, top = (wide - columns) // 2, (high - rows) // 2
    boxes: list[WordBox] = []
    for raw, x0, y0, x1, y1 in words:
        if not (x1 > 0 and y1 > 0 and x0 < 1 and y0 < 1):  # also says no to nan
            continue
        across = [(left + min(max(x, 0.0), 1.0) * columns) / wide for x in (x0, x1)]
        down = [(top + min(max(y, 0.0), 1.0) * rows) / high for y in (y0, y1)]
        # Cleaning may leave nothing (control characters), or blanks inside (those that the engine took for letters).
        clean = (raw,) if raw.isascii() and raw.isprintable() and " " not in raw else clean_text(raw).split()
        boxes.extend(WordBox(word, across[0], down[0], across[1], down[1]) for word in clean)
    return tuple(boxes)


def page_error(what: str, page_index: int, error: Exception) -> DocumentError:
    """An engine's failure at one page, in one line: "page 3 cannot be rendered: ..."."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        text = "needs more memory than a reader may take"
    return DocumentError(f"page {page_index + 1} cannot be {what}: {text}")


def password_error(path: Path, password: str | None) -> PasswordError:
    """What is wrong with the password given, or that one is needed, and how to give it."""
    problem = "the password given does not open it" if password else "it needs a password to be read"
    return PasswordError(
        f"{path}: is encrypted and {problem}; give the right one (--password, or password= of the PDF loader)"
    )
