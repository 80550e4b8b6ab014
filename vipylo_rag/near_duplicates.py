"""Which pages are the same page again: candidates by their vectors' cosine, then their texts and pictures compared.

Forms of one layout that different people filled in have nearly one vector; what their fields say tells them apart.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from os import cpu_count
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from vipylo_rag.map_layout import Alike
from vipylo_rag.picture_match import Difference, Ink, differ, ink

Progress = Callable[[int, int], None]
Pair = tuple[int, int]
# "touched": the same but for one place, as two copies are that were stamped and signed there.
Verdict = Literal["same", "touched", "other"]

# Of the starter: 95 % of pairs of copies (scanned, stamped, watermarked, at half the size) are at 0.86 and more.
LEAST_COSINE: Final = 0.85
MOST_PAIRS: Final = 3_000

# Chosen on the forms of other people than those of the example that measures them, and on other notices: see
# `examples/applications/near_duplicates.py`.
_MOST_REPLACED: Final = 0.3  # words that a reader of scans gets wrong are less
_MOST_REPLACED_EXACT: Final = 0.05
_MOST_REPLACED_UNSEEN: Final = 0.01
_MOST_ADDED_WORDS: Final = 0.2
_ENOUGH_WORDS: Final = 40
_MOST_ADDED_INK: Final = 0.3
_MOST_REPLACED_BLOCKS: Final = 1  # a grain of dust on a letter; a name is two blocks and more
_MOST_REPLACED_SHARE: Final = 0.04  # of a page with little on it

_ONE_PLACE: Final = 0.15  # of the page
_ASKED_OF_A_GROUP: Final = 4
_KEPT_PAGES: Final = 256  # about 130 MB
_WORDS: Final = re.compile(r"[\u3400-\u9fff]|\d+(?:[.,]\d+)*|[^\W\d_\u3400-\u9fff]+")


@dataclass(frozen=True)
class PageText:
    """What a page says; `exact` unless it was read off a picture, where letters and digits are mistaken."""

    text: str
    exact: bool = True


class Pages(Protocol):
    """Pages by their row. Both are asked from several threads."""

    def text(self, row: int) -> PageText:
        """What the page says; "" where nobody knows."""

    def picture(self, row: int) -> Image.Image | None:
        """How it looks; None where there is no picture, or it cannot be read."""


@dataclass(frozen=True)
class Twins:
    """Which pages are the same page again.

    Attributes:
        group: [n] the group of each row, the largest group first; -1 for a page that is there once.
        pairs: how many pairs of pages the groups hold.
        compared: how many pairs were compared by what they say and show.
        left: how many more reach the cosine and were not compared, as the limit was met.
    """

    group: npt.NDArray[np.int32]
    pairs: int
    compared: int
    left: int


def find_twins(
    alike: Alike,
    contents: Sequence[str],
    pages: Pages,
    *,
    least: float = LEAST_COSINE,
    most_pairs: int = MOST_PAIRS,
    progress: Progress = lambda done, total: None,
) -> Twins:
    """Group the pages that are one page: equal, saved with another compression or size, scanned, stamped or marked.

    Pages of equal contents are one group unseen. Of the others, pairs of neighbours with at least the cosine `least`
    are compared, the most alike first, and a page joins a group only if it is the same as several of its pages: a blank
    form is on each form that was filled in, and must not join them.

    Args:
        alike: the neighbours, of `compare`.
        contents: of each page something that is equal for equal pages, such as a hash; "" where it is not known.
        pages: their texts and pictures, asked for as they are needed.
        least: a cosine.
        most_pairs: at most so many pairs are compared (each takes about 0.2 s of one core); 0: none.
        progress: called with how many pairs of candidates are dealt with, and how many there are.
    """
    groups = _Groups(contents)
    candidates = _candidates(alike, least, contents)
    judge = _Judge(pages, most_pairs)
    left = 0
    workers = min(8, cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="near-duplicates") as pool:
        for start in range(0, len(candidates), 4 * workers):
            some = candidates[start : start + 4 * workers]
            judge.judge([pair for pair in some if not groups.decided(pair, judge.known)], pool)
            for pair in some:
                if groups.decided(pair, judge.known):
                    continue
                asked = groups.between(pair)
                judge.judge([pair, *asked], pool)
                if any(one not in judge.known for one in (pair, *asked)):
                    left += not groups.decided(pair, judge.known)
                elif not groups.decided(pair, judge.known):
                    groups.join(pair)
            progress(start + len(some), len(candidates))
    return Twins(*groups.numbered(), compared=len(judge.known), left=left)


def _candidates(alike: Alike, least: float, contents: Sequence[str]) -> list[Pair]:
    """Pairs of neighbours, the lesser row first, most alike first; of pages with equal contents none."""
    rows, places = np.nonzero(alike.cosines >= least - 1e-6)
    others, cosines = alike.neighbours[rows, places], alike.cosines[rows, places]
    first, second = np.minimum(rows, others), np.maximum(rows, others)
    order = np.lexsort((second, first, -cosines))
    pairs = dict.fromkeys(zip(first[order].tolist(), second[order].tolist(), strict=True))
    return [(a, b) for a, b in pairs if not contents[a] or contents[a] != contents[b]]


class _Groups:
    """Pages that are one page, in the order in which they joined."""

    def __init__(self, contents: Sequence[str]) -> None:
        known: dict[str, list[int]] = {}
        self._of: list[list[int]] = []
        for row, content in enumerate(contents):
            group = known.setdefault(content, []) if content else []
            group.append(row)
            self._of.append(group)

    def between(self, pair: Pair) -> list[Pair]:
        """What must be the same too before the groups of a pair may become one."""
        first, second = (self._heads(row) for row in pair)
        return [_ordered(a, b) for a, b in product(first, second) if _ordered(a, b) != pair]

    def decided(self, pair: Pair, known: dict[Pair, Verdict]) -> bool:
        """Whether the two are in one group, or are known to be kept apart by what they or their groups are."""
        if self._of[pair[0]] is self._of[pair[1]] or known.get(pair, "same") != "same":
            return True
        return any(known.get(one) == "other" for one in self.between(pair))

    def join(self, pair: Pair) -> None:
        """The groups of a pair are one group."""
        longer, shorter = sorted((self._of[row] for row in pair), key=len, reverse=True)
        longer += shorter
        for row in shorter:
            self._of[row] = longer

    def numbered(self) -> tuple[npt.NDArray[np.int32], int]:
        """[n] group of each row, the largest first, then by first row, -1 for rows that are alone; and all pairs."""
        numbers = np.full(len(self._of), -1, dtype=np.int32)
        groups = {id(group): group for group in self._of if len(group) > 1}.values()
        for number, members in enumerate(sorted(groups, key=lambda group: (-len(group), min(group)))):
            numbers[members] = number
        return numbers, sum(len(group) * (len(group) - 1) // 2 for group in groups)

    def _heads(self, row: int) -> list[int]:
        return self._of[row][:_ASKED_OF_A_GROUP]


def _ordered(first: int, second: int) -> Pair:
    return (first, second) if first < second else (second, first)


class _Judge:
    """Compares pairs, each once, as many as it may."""

    def __init__(self, pages: Pages, most: int) -> None:
        self.known: dict[Pair, Verdict] = {}
        self._most = most
        self._words = lru_cache(_KEPT_PAGES)(lambda row: _words(pages.text(row)))
        self._ink = lru_cache(_KEPT_PAGES)(lambda row: _ink(pages.picture(row)))

    def judge(self, pairs: Iterable[Pair], pool: ThreadPoolExecutor) -> None:
        """Get to know these pairs, as far as the limit goes."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.known][: self._most - len(self.known)]
        self.known |= dict(zip(new, pool.map(self._verdict, new), strict=True))

    def _verdict(self, pair: Pair) -> Verdict:
        first, second = (self._words(row) for row in pair)
        said = same_words(first, second)
        if said is not None:
            return "same" if said else "other"
        shown, other = (self._ink(row) for row in pair)
        if shown is not None and other is not None:
            return same_picture(differ(shown, other))
        return "same" if same_words(first, second, seen=False) else "other"


