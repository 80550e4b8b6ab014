"""What a LlamaIndex query asks of a store: by vectors, words or both, with weights, with variety."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from connectors.stores.filters import Filter
from connectors.stores.points import RRF_K, in_rank_order
from connectors.stores.protocol import ScoredPoint, Vector, VectorStore
from embedder.errors import InputError

_BY_WORDS: Final = (VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.TEXT_SEARCH)
_BY_VECTORS: Final = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.MMR)
_MMR_LIKENESS: Final = 0.5
# How many candidates are read for each node asked for, and at least, before they are fused or thinned out.
_POOL: Final = 4
_DEPTH: Final = 100


def ranked(store: VectorStore, query: VectorStoreQuery, where: Filter) -> list[ScoredPoint]:
    """The best points that pass `where`, best first. The modes are told in `ViPyloVectorStore.query`.

    Raises:
        InputError: nothing to compare with in this mode, an unknown mode, or an alpha or mmr_threshold outside 0 and 1.
    """
    if query.mode in _BY_WORDS:
        if not query.query_str or not query.query_str.strip():
            raise InputError(f"query mode {query.mode.value!r} compares words, and the query has none")
        return store.search(text=query.query_str, top_k=query.similarity_top_k, where=where, mode="lexical")
    if query.mode not in _BY_VECTORS:
        known = ", ".join(mode.value for mode in _BY_VECTORS + _BY_WORDS)
        raise InputError(f"query mode {query.mode.value!r} is not there; known: {known}")
    if query.query_embedding is None or len(query.query_embedding) == 0:
        raise InputError(
            f"query mode {query.mode.value!r} compares vectors, and the query has none; for an image (or text and "
            "image) use embed_model.query_bundle(text, image) or ViPyloRetriever"
        )
    vector = np.asarray(query.query_embedding, dtype=np.float32)
    if query.mode == VectorStoreQueryMode.HYBRID:
        return _hybrid(store, vector, query, where)
    if query.mode == VectorStoreQueryMode.MMR:
        likeness = _MMR_LIKENESS if query.mmr_threshold is None else query.mmr_threshold
        top_k = query.similarity_top_k
        return varied(store, vector, top_k=top_k, pool=_POOL * top_k, likeness=likeness, where=where)
    return store.search(vector, top_k=query.similarity_top_k, where=where, mode="dense")


def _hybrid(store: VectorStore, vector: Vector, query: VectorStoreQuery, where: Filter) -> list[ScoredPoint]:
    top_k = query.hybrid_top_k or query.similarity_top_k
    text = query.query_str if query.query_str and query.query_str.strip() else None
    alpha = query.alpha
    if alpha is not None and not 0 <= alpha <= 1:
        raise InputError(f"alpha is {alpha}; it goes from 0 (words alone) to 1 (vectors alone)")
    if alpha == 1 or text is None:
        return store.search(vector, top_k=top_k, where=where, mode="dense")
    if alpha == 0:
        return store.search(text=text, top_k=top_k, where=where, mode="lexical")
    if alpha is None:
        return store.search(vector, text, top_k=top_k, where=where, mode="hybrid")
    depth = max(_POOL * top_k, _DEPTH)
    dense = store.search(vector, top_k=depth, where=where, mode="dense")
    lexical = store.search(text=text, top_k=depth, where=where, mode="lexical")
    return _fused([(dense, alpha), (lexical, 1 - alpha)])[:top_k]


def _fused(sides: Iterable[tuple[list[ScoredPoint], float]]) -> list[ScoredPoint]:
    """Reciprocal rank fusion with weights, in rank order."""
    scores: dict[str, float] = {}
    points: dict[str, ScoredPoint] = {}
    for found, weight in sides:
        for rank, point in enumerate(found):
            scores[point.id] = scores.get(point.id, 0.0) + weight / (RRF_K + rank)
            points[point.id] = point
    return in_rank_order(ScoredPoint(id_, score, points[id_].payload) for id_, score in scores.items())


def varied(
    store: VectorStore, vector: Vector, *, top_k: int, pool: int, likeness: float, where: Filter
) -> list[ScoredPoint]:
    """Maximal marginal relevance among the `pool` nearest.

    `likeness` goes from 0 (variety alone) to 1 (likeness to the query alone).

    Raises:
        InputError: `likeness` is outside 0 and 1.
    """
    if not 0 <= likeness <= 1:
        raise InputError(f"the weight of likeness is {likeness}; it goes from 0 (variety alone) to 1 (likeness alone)")
    nearest = store.search(vector, top_k=max(pool, top_k), where=where, mode="dense")
    vectors = {point.id: point.vector for point in store.get([point.id for point in nearest], with_vectors=True)}
    nearest = [point for point in nearest if point.id in vectors]  # all, unless some were deleted meanwhile
    nodes = np.array([vectors[point.id] for point in nearest], dtype=np.float32)
    cosines = np.array([point.score for point in nearest], dtype=np.float32)
    overlap = np.zeros(len(nearest), dtype=np.float32)
    rows: list[int] = []
    while len(rows) < min(top_k, len(nearest)):
        worth = likeness * cosines - (1 - likeness) * overlap
        worth[rows] = -np.inf
        rows.append(int(worth.argmax()))
        closeness = nodes @ nodes[rows[-1]]
        overlap = closeness if len(rows) == 1 else np.maximum(overlap, closeness)
    return [nearest[row] for row in rows]
