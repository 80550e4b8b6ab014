"""What a search gives back: hits, with the page's image and a snippet around the words that matched."""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

SNIPPET_LENGTH = 160


@dataclass(frozen=True)
class Hit:
    """One page in a ranked list.

    Attributes:
        score: cosine (dense), BM25 (lexical) or reciprocal-rank-fusion score (hybrid); higher is better.
        source: the document, as it was named at ingest.
        page: 1-based page number.
        text: the page's text layer.
        image_path: the stored page image, or None for a page without one.
        metadata: all other payload fields.
    """

    id: str
    score: float
    source: str
    page: int
    kind: str
    text: str
    image_path: Path | None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The document's file name."""
        return Path(self.source).name

    @cached_property
    def image(self) -> Image.Image | None:
        """The page image, or None for a page that is text only."""
        if self.image_path is None:
            return None
        with Image.open(self.image_path) as stored:
            stored.load()
            return stored.copy()

    def snippet(self, query: str | None = None, length: int = SNIPPET_LENGTH) -> str:
        """The part of the text with most of the query's words, on one line; the beginning if none occurs."""
        return snippet(self.text, query, length)


def snippet(text: str, query: str | None, length: int = SNIPPET_LENGTH) -> str:
    """At most about `length` characters of `text`, around the place with most different words of `query`."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    start = _best_start(line, query or "", length)
    if start > 0:  # begin at a word where the script has words
        space = line.find(" ", start, start + 20)
        start = space + 1 if space >= 0 else start
    end = min(len(line), start + length)
    return ("… " if start else "") + line[start:end].strip() + (" …" if end < len(line) else "")


def _best_start(line: str, query: str, length: int) -> int:
    folded = unicodedata.normalize("NFC", line).casefold()
    if len(folded) != len(line):  # casefold changed lengths: positions would be off
        folded = line
    words = {word for word in re.findall(r"\w+", unicodedata.normalize("NFC", query).casefold()) if len(word) > 1}
    # Chinese has no spaces: pairs of characters stand in for words.
    terms = {w[i : i + 2] for w in words if re.match(r"[\u3400-\u9fff]", w) for i in range(len(w) - 1)} | words
    places = sorted((match.start(), term) for term in terms for match in re.finditer(re.escape(term), folded))
    best, best_start, first = 0, 0, 0
    for last, (place, _) in enumerate(places):
        while place - places[first][0] > length - 40:
            first += 1
        found = len({term for _, term in places[first : last + 1]})
        if found > best:
            best, best_start = found, places[first][0]
    return max(0, best_start - 30)
