"""A page one can draw on: text in three languages, shapes and colours, on top of PyMuPDF's built-in fonts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pymupdf

Language = Literal["vi", "en", "zh"]
Align = Literal["left", "center", "right"]
Color = tuple[float, float, float]
Point = tuple[float, float]

INK: Color = (0.13, 0.14, 0.17)
GREY: Color = (0.45, 0.47, 0.5)
PALE: Color = (0.93, 0.94, 0.95)
WHITE: Color = (1.0, 1.0, 1.0)

A4: Point = (595, 842)
WIDE: Point = (960, 540)

# A fixed clock, so that two builds give the same bytes.
TIMESTAMP = "D:20260105090000+07'00'"

_CLOSING = set("，。、；：）】」』”’！？%％,.;:)]!?…")
_TOKENS = {
    "zh": re.compile(r"[A-Za-z0-9.,%°℃/+×:~\-–&@]+|\s+|."),
    "other": re.compile(r"\S+|\s+"),
}


@dataclass(frozen=True)
class Face:
    """A regular and a bold font for one language.

    Args:
        regular: The font of running text.
        bold: The font of bold text; the same as `regular` where PyMuPDF bundles no bold one.
    """

    regular: pymupdf.Font
    bold: pymupdf.Font
    language: Language

    @property
    def strokes_bold(self) -> bool:
        """Whether bold has to be imitated by stroking the outlines."""
        return self.regular is self.bold

    def width(self, text: str, size: float, bold: bool = False) -> float:
        """The advance of `text` in points."""
        return float((self.bold if bold else self.regular).text_length(text, fontsize=size))


@cache
def face(language: Language, serif: bool = False) -> Face:
    """The built-in fonts that draw all letters of a language in one design.

    Helvetica and Times lack the Vietnamese letters with two marks, and a fallback glyph in the middle of a word
    looks like a ransom note: Vietnamese is set in Noto Serif throughout.
    """
    if language == "en":
        names = ("tiro", "tibo") if serif else ("helv", "hebo")
        return Face(pymupdf.Font(names[0]), pymupdf.Font(names[1]), language)
    font = pymupdf.Font(language="vi") if language == "vi" else pymupdf.Font("china-s")
    return Face(font, font, language)


def tint(color: Color, share: float) -> Color:
    """The colour mixed with white; `share` 0 is white, 1 the colour itself."""
    return tuple(1 - share * (1 - part) for part in color)  # type: ignore[return-value]


class Sheet:
    """One PDF page with the drawing calls the sample documents need; y grows downwards, units are points."""

    def __init__(self, page: pymupdf.Page, page_face: Face) -> None:
        self.page = page
        self.face = page_face
        self.width = float(page.rect.width)
        self.height = float(page.rect.height)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 10.5,
        color: Color = INK,
        bold: bool = False,
        align: Align = "left",
        angle: float = 0,
    ) -> float:
        """Draws one line with its baseline at y and returns its width."""
        width = self.face.width(text, size, bold)
        start = x - {"left": 0.0, "center": width / 2, "right": width}[align]
        writer = pymupdf.TextWriter(self.page.rect)
        writer.append((start, y), text, font=self.face.bold if bold else self.face.regular, fontsize=size)
        turn = (pymupdf.Point(x, y), pymupdf.Matrix(angle)) if angle else None
        outlined = bold and self.face.strokes_bold
        writer.write_text(self.page, color=color, morph=turn, render_mode=2 if outlined else 0)
        return width

    def paragraph(
        self,
        x: float,
        y: float,
        width: float,
        text: str,
        *,
        size: float = 10.5,
        leading: float = 1.45,
        color: Color = INK,
        bold: bool = False,
        align: Align = "left",
    ) -> float:
        """Draws wrapped text, `**words**` in bold, from the top y down; returns the y below it."""
        for line in self.wrap(text, width, size, bold):
            length = sum(self.face.width(run, size, heavy) for run, heavy in line)
            at = x + {"left": 0.0, "center": (width - length) / 2, "right": width - length}[align]
            for run, heavy in line:
                at += self.text(at, y + size, run, size=size, color=color, bold=heavy)
            y += size * leading
        return y

    def wrap(self, text: str, width: float, size: float, bold: bool = False) -> list[list[tuple[str, bool]]]:
        """Breaks text into lines of (run, bold) that fit `width`."""
        pattern = _TOKENS["zh" if self.face.language == "zh" else "other"]
        lines: list[list[tuple[str, bool]]] = []
        line: list[tuple[str, bool]] = []
        used = 0.0
        for part in re.split(r"(\*\*.+?\*\*)", text):
            heavy = bold or part.startswith("**")
            for token in pattern.findall(part.strip("*") if part.startswith("**") else part):
                advance = self.face.width(token, size, heavy)
                if line and used + advance > width and not token.isspace() and token[0] not in _CLOSING:
                    lines.append(line)
                    line, used = [], 0.0
                if token.isspace() and not line:
                    continue
                used += advance
                if line and line[-1][1] == heavy:
                    line[-1] = (line[-1][0] + token, heavy)
                else:
                    line.append((token, heavy))
        if line:
            lines.append(line)
        return [[*row[:-1], (row[-1][0].rstrip(), row[-1][1])] for row in lines]

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: Color | None = None,
        color: Color | None = None,
        line: float = 1,
        radius: float | None = None,
    ) -> None:
        """Draws a rectangle; `radius` is the corner radius as a share of the shorter side (up to 0.5)."""
        box = pymupdf.Rect(x, y, x + width, y + height)
        self.page.draw_rect(box, color=color, fill=fill, width=line, radius=radius)

    def line(self, start: Point, end: Point, *, color: Color = INK, line: float = 1, dashes: str | None = None) -> None:
        """Draws a straight line."""
        self.page.draw_line(start, end, color=color, width=line, dashes=dashes)

    def arrow(self, start: Point, end: Point, *, color: Color = INK, line: float = 1.4, head: float = 6) -> None:
        """Draws a line with a filled head at its end."""
        tip, tail = pymupdf.Point(end), pymupdf.Point(start)
        along = (tip - tail) / max(abs(tip - tail), 1e-6)
        side = pymupdf.Point(-along.y, along.x)
        base = tip - along * head * 1.4
        self.line(start, tuple(base), color=color, line=line)
        self.polygon([tuple(tip), tuple(base + side * head * 0.6), tuple(base - side * head * 0.6)], fill=color)

    def polyline(self, points: Sequence[Point], *, color: Color = INK, line: float = 1) -> None:
        """Draws an open line through the points."""
        self.page.draw_polyline(list(points), color=color, width=line)

    def polygon(
        self, points: Sequence[Point], *, fill: Color | None = None, color: Color | None = None, line: float = 1
    ) -> None:
        """Draws a closed shape."""
        self.page.draw_polyline(list(points), color=color, fill=fill, width=line, closePath=True)

    def circle(
        self, center: Point, radius: float, *, fill: Color | None = None, color: Color | None = None, line: float = 1
    ) -> None:
        """Draws a circle."""
        self.page.draw_circle(center, radius, color=color, fill=fill, width=line)

    def oval(
        self,
        center: Point,
        rx: float,
        ry: float,
        *,
        fill: Color | None = None,
        color: Color | None = None,
        line: float = 1,
    ) -> None:
        """Draws an ellipse."""
        x, y = center
        self.page.draw_oval(pymupdf.Rect(x - rx, y - ry, x + rx, y + ry), color=color, fill=fill, width=line)

    def curve(
        self,
        points: tuple[Point, Point, Point, Point],
        *,
        color: Color | None = INK,
        fill: Color | None = None,
        line: float = 1,
    ) -> None:
        """Draws a Bézier curve: start, two handles, end."""
        self.page.draw_bezier(*points, color=color, fill=fill, width=line)

    def label(self, at: Point, to: Point, text: str, *, size: float = 9, color: Color = INK) -> None:
        """Draws a call-out: text at `at`, a thin line and a dot on the part at `to`."""
        right = at[0] < to[0]
        self.line((at[0] + (3 if right else -3), at[1] - size * 0.35), to, color=GREY, line=0.6)
        self.circle(to, 1.8, fill=color)
        self.text(*at, text, size=size, color=color, align="right" if right else "left")


def save(document: pymupdf.Document, path: Path, title: str) -> None:
    """Writes a small PDF whose bytes depend on its content only."""
    document.set_metadata({"title": title, "creationDate": TIMESTAMP, "modDate": TIMESTAMP})
    document.subset_fonts()
    document.save(path, garbage=4, deflate=True, no_new_id=True)
    document.close()
