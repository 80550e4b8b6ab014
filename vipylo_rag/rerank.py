"""Putting the best hits of a search into a better order, before they are shown or an answer is made from them."""

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from connectors.loaders.base import one_line
from connectors.page import page_node_of
from embedder.errors import InputError, ViPyloError
from vipylo_rag.errors import RerankError
from vipylo_rag.query import Query
from vipylo_rag.search import Hit

if TYPE_CHECKING:
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle

Rerank: TypeAlias = Union[Callable[[list[Hit]], Sequence[Hit]], "BaseNodePostprocessor"]

RERANKERS = ("tokens",)


def load_rerank(name: str) -> Rerank:
    """The reranker of a name, as the command line takes it: "tokens" is `vipylo_rag.token_rerank.TokenRerank`.

    Raises:
        InputError: there is none of that name.
    """
    if name != "tokens":
        raise InputError(f"there is no reranker {name!r}: there is {', '.join(RERANKERS)}")
    from vipylo_rag.token_rerank import TokenRerank

    return TokenRerank()


def check_rerank(rerank: object, candidates: int) -> None:
    """Whether a search can be asked with this `rerank` and so many `candidates`.

    Raises:
        InputError: it is neither a callable nor a postprocessor, or `candidates` is below 1.
    """
    if not callable(rerank) and not _is_postprocessor(rerank):
        raise InputError(
            f"rerank={rerank!r} is neither a callable from hits to hits nor a LlamaIndex node postprocessor"
        )
    if candidates < 1:
        raise InputError(f"candidates={candidates}: give the reranker at least 1 hit")


def reranked(rerank: Rerank, query: Query, hits: Sequence[Hit], tenant: str = "") -> list[Hit]:
    """The hits as `rerank` orders them; it may leave some out, and give them other scores.

    A callable gets the hits, best first, and gives back those that it keeps, in its order: the hits themselves, or
    copies made by `dataclasses.replace`, of which the scores are taken and nothing else.

    A LlamaIndex node postprocessor gets the hits as nodes, with text, picture, score and all metadata, and a
    `QueryBundle` with the query's text and the path of its first picture (a file that is there during the call). What
    it gives back is taken as hits by node id, or by source and page where it makes nodes of its own; of nodes that
    stand for the same page, the first counts.

    The order is made before the cut to `top_k`: LlamaIndex's `LongContextReorder`, which puts the best hits first and
    last, would lose some of them; use it as a postprocessor there, on what was found.

    Args:
        query: what was searched for.
        hits: best first. Without any, `rerank` is not asked.
        tenant: whose hits these are, as it decides the ids of documents' nodes.

    Example:
        >>> newest = lambda hits: sorted(hits, key=lambda hit: hit.metadata["year"], reverse=True)
        >>> index.search("bảng giá", rerank=newest)                                          # doctest: +SKIP
        >>> index.search("bảng giá", rerank=LLMRerank(llm=llm, top_n=5), candidates=20)      # doctest: +SKIP

    Raises:
        RerankError: `rerank` failed, or gave back something else than hits that it was given, or one of them twice; the
            text names it. Errors of ours (an `LLMError`, say) come through as they are.
    """
    if not hits:
        return []
    name = _name(rerank)
    try:
        if _is_postprocessor(rerank):
            return _by_postprocessor(rerank, query, hits, tenant)
        assert callable(rerank)
        return _checked(rerank(list(hits)), {hit.id: hit for hit in hits}, name)
    except ViPyloError:
        raise
    except Exception as error:
        said = one_line(error)[:300]
        raise RerankError(
            f"the reranker {name} failed ({type(error).__name__}{': ' + said if said else ''})"
        ) from error


def _is_postprocessor(rerank: object) -> bool:
    """Told by its method: importing LlamaIndex takes a second, and who has a postprocessor has paid for it."""
    return callable(getattr(rerank, "postprocess_nodes", None))


