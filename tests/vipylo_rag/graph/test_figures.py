"""Figures on pages that pymupdf drew with known places, on photos, on scans, and on pages that have none."""

import io
from collections.abc import Callable

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw

from connectors.page import WordBox
from vipylo_rag.graph.figure_captions import Box
from vipylo_rag.graph.figures import Figure, find_figures

PROSE = (
    "The probe is dipped in oil for ten minutes and read again after the lamp has gone out, as the table shows. " * 14
)


def shown(page: pymupdf.Page) -> tuple[Image.Image, list[WordBox]]:
    """A page's picture and its words."""
    pixels = page.get_pixmap(dpi=100)
    across, down = page.rect.width, page.rect.height
    words = [
        WordBox(w[4], max(0, w[0] / across), max(0, w[1] / down), min(1, w[2] / across), min(1, w[3] / down))
        for w in page.get_text("words")
    ]
    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples), words


def page_of(
    *, photo: bool = False, bars: bool = False, table: bool = False, panel: bool = False, rules: bool = False
) -> pymupdf.Page:
    """An A4 page of prose and what is asked for, at 60,420 to 400,620 or below."""
    page = pymupdf.open().new_page(width=595, height=842)
    page.insert_textbox((60, 60, 535, 380), PROSE, fontsize=11)
    if photo:
        noise = np.random.default_rng(7).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((600, 400))
        picture.save(stored := io.BytesIO(), "PNG")
        page.insert_image((60, 420, 360, 620), stream=stored.getvalue())
        page.insert_text((60, 640), "Figure 3. The barn in March.", fontsize=10)
    if bars:
        for n, high in enumerate((120, 60, 170, 90, 140)):
            page.draw_rect((80 + 60 * n, 600 - high, 120 + 60 * n, 600), fill=(0.2, 0.4, 0.8), color=None)
            page.insert_text((90 + 60 * n, 612), f"Q{n}", fontsize=8)
        page.draw_line((70, 420), (70, 600))
        page.draw_line((70, 600), (370, 600))
        page.insert_text((70, 640), "Chart 2: Revenue by quarter", fontsize=10)
    if table:
        for row in range(8):
            page.draw_line((60, 420 + 25 * row), (535, 420 + 25 * row))
        for column in range(5):
            page.draw_line((60 + 118.75 * column, 420), (60 + 118.75 * column, 595))
        for row in range(7):
            for column in range(4):
                page.insert_text((66 + 118.75 * column, 437 + 25 * row), f"cell {row}.{column}", fontsize=10)
    if panel:
        page.draw_rect((60, 660, 535, 740), fill=(0.85, 0.9, 1), color=None)
        page.insert_textbox((75, 668, 520, 735), PROSE[:330], fontsize=11)
    if rules:
        page.draw_line((60, 50), (535, 50), width=2)
        page.draw_rect((50, 40, 545, 800), width=1)
    return page


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def fractions(x0: float, y0: float, x1: float, y1: float) -> Box:
    return x0 / 595, y0 / 842, x1 / 595, y1 / 842


def test_a_photo_among_prose_and_its_caption() -> None:
    (figure,) = find_figures(*shown(page_of(photo=True, table=False, panel=True, rules=True)))
    assert overlap(figure.box, fractions(60, 420, 360, 620)) > 0.85
    assert figure.caption == "Figure 3. The barn in March."


def test_a_chart_of_bars_and_its_caption() -> None:
    (figure,) = find_figures(*shown(page_of(bars=True, panel=True)))
    assert overlap(figure.box, fractions(70, 420, 370, 600)) > 0.6
    assert figure.caption == "Chart 2: Revenue by quarter"


@pytest.mark.parametrize(
    "parts", [{}, {"table": True}, {"panel": True}, {"rules": True}, {"table": True, "panel": True, "rules": True}]
)
def test_prose_tables_panels_and_frames_are_no_figures(parts: dict[str, bool]) -> None:
    assert find_figures(*shown(page_of(**parts))) == ()


