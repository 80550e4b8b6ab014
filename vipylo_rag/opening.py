"""How an index comes into being, and how one that is there is opened: location, manifest, embedder, store, ledger."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from filelock import FileLock, Timeout

from connectors.stores.open import open_store
from connectors.stores.options import StoreOptions
from connectors.stores.protocol import VectorStore
from embedder.errors import ViPyloError
from embedder.load import given, load_embedder
from embedder.protocol import Embedder
from vipylo_rag.errors import BeingWrittenError, IndexDirectoryError
from vipylo_rag.ledger import Ledger
from vipylo_rag.location import Location, check_can_create, locate
from vipylo_rag.manifest import FILE_NAME, EmbedderRecord, Manifest, StoreRecord

logger = logging.getLogger(__name__)

REPAIR = "restore it from a backup, or ingest the documents into a new directory"


@runtime_checkable
class _Droppable(Protocol):
    def drop(self) -> None: ...


@dataclass(frozen=True)
class Access:
    """What opening needs to know beside the location, and needs again when another store of the index is opened.

    Attributes:
        device: where an embedder that is loaded here runs.
        api_key: of the server.
    """

    device: str | None = None
    api_key: str | None = None

    def embedder(self, given_: Embedder | str) -> Embedder:
        """The embedder itself, or the one of that name."""
        return load_embedder(given_, **given(device=self.device)) if isinstance(given_, str) else given_

    def store(self, folder: Path, record: StoreRecord, dim: int) -> VectorStore:
        """The store of a manifest in `folder`; made if it is not there."""
        place: str | Path = record.url or folder / record.folder
        return open_store(place, dim, collection=record.served_collection, api_key=self.api_key, options=record.options)

    def remove_store(self, folder: Path, record: StoreRecord, dim: int) -> None:
        """Delete a store with all its vectors; one that is not there is no error."""
        if record.url is None:
            if (folder / record.folder).exists():
                shutil.rmtree(folder / record.folder)
            return
        store = self.store(folder, record, dim)
        try:
            if isinstance(store, _Droppable):
                store.drop()
            else:
                logger.warning("%s: its engine cannot delete a collection; delete it yourself", record.label)
        finally:
            store.close()


@dataclass(frozen=True)
class Parts:
    """An opened index. `embedder` is None where the manifest's was not needed yet."""

    directory: Path
    manifest: Manifest
    embedder: Embedder | None
    store: VectorStore
    ledger: Ledger

    def close(self) -> None:
        """Release store and ledger."""
        self.store.close()
        self.ledger.close()


def open_parts(
    location: str | Path,
    directory: str | Path | None,
    embedder: Embedder | str | None,
    access: Access,
    *,
    create: bool,
    options: StoreOptions | None,
) -> Parts:
    """Open the index at a location, or create it if there is none. See `MultimodalIndex.open`."""
    place = locate(location, directory)
    if (place.directory / FILE_NAME).is_file():
        return _open(place, embedder, access, options)
    check_can_create(place.directory)
    if not create:
        if _has_only_store(place):
            raise IndexDirectoryError(
                f"{place.directory} is a store of nodes (ViPyloVectorStore), not an index of pages: make one in "
                "another directory with `vipylo ingest PATH --index DIR`"
            )
        raise IndexDirectoryError(
            f"there is no index at {place.directory}: make one with `vipylo ingest PATH --index {location}`"
        )
    return _create(place, embedder, access, options or StoreOptions())


def _has_only_store(place: Location) -> bool:
    """Whether there are vectors in a directory and nothing that an index keeps beside them."""
    folder = place.directory
    return (
        place.store.url is None and (folder / place.store.folder).exists() and not (folder / "ledger.sqlite").exists()
    )


