"""Qdrant Edge: Qdrant's own engine inside this process, one directory per store, no server. The embedded default."""

import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from filelock import FileLock

from connectors.errors import StoreError
from connectors.stores.edge_files import (
    check_one_piece,
    copy_whole,
    create,
    engine,
    hold,
    is_store,
    load,
    named,
    read_config,
)
from connectors.stores.filters import Filter
from connectors.stores.options import StoreOptions
from connectors.stores.points import (
    DENSE,
    INDEXED_FIELDS,
    RRF_K,
    SPARSE,
    TENANT,
    EncodedPoint,
    EncodedQuery,
    count_values,
    encode_point,
    encode_query,
    in_rank_order,
    most_frequent,
    point_id,
)
from connectors.stores.protocol import Point, ScoredPoint, SearchMode, StoredPoint, Vector
from connectors.stores.qdrant_filter import corpus_of, edge_dialect, json_path, to_engine
from connectors.stores.quantization import oversampling

_UPSERT_BATCH: Final = 256
_PAGE: Final = 256
_CLOSED: Final = "the store is closed; open it again with EdgeStore.open"


class EdgeStore:
    """A `VectorStore` in a directory. One process may have it open at a time; threads may share the object.

    Dense vectors are stored at unit length and given back so. HNSW is built by `optimize`; until then dense search is
    exact and reads every vector.

    >>> with EdgeStore.open(Path("index/store"), dim=1024) as store:      # doctest: +SKIP
    ...     store.upsert([Point(id=page_id("a.pdf", 1), vector=vector, text="…", payload={"source": "a.pdf"})])
    ...     hits = store.search(query_vector, "hóa đơn", where=parse_filter({"source": "a.pdf"}))
    """

    def __init__(self, shard: Any, path: Path, dim: int, options: StoreOptions, held: FileLock) -> None:
        """Use `open`; this only wraps an open shard and the lock held on its directory."""
        self._shard: Any = shard
        self._path = path
        self._dim = dim
        self._options = options
        self._held = held
        # Threads do not speed the engine up, and `backup` closes it for a moment: one caller at a time.
        self._lock = threading.RLock()
        self._dialect = edge_dialect()

    @classmethod
    def open(cls, path: Path | str, dim: int, *, options: StoreOptions | None = None) -> Self:
        """Open the store in `path`, or create it there if the directory is missing or empty.

        Args:
            path: the store's directory.
            dim: length of the dense vectors.
            options: for a new store; one that is there keeps its own.

        Raises:
            StoreError: another process has it open, `path` holds something else or vectors of another length, its
                files are damaged, or the options ask for shards or copies. The text names the path and the way out.
        """
        path = Path(path)
        options = options or StoreOptions()
        if dim < 1:
            raise StoreError(f"a store needs a vector length of at least 1, not {dim}")
        check_one_piece(path, options)
        if not is_store(path):
            create(path, dim, options)
        stored, kept = read_config(path)
        if stored != dim:
            raise StoreError(
                f"store at {path} holds {stored}-d vectors, {dim}-d were asked for; open it with the embedder that "
                "made it, or build the index again with the new one"
            )
        held = hold(path)
        try:
            return cls(load(path), path, dim, kept, held)
        except BaseException:
            held.release()
            raise

    @classmethod
    @contextmanager
    def building(cls, path: Path | str, dim: int, *, options: StoreOptions | None = None) -> Iterator[Self]:
        """A new store that appears at `path` (which must not exist) when the block ends well, and not otherwise."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            fresh = Path(scratch) / "store"
            with cls.open(fresh, dim, options=options) as store:
                yield store
            fresh.rename(path)

    @property
    def dim(self) -> int:
        """Length of the dense vectors."""
        return self._dim

    @property
    def options(self) -> StoreOptions:
        """What the store was made with."""
        return self._options

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._path

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace points by id; returns how many. On disk (not only in the operating system's cache) when it
        returns. If a point is refused, the batches of 256 before it are kept."""
        return self.upsert_encoded(encode_point(point, self._dim) for point in points)

    def upsert_encoded(self, points: Iterable[EncodedPoint]) -> int:
        """`upsert` for points that carry their sparse vector already (copies from another store)."""
        written = 0
        remaining = iter(points)
        try:
            while batch := list(islice(remaining, _UPSERT_BATCH)):
                with self._engine("upsert") as shard:
                    shard.update(engine().UpdateOperation.upsert_points([_edge_point(point) for point in batch]))
                written += len(batch)
        finally:
            if written:
                self.flush()
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
        """The best `top_k` points, best first, equal ones as `in_rank_order` says. See `VectorStore.search`."""
        query = encode_query(vector, text, mode, top_k, self._dim)
        with self._engine("search") as shard:
            found = shard.query(self._request(shard, query, where))
        return in_rank_order(ScoredPoint(str(point.id), float(point.score), point.payload or {}) for point in found)

    def _request(self, shard: Any, query: EncodedQuery, where: Filter | None) -> Any:
        edge = engine()
        passes = to_engine(where, self._dialect)
        fused = query.dense is not None and query.sparse is not None
        limit = query.prefetch if fused else query.top_k
        sides: list[tuple[Any, Any]] = []
        if query.dense is not None:
            sides.append((edge.Query.Nearest(query.dense, using=DENSE), self._dense_params(limit)))
        if query.sparse is not None:
            sparse = edge.SparseVector(query.sparse.indices, query.sparse.values)
            sides.append((edge.Query.Nearest(sparse, using=SPARSE), self._sparse_params(shard, where)))
        if not fused:
            [(side, params)] = sides
            return edge.QueryRequest(limit=limit, query=side, filter=passes, with_payload=True, params=params)
        prefetches = [edge.Prefetch(limit=limit, query=side, filter=passes, params=params) for side, params in sides]
        fusion = edge.Fusion.Rrf(k=RRF_K)
        return edge.QueryRequest(limit=query.top_k, query=fusion, prefetches=prefetches, with_payload=True)

    def _dense_params(self, limit: int) -> Any:
        times = oversampling(self._options.quantization, limit)
        if times is None:
            return None
        edge = engine()
        return edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True, oversampling=times))

    def _sparse_params(self, shard: Any, where: Filter | None) -> Any:
        edge = engine()
        corpus = corpus_of(where)
        if corpus is None or len(shard.facet(edge.FacetRequest(key=TENANT, limit=2)).hits) < 2:
            return None
        return edge.SearchParams(idf=edge.IdfParams(corpus=to_engine(corpus, self._dialect)))

    def get(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[StoredPoint]:
        """Points by id, in the order of `ids`, each once; unknown ids are left out."""
        wanted = list(dict.fromkeys(point_id(value) for value in ids))
        with self._engine("get") as shard:
            records = shard.retrieve(wanted, with_payload=True, with_vector=[DENSE] if with_vectors else False)
        found = {point.id: point for point in map(_stored_point, records)}
        return [found[id_] for id_ in wanted if id_ in found]

    def delete(self, ids: Sequence[str] | None = None, *, where: Filter | None = None) -> int:
        """Delete by ids or by filter (exactly one of them); returns how many points went away."""
        if (ids is None) == (where is None):
            raise StoreError("delete needs ids or a filter, and not both")
        operations = engine().UpdateOperation
        with self._engine("delete") as shard:
            before = self.count()
            if where is not None:
                shard.update(operations.delete_points_by_filter(to_engine(where, self._dialect)))
            elif ids:
                shard.update(operations.delete_points([point_id(value) for value in ids]))
            shard.flush()
            return before - self.count()

    def scroll(self, where: Filter | None = None, *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Every point that passes the filter, each once, in id order, a page of 256 in memory at a time."""
        edge = engine()
        engine_filter = to_engine(where, self._dialect)
        wanted: Any = [DENSE] if with_vectors else False
        offset: Any = None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=_PAGE, filter=engine_filter, with_payload=True, with_vector=wanted
            )
            with self._engine("scroll") as shard:
                records, offset = shard.scroll(request)
            yield from map(_stored_point, records)
            if offset is None:
                return

    def count(self, where: Filter | None = None) -> int:
        """How many points pass the filter, exactly."""
        request = engine().CountRequest(exact=True, filter=to_engine(where, self._dialect))
        with self._engine("count") as shard:
            return int(shard.count(request))

    def facet(self, field: str, where: Filter | None = None, *, limit: int = 100) -> dict[Any, int]:
        """The most frequent values of a payload field with their counts. Reads all payloads for unindexed fields."""
        if field not in INDEXED_FIELDS:
            return count_values(self.scroll(where), field, limit)
        engine_filter = to_engine(where, self._dialect)
        request = engine().FacetRequest(key=json_path(field), limit=limit, exact=True, filter=engine_filter)
        with self._engine("facet") as shard:
            hits = shard.facet(request).hits
        return most_frequent(((hit.value, hit.count) for hit in hits), limit)

    def optimize(self) -> None:
        """Build HNSW now. Holds the interpreter the whole time (minutes at 100,000 points): after ingest, not while
        serving. Small stores stay exact, as the engine finds that faster."""
        with self._engine("optimize") as shard:
            shard.optimize()
            shard.flush()

    def flush(self) -> None:
        """Write what the operating system may still hold in memory to disk."""
        with self._engine("flush") as shard:
            shard.flush()

    def backup(self, target: Path | str) -> None:
        """Copy the store to the directory `target`, which must not exist. The store is closed while it is copied;
        calls from other threads wait."""
        target = Path(target)
        if target.exists():
            raise StoreError(f"backup target {target} exists already; name a directory that does not")
        with self._engine("backup") as shard:
            shard.flush()
            shard.close()
            self._shard = None
            try:
                copy_whole(self._path, target)
            finally:
                self._shard = load(self._path)

    def close(self) -> None:
        """Flush and release files and locks. Closing twice is allowed."""
        with self._lock:
            shard, self._shard = self._shard, None
            try:
                if shard is not None:
                    with named(self._path, "close"):
                        shard.flush()
                        shard.close()
            finally:
                self._held.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _engine(self, action: str) -> Iterator[Any]:
        """The shard for one action, with the lock held and the engine's bare exceptions named."""
        with self._lock:
            if self._shard is None:
                raise StoreError(f"cannot {action} {self._path}: {_CLOSED}")
            with named(self._path, action):
                yield self._shard


def _edge_point(point: EncodedPoint) -> Any:
    edge = engine()
    vectors: dict[str, Any] = {DENSE: point.dense}
    if point.sparse is not None:
        vectors[SPARSE] = edge.SparseVector(point.sparse.indices, point.sparse.values)
    return edge.Point(point.id, vectors, point.payload)


def _stored_point(record: Any) -> StoredPoint:
    dense = record.vector[DENSE] if record.vector else None
    vector = None if dense is None else np.asarray(dense, dtype=np.float32)
    return StoredPoint(str(record.id), record.payload or {}, vector)
