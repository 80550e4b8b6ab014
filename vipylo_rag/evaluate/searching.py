"""Rankings from an index: the queries of a data set are searched through the index's own search."""

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
from vipylo_rag.evaluate.ranking import Ranking
from vipylo_rag.evaluate.result import FoundDocument
from vipylo_rag.evaluate.targets import Target, Targets, Wanted
from vipylo_rag.index import MultimodalIndex
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
) -> Iterator[Ranking]:
    """The rankings of all queries in all modes that apply to them: a query without words has no lexical one.

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
                if not applies(mode, item):
                    continue
                several = math.ceil(pages / sources) if wanted[item.id].unit == "document" else 1
                # A reranker is given what a search would give it, and what it was not given, it did not find.
                top_k = how.depth * several if how.rerank is None else max(how.candidates, how.depth)
                asked.append(_Asked(item, mode, wanted[item.id], images, top_k))
        _search(index, asked, how, pages)
        done += len(batch)
        progress(done)
        yield from (_ranking(one, targets, how.depth) for one in asked)


def applies(mode: str, query: Item) -> bool:
    """Whether a query can be asked in a mode."""
    return mode != "lexical" or bool(query.text)


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


def _ranking(asked: _Asked, targets: Targets, depth: int) -> Ranking:
    wanted = asked.wanted
    found = tuple(
        FoundDocument(wanted.ids.get(target) or targets.id_of(target), hit.score, hit.id)
        for target, hit in islice(asked.ranking.items(), depth)
    )
    return Ranking(asked.item, asked.mode, wanted.unit, wanted.grades_by_id, found, asked.error)
