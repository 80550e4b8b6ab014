"""Pictures for notebooks: a query beside the pages it found, a page with places marked on it, any pictures in rows.

Everything is drawn into one small JPEG, so that a notebook with its outputs stays a small file.
"""

import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymupdf
from IPython.display import Image as Shown
from PIL import Image, ImageChops, ImageDraw

from connectors.page import WordBox
from vipylo_rag import Hit

WIDTH = 1000
GAP = 14
GREEN, LINE, MARKER = (26, 127, 55), (208, 212, 217), (255, 224, 102)

# PyMuPDF's own fonts have Vietnamese and Chinese letters, so nothing has to be installed.
CSS = """
* { font-family: sans-serif; font-size: 12.5px; line-height: 1.25; color: #57606a; }
p { margin: 0; } b { color: #1f2328; } .query { font-size: 15px; color: #1f2328; } .right { color: #1a7f37; }
"""


@dataclass(frozen=True)
class Tile:
    """A picture (or, without one, words) with a caption in HTML below it; the right answers get a green frame."""

    picture: Image.Image | str | Path | None
    caption: str = ""
    words: str = ""
    right: bool = False
    framed: bool = True


def show(tiles: Iterable[Tile], columns: int = 5, height: int = 250) -> Shown:
    """Tiles in rows, as one picture of 1000 pixels' width."""
    placed = list(tiles)
    wide = (WIDTH - GAP) / columns - GAP
    with pymupdf.open() as document:
        sheet = document.new_page(width=WIDTH, height=10_000)
        top = float(GAP)
        for first in range(0, len(placed), columns):
            row = placed[first : first + columns]
            bottoms = [_draw(sheet, one, GAP + at * (wide + GAP), top, wide, height) for at, one in enumerate(row)]
            top = max(bottoms) + GAP
        sheet.set_mediabox(pymupdf.Rect(0, 10_000 - top, WIDTH, 10_000))
        pixels = sheet.get_pixmap(alpha=False)
        return as_shown(Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples))


def show_hits(
    hits: Sequence[Hit],
    text: str | None = None,
    picture: Image.Image | str | Path | None = None,
    *,
    right: Iterable[tuple[str, int]] = (),
    columns: int = 5,
    height: int = 250,
) -> Shown:
    """What was asked, and the pages found in their order; words of the query are marked on them.

    Args:
        hits: what a search gave.
        text, picture: what was asked.
        right: (file name, page) of the answers, if they are known: they get a green frame.
    """
    answers = set(right)
    asked = [Tile(picture, "", text or "", framed=picture is not None)]
    found = [hit_tile(hit, n, text, (hit.name, hit.page) in answers) for n, hit in enumerate(hits, start=1)]
    return show(asked + found, columns, height)


def hit_tile(hit: Hit, rank: int, text: str | None = None, right: bool = False) -> Tile:
    """A hit as a tile: its page with the asked words marked, its rank, name, page and score."""
    page = marked(hit.image, hit.boxes(text)) if hit.image and text else hit.image
    tick = "<span class='right'>✓</span> " if right else ""
    caption = f"<p>{tick}<b>{rank}. {html.escape(hit.name)}</b></p><p>page {hit.page} · {hit.score:.3f}</p>"
    return Tile(page, caption, hit.text[:500], right)


def marked(page: Image.Image, boxes: Iterable[WordBox]) -> Image.Image:
    """The page with a marker pen over the boxes."""
    ink = Image.new("RGB", page.size, "white")
    pen = ImageDraw.Draw(ink)
    (width, height), grow = page.size, max(page.size) / 400
    for box in boxes:
        pen.rectangle(
            (box.x0 * width - grow, box.y0 * height - grow, box.x1 * width + grow, box.y1 * height + grow), MARKER
        )
    return ImageChops.multiply(page.convert("RGB"), ink)


def show_passage(hit: Hit, boxes: Sequence[WordBox], *, width: int = 760) -> Shown:
    """The part of a page around some boxes, with these marked: what a citation points at."""
    assert hit.image is not None
    page = marked(hit.image, boxes)
    top = min((box.y0 for box in boxes), default=0.0) - 0.05
    bottom = max((box.y1 for box in boxes), default=1.0) + 0.05
    return as_shown(
        page.crop((0, round(max(top, 0) * page.height), page.width, round(min(bottom, 1) * page.height))), width
    )


