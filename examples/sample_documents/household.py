"""The manual of a water purifier: six Chinese pages with drawings and dimensions."""

from pathlib import Path

import pymupdf

from .canvas import GREY, INK, PALE, WHITE, Color, Sheet, face, tint
from .typeset import Style, manuscript, typeset

_BLUE: Color = (0.10, 0.42, 0.70)
_WATER: Color = (0.52, 0.79, 0.92)
_FILTERS: tuple[tuple[str, Color], ...] = (
    ("PAC", (0.35, 0.62, 0.36)),
    ("RO", _BLUE),
    ("CF", (0.93, 0.58, 0.15)),
)


def write_purifier_manual(path: Path) -> None:
    """Writes the purifier's manual (zh, 6 pages)."""
    style = Style(
        face("zh"),
        accent=_BLUE,
        header="清泉 JS-500 使用说明书",
        footer="第 {page} 页，共 {pages} 页",
        size=13.8,
        margin=56,
    )
    figures = {
        "cover": _cover,
        "dimensions": _dimensions,
        "filters": _filters,
        "panel": _panel,
        "leak": _leak,
        "flow": _flow,
    }
    typeset(manuscript("water_purifier_zh.txt"), path, "清泉 JS-500 家用净水器使用说明书", style, figures)


def _drop(sheet: Sheet, x: float, y: float, size: float, color: Color) -> None:
    """A water drop whose round part is centred at (x, y)."""
    sheet.polygon(
        [(x, y - size * 2.1), (x + size * 0.92, y - size * 0.4), (x - size * 0.92, y - size * 0.4)], fill=color
    )
    sheet.circle((x, y), size, fill=color)


def _machine(sheet: Sheet, x: float, y: float, scale: float) -> None:
    """The front of the purifier: 150 x 260 units, with its display and three filter caps."""
    sheet.rect(x, y, 150 * scale, 260 * scale, fill=WHITE, color=GREY, line=1.5, radius=0.12)
    sheet.rect(x + 18 * scale, y + 22 * scale, 114 * scale, 54 * scale, fill=(0.12, 0.14, 0.18), radius=0.15)
    sheet.text(x + 75 * scale, y + 58 * scale, "TDS 12", size=22 * scale, color=_WATER, align="center")
    for index, (name, color) in enumerate(_FILTERS):
        cap = (x + (32 + 43 * index) * scale, y + 150 * scale)
        sheet.circle(cap, 19 * scale, fill=tint(color, 0.25), color=color, line=2)
        sheet.text(cap[0], cap[1] + 4 * scale, name, size=12 * scale, color=color, bold=True, align="center")
    sheet.text(x + 75 * scale, y + 232 * scale, "清泉 JS-500", size=15 * scale, color=_BLUE, bold=True, align="center")


