"""Charts drawn with lines and shapes: bars, lines, pies and scatter plots, with axes and labels."""

import math
from collections.abc import Mapping, Sequence

import pymupdf

from .canvas import GREY, INK, WHITE, Color, Point, Sheet, tint

PALETTE: tuple[Color, ...] = (
    (0.11, 0.43, 0.55),
    (0.93, 0.58, 0.15),
    (0.36, 0.62, 0.35),
    (0.72, 0.25, 0.27),
    (0.48, 0.38, 0.62),
    (0.55, 0.57, 0.6),
)


class Axes:
    """A plotting area with a value axis and its grid lines.

    Args:
        sheet: Where to draw.
        box: The whole figure, labels included.
        x_range: Values at the left and right edge.
        y_range: Values at the lower and upper edge.
        step: Distance of the grid lines.
        unit: Written above the value axis.
    """

    def __init__(
        self,
        sheet: Sheet,
        box: pymupdf.Rect,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        step: float,
        unit: str,
        size: float = 8.5,
    ) -> None:
        self.sheet = sheet
        self.size = size
        self.left, self.right = box.x0 + 36, box.x1 - 8
        self.top, self.bottom = box.y0 + 26, box.y1 - 26
        self.x_range, self.y_range = x_range, y_range
        for index in range(round((y_range[1] - y_range[0]) / step) + 1):
            value = y_range[0] + index * step
            y = self.y(value)
            sheet.line((self.left, y), (self.right, y), color=tint(GREY, 0.35), line=0.5)
            sheet.text(self.left - 5, y + 3, f"{value:g}", size=size, color=GREY, align="right")
        sheet.line((self.left, self.bottom), (self.right, self.bottom), color=INK, line=0.9)
        sheet.text(box.x0 + 4, box.y0 + 12, unit, size=size, color=GREY)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return float(self.left + (value - low) / (high - low) * (self.right - self.left))

    def y(self, value: float) -> float:
        low, high = self.y_range
        return float(self.bottom - (value - low) / (high - low) * (self.bottom - self.top))

    def tick(self, value: float, text: str, below: float = 13) -> None:
        """A label under the horizontal axis."""
        self.sheet.text(self.x(value), self.bottom + below, text, size=self.size, color=INK, align="center")


def legend(sheet: Sheet, x: float, y: float, entries: Sequence[tuple[str, Color]], size: float = 8.5) -> None:
    """Coloured squares with names, from right to left, ending at x."""
    for name, color in reversed(entries):
        x -= sheet.face.width(name, size)
        sheet.text(x, y, name, size=size)
        sheet.rect(x - 13, y - 7.5, 8, 8, fill=color)
        x -= 28


def bars(
    sheet: Sheet,
    box: pymupdf.Rect,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    top: float,
    step: float,
    unit: str,
    values: bool = True,
    colors: Sequence[Color] = PALETTE,
    size: float = 8.5,
) -> None:
    """A chart of grouped bars; `values` writes the number above each bar of the last series."""
    axes = Axes(sheet, box, (0, len(labels)), (0, top), step, unit, size)
    width = (axes.right - axes.left) / len(labels) * 0.72 / len(series)
    for number, (name, heights) in enumerate(series.items()):
        for index, height in enumerate(heights):
            x = axes.x(index + 0.14) + number * width
            y = axes.y(height)
            sheet.rect(x, y, width * 0.92, axes.bottom - y, fill=colors[number])
            if values and name == list(series)[-1]:
                sheet.text(x + width * 0.46, y - 3, f"{height:g}", size=size * 0.88, align="center")
    for index, label in enumerate(labels):
        axes.tick(index + 0.5, label)
    if len(series) > 1:
        legend(sheet, axes.right, box.y0 + 12, list(zip(series, colors, strict=False)), size)


def lines(
    sheet: Sheet,
    box: pymupdf.Rect,
    ticks: Sequence[tuple[float, str]],
    series: Mapping[str, Sequence[Point]],
    *,
    y_range: tuple[float, float],
    step: float,
    unit: str,
    dots: bool = True,
    colors: Sequence[Color] = PALETTE,
    size: float = 8.5,
) -> Axes:
    """A chart of one or more lines; returns its axes so that more can be drawn on them."""
    axes = Axes(sheet, box, (ticks[0][0], ticks[-1][0]), y_range, step, unit, size)
    for (_, points), color in zip(series.items(), colors, strict=False):
        placed = [(axes.x(x), axes.y(y)) for x, y in points]
        sheet.polyline(placed, color=color, line=2)
        for point in placed if dots else ():
            sheet.circle(point, 2.8, fill=WHITE, color=color, line=1.4)
    for value, label in ticks:
        axes.tick(value, label)
    legend(sheet, axes.right, box.y0 + 12, list(zip(series, colors, strict=False)), size)
    return axes


def pie(
    sheet: Sheet,
    box: pymupdf.Rect,
    shares: Mapping[str, float],
    *,
    hole: float = 0,
    colors: Sequence[Color] = PALETTE,
    size: float = 10,
) -> None:
    """A pie chart with its legend to the right; `hole` is the inner radius as a share of the outer one."""
    radius = min(box.height * 0.46, box.width * 0.28)
    center = pymupdf.Point(box.x0 + box.width * 0.32, box.y0 + box.height / 2)
    total = sum(shares.values())
    angle = -math.pi / 2
    row = center.y - len(shares) * size * 1.05
    for (name, share), color in zip(shares.items(), colors, strict=False):
        sweep = share / total * 2 * math.pi
        steps = max(2, int(sweep / 0.05))
        arc = [angle + sweep * i / steps for i in range(steps + 1)]
        points = [(center.x + radius * math.cos(a), center.y + radius * math.sin(a)) for a in arc]
        sheet.polygon([tuple(center), *points], fill=color, color=WHITE, line=1.5)
        middle = angle + sweep / 2
        at = 0.66 if hole == 0 else (1 + hole) / 2
        if share / total > 0.045:
            spot = (center.x + radius * at * math.cos(middle), center.y + radius * at * math.sin(middle) + size * 0.35)
            sheet.text(*spot, f"{share:g}%", size=size, color=WHITE, bold=True, align="center")
        x = center.x + radius + 40
        sheet.rect(x, row, size, size, fill=color)
        sheet.text(x + size * 1.7, row + size * 0.88, f"{name}  {share:g}%", size=size)
        row += size * 2.1
        angle += sweep
    if hole:
        sheet.circle(tuple(center), radius * hole, fill=WHITE)
