"""A page's text as the rules read it: one Unicode form, which languages it is in, and what of it is already taken."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from vipylo_rag.graph.rules_language import Languages

HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff"

# Letters, digits and signs that Chinese typesetting writes wide; its punctuation stays, as it ends sentences.
_WIDE = {0xFF00 + n: 0x20 + n for n in range(1, 0x5F) if chr(0x20 + n).isalnum() or chr(0x20 + n) in "/-+%&@#._$"}
_SPACES = dict.fromkeys([0xA0, 0x2007, 0x202F, 0x3000, 0x2009, 0x200A, 0x2002, 0x2003], " ")
_NOTHING = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
_DASHES = dict.fromkeys([0x2010, 0x2011, 0x2212], "-")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"}
# Taken text becomes this, which no rule matches: a private character ends every word and every sentence's part.
TAKEN: Final = "\ue000"
_FORM: Final = {**_WIDE, **_SPACES, **_NOTHING, **_DASHES, **_LIGATURES, ord(TAKEN): " "}

_VIETNAMESE = re.compile(r"[ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ]", re.IGNORECASE)
_ONLY_VIETNAMESE = re.compile(r"[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
_STOP = re.compile(r"[.!?…](?=\s)|[。！？；]|\n\s*\n|\n(?=\s*(?:[-•*–]|\d{1,2}[.)]\s))")
_LINE = re.compile(r"\n")
_CONTEXT = 150
_SHORT = 45  # a line that ends before the paper does is no part of the next one's sentence


@dataclass(frozen=True)
class Found:
    """Something that a rule found: text[start:end] is how it is written there, `name` what it is."""

    label: str
    name: str
    start: int
    end: int


class PageText:
    """A page's text in the form in which rules read it, and where it is taken by what was already found."""

    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).translate(_FORM)
        self._taken: list[tuple[int, int]] = []

    @cached_property
    def chinese(self) -> bool:
        """Whether a good part of its letters are Chinese characters."""
        han = len(re.findall(rf"[{HAN}]", self.text))
        return han > 0 and han * 4 >= len(re.findall(r"[^\W\d_]", self.text)) - han

    @cached_property
    def vietnamese(self) -> bool:
        """Whether it has words that only Vietnamese writes so."""
        words = max(1, self.text.count(" "))
        return not self.chinese and len(_ONLY_VIETNAMESE.findall(self.text)) * 12 >= words

    @cached_property
    def languages(self) -> Languages:
        """Where it is in a language that the rules do not read."""
        return Languages(self.text)

    @property
    def open(self) -> str:
        """The text, of the same length, without what is taken."""
        parts, at = [], 0
        for start, end in sorted(self._taken):
            if start >= at:
                parts += [self.text[at:start], TAKEN * (end - start)]
                at = end
        return "".join([*parts, self.text[at:]])

    def take(self, found: list[Found]) -> None:
        """What is found belongs to no other entity."""
        self._taken += [(one.start, one.end) for one in found]

    def context(self, start: int, end: int) -> str:
        """The sentence that text[start:end] stands in, on one line, or what of it is near."""
        first = max(0, start - _CONTEXT)
        last = min(len(self.text), end + _CONTEXT)
        stops = [stop.end() for stop in _STOP.finditer(self.text, first, start)]
        for line in _LINE.finditer(self.text, first, start):
            if line.start() - (self.text.rfind("\n", max(0, line.start() - _SHORT - 1), line.start()) + 1) < _SHORT:
                stops.append(line.end())
        begin = max(stops, default=first)
        stop = _STOP.search(self.text, end, last)
        finish = stop.end() if stop else last
        if begin == first and first > 0:  # not in the middle of a word
            begin = min(start, begin + len(re.match(r"\S{0,20}\s?", self.text[begin:start])[0]))  # type: ignore[index]
        return " ".join(self.text[begin:finish].split())


def has_vietnamese(word: str) -> bool:
    """Whether a word has letters that English does not write."""
    return bool(_VIETNAMESE.search(word))
