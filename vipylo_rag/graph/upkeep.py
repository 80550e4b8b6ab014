"""The graph folder of an index as its one writer sees it: opened for a build, healed where it is damaged, and relieved
of what has left the index."""

import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from llama_index.core.graph_stores.types import PropertyGraphStore

from connectors.stores.protocol import VectorStore
from embedder.errors import InputError, ViPyloError
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.graph.build import GraphParts, drop_pages, settle
from vipylo_rag.graph.facts import GraphFacts
from vipylo_rag.graph.graph_vectors import GraphVectors
from vipylo_rag.graph.local_store import LocalGraphStore
from vipylo_rag.graph.page_graph import GRAPH_FILE, PageGraph, close_graph_store, open_graph_store
from vipylo_rag.graph.projection import Projection, remove_nodes
from vipylo_rag.graph.readings import READINGS, Readings
from vipylo_rag.graph.vectors import NodeVectors
from vipylo_rag.opening import Parts
from vipylo_rag.places import GRAPH

logger = logging.getLogger(__name__)

LOCAL: Final = "local"
_PORTION: Final = 256
_EXTRACTOR: Final = "extractor of "


@dataclass(frozen=True)
class GraphFolder:
    """The folder of an index's graph, for its one writer. `vectors` are the index's."""

    index: Parts
    vectors: GraphVectors

    @property
    def path(self) -> Path:
        """The folder."""
        return self.index.directory / GRAPH

    @property
    def used(self) -> bool:
        """Whether anything was ever built here."""
        return (self.path / READINGS).exists()

    @contextmanager
    def opened(self, url: str | None = None) -> Iterator[GraphParts]:
        """What a build works on. `url`: a server that is to have the graph from now on, or "local"; None: as it is.

        The store is closed when the block fails; else it is the caller's.

        Raises:
            InputError: an empty `url`, as of a variable that is not set.
        """
        if url == "":
            raise InputError("the graph's URL is empty: neo4j://host:7687/database, or local for a file in the index")
        self.path.mkdir(exist_ok=True)
        readings = self._readings()
        try:
            vectors = self._fitting_vectors(readings)
            store, file = self._store(readings, url)
            try:
                yield GraphParts(readings, store, vectors, self.index.store, self.index.directory / "assets", file)
            except BaseException:
                close_graph_store(store)
                raise
        finally:
            readings.close()

    def forget(self, tenant: str | None, sources: Iterable[str] | None) -> bool:
        """Drop the readings of pages that are not in the index any more, or not as they were read; whether the graph
        has to follow."""
        readings = Readings.open(self.path / READINGS)
        try:
            ids = list(readings.page_ids(tenant, sources))
            drop_pages(readings, _vanished(readings, self.index.store, ids))
            return bool(readings.count("stale"))
        finally:
            readings.close()

    def remove(self) -> None:
        """Delete the graph, vectors and all, but not what a graph server may have."""
        self.vectors.remove(self.index.manifest, self.index.manifest.embedder.dim)
        if self.path.exists():
            shutil.rmtree(self.path)

    def _readings(self) -> Readings:
        path = self.path / READINGS
        try:
            return Readings.open(path)
        except IndexDirectoryError as error:
            logger.warning("%s: the graph is made anew from the pages", error)
            for part in self.path.glob(f"{READINGS}*"):
                part.unlink()
            (self.path / GRAPH_FILE).unlink(missing_ok=True)
            return Readings.open(path)

    def _fitting_vectors(self, readings: Readings) -> VectorStore:
        """The vectors' store; emptied before if another embedder made what is in it, or nobody knows which did."""
        embedder = self.index.manifest.embedder
        if readings.fact("embedder") != embedder.fingerprint:
            readings.forget_vectors()
            self.vectors.remove(self.index.manifest, int(readings.fact("dim") or embedder.dim))
            with readings.transaction():
                readings.note("embedder", embedder.fingerprint)
                readings.note("dim", str(embedder.dim))
        try:
            return self.vectors.open(self.index.manifest)
        except IndexDirectoryError as error:
            logger.warning("%s", error)
            readings.forget_vectors()
            self.vectors.remove(self.index.manifest, embedder.dim)
            return self.vectors.open(self.index.manifest)

    def _store(self, readings: Readings, url: str | None) -> tuple[PropertyGraphStore, Path | None]:
        before = readings.fact("url") or ""
        wanted = before if url is None else ("" if url == LOCAL else url)
        file = self.path / GRAPH_FILE
        store: PropertyGraphStore
        if wanted:
            store = open_graph_store(self.index.directory, wanted)
            if wanted != before:
                _move(readings, before, wanted)
            return store, None
        if before:
            _move(readings, before, "")
            file.unlink(missing_ok=True)  # of a move to the server that was killed
        try:
            return LocalGraphStore.from_persist_path(file), file
        except IndexDirectoryError as error:
            if file.exists():
                logger.warning("%s", error)
            readings.mark_all_stale()
            return LocalGraphStore(), file

    def write_facts(self, facts: GraphFacts) -> None:
        """Say what the graph is now. The file of one that is on a server now goes only then: a move may be killed."""
        facts.write(self.index.directory)
        if facts.url is not None:
            (self.path / GRAPH_FILE).unlink(missing_ok=True)


