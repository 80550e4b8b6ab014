"""A text's words in Latin letters, in lines, and names made of them; lines that a sentence or a name goes on over are
one."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final

from vipylo_rag.graph import rules_words as words
from vipylo_rag.graph.rules_text import HAN

_LETTER = rf"(?!\d|_|[{HAN}\u3040-\u30ff\uac00-\ud7af\ue000])\w"
# "Lương1, Huyền2": the number of a footnote is no part of the word.
_WORD = re.compile(
    rf"(?<![^\W{HAN}])(?:{_LETTER})++(?!\d(?![,;]))"
    rf"(?:['’-](?:{_LETTER})++|\.(?=(?:{_LETTER})++\.)|(?<=\.)(?:{_LETTER})++)*"
)
# What may stand between two words of one name.
_JOINT = re.compile(r"[ \t]{1,2}|[ \t]?&[ \t]?|\.[ \t]?|[ \t]?[-–][ \t]?|\n")
# Whatever is no blank, comma or joint begins something: a cell, a list's item, a quotation.
_OPENS = re.compile(r"[^\s,&'’.-]|\t|   |\s-\s|\.\.")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-ZĐ]|Mr|Mrs|Ms|Dr|Prof|St|Co|Ltd|Inc|Corp|TP|BS|TS|ThS|GS|PGS|Tx|Q|P|H|No|Jr|Sr)$"
)
_MOST_LETTERS: Final = 40
# A line so long goes on below, as a paragraph's does; in a narrow column, one as long as those around it.
_WIDE: Final = 45
_NARROW: Final = 26

# First words of organisations by the first of these: looked up at every word of every page.
_HEADS: Final = {
    first: tuple(tuple(head.split()) for head in words.ORGANISATION_HEADS if head.split()[0] == first)
    for first in {head.split()[0] for head in words.ORGANISATION_HEADS}
}


@dataclass(frozen=True)
class Word:
    """A word in Latin letters, and what tells whether its capital means anything."""

    text: str
    start: int
    end: int
    opens: bool  # a sentence, a line, a cell or a quotation begins here
    joined: bool  # only a joint stands between it and the word before
    gap: str

    @cached_property
    def folded(self) -> str:
        """In lower case, and without the "'s" of what belongs to it."""
        return self.text.casefold().removesuffix("'s").removesuffix("’s")

    @property
    def capital(self) -> bool:
        return self.text[0].isupper()

    @property
    def capitals(self) -> bool:
        return len(self.text) > 1 and self.text.isupper()


@dataclass(frozen=True)
class Candidate:
    """A run of capitalised words, and whether it is a name for sure; one that is not can be the same as one that is."""

    name: str
    start: int
    end: int
    sure: bool


def lines_of(text: str) -> list[list[Word]]:
    """The words of a text, in lines; a line that goes on below is one with the next."""
    written = _written_lines(text)
    pairs = {
        (one.text, two.text)
        for line in written
        for one, two in pairwise(line)
        if two.joined and one.capital and two.capital
    }
    lines: list[list[Word]] = []
    for n, line in enumerate(written):
        if not n or line[0].gap.strip(" \t") != "\n":
            lines.append(list(line))
            continue
        before = written[n - 1]
        # A pair of words with capitals that stands on one line elsewhere was cut here.
        if (before[-1].text, line[0].text) in pairs or _is_cut(text, before, line):
            lines[-1] += [replace(line[0], opens=False, joined=True), *line[1:]]
        elif _flows(written, n):
            lines[-1] += [replace(line[0], opens=bool(_OPENS.search(line[0].gap)), joined=True), *line[1:]]
        else:
            lines.append(list(line))
    return lines


def head_length(line: Sequence[Word], n: int) -> int:
    """How many words from here are the first words of a Vietnamese organisation's name."""
    for parts in _HEADS.get(line[n].folded, ()):
        if len(line) >= n + len(parts) and all(
            line[n + k].folded == part and line[n + k].joined for k, part in enumerate(parts) if k
        ):
            return len(parts)
    return 0


def is_abbreviation(before: str) -> bool:
    """Whether a text ends with an abbreviation, whose stop ends no sentence."""
    return bool(_ABBREVIATION.search(before))


