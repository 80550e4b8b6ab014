"""PDF documents through the loader: pages, passwords, damage, and one bad page among good ones."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import PageFailure
from connectors.loaders.pdf import PDFLoader
from connectors.page import Page, WordBox
from connectors.render import PyMuPDFRenderer, RenderedDocument
from embedder.errors import PluginError


def write_pdf(path: Path, *texts: str, **save: Any) -> Path:
    with pymupdf.open() as document:
        for text in texts:
            document.new_page().insert_htmlbox(pymupdf.Rect(50, 50, 500, 700), text)
        document.save(path, **save)
    return path


def pages(path: Path, **options: Any) -> list[Page]:
    found = list(PDFLoader(**options).pages(path))
    assert all(isinstance(page, Page) for page in found)
    return [page for page in found if isinstance(page, Page)]


def locked(user: str) -> dict[str, Any]:
    return {"encryption": pymupdf.PDF_ENCRYPT_AES_256, "user_pw": user, "owner_pw": "owner"}


@pytest.mark.parametrize("renderer", ["pymupdf", "pypdfium2"])
def test_pages_with_picture_and_text(tmp_path: Path, renderer: str) -> None:
    path = write_pdf(tmp_path / "d.pdf", "Điều 1. Phạm vi", "second page", "third page")
    first, second, third = pages(path, renderer=renderer)
    assert first.text == "Điều 1. Phạm vi" and second.text == "second page" and third.number == 3
    assert first.kind == "pdf" and first.source == str(path) and first.metadata == {}
    assert first.image is not None and first.image.mode == "RGB" and first.image.height == pytest.approx(1753, abs=2)
    assert len({first.content_sha256, second.content_sha256, third.content_sha256}) == 3


def test_the_same_file_gives_the_same_hashes(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "d.pdf", "một", "hai")
    assert [page.content_sha256 for page in pages(path)] == [page.content_sha256 for page in pages(path)]


def test_pages_are_lazy_and_can_start_later(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "d.pdf", "one", "two", "three")
    rendered: list[int] = []

    class Counting(PyMuPDFRenderer):
        def open(self, path: Path, password: str | None = None) -> RenderedDocument:
            document = super().open(path, password)
            original = document.render

            def render(page_index: int, max_pixels: int = 1000) -> Image.Image:
                rendered.append(page_index)
                return original(page_index, max_pixels)

            document.render = render  # type: ignore[method-assign]
            return document

    stream = PDFLoader(renderer=Counting()).pages(path, source="named", first=2)
    assert rendered == []
    page = next(stream)
    assert rendered == [1] and isinstance(page, Page) and (page.number, page.source) == (2, "named")
    assert list(PDFLoader().pages(path, first=9)) == []


def test_passwords(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "p.pdf", "secret", **locked("mật khẩu"))
    with pytest.raises(DocumentError, match=r"p\.pdf: is encrypted and it needs a password.*password="):
        pages(path)
    with pytest.raises(DocumentError, match="the password given does not open it"):
        pages(path, password=["one", "two"])
    assert pages(path, password="mật khẩu")[0].text == "secret"
    assert pages(path, password=["one", "mật khẩu", "two"])[0].text == "secret"
    assert pages(write_pdf(tmp_path / "open.pdf", "open"), password="unneeded")[0].text == "open"
    assert pages(write_pdf(tmp_path / "owner.pdf", "owner only", **locked("")))[0].text == "owner only"


def test_a_broken_page_does_not_cost_the_others(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "b.pdf", "one", "two", "three")
    with pymupdf.open(path) as document:
        document.xref_set_key(document.page_xref(1), "MediaBox", "[0 0 9e99 9e99]")
        kids = document.xref_get_key(document.pdf_catalog(), "Pages")[1].split()[0]
        first, _, third = (f"{document.page_xref(place)} 0 R" for place in range(3))
        document.xref_set_key(int(kids), "Kids", f"[{first} {kids} 0 R {third}]")  # page 2 is the tree itself
        document.save(tmp_path / "c.pdf")
    found = list(PDFLoader().pages(tmp_path / "c.pdf"))
    assert {page.number: type(page) for page in found}[1] is Page
    failures = [page for page in found if isinstance(page, PageFailure)]
    assert failures and all("\n" not in failure.reason for failure in failures)


def test_text_that_fails_leaves_the_picture(tmp_path: Path) -> None:
    class Mute(PyMuPDFRenderer):
        def open(self, path: Path, password: str | None = None) -> RenderedDocument:
            document = super().open(path, password)

            def text(page_index: int) -> str:
                raise DocumentError("no text today")

            document.text = text  # type: ignore[method-assign]
            return document

    (page,) = pages(write_pdf(tmp_path / "t.pdf", "words"), renderer=Mute())
    assert page.image is not None and page.text == "" and page.metadata["text_error"] == "no text today"


def test_a_cut_off_file_gives_what_is_left_and_says_so_or_fails_in_one_line(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        for number in range(9):
            document.new_page().insert_text((72, 72), f"page {number}")
        whole = document.tobytes()
    for share in range(0, 100, 5):
        path = tmp_path / f"cut{share}.pdf"
        path.write_bytes(whole[: len(whole) * share // 100])
        try:
            assert all(page.metadata["repaired"] for page in pages(path, max_pixels=50_000))
        except DocumentError as error:
            assert re.fullmatch(rf"{re.escape(str(path))}: [^\n]+", str(error))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"garbage" * 40, "no readable PDF"), (b"%PDF-1.4\n%%EOF", "no readable PDF")],
)
def test_what_is_no_pdf(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.pdf").write_bytes(content)
    with pytest.raises(DocumentError, match=rf"x\.pdf: .*{reason}"):
        pages(tmp_path / "x.pdf")


def test_a_200_inch_page_is_scaled_not_refused(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        document.new_page(width=14400, height=14400)
        document.save(tmp_path / "huge.pdf")
    (page,) = pages(tmp_path / "huge.pdf")
    assert page.image is not None and page.image.size == (1483, 1483)


def test_ligatures_are_opened_and_text_is_composed(tmp_path: Path) -> None:
    (page,) = pages(write_pdf(tmp_path / "l.pdf", "e\ufb03cient Tie\u0302\u0301ng Vie\u0323\u0302t"))
    assert page.text == "efficient Tiếng Việt"


class Reading:
    """An OCR engine that sees three words on two lines in every picture."""

    name = "reading glasses"

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def words(self, image: Image.Image) -> tuple[WordBox, ...]:
        self.seen.append(image.size)
        return (
            WordBox("Biên", 0.1, 0.1, 0.2, 0.12),
            WordBox("bản", 0.22, 0.1, 0.3, 0.12),
            WordBox("họp", 0.1, 0.2, 0.2, 0.22),
        )


class Blind(Reading):
    def words(self, image: Image.Image) -> tuple[WordBox, ...]:
        raise RuntimeError("no light")


def test_ocr_reads_only_pages_without_text(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "s.pdf", "has words", "")
    engine = Reading()
    layered, scanned = pages(path, ocr=engine)
    assert (
        layered.text == "has words" and layered.metadata == {} and [w.text for w in layered.words] == ["has", "words"]
    )
    assert scanned.text == "Biên bản\nhọp" and scanned.metadata == {"ocr": "reading glasses"}
    assert [word.text for word in scanned.words] == ["Biên", "bản", "họp"]
    assert scanned.image is not None and engine.seen == [scanned.image.size]
    assert pages(path)[1].text == "" and pages(path)[1].words == ()


def test_ocr_that_fails_leaves_the_picture(tmp_path: Path) -> None:
    (page,) = pages(write_pdf(tmp_path / "s.pdf", ""), ocr=Blind())
    assert page.image is not None and page.text == "" and page.metadata == {"ocr_error": "RuntimeError: no light"}


def test_an_unknown_ocr_engine_is_refused_by_name() -> None:
    with pytest.raises(PluginError, match="telescope"):
        PDFLoader(ocr="telescope")


def test_a_loader_is_a_reader_to_llama_index(tmp_path: Path) -> None:
    from llama_index.core.readers.base import BaseReader

    import connectors.llama_index  # noqa: F401

    loader = PDFLoader(image_dir=tmp_path)
    assert isinstance(loader, BaseReader)
    (node,) = asyncio.run(loader.aload_data(write_pdf(tmp_path / "a.pdf", "words")))
    assert node.text_resource is not None and node.text_resource.text == "words"
    assert len(list(asyncio.run(loader.alazy_load_data(tmp_path / "a.pdf")))) == 1
