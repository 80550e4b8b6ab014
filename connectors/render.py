"""Turns PDF pages into pictures and text: a small protocol, and two engines behind it.

`PyMuPDFRenderer` is the default; PyMuPDF is under the AGPL. `PdfiumRenderer` does the same with pypdfium2 (Apache-2.0
or BSD-3). Both are found by entry point (group "renderers"), as a third party's is. Engines are imported on first use.
"""

import math
from pathlib import Path
from typing import Any, ClassVar, Protocol

from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.picture import MAX_PAGE_PIXELS, fitted_size, pad_to_ratio
from embedder.errors import PluginError
from embedder.plugins import load_plugin

DPI = 150
_POINTS_PER_INCH = 72
_BROKEN = "is no readable PDF (broken, cut off, or another format); open and save it again with a PDF program"


class PasswordError(DocumentError):
    """A document is encrypted and the password is missing or wrong."""


class RenderedDocument(Protocol):
    """An open document. Not safe to share between threads; page indices start at 0."""

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


def load_renderer(name: str) -> PageRenderer:
    """The renderer registered under `name` ("pymupdf", "pypdfium2", or a third party's).

    Raises:
        PluginError: there is none of that name, or it cannot be imported or made.
    """
    made = load_plugin("renderers", name)
    try:
        renderer: PageRenderer = made()
    except Exception as error:  # a third party's constructor may raise anything
        raise PluginError(f"the renderer {name!r} cannot be made: {error}") from error
    return renderer


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
            raise DocumentError(f"{path}: {_BROKEN}") from error
        try:
            if document.needs_pass and not document.authenticate(password or ""):
                raise _password_error(path, password)
            if document.page_count < 1:
                raise DocumentError(f"{path}: {_BROKEN}")
        except DocumentError:
            document.close()
            raise
        except Exception as error:
            document.close()
            raise DocumentError(f"{path}: {_BROKEN}") from error
        return _MuPDFDocument(document, pymupdf)


class _MuPDFDocument:
    def __init__(self, document: Any, pymupdf: Any) -> None:
        self._document = document
        self._pymupdf = pymupdf

    @property
    def page_count(self) -> int:
        return int(self._document.page_count)

    @property
    def repaired(self) -> bool:
        return bool(self._document.is_repaired)

    def render(self, page_index: int, max_pixels: int = MAX_PAGE_PIXELS) -> Image.Image:
        try:
            page = self._document.load_page(page_index)
            width, height = _raster_size(page.rect.width, page.rect.height, max_pixels)
            zoom = self._pymupdf.Matrix(width / page.rect.width, height / page.rect.height)
            pixels = page.get_pixmap(matrix=zoom, colorspace=self._pymupdf.csRGB, alpha=False)
            image = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples_mv)
        except Exception as error:
            raise _page_error("rendered", page_index, error) from error
        return pad_to_ratio(image)

    def text(self, page_index: int) -> str:
        flags = self._pymupdf.TEXTFLAGS_TEXT & ~self._pymupdf.TEXT_PRESERVE_LIGATURES
        try:
            return str(self._document.load_page(page_index).get_text("text", flags=flags))
        except Exception as error:
            raise _page_error("read", page_index, error) from error

    def close(self) -> None:
        if not self._document.is_closed:
            self._document.close()


class PdfiumRenderer:
    """Renders with PDFium through pypdfium2 (Apache-2.0 or BSD-3-Clause)."""

    name: ClassVar[str] = "pypdfium2"

    def open(self, path: Path, password: str | None = None) -> RenderedDocument:
        """See `PageRenderer.open`."""
        import pypdfium2

        if not path.is_file():
            raise DocumentError(f"{path}: does not exist")
        try:
            document = pypdfium2.PdfDocument(path, password=password)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise _password_error(path, password) from error
            raise DocumentError(f"{path}: {_BROKEN}") from error
        if len(document) < 1:
            document.close()
            raise DocumentError(f"{path}: {_BROKEN}")
        if document.get_formtype():
            document.init_forms()  # without it, what is filled into form fields is not drawn
        return _PdfiumDocument(document)


class _PdfiumDocument:
    repaired: ClassVar[bool] = False  # PDFium repairs in silence

    def __init__(self, document: Any) -> None:
        self._document: Any | None = document

    @property
    def page_count(self) -> int:
        return len(self._open())

    def render(self, page_index: int, max_pixels: int = MAX_PAGE_PIXELS) -> Image.Image:
        try:
            page = self._open()[page_index]
            try:
                return pad_to_ratio(_pdfium_picture(page, max_pixels))
            finally:
                page.close()
        except Exception as error:
            raise _page_error("rendered", page_index, error) from error

    def text(self, page_index: int) -> str:
        try:
            page = self._open()[page_index]
            try:
                layer = page.get_textpage()
                try:
                    return str(layer.get_text_range(errors="replace"))
                finally:
                    layer.close()
            finally:
                page.close()
        except Exception as error:
            raise _page_error("read", page_index, error) from error

    def close(self) -> None:
        if self._document is not None:
            self._document.close()
            self._document = None

    def _open(self) -> Any:
        if self._document is None:
            raise DocumentError("the document has been closed")
        return self._document


def _pdfium_picture(page: Any, max_pixels: int) -> Image.Image:
    page_width, page_height = page.get_size()
    width, height = _raster_size(page_width, page_height, max_pixels)
    # PDFium rounds up to whole pixels from one scale for both sides, so an extreme shape may come a pixel larger.
    scale = min(width / page_width, height / page_height)
    bitmap = page.render(scale=scale, rev_byteorder=True, prefer_bgrx=False)
    try:
        picture: Image.Image = bitmap.to_pil().convert("RGB")
        return picture.copy() if picture.readonly else picture
    finally:
        bitmap.close()


def _raster_size(width: float, height: float, max_pixels: int) -> tuple[int, int]:
    """The pixel size of a page of `width` x `height` points. Decided before anything is allocated."""
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise DocumentError(f"the page has no area ({width} x {height} points)")
    return fitted_size(width, height, max_pixels, DPI / _POINTS_PER_INCH)


def _page_error(what: str, page_index: int, error: Exception) -> DocumentError:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return DocumentError(f"page {page_index + 1} cannot be {what}: {text}")


def _password_error(path: Path, password: str | None) -> PasswordError:
    problem = "the password given does not open it" if password else "it needs a password to be read"
    return PasswordError(f"{path}: is encrypted and {problem}; give the right one (password= of the PDF loader)")
