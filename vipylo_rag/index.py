"""MultimodalIndex: a directory of pages, searchable by text, by image, or by both as one vector."""

from pathlib import Path
from typing import Self

from connectors.stores.options import StoreOptions
from embedder.protocol import Embedder
from vipylo_rag.index_asking import IndexAsking
from vipylo_rag.index_writing import IndexWriting
from vipylo_rag.opening import Access, open_parts


class MultimodalIndex(IndexAsking, IndexWriting):
    """An index of pages: vectors in a store, page images as files, and a ledger of what is in it.

    Example:
        >>> with MultimodalIndex.open("my-index") as index:            # doctest: +SKIP
        ...     index.ingest("documents/")
        ...     for hit in index.search("hợp đồng thuê nhà", top_k=3):
        ...         print(hit.score, hit.name, hit.page)
    """

    @classmethod
    def open(
        cls,
        location: str | Path,
        *,
        embedder: Embedder | str | None = None,
        create: bool = True,
        device: str | None = None,
        directory: str | Path | None = None,
        api_key: str | None = None,
        options: StoreOptions | None = None,
    ) -> Self:
        """Open an index, or create it if there is none.

        Args:
            location: a directory (vectors in the embedded engine), or the URL of a Qdrant server, as
                "http://host:6333/collection".
            embedder: an embedder, or the name of one (see `load_embedder`); by default the one that made the index, and
                the starter for a new one.
            create: False refuses a location that holds no index.
            device: where an embedder that is loaded here runs, such as "cpu" or "cuda".
            directory: with a URL, where manifest, ledger and page images lie (default: below the user's data folder).
            api_key: of the server.
            options: how a new index keeps its vectors (quantization, ...); of one that is there, they must be the same.

        Raises:
            IndexDirectoryError: no index there (with create=False), a damaged one, or one of another embedder.
            StoreError: the store is in use by another process, or the server cannot be reached.
        """
        access = Access(device=device, api_key=api_key)
        return cls(open_parts(location, directory, embedder, access, create=create, options=options), access)
