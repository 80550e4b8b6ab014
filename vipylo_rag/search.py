"""What a search gives back: hits, with the page's image, a snippet around the words that matched, and their boxes."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from PIL import Image

from connectors.loaders.words import load_words
from connectors.page import WordBox
from connectors.payload import asset_path
from embedder.errors import InputError
from vipylo_rag.explain import Asked, PageExplanation, explain_page
from vipylo_rag.page_words import page_words, query_terms
from vipylo_rag.query import ImageInput, Query

if TYPE_CHECKING:
    from vipylo_rag.graph.elements import PathStep

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
        words_path: the stored word boxes, or None for a page without them.
        asked: what `explain` needs; None where a hit was pickled or made by hand.
        path: in graph mode, how the page was reached: from a page that was found directly, by way of an entity, a
            figure or a neighbouring page, to this page. () where it was found directly.
    """

    id: str
    score: float
    source: str
    page: int
    kind: str
    text: str
    image_path: Path | None
    metadata: dict[str, Any] = field(default_factory=dict)
    words_path: Path | None = None
    asked: Asked | None = field(default=None, repr=False, compare=False)
    path: "tuple[PathStep, ...]" = ()

    @classmethod
    def of(
        cls,
        id_: str,
        score: float,
        payload: dict[str, Any],
        assets: Path,
        asked: Asked | None = None,
        path: "tuple[PathStep, ...]" = (),
    ) -> "Hit":
        """A hit from a stored payload; `assets` is what its references are below.

        Raises:
            StoreError: the payload refers to a file outside `assets`.
        """
        said = dict(payload)
        said.pop("tenant", None)
        asset, words = said.pop("asset", None), said.pop("words", None)
        return cls(
            id=id_,
            score=score,
            source=said.pop("source"),
            page=said.pop("page"),
            kind=said.pop("kind"),
            text=said.pop("text"),
            image_path=asset_path(assets, asset) if asset else None,
            metadata=said,
            words_path=asset_path(assets, words) if words else None,
            asked=asked,
            path=path,
        )

    @property
    def name(self) -> str:
        """The document's file name."""
        return PurePosixPath(self.source).name

    @cached_property
    def image(self) -> Image.Image | None:
        """The page image, or None for a page that is text only."""
        if self.image_path is None:
            return None
        with Image.open(self.image_path) as stored:
            stored.load()
            return stored.copy()

    @cached_property
    def words(self) -> tuple[WordBox, ...]:
        """Where the page's words stand on its image, in reading order; () where that is not known.

        Raises:
            DocumentError: the stored file is missing or damaged.
        """
        return load_words(self.words_path) if self.words_path else ()

    def boxes(self, query: str) -> tuple[WordBox, ...]:
        """The boxes of the words that the query asks for, in reading order: what a citation draws.

        Case does not matter, Vietnamese tone and vowel marks do. Chinese matches by pairs of characters.
        """
        return page_words(self.words_path).asked(query_terms(query)) if self.words_path else ()

    def explain(
        self, text: str | None = None, images: ImageInput | Sequence[ImageInput] | None = None
    ) -> PageExplanation:
        """What each part of this page adds to its score, exactly; by default for the query that found it.

        The score that is explained is the cosine of query and page, also where the search was lexical or hybrid. It
        takes the model about as long as embedding the page did.

        Args:
            text, images: another query, as `search` takes it.

        Example:
            >>> index.search("tiền đặt cọc")[0].explain().save("why.png")      # doctest: +SKIP

        Raises:
            InputError: there is no query, the embedder cannot explain, or this hit does not know it (it was pickled).
            DocumentError: the stored picture or words are damaged, or a given image cannot be read.
        """
        if self.asked is None:
            raise InputError("this hit does not know its index any more: explain the page from index.page(hit.id)")
        query = self.asked.query if text is None and images is None else Query.of(text, images, 1, "dense")
        if query is None:
            raise InputError(f"{self.name}, page {self.page}, was not searched for: give explain() a text or images")
        return explain_page(self, query, self.asked.embedder())

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
    terms = {term for term in query_terms(query) if len(term) > 1}
    places = sorted((match.start(), term) for term in terms for match in re.finditer(re.escape(term), folded))
    best, best_start, first = 0, 0, 0
    seen: Counter[str] = Counter()  # of the places from `first` to `last`
    for place, term in places:
        seen[term] += 1
        while place - places[first][0] > length - 40:
            gone = places[first][1]
            seen[gone] -= 1
            if not seen[gone]:
                del seen[gone]
            first += 1
        if len(seen) > best:
            best, best_start = len(seen), places[first][0]
    return max(0, best_start - 30)
