"""Reads PDFs: each page as its picture and its text layer."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, Loader, PageFailure
from connectors.loaders.ocr import OCREngine, engine_of, scanned
from connectors.loaders.picture import MAX_PAGE_PIXELS
from connectors.page import Page, WordBox
from connectors.render import PageRenderer, PasswordError, RenderedDocument, load_renderer


class PDFLoader(Loader):
    """PDF files as pages with picture, text and word boxes. A page that cannot be rendered is a `PageFailure`.

    One page is in memory at a time, however many a file has; `first` starts there and renders none before it.

    Args:
        renderer: a registered renderer's name ("pymupdf", "pypdfium2") or a renderer.
        password: for encrypted files; of several, the first that opens the file is used.
        max_pixels: the most pixels of a page picture; A4 at 150 dpi is 2.17 million.
        ocr: reads pages without a text layer: an engine, or its name ("tesseract", "rapidocr", "auto"); None: does not.

    Raises:
        PluginError: `renderer` or `ocr` names what is not installed.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)
    kind: ClassVar[str] = "pdf"

    def __init__(
        self,
        *,
        renderer: str | PageRenderer = "pymupdf",
        password: str | Sequence[str] | None = None,
        max_pixels: int = MAX_PAGE_PIXELS,
        ocr: str | OCREngine | None = None,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(image_dir=image_dir, image_format=image_format)
        self.renderer: PageRenderer = load_renderer(renderer) if isinstance(renderer, str) else renderer
        self.passwords: tuple[str, ...] = (password,) if isinstance(password, str) else tuple(password or ())
        self.max_pixels = max_pixels
        self.ocr = engine_of(ocr)

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether `head` has a PDF header, blanks and a byte order mark allowed before it."""
        return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"%PDF-")

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield the pages in order."""
        with closing(self._open(path, source)) as document:
            metadata = {"repaired": True} if document.repaired else {}
            for index in range(first - 1, document.page_count):
                yield self._page(document, index, source, metadata)

    def _open(self, path: Path, source: str) -> RenderedDocument:
        try:
            for password in (None, *self.passwords[:-1]):
                try:
                    return self.renderer.open(path, password)
                except PasswordError:
                    if not self.passwords:
                        raise
            return self.renderer.open(path, self.passwords[-1])
        except DocumentError as error:
            raise type(error)(f"{source}: {str(error).removeprefix(f'{path}: ')}") from error

    def _page(
        self, document: RenderedDocument, index: int, source: str, metadata: dict[str, Any]
    ) -> Page | PageFailure:
        try:
            image = document.render(index, self.max_pixels)
        except DocumentError as error:
            return PageFailure(source, index + 1, str(error))
        said = dict(metadata)
        text, words = "", tuple[WordBox, ...]()
        try:
            text = document.text(index)
            # A third party's renderer may know nothing of words.
            words = document.words(index) if hasattr(document, "words") else ()
        except DocumentError as error:  # the picture alone is still a page
            said["text_error"] = str(error)
        if self.ocr is not None and not text.strip():
            text, words, read_by = scanned(self.ocr, image)
            said |= read_by
        return self.make_page(source, index + 1, text, image, said, words)