def _move(readings: Readings, before: str, url: str) -> None:
    """From now on another store has the graph, and it has nothing of it yet."""
    if before:
        _leave(before, readings)
    with readings.transaction():
        readings.mark_all_stale()
        readings.note("url", url)


def _leave(url: str, readings: Readings) -> None:
    """Take the graph's nodes from a server that is not to have them any more. They are noted first, so that, if this is
    killed and the server is to have them after all, the next build writes them again."""
    try:
        store = open_graph_store(Path(), url)
    except ViPyloError as error:
        logger.warning("the graph's nodes are left behind: %s", error)
        return
    try:
        for nodes in readings.portions("written", _PORTION):
            with readings.transaction():
                readings.mark_stale(nodes, rewrite=True)
            remove_nodes(store, nodes)
    finally:
        close_graph_store(store)


def follow(folder: GraphFolder, tenant: str | None, sources: Iterable[str] | None) -> PageGraph | None:
    """Take out of the graph what is not in the index any more, or not as it was read: all, a tenant's, or of documents.

    What the next build has to do (reading changed pages, vectors of entities whose context is gone) is noted for it.
    Returns the graph as it is now, whose facts are still to be written; None where nothing was to be done, or no build
    has ended yet.
    """
    if not folder.forget(tenant, sources):
        return None
    with folder.opened() as parts:
        projection = Projection(parts.readings, parts.store)
        settle(parts, projection, NodeVectors(parts.readings, parts.vectors, parts.pages, parts.assets))
        try:
            facts = GraphFacts.read(folder.index.directory)
        except InputError:
            close_graph_store(parts.store)
            return None
        counted = {
            name: said.model_copy(update={"pages": parts.readings.count("pages", name)})
            for name, said in facts.tenants.items()
        }
        facts = facts.model_copy(update={"tenants": counted, "url": parts.readings.fact("url") or None})
        return PageGraph(parts.store, parts.vectors, facts)


def _vanished(readings: Readings, pages: VectorStore, ids: list[str]) -> Iterator[str]:
    remaining = iter(ids)
    while some := list(islice(remaining, _PORTION)):
        there = {page.id: page.payload["content_sha256"] for page in pages.get(some)}
        known = readings.known(some)
        yield from (id_ for id_ in some if there.get(id_) != known[id_][0])


def noted_extractor(readings: Readings, tenant: str) -> str | None:
    """What read a tenant's pages last, also in a build that did not come to its end."""
    return readings.fact(f"{_EXTRACTOR}{tenant}")


def use_extractor(readings: Readings, tenant: str, identity: str) -> None:
    """Have a tenant's pages read again if another extractor read them."""
    if noted_extractor(readings, tenant) != identity:
        with readings.transaction():
            readings.db.execute("UPDATE pages SET sha256 = '' WHERE tenant = ?", (tenant,))
            readings.note(f"{_EXTRACTOR}{tenant}", identity)


def copy_graph(folder: GraphFolder, target: Path) -> None:
    """Write a copy of the graph to a folder that does not exist yet.

    Nodes and relations are in the folder itself: a copy on the same graph server would change with the original.
    """
    facts = GraphFacts.read(folder.index.directory)
    target.mkdir()
    readings = Readings.open(folder.path / READINGS)
    try:
        readings.copy(target / READINGS)
    finally:
        readings.close()
    folder.vectors.open(folder.index.manifest).backup(target / "vectors")
    copy = Readings.open(target / READINGS)
    try:
        if facts.url:
            store = LocalGraphStore()
            copy.mark_all_stale()
            copy.note("url", "")
            Projection(copy, store).apply()
            store.persist(target / GRAPH_FILE)
            copy.settled()
        else:
            shutil.copyfile(folder.path / GRAPH_FILE, target / GRAPH_FILE)
    finally:
        copy.close()
    facts.model_copy(update={"url": None}).write(target.parent)
