"""Both PDF engines must show and tell the same: one suite, run over each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.picture import MAX_PAGE_PIXELS, MAX_RATIO, fitted_size, pad_to_ratio
from connectors.render import PageRenderer, PasswordError, PdfiumRenderer, PyMuPDFRenderer, load_renderer
from embedder.errors import PluginError

A4 = (595, 842)
Draw = Callable[[Any], object]


@pytest.fixture(params=["pymupdf", "pypdfium2"])
def renderer(request: pytest.FixtureRequest) -> PageRenderer:
    return load_renderer(request.param)


def write_pdf(path: Path, *pages: Draw, size: tuple[float, float] = A4, **save: Any) -> Path:
    with pymupdf.open() as document:
        for draw in pages:
            draw(document.new_page(width=size[0], height=size[1]))
        document.save(path, **save)
    return path


def box_at(*corners: float, rotation: int = 0) -> Draw:
    def draw(page: Any) -> None:
        page.draw_rect(pymupdf.Rect(*corners), color=(0, 0, 0), fill=(0, 0, 0))
        page.set_rotation(rotation)

    return draw


def html(text: str) -> Draw:
    return lambda page: page.insert_htmlbox(pymupdf.Rect(50, 50, 500, 400), text)


def dark_box(image: Image.Image) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(np.asarray(image.convert("L")) < 100)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def test_both_engines_are_found_by_name() -> None:
    assert isinstance(load_renderer("pymupdf"), PyMuPDFRenderer)
    assert isinstance(load_renderer("pypdfium2"), PdfiumRenderer)
    with pytest.raises(PluginError, match="pymupdf, pypdfium2"):
        load_renderer("ghostscript")


def test_a4_comes_at_150_dpi_with_ink_where_it_was_drawn(renderer: PageRenderer, tmp_path: Path) -> None:
    document = renderer.open(write_pdf(tmp_path / "a.pdf", box_at(100, 200, 300, 250)))
    image = document.render(0)
    assert image.mode == "RGB" and document.page_count == 1 and not document.repaired
    assert image.size == pytest.approx((1240, 1754), abs=1)
    assert dark_box(image) == pytest.approx([place * 150 / 72 for place in (100, 200, 300, 250)], abs=3)
    document.close()
    document.close()


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(renderer: PageRenderer, tmp_path: Path, rotation: int) -> None:
    path = write_pdf(tmp_path / "r.pdf", box_at(0, 0, 50, 50, rotation=rotation))
    image = renderer.open(path).render(0)
    assert (image.width > image.height) == (rotation in (90, 270))
    left, top, right, bottom = dark_box(image)
    assert (right > image.width - 5) == (rotation in (90, 180)) == (left > 5)
    assert (bottom > image.height - 5) == (rotation in (180, 270)) == (top > 5)


def test_text_of_three_languages(renderer: PageRenderer, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "t.pdf", html("<p>Quốc hội Việt Nam</p><p>plain English words</p><p>中文文字</p>"))
    text = renderer.open(path).text(0)
    for words in ("Quốc hội Việt Nam", "plain English words", "中文文字"):
        assert words in text


def test_a_picture_only_page_has_no_text(renderer: PageRenderer, tmp_path: Path) -> None:
    assert renderer.open(write_pdf(tmp_path / "p.pdf", box_at(10, 10, 60, 60))).text(0).strip() == ""


def test_the_engines_agree(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "c.pdf", html("<h1>Báo cáo</h1>"), box_at(30, 30, 90, 300), size=(400, 500))
    first, second = (load_renderer(name).open(path) for name in ("pymupdf", "pypdfium2"))
    for index in range(2):
        one, other = first.render(index), second.render(index)
        assert one.size == pytest.approx(other.size, abs=1)
        assert dark_box(one) == pytest.approx(dark_box(other), abs=3)
    assert first.text(0).split() == second.text(0).split()


@pytest.mark.parametrize("size", [(14400, 14400), (14400, 30), (20, 14000), (3, 3), (200, 14400)])
def test_any_page_shape_fits_the_pixel_budget(renderer: PageRenderer, tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_pdf(tmp_path / "h.pdf", box_at(0, 0, size[0], size[1] / 2), size=size)
    image = renderer.open(path).render(0)
    longest, shortest = max(image.size), min(image.size)
    assert image.width * image.height <= MAX_PAGE_PIXELS + longest
    assert longest <= MAX_RATIO * shortest
    assert dark_box(image)


def test_a_smaller_budget_gives_a_smaller_page(renderer: PageRenderer, tmp_path: Path) -> None:
    image = renderer.open(write_pdf(tmp_path / "s.pdf", box_at(10, 10, 50, 50))).render(0, max_pixels=300_000)
    assert 290_000 < image.width * image.height <= 301_000


def test_a_user_password_is_asked_for(renderer: PageRenderer, tmp_path: Path) -> None:
    lock = {"encryption": pymupdf.PDF_ENCRYPT_AES_256, "user_pw": "mở", "owner_pw": "chủ"}
    path = write_pdf(tmp_path / "u.pdf", html("secret words"), **lock)
    with pytest.raises(PasswordError, match=r"u\.pdf: is encrypted and it needs a password.*password="):
        renderer.open(path)
    with pytest.raises(PasswordError, match="the password given does not open it"):
        renderer.open(path, "wrong")
    document = renderer.open(path, "mở")
    assert "secret words" in document.text(0) and dark_box(document.render(0))


def test_an_owner_password_does_not_stop_reading(renderer: PageRenderer, tmp_path: Path) -> None:
    lock = {"encryption": pymupdf.PDF_ENCRYPT_AES_128, "owner_pw": "owner", "permissions": 0}
    document = renderer.open(write_pdf(tmp_path / "o.pdf", html("open words"), **lock))
    assert "open words" in document.text(0) and dark_box(document.render(0))


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n", b"no pdf at all " * 99, b"%PDF-1.7\n" + bytes(range(256)) * 9])
def test_what_is_no_pdf_is_refused_by_name(renderer: PageRenderer, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pdf"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"broken\.pdf: is no readable PDF"):
        renderer.open(path)


def test_a_page_that_is_not_there(renderer: PageRenderer, tmp_path: Path) -> None:
    document = renderer.open(write_pdf(tmp_path / "one.pdf", html("one")))
    with pytest.raises(DocumentError, match="page 8"):
        document.render(7)
    with pytest.raises(DocumentError, match="page 8"):
        document.text(7)


def test_mupdf_keeps_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = write_pdf(tmp_path / "w.pdf", html("words"), html("more")).read_bytes()
    cut = tmp_path / "cut.pdf"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    try:
        document = PyMuPDFRenderer().open(cut)
        for index in range(document.page_count):
            document.render(index)
    except DocumentError:
        pass
    assert capfd.readouterr() == ("", "")


@given(st.floats(0.1, 1e5), st.floats(0.1, 1e5), st.integers(1000, 10_000_000), st.floats(0.1, 10))
def test_a_fitted_size_keeps_budget_and_shape(width: float, height: float, budget: int, zoom: float) -> None:
    columns, rows = fitted_size(width, height, budget, zoom)
    assert 1 <= columns <= max(1, width * zoom) and 1 <= rows <= max(1, height * zoom)
    padded = pad_to_ratio(Image.new("RGB", (columns, rows))) if columns * rows < 100_000 else None
    if padded:
        assert max(padded.size) <= MAX_RATIO * min(padded.size)
        assert padded.width * padded.height <= budget + max(padded.size)
