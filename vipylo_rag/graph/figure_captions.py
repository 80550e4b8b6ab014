"""What a figure on a page is called: the line of text beside it that begins as captions do, else the nearest."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.page import WordBox

Box = tuple[float, float, float, float]

_CAPTION = re.compile(
    r"(?:hình|figure|fig\.|biểu đồ|sơ đồ|đồ thị|ảnh|minh họa|chart|diagram|photo|image|plate|exhibit|scheme"
    r"|illustration|bảng|table)\b|[图圖照]\s*\d|图表|表\s*\d",
    re.IGNORECASE,
)
_CAPTION_FAR: Final = 0.06  # of the page's height
_LONGEST_CAPTION: Final = 200
_LEAST_CAPTION: Final = 6


@dataclass(frozen=True)
class TextLine:
    """A line of a page's text; where it stands as fractions of the page's width and height."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float


def text_lines(words: Sequence[WordBox]) -> list[TextLine]:
    """Words in lines: those that stand beside each other, one close after the other."""
    lines: list[list[WordBox]] = []
    for word in words:
        if not word.text.strip():
            continue
        last = lines[-1][-1] if lines else None
        if last is not None and _same_line(last, word):
            lines[-1].append(word)
        else:
            lines.append([word])
    return [
        TextLine(
            " ".join(word.text for word in line),
            min(word.x0 for word in line),
            min(word.y0 for word in line),
            max(word.x1 for word in line),
            max(word.y1 for word in line),
        )
        for line in lines
    ]


def _same_line(last: WordBox, word: WordBox) -> bool:
    height = min(last.y1 - last.y0, word.y1 - word.y0)
    shared = min(last.y1, word.y1) - max(last.y0, word.y0)
    return shared > 0.5 * height and -0.01 < word.x0 - last.x1 < 0.05


def caption(box: Box, lines: Sequence[TextLine]) -> str:
    """The text that names what is in a box: a line below or above it that begins as captions do, else the nearest."""
    x0, y0, x1, y1 = box
    best, best_cost = "", math.inf
    for n, line in enumerate(lines):
        beside = min(x1, line.x1) - max(x0, line.x0) <= 0.2 * min(x1 - x0, line.x1 - line.x0)
        middle = (line.y0 + line.y1) / 2
        gap = middle - y1 if middle > (y0 + y1) / 2 else y0 - middle
        named = bool(_CAPTION.match(line.text.strip()))
        if not named and len(line.text) < _LEAST_CAPTION:
            continue  # an axis's label
        if (
            beside
            or gap > _CAPTION_FAR
            or (not named and (gap < -0.01 or gap > _CAPTION_FAR / 2))
            or gap < -(y1 - y0) / 2
        ):
            continue
        cost = abs(gap) + (0 if named else 1) + (0 if middle > y1 else 0.005)
        if cost < best_cost:
            best, best_cost = _with_rest(lines, n) if named else line.text, cost
    return " ".join(best.split())[:_LONGEST_CAPTION]


def _with_rest(lines: Sequence[TextLine], n: int) -> str:
    """A caption's line and the one that goes on below it, if the first ends in the middle of a sentence."""
    line = lines[n]
    if n + 1 < len(lines) and not re.search(r"[.!?。！？:：]$", line.text):
        after = lines[n + 1]
        height = line.y1 - line.y0
        close = 0 <= after.y0 - line.y1 < 0.6 * height and abs(after.x0 - line.x0) < 0.02
        if (
            close
            and not _CAPTION.match(after.text)
            and abs((after.y1 - after.y0) - height) < 0.2 * height
            and line.x1 - line.x0 > 0.6
        ):
            return f"{line.text} {after.text}"
    return line.text


def whole_caption(words: Sequence[WordBox]) -> str:
    """What names a page that is one figure: its first words."""
    return " ".join(" ".join(word.text for word in words[:40]).split())[:_LONGEST_CAPTION]
