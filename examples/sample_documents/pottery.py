"""Three yearly price lists of one pottery, alike in design: only year, glaze, wares and prices differ.

They are what a mixed query is for: a picture says which list, a word says which year.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pymupdf

from .canvas import WHITE, Color, Point, Sheet, face, tint
from .typeset import Style, manuscript, typeset

_CLAY: Color = (0.55, 0.27, 0.16)
_GLAZES: dict[str, Color] = {
    "pots_2024": (0.20, 0.31, 0.56),
    "pots_2025": (0.42, 0.63, 0.50),
    "pots_2026": (0.82, 0.36, 0.17),
}
_WARES: dict[str, tuple[str, ...]] = {
    "pots_2024": ("vase", "teapot", "bowl", "plate", "jar"),
    "pots_2025": ("vase", "teapot", "bowl", "plate", "lamp"),
    "pots_2026": ("vase", "teapot", "bowl", "lamp", "ginger"),
}


def write_price_lists(path: Path) -> None:
    """Writes the price lists of 2024, 2025 and 2026 (vi, 3 pages)."""
    style = Style(face("vi"), accent=_CLAY, footer="Gốm Phù Vân · điện thoại 0900 000 771", size=13, margin=56, gap=10)
    figures = {name: partial(_shelf, name) for name in _GLAZES}
    typeset(manuscript("price_list.txt"), path, "Bảng giá gốm Phù Vân 2024–2026", style, figures)


def _shelf(name: str, sheet: Sheet, box: pymupdf.Rect) -> None:
    """The wares of a year on a board."""
    glaze = _GLAZES[name]
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=tint(glaze, 0.14), radius=0.04)
    board = box.y1 - 46
    sheet.rect(box.x0 + 16, board, box.width - 32, 12, fill=(0.62, 0.45, 0.28))
    pitch = (box.width - 60) / 5
    for index, ware in enumerate(_WARES[name]):
        x = box.x0 + 30 + pitch * (index + 0.5)
        _ware(sheet, ware, (x, board), glaze)
        sheet.text(x, board + 30, f"PV-0{_code(ware)}", size=10, color=_CLAY, bold=True, align="center")


def _code(ware: str) -> int:
    return ("vase", "teapot", "bowl", "plate", "jar", "lamp", "ginger").index(ware) + 1


def _profile(sheet: Sheet, base: Point, halves: Sequence[Point], fill: Color) -> None:
    """A turned shape from its half profile: (height, half width) pairs from foot to lip, joined smoothly."""
    dense: list[Point] = []
    for (h0, w0), (h1, w1) in pairwise(halves):
        for step in range(9):
            share = step / 8
            ease = share * share * (3 - 2 * share)
            dense.append((h0 + (h1 - h0) * share, w0 + (w1 - w0) * ease))
    x, y = base
    right = [(x + w, y - h) for h, w in dense]
    left = [(x - w, y - h) for h, w in reversed(dense)]
    sheet.polygon([*right, *left], fill=fill, color=tint(_CLAY, 0.8), line=1)


def _ware(sheet: Sheet, ware: str, base: Point, glaze: Color) -> None:
    x, y = base
    light = tint(glaze, 0.55)
    match ware:
        case "vase":
            _profile(sheet, base, [(0, 15), (20, 24), (60, 30), (95, 9), (128, 8), (136, 14)], glaze)
            for height in (48, 58):
                sheet.line((x - 27, y - height), (x + 27, y - height), color=WHITE, line=1.4)
        case "teapot":
            sheet.curve(((x - 26, y - 44), (x - 30, y - 100), (x + 30, y - 100), (x + 26, y - 44)), color=_CLAY, line=4)
            sheet.polygon([(x + 26, y - 22), (x + 48, y - 50), (x + 42, y - 54), (x + 22, y - 38)], fill=glaze)
            _profile(sheet, base, [(0, 20), (14, 30), (34, 32), (50, 15), (54, 13)], glaze)
            sheet.circle((x, y - 58), 5, fill=light, color=_CLAY)
        case "bowl":
            _profile(sheet, base, [(0, 11), (6, 12), (24, 30), (40, 35)], glaze)
            sheet.oval((x, y - 40), 35, 6, fill=light, color=_CLAY)
        case "plate":
            sheet.circle((x, y - 40), 40, fill=glaze, color=_CLAY)
            sheet.circle((x, y - 40), 29, color=WHITE, line=1.6)
            sheet.circle((x, y - 40), 15, fill=light)
        case "jar":
            _profile(sheet, base, [(0, 24), (30, 38), (70, 38), (98, 20), (108, 22)], tint(_CLAY, 0.85))
            sheet.oval((x, y - 108), 22, 5, fill=(0.75, 0.18, 0.15))
        case "lamp":
            _profile(sheet, base, [(0, 26), (8, 26), (40, 34), (84, 16)], light)
            for row in range(3):
                for column in (-1, 0, 1):
                    spot = (x + column * (16 - row * 3), y - 24 - row * 20)
                    sheet.oval(spot, 4.5, 7, fill=(1.0, 0.86, 0.4))
        case _:
            _profile(sheet, base, [(0, 20), (24, 33), (56, 33), (74, 20)], glaze)
            sheet.rect(x - 22, y - 86, 44, 12, fill=(0.72, 0.53, 0.32), radius=0.3)
            sheet.circle((x, y - 90), 5, fill=(0.55, 0.38, 0.2))
