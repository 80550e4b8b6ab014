"""Which store a location means: a URL is a Qdrant server, anything else a directory of the embedded engine."""

from pathlib import Path
from typing import cast

from connectors.stores.protocol import VectorStore
from embedder.plugins import load_plugin


def open_store(
    location: str | Path, dim: int, *, collection: str = "vipylo", api_key: str | None = None
) -> VectorStore:
    """Open (or create) the store at a location.

    Args:
        location: a directory (`edge`); an `http://` or `https://` URL (`server`); or `NAME://…` for an engine that a
            third-party package registers as NAME in the entry-point group `vipylo_rag.stores`: its `open` gets the
            whole location, `dim`, `collection=` and `api_key=`.
        dim: length of the dense vectors.
        collection: the collection on a server; a directory holds one only.
        api_key: of the server.

    Raises:
        StoreError: see `EdgeStore.open` and `ServerStore.open`.
        PluginError: no engine has that name.
    """
    scheme, found, _ = str(location).partition("://")
    if isinstance(location, Path) or not found:
        return cast(VectorStore, load_plugin("stores", "edge").open(Path(location), dim))
    name = "server" if scheme in ("http", "https") else scheme
    return cast(VectorStore, load_plugin("stores", name).open(location, dim, collection=collection, api_key=api_key))
