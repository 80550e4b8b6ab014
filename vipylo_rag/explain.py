"""Why a page was found: what its picture's patches and its words add to its score, and what the query's words do."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from connectors.errors import DocumentError
from connectors.page import WordBox
from embedder.errors import InputError
from embedder.explain import Explains, Floats, SampleExplanation
from embedder.protocol import Embedder, Sample
from vipylo_rag.alignment import Span, box_of, pieces, places, words_in
from vipylo_rag.query import Query
from vipylo_rag.stored_page import page_sample

if TYPE_CHECKING:
    from vipylo_rag.search import Hit

# The heat's grid is finer than the patches', whose 28 pixels are two lines of text.
FINER = 3


@dataclass(frozen=True)
class WordShare:
    """What a word adds to a score. `box` is None where it is not known where the word stands."""

    text: str
    share: float
    box: WordBox | None = None


@dataclass(frozen=True, eq=False)
class PageExplanation:
    """Why a page has its score: `picture_share`, `text_share` and `other_share` add up to it.

    Shares are exact, not estimates: the score is a sum over tokens (see `embedder.explain`). A share below zero pulls
    the page away from the query.

    Example:
        >>> hit = index.search("tiền đặt cọc")[0]                      # doctest: +SKIP
        >>> why = hit.explain()                                        # doctest: +SKIP
        >>> why.score, [(word.text, word.share) for word in why.words[:3]]    # doctest: +SKIP
        (0.368, [('cọc', 0.016), ('cọc', 0.016), ('hộ', 0.007)])
        >>> why.save("why.png")                                        # doctest: +SKIP

    Attributes:
        page: the page.
        text: the query's text; "" for one of pictures only.
        score: the cosine of the query's and the page's vectors, whatever the search's mode was.
        picture: shares of the picture's patches [rows, columns], a grid over the whole picture from the top left; None
            for a page without a picture.
        words: words of the page's text with their shares, strongest first. A word is what has a box or, where the text
            has none, what stands between blanks; Chinese is cut into the model's tokens. What blanks and line ends add
            is in `text_share` alone.
        query_words: the query's words in their order, with what each adds to the same score.
        boxes: the words of the page that the query asks for, whatever their shares.
        page_shares, query_shares: what all of this is made from, token by token.
    """

    page: "Hit"
    text: str
    score: float
    picture: Floats | None
    words: tuple[WordShare, ...]
    query_words: tuple[WordShare, ...]
    boxes: tuple[WordBox, ...]
    page_shares: SampleExplanation
    query_shares: SampleExplanation

    @property
    def text_share(self) -> float:
        """Sum over the page's whole text."""
        return self.page_shares.text_share

    @property
    def picture_share(self) -> float:
        """Sum over the page's picture."""
        return self.page_shares.picture_share

    @property
    def other_share(self) -> float:
        """Sum over what is neither: the tokens that frame the picture."""
        return self.page_shares.other

    @cached_property
    def heat(self) -> Floats | None:
        """What to draw [rows, columns], finer than `picture`; None for a page without one.

        The picture's shares, each spread evenly over its patch, and the share of each word that has a box, spread
        evenly over the box. So the heat in an area is what the area adds to the score, and the whole is `picture_share`
        plus the shares of the words with boxes.
        """
        if self.picture is None:
            return None
        heat = np.kron(self.picture, np.full((FINER, FINER), FINER**-2))
        return heat + spread(self.words, *heat.shape)

    def heat_in(self, areas: Iterable[WordBox]) -> float:
        """The heat in some areas of the page, apart from each other: what they add to the score.

        Raises:
            InputError: the page has no picture, so no areas.
        """
        if self.heat is None:
            raise InputError(f"{self.page.name}, page {self.page.page}, has no picture: there are no areas on it")
        return sum(sum_in(self.heat, area) for area in areas)

    def draw(self) -> Image.Image:
        """The page with its heat map, the boxes of its strongest words, and a line that says what it is.

        A page that has no picture is typeset first. Colours go from the page's own median to its strongest place:
        compare scores, not colours, between pages.
        """
        from vipylo_rag.heat_map import draw

        return draw(self)

    def save(self, path: str | Path) -> None:
        """Write `draw()` to a file; the suffix (.png, .jpg, .webp, ...) decides how.

        Raises:
            InputError: the file cannot be written, or no picture is written with such a suffix.
        """
        drawn = self.draw()
        try:
            drawn.save(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be written: {error}") from error


def explain_page(page: "Hit", query: Query, embedder: Embedder) -> PageExplanation:
    """Why `embedder` finds a page near to a query.

    Raises:
        InputError: the query cannot be embedded, or the embedder cannot explain. DocumentError: the page's stored
            picture or words are damaged.
    """
    if not isinstance(embedder, Explains):
        raise InputError(
            f"the embedder {embedder.name!r} cannot say what parts of a page add to a score: only models that take the "
            "mean of all tokens can (the starter, viPyloQwen)"
        )
    asked = query.sample
    rows = embedder.encode_rows([asked])
    if rows.errors:
        raise InputError(f"the query cannot be embedded: {rows.errors[0]}")
    sample = page_sample(page.text, _picture(page))
    on_page = embedder.explain(sample, rows.vectors[0])
    in_query = embedder.explain(asked, on_page.vector)
    return PageExplanation(
        page=page,
        text=query.words,
        score=on_page.score,
        picture=on_page.images[0] if on_page.images else None,
        words=tuple(sorted(page_words(on_page, sample, page.words), key=lambda word: -word.share)),
        query_words=tuple(_query_words(in_query, asked)),
        boxes=page.boxes(query.words),
        page_shares=on_page,
        query_shares=in_query,
    )


def _picture(page: "Hit") -> Image.Image | None:
    try:
        return page.image
    except OSError as error:
        raise DocumentError(
            f"{page.name}, page {page.page}: its stored picture cannot be read ({error}); `vipylo gc` and an ingest "
            "heal it"
        ) from error


def page_words(shares: SampleExplanation, sample: Sample, boxes: Sequence[WordBox]) -> list[WordShare]:
    """The words of a page's text in its order: those with a box, and what is left of the text."""
    text, cuts = sample.text, _cuts(shares)
    parts: list[tuple[Span, WordBox | None]] = []
    shown = bytearray(len(text))
    for whole, box in zip(places(text, boxes), boxes, strict=True):
        if whole is not None:
            shown[slice(*whole)] = b"\1" * (whole[1] - whole[0])
            parts += [(piece, box_of(piece, text, whole, box)) for piece in pieces(text, whole, cuts)]
    parts += [(span, None) for span in words_in(text, cuts) if not any(shown[slice(*span)])]
    parts.sort(key=lambda part: part[0])
    sums = shares.over(text, [span for span, _ in parts])
    return [
        WordShare(box.text if box else text[slice(*span)], share, box)
        for (span, box), share in zip(parts, sums, strict=True)
    ]


def _query_words(shares: SampleExplanation, sample: Sample) -> list[WordShare]:
    spans = words_in(sample.text, _cuts(shares))
    sums = shares.over(sample.text, spans)
    return [WordShare(sample.text[slice(*span)], share) for span, share in zip(spans, sums, strict=True)]


def _cuts(shares: SampleExplanation) -> frozenset[int]:
    """Where a token of the text begins, and none goes on: the nearest to words that Chinese has."""
    cuts, reached = set(), 0
    for token in shares.tokens:
        if token.start >= reached:
            cuts.add(token.start)
        reached = max(reached, token.end)
    return frozenset(cuts)


def spread(words: Iterable[WordShare], rows: int, columns: int) -> Floats:
    """A grid [rows, columns] over a page, onto which each word's share is spread evenly over its box."""
    heat = np.zeros((rows, columns))
    for word in words:
        if word.box is not None:
            down, across = (word.box.y0, word.box.y1), (word.box.x0, word.box.x1)
            heat += word.share * np.outer(_shared(*down, rows), _shared(*across, columns))
    return heat


def sum_in(grid: Floats, area: WordBox) -> float:
    """What of a grid [rows, columns] over a page lies in an area of it; of cells at the area's edge, a part."""
    rows, columns = grid.shape
    return float(_part(area.y0, area.y1, rows) @ grid @ _part(area.x0, area.x1, columns))


def _part(start: float, end: float, cells: int) -> Floats:
    """Which part of each cell [cells] of a line from 0 to 1 lies between two places: 0 to 1."""
    edges = np.arange(cells + 1) / cells
    inside: Floats = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0.0, None) * cells
    return inside


def _shared(start: float, end: float, cells: int) -> Floats:
    """How what lies evenly between two places is shared among the cells [cells]; sums to 1."""
    part = _part(start, end, cells)
    if part.sum() < 1e-9:  # a box without an extent
        part[min(int(start * cells), cells - 1)] = 1.0
    shared: Floats = part / part.sum()
    return shared


@dataclass(frozen=True)
class Asked:
    """What a hit keeps to explain itself: the query that found it, and the embedder, loaded when first needed.

    Neither goes along when a hit is pickled.
    """

    query: Query | None
    embedder: Callable[[], Embedder]

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __deepcopy__(self, memo: object) -> "Asked":
        return self