def _name(rerank: object) -> str:
    named = getattr(rerank, "__qualname__", None)
    return str(named) if isinstance(named, str) else type(rerank).__qualname__


def _checked(given: Any, known: dict[str, Hit], name: str) -> list[Hit]:
    if given is None:
        raise RerankError(f"the reranker {name} gave back nothing: it must return the hits, in its order")
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise RerankError(f"the reranker {name} gave back a {type(given).__name__} instead of hits")
    found: list[Hit] = []
    seen: set[str] = set()
    for one in given:
        if not isinstance(one, Hit):
            raise RerankError(f"the reranker {name} gave back a {type(one).__name__} among the hits")
        if one.id not in known:
            raise RerankError(f"the reranker {name} gave back a hit that it was not given: {one.name}, page {one.page}")
        if one.id in seen:
            raise RerankError(f"the reranker {name} gave back a hit twice: {one.name}, page {one.page}")
        seen.add(one.id)
        # Ours with its score: a copy that went through another process has forgotten its query, and none may say more.
        found.append(_scored(known[one.id], one.score, name))
    return found


def _scored(hit: Hit, score: Any, name: str) -> Hit:
    """The hit with a score that is a plain number, as JSON and tables need it."""
    try:
        number = float(score)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RerankError(f"the reranker {name} gave {hit.name}, page {hit.page}, the score {str(score)[:40]}")
    return hit if type(hit.score) is float and number == hit.score else replace(hit, score=number)


def _by_postprocessor(postprocessor: Any, query: Query, hits: Sequence[Hit], tenant: str) -> list[Hit]:
    from llama_index.core.schema import NodeWithScore

    name = _name(postprocessor)
    nodes = [NodeWithScore(node=node_of(hit, tenant), score=hit.score) for hit in hits]
    with _bundle(query) as bundle:
        given = postprocessor.postprocess_nodes(nodes, query_bundle=bundle)
    by_id = {hit.id: hit for hit in hits}
    by_place = {(hit.source, hit.page): hit for hit in hits}
    found: dict[str, Hit] = {}
    for one in given:
        hit = _hit_of(one, by_id, by_place)
        if hit is None:
            raise RerankError(f"the reranker {name} gave back a node of no page that it was given: {_shown(one)}")
        if hit.id not in found:  # parts of a page, or a page twice: the first counts
            found[hit.id] = _scored(hit, hit.score if one.score is None else one.score, name)
    return list(found.values())


def node_of(hit: Hit, tenant: str = "") -> "BaseNode":
    """A hit as the LlamaIndex node of its page: the same id, text, picture and metadata as in the store."""
    node = page_node_of(
        source=hit.source,
        number=hit.page,
        text=hit.text,
        image_path=hit.image_path,
        metadata={**hit.metadata, "source": hit.source, "page": hit.page, "kind": hit.kind},
        tenant=tenant,
    )
    node.id_ = hit.id
    return node


@contextmanager
def _bundle(query: Query) -> "Iterator[QueryBundle]":
    """The query for a postprocessor. LlamaIndex knows pictures by path alone, and one of them."""
    from llama_index.core.schema import QueryBundle

    if not query.pictures:
        yield QueryBundle(query.words)
        return
    with tempfile.TemporaryDirectory(prefix="vipylo-query-") as folder:
        path = Path(folder) / "query.png"
        picture = query.pictures[0]
        (picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else picture.convert("RGB")).save(path)
        yield QueryBundle(query.words, image_path=str(path))


def _hit_of(found: "NodeWithScore", by_id: dict[str, Hit], by_place: dict[tuple[str, int], Hit]) -> Hit | None:
    node = found.node
    metadata = node.metadata or {}
    try:
        return by_id.get(node.node_id) or by_place.get((metadata["source"], metadata["page"]))
    except (KeyError, TypeError):  # a node without these, or with something else under their names
        return None


def _shown(found: "NodeWithScore") -> str:
    return repr(" ".join(found.node.get_content().split())[:60] or found.node.node_id)
