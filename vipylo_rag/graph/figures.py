"""Charts, drawings and photos on a page's picture: where there is something that is neither words nor lines nor a plain
ground. Pixels and words alone tell, so that it works for any document; no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from connectors.page import WordBox
from vipylo_rag.graph.figure_captions import Box, caption, text_lines, whole_caption

_Mask = NDArray[np.bool_]

# A page is looked at with its longer side so many pixels long, in cells of so many pixels.
_SIDE: Final = 768
_CELL: Final = 8
_INK: Final = 26  # of 255, away from the ground
_TINT: Final = 4  # of 255: a figure's light ground is little darker than the paper
_EDGE: Final = 18  # of 255, from one pixel to the next
# A cell shows something if so much of it is edges that belong to no word and no line.
_BUSY: Final = 0.05
_LEAST_SIDE: Final = 0.045  # of the page's shorter side
_LEAST_AREA: Final = 0.012
_MOST_FIGURES: Final = 20
# Without words: what is so much taller than a line of text is none.
_TALL: Final = 0.04
_NEAR: Final = 0.035
_VARIED: Final = 12  # of 255, mean deviation from an even course


@dataclass(frozen=True)
class Figure:
    """A chart, drawing or photo on a page.

    Attributes:
        box: (x0, y0, x1, y1) as fractions of the page's width and height.
        caption: the line that names it ("Hình 2. ..."), else the line nearest to it, or "".
    """

    box: Box
    caption: str


def find_figures(image: Image.Image, words: Sequence[WordBox]) -> tuple[Figure, ...]:
    """The figures of a page, from top to bottom and left to right.

    A photo without words is one figure, the whole of it. Ruled tables, lines, frames and coloured panels with words are
    none. On a scan whose words are not known only what is much taller than lines of text is found.

    Args:
        image: the page as shown, any mode and size.
        words: where its words stand; () where that is not known.
    """
    view = _View(image, words)
    if not view.paper and view.written < 0.04:
        return (Figure((0.0, 0.0, 1.0, 1.0), whole_caption(words)),)
    boxes = _merged([view.on_its_ground(box) for box in _merged(view.regions()) if view.is_figure(box)])
    boxes.sort(key=lambda box: (round(box[1], 2), box[0]))
    lines = text_lines(words)
    return tuple(Figure(box, caption(box, lines)) for box in boxes[:_MOST_FIGURES])


class _View:
    """A page made small: what is on it, in cells, without its words and lines."""

    def __init__(self, image: Image.Image, words: Sequence[WordBox]) -> None:
        pixels = _small(image)
        self.height, self.width = pixels.shape[:2]
        ground = _ground(pixels)
        far = _largest(np.abs(pixels - ground))
        self._pixels = pixels
        ink = far > _INK
        # Paper is light, and much of a page: a photo has no ground, and a radiograph's is black.
        self.paper = bool(ground.mean() > 140 and 1 - ink.mean() > 0.35)
        said = _covered(words, self.width, self.height)
        self.written = float(said.mean())
        edges = _edges(pixels) & ~said
        long = _long_lines(edges)
        edges &= ~long
        if self.written < 0.002:
            edges &= _tall(ink)
        self._said = _cells(said)
        self._edged = _cells(edges)
        self._inked = _cells(ink)
        cells = pixels.reshape(self.height // _CELL, _CELL, self.width // _CELL, _CELL, 3)
        self._colour = cells.mean(axis=(1, 3))
        self._tinted = _cells(far > _TINT) > 0.9
        self.busy = (self._edged >= _BUSY) & (self._said < 0.6)
        self.filled = (self._inked > 0.85) & (self._said < 0.15) & ~self.busy & (self.written >= 0.002)
        self._drop_panels()

    def _drop_panels(self) -> None:
        """Coloured grounds below words are no figures: what they are made of is one rectangle in one or two colours."""
        for rows, columns in _components(self._inked > 0.6):
            words = self._said[rows, columns]
            busy = self.busy[rows, columns] & (words < 0.05)
            around = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            if (
                words.mean() > 0.06
                and busy.mean() < 0.3
                and len(rows) > 0.85 * around
                and self._colours(rows, columns) < 4
            ):
                self.filled[rows, columns] = False
                self.busy[rows, columns] = False

    def _colours(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> int:
        """How many colours cover a good part of some cells, words aside."""
        free = self._said[rows, columns] < 0.05
        middle = self._pixels[_CELL // 2 :: _CELL, _CELL // 2 :: _CELL][rows[free], columns[free]] >> 5
        counts = np.bincount((middle[:, 0] << 6) | (middle[:, 1] << 3) | middle[:, 2])
        return int((counts > 0.03 * len(middle)).sum())

    def on_its_ground(self, box: Box) -> Box:
        """A figure with the lightly coloured ground it is drawn on, unless that is the ground of much else."""
        for ground in self._grounds:
            inside = (
                ground[0] <= box[0] + 0.01
                and ground[1] <= box[1] + 0.01
                and ground[2] >= box[2] - 0.01
                and ground[3] >= box[3] - 0.01
            )
            if (
                inside
                and _area(ground) < min(0.7, 8 * _area(box))
                and float(self._in(self._said, ground).mean()) < 0.15
            ):
                return ground
        return box

    @cached_property
    def _grounds(self) -> list[Box]:
        return [
            self._box(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            for rows, columns in _components(self._tinted)
            if len(rows) > 20 and len(rows) > 0.8 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        ]

    def regions(self) -> list[Box]:
        """Boxes around what is neither words nor lines nor ground, as fractions of the page."""
        found = []
        shown = self.busy | self.filled
        for rows, columns in _components(_grown(shown)):
            inside = shown[rows, columns]
            if inside.sum() < 4:
                continue
            rows, columns = rows[inside], columns[inside]
            found.append(self._box(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))
        return found

    def _box(self, y0: int, x0: int, y1: int, x1: int) -> Box:
        across, down = _CELL / self.width, _CELL / self.height
        return float(x0 * across), float(y0 * down), float(min(1.0, x1 * across)), float(min(1.0, y1 * down))

    def _in(self, cells: NDArray[Any], box: Box) -> NDArray[Any]:
        x0, y0, x1, y1 = box
        across, down = self.width / _CELL, self.height / _CELL
        return cells[
            round(y0 * down) : max(round(y0 * down) + 1, round(y1 * down)),
            round(x0 * across) : max(round(x0 * across) + 1, round(x1 * across)),
        ]

    def is_figure(self, box: Box) -> bool:
        """Whether a box is large and full enough, and not mostly words."""
        x0, y0, x1, y1 = box
        wide, high = (x1 - x0) * self.width, (y1 - y0) * self.height
        shorter = min(self.width, self.height)
        if wide > 10 * high or high > 5 * wide:
            return False
        if min(wide, high) < _LEAST_SIDE * shorter or wide * high < _LEAST_AREA * self.width * self.height:
            return False
        busy = self._in(self.busy, box)
        filled = self._in(self.filled, box)
        said = float(self._in(self._said, box).mean())
        shown = float((busy | filled).mean())
        if said > 0.3 or shown < 0.1 or shown < said:
            return False
        # A chart's bars leave ground between them; what fills its place is decoration if it is of one colour.
        return bool((busy.mean() > 0.04 and filled.mean() <= 0.9) or (shown > 0.5 and self._varies(box)))

    def _varies(self, box: Box) -> bool:
        """Whether the colours of a filled place, words aside, go otherwise than evenly from side to side: in photos
        without sharp edges and in drawings of large plain parts they do, in a panel's one colour or gradient not."""
        coloured = (self._in(self._inked, box) > 0.6) & (self._in(self._said, box) < 0.05)
        rows, columns = np.nonzero(coloured)
        if len(rows) < 6:
            return False
        plane = np.stack([np.ones(len(rows)), rows, columns], axis=1)
        colours = self._in(self._colour, box)[rows, columns]
        even = plane @ np.linalg.lstsq(plane, colours, rcond=None)[0]
        return bool(np.sqrt(((colours - even) ** 2).mean(axis=0)).max() > _VARIED)


