"""Searches the queries of a data set through the index's own search, and finds where the right documents stand."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from PIL import Image

from connectors.errors import DocumentError, StoreError, StoreUnavailableError
from connectors.loaders.registry import first_image
from embedder.errors import InputError, ViPyloError
from vipylo_rag.evaluate.dataset_lines import Item
from vipylo_rag.evaluate.figures import figures
from vipylo_rag.evaluate.result import FoundDocument, QueryResult, Right
from vipylo_rag.evaluate.targets import Target, Targets, Wanted
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.prompt import language_of
from vipylo_rag.query import PageMode, SearchRequest
from vipylo_rag.search import Hit

if TYPE_CHECKING:
    from vipylo_rag.rerank import Rerank

# Queries that are searched at a time, in all modes: their pictures and vectors are in memory together.
_AT_ONCE: Final = 16
# Where documents of many pages fill a ranking with pages of few documents, it is read so many times as deep.
_DEEPER: Final = 4


@dataclass(frozen=True)
class Searching:
    """How queries are searched.

    Attributes:
        depth: how many documents of each ranking are looked at.
        candidates: how many pages `rerank` is given.
    """

    modes: tuple[PageMode, ...]
    ks: tuple[int, ...]
    depth: int
    tenant: str = ""
    rerank: "Rerank | None" = None
    candidates: int = 0


@dataclass
class _Asked:
    """A query in a mode, on its way down the ranking."""

    item: Item
    mode: PageMode
    wanted: Wanted
    images: list[Image.Image]
    top_k: int
    ranking: dict[Target, Hit] = field(default_factory=dict)
    error: str | None = None


def search_queries(
    index: MultimodalIndex,
    queries: Sequence[Item],
    wanted: Mapping[str, Wanted],
    targets: Targets,
    how: Searching,
    progress: Callable[[int], None],
) -> Iterator[QueryResult]:
    """The results of all queries in all modes that apply to them: a query without words has no lexical one.

    Args:
        progress: called with how many queries are done.

    Raises:
        DocumentError: a query's picture cannot be read. StoreError: the store is away or broken, or ... see `search`.
    """
    # The tenant's own: others' pages would make its rankings be read far deeper than they are.
    pages, sources = index.ledger.counts(how.tenant)["pages done"], max(1, len(index.sources(tenant=how.tenant)))
    waiting, done = iter(queries), 0
    while batch := list(islice(waiting, _AT_ONCE)):
        asked = []
        for item in batch:
            images = _pictures(item)
            for mode in how.modes:
                if mode == "lexical" and not item.text:
                    continue
                several = math.ceil(pages / sources) if wanted[item.id].unit == "document" else 1
                # A reranker is given what a search would give it, and what it was not given, it did not find.
                top_k = how.depth * several if how.rerank is None else max(how.candidates, how.depth)
                asked.append(_Asked(item, mode, wanted[item.id], images, top_k))
        _search(index, asked, how, pages)
        done += len(batch)
        progress(done)
        yield from (_result(one, targets, how) for one in asked)


def _search(index: MultimodalIndex, asked: Sequence[_Asked], how: Searching, pages: int) -> None:
    """Fill the rankings, going deeper where a ranking of documents is not long enough yet."""
    waiting = list(asked)
    while waiting:
        requests = [
            SearchRequest(
                one.item.text or None, one.images or None, one.top_k, None, one.mode, how.tenant, how.rerank,
                one.top_k,
            )
            for one in waiting
        ]  # fmt: skip
        deeper = []
        for one, found in zip(waiting, index.search_many(requests), strict=True):
            if isinstance(found, ViPyloError):
                one.error = _own_fault(found)
                continue
            one.ranking = {}
            for hit in found:
                one.ranking.setdefault(one.wanted.target(hit), hit)
            if how.rerank is None and len(one.ranking) < how.depth and len(found) >= one.top_k < pages:
                one.top_k *= _DEEPER
                deeper.append(one)
        waiting = deeper


def _own_fault(error: ViPyloError) -> str:
    """What is wrong with a query, such as a text of which no word can be looked for: it finds nothing.

    Raises:
        ViPyloError: something else is wrong, and would be with any query.
    """
    if isinstance(error, (InputError, StoreError)) and not isinstance(error, StoreUnavailableError):
        return str(error)
    raise error


def _pictures(item: Item) -> list[Image.Image]:
    """A query's pictures, read once for all modes."""
    try:
        return [first_image(path) for path in item.images]
    except DocumentError as error:
        raise DocumentError(f"{item.place}: {error}") from error


def _result(asked: _Asked, targets: Targets, how: Searching) -> QueryResult:
    item, wanted = asked.item, asked.wanted
    ranking = list(asked.ranking.items())[: how.depth]
    places = {target: rank for rank, (target, _) in enumerate(ranking, start=1)}
    right = [
        Right(wanted.ids[target], grade, places.get(target), asked.ranking[target].score if target in places else None)
        for target, grade in wanted.grades.items()
    ]
    right.sort(key=lambda one: (math.inf if one.rank is None else one.rank, -one.grade, one.id))
    scores = {hit.score for target, hit in ranking if target in wanted.grades}
    return QueryResult(
        query=item.id,
        mode=asked.mode,
        modality=item.modality,
        language=item.language or (language_of(item.text) if item.text else None),
        unit=wanted.unit,
        right=tuple(right),
        found=tuple(
            FoundDocument(wanted.ids.get(target) or targets.id_of(target), hit.score, hit.id) for target, hit in ranking
        ),
        metrics=figures([one.rank for one in right], [one.grade for one in right], how.ks),
        tied=any(hit.score in scores for target, hit in ranking if target not in wanted.grades),
        error=asked.error,
    )
