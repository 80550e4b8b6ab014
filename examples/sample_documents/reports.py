"""Reports in English: a yearly report full of charts, and a two-column paper with tables."""

import math
from pathlib import Path

import numpy as np
import pymupdf

from .canvas import GREY, INK, WHITE, Color, Sheet, face, tint
from .charts import PALETTE, Axes, bars, legend, lines, pie
from .typeset import Style, manuscript, typeset

_TEAL: Color = (0.06, 0.38, 0.42)
_SUN: Color = (0.98, 0.76, 0.22)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def write_solar_report(path: Path) -> None:
    """Writes the yearly report of a solar park (en, 6 pages, five charts)."""
    style = Style(
        face("en"), accent=_TEAL, header="Sunfield Bay Solar Park · Annual Report 2025", size=13, margin=60, gap=10
    )
    figures = {
        "cover": _solar_cover,
        "monthly": _monthly,
        "revenue": _revenue,
        "ageing": _ageing,
        "costs": _costs,
        "battery": _battery,
    }
    typeset(manuscript("solar_report.txt"), path, "Sunfield Bay Solar Park: Annual Report 2025", style, figures)


def write_rice_paper(path: Path) -> None:
    """Writes a research paper on rice storage (en, 4 pages, two columns)."""
    style = Style(
        face("en", serif=True),
        accent=(0.2, 0.16, 0.3),
        header="Working Papers of the Institute for Rural Measurement · No. 17 · 2026",
        size=12,
        leading=1.4,
        margin=52,
        columns=2,
        gap=7.5,
    )
    figures = {"probe": _probe, "scatter": _scatter, "losses": _losses}
    title = "Cheap Capacitive Probes for Moisture in Stored Rice"
    typeset(manuscript("rice_paper.txt"), path, title, style, figures)


def _solar_cover(sheet: Sheet, box: pymupdf.Rect) -> None:
    """Rows of panels on a hill under a large sun, from edge to edge."""
    bottom = box.y1
    sheet.rect(0, 0, sheet.width, bottom, fill=(0.80, 0.91, 0.95))
    sheet.circle((430, 130), 78, fill=tint(_SUN, 0.4))
    sheet.circle((430, 130), 56, fill=_SUN)
    sheet.polygon([(0, 260), (150, 190), (330, 250), (595, 180), (595, bottom), (0, bottom)], fill=(0.55, 0.74, 0.52))
    sheet.polygon([(0, 300), (220, 250), (595, 300), (595, bottom), (0, bottom)], fill=(0.40, 0.62, 0.40))
    for row in range(3):
        y, width = 262 + row * 34, 62 + row * 12
        for column in range(9):
            x = -30 + column * (width + 12) + row * 9
            panel = [(x + 12, y), (x + width, y), (x + width - 12, y + 26), (x, y + 26)]
            sheet.polygon(panel, fill=(0.13, 0.23, 0.45), color=(0.75, 0.83, 0.93), line=1.2)
            for share in (0.33, 0.66):
                sheet.line(
                    (x + 12 + (width - 12) * share, y),
                    (x + (width - 12) * share, y + 26),
                    color=(0.45, 0.56, 0.75),
                    line=0.6,
                )


def _monthly(sheet: Sheet, box: pymupdf.Rect) -> None:
    output = {
        "2024": (2.2, 2.8, 3.9, 4.7, 5.4, 5.6, 5.9, 5.3, 4.1, 3.0, 2.1, 1.7),
        "2025": (2.3, 3.0, 4.2, 5.1, 5.8, 6.1, 5.0, 5.4, 4.3, 3.2, 2.3, 1.9),
    }
    bars(sheet, box, _MONTHS, output, top=7, step=1, unit="GWh", colors=(tint(_TEAL, 0.35), _SUN))


def _revenue(sheet: Sheet, box: pymupdf.Rect) -> None:
    pie(
        sheet,
        box,
        {"Port of Hale contract": 60, "Spot market": 20, "Members' tariff": 14, "Green certificates": 6},
        hole=0.45,
    )


def _ageing(sheet: Sheet, box: pymupdf.Rect) -> None:
    years = range(6)
    loss = {"Lumo": 0.31, "Basalt": 0.42, "Kite": 0.47, "Orrin": 0.76}
    series = {name: [(year, 100 - year * rate) for year in years] for name, rate in loss.items()}
    ticks = [(year, f"year {year}") for year in years]
    axes = lines(sheet, box, ticks, series, y_range=(95, 100), step=1, unit="Power, % of new")
    sheet.line((axes.x(0), axes.y(100)), (axes.x(5), axes.y(97.25)), color=INK, line=0.9, dashes="[4 3]")
    sheet.text(axes.x(2.1), axes.y(98.15), "promised: 0.55% a year", size=8, color=GREY, align="right")
    sheet.text(axes.x(4.9), axes.y(96.2) + 14, "96.2%", size=9, color=PALETTE[3], bold=True, align="right")


