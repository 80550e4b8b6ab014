"""Reads plain text and Markdown in the encodings found in the wild, cut into page-sized pieces at paragraphs."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, Loader, PageFailure, clean_text
from connectors.loaders.encoding import decoded
from connectors.page import Page

# A printed page holds about 2000 Latin letters or 1000 Chinese characters, which weigh 2 each here.
_FULL = 2000
_MOST = 2500
_WIDE = "WF"
# Where a paragraph that is too long may be cut, best first: after a line, a sentence, a clause, a word.
_CUTS = tuple(map(re.compile, (r"\n", r"[.!?…]+[\"')\]”’]*\s+|[。！？]+[”’」』）]*", r"[;:,]\s+|[，；：、]", r"\s+")))


class TextLoader(Loader):
    """Text files as pages without picture.

    Args:
        encoding: Python's name of the files' encoding; default: found from the bytes (UTF-8, UTF-16, UTF-32, then
            Chinese GB 18030, Vietnamese Windows-1258, Western Windows-1252).
        max_bytes: larger files are refused.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text", ".md", ".markdown", ".rst", ".log")
    kind: ClassVar[str] = "text"

    def __init__(
        self,
        *,
        encoding: str | None = None,
        max_bytes: int = 50_000_000,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(image_dir=image_dir, image_format=image_format)
        self.encoding = encoding
        self.max_bytes = max_bytes

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield the text's pieces in order."""
        size = path.stat().st_size
        if size > self.max_bytes:
            raise DocumentError(
                f"{source}: has {size / 1e6:,.0f} MB, over the limit of {self.max_bytes / 1e6:,.0f} MB of text; "
                "split it, or raise max_bytes of the text loader"
            )
        try:
            text, encoding = decoded(path.read_bytes(), self.encoding)
        except ValueError as error:
            raise DocumentError(f"{source}: {error}") from error
        text = clean_text(text)
        if not text:
            raise DocumentError(f"{source}: is empty (nothing but blanks)")
        metadata: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
        for number, piece in enumerate(split_text(text), start=1):
            if number >= first:
                yield self.make_page(source, number, piece, metadata=dict(metadata))


def split_text(text: str, full: int = _FULL, most: int = _MOST) -> Iterator[str]:
    """Cut `text` into pieces of about `full` and at most `most` letters (wide characters count twice).

    Cuts fall between paragraphs; inside one only where it is longer than a piece, then after a line, sentence, clause
    or word, and inside a word as the last resort. No letter is lost, only blanks at the cuts.
    """
    piece, weight = "", 0
    for part in _parts(text, most):
        part_weight = _weight(part)
        if piece.strip() and (weight + part_weight > most or weight >= full):
            yield piece.strip()
            piece, weight = "", 0
        piece, weight = piece + part, weight + part_weight
    if piece.strip():
        yield piece.strip()


def _parts(text: str, most: int) -> Iterator[str]:
    """Paragraphs with the blank lines after them; too long ones in smaller parts. Joined they are `text`."""
    for paragraph in _after(re.compile(r"\n\s*\n"), text):
        yield from _smaller(paragraph, most, 0)


def _smaller(text: str, most: int, level: int) -> Iterator[str]:
    if _weight(text) <= most:
        yield text
    elif level == len(_CUTS):
        yield from _hard_cut(text, most)
    else:
        for part in _after(_CUTS[level], text):
            yield from _smaller(part, most, level + 1)


def _after(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """`text` cut after each match."""
    start = 0
    for match in pattern.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _hard_cut(text: str, most: int) -> Iterator[str]:
    start, weight = 0, 0
    for place, letter in enumerate(text):
        step = _letter_weight(letter)
        # A combining mark stays with its letter, unless marks alone would fill a piece.
        if weight + step > most and (not unicodedata.combining(letter) or weight > 2 * most):
            yield text[start:place]
            start, weight = place, 0
        weight += step
    yield text[start:]


def _weight(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_letter_weight, text))


def _letter_weight(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in _WIDE else 1
