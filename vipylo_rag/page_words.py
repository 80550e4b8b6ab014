"""Which of a page's words a query asks for, and where they stand. Pages that are found often are kept in memory."""

import re
import threading
import unicodedata
from collections import OrderedDict
from pathlib import Path
from typing import Final

from connectors.loaders.words import StoredWords
from connectors.page import WordBox

# Words of all kept pages: about 40 MB, and some hundred pages of an ordinary document.
_MOST_WORDS: Final = 100_000


def query_terms(query: str) -> frozenset[str]:
    """The words that a query asks for, NFC and folded; of Chinese, which has no spaces, pairs of characters too."""
    return frozenset(_terms(_folded(query)))


class PageWords:
    """A page's words by what they can be asked for with."""

    def __init__(self, stored: StoredWords) -> None:
        self._stored = stored
        self._places: dict[str, list[int]] = {}
        for place, word in enumerate(_each_folded(stored.texts)):
            for term in _terms(word):
                self._places.setdefault(term, []).append(place)

    @property
    def count(self) -> int:
        """How many words."""
        return len(self._stored.texts)

    def asked(self, terms: frozenset[str]) -> tuple[WordBox, ...]:
        """The words that have one of `terms`, in reading order."""
        places = {place for term in terms for place in self._places.get(term, ())}
        return tuple(self._stored.box(place) for place in sorted(places))


class _Kept:
    """The pages that were asked for last. Files are named by their content: what was read of one stays true."""

    def __init__(self) -> None:
        self._pages: OrderedDict[Path, PageWords] = OrderedDict()
        self._words = 0
        self._lock = threading.Lock()

    def get(self, path: Path) -> PageWords:
        """The words of a stored file.

        Raises:
            DocumentError: it is missing or damaged.
        """
        with self._lock:
            if (page := self._pages.get(path)) is not None:
                self._pages.move_to_end(path)
                return page
        page = PageWords(StoredWords.read(path))
        with self._lock:
            if path not in self._pages:
                self._pages[path] = page
                self._words += page.count
            while self._words > _MOST_WORDS:
                self._words -= self._pages.popitem(last=False)[1].count
        return page


page_words = _Kept().get


def _terms(folded: str) -> set[str]:
    words = set(re.findall(r"\w+", folded))
    return words | {pair for word in words for pair in _pairs(word)}


def _pairs(word: str) -> list[str]:
    return [run[i : i + 2] for run in re.findall(r"[\u3400-\u9fff]+", word) for i in range(len(run) - 1)]


def _each_folded(words: list[str]) -> list[str]:
    """All words folded, at once, which takes a tenth of the time of one by one."""
    together = _folded("\n".join(words)).split("\n")
    return together if len(together) == len(words) else [_folded(word) for word in words]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