def made(line: list[Word], first: int, end: int, *, sure: bool) -> Iterator[Candidate]:
    """The name that the words from `first` to before `end` are, where it is one at all."""
    if first < end:
        name = written(line, first, end)
        owned = 2 if name.endswith(("'s", "’s", "'S", "’S")) else 0
        name = name[: len(name) - owned]
        if len(name) >= 2 and (sure or len(name) >= 3):
            yield Candidate(name, line[first].start, line[end - 1].end - owned, sure)


def _written_lines(text: str) -> list[list[Word]]:
    """The words, in the lines in which they are written."""
    lines: list[list[Word]] = []
    last_end = -1
    for match in _WORD.finditer(text):
        start, end = match.span()
        if end - start > _MOST_LETTERS:
            continue
        gap = text[max(last_end, start - 40, 0) : start] if last_end >= 0 else "\n\n"
        broken = "\n" in gap or not lines
        opens = broken or bool(_OPENS.search(gap))
        if not opens and gap[0] == "." and gap[1:].isspace():
            opens = not is_abbreviation(text[max(0, last_end - 8) : last_end])
        word = Word(match[0], start, end, opens, not broken and bool(_JOINT.fullmatch(gap)), gap)
        if broken:
            lines.append([])
        lines[-1].append(word)
        last_end = end
    return lines


def _flows(lines: list[list[Word]], n: int) -> bool:
    """Whether a line is the next one of the paragraph that the line before it is in."""
    before = _width(lines[n - 1])
    if before >= _WIDE:
        return True
    small = sum(not word.capital for word in lines[n - 1])
    if before < _NARROW or small < 3 or small * 2 < len(lines[n - 1]):
        return False
    around = [_width(line) for line in lines[max(0, n - 4) : n + 3]]
    column = sum(width >= 0.75 * before for width in around) >= 3
    return column and max(around) < 1.3 * before and any(not word.capital for word in lines[n])


def _width(line: list[Word]) -> int:
    return line[-1].end - line[0].start


def _is_cut(text: str, before: list[Word], line: list[Word]) -> bool:
    """Whether a short line ends in the middle of an organisation's name, as on centred pages and in narrow cells: after
    what organisations begin with, or before what companies end with."""
    if len(line) > 6 or not all(word.capital for word in line) or not _fills_line(text, line):
        return False
    if line[0].folded in words.VIETNAMESE_FIELD_STARTS or (
        head_length(line, 0) and line[0].folded != "trường"  # "Tổng công ty Xây dựng / Trường Sơn"
    ):
        return False
    for n in range(max(0, len(before) - 8), len(before)):
        if (head := head_length(before, n)) and all(
            word.joined and word.folded in words.ORGANISATION_INNER for word in before[n + head :]
        ):
            return True
    last = before[-1].folded
    return (
        line[0].folded in words.COMPANY_NOUNS | words.COMPANY_SUFFIXES
        and any(word.folded in words.COMPANY_SUFFIXES for word in line)
        and len(before) <= 4
        and all(word.capital for word in before)
        and before[-1].capitals == line[0].capitals
        and not any(word.folded in words.COMPANY_SUFFIXES for word in before)
        and last not in words.ENGLISH_PLAIN | words.ENGLISH_COMMON | words.NAME_FIELDS
    )


def _fills_line(text: str, line: list[Word]) -> bool:
    """Whether a line has nothing but words that can be of one name."""
    end = text.find("\n", line[-1].end)
    rest = text[line[-1].end : end if end >= 0 else len(text)].strip()
    return rest in ("", ".", ",") and all(word.joined for word in line[1:])


def written(line: list[Word], first: int, end: int) -> str:
    """The words from `first` to before `end`, with what stands between them."""
    parts = [line[first].text]
    for word in line[first + 1 : end]:
        gap = " ".join(word.gap.split())
        parts.append(
            f" {gap} " if gap in ("&", "-", "–") and word.gap[:1].isspace() else f"{gap} " if gap == "." else gap or " "
        )
        parts.append(word.text)
    return "".join(parts)
