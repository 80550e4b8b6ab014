"""What both engines do alike before and after talking to Qdrant: check points, check queries, order results."""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from connectors.errors import StoreError
from connectors.page import HASH_KEY
from connectors.stores.lexical import SparseVector, document_vector, query_vector
from connectors.stores.protocol import Point, ScoredPoint, SearchMode, StoredPoint, Vector

DENSE: Final = "page"
SPARSE: Final = "bm25"
TENANT: Final = "tenant"

# Filters on other fields work too, by reading payloads; these are the ones every search of ours may name.
INDEXED_FIELDS: Final[Mapping[str, Literal["keyword", "tenant", "integer"]]] = {
    "source": "keyword",
    "kind": "keyword",
    TENANT: "tenant",
    "page": "integer",
    # LlamaIndex's and LangChain's nodes are deleted and filtered by these; pages do not have them.
    "node_id": "keyword",
    "ref_doc_id": "keyword",
}

# The rank constant of RRF, 0-based ranks. The usual 60 flattens ranks so far that one weak side spoils a strong one;
# 5 is at or near the best for every mix of strong and weak sides (`benchmarks/fusion.py`).
RRF_K: Final = 5
# How deep each side is read before the fusion: a page at rank 100 of both sides can still rise.
_MIN_PREFETCH: Final = 100


@dataclass(frozen=True)
class EncodedPoint:
    """A checked point as engines store it; `sparse` is None where the text has no words."""

    id: str
    dense: list[float]
    sparse: SparseVector | None
    payload: dict[str, Any]


@dataclass(frozen=True)
class EncodedQuery:
    """A checked query: at least one side is set, and both only where they are to be fused."""

    dense: list[float] | None
    sparse: SparseVector | None
    top_k: int

    @property
    def prefetch(self) -> int:
        """How many results each side gives to the fusion."""
        return max(4 * self.top_k, _MIN_PREFETCH)


def encode_point(point: Point, dim: int) -> EncodedPoint:
    """Check one point and compute its lexical vector.

    Raises:
        StoreError: the id is no UUID, the vector is unusable, or the payload is not JSON; the text names the point.
    """
    who = f"point {point.id!r}"
    sparse = document_vector(point.text)
    return EncodedPoint(
        id=point_id(point.id),
        dense=_checked_vector(point.vector, dim, who),
        sparse=sparse if sparse.indices else None,
        payload=_checked_payload(point.payload, who),
    )


def _checked_payload(payload: Mapping[str, Any], who: str) -> dict[str, Any]:
    try:
        # Through bytes, so that a lone surrogate out of a broken PDF is refused here, with the point's name.
        copied: dict[str, Any] = json.loads(json.dumps(dict(payload), allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise StoreError(f"{who}: its payload is not JSON: {error}") from error
    for field, kind in INDEXED_FIELDS.items():
        value = copied.get(field)
        # An integer index would leave a fraction out of every range, silently.
        if kind == "integer" and any(isinstance(v, float) for v in (value if isinstance(value, list) else [value])):
            raise StoreError(f"{who}: its {field!r} is {value!r}; give integers (or text) there")
    return copied


def encode_query(vector: Vector | None, text: str | None, mode: SearchMode, top_k: int, dim: int) -> EncodedQuery:
    """Check what a search was given and decide which sides take part.

    Raises:
        StoreError: nothing to search for in this mode, or an unusable vector.
    """
    if top_k < 1:
        raise StoreError(f"top_k is {top_k}; a search gives at least 1 result")
    if mode not in ("hybrid", "dense", "lexical"):
        raise StoreError(f"unknown search mode {mode!r}; known: hybrid, dense, lexical")
    dense = _checked_vector(vector, dim, "the query") if vector is not None and mode != "lexical" else None
    sparse = query_vector(text) if text and mode != "dense" else None
    if dense is None and sparse is None:
        raise StoreError(_nothing_to_search(mode, text))
    return EncodedQuery(dense, sparse, top_k)


def _nothing_to_search(mode: SearchMode, text: str | None) -> str:
    if mode == "dense":
        return "a dense search needs a vector; pass one, or use mode='lexical' for text alone"
    if text:
        return f"the text {text[:60]!r} has no words to search for; pass words, or a vector"
    return f"a {mode} search needs text{'' if mode == 'lexical' else ' or a vector'}; it was given neither"


def point_id(value: str) -> str:
    """The canonical spelling of a point id. Qdrant takes UUIDs only (and integers, which we do not use).

    Raises:
        StoreError: `value` is no UUID.
    """
    try:
        return str(uuid.UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise StoreError(f"point id {value!r} is no UUID; use connectors.page.page_id or uuid.uuid5") from None


def _checked_vector(vector: Vector, dim: int, who: str) -> list[float]:
    array = np.asarray(vector, dtype=np.float32)
    if array.shape != (dim,):
        raise StoreError(f"{who}: its vector has shape {list(array.shape)}, the store holds [{dim}]")
    if not np.isfinite(array).all():
        raise StoreError(f"{who}: its vector holds NaN or infinity")
    if not array.any():
        raise StoreError(f"{who}: its vector is all zero and has no direction to compare")
    values: list[float] = array.tolist()
    return values


def in_rank_order(found: Iterable[ScoredPoint]) -> list[ScoredPoint]:
    """Best first; equal scores, which RRF gives often, by what the pages show, then by id.

    So a search repeats exactly, and has the same order in another index of the same documents: an id is made of the
    document's path, and would order them anew in every folder. A name would do too, but favours some on purpose:
    in many data sets the right documents are the first by name.
    """
    return sorted(found, key=lambda point: (-point.score, str(point.payload.get(HASH_KEY, "")), point.id))


def count_values(points: Iterable[StoredPoint], field: str, limit: int) -> dict[Any, int]:
    """A facet by reading payloads, for fields without an index; a list counts once for each distinct element."""
    counts: Counter[tuple[type, Any]] = Counter()
    for point in points:
        value = point.payload.get(field)
        elements = value if isinstance(value, list) else [value]
        counts.update({(type(v), v) for v in elements if isinstance(v, str | int)})
    return most_frequent(((value, count) for (_, value), count in counts.items()), limit)


def most_frequent(counts: Iterable[tuple[Any, int]], limit: int) -> dict[Any, int]:
    """The `limit` largest counts, largest first; equal counts by value."""
    return dict(sorted(counts, key=lambda pair: (-pair[1], str(pair[0])))[:limit])


def batches(points: Iterable[EncodedPoint], max_points: int, max_bytes: int) -> Iterator[list[EncodedPoint]]:
    """Consecutive batches of at most `max_points` and about `max_bytes` of JSON each.

    Raises:
        StoreError: one point alone is larger than `max_bytes`.
    """
    batch: list[EncodedPoint] = []
    held = 0
    for point in points:
        size = _json_bytes(point)
        if size > max_bytes:
            raise StoreError(
                f"point {point.id!r} takes {size / 1e6:.0f} MB, more than the {max_bytes / 1e6:.0f} MB a request may "
                "hold; keep large values out of the payload"
            )
        if batch and (len(batch) == max_points or held + size > max_bytes):
            yield batch
            batch, held = [], 0
        batch.append(point)
        held += size
    if batch:
        yield batch


def _json_bytes(point: EncodedPoint) -> int:
    per_float, per_sparse = 24, 36  # the longest spelling of a double, and of an index with its weight
    sparse = len(point.sparse.indices) if point.sparse else 0
    return len(point.dense) * per_float + sparse * per_sparse + len(json.dumps(point.payload)) + 128
