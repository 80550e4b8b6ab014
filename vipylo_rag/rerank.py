"""Putting the best hits of a search into a better order, before they are shown or an answer is made from them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from vipylo_rag.query import Query
from vipylo_rag.search import Hit

if TYPE_CHECKING:
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

Rerank: TypeAlias = Union[Callable[[list[Hit]], Sequence[Hit]], "BaseNodePostprocessor"]


def reranked(rerank: Rerank, query: Query, hits: list[Hit]) -> list[Hit]:
    """The hits as `rerank` orders them; it may leave some out."""
    return list(rerank(hits))
