"""Where the vectors of a graph's entities and figures are: opened once for an index, whoever asks first."""

import shutil
import threading
from pathlib import Path
from typing import Final

from connectors.errors import StoreError, StoreInUseError, StoreUnavailableError
from connectors.stores.open import open_store
from connectors.stores.protocol import VectorStore
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.manifest import Manifest, StoreRecord
from vipylo_rag.opening import Access
from vipylo_rag.places import GRAPH

VECTORS: Final = "vectors"


class GraphVectors:
    """An index's collection of node vectors; the embedded engine lets one object hold it at a time.

    On the index's Qdrant server it is the collection `<collection>-graph`, else a folder in the index directory.
    """

    def __init__(self, directory: Path, access: Access) -> None:
        """Nothing is opened yet."""
        self._folder = directory / GRAPH / VECTORS
        self._access = access
        self._store: VectorStore | None = None
        self._lock = threading.Lock()

    def open(self, manifest: Manifest) -> VectorStore:
        """The store, made if it is not there.

        Raises:
            StoreError: it is in use by another process, or its server is away. IndexDirectoryError: it is damaged.
        """
        with self._lock:
            if self._store is None:
                record = graph_record(manifest.store)
                try:
                    self._store = open_store(
                        record.url or self._folder,
                        manifest.embedder.dim,
                        collection=record.collection,
                        api_key=self._access.api_key,
                    )
                except (StoreInUseError, StoreUnavailableError):
                    raise
                except StoreError as error:
                    if record.url is not None:
                        raise
                    raise IndexDirectoryError(
                        f"{self._folder} is damaged: `vipylo graph build` makes it anew ({error})"
                    ) from error
            return self._store

    def remove(self, manifest: Manifest, dim: int) -> None:
        """Delete all vectors, of that length; none may be there."""
        self.close()
        record = graph_record(manifest.store)
        if record.url is None:
            if self._folder.exists():
                shutil.rmtree(self._folder)
        else:
            self._access.remove_store(self._folder, record, dim)

    def close(self) -> None:
        """Release it; `open` opens it again."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()


def graph_record(pages: StoreRecord) -> StoreRecord:
    """Where the graph's vectors are, by where the pages' are. A third party's engine may know one collection only, so
    they do not go there."""
    if pages.url is None or not pages.url.startswith(("http://", "https://")):
        return StoreRecord()
    return StoreRecord(url=pages.url, collection=f"{pages.collection}-{GRAPH}")
