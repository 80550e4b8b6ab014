"""What any vector store must do. Stores know points, vectors and filters; they know nothing of models or documents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from connectors.stores.filters import Filter
from connectors.stores.options import StoreOptions

SearchMode = Literal["hybrid", "dense", "lexical"]
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Point:
    """One stored page: `vector` is the dense vector [dim] float32; `text` feeds the lexical (`bm25`) side.

    `id` is a UUID. `payload` is JSON; `page` in it is an integer where it is a number.
    """

    id: str
    vector: Vector
    text: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoredPoint:
    """A search result. `score`: cosine in dense mode, BM25 in lexical mode, the RRF score in hybrid mode."""

    id: str
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class StoredPoint:
    """A point as `get` and `scroll` give it back; `vector` is None unless asked for, and of unit length."""

    id: str
    payload: Mapping[str, Any]
    vector: Vector | None = None


@runtime_checkable
class VectorStore(Protocol):
    """A collection of points with a dense vector `page` and a sparse vector `bm25`, searchable by either or both."""

    @property
    def dim(self) -> int:
        """Length of the dense vectors."""

    @property
    def options(self) -> StoreOptions:
        """What the store was made with, which may differ from what `open` was given."""

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace points by id; returns how many. Durable when it returns. A point that cannot be stored
        raises `StoreError` with its id; batches before it are kept."""

    def search(
        self,
        vector: Vector | None = None,
        text: str | None = None,
        *,
        top_k: int = 10,
        where: Filter | None = None,
        mode: SearchMode = "hybrid",
    ) -> list[ScoredPoint]:
        """The best `top_k` points, best first. Hybrid is RRF over both sides; with only a vector (or only text)
        given, hybrid is that side alone. Never returns scroll order: a search with nothing to search for raises.

        How rare a word is, which BM25 scores go by, is counted among the points of the tenants that `where` holds to:
        what others store does not show in a tenant's scores. Other conditions leave the statistics as they are."""

    def get(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[StoredPoint]:
        """Points by id, in the order of `ids`, each once; unknown ids are left out."""

    def delete(self, ids: Sequence[str] | None = None, *, where: Filter | None = None) -> int:
        """Delete by ids or by filter (exactly one of them); returns how many points went away."""

    def scroll(self, where: Filter | None = None, *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Every point that passes the filter, each once, in id order, in bounded memory."""

    def count(self, where: Filter | None = None) -> int:
        """How many points pass the filter, exactly."""

    def facet(self, field: str, where: Filter | None = None, *, limit: int = 100) -> dict[Any, int]:
        """The most frequent values of a payload field with their counts, most frequent first."""

    def optimize(self) -> None:
        """Build the ANN index now. May take long and hold the interpreter: end of ingest, not while serving."""

    def backup(self, target: Path) -> None:
        """Write a copy that `EdgeStore.open` accepts to `target` (a directory that does not exist yet)."""

    def close(self) -> None:
        """Flush and release files and locks. Closing twice is allowed."""
