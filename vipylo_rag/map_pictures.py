"""Small pictures of pages, as large as a given number of bytes allows for all of them together."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from os import cpu_count
from pathlib import Path
from typing import Final

from PIL import Image

from connectors.errors import StoreError
from connectors.payload import asset_path

Progress = Callable[[int, int], None]

SIDES: Final = (360, 280, 200, 144, 104, 72)
_TRIED: Final = 24
_QUALITY: Final = 62


@dataclass(frozen=True)
class Pictures:
    """Small pictures of pages.

    Attributes:
        webp: the picture of each asset asked for, in their order; None where there is none.
        side: the longest side in pixels.
        left_out: how many were left out because all together would be too large.
        unreadable: how many files are missing or damaged.
    """

    webp: tuple[bytes | None, ...]
    side: int
    left_out: int
    unreadable: int


def small_pictures(
    assets: Path, names: Sequence[str], most_bytes: int, progress: Progress = lambda done, total: None
) -> Pictures:
    """WebP pictures of stored page images, in the largest size that fits `most_bytes` in all.

    Where even the smallest size is too much, the names from some place on get none.

    Args:
        assets: the asset folder. names: references below it, each once.
        progress: called with how many are done, and how many there are.
    """
    if not names or most_bytes <= 0:
        return Pictures((None,) * len(names), SIDES[-1], len(names), 0)
    side = _fitting_side(assets, names, most_bytes)
    made: list[bytes | None] = []
    used = unreadable = 0
    for number, picture in enumerate(_made(assets, names, side), start=1):
        if picture is None:
            unreadable += 1
        elif used + len(picture) > most_bytes:
            break
        made.append(picture)
        used += len(picture or b"")
        progress(number, len(names))
    left_out = len(names) - len(made)
    return Pictures((*made, *(None,) * left_out), side, left_out, unreadable)


def _fitting_side(assets: Path, names: Sequence[str], most_bytes: int) -> int:
    """The largest side at which a few of the pictures, spread evenly, let expect that all fit."""
    tried = [names[number * len(names) // _TRIED] for number in range(_TRIED)] if len(names) > _TRIED else names
    for side in SIDES[:-1]:
        sizes = [len(picture) for picture in _made(assets, tried, side) if picture]
        margin = 1.0 if len(tried) == len(names) else 1.15
        if sum(sizes) * len(names) / len(tried) * margin <= most_bytes:
            return side
    return SIDES[-1]


def _made(assets: Path, names: Sequence[str], side: int) -> Iterator[bytes | None]:
    """The pictures in order. Pillow works outside the interpreter's lock, so threads share the cores."""
    workers = min(8, cpu_count() or 1)
    waiting: deque[Future[bytes | None]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="map-pictures") as pool:
        try:
            for name in names:
                waiting.append(pool.submit(_small, assets, name, side))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for late in waiting:
                late.cancel()


def _small(assets: Path, name: str, side: int) -> bytes | None:
    try:
        path = asset_path(assets, name)
        assert path is not None
        with Image.open(path) as stored:
            stored.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
            buffer = BytesIO()
            stored.convert("RGB").save(buffer, "WEBP", quality=_QUALITY, method=4)
    except (OSError, StoreError, Image.DecompressionBombError):
        return None
    return buffer.getvalue()
