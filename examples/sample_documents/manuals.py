"""The manual of a cargo e-bike: eight English pages with drawings made of lines and circles."""

import math
from pathlib import Path

import pymupdf

from .canvas import GREY, INK, PALE, WHITE, Color, Point, Sheet, face, tint
from .typeset import Style, manuscript, typeset

_RED: Color = (0.80, 0.24, 0.16)
_STEEL: Color = (0.62, 0.66, 0.7)
_WOOD: Color = (0.85, 0.68, 0.44)
_GREEN: Color = (0.26, 0.62, 0.36)


def write_ebike_manual(path: Path) -> None:
    """Writes the owner's manual (en, 8 pages)."""
    style = Style(face("en"), accent=_RED, header="Kestrel K2 · Owner's manual", size=12.8, margin=60, gap=9)
    figures = {
        "cover": _cover,
        "parts": _parts,
        "handlebar": _handlebar,
        "charging": _charging,
        "display": _display,
        "brakes": _brakes,
        "tyres": _tyres,
        "service": _service,
    }
    typeset(manuscript("ebike_manual.txt"), path, "Kestrel K2 Cargo E-Bike: owner's manual", style, figures)


def _wheel(sheet: Sheet, center: Point, radius: float) -> None:
    sheet.circle(center, radius, color=INK, line=radius * 0.12)
    sheet.circle(center, radius * 0.9, color=_STEEL, line=1.5)
    for spoke in range(18):
        angle = spoke * math.pi / 9
        end = (center[0] + radius * 0.88 * math.cos(angle), center[1] + radius * 0.88 * math.sin(angle))
        sheet.line(center, end, color=_STEEL, line=0.7)
    sheet.circle(center, radius * 0.22, color=GREY, line=1.5)
    sheet.circle(center, radius * 0.08, fill=INK)


def _bicycle(sheet: Sheet, origin: Point, scale: float) -> dict[str, Point]:
    """Draws the bicycle from the side; returns where its parts are."""

    def at(x: float, y: float) -> Point:
        return origin[0] + x * scale, origin[1] + y * scale

    rear, front, motor, head = at(70, 170), at(385, 182), at(150, 172), at(215, 70)
    _wheel(sheet, rear, 60 * scale)
    _wheel(sheet, front, 46 * scale)
    tube = 8 * scale
    seat = at(122, 62)
    for start, end in ((rear, motor), (motor, seat), (rear, at(130, 92)), (motor, head), (at(130, 92), head)):
        sheet.line(start, end, color=_RED, line=tube)
    for start, end in (
        (motor, at(360, 168)),
        (head, at(232, 168)),
        (at(360, 168), at(372, 120)),
        (at(372, 120), front),
    ):
        sheet.line(start, end, color=_RED, line=tube)
    sheet.line(motor, at(385, 192), color=INK, line=2.5 * scale)
    box = [at(235, 70), at(378, 92), at(362, 160), at(240, 160)]
    sheet.polygon(box, fill=_WOOD, color=(0.5, 0.36, 0.2), line=1.6)
    for share in (0.33, 0.66):
        left = (box[0][0] * (1 - share) + box[3][0] * share, box[0][1] * (1 - share) + box[3][1] * share)
        right = (box[1][0] * (1 - share) + box[2][0] * share, box[1][1] * (1 - share) + box[2][1] * share)
        sheet.line(left, right, color=(0.62, 0.46, 0.27), line=0.9)
    sheet.line(seat, at(117, 40), color=_STEEL, line=5 * scale)
    sheet.polygon([at(92, 32), at(142, 34), at(140, 42), at(100, 44)], fill=INK)
    sheet.line(head, at(208, 26), color=_STEEL, line=5 * scale)
    sheet.line(at(208, 26), at(180, 22), color=INK, line=6 * scale)
    sheet.rect(*at(206, 14), 16 * scale, 9 * scale, fill=INK, radius=0.2)
    sheet.polygon([at(126, 86), at(140, 82), at(158, 142), at(143, 147)], fill=INK)
    sheet.circle(motor, 17 * scale, fill=(0.25, 0.27, 0.3))
    sheet.circle(motor, 7 * scale, fill=_STEEL)
    sheet.line(motor, at(168, 196), color=INK, line=4 * scale)
    sheet.rect(*at(160, 194), 20 * scale, 5 * scale, fill=INK)
    sheet.line(at(215, 166), at(205, 228), color=GREY, line=5 * scale)
    sheet.line(at(40, 230), at(440, 230), color=tint(INK, 0.3), line=1)
    return {
        "1": at(300, 120),
        "2": at(300, 181),
        "3": at(214, 18),
        "4": at(140, 112),
        "5": motor,
        "6": at(207, 215),
        "7": at(385, 172),
    }