def _small(image: Image.Image) -> NDArray[np.int16]:
    """The picture with its longer side `_SIDE` pixels or less, RGB, [H, W, 3], both whole numbers of cells."""
    factor = max(1, int(max(image.size) / _SIDE))
    if factor > 1 and image.mode in ("RGB", "L"):
        image = image.reduce(factor)
    if image.mode not in ("RGB", "L"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    scale = min(1.0, _SIDE / max(image.size))
    size = tuple(max(_CELL, round(side * scale / _CELL) * _CELL) for side in image.size)
    return np.asarray(image.convert("RGB").resize((size[0], size[1]), Image.Resampling.BOX), dtype=np.int16)


def _ground(pixels: NDArray[np.int16]) -> NDArray[np.int16]:
    """The most frequent colour."""
    coarse = (pixels >> 4).reshape(-1, 3)
    keys = (coarse[:, 0] << 8) | (coarse[:, 1] << 4) | coarse[:, 2]
    most = np.bincount(keys, minlength=4096).argmax()
    return np.asarray(np.median(pixels.reshape(-1, 3)[keys == most][:20_000], axis=0), dtype=np.int16)


def _largest(pixels: NDArray[np.int16]) -> NDArray[np.int16]:
    """The largest channel: ten times faster than `max` along so short an axis."""
    return np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])