def as_shown(picture: Image.Image, width: int | None = None) -> Shown:
    """A picture as a notebook shows it: as a JPEG of at most this width."""
    small = picture.convert("RGB")
    if width and small.width > width:
        small = small.resize((width, round(small.height * width / small.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=70, optimize=True)
    return Shown(data=buffer.getvalue(), format="jpeg")


def _draw(sheet: pymupdf.Page, tile: Tile, left: float, top: float, wide: float, height: float) -> float:
    """Draw a tile with its upper left corner at (left, top); gives where it ends."""
    end = top
    said = f"<p class='query'>{html.escape(tile.words)}</p>"
    picture = _opened(tile.picture)
    if picture is not None:
        small = picture.convert("RGB")
        small.thumbnail((int(wide), int(height)), Image.Resampling.LANCZOS)
        if max(small.width / wide, small.height / height) < 0.9:  # a thumbnail is never made larger
            factor = min(wide / small.width, height / small.height)
            small = small.resize((int(small.width * factor), int(small.height * factor)), Image.Resampling.BICUBIC)
        across = left + (wide - small.width) / 2
        place = pymupdf.Rect(across, top, across + small.width, top + small.height)
        buffer = io.BytesIO()
        small.save(buffer, format="PNG")
        sheet.insert_image(place, stream=buffer.getvalue())
        _frame(sheet, place, tile)
        end = top + (height if tile.caption else small.height) + 5
    if tile.words and (picture is None or not tile.caption):
        place = pymupdf.Rect(left, end, left + wide, top + height if picture is None else end + 120)
        if tile.caption:  # a page without a picture: its text in small letters
            _frame(sheet, place, tile)
            said = f"<p>{html.escape(tile.words)}</p>"
            place = pymupdf.Rect(place.x0 + 6, place.y0 + 4, place.x1 - 6, place.y1 - 4)
        rest, _ = sheet.insert_htmlbox(place, said, css=CSS, scale_low=0.55)
        end = top + height + 5 if tile.caption else place.y1 - max(0.0, rest)
    if tile.caption:
        place = pymupdf.Rect(left, end, left + wide, end + 80)
        rest, _ = sheet.insert_htmlbox(place, tile.caption, css=CSS)
        end = place.y1 - max(0.0, rest)
    return end


def _frame(sheet: pymupdf.Page, place: pymupdf.Rect, tile: Tile) -> None:
    if tile.framed:
        colour, line = (GREEN, 3.0) if tile.right else (LINE, 1.0)
        out = line / 2
        around = pymupdf.Rect(place.x0 - out, place.y0 - out, place.x1 + out, place.y1 + out)
        sheet.draw_rect(around, tuple(part / 255 for part in colour), width=line)


def _opened(picture: Image.Image | str | Path | None) -> Image.Image | None:
    if picture is None or isinstance(picture, Image.Image):
        return picture
    with Image.open(picture) as opened:
        return opened.convert("RGB")


def show_curve(points: Sequence[tuple[float, float]], title: str, *, width: int = 560, height: int = 240) -> Shown:
    """A line through (step, value) points, with the first and the last value written at them."""
    steps, values = [step for step, _ in points], [value for _, value in points]
    wide, most = max(steps) - min(steps) or 1.0, max(*values, 1e-9)
    spots = [
        (50 + (width - 110) * (step - min(steps)) / wide, 30 + (height - 60) * (1 - value / most))
        for step, value in points
    ]
    with pymupdf.open() as document:
        sheet = document.new_page(width=width, height=height)
        grey, blue = (0.75, 0.77, 0.8), (0.04, 0.41, 0.85)
        sheet.draw_line((50, height - 30), (width - 60, height - 30), color=grey)
        sheet.draw_polyline(spots, color=blue, width=2)
        for (x, y), value in ((spots[0], values[0]), (spots[-1], values[-1])):
            sheet.draw_circle((x, y), 3, color=blue, fill=blue)
            sheet.insert_htmlbox(pymupdf.Rect(x + 7, y - 9, x + 60, y + 12), f"<p><b>{value:.2f}</b></p>", css=CSS)
        said = f"<p>{html.escape(title)}: steps {min(steps):g} to {max(steps):g}</p>"
        sheet.insert_htmlbox(pymupdf.Rect(50, height - 26, width, height - 4), said, css=CSS)
        pixels = sheet.get_pixmap(alpha=False)
        return as_shown(Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples))
