"""Terms: what may be a technical or a subject's word, as candidates. Which are, the pages together show."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from vipylo_rag.graph import rules_words as words
from vipylo_rag.graph.elements import TERM
from vipylo_rag.graph.rules_text import HAN, Found, PageText

_PIECE = re.compile(
    rf"(?P<han>[{HAN}]+)|(?P<word>(?:(?!\d|_|[{HAN}\u3040-\u30ff\uac00-\ud7af\ue000])\w)+(?:['’-]"
    rf"(?:(?!\d|_|[{HAN}])\w)+)*)|(?P<gap>[^\S\n]*\n?[^\S\n]*)|(?P<stop>.)",
    re.DOTALL,
)
# So much of a long text is read for terms: a page is shorter, and of a book on one page its start says enough.
_MOST_TEXT: Final = 60_000
_MOST_WORDS: Final = 4
_MOST_HAN: Final = 6
_LONGEST_WORD: Final = 30


def terms(page: PageText) -> list[Found]:
    """The candidates of a page: phrases between words that tell nothing, and what recurs in them.

    Vietnamese ones have two to four syllables, English ones one (if it recurs) to three words, Chinese ones two to six
    characters.
    """
    text = page.open[:_MOST_TEXT]
    whole: Counter[str] = Counter()
    grams: Counter[str] = Counter()
    first: dict[str, tuple[int, int]] = {}
    places: dict[str, list[tuple[int, int]]] = {}
    for run in _runs(text, page.vietnamese):
        # Without knowing a language's function words, "und der" would be a term of it.
        if run and (page.languages.japanese or page.languages.foreign(run[0][1])):
            continue
        for name, start, end, complete in _grams(run, page.vietnamese):
            grams[name] += 1
            whole[name] += complete
            first.setdefault(name, (start, end))
            if len(places.setdefault(name, [])) < 50:
                places[name].append((start, end))
    kept = {name for name in grams if _is_term(name, grams[name], whole[name])}
    kept -= {part for name in kept for part in _parts(name) if part in kept and grams[part] == grams[name]}
    ranked = sorted(kept, key=lambda name: (-_worth(name, grams[name], whole[name]), first[name]))[:_MOST]
    return [Found(TERM, name, start, end) for name in ranked for start, end in places[name]]


_MOST: Final = 40


def _runs(text: str, vietnamese: bool) -> Iterator[list[tuple[str, int, int]]]:
    """Runs of words, or of Chinese characters, without idle ones between them: (folded, start, end) of each."""
    run: list[tuple[str, int, int]] = []
    chinese = False
    for match in _PIECE.finditer(text):
        kind = match.lastgroup
        if kind == "gap" and match[0].count("\n") == 0 and match[0]:
            continue
        if kind == "gap" and not chinese and run and match.start() - text.rfind("\n", 0, match.start()) > 50:
            continue  # a paragraph's line goes on below
        if kind == "han":
            if run and not chinese:
                yield run
                run = []
            chinese = True
            for n, char in enumerate(match[0]):
                if char in words.CHINESE_IDLE:
                    yield run
                    run = []
                else:
                    run.append((char, match.start() + n, match.start() + n + 1))
            continue
        if run and (chinese or kind != "word"):
            yield run
            run = []
        chinese = False
        if kind == "word":
            folded = match[0].casefold()
            if _is_idle(folded, vietnamese):
                yield run
                run = []
            else:
                run.append((folded, match.start(), match.end()))
    yield run


def _is_idle(folded: str, vietnamese: bool) -> bool:
    return (
        folded in words.ENGLISH_IDLE
        or (folded in words.VIETNAMESE_IDLE if vietnamese else len(folded) < 3)
        or len(folded) < 2
        or len(folded) > _LONGEST_WORD
    )


def _grams(run: list[tuple[str, int, int]], vietnamese: bool) -> Iterator[tuple[str, int, int, bool]]:
    if not run:
        return
    chinese = "\u3400" <= run[0][0] <= "\u9fff"
    least, most = (2, _MOST_HAN) if chinese else (2, _MOST_WORDS) if vietnamese else (1, 3)
    for n in range(len(run)):
        for length in range(least, min(most, len(run) - n) + 1):
            part = run[n : n + length]
            name = "".join(one[0] for one in part) if chinese else " ".join(one[0] for one in part)
            if not chinese and not vietnamese:
                name = _singular(name)
            yield name, part[0][1], part[-1][2], length == len(run)


def _singular(name: str) -> str:
    if name.endswith("ies") and len(name) > 5:
        return name[:-3] + "y"
    if name.endswith(("sses", "shes", "ches", "xes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is", "'s")) and len(name) > 4 else name


def _is_term(name: str, count: int, whole: int) -> bool:
    if " " not in name and not "\u3400" <= name[0] <= "\u9fff":
        return count >= 2 and len(name) >= 5 and name not in words.ENGLISH_PLAIN
    return count >= 2 or whole > 0


def _worth(name: str, count: int, whole: int) -> float:
    length = len(name) if "\u3400" <= name[0] <= "\u9fff" else 2 * (name.count(" ") + 1)
    return (count + 0.5 * whole) * math.sqrt(min(length, 6))


def _parts(name: str) -> Iterator[str]:
    """All shorter terms inside a term."""
    chinese = "\u3400" <= name[0] <= "\u9fff"
    pieces = list(name) if chinese else name.split()
    for n in range(len(pieces)):
        for end in range(n + 1, len(pieces) + 1):
            if end - n < len(pieces):
                part = pieces[n:end]
                yield "".join(part) if chinese else " ".join(part)
                if not chinese and end < len(pieces):
                    yield _singular(" ".join(part))