def _costs(sheet: Sheet, box: pymupdf.Rect) -> None:
    kinds = ("Inverters", "Mowing", "Washing", "Fences", "Monitoring", "Insurance")
    spent = {"Budget": (120, 84, 96, 60, 75, 136), "Actual": (189, 71, 92, 66, 73, 120)}
    bars(sheet, box, kinds, spent, top=200, step=50, unit="thousand", colors=(tint(INK, 0.35), PALETTE[3]))


def _battery(sheet: Sheet, box: pymupdf.Rect) -> None:
    hours = np.arange(0, 24.5, 0.5)
    sun = 27 * np.clip(np.sin((hours - 6) / 13 * math.pi), 0, None) ** 1.3 * (hours < 19)
    charge = np.where((hours >= 10) & (hours <= 14), 9.0, 0.0)
    discharge = np.where((hours >= 17) & (hours <= 21), 8.5, 0.0)
    series = {
        "Solar output": [(float(h), float(v)) for h, v in zip(hours, sun, strict=True)],
        "Charging": [(float(h), float(v)) for h, v in zip(hours, charge, strict=True)],
        "Discharging": [(float(h), float(v)) for h, v in zip(hours, discharge, strict=True)],
    }
    ticks = [(hour, f"{hour:02d}:00") for hour in range(0, 25, 4)]
    colors = (_SUN, PALETTE[0], PALETTE[3])
    lines(sheet, box, ticks, series, y_range=(0, 30), step=5, unit="MW", dots=False, colors=colors)


def _probe(sheet: Sheet, box: pymupdf.Rect) -> None:
    """The comb electrode beside its controller."""
    copper, board = (0.80, 0.50, 0.22), (0.10, 0.36, 0.22)
    y, height = box.y0 + 62, 76
    sheet.rect(box.x0 + 4, y, box.width - 8, height, fill=board, radius=0.12)
    left, right = box.x0 + 74, box.x1 - 18
    sheet.rect(left, y + 9, right - left, 5, fill=copper)
    sheet.rect(left, y + height - 14, right - left, 5, fill=copper)
    for tooth in range(23):
        x = left + 2 + tooth * (right - left - 6) / 22
        sheet.rect(x, y + (9 if tooth % 2 else 20), 3, height - 29, fill=copper)
    sheet.rect(box.x0 + 18, y + 22, 32, 32, fill=(0.12, 0.12, 0.13))
    for pin in range(5):
        for x in (box.x0 + 13, box.x0 + 50):
            sheet.rect(x, y + 25 + pin * 6, 5, 2.4, fill=(0.8, 0.8, 0.8))
    sheet.circle((right + 6, y + height / 2), 4, fill=(0.15, 0.15, 0.5))
    sheet.label((box.x0 + 74, y - 26), (box.x0 + 34, y + 24), "controller", size=8.5)
    sheet.label((box.x1 - 62, y - 14), (right + 6, y + height / 2), "thermistor", size=8.5)
    sheet.label((box.x0 + 96, y + height + 26), (left + 40, y + height - 22), "comb, 31 teeth a side", size=8.5)
    sheet.line((left, y + height + 40), (right, y + height + 40), color=GREY, line=0.7)
    sheet.text((left + right) / 2, y + height + 52, "180 mm", size=8.5, color=GREY, align="center")


def _scatter(sheet: Sheet, box: pymupdf.Rect) -> None:
    axes = Axes(sheet, box, (10, 19), (10, 19), 3, "probe, % moisture")
    sheet.line((axes.x(10), axes.y(10)), (axes.x(19), axes.y(19)), color=GREY, line=1)
    random = np.random.default_rng(17)
    for oven in np.linspace(10.3, 18.6, 40):
        reading = float(np.clip(oven + random.normal(0, 0.45), 10, 19))
        sheet.circle((axes.x(float(oven)), axes.y(reading)), 2.2, fill=PALETTE[0])
    for value in (10, 13, 16, 19):
        axes.tick(value, f"{value}")
    sheet.text(axes.right, axes.bottom - 6, "oven, % moisture", size=8.5, color=GREY, align="right")


def _losses(sheet: Sheet, box: pymupdf.Rect) -> None:
    informed = {"A": 1.4, "C": 2.6, "D": 1.9, "F": 3.1, "H": 1.7, "K": 1.9}
    uninformed = {"B": 4.4, "E": 6.8, "G": 5.1, "I": 7.2, "J": 4.5}
    axes = Axes(sheet, box, (0, 11), (0, 8), 2, "grain lost, %")
    for index, barn in enumerate("ABCDEFGHIJK"):
        value = informed.get(barn) or uninformed[barn]
        fill = PALETTE[0] if barn in informed else WHITE
        sheet.circle((axes.x(index + 0.5), axes.y(value)), 4, fill=fill, color=PALETTE[0], line=1.4)
        axes.tick(index + 0.5, barn)
    legend(sheet, axes.right, box.y0 + 12, [("messages", PALETTE[0])])
