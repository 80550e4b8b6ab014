"""Are two pictures of the same page? Lays them on each other, and tells what each has that the other lacks."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.floating[Any]]
Ink = npt.NDArray[np.uint8]

# All pages are compared at 75 dpi of A4: letters of 10 points are told apart, and more pixels would only cost time.
AREA: Final = 520_000
_DARKEST_PAPER: Final = 24  # below it is no paper but the black of a radiograph
_MOST_STRETCH: Final = 0.06  # of the sides' ratio: a scanner cuts some millimetres off

# Turned pages, at a few hundred pixels.
_SMALL_SIDE: Final = 256
_CANVAS: Final = 320
_SMALL_SHIFT: Final = 20
_ANGLES: Final = (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
_UPRIGHT: Final = 0.97
_UNLIKE: Final = 0.7

# Replaced ink, in blocks of about two letters.
_BLOCK: Final = (16, 20)
_PATCH: Final = (32, 80)
_EDGE: Final = 0.02
_NOISE: Final = 0.06
_LEAST_INK: Final = 0.03
_REPLACED: Final = 0.1


@dataclass(frozen=True)
class Difference:
    """What two pictures of one size, laid on each other, do not share.

    A stamp, a pen or a watermark adds ink to one of them. Other words in the same place do more: each of the pictures
    has ink there that the other lacks.

    Attributes:
        likeness: cosine of the two at a few hundred pixels, in the position where it is greatest.
        inked: how many blocks have ink.
        replaced: in how many of them each picture has ink that the other lacks.
        spread: the share of the page around most of these blocks: a stamp over a signature is in one place, another
            person's answers are all over a form.
        added: the ink that only one of them has, whichever has more of it, as a share of the ink of the other.
    """

    likeness: float
    inked: int
    replaced: int
    spread: float
    added: float


def ink(picture: Image.Image) -> Ink:
    """How dark a page is against the paper around, 0 to 255, at the size at which pages are compared, [height, width].

    Yellowed paper, a scanner's shadow and a photo's uneven light are taken out with the paper.
    """
    scale = (AREA / (picture.width * picture.height)) ** 0.5
    size = (max(64, round(picture.width * scale)), max(64, round(picture.height * scale)))
    grey = picture.convert("L").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    coarse = grey.resize((size[0] // 8, size[1] // 8), Image.Resampling.BOX)
    around = coarse.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(3))
    paper = np.asarray(around.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    # A picture that was saved smaller has softer letters: all are made a little soft.
    soft = np.asarray(grey.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32)
    return (255 * np.clip(1 - soft / np.maximum(paper, _DARKEST_PAPER), 0, 1)).astype(np.uint8)


def differ(one: Ink, other: Ink) -> Difference | None:
    """What two pages' ink (of `ink`) does not share; None for pages of other proportions, which are not compared."""
    first, second = (page.astype(np.float32) / 255 for page in (one, other))
    stretch = np.log(first.shape[0] / first.shape[1] * second.shape[1] / second.shape[0])
    if abs(stretch) > _MOST_STRETCH:
        return None
    likeness, onto = _laid_roughly(first, second)
    if likeness < _UNLIKE:
        return Difference(likeness, inked=0, replaced=0, spread=1.0, added=1.0)
    for block, reach in ((64, 8), (48, 2)):
        onto = _laid_better(first, second, onto, block, reach)
    return _unshared(first, _patched(first, _warped(second, onto, first.shape)), likeness)


