"""Texts -> laid-out pages (PyMuPDF) -> crops at any scale, with the place of every character and token.

A page stays a display list: a crop is drawn straight from it in one or two milliseconds, so nothing is stored on disk.
"""

import html
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pymupdf
from numpy.typing import NDArray
from PIL import Image

from trainer.starter.layouts import special_page

CELL = 28  # pixels of one merged token: patch 14 x merge 2
SLOT = (14, 7)  # height, width in pixels: a cell has 2 x 4 slots, each about one letter large
SLOTS = (CELL // SLOT[0]) * (CELL // SLOT[1])
A4 = (595.0, 842.0)
_MARGIN = 0.03
_CJK = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_BUILTIN = ("sans-serif", "serif", "monospace")

# Text of a line -> (token id, index of its middle character) for each token.
LineTokens = Callable[[list[str]], list[list[tuple[int, int]]]]


@dataclass(frozen=True)
class Fonts:
    """Fonts found in a folder of .ttf files, beside the ones PyMuPDF brings; an empty folder list is fine."""

    files: tuple[str, ...] = ()
    archive: pymupdf.Archive | None = field(default=None, compare=False)

    @classmethod
    def find(cls, folders: Sequence[Path]) -> "Fonts":
        """Every .ttf below `folders` (a font that lacks a letter falls back to PyMuPDF's own)."""
        archive = pymupdf.Archive()
        files: dict[str, Path] = {}
        for folder in folders:
            for path in sorted(folder.rglob("*.ttf")):
                if path.name not in files and "Math" not in path.name:
                    files[path.name] = path
                    archive.add(path.read_bytes(), path.name)
        return cls(tuple(files), archive)


@dataclass
class Page:
    """One laid-out page: its drawing and, for every character, code point, centre (points), line and text size."""

    drawing: pymupdf.DisplayList
    width: float
    height: float
    lines: list[str]
    chars: NDArray[np.uint32]  # code points, in reading order
    centres: NDArray[np.float32]  # [n, 2] x, y in points
    line_of: NDArray[np.int32]
    tokens: NDArray[np.int32]  # token ids
    token_centres: NDArray[np.float32]
    text_size: float  # median glyph size in points


@dataclass
class Crop:
    """Grey pixels of a part of a page with what stands in it; cells, and slots in a cell, count row by row."""

    grey: NDArray[np.uint8]  # [height, width]
    text: str
    char_slots: NDArray[np.int32]  # [n, 2] cell * SLOTS + slot, code point
    token_cells: NDArray[np.int32]  # [n, 2] cell, token id, in reading order


def lay_out(
    paragraphs: Sequence[str],
    rng: random.Random,
    fonts: Fonts,
    tokens: LineTokens | None = None,
    only_a4: bool = False,
) -> Page:
    """A page with as many of `paragraphs` as fit, in a random but plausible style."""
    width, height = (
        A4 if only_a4 or rng.random() < 0.8 else rng.choice(((612.0, 792.0), (720.0, 540.0), (420.0, 595.0)))
    )
    size = rng.choice((9, 10, 10.5, 11, 11, 12, 12, 13, 14, 16))
    leading = rng.uniform(1.1, 1.6)
    margin = rng.uniform(25, 75)
    columns = 2 if rng.random() < 0.15 and width > 500 else 1
    gap = 18.0
    column = (width - 2 * margin - gap * (columns - 1)) / columns
    cjk = bool(_CJK.search("".join(paragraphs)[:200]))
    per_line = column / (size * (1.0 if cjk else 0.5))
    room = max(1, int((height - 2 * margin) / (size * leading)) - 1)
    family, face = _family(rng, fonts)
    css = (
        f"{face} * {{font-family:{family};font-size:{size}pt;line-height:{leading:.2f}}}"
        f"p{{margin:0 0 {rng.uniform(0, 0.8):.2f}em 0;text-align:{rng.choice(('left', 'left', 'justify'))}}}"
        "h2{font-size:1.35em;margin:0.3em 0}li{margin:0}"
    )
    document = pymupdf.open()
    page = document.new_page(width=width, height=height)
    rest = list(paragraphs)
    for index in range(columns):
        left = margin + index * (column + gap)
        box = pymupdf.Rect(left, margin, left + column, height - margin)
        taken, rest = _fill(rest, room, per_line)
        if taken:
            archive = fonts.archive if face else None
            page.insert_htmlbox(box, _markup(taken, rng), css=css, archive=archive, scale_low=0.6)
    return read_page(page, tokens)


def lay_out_special(
    kind: str,
    paragraphs: Sequence[str],
    language: str,
    rng: random.Random,
    fonts: Fonts,
    tokens: LineTokens | None = None,
) -> Page:
    """A table, a receipt or a chart with words of `paragraphs`; see `trainer.starter.layouts`."""
    page = special_page(kind, paragraphs, language, rng, _family(rng, fonts), fonts.archive)
    return read_page(page, tokens)


def read_page(page: pymupdf.Page, tokens: LineTokens | None = None) -> Page:
    """What stands where on any PDF page."""
    lines: list[str] = []
    chars: list[int] = []
    centres: list[tuple[float, float]] = []
    line_of: list[int] = []
    sizes: list[float] = []
    for block in page.get_text("rawdict")["blocks"]:
        for line in block.get("lines", []):
            text = ""
            for span in line["spans"]:
                for char in span["chars"]:
                    x0, y0, x1, y1 = char["bbox"]
                    chars.append(ord(char["c"][0]))
                    centres.append(((x0 + x1) / 2, (y0 + y1) / 2))
                    line_of.append(len(lines))
                    text += char["c"][0]
                sizes.append(span["size"])
            lines.append(text)
    places = np.asarray(centres, np.float32).reshape(-1, 2)
    starts = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
    ids: list[int] = []
    where: list[int] = []
    if tokens is not None:
        for start, line_tokens in zip(starts, tokens(lines), strict=False):
            ids.extend(token for token, _ in line_tokens)
            where.extend(int(start) + middle for _, middle in line_tokens)
    return Page(
        drawing=page.get_displaylist(),
        width=page.rect.width,
        height=page.rect.height,
        lines=lines,
        chars=np.asarray(chars, np.uint32),
        centres=places,
        line_of=np.asarray(line_of, np.int32),
        tokens=np.asarray(ids, np.int32),
        token_centres=places[np.asarray(where, np.int64)],
        text_size=float(np.median(sizes)) if sizes else 11.0,
    )


def cut(page: Page, left: float, top: float, scale: float, width: int, height: int, skew: float = 0.0) -> Crop:
    """The `width` x `height` pixels whose corner is (left, top) in points, drawn at `scale` pixels a point.

    `skew` turns them around their middle, in degrees, as a page lies askew on a scanner.
    """
    places, token_places = _turned(page.centres, left, top, scale, width, height, skew), page.token_centres
    token_places = _turned(token_places, left, top, scale, width, height, skew)
    return Crop(
        grey=draw(page, left, top, scale, width, height, skew),
        text=text_within(page, left, top, left + width / scale, top + height / scale),
        char_slots=_places(page.chars.astype(np.int32), places, width, height, True),
        token_cells=_places(page.tokens, token_places, width, height, False),
    )


def _turned(
    centres: NDArray[np.float32], left: float, top: float, scale: float, width: int, height: int, skew: float
) -> NDArray[np.float32]:
    """Places on the page (points) as places in the crop (pixels)."""
    pixels = centres * scale - np.asarray([round(left * scale), round(top * scale)], np.float32)
    if not skew or not len(pixels):
        return pixels
    middle = np.asarray([width / 2, height / 2], np.float32)
    angle = math.radians(skew)
    turn = np.asarray([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
    return ((pixels - middle) @ turn + middle).astype(np.float32)


def draw(
    page: Page, left: float, top: float, scale: float, width: int, height: int, skew: float = 0.0
) -> NDArray[np.uint8]:
    """Grey pixels of a part of a page, turned by `skew` degrees; what lies outside the page is white."""
    if skew:
        # What turns into the picture lies at most this far outside of it.
        edge = math.ceil(math.sin(math.radians(abs(skew))) * max(width, height) / 2) + 2
        wide = draw(page, left - edge / scale, top - edge / scale, scale, width + 2 * edge, height + 2 * edge)
        turned = Image.fromarray(wide).rotate(skew, Image.Resampling.BILINEAR, fillcolor=255)
        return np.asarray(turned)[edge : edge + height, edge : edge + width]
    x, y = round(left * scale), round(top * scale)
    drawn = page.drawing.get_pixmap(
        matrix=pymupdf.Matrix(scale, scale),
        colorspace=pymupdf.csGRAY,
        alpha=False,
        clip=pymupdf.Rect(x / scale, y / scale, (x + width) / scale, (y + height) / scale),
    )
    grey = np.full((height, width), 255, np.uint8)
    pixels = np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.stride)[:, : drawn.width]
    dx, dy = drawn.x - x, drawn.y - y
    source = pixels[max(0, -dy) : height - dy, max(0, -dx) : width - dx]
    dx, dy = max(0, dx), max(0, dy)
    grey[dy : dy + source.shape[0], dx : dx + source.shape[1]] = source
    return grey


def text_within(page: Page, x0: float, y0: float, x1: float, y1: float) -> str:
    """The whole words (or Chinese characters) whose centres lie in the box, in reading order."""
    xs, ys = page.centres[:, 0], page.centres[:, 1]
    inside = (xs >= x0) & (xs < x1) & (ys >= y0) & (ys < y1)
    pieces: list[str] = []
    indices = np.flatnonzero(inside)
    if not len(indices):
        return ""
    for run in np.split(indices, np.flatnonzero(np.diff(page.line_of[indices]) | (np.diff(indices) != 1)) + 1):
        start, stop = int(run[0]), int(run[-1]) + 1
        line = page.line_of[start]
        piece = "".join(map(chr, page.chars[start:stop]))
        if (
            start
            and page.line_of[start - 1] == line
            and _is_letter(page.chars[start - 1])
            and _is_letter(ord(piece[0]))
        ):
            piece = piece.partition(" ")[2]
        if (
            piece
            and stop < len(page.chars)
            and page.line_of[stop] == line
            and _is_letter(page.chars[stop])
            and _is_letter(ord(piece[-1]))
        ):
            piece = piece.rpartition(" ")[0]
        if piece.strip():
            pieces.append(piece.strip())
    return join_lines(pieces)


def join_lines(lines: Sequence[str]) -> str:
    """Lines as running text: a space between them, none between Chinese characters."""
    text = ""
    for line in lines:
        glue = "" if not text or (_CJK.match(text[-1]) and _CJK.match(line[0])) else " "
        text += glue + line
    return text


def _is_letter(code: int) -> bool:
    char = chr(code)
    return not char.isspace() and not _CJK.match(char)


def _places(
    ids: NDArray[np.int32], pixels: NDArray[np.float32], width: int, height: int, slots: bool
) -> NDArray[np.int32]:
    """(cell, id) or (cell * SLOTS + slot, id) of everything whose centre lies in the crop."""
    xs, ys = pixels[:, 0], pixels[:, 1]
    inside = (xs >= 0) & (xs < width) & (ys >= 0) & (ys < height)
    x, y = xs[inside], ys[inside]
    places = (y // CELL).astype(np.int32) * (width // CELL) + (x // CELL).astype(np.int32)
    if slots:
        slot = (y % CELL // SLOT[0]).astype(np.int32) * (CELL // SLOT[1]) + (x % CELL // SLOT[1]).astype(np.int32)
        places = places * SLOTS + slot
    return np.stack([places, ids[inside]], axis=1) if inside.any() else np.zeros((0, 2), np.int32)


def _family(rng: random.Random, fonts: Fonts) -> tuple[str, str]:
    """(font-family, @font-face rule): half the pages in PyMuPDF's fonts, which most users' test files use too."""
    if not fonts.files or rng.random() < 0.5:
        return rng.choice(_BUILTIN), ""
    upright = [name for name in fonts.files if not re.search("Bold|Oblique|Italic|ExtraLight", name)]
    name = rng.choice(upright if upright and rng.random() < 0.75 else fonts.files)
    return "X", f"@font-face{{font-family:X;src:url({name})}}"


def _fill(paragraphs: list[str], room: int, per_line: float) -> tuple[list[str], list[str]]:
    """As many paragraphs as fit `room` lines (the last one cut), and the rest."""
    taken: list[str] = []
    for index, text in enumerate(paragraphs):
        need = int(len(text) / per_line) + 1
        if need > room:
            kept = text[: int(room * per_line)]
            taken.append(kept.rpartition(" ")[0] if " " in kept else kept)
            return [part for part in taken if part], [text[len(taken[-1]) :], *paragraphs[index + 1 :]]
        room -= need
        taken.append(text)
    return taken, []


def _markup(paragraphs: Sequence[str], rng: random.Random) -> str:
    """Paragraphs as HTML with some headings, lists, bold and italic."""
    out: list[str] = []
    style = rng.random()
    for text in paragraphs:
        body = html.escape(text)
        if len(text) < 80 and rng.random() < 0.4:
            out.append(f"<h2>{body}</h2>")
        elif style < 0.15:
            out.append(f"<ul><li>{body}</li></ul>")
        elif rng.random() < 0.12:
            tag = rng.choice(("b", "i"))
            out.append(f"<p><{tag}>{body}</{tag}></p>")
        else:
            out.append(f"<p>{body}</p>")
    return "".join(out)
