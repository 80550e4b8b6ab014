"""Cuts text into pieces of about a page, at paragraphs where it can."""

import re
import unicodedata
from collections.abc import Iterator

# A printed page holds about 2000 Latin letters or 1000 Chinese characters, which weigh 2 each here.
FULL = 2000
MOST = 2500
_WIDE = "WF"
# Where a paragraph that is too long may be cut, best first: after a line, a sentence, a clause, a word.
_CUTS = tuple(map(re.compile, (r"\n", r"[.!?…]+[\"')\]”’]*\s+|[。！？]+[”’」』）]*", r"[;:,]\s+|[，；：、]", r"\s+")))


def split_text(text: str, full: int = FULL, most: int = MOST) -> Iterator[str]:
    """Cut `text` into pieces of about `full` and at most `most` letters (wide characters count twice).

    Cuts fall between paragraphs; inside one only where it is longer than a piece, then after a line, sentence, clause
    or word, and inside a word as the last resort. No letter is lost, only blanks at the cuts.
    """
    piece, load = "", 0
    for part in _parts(text, most):
        part_load = weight(part)
        if piece.strip() and (load + part_load > most or load >= full):
            yield piece.strip()
            piece, load = "", 0
        piece, load = piece + part, load + part_load
    if piece.strip():
        yield piece.strip()


def halved(text: str) -> list[str]:
    """`text` in two or three pieces of about half its size; one where nothing can be cut."""
    size = weight(text) * 9 // 16 + 2
    return list(split_text(text, full=size, most=size))


def _parts(text: str, most: int) -> Iterator[str]:
    """Paragraphs with the blank lines after them; too long ones in smaller parts. Joined they are `text`."""
    for paragraph in _after(re.compile(r"\n\s*\n"), text):
        yield from _smaller(paragraph, most, 0)


def _smaller(text: str, most: int, level: int) -> Iterator[str]:
    if weight(text) <= most:
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
    start, load = 0, 0
    for place, letter in enumerate(text):
        step = _letter_weight(letter)
        # A combining mark stays with its letter, unless marks alone would fill a piece.
        if load + step > most and (not unicodedata.combining(letter) or load > 2 * most):
            yield text[start:place]
            start, load = place, 0
        load += step
    yield text[start:]


def weight(text: str) -> int:
    """How many letters `text` has, wide ones counted twice."""
    return len(text) if text.isascii() else sum(map(_letter_weight, text))


def _letter_weight(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in _WIDE else 1
