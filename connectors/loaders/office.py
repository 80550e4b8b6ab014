"""Reads Office documents: as the pages that LibreOffice prints, where it is installed, else as typeset text."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, PageFailure, one_line
from connectors.loaders.blocks import BlockLoader, Section
from connectors.loaders.libreoffice import ConversionError, converted, find_soffice, work_folder
from connectors.loaders.libreoffice_fonts import fonts_without_vietnamese, is_torn
from connectors.loaders.office_csv import csv_sections
from connectors.loaders.office_format import SUFFIXES, Format, format_of, looks_like_office
from connectors.loaders.office_odf import odf_sections
from connectors.loaders.office_sheets import write_fitted, xlsx_sections
from connectors.loaders.office_text import docx_sections, pptx_sections
from connectors.loaders.pdf import PDFLoader
from connectors.loaders.picture import MAX_PAGE_PIXELS
from connectors.page import Page

if TYPE_CHECKING:
    from connectors.loaders.ocr import OCREngine
    from connectors.render import PageRenderer

_SPREADSHEETS = ("xlsx", "xls", "ods")
# Text files: LibreOffice would guess at their encoding and separator, and print no head on the second page.
_PLAIN = ("csv", "tsv")


class OfficeLoader(BlockLoader):
    """Office documents (docx, pptx, xlsx, odt, odp, ods; with LibreOffice also doc, ppt, xls, rtf) and csv, as pages.

    With LibreOffice a page is what a person would see on paper; sheets are scaled to the width of a page. Without it,
    the text is typeset and each picture in the document is a page of its own. Each page's metadata say which way it
    came ("converted_by"). Sheets and slides that are hidden stay hidden. Tables in text files (csv, tsv) are always
    typeset, with their head on each page.

    Args:
        convert: "libreoffice", "text", or "auto": LibreOffice where it is installed, and text where there is none or
            it fails.
        convert_seconds: the longest that LibreOffice may take for a document.
        renderer: draws the pages that LibreOffice made; see `PDFLoader`.
        max_pixels: of a page picture.
        ocr: reads pages without text; see `PDFLoader`.
        max_pictures: see `BlockLoader`.
        max_pages: see `BlockLoader`.

    Raises:
        PluginError: `renderer` or `ocr` names what is not installed.
    """

    suffixes: ClassVar[tuple[str, ...]] = tuple(SUFFIXES)
    kind: ClassVar[str] = "office"

    def __init__(
        self,
        *,
        convert: Literal["auto", "libreoffice", "text"] = "auto",
        convert_seconds: float = 120.0,
        renderer: "str | PageRenderer" = "pymupdf",
        max_pixels: int = MAX_PAGE_PIXELS,
        ocr: "str | OCREngine | None" = None,
        max_pictures: int = 200,
        max_pages: int = 20_000,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(max_pictures=max_pictures, max_pages=max_pages, image_dir=image_dir, image_format=image_format)
        if convert not in ("auto", "libreoffice", "text"):
            raise TypeError(f"convert must be 'auto', 'libreoffice' or 'text', not {convert!r}")
        self.convert = convert
        self.convert_seconds = convert_seconds
        self._pdf = PDFLoader(renderer=renderer, max_pixels=max_pixels, ocr=ocr)

    @property
    def silent_seconds(self) -> float:
        """How long a document may take until its first page: the reader pool waits for it."""
        return 0.0 if self._soffice() is None else 3 * self.convert_seconds  # sheets may take three conversions

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether `head` begins a modern Office document or RTF; the old formats go by suffix."""
        return looks_like_office(head)

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield the pages, by the way that is open."""
        found = format_of(path, source)
        soffice = None if found in _PLAIN else self._soffice()
        if soffice is None and self.convert == "libreoffice" and found not in _PLAIN:
            raise DocumentError(f"{source}: LibreOffice is not found; install it, or name soffice in VIPYLO_SOFFICE")
        problem: dict[str, Any] = {}
        if soffice is not None:
            try:
                yield from self._printed(path, found, source, first, soffice)
                return
            except ConversionError as error:
                if self.convert == "libreoffice" or found not in _TEXT_WAYS:
                    raise
                problem = {"conversion_error": one_line(str(error).removeprefix(f"{source}: "))}
        sections = self.sections(path, source)
        yield from self.flow((replace(part, metadata={**part.metadata, **problem}) for part in sections), source, first)

    def sections(self, path: Path, source: str) -> Iterator[Section]:
        """The document's text and pictures, read without LibreOffice."""
        found = format_of(path, source)
        if found not in _TEXT_WAYS:
            raise DocumentError(
                f"{source}: the old format {found} needs LibreOffice; install it, or save the file in a newer format"
            )
        metadata = {"format": found, "converted_by": "text"}
        for part in _TEXT_WAYS[found](path):
            yield replace(part, metadata={**metadata, **part.metadata})

    def _soffice(self) -> Path | None:
        return None if self.convert == "text" else find_soffice()

    def _printed(
        self, path: Path, found: Format, source: str, first: int, soffice: Path
    ) -> Iterator[Page | PageFailure]:
        """The pages of the PDF that LibreOffice makes."""
        metadata = {"format": found, "converted_by": "libreoffice"}
        with self._pdf_of(path, found, source, soffice) as pdf:
            for page in self._pdf.pages(pdf, source=source, first=first):
                if page.number > self.max_pages:
                    yield PageFailure(source, page.number, f"pages behind number {self.max_pages} are left out")
                    return
                if isinstance(page, PageFailure):
                    yield page
                else:
                    yield replace(page, kind=self.kind, metadata={**page.metadata, **metadata})

    @contextmanager
    def _pdf_of(self, path: Path, found: Format, source: str, soffice: Path) -> Iterator[Path]:
        """The document as a PDF. Sheets are first set to the width of a page, which takes them being xlsx."""
        convert = functools.partial(converted, source=source, seconds=self.convert_seconds, soffice=soffice)
        with ExitStack() as stack:
            if found in _SPREADSHEETS:
                if found != "xlsx":
                    path = stack.enter_context(convert(path, found, target="xlsx"))
                fitted = stack.enter_context(work_folder()) / "fitted.xlsx"
                try:
                    write_fitted(path, fitted)
                    path = fitted
                except (ValueError, OverflowError):
                    pass  # damaged: LibreOffice repairs more than we do, and prints it as it is
                found = "xlsx"
            pdf = stack.enter_context(convert(path, found, target="pdf"))
            if (without := fonts_without_vietnamese()) and self._is_torn(pdf):
                pdf = stack.enter_context(convert(path, found, target="pdf", without=without))
            yield pdf

    def _is_torn(self, pdf: Path) -> bool:
        """Whether the Vietnamese on the first pages was torn for want of a font."""
        with closing(self._pdf.renderer.open(pdf)) as document:
            return is_torn("\n".join(document.text(index) for index in range(min(5, document.page_count))))


_TEXT_WAYS: dict[str, Callable[[Path], Iterator[Section]]] = {
    "docx": docx_sections,
    "pptx": pptx_sections,
    "xlsx": xlsx_sections,
    "odt": odf_sections,
    "odp": odf_sections,
    "ods": odf_sections,
    "csv": csv_sections,
    "tsv": csv_sections,
}
