"""Two documents for a question that is a picture: a drawing in one, what belongs to it in the other."""

import math
from pathlib import Path

import pymupdf

DRAWING, PARTS = "pump-drawing.pdf", "pump-parts.pdf"
_CODE = "KX-7750-B"
_BOX = pymupdf.Rect(60, 70, 300, 250)


def write_picture_case(folder: Path, picture: Path) -> int:
    """Writes both documents, and what is asked with: a copy of the drawing alone, as a PNG without words.

    Returns how many pages they have.
    """
    drawing = pymupdf.open()
    page = drawing.new_page(width=360, height=330)
    page.insert_htmlbox(pymupdf.Rect(20, 14, 340, 64), f"<h3 style='margin:0'>Assembly {_CODE}</h3>")
    _draw(page)
    page.get_pixmap(clip=_BOX, dpi=110).save(picture)
    page.insert_htmlbox(pymupdf.Rect(20, 262, 340, 320), f"<p>Figure 1. Impeller and volute of {_CODE}.</p>")
    drawing.ez_save(folder / DRAWING)
    drawing.close()
    parts = pymupdf.open()
    for code, said in ((_CODE, "gland packing 8 mm, shelf 14, lead time 6 weeks"), ("KX-7751-A", "coupling spider")):
        sheet = parts.new_page(width=330, height=210)
        sheet.insert_htmlbox(pymupdf.Rect(14, 14, 316, 196), f"<h4>Spares</h4><p>For {code}: {said}.</p>")
    parts.ez_save(folder / PARTS)
    parts.close()
    return 3


def _draw(page: pymupdf.Page) -> None:
    """A centrifugal pump from the front: casing, spiral, vanes and outlet."""
    middle = pymupdf.Point(180, 165)
    page.draw_rect(pymupdf.Rect(228, 75, 268, 150), color=(0.1, 0.2, 0.4), fill=(0.75, 0.82, 0.9), width=2)
    page.draw_circle(middle, 78, color=(0.1, 0.2, 0.4), fill=(0.85, 0.9, 0.95), width=3)
    page.draw_circle(middle, 52, color=(0.6, 0.2, 0.1), fill=(0.98, 0.9, 0.8), width=2)
    page.draw_circle(middle, 12, color=(0.1, 0.1, 0.1), fill=(0.3, 0.3, 0.3))
    for vane in range(7):
        turn = vane * 2 * math.pi / 7
        start, bend, end = (
            pymupdf.Point(middle.x + radius * math.cos(turn + shift), middle.y + radius * math.sin(turn + shift))
            for radius, shift in ((13, 0.0), (32, 0.5), (51, 0.7))
        )
        page.draw_polyline([start, bend, end], color=(0.6, 0.2, 0.1), width=4)
