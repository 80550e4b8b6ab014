"""PDF pages through MuPDF (PyMuPDF: AGPL-3.0 or commercial)."""

from collections.abc import Iterator
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

# MuPDF keeps decoded pictures and fonts, up to 256 MB of them. Emptied after so many pages it stays small, and what
# neighbouring pages share is still read once.
_KEPT_PAGES = 8


class PyMuPDFRenderer:
    """Renders with MuPDF through PyMuPDF (AGPL-3.0 or commercial). MuPDF's messages on stderr are switched off."""

    name: ClassVar[str] = "pymupdf"

    def open(self, path: Path, password: str | None = None) -> RenderedDocument:
        """See `PageRenderer.open`."""
        import pymupdf

        pymupdf.TOOLS.mupdf_display_errors(False)
        pymupdf.TOOLS.mupdf_display_warnings(False)
        try:
            document = pymupdf.open(path, filetype="pdf")
        except Exception as error:  # FileDataError, EmptyFileError, FzError...: not one family
            raise DocumentError(f"{path}: {BROKEN}") from error
        try:
            if document.needs_pass and not document.authenticate(password or ""):
                raise password_error(path, password)
            if document.page_count < 1:
                raise DocumentError(f"{path}: {BROKEN}")
        except DocumentError:
            document.close()
            raise
        except Exception as error:
            document.close()
            raise DocumentError(f"{path}: {BROKEN}") from error
        return _MuPDFDocument(document, pymupdf)


class _MuPDFDocument:
    def __init__(self, document: Any, pymupdf: Any) -> None:
        self._document = document
        self._pymupdf = pymupdf
        # The page in work and its text, which gives both the text and the words: loading and reading happen once.
        self._page: Any = None
        self._layer: Any = None
        self._index = -1
        self._loads = 0

    @property
    def page_count(self) -> int:
        return int(self._document.page_count)

    @property
    def repaired(self) -> bool:
        return bool(self._document.is_repaired)

    def render(self, page_index: int, max_pixels: int = MAX_PAGE_PIXELS) -> Image.Image:
        try:
            page = self._loaded(page_index)
            width, height = raster_size(page.rect.width, page.rect.height, max_pixels)
            zoom = self._pymupdf.Matrix(width / page.rect.width, height / page.rect.height)
            pixels = page.get_pixmap(matrix=zoom, colorspace=self._pymupdf.csRGB, alpha=False)
            image = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples_mv)
        except Exception as error:
            raise page_error("rendered", page_index, error) from error
        return pad_to_ratio(image)

    def text(self, page_index: int) -> str:
        try:
            return str(self._text_layer(page_index).extractText())
        except Exception as error:
            raise page_error("read", page_index, error) from error

    def words(self, page_index: int) -> tuple[WordBox, ...]:
        try:
            found = self._text_layer(page_index).extractWORDS()
            rect = self._page.rect
            return word_boxes(self._shown(found, rect), rect.width, rect.height)
        except Exception as error:
            raise page_error("read", page_index, error) from error

    def close(self) -> None:
        self._page = self._layer = None
        if not self._document.is_closed:
            self._document.close()

    def _loaded(self, page_index: int) -> Any:
        if self._page is None or self._index != page_index:
            self._page = self._layer = None  # first: never two pages at a time
            self._loads += 1
            if self._loads % _KEPT_PAGES == 0:
                self._pymupdf.TOOLS.store_shrink(100)
            self._page = self._document.load_page(page_index)
            self._index = page_index
        return self._page

    def _text_layer(self, page_index: int) -> Any:
        page = self._loaded(page_index)
        if self._layer is None:
            flags = self._pymupdf.TEXTFLAGS_TEXT & ~self._pymupdf.TEXT_PRESERVE_LIGATURES
            self._layer = page.get_textpage(flags=flags)
        return self._layer

    def _shown(self, words: list[tuple[Any, ...]], rect: Any) -> Iterator[RawWord]:
        """PyMuPDF gives places on the page before its rotation; these are on the page as shown."""
        a, b, c, d, e, f = self._page.rotation_matrix
        for x0, y0, x1, y1, text, *_ in words:
            across = sorted(((a * x + c * y + e - rect.x0) / rect.width for x, y in ((x0, y0), (x1, y1))))
            down = sorted(((b * x + d * y + f - rect.y0) / rect.height for x, y in ((x0, y0), (x1, y1))))
            yield text, across[0], down[0], across[1], down[1]