def _edges(pixels: NDArray[np.int16]) -> _Mask:
    found = np.zeros(pixels.shape[:2], dtype=bool)
    found[:, 1:] |= _largest(np.abs(pixels[:, 1:] - pixels[:, :-1])) > _EDGE
    found[1:] |= _largest(np.abs(pixels[1:] - pixels[:-1])) > _EDGE
    return found


def _covered(words: Sequence[WordBox], width: int, height: int) -> _Mask:
    """Where words stand, and a little around them, as accents and shadows stand out of boxes."""
    mask = np.zeros((height, width), dtype=bool)
    for word in words:
        if word.text.strip():
            mask[
                max(0, int(word.y0 * height) - 2) : int(word.y1 * height) + 3,
                max(0, int(word.x0 * width) - 2) : int(word.x1 * width) + 3,
            ] = True
    return mask


def _runs(mask: _Mask, axis: int) -> NDArray[np.int32]:
    """For each pixel of a mask, how long the unbroken run along an axis is that it is in; 0 elsewhere."""
    mask = np.moveaxis(mask, axis, -1)
    places = np.arange(1, mask.shape[-1] + 1, dtype=np.int32)
    before = np.maximum.accumulate(np.where(mask, 0, places), axis=-1)
    after = np.minimum.accumulate(np.where(mask, len(places) + 1, places)[..., ::-1], axis=-1)[..., ::-1]
    return np.moveaxis(np.where(mask, after - before - 1, 0).astype(np.int32), -1, axis)


def _long_lines(edges: _Mask) -> _Mask:
    """Edges that run straight across or down the page: rules, frames, tables, axes."""
    height, width = edges.shape
    across = _runs(edges, 1) >= max(40, width // 7)
    down = _runs(edges, 0) >= max(40, height // 10)
    return np.asarray(across | down, dtype=np.bool_)


def _tall(ink: _Mask) -> _Mask:
    """Where a scan has ink without the gaps that lines of text have between them."""
    height, width = ink.shape
    reach = 16
    sums = np.cumsum(np.pad(ink, ((0, 0), (reach + 1, reach))), axis=1, dtype=np.int32)
    dense = (sums[:, 2 * reach + 1 :] - sums[:, :width])[:, :width] > 0.3 * (2 * reach + 1)
    return np.asarray(_runs(dense, 0) >= _TALL * height, dtype=np.bool_)


def _cells(mask: _Mask) -> NDArray[np.float64]:
    """The share of each cell that a mask covers."""
    height, width = mask.shape
    cells = mask.reshape(height // _CELL, _CELL, width // _CELL, _CELL).mean(axis=(1, 3))
    return np.asarray(cells, dtype=np.float64)


def _grown(mask: _Mask) -> _Mask:
    """A mask and the cells around it."""
    padded = np.pad(mask, 1)
    grown = padded[:-2] | padded[1:-1] | padded[2:]
    return grown[:, :-2] | grown[:, 1:-1] | grown[:, 2:]


def _components(mask: _Mask) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The connected parts of a mask, each as (rows, columns) of its cells, in reading order."""
    width = mask.shape[1] + 2
    left = set(np.flatnonzero(np.pad(mask, 1)).tolist())
    found = []
    for first in sorted(left):
        if first not in left:
            continue
        left.remove(first)
        part, at = [first], 0
        while at < len(part):
            for near in (part[at] - 1, part[at] + 1, part[at] - width, part[at] + width):
                if near in left:
                    left.remove(near)
                    part.append(near)
            at += 1
        cells = np.asarray(part)
        found.append((cells // width - 1, cells % width - 1))
    return found


def _merged(boxes: list[Box]) -> list[Box]:
    """Boxes that overlap or nearly touch, as one: a chart's bars, a drawing's parts."""
    merged: list[Box] = []
    for box in boxes:
        while True:
            near = next((other for other in merged if _touch(box, other)), None)
            if near is None:
                break
            merged.remove(near)
            box = (min(box[0], near[0]), min(box[1], near[1]), max(box[2], near[2]), max(box[3], near[3]))
        merged.append(box)
    return merged


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] + _NEAR and b[0] < a[2] + _NEAR and a[1] < b[3] + _NEAR / 2 and b[1] < a[3] + _NEAR / 2


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
