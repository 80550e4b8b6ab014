"""Building the page graph of an index: only new and changed pages are read, only new and changed nodes embedded.

A run that is killed leaves the graph that was there; what it had read and embedded is not done again by the next.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from llama_index.core.graph_stores.types import EntityNode, PropertyGraphStore
from llama_index.core.schema import TransformComponent

from connectors.stores.protocol import StoredPoint, VectorStore
from embedder.protocol import Embedder
from vipylo_rag.graph.counts import count_nodes, count_relations
from vipylo_rag.graph.extraction import Extraction
from vipylo_rag.graph.near import Neighbours
from vipylo_rag.graph.projection import Projection, Told
from vipylo_rag.graph.readings import Readings
from vipylo_rag.graph.report import GraphFailure, GraphProgress, GraphReport
from vipylo_rag.graph.vectors import NodeVectors
from vipylo_rag.tenants import for_tenant

T = TypeVar("T")

_SCROLLED: Final = 256
_READ: Final = 32  # pages that an extractor is given at a time


@dataclass(frozen=True)
class GraphParts:
    """What a build works on: the readings, the store of nodes and relations, their vectors; and the index's pages with
    their folder of pictures and words. `file` is where the store is to be kept; None for one that keeps itself."""

    readings: Readings
    store: PropertyGraphStore
    vectors: VectorStore
    pages: VectorStore
    assets: Path
    file: Path | None


class GraphBuild:
    """One run for one tenant. Call `run` once, as the only writer of the index."""

    def __init__(
        self, parts: GraphParts, extractor: TransformComponent, embedder: Embedder, progress: GraphProgress | None
    ) -> None:
        self._parts = parts
        self._extractor = extractor
        self._embedder = embedder
        self._progress = progress or (lambda report: None)
        self.report = GraphReport()

    def run(self, tenant: str) -> GraphReport:
        """Bring a tenant's part of the graph up to date with the index.

        Raises:
            LLMError: the extractor's model is away. StoreError: a store is.
        """
        begun = time.monotonic()
        readings = self._parts.readings
        self._read(tenant)
        self._begin("neighbours")
        Neighbours(readings, self._parts.pages, tenant).update(self._told)
        projection = Projection(readings, self._parts.store)
        vectors = NodeVectors(readings, self._parts.vectors, self._parts.pages, self._parts.assets)
        self._begin("write")
        settle(self._parts, projection, vectors, self._told)
        self._begin("embed")
        waiting = readings.count("due")
        for lost in vectors.make(projection, self._embedder, self._told):
            said = lost.node.properties
            if said["tenant"] != tenant:  # what waits is made for all tenants, and told to its own
                continue
            what = said["name"] if isinstance(lost.node, EntityNode) else f"figure {said['number']}"
            self.report.failures.append(GraphFailure(*self._place(lost.node.id), f"{what}: {lost.reason}"))
        self.report.embedded = waiting - readings.count("due")
        self.report.nodes = count_nodes(readings, tenant)
        self.report.relations = count_relations(readings, tenant)
        self.report.seconds = time.monotonic() - begun
        self._begin("")
        return self.report

    def _read(self, tenant: str) -> None:
        readings, report = self._parts.readings, self.report
        where = for_tenant(tenant)
        report.pages = self._parts.pages.count(where)
        self._begin("read", report.pages)
        readings.db.execute("DELETE FROM seen")
        extraction = Extraction(self._extractor, self._parts.assets, tenant)
        waiting: list[StoredPoint] = []
        for some in _portions(self._parts.pages.scroll(where), _SCROLLED):
            readings.db.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [(page.id,) for page in some])
            known = readings.known([page.id for page in some])
            new = [page for page in some if known.get(page.id) != (page.payload["content_sha256"], None)]
            report.unchanged += len(some) - len(new)
            waiting += new
            while len(waiting) >= _READ:
                self._take(extraction, waiting[:_READ])
                waiting = waiting[_READ:]
            self._told(report.read + report.unchanged, report.pages)
        if waiting:
            self._take(extraction, waiting)
        gone = "SELECT id FROM pages WHERE tenant = ? AND id NOT IN (SELECT id FROM seen)"
        report.dropped = drop_pages(readings, (row[0] for row in readings.db.execute(gone, (tenant,)).fetchall()))

    def _take(self, extraction: Extraction, pages: list[StoredPoint]) -> None:
        readings = self._parts.readings
        read = extraction.read(pages)
        with readings.transaction():
            for page in read:
                readings.put(page)
        for page in read:
            if page.reason is not None:
                self.report.failures.append(GraphFailure(page.source, page.number, page.reason))
        self.report.read += len(read)
        self._told(self.report.read + self.report.unchanged, self.report.pages)

    def _place(self, node: str) -> tuple[str, int | None]:
        """The document and page of a figure, or of the first mention of an entity."""
        query = (
            "SELECT source, pages.number FROM pages WHERE id IN (SELECT page FROM figures WHERE id = ? UNION "
            "SELECT page FROM mentions WHERE entity = ?) ORDER BY source, pages.number LIMIT 1"
        )
        source, page = self._parts.readings.db.execute(query, (node, node)).fetchone() or ("", None)
        return source, page

    def _begin(self, phase: str, total: int = 0) -> None:
        self.report.phase = phase
        self._told(0, total)

    def _told(self, done: int, total: int) -> None:
        self.report.done, self.report.total = done, total
        self._progress(self.report)


def settle(
    parts: GraphParts, projection: Projection, vectors: NodeVectors, told: Told = lambda done, total: None
) -> None:
    """Bring the store up to date with the readings and keep it; vectors of what is gone or changed go first."""
    vectors.drop(projection.apply(told))
    if parts.file is not None and (parts.readings.count("stale") or not parts.file.exists()):
        parts.store.persist(str(parts.file))
    parts.readings.settled()


def drop_pages(readings: Readings, ids: Iterable[str]) -> int:
    """Forget pages and all that was read of them; returns how many were known."""
    dropped = 0
    for some in _portions(iter(ids), _SCROLLED):
        with readings.transaction():
            dropped += sum(readings.drop(id_) for id_ in some)
    return dropped


def _portions(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while some := list(islice(items, size)):
        yield some
