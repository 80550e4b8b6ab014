"""A Qdrant server or cluster by URL, with the same semantics as the embedded store."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from connectors.errors import StoreError
from connectors.stores.collection import check_collection, create_collection, create_indexes, options_of
from connectors.stores.filters import Filter
from connectors.stores.lexical import SparseVector
from connectors.stores.options import StoreOptions
from connectors.stores.points import (
    DENSE,
    INDEXED_FIELDS,
    RRF_K,
    SPARSE,
    TENANT,
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
from connectors.stores.qdrant_filter import client_dialect, corpus_of, json_path, to_engine
from connectors.stores.quantization import oversampling
from connectors.stores.retry import PatientClient

# The server refuses requests above 32 MB; half of it leaves room for what the estimate misses.
_REQUEST_BYTES: Final = 16_000_000
_REQUEST_POINTS: Final = 512
_PAGE: Final = 256
_IDS: Final = 1000
_RETRY_SECONDS: Final = 120.0

Answer = TypeVar("Answer")


class ServerStore:
    """A `VectorStore` in one collection of a Qdrant server or cluster. Many processes may share it.

    The server is 1.16 or newer; word statistics within a tenant (see `VectorStore.search`) need 1.19.
    """

    def __init__(self, client: Any, patient: PatientClient, dim: int, collection: str, name: str) -> None:
        """Use `open` or `over`; `name` is how errors call the server."""
        self._client: Any = client
        self._patient = patient
        self._dim = dim
        self._collection = collection
        self._name = name
        self._dialect = client_dialect()
        self._options = StoreOptions()
        self._has_tenants = False  # once true, not asked again

    @classmethod
    def open(
        cls,
        url: str,
        dim: int,
        *,
        collection: str = "vipylo",
        api_key: str | None = None,
        options: StoreOptions | None = None,
        timeout: int = 60,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> Self:
        """Connect to the server at `url`, and create the collection if it is not there.

        Args:
            url: `http(s)://host[:port]`; credentials in it are not shown in errors.
            dim: length of the dense vectors.
            collection: its name on the server.
            api_key: sent with every request; use it with https only.
            options: for a new collection; one that is there keeps its own.
            timeout: seconds each request may take.
            retry_seconds: how long a request is tried again while the server is away or busy (3 s at most before its
                first answer); each attempt is logged as a warning.

        Raises:
            StoreUnavailableError: the server cannot be reached, or could not answer in that time.
            StoreError: it refuses, or the collection holds other vectors.
        """
        from qdrant_client import QdrantClient

        name = without_credentials(url)
        try:
            client = QdrantClient(url=url, api_key=api_key, timeout=timeout, check_compatibility=False)
        except (ValueError, RuntimeError) as error:
            raise StoreError(f"{name} is no address of a Qdrant server: {error}") from error
        patient = PatientClient(f"the Qdrant server at {name}", retry_seconds)
        return cls(client, patient, dim, collection, name)._ready(options or StoreOptions())

    @classmethod
    def over(
        cls,
        client: Any,
        dim: int,
        *,
        collection: str = "vipylo",
        options: StoreOptions | None = None,
        name: str = "the given client",
        retry_seconds: float = _RETRY_SECONDS,
    ) -> Self:
        """A store over a `qdrant_client.QdrantClient` of the caller's (also `QdrantClient(":memory:")`), which `close`
        closes. Raises like `open`."""
        return cls(client, PatientClient(name, retry_seconds), dim, collection, name)._ready(options or StoreOptions())

    def _ready(self, options: StoreOptions) -> Self:
        """Make the collection if it is missing, check it if not."""
        collection = self._collection
        if not self._ask("open", lambda client: client.collection_exists(collection)):
            self._ask("create", lambda client: create_collection(client, collection, self._dim, options))
        info = self._ask("open", lambda client: client.get_collection(collection))
        check_collection(info.config.params, self._dim, f"collection {collection!r} at {self._name}")
        self._options = options_of(info.config.params)
        missing = set(INDEXED_FIELDS) - set(info.payload_schema)
        self._ask("create indexes", lambda client: create_indexes(client, collection, missing))
        return self

    @property
    def dim(self) -> int:
        """Length of the dense vectors."""
        return self._dim

    @property
    def options(self) -> StoreOptions:
        """What the collection was made with."""
        return self._options

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace points by id; returns how many. Sent in batches below the server's 32 MB limit; each is on
        the server's disk before the next. If a point is refused, the batches before it are kept."""
        encoded = (encode_point(point, self._dim) for point in points)
        written = 0
        for batch in batches(encoded, _REQUEST_POINTS, _REQUEST_BYTES):
            self._upsert([_point_struct(point) for point in batch])
            written += len(batch)
        return written

    def _upsert(self, points: list[Any]) -> None:
        self._ask("upsert", lambda client: client.upsert(self._collection, points=points, wait=True))

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
        request = self._request(query, where)
        found = self._ask(
            "search", lambda client: client.query_points(self._collection, limit=top_k, with_payload=True, **request)
        ).points
        return in_rank_order(ScoredPoint(str(point.id), float(point.score), point.payload or {}) for point in found)

    def _request(self, query: EncodedQuery, where: Filter | None) -> dict[str, Any]:
        models = self._dialect.types
        passes = to_engine(where, self._dialect)
        fused = query.dense is not None and query.sparse is not None
        limit = query.prefetch if fused else query.top_k
        sides: list[tuple[Any, str, Any]] = []
        if query.dense is not None:
            sides.append((query.dense, DENSE, self._dense_params(limit)))
        if query.sparse is not None:
            sparse = models.SparseVector(indices=query.sparse.indices, values=query.sparse.values)
            sides.append((sparse, SPARSE, self._sparse_params(where)))
        if not fused:
            [(side, using, params)] = sides
            return {"query": side, "using": using, "query_filter": passes, "search_params": params}
        prefetch = [
            models.Prefetch(query=side, using=using, filter=passes, limit=limit, params=params)
            for side, using, params in sides
        ]
        return {"prefetch": prefetch, "query": models.RrfQuery(rrf=models.Rrf(k=RRF_K))}

    def _dense_params(self, limit: int) -> Any:
        times = oversampling(self._options.quantization, limit)
        if times is None:
            return None
        models = self._dialect.types
        return models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=times))

    def _sparse_params(self, where: Filter | None) -> Any:
        corpus = corpus_of(where)
        if corpus is None or not self._several_tenants():
            return None
        models = self._dialect.types
        return models.SearchParams(idf=models.IdfCorpusParams(corpus=to_engine(corpus, self._dialect)))

    def _several_tenants(self) -> bool:
        if not self._has_tenants:
            found = self._ask("search", lambda client: client.facet(self._collection, key=TENANT, limit=2))
            self._has_tenants = len(found.hits) > 1
        return self._has_tenants

    def get(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[StoredPoint]:
        """Points by id, in the order of `ids`, each once; unknown ids are left out."""
        wanted = list(dict.fromkeys(point_id(value) for value in ids))
        found: dict[str, StoredPoint] = {}
        for batch in _batched(wanted, _PAGE if with_vectors else _IDS):
            for record in self._retrieve("get", batch, payload=True, vectors=[DENSE] if with_vectors else False):
                found[str(record.id)] = _stored_point(record)
        return [found[id_] for id_ in wanted if id_ in found]

    def _retrieve(self, action: str, ids: list[str], *, payload: bool, vectors: Any) -> list[Any]:
        records: list[Any] = self._ask(
            action, lambda client: client.retrieve(self._collection, ids, with_payload=payload, with_vectors=vectors)
        )
        return records

    def delete(self, ids: Sequence[str] | None = None, *, where: Filter | None = None) -> int:
        """Delete by ids or by filter (exactly one of them); returns how many points matched when it began."""
        if (ids is None) == (where is None):
            raise StoreError("delete needs ids or a filter, and not both")
        if where is not None:
            return self._delete(self._dialect.types.FilterSelector(filter=to_engine(where, self._dialect)), where)
        deleted = 0
        for batch in _batched(dict.fromkeys(point_id(value) for value in ids or ()), _IDS):
            there = [record.id for record in self._retrieve("delete", batch, payload=False, vectors=False)]
            if there:
                self._delete(self._dialect.types.PointIdsList(points=there))
            deleted += len(there)
        return deleted

    def _delete(self, selector: Any, where: Filter | None = None) -> int:
        matched = self.count(where) if where is not None else 0
        self._ask("delete", lambda client: client.delete(self._collection, points_selector=selector, wait=True))
        return matched

    def scroll(self, where: Filter | None = None, *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Every point that passes the filter, each once, in id order, a page of 256 in memory at a time."""
        for record in self._records(where, [DENSE] if with_vectors else False):
            yield _stored_point(record)

    def _records(self, where: Filter | None, vectors: Any) -> Iterator[Any]:
        engine_filter = to_engine(where, self._dialect)
        offset: Any = None
        while True:
            records, offset = self._scroll_page(engine_filter, vectors, offset)
            yield from records
            if offset is None:
                return

    def _scroll_page(self, engine_filter: Any, vectors: Any, offset: Any) -> tuple[list[Any], Any]:
        page: tuple[list[Any], Any] = self._ask(
            "scroll",
            lambda client: client.scroll(
                self._collection,
                scroll_filter=engine_filter,
                limit=_PAGE,
                offset=offset,
                with_payload=True,
                with_vectors=vectors,
            ),
        )
        return page

    def count(self, where: Filter | None = None) -> int:
        """How many points pass the filter, exactly."""
        engine_filter = to_engine(where, self._dialect)
        found = self._ask(
            "count", lambda client: client.count(self._collection, count_filter=engine_filter, exact=True)
        )
        return int(found.count)

    def facet(self, field: str, where: Filter | None = None, *, limit: int = 100) -> dict[Any, int]:
        """The most frequent values of a payload field with their counts. Reads all payloads for unindexed fields."""
        if field not in INDEXED_FIELDS:
            return count_values(self.scroll(where), field, limit)
        engine_filter = to_engine(where, self._dialect)
        response = self._ask(
            "facet",
            lambda client: client.facet(
                self._collection, key=json_path(field), facet_filter=engine_filter, limit=limit, exact=True
            ),
        )
        return most_frequent(((hit.value, hit.count) for hit in response.hits), limit)

    def optimize(self, timeout: float = 3600.0) -> None:
        """Wait until the server has built its indexes, which it does by itself after upserts.

        Raises:
            StoreError: it was not done within `timeout` seconds, or the server reports an optimizer error.
        """
        models = self._dialect.types
        deadline = time.monotonic() + timeout
        nudge = models.OptimizersConfigDiff()
        while True:
            status = self._ask("optimize", lambda client: client.get_collection(self._collection).status)
            if status == models.CollectionStatus.GREY:  # pending since a restart, waits for any update to start
                self._ask(
                    "optimize", lambda client: client.update_collection(self._collection, optimizers_config=nudge)
                )
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
        kept = StoreOptions(quantization=self._options.quantization, on_disk=self._options.on_disk)
        with EdgeStore.building(target, self._dim, options=kept) as copy:
            copy.upsert_encoded(_encoded(record) for record in self._records(None, [DENSE, SPARSE]))

    def drop(self) -> None:
        """Delete the collection with all its points from the server. The store cannot be used after it."""
        self._ask("drop", lambda client: client.delete_collection(self._collection))

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

    def _ask(self, action: str, request: Callable[[Any], Answer]) -> Answer:
        """What the server answers, tried again while it is away; its failures named."""
        client = self._client
        if client is None:
            raise StoreError(f"cannot {action} {self._name}: the store is closed; open it again")
        return self._patient.ask(action, lambda: request(client))


def without_credentials(url: str) -> str:
    """A URL without user, password, query and fragment, fit for messages and logs."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _batched(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(ids)
    while batch := list(islice(remaining, size)):
        yield batch


def _stored_point(record: Any) -> StoredPoint:
    vector = np.asarray(record.vector[DENSE], dtype=np.float32) if record.vector else None
    return StoredPoint(str(record.id), record.payload or {}, vector)


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
