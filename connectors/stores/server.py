"""A Qdrant server or cluster by URL, with the same semantics as the embedded store."""

import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from connectors.errors import StoreError
from connectors.stores.filters import Filter
from connectors.stores.lexical import SparseVector
from connectors.stores.points import (
    DENSE,
    INDEXED_FIELDS,
    RRF_K,
    SPARSE,
    EncodedPoint,
    EncodedQuery,
    batches,
    count_values,
    encode_point,
    encode_query,
    in_rank_order,
    most_frequent,
    point_id,
)
from connectors.stores.protocol import Point, ScoredPoint, SearchMode, StoredPoint, Vector
from connectors.stores.qdrant_filter import client_dialect, json_path, to_engine

# The server refuses requests above 32 MB; half of it leaves room for what the estimate misses.
_REQUEST_BYTES: Final = 16_000_000
_REQUEST_POINTS: Final = 512
_PAGE: Final = 256
_IDS: Final = 1000


class ServerStore:
    """A `VectorStore` in one collection of a Qdrant server (1.16 or newer) or cluster. Many processes may share it."""

    def __init__(self, client: Any, dim: int, collection: str, name: str) -> None:
        """Use `open` or `over`; `name` is how errors call the server."""
        self._client: Any = client
        self._dim = dim
        self._collection = collection
        self._name = name
        self._dialect = client_dialect()

    @classmethod
    def open(
        cls, url: str, dim: int, *, collection: str = "vipylo", api_key: str | None = None, timeout: int = 60
    ) -> Self:
        """Connect to the server at `url`, and create the collection if it is not there.

        Args:
            url: `http(s)://host[:port]`; credentials in it are not shown in errors.
            dim: length of the dense vectors.
            api_key: sent with every request; use it with https only.
            timeout: seconds each request may take.

        Raises:
            StoreError: the server cannot be reached or refuses, or the collection holds other vectors.
        """
        from qdrant_client import QdrantClient

        name = without_credentials(url)
        with _named(name, "connect"):
            client = QdrantClient(url=url, api_key=api_key, timeout=timeout, check_compatibility=False)
        return cls.over(client, dim, collection=collection, name=name)

    @classmethod
    def over(cls, client: Any, dim: int, *, collection: str = "vipylo", name: str = "the given client") -> Self:
        """A store over a `qdrant_client.QdrantClient` of the caller's (also `QdrantClient(":memory:")`), which `close`
        closes. Raises like `open`."""
        store = cls(client, dim, collection, name)
        with store._asking("open"):
            if not client.collection_exists(collection):
                _create_collection(client, collection, dim)
            info = client.get_collection(collection)
            store._check_collection(info.config.params)
            _create_indexes(client, collection, set(INDEXED_FIELDS) - set(info.payload_schema))
        return store

    @property
    def dim(self) -> int:
        """Length of the dense vectors."""
        return self._dim

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace points by id; returns how many. Sent in batches below the server's 32 MB limit; each is on
        the server's disk before the next. If a point is refused, the batches before it are kept."""
        encoded = (encode_point(point, self._dim) for point in points)
        written = 0
        for batch in batches(encoded, _REQUEST_POINTS, _REQUEST_BYTES):
            with self._asking("upsert") as client:
                client.upsert(self._collection, points=[_point_struct(point) for point in batch], wait=True)
            written += len(batch)
        return written

    def search(
        self,
        vector: Vector | None = None,
        text: str | None = None,
        *,
        top_k: int = 10,
        where: Filter | None = None,
        mode: SearchMode = "hybrid",
    ) -> list[ScoredPoint]:
        """The best `top_k` points, best first, equal scores by id. See `VectorStore.search`."""
        query = encode_query(vector, text, mode, top_k, self._dim)
        request = _query(query, to_engine(where, self._dialect))
        with self._asking("search") as client:
            found = client.query_points(self._collection, limit=top_k, with_payload=True, **request).points
        return in_rank_order(ScoredPoint(str(point.id), float(point.score), point.payload or {}) for point in found)

    def delete(self, ids: Sequence[str] | None = None, *, where: Filter | None = None) -> int:
        """Delete by ids or by filter (exactly one of them); returns how many points matched when it began."""
        if (ids is None) == (where is None):
            raise StoreError("delete needs ids or a filter, and not both")
        if where is not None:
            return self._delete(self._dialect.types.FilterSelector(filter=to_engine(where, self._dialect)), where)
        remaining = iter(dict.fromkeys(point_id(value) for value in ids or ()))
        deleted = 0
        while batch := list(islice(remaining, _IDS)):
            with self._asking("delete") as client:
                there = client.retrieve(self._collection, batch, with_payload=False, with_vectors=False)
            if there:
                self._delete(self._dialect.types.PointIdsList(points=[record.id for record in there]))
            deleted += len(there)
        return deleted

    def _delete(self, selector: Any, where: Filter | None = None) -> int:
        matched = self.count(where) if where is not None else 0
        with self._asking("delete") as client:
            client.delete(self._collection, points_selector=selector, wait=True)
        return matched

    def scroll(self, where: Filter | None = None, *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Every point that passes the filter, each once, in id order, a page of 256 in memory at a time."""
        for record in self._records(where, [DENSE] if with_vectors else False):
            vector = np.asarray(record.vector[DENSE], dtype=np.float32) if with_vectors else None
            yield StoredPoint(str(record.id), record.payload or {}, vector)

    def _records(self, where: Filter | None, vectors: Any) -> Iterator[Any]:
        engine_filter = to_engine(where, self._dialect)
        offset: Any = None
        while True:
            with self._asking("scroll") as client:
                records, offset = client.scroll(
                    self._collection,
                    scroll_filter=engine_filter,
                    limit=_PAGE,
                    offset=offset,
                    with_payload=True,
                    with_vectors=vectors,
                )
            yield from records
            if offset is None:
                return

    def count(self, where: Filter | None = None) -> int:
        """How many points pass the filter, exactly."""
        with self._asking("count") as client:
            found = client.count(self._collection, count_filter=to_engine(where, self._dialect), exact=True)
        return int(found.count)

    def facet(self, field: str, where: Filter | None = None, *, limit: int = 100) -> dict[Any, int]:
        """The most frequent values of a payload field with their counts. Reads all payloads for unindexed fields."""
        if field not in INDEXED_FIELDS:
            return count_values(self.scroll(where), field, limit)
        engine_filter = to_engine(where, self._dialect)
        with self._asking("facet") as client:
            response = client.facet(
                self._collection, key=json_path(field), facet_filter=engine_filter, limit=limit, exact=True
            )
        return most_frequent(((hit.value, hit.count) for hit in response.hits), limit)

    def optimize(self, timeout: float = 3600.0) -> None:
        """Wait until the server has built its indexes, which it does by itself after upserts.

        Raises:
            StoreError: it was not done within `timeout` seconds, or the server reports an optimizer error.
        """
        models = self._dialect.types
        deadline = time.monotonic() + timeout
        while True:
            with self._asking("optimize") as client:
                status = client.get_collection(self._collection).status
                if status == models.CollectionStatus.GREY:  # pending since a restart, waits for any update to start
                    client.update_collection(self._collection, optimizers_config=models.OptimizersConfigDiff())
            if status == models.CollectionStatus.GREEN:
                return
            if status == models.CollectionStatus.RED or time.monotonic() > deadline:
                raise StoreError(f"collection {self._collection!r} at {self._name} is {status.value}; see its log")
            time.sleep(0.5)

    def backup(self, target: Path | str) -> None:
        """Copy the collection to a Qdrant Edge store in the directory `target`, which must not exist: a backup that
        `EdgeStore.open` reads with no server. Stop writers first, as points written meanwhile may be left out. For very
        large collections, take a snapshot on the server instead."""
        from connectors.stores.edge import EdgeStore

        target = Path(target)
        if target.exists():
            raise StoreError(f"backup target {target} exists already; name a directory that does not")
        with EdgeStore.building(target, self._dim) as copy:
            copy.upsert_encoded(_encoded(record) for record in self._records(None, [DENSE, SPARSE]))

    def drop(self) -> None:
        """Delete the collection with all its points from the server. The store cannot be used after it."""
        with self._asking("drop") as client:
            client.delete_collection(self._collection)

    def close(self) -> None:
        """Close the connection. Closing twice is allowed."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_collection(self, params: Any) -> None:
        dense = params.vectors.get(DENSE) if isinstance(params.vectors, dict) else None
        if dense is None or SPARSE not in (params.sparse_vectors or {}):
            raise StoreError(
                f"collection {self._collection!r} at {self._name} was not made by this package (it has no {DENSE!r} "
                f"and {SPARSE!r} vectors); choose another collection name"
            )
        if dense.size != self._dim:
            raise StoreError(
                f"collection {self._collection!r} at {self._name} holds {dense.size}-d vectors, {self._dim}-d were "
                "asked for; choose another collection name, or the embedder that made it"
            )

    @contextmanager
    def _asking(self, action: str) -> Iterator[Any]:
        """The client for one action, with its exceptions named."""
        if self._client is None:
            raise StoreError(f"cannot {action} {self._name}: the store is closed; open it again")
        with _named(self._name, action):
            yield self._client


def without_credentials(url: str) -> str:
    """A URL without user, password, query and fragment, fit for messages and logs."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextmanager
def _named(name: str, action: str) -> Iterator[None]:
    from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

    try:
        yield
    except ResponseHandlingException as error:
        raise StoreError(
            f"{action}: no answer from the Qdrant server at {name} ({error.source}); is it running, and the URL right?"
        ) from error
    except UnexpectedResponse as error:
        if error.status_code in (401, 403):
            raise StoreError(
                f"{action}: the Qdrant server at {name} refused the API key ({error.status_code})"
            ) from error
        answer = (error.content or b"").decode("utf-8", "replace")[:300].replace("\n", " ")
        raise StoreError(f"{action} failed on the Qdrant server at {name}: {error.status_code} {answer}") from error
    except (ApiException, ValueError, RuntimeError, AssertionError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{action} failed on {name}: {error}") from error


def _create_collection(client: Any, collection: str, dim: int) -> None:
    from qdrant_client import models
    from qdrant_client.http.exceptions import UnexpectedResponse

    try:
        client.create_collection(
            collection,
            vectors_config={DENSE: models.VectorParams(size=dim, distance=models.Distance.COSINE)},
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
    except UnexpectedResponse:
        if not client.collection_exists(collection):  # else another process made it meanwhile
            raise


def _create_indexes(client: Any, collection: str, fields: Iterable[str]) -> None:
    """Apart from the collection's creation, after which a process may have died."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Payload indexes have no effect in the local Qdrant")
        for field in sorted(fields):
            schema = _index(INDEXED_FIELDS[field])
            client.create_payload_index(collection, json_path(field), field_schema=schema, wait=True)


def _index(kind: str) -> Any:
    from qdrant_client import models

    if kind == "integer":
        return models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=True)
    return models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=kind == "tenant")