def photo() -> Image.Image:
    """Like a landscape out of focus: many colours, no sharp edge."""
    rng = np.random.default_rng(5)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 255, (n, n, 3), dtype=np.uint8)).resize((600, 450), 3)) / n
        for n in (4, 8, 16)
    ]
    light = np.sum(layers, axis=0)
    return Image.fromarray((light / light.max() * 255).astype(np.uint8))


def drawing() -> Image.Image:
    """A house below the sun, of large plain parts."""
    picture = Image.new("RGB", (600, 450), "skyblue")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 300, 600, 450), fill="forestgreen")
    draw.rectangle((180, 180, 360, 360), fill="firebrick")
    draw.ellipse((480, 30, 550, 100), fill="gold")
    return picture


def radiograph() -> Image.Image:
    y, x = np.mgrid[0:450, 0:600]
    bright = np.exp(-(((x - 300) / 160) ** 2) - ((y - 225) / 130) ** 2) * 200
    return Image.fromarray(bright.astype(np.uint8))


def gradient() -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(40, 220, 600).astype(np.uint8), (450, 1)))


def page_with(picture: Image.Image, wide: int) -> pymupdf.Page:
    page = pymupdf.open().new_page(width=595, height=842)
    page.insert_textbox((60, 40, 535, 150), PROSE[:400], fontsize=11)
    picture.save(stored := io.BytesIO(), "JPEG", quality=90)
    page.insert_image((60, 160, 60 + wide, 160 + wide * 3 / 4), stream=stored.getvalue())
    page.insert_textbox((60, 560, 535, 800), PROSE[:600], fontsize=11)
    return page


@pytest.mark.parametrize("picture", [photo, drawing, radiograph])
@pytest.mark.parametrize("wide", [120, 240, 360, 475])
def test_pictures_of_every_size_without_sharp_edges_and_of_plain_parts(
    picture: Callable[[], Image.Image], wide: int
) -> None:
    (figure,) = find_figures(*shown(page_with(picture(), wide)))
    assert overlap(figure.box, fractions(60, 160, 60 + wide, 160 + wide * 3 / 4)) > 0.8


@pytest.mark.parametrize("picture", [Image.new("RGB", (600, 450), "steelblue"), gradient()])
@pytest.mark.parametrize("wide", [120, 475])
def test_one_colour_and_an_even_gradient_are_decoration(picture: Image.Image, wide: int) -> None:
    assert find_figures(*shown(page_with(picture, wide))) == ()


def test_a_photo_or_radiograph_is_one_figure() -> None:
    rng = np.random.default_rng(3)
    photo = Image.fromarray(rng.integers(40, 220, (30, 40, 3), dtype=np.uint8)).resize((640, 480))
    assert find_figures(photo, ()) == (Figure((0.0, 0.0, 1.0, 1.0), ""),)
    ray = np.zeros((512, 512), dtype=np.uint8)
    ray[100:400, 120:380] = rng.integers(90, 200, (300, 260), dtype=np.uint8)
    assert [figure.box for figure in find_figures(Image.fromarray(ray), ())] == [(0.0, 0.0, 1.0, 1.0)]


def test_a_scan_of_prose_and_a_table_has_none_and_of_a_photo_has_it() -> None:
    image, _ = shown(page_of(table=True, rules=True))
    noise = np.random.default_rng(1).normal(0, 5, (image.height, image.width, 1))
    scan = Image.fromarray(np.clip(np.asarray(image) * 0.92 + noise, 0, 255).astype(np.uint8))
    assert find_figures(scan, ()) == ()
    (figure,) = find_figures(shown(page_of(photo=True))[0], ())
    assert overlap(figure.box, fractions(60, 420, 360, 620)) > 0.7


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (3, 900), (1240, 1754)])
def test_any_picture_is_taken(mode: str, size: tuple[int, int]) -> None:
    for figure in find_figures(
        Image.new(mode, size), [WordBox("a", 0.0, 0.0, 1.0, 1.0), WordBox("", 0.5, 0.5, 0.5, 0.5)]
    ):
        assert 0 <= figure.box[0] < figure.box[2] <= 1 and 0 <= figure.box[1] < figure.box[3] <= 1


def test_a_blank_page_has_none() -> None:
    assert find_figures(Image.new("RGB", (600, 800), "white"), ()) == ()