def _laid_roughly(first: Pixels, second: Pixels) -> tuple[float, Pixels]:
    """The turn and shift under which the two are most like: their likeness, and the affine map [2, 3] that takes a
    place (x, y) of the first to that of the second."""
    small, other = _small(first), _small(second)
    seen = _centred(small)
    found = (-1.0, 0.0, 0, 0)
    for angle in (0.0, *_ANGLES):
        turned = _centred(other.rotate(angle, Image.Resampling.BILINEAR))
        across = np.fft.irfft2(np.fft.rfft2(seen) * np.conj(np.fft.rfft2(turned)), s=seen.shape)
        near = np.roll(across, (_SMALL_SHIFT, _SMALL_SHIFT), (0, 1))[: 2 * _SMALL_SHIFT + 1, : 2 * _SMALL_SHIFT + 1]
        y, x = divmod(int(near.argmax()), near.shape[1])
        length = float(np.sqrt((seen**2).sum() * (turned**2).sum()))
        likeness = float(near[y, x]) / length if length > 1e-6 else 1.0  # two empty pages
        found = max(found, (likeness, angle, y - _SMALL_SHIFT, x - _SMALL_SHIFT))
        if likeness >= _UPRIGHT:
            break
    likeness, angle, down, right = found
    scale = np.array([second.shape[1] / other.width, second.shape[0] / other.height])
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([second.shape[1], second.shape[0]]) / 2
    start = middle - turn @ (middle + np.array([right, down]) * scale)
    return likeness, np.column_stack([turn, start]).astype(np.float32)


def _small(page: Pixels) -> Image.Image:
    scale = _SMALL_SIDE / max(page.shape)
    size = (round(page.shape[1] * scale), round(page.shape[0] * scale))
    return _image(page).resize(size, Image.Resampling.BOX)


def _centred(small: Image.Image) -> Pixels:
    """On a canvas with room for a shift, so that what leaves on one side does not come in on the other."""
    canvas = np.zeros((_CANVAS, _CANVAS), dtype=np.float32)
    values = np.asarray(small, dtype=np.float32) / 255
    canvas[: values.shape[0], : values.shape[1]] = values - values.mean()
    return canvas