def _query(query: EncodedQuery, where: Any) -> dict[str, Any]:
    from qdrant_client import models

    sides: list[tuple[Any, str]] = []
    if query.dense is not None:
        sides.append((query.dense, DENSE))
    if query.sparse is not None:
        sides.append((models.SparseVector(indices=query.sparse.indices, values=query.sparse.values), SPARSE))
    if len(sides) == 1:
        return {"query": sides[0][0], "using": sides[0][1], "query_filter": where}
    prefetch = [models.Prefetch(query=side, using=using, filter=where, limit=query.prefetch) for side, using in sides]
    return {"prefetch": prefetch, "query": models.RrfQuery(rrf=models.Rrf(k=RRF_K))}


def _point_struct(point: EncodedPoint) -> Any:
    from qdrant_client import models

    vectors: dict[str, Any] = {DENSE: point.dense}
    if point.sparse is not None:
        vectors[SPARSE] = models.SparseVector(indices=point.sparse.indices, values=point.sparse.values)
    return models.PointStruct(id=point.id, vector=vectors, payload=point.payload)


def _encoded(record: Any) -> EncodedPoint:
    sparse = record.vector.get(SPARSE)
    return EncodedPoint(
        id=str(record.id),
        dense=record.vector[DENSE],
        sparse=SparseVector(sparse.indices, sparse.values) if sparse is not None else None,
        payload=record.payload or {},
    )
