"""Words of a page's text and their boxes: text and boxes say the same, each with its own white space and order."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise

from connectors.page import WordBox

Span = tuple[int, int]

# How far behind its place a word is looked for before it is looked for anywhere: a mark that only the text has, such as
# a list's "- ", is shorter. Counted without white space.
_NEAR = 40
_WORD = re.compile(r"\S+")
# Chinese has no blanks between words, and its boxes are often whole lines.
_WIDE = re.compile("[\u3000-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def words_in(text: str, cuts: Collection[int] = ()) -> list[Span]:
    """The words of a text, with the marks that stand at them; Chinese is cut at `cuts` as well."""
    return [part for match in _WORD.finditer(text) for part in pieces(text, match.span(), cuts)]


def pieces(text: str, span: Span, cuts: Collection[int]) -> list[Span]:
    """A word cut at those of `cuts` that have a Chinese character at either side; most often, the word itself."""
    start, end = span
    own = [
        cut for cut in range(start + 1, end) if cut in cuts and (_WIDE.match(text[cut]) or _WIDE.match(text[cut - 1]))
    ]
    return list(pairwise([start, *own, end]))


def box_of(piece: Span, text: str, whole: Span, box: WordBox) -> WordBox:
    """The part of a word's box that a piece of the word takes, by the widths that letters have in most fonts."""
    if piece == whole:
        return box
    before, own, all_ = (_width(text[start:end]) for start, end in ((whole[0], piece[0]), piece, whole))
    left = box.x0 + (box.x1 - box.x0) * before / all_
    return replace(box, text=text[slice(*piece)], x0=left, x1=min(box.x1, left + (box.x1 - box.x0) * own / all_))


def _width(text: str) -> float:
    return sum(1.0 if _WIDE.match(letter) else 0.5 for letter in text)


def places(text: str, boxes: Sequence[WordBox]) -> list[Span | None]:
    """For each box, the characters of `text` (start, end) that it shows; None for what the text does not have.

    No character belongs to two boxes. White space does not count; of a word that occurs often, each box gets the
    occurrence that stands where it does among the others.
    """
    tight = "".join(text.split())
    at = [place for place, character in enumerate(text) if not character.isspace()]
    begins = {0, *(now for now, (before, place) in enumerate(pairwise(at), start=1) if place > before + 1)}
    taken = bytearray(len(tight))
    cursor = 0
    found: list[Span | None] = []
    for box in boxes:
        word = "".join(box.text.split())
        place = _place(tight, word, cursor, begins, taken)
        if place is None:
            found.append(None)
            continue
        end = place + len(word)
        taken[place:end] = b"\1" * len(word)
        begins.add(end)
        cursor = end
        found.append((at[place], at[end - 1] + 1))
    return found


def _place(tight: str, word: str, cursor: int, begins: set[int], taken: bytearray) -> int | None:
    if not word:
        return None
    if tight.startswith(word, cursor) and not any(taken[cursor : cursor + len(word)]):
        return cursor
    near = _first(tight, word, cursor, min(len(tight), cursor + _NEAR + len(word)), begins, taken)
    return near if near is not None else _first(tight, word, 0, len(tight), begins, taken)


def _first(tight: str, word: str, start: int, end: int, begins: set[int], taken: bytearray) -> int | None:
    """The first free occurrence that begins where a word does: "a" is not in "cat"."""
    place = tight.find(word, start, end)
    while place >= 0:
        if place in begins and not any(taken[place : place + len(word)]):
            return place
        place = tight.find(word, place + 1, end)
    return None