@dataclass(frozen=True)
class Words:
    """A page's words, folded, and how often it has each; of Chinese the characters."""

    each: Counter[str]
    exact: bool

    @property
    def count(self) -> int:
        """How many."""
        return self.each.total()


def _words(page: PageText) -> Words:
    return Words(Counter(_WORDS.findall(unicodedata.normalize("NFKC", page.text).casefold())), page.exact)


def _ink(picture: Image.Image | None) -> Ink | None:
    return None if picture is None else ink(picture)


def same_words(first: Words, second: Words, *, seen: bool = True) -> bool | None:
    """Whether two pages say the same; None where their words do not tell.

    What only one of them has may be a stamp or a page number that was added. What each has and the other lacks was
    replaced: another name, another sum.

    Args:
        seen: whether pictures can be asked where the words leave it open.
    """
    if not first.count or not second.count:
        return None
    only = (first.each - second.each, second.each - first.each)
    replaced = min(one.total() for one in only) / min(first.count, second.count)
    added = max(one.total() for one in only) / max(first.count, second.count)
    if first.exact and second.exact:
        if replaced > _MOST_REPLACED_EXACT or all(any(word[0].isdigit() for word in one) for one in only):
            return False
    elif replaced > _MOST_REPLACED:
        return False
    if added > _MOST_ADDED_WORDS:
        return None if seen else False
    if not seen:
        return replaced <= _MOST_REPLACED_UNSEEN
    return True if replaced == 0 and min(first.count, second.count) >= _ENOUGH_WORDS else None


def same_picture(found: Difference | None) -> Verdict:
    """Whether what `differ` found may be what copying does; None, pages of other proportions, is not."""
    if found is None or found.added > _MOST_ADDED_INK:
        return "other"
    if found.replaced <= min(_MOST_REPLACED_BLOCKS, _MOST_REPLACED_SHARE * found.inked):
        return "same"
    return "touched" if found.spread <= _ONE_PLACE else "other"
