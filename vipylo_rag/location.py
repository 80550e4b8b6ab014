"""Where an index lies: a directory, or the URL of a server with a directory for what is not vectors."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from embedder.errors import InputError
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ledger import Ledger
from vipylo_rag.manifest import FILE_NAME, StoreRecord
from vipylo_rag.places import GRAPH

_PARTS = frozenset(
    {"assets", "store", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "writer.lock", "work", GRAPH}
)


@dataclass(frozen=True)
class Location:
    """The index's directory, and its store as the caller named it (`url` None: a directory was named)."""

    directory: Path
    store: StoreRecord


def locate(location: str | Path, directory: str | Path | None = None) -> Location:
    """What a caller's location means.

    A path is a directory. `http(s)://host:port/collection` is a Qdrant server; its directory is `directory` or one
    of that server's name below the user's data folder. `NAME://...` is a third party's store, given the whole location.

    Raises:
        InputError: a URL that is malformed or holds a password.
    """
    if isinstance(location, Path) or "://" not in location:
        if directory is not None:
            raise InputError("directory= goes with a server URL; a local index is its own directory")
        return Location(Path(location).expanduser(), StoreRecord())
    try:
        parts = urlsplit(location)
        host, port = parts.hostname or "server", parts.port
    except ValueError as error:
        raise InputError(f"{location} is no valid URL: {error}") from error
    if parts.username or parts.password:
        raise InputError(
            "an index URL must not hold a password (it would be stored): set VIPYLO_QDRANT_API_KEY instead"
        )
    collection = parts.path.strip("/") or "vipylo"
    if parts.scheme not in ("http", "https"):
        store = StoreRecord(url=location)
    elif "/" in collection:
        raise InputError(f"{location}: a server URL is http://host:port/collection")
    else:
        store = StoreRecord(url=f"{parts.scheme}://{parts.netloc}", collection=collection)
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    name = f"{parts.scheme}-{host}-{port or ''}-{collection.replace('/', '-')}"
    return Location(Path(directory).expanduser() if directory else base / "vipylo" / name, store)


def check_can_create(folder: Path) -> None:
    """Refuse to make an index where something else lies; what a killed creation left is no obstacle.

    Raises:
        IndexDirectoryError: the folder holds other things, or an index that lost its manifest.
    """
    if not folder.exists():
        for parent in folder.parents:
            if parent.exists() and not parent.is_dir():
                raise IndexDirectoryError(f"{folder} cannot be made: {parent} is a file")
        return
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {""}
    scraps = {name for name in names if name.startswith((".store.", f".{FILE_NAME}"))}
    if names - _PARTS - scraps:
        raise IndexDirectoryError(f"{folder} exists and is not an index: choose another directory")
    if (folder / "ledger.sqlite").is_file():
        ledger = Ledger(folder / "ledger.sqlite")
        used = any(ledger.counts().values())
        ledger.close()
        if used:
            raise IndexDirectoryError(
                f"{folder} is damaged: {FILE_NAME} is missing; restore it from a backup, or ingest into a new directory"
            )
