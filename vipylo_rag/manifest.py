"""`manifest.json`: what an index directory is, so that it can be moved, opened, and refused when it must be."""

import json
import os
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from connectors.stores.options import StoreOptions
from embedder.protocol import Embedder
from vipylo_rag.errors import IndexDirectoryError

SCHEMA_VERSION = 2
FILE_NAME = "manifest.json"
# The manifest to come, while the index is being reindexed: it names the new store. Renaming it is the switch.
NEXT_NAME = "manifest.next.json"
FIRST_STORE = "store"


def is_index(folder: Path) -> bool:
    """Whether a folder is an index (also a damaged one)."""
    try:
        return (folder / FILE_NAME).is_file() and (folder / "ledger.sqlite").exists()
    except OSError:  # it may not be entered
        return False


class EmbedderRecord(BaseModel):
    """Which embedder made the vectors."""

    model_config = ConfigDict(frozen=True)

    name: str
    fingerprint: str
    dim: int


class StoreRecord(BaseModel):
    """Where the vectors are.

    Attributes:
        url: of the server; None for the embedded engine, inside the index directory.
        collection: on the server, as the user named it.
        folder: the store's folder inside the index directory. "store" at first; reindexing makes another one, and on a
            server another collection of that name's ending.
        options: how the store keeps its vectors.
    """

    model_config = ConfigDict(frozen=True)

    url: str | None = None
    collection: str = "vipylo"
    folder: str = Field(default=FIRST_STORE, pattern=r"^store(-[0-9a-z]+)*$")
    options: StoreOptions = StoreOptions()

    @property
    def served_collection(self) -> str:
        """The collection that holds the vectors now."""
        return self.collection + self.folder.removeprefix(FIRST_STORE)

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.url}/{self.collection}" if self.url else "Qdrant Edge, in the index directory"


class RetiredStore(BaseModel):
    """A store that reindexing has replaced, and its vectors' length. It is to be removed."""

    model_config = ConfigDict(frozen=True)

    store: StoreRecord
    dim: int


class Manifest(BaseModel):
    """The whole manifest. `retired` stores may still lie there, for nothing."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    embedder: EmbedderRecord
    store: StoreRecord
    retired: tuple[RetiredStore, ...] = ()

    @classmethod
    def read(cls, directory: Path, name: str = FILE_NAME) -> "Manifest":
        """The manifest of an index directory, or (by `name`) the one to come.

        Raises:
            IndexDirectoryError: there is none, it is damaged, or another version wrote it.
        """
        path = directory / name
        try:
            content = json.loads(path.read_bytes())
            _check_version(content["schema_version"], directory)
            return cls.model_validate(content)
        except FileNotFoundError as error:
            raise IndexDirectoryError(f"{directory} is not an index: it has no {name}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexDirectoryError(
                f"{path} is damaged: restore it from a backup, or ingest into a new directory"
            ) from error

    @classmethod
    def coming(cls, directory: Path) -> "Manifest | None":
        """The manifest of a reindexing that has begun and not ended, or None."""
        return cls.read(directory, NEXT_NAME) if (directory / NEXT_NAME).exists() else None

    def write(self, directory: Path, name: str = FILE_NAME) -> None:
        """Write it, all or nothing."""
        draft = directory / f".{name}.part"
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(directory / name)
        sync_folder(directory)

    def switch(self, directory: Path) -> None:
        """Make the manifest to come the manifest, in one step."""
        (directory / NEXT_NAME).replace(directory / FILE_NAME)
        sync_folder(directory)

    def check_embedder(self, embedder: Embedder, directory: Path) -> None:
        """Refuse an embedder that did not make these vectors: its queries would find nonsense, politely.

        Raises:
            IndexDirectoryError: names both, and the way out.
        """
        if embedder.fingerprint == self.embedder.fingerprint:
            return
        same = embedder.name == self.embedder.name
        way_out = (
            "its weights or options (pixel budget, token limit) differ: pass the embedder with those it was made with"
            if same
            else f"open it with --embedder {self.embedder.name}"
        )
        raise IndexDirectoryError(
            f"{directory} was made with embedder {self.embedder.name!r} ({self.embedder.fingerprint[:12]}), not "
            f"{embedder.name!r} ({embedder.fingerprint[:12]}): {way_out}, or change the index to the new "
            f"embedder with `vipylo reindex --index {directory} --embedder {embedder.name}`"
        )


def in_one_piece(options: StoreOptions) -> StoreOptions:
    """The options without those that only a server has."""
    return replace(options, shards=None, replicas=1)


def sync_folder(folder: Path) -> None:
    """Write the folder's names to disk: a rename that a power cut undoes is no switch."""
    if os.name == "posix":  # Windows cannot open a folder, and needs not
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _check_version(version: int, directory: Path) -> None:
    if version > SCHEMA_VERSION:
        raise IndexDirectoryError(f"{directory} was written by a newer version (schema {version}): upgrade vipylo-rag")
    if version < SCHEMA_VERSION:
        raise IndexDirectoryError(
            f"{directory} was written by an older version (schema {version}, this one reads {SCHEMA_VERSION}): ingest "
            "the documents into a new directory"
        )