def _cover(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(0, 0, sheet.width, box.y1, fill=(0.87, 0.95, 0.99))
    sheet.curve(((0, box.y1), (150, box.y1 - 90), (445, box.y1 - 90), (595, box.y1)), color=None, fill=_WATER)
    for x, y, size in ((105, 150, 26), (165, 250, 15), (480, 190, 32), (425, 90, 17), (80, 300, 12), (520, 310, 14)):
        _drop(sheet, x, y, size, tint(_WATER, 0.9))
    _machine(sheet, 205, 76, 1.2)


def _dimensions(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=PALE, radius=0.03)
    x, y = box.x0 + 110, box.y0 + 26
    _machine(sheet, x, y, 0.88)
    width, height = 150 * 0.88, 260 * 0.88
    sheet.arrow((x - 26, y + height / 2), (x - 26, y), color=INK)
    sheet.arrow((x - 26, y + height / 2), (x - 26, y + height), color=INK)
    sheet.text(x - 34, y + height / 2 + 4, "高 410", size=11, align="right")
    sheet.arrow((x + width / 2, y + height + 18), (x, y + height + 18), color=INK)
    sheet.arrow((x + width / 2, y + height + 18), (x + width, y + height + 18), color=INK)
    sheet.text(x + width / 2, y + height + 34, "宽 230", size=11, align="center")
    back = box.x0 + 300
    sheet.rect(back, y, 130, height, fill=WHITE, color=GREY, line=1.5, radius=0.1)
    sheet.text(back + 65, y + 26, "背面", size=12, color=GREY, align="center")
    pipes = (
        ("进水", (0.15, 0.4, 0.85)),
        ("纯水", (0.75, 0.77, 0.8)),
        ("废水", (0.82, 0.2, 0.18)),
        ("储水", (0.95, 0.78, 0.15)),
    )
    for index, (name, color) in enumerate(pipes):
        at = y + 62 + index * 42
        sheet.circle((back + 34, at), 10, fill=color, color=INK, line=1)
        sheet.line((back + 44, at), (back + 74, at), color=color, line=5)
        sheet.text(back + 82, at + 4, name, size=12)


def _filters(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=(0.93, 0.97, 0.99), radius=0.03)
    for index, (name, color) in enumerate(_FILTERS):
        x, y = box.x0 + 52 + index * 145, box.y0 + 84
        tall = 168 if name == "RO" else 140
        sheet.rect(x, y, 84, tall, fill=tint(color, 0.35), color=color, line=1.5, radius=0.1)
        sheet.rect(x - 6, y - 26, 96, 30, fill=color, radius=0.25)
        sheet.text(x + 42, y - 6, name, size=15, color=WHITE, bold=True, align="center")
        for stripe in range(4):
            at = y + 30 + stripe * 24
            sheet.line((x + 14, at), (x + 70, at), color=tint(color, 0.75), line=3)
        months = {"PAC": "6 个月", "RO": "24 个月", "CF": "12 个月"}[name]
        sheet.text(x + 42, y + tall - 12, months, size=12, bold=True, color=INK, align="center")
        sheet.curve(((x + 82, y - 38), (x + 62, y - 62), (x + 26, y - 62), (x + 8, y - 44)), color=INK, line=2)
        sheet.arrow((x + 10, y - 47), (x + 2, y - 36), color=INK, line=2)


def _panel(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0 + 20, box.y0 + 8, box.width - 40, box.height - 20, fill=(0.10, 0.12, 0.16), radius=0.12)
    center = (box.x0 + box.x1) / 2
    sheet.text(center, box.y0 + 96, "012", size=58, color=_WATER, bold=True, align="center")
    sheet.text(center + 96, box.y0 + 94, "TDS mg/L", size=12, color=_WATER)
    lamps = (
        ("制水", WHITE),
        ("水满", (0.3, 0.6, 1.0)),
        ("滤芯", (1.0, 0.82, 0.2)),
        ("到期", (1.0, 0.3, 0.25)),
        ("童锁", (0.7, 0.4, 0.9)),
    )
    for index, (name, color) in enumerate(lamps):
        x = box.x0 + 75 + index * (box.width - 150) / 4
        sheet.circle((x, box.y0 + 134), 8, fill=color)
        sheet.text(x, box.y0 + 160, name, size=12, color=WHITE, align="center")
    for index, name in enumerate(("冲洗", "水量", "复位")):
        x = center - 120 + index * 120
        sheet.rect(x - 40, box.y0 + 176, 80, 28, color=GREY, line=1.2, radius=0.5)
        sheet.text(x, box.y0 + 195, name, size=13, color=WHITE, align="center")


def _leak(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=PALE, radius=0.03)
    base = box.y1 - 60
    _machine(sheet, box.x0 + 46, box.y0 + 8, 0.66)
    sheet.polygon(
        [(box.x0 + 20, base), (box.x1 - 150, base), (box.x1 - 170, base + 38), (box.x0 + 40, base + 38)],
        fill=(0.8, 0.82, 0.85),
        color=INK,
    )
    sheet.polygon(
        [(box.x0 + 29, base + 18), (box.x1 - 160, base + 18), (box.x1 - 170, base + 36), (box.x0 + 40, base + 36)],
        fill=_WATER,
    )
    for x, y in ((200, 128), (222, 158), (208, 182)):
        _drop(sheet, box.x0 + x, box.y0 + y - 8, 6, _BLUE)
    sheet.rect(box.x0 + 244, base + 4, 34, 20, fill=(0.8, 0.2, 0.18), radius=0.2)
    sheet.label((box.x0 + 300, base - 46), (box.x0 + 262, base + 8), "漏水传感器", size=12)
    sheet.rect(box.x1 - 118, box.y0 + 40, 92, 58, fill=(0.10, 0.12, 0.16), radius=0.15)
    sheet.text(box.x1 - 72, box.y0 + 82, "E2", size=34, color=(1, 0.35, 0.3), bold=True, align="center")
    sheet.text(box.x1 - 72, box.y0 + 120, "报警，切断进水", size=12, align="center")


def _flow(sheet: Sheet, box: pymupdf.Rect) -> None:
    steps = (
        ("自来水", tint(GREY, 0.6)),
        ("PAC", _FILTERS[0][1]),
        ("水泵", GREY),
        ("RO", _BLUE),
        ("CF", _FILTERS[2][1]),
        ("龙头", _WATER),
    )
    pitch = (box.width - 66) / (len(steps) - 1)
    y = box.y0 + 68
    for index, (name, color) in enumerate(steps):
        x = box.x0 + index * pitch
        sheet.rect(x, y - 26, 66, 52, fill=color, radius=0.2)
        sheet.text(x + 33, y + 5, name, size=14, color=INK if index in (0, 5) else WHITE, bold=True, align="center")
        if index:
            sheet.arrow((x - pitch + 68, y), (x - 2, y), color=INK)
    x = box.x0 + 3 * pitch + 33
    sheet.arrow((x, y + 26), (x, y + 76), color=(0.82, 0.2, 0.18), line=2)
    sheet.text(x, y + 94, "废水（红色管）", size=12, align="center")
