"""What is open of an index: its store, its ledger, its manifest, and the embedder when it is needed."""

import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from embedder.protocol import Embedder
from vipylo_rag.graph.facts import Stamp, facts_stamp
from vipylo_rag.graph.graph_vectors import GraphVectors
from vipylo_rag.ledger import SourceRow
from vipylo_rag.opening import Access, Parts, writing
from vipylo_rag.query import FieldTypes, field_types
from vipylo_rag.status import find_source
from vipylo_rag.tenants import check_tenant
from vipylo_rag.turnstile import Turnstile

if TYPE_CHECKING:
    from vipylo_rag.graph.page_graph import PageGraph


class OpenedIndex:
    """The parts of an open index, held until `close`."""

    def __init__(self, parts: Parts, access: Access) -> None:
        """Use `open`. Without an embedder, the manifest's is loaded when first needed."""
        self.directory = parts.directory
        self.manifest = parts.manifest
        self.store = parts.store
        self.ledger = parts.ledger
        self._embedder = parts.embedder
        self._access = access
        self.turnstile = Turnstile()
        self._graph: PageGraph | None = None
        self._graph_stamp: Stamp | None = None
        self._graph_vectors = GraphVectors(parts.directory, access)
        self._opening_graph = threading.RLock()

    @property
    def embedder(self) -> Embedder:
        """The embedder that made the vectors; loaded when first asked for.

        Raises:
            CheckpointError: it cannot be found. IndexDirectoryError: what has its name now is another one.
        """
        if self._embedder is None:
            loaded = self._access.embedder(self.manifest.embedder.name)
            self.manifest.check_embedder(loaded, self.directory)
            self._embedder = loaded
        return self._embedder

    def embed_with(self, embedder: Embedder) -> None:
        """Embed through another object from now on, such as one that lets many callers share the model.

        Raises:
            IndexDirectoryError: it is not the model that made the vectors.
        """
        self.manifest.check_embedder(embedder, self.directory)
        self._embedder = embedder

    @property
    def graph(self) -> "PageGraph":
        """The page graph that `build_graph` made; opened when first asked for, and closed with the index.

        Raises:
            InputError: there is none. IndexDirectoryError: it is damaged, or of another embedder than the index.
            StoreError: the server that has it cannot be reached.
        """
        with self._opening_graph:
            stamp = facts_stamp(self.directory)  # another process may have built it, where a server has the vectors
            if self._graph is None or stamp != self._graph_stamp:
                from vipylo_rag.graph.page_graph import open_graph

                # What it replaces is not closed: other threads may be searching it, and the vectors are the same.
                self._graph = open_graph(self.directory, self.manifest, self._graph_vectors)
                self._graph_stamp = stamp
            return self._graph

    @property
    def assets(self) -> Path:
        """Folder of page images, named by content."""
        return self.directory / "assets"

    def fields(self, tenant: str = "") -> FieldTypes:
        """The payload fields that `where` may name with their JSON types: ours, and those that loaders added."""
        return field_types(self.ledger.fields(tenant))

    def find_source(self, source: str | Path, *, tenant: str = "") -> str:
        """The name under which the index knows a document, from that name, its path, or its unique file name.

        Raises:
            InputError: no such source in this index, or several of that file name.
        """
        return find_source(self.ledger, source, check_tenant(tenant))

    def sources(self, *, tenant: str = "") -> list[SourceRow]:
        """All documents of a tenant with their states."""
        return list(self.ledger.sources(check_tenant(tenant)))

    def _parts(self) -> Parts:
        return Parts(self.directory, self.manifest, self._embedder, self.store, self.ledger)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self.directory)

    def _close_graph(self) -> None:
        with self._opening_graph:
            graph, self._graph = self._graph, None
            if graph is not None:
                graph.close()
            self._graph_vectors.close()

    def close(self) -> None:
        """Release the store, the ledger and the graph. Closing twice is allowed."""
        self._close_graph()
        self.store.close()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
