"""Which store a location means: a URL is a Qdrant server, anything else a directory of the embedded engine."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from connectors.errors import StoreError
from connectors.stores.options import StoreOptions
from connectors.stores.protocol import VectorStore
from embedder.errors import PluginError
from embedder.plugins import load_plugin


def open_store(
    location: str | Path,
    dim: int,
    *,
    collection: str = "vipylo",
    api_key: str | None = None,
    options: StoreOptions | None = None,
) -> VectorStore:
    """Open (or create) the store at a location.

    Args:
        location: a directory (`edge`); an `http://` or `https://` URL (`server`); or `NAME://…` for an engine that a
            third-party package registers as NAME in the entry-point group `vipylo_rag.stores`: its `open` gets the
            whole location, `dim`, `collection=` and `api_key=`, and `options=` if it takes that.
        dim: length of the dense vectors.
        collection: the collection on a server; a directory holds one only.
        api_key: of the server.
        options: how a new store keeps its vectors; one that is there already keeps its own (`store.options`).

    Raises:
        StoreError: see `EdgeStore.open` and `ServerStore.open`; or the engine cannot do what the options ask.
        PluginError: no engine has that name, or what it opens is no whole `VectorStore`.
    """
    options = options or StoreOptions()
    scheme, found, _ = str(location).partition("://")
    if isinstance(location, Path) or not found:
        return checked_store(load_plugin("stores", "edge").open(Path(location), dim, options=options))
    name = "server" if scheme in ("http", "https") else scheme
    opener = load_plugin("stores", name).open
    given: dict[str, Any] = {"collection": collection, "api_key": api_key}
    if _takes_options(opener):
        given["options"] = options
    elif options != StoreOptions():
        raise StoreError(f"the store engine {name!r} has no options; leave out {options}, or use a Qdrant server")
    return checked_store(opener(location, dim, **given))


def checked_store(store: object) -> VectorStore:
    """The same, if it can do all that a store must: told now, rather than in the middle of some search.

    Raises:
        PluginError: it lacks something, as an engine that was written for an earlier version of the protocol would.
    """
    missing = [name for name in vars(VectorStore) if not name.startswith("_") and not hasattr(store, name)]
    if missing:
        raise PluginError(
            f"the store {type(store).__module__}.{type(store).__qualname__} has no {', '.join(missing)}: get a newer "
            "version of its package; connectors.stores.protocol.VectorStore says what a store must do"
        )
    return cast(VectorStore, store)


def _takes_options(opener: Callable[..., Any]) -> bool:
    """Engines written before there were options are given none."""
    parameters = inspect.signature(opener).parameters
    return "options" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