def _cover(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(0, 0, sheet.width, box.y1, fill=(0.97, 0.91, 0.82))
    sheet.circle((300, 240), 165, fill=(0.98, 0.78, 0.48))
    sheet.rect(0, box.y1 - 58, sheet.width, 58, fill=(0.52, 0.60, 0.50))
    _bicycle(sheet, (62, 172), 1.08)


def _parts(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=PALE, radius=0.03)
    places = _bicycle(sheet, (box.x0 + 14, box.y0 + 60), 0.98)
    badges = {
        "1": (60, -96),
        "2": (30, 74),
        "3": (44, -34),
        "4": (-92, -60),
        "5": (-38, 92),
        "6": (34, 46),
        "7": (34, -72),
    }
    for number, (dx, dy) in badges.items():
        x, y = places[number]
        badge = (x + dx, y + dy)
        sheet.line((x, y), badge, color=INK, line=0.9)
        sheet.circle((x, y), 2, fill=INK)
        sheet.circle(badge, 11, fill=WHITE, color=_RED, line=1.5)
        sheet.text(badge[0], badge[1] + 4, number, size=11, bold=True, color=_RED, align="center")


def _handlebar(sheet: Sheet, box: pymupdf.Rect) -> None:
    for half in range(2):
        x = box.x0 + half * (box.width / 2 + 6)
        sheet.rect(x, box.y0, box.width / 2 - 6, box.height, fill=PALE, radius=0.04)
    x, y = box.x0 + 112, box.y0 + 118
    sheet.rect(x - 12, y, 24, 92, fill=_RED)
    sheet.polygon([(x - 14, y - 26), (x + 62, y - 40), (x + 62, y - 14), (x - 14, y + 4)], fill=INK)
    sheet.circle((x + 62, y - 27), 15, fill=INK)
    sheet.circle((x + 62, y - 27), 8, fill=_STEEL)
    sheet.curve(((x - 52, y + 34), (x - 70, y - 40), (x - 30, y - 82), (x + 20, y - 72)), color=_RED, line=2.5)
    sheet.arrow((x + 14, y - 73), (x + 40, y - 66), color=_RED, line=2.5, head=9)
    for dy in (-14, -2):
        sheet.circle((x - 4, y + dy), 3.4, fill=_STEEL)
    sheet.text(x - 30, y + 52, "6 Nm", size=11, bold=True, align="right")
    cx, cy = box.x1 - box.width / 4, box.y0 + 108
    sheet.rect(cx - 100, cy - 9, 200, 18, fill=_STEEL, radius=0.5)
    sheet.rect(cx - 36, cy - 48, 72, 96, fill=INK, radius=0.15)
    for order, (dx, dy) in enumerate(((-22, -34), (22, 34), (22, -34), (-22, 34)), start=1):
        sheet.circle((cx + dx, cy + dy), 9, fill=WHITE)
        sheet.text(cx + dx, cy + dy + 4, str(order), size=11, bold=True, color=_RED, align="center")
    sheet.text(cx, box.y1 - 30, "order 1 – 2 – 3 – 4, 5 Nm", size=11, bold=True, align="center")


def _charging(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=PALE, radius=0.04)
    x, y = box.x0 + 40, box.y0 + 60
    sheet.rect(x, y, 210, 86, fill=(0.2, 0.22, 0.25), radius=0.18)
    sheet.text(x + 18, y + 34, "KESTREL", size=16, color=WHITE, bold=True)
    sheet.text(x + 18, y + 52, "36 V · 17.5 Ah · 630 Wh", size=9.5, color=_STEEL)
    for light in range(5):
        sheet.circle((x + 24 + light * 20, y + 70), 6, fill=_GREEN if light < 3 else (0.4, 0.42, 0.45))
    sheet.circle((x + 140, y + 70), 8, color=WHITE, line=1.4)
    sheet.label((x + 178, y + 118), (x + 140, y + 78), "press for one second", size=9)
    sheet.rect(x + 310, y + 14, 84, 56, fill=INK, radius=0.1)
    sheet.text(x + 352, y + 40, "4 A charger", size=9.5, color=WHITE, align="center")
    sheet.circle((x + 352, y + 56), 3, fill=_RED)
    sheet.curve(((x + 310, y + 42), (x + 270, y + 42), (x + 270, y + 20), (x + 210, y + 20)), color=INK, line=3)
    sheet.curve(((x + 352, y + 70), (x + 352, y + 130), (x + 390, y + 130), (x + 390, y + 150)), color=INK, line=3)
    sheet.text(x + 344, y + 148, "mains 230 V", size=9, align="right")
    sheet.text(x, y - 22, "3 lights on: 41–60%, the right level for winter storage", size=10, color=GREY)


def _display(sheet: Sheet, box: pymupdf.Rect) -> None:
    cx, y = (box.x0 + box.x1) / 2, box.y0 + 14
    sheet.rect(cx - 105, y, 210, 232, fill=(0.16, 0.17, 0.19), radius=0.12)
    sheet.rect(cx - 88, y + 18, 176, 140, fill=(0.82, 0.90, 0.84), radius=0.04)
    sheet.text(cx - 6, y + 86, "18.4", size=46, bold=True, align="center")
    sheet.text(cx + 56, y + 86, "km/h", size=11)
    sheet.text(cx - 78, y + 38, "TOUR", size=13, bold=True)
    sheet.text(cx + 78, y + 38, "12:20", size=13, align="right")
    sheet.text(cx - 78, y + 118, "Range 61 km", size=12)
    sheet.text(cx + 78, y + 118, "Trip 7.3", size=12, align="right")
    sheet.rect(cx - 78, y + 130, 156, 16, color=INK, line=1.2)
    sheet.rect(cx - 76, y + 132, 118, 12, fill=_GREEN)
    for dx, sign in ((-62, "–"), (62, "+")):
        sheet.circle((cx + dx, y + 194), 19, fill=(0.3, 0.32, 0.35))
        sheet.text(cx + dx, y + 200, sign, size=18, color=WHITE, bold=True, align="center")
    sheet.circle((cx, y + 194), 24, fill=_RED)
    sheet.circle((cx, y + 194), 10, color=WHITE, line=2)
    sheet.label((box.x0 + 96, y + 40), (cx - 84, y + 34), "level of assistance", size=9)
    sheet.label((box.x0 + 96, y + 144), (cx - 78, y + 138), "battery charge", size=9)
    sheet.label((box.x1 - 92, y + 118), (cx + 82, y + 114), "trip, km", size=9)
    sheet.label((box.x1 - 92, y + 210), (cx + 22, y + 200), "round button", size=9)


def _brakes(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=PALE, radius=0.04)
    cx, cy = (box.x0 + box.x1) / 2, box.y0 + box.height / 2
    sheet.rect(cx - 5, box.y0 + 16, 10, box.height - 32, fill=_STEEL)
    for side in (-1, 1):
        body = cx + side * 86
        sheet.rect(body - 42, cy - 62, 84, 124, fill=(0.28, 0.3, 0.33), radius=0.15)
        sheet.rect(cx + side * 44 - 16, cy - 26, 32, 52, fill=GREY)
        sheet.rect(cx + side * 21 - 6, cy - 50, 12, 100, fill=INK)
        sheet.rect(cx + side * 11 - 4, cy - 46, 8, 92, fill=_RED)
    sheet.line((cx - 60, cy - 72), (cx + 60, cy - 72), color=(0.8, 0.65, 0.2), line=3)
    sheet.label((box.x0 + 74, box.y0 + 40), (cx - 50, cy - 72), "split pin", size=9.5)
    sheet.label((box.x0 + 74, cy + 4), (cx - 44, cy), "piston", size=9.5)
    sheet.label((box.x0 + 74, box.y1 - 26), (cx - 11, cy + 40), "brake pad", size=9.5)
    sheet.label((box.x1 - 80, box.y0 + 30), (cx, box.y0 + 28), "disc, 1.8 mm", size=9.5)
    sheet.label((box.x1 - 80, box.y1 - 26), (cx + 11, cy + 40), "0.5 mm at least", size=9.5, color=_RED)


def _tyres(sheet: Sheet, box: pymupdf.Rect) -> None:
    sheet.rect(box.x0, box.y0, box.width, box.height, fill=PALE, radius=0.04)
    for x, radius, name in ((box.x0 + 116, 66, "Front, 20 inch"), (box.x0 + 320, 84, "Rear, 26 inch")):
        center = (x, box.y0 + 98)
        _wheel(sheet, center, radius)
        sheet.line((x, center[1] + radius), (x, center[1] + radius - 14), color=_RED, line=3)
        sheet.text(x, box.y1 - 10, name, size=10, bold=True, align="center")
    gauge = (box.x1 - 34, box.y0 + 150)
    sheet.circle(gauge, 26, fill=WHITE, color=INK, line=2)
    sheet.line(gauge, (gauge[0] + 12, gauge[1] - 14), color=_RED, line=2)
    sheet.text(gauge[0], gauge[1] + 16, "bar", size=8, align="center")


def _service(sheet: Sheet, box: pymupdf.Rect) -> None:
    y = box.y0 + 74
    sheet.line((box.x0 + 20, y), (box.x1 - 20, y), color=INK, line=2)
    stops = (
        ("300", "first check"),
        ("1,500", "chain, pads"),
        ("3,000", "linkage bearings"),
        ("6,000", "brake fluid, tyres"),
    )
    for index, (distance, work) in enumerate(stops):
        x = box.x0 + 64 + index * (box.width - 128) / 3
        sheet.circle((x, y), 20, fill=_RED)
        sheet.text(x, y + 4, distance, size=10.5, color=WHITE, bold=True, align="center")
        sheet.text(x, y + 42, work, size=10, align="center")
        sheet.text(x, y - 32, "km", size=9, color=GREY, align="center")
    sheet.text(box.x0 + 20, box.y0 + 20, "Service plan", size=12, bold=True, color=_RED)