def _laid_better(first: Pixels, second: Pixels, onto: Pixels, block: int, reach: int) -> Pixels:
    """The affine map that agrees best with where each block of the first finds itself in the second."""
    moved = _warped(second, onto, first.shape)
    step = 2 if reach > 2 else 1  # a long search at half the size
    found = _best_shifts(first[::step, ::step], moved[::step, ::step], (block // step, block // step), reach // step)
    rows, columns = np.mgrid[: found.right.shape[0], : found.right.shape[1]]
    x, y = (columns.ravel() + 0.5) * block, (rows.ravel() + 0.5) * block
    known = np.column_stack([x, y, np.ones_like(x)])
    target = np.column_stack([x + step * found.right.ravel(), y + step * found.down.ravel()])
    trust = np.where(found.alike > 0.5, found.alike * np.minimum(found.contrast, 0.1), 0).ravel()
    if np.count_nonzero(trust) < 6:
        return onto
    weight = trust
    for _ in range(4):  # a block with other words finds itself anywhere: those that stray lose their say
        root = np.sqrt(weight)[:, None]
        solved, *_ = np.linalg.lstsq(known * root, target * root, rcond=None)
        weight = trust / (1 + ((known @ solved - target) ** 2).sum(axis=1))
    step_map = solved.T
    linear = onto[:, :2] @ step_map[:, :2]
    return np.column_stack([linear, onto[:, :2] @ step_map[:, 2] + onto[:, 2]]).astype(np.float32)


@dataclass(frozen=True)
class _Shifts:
    """For each block of a picture [rows, columns]: the shift under which it is most like another, how like it is then
    (a correlation), and the lesser of the two contrasts."""

    down: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    alike: Pixels
    contrast: Pixels


def _best_shifts(first: Pixels, second: Pixels, block: tuple[int, int], reach: int) -> _Shifts:
    padded = np.pad(second, reach)
    size = block[0] * block[1]
    own = _blocks(first, block)
    mean = own.mean((1, 3))
    variance = np.einsum("ihjw,ihjw->ij", own, own) / size - mean**2
    best = np.full(mean.shape, -np.inf, dtype=np.float32)
    down, right = np.zeros(mean.shape, dtype=np.int64), np.zeros(mean.shape, dtype=np.int64)
    lesser = np.zeros(mean.shape, dtype=np.float32)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            there = padded[reach + dy : reach + dy + first.shape[0], reach + dx : reach + dx + first.shape[1]]
            others = _blocks(there, block)
            other_mean = others.mean((1, 3))
            other_variance = np.einsum("ihjw,ihjw->ij", others, others) / size - other_mean**2
            shared = np.einsum("ihjw,ihjw->ij", own, others) / size - mean * other_mean
            # Dotted lines repeat: of shifts that fit alike, the shortest.
            alike = shared / np.sqrt(np.maximum(variance * other_variance, 1e-8)) - 0.01 * np.hypot(dy, dx)
            better = alike > best
            best[better], down[better], right[better] = alike[better], dy, dx
            lesser[better] = np.minimum(variance, other_variance)[better]
    return _Shifts(down, right, best, np.sqrt(np.maximum(lesser, 0)))


def _patched(first: Pixels, moved: Pixels) -> Pixels:
    """The second picture with its patches moved by up to two pixels to where they fit the first: paper is not flat."""
    reach, (height, width) = 2, _PATCH
    found = _best_shifts(first, moved, _PATCH, reach)
    padded, patched = np.pad(moved, reach), moved.copy()
    for row, column in zip(*np.nonzero((found.down != 0) | (found.right != 0)), strict=True):
        y, x = row * height, column * width
        top, left = y + reach + found.down[row, column], x + reach + found.right[row, column]
        patched[y : y + height, x : x + width] = padded[top : top + height, left : left + width]
    return patched


def _unshared(first: Pixels, second: Pixels, likeness: float) -> Difference:
    first, second = (
        _inner(np.asarray(_image(page).filter(ImageFilter.GaussianBlur(1.0)), dtype=np.float32) / 255)
        for page in (first, second)
    )
    inked = (first > 0.1) & (second > 0.1)
    # One copy may be paler than the other all over.
    paler = float(np.clip(np.median(second[inked] / first[inked]), 0.5, 2)) if inked.sum() > 50 else 1.0
    first, second = first * paler**0.5, second / paler**0.5
    blocks = [_blocks(page, _BLOCK).mean((1, 3)) for page in (first, second)]
    only = [
        _blocks(np.maximum(one - other - _NOISE, 0), _BLOCK).mean((1, 3))
        for one, other in ((first, second), (second, first))
    ]
    amount = (blocks[0] + blocks[1]) / 2
    share = np.minimum(*only) / np.maximum(amount, _LEAST_INK)
    added = max(float(one.sum()) / max(float(other.sum()), 1e-6) for one, other in zip(only, blocks[::-1], strict=True))
    replaced = share > _REPLACED
    return Difference(likeness, int((amount > _LEAST_INK).sum()), int(replaced.sum()), _spread(replaced), added)


def _spread(marked: npt.NDArray[np.bool_]) -> float:
    """The share of all blocks in the box around the marked ones, without the outermost tenth at each side."""
    if not marked.any():
        return 0.0
    sides = [np.percentile(places, [10, 90]) for places in np.nonzero(marked)]
    return float(np.prod([last - first + 1 for first, last in sides])) / marked.size


def _inner(page: Pixels) -> Pixels:
    """Without the edge, where scanners leave shadows."""
    y, x = (round(side * _EDGE) for side in page.shape)
    return page[y : page.shape[0] - y, x : page.shape[1] - x]


def _blocks(page: Pixels, block: tuple[int, int]) -> npt.NDArray[Any]:
    """A view [rows, height, columns, width] of a picture's whole blocks."""
    rows, columns = page.shape[0] // block[0], page.shape[1] // block[1]
    return page[: rows * block[0], : columns * block[1]].reshape(rows, block[0], columns, block[1])


def _image(page: Pixels) -> Image.Image:
    return Image.fromarray((page * 255).astype(np.uint8))


def _warped(page: Pixels, onto: Pixels, shape: tuple[int, ...]) -> Pixels:
    numbers = tuple(float(number) for number in onto.ravel())
    moved = _image(page).transform((shape[1], shape[0]), Image.Transform.AFFINE, numbers, Image.Resampling.BICUBIC)
    return np.asarray(moved, dtype=np.float32) / 255