def _open(place: Location, embedder: Embedder | str | None, access: Access, options: StoreOptions | None) -> Parts:
    folder, manifest = place.directory, Manifest.read(place.directory)
    if place.store.url and (place.store.url, place.store.collection) != (manifest.store.url, manifest.store.collection):
        raise IndexDirectoryError(
            f"{folder} belongs to {manifest.store.label}, not to {place.store.label}: name another directory"
        )
    if options is not None and options != manifest.store.options:
        raise IndexDirectoryError(
            f"{folder} was made with {manifest.store.options}, not {options}: leave the options out, or change them "
            "with `vipylo reindex`"
        )
    parts = ["ledger.sqlite", "assets"] + ([] if manifest.store.url else [manifest.store.folder])
    if missing := [part for part in parts if not (folder / part).exists()]:
        raise IndexDirectoryError(f"{folder} is damaged: {', '.join(missing)} is missing; {REPAIR}")
    loaded = access.embedder(embedder) if embedder is not None else None
    if loaded is not None:
        manifest.check_embedder(loaded, folder)
    if manifest.retired:
        with suppress(IndexDirectoryError), writing(folder):  # who writes tidies as well
            manifest = tidied(folder, manifest, access)
    opened = _with_parts(folder, manifest, loaded, access)
    if opened.ledger.counts()["pages done"] and not opened.store.count():
        opened.close()
        raise IndexDirectoryError(f"{folder} is damaged: {manifest.store.label} has lost all pages; {REPAIR}")
    return opened


def _create(place: Location, embedder: Embedder | str | None, access: Access, options: StoreOptions) -> Parts:
    folder = place.directory
    made = next((path for path in [*reversed(folder.parents), folder] if not path.exists()), None)
    loaded = access.embedder(embedder or "starter")
    store = place.store.model_copy(update={"options": options})
    if _has_only_store(place):  # what a killed creation left is empty
        with closing(access.store(folder, store, loaded.dim)) as found:
            if found.count():
                raise IndexDirectoryError(
                    f"{folder} is a store of nodes (ViPyloVectorStore), which an index of pages cannot share: choose "
                    "another directory"
                )
    manifest = Manifest(embedder=embedder_record(loaded, embedder), store=store)
    try:
        (folder / "assets").mkdir(parents=True, exist_ok=True)
        opened = _with_parts(folder, manifest, loaded, access)
        if place.store.url and opened.store.count():
            opened.close()
            raise IndexDirectoryError(
                f"{place.store.label} holds pages already, made with an unknown embedder: open it with directory= "
                "(the folder that has its manifest), or choose another collection"
            )
        manifest.write(folder)  # last: a directory with a manifest is complete
    except BaseException:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        raise
    return opened


def _with_parts(folder: Path, manifest: Manifest, embedder: Embedder | None, access: Access) -> Parts:
    store = access.store(folder, manifest.store, manifest.embedder.dim)
    try:
        return Parts(folder, manifest, embedder, store, Ledger(folder / "ledger.sqlite"))
    except BaseException:
        store.close()
        raise


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """One writer of an index at a time, also where the vectors are on a server that many processes share.

    Raises:
        BeingWrittenError: another process is writing.
    """
    try:
        with FileLock(folder / "writer.lock", timeout=0):
            yield
    except Timeout as error:
        raise BeingWrittenError(f"{folder} is being written by another process: wait for it") from error


def remove_retired(folder: Path, manifest: Manifest, access: Access) -> Manifest:
    """Delete the stores that reindexing has replaced; the manifest without them. Call it as the only writer."""
    if not manifest.retired:
        return manifest
    for retired in manifest.retired:
        access.remove_store(folder, retired.store, retired.dim)
    remaining = manifest.model_copy(update={"retired": ()})
    remaining.write(folder)
    return remaining


def tidied(folder: Path, manifest: Manifest, access: Access) -> Manifest:
    """`remove_retired`, where what cannot be removed now may stay: the index is whole without that."""
    try:
        return remove_retired(folder, manifest, access)
    except (ViPyloError, OSError) as error:
        logger.warning("replaced vectors are not removed yet, `vipylo gc` does that later: %s", error)
        return manifest


def embedder_record(loaded: Embedder, asked: Embedder | str | None) -> EmbedderRecord:
    """What a manifest says of an embedder that was asked for by `asked`."""
    name = asked if isinstance(asked, str) else loaded.name
    # A relative checkpoint path would mean another one when the index is opened from another folder.
    lasting = str(Path(name).resolve()) if name != "starter" and Path(name).is_dir() else name
    return EmbedderRecord(name=lasting, fingerprint=loaded.fingerprint, dim=loaded.dim)
