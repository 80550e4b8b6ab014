"""`manifest.json`: what an index directory is, so that it can be moved, opened, and refused when it must be."""

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from connectors.stores.options import StoreOptions
from embedder.protocol import Embedder
from vipylo_rag.errors import IndexDirectoryError

SCHEMA_VERSION = 2
FILE_NAME = "manifest.json"
FIRST_STORE = "store"


def is_index(folder: Path) -> bool:
    """Whether a folder is an index (also a damaged one)."""
    return (folder / FILE_NAME).is_file() and (folder / "ledger.sqlite").exists()


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


class Manifest(BaseModel):
    """The whole manifest."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    embedder: EmbedderRecord
    store: StoreRecord

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """The manifest of an index directory.

        Raises:
            IndexDirectoryError: there is none, it is damaged, or another version wrote it.
        """
        path = directory / FILE_NAME
        try:
            content = json.loads(path.read_bytes())
            _check_version(content["schema_version"], directory)
            return cls.model_validate(content)
        except FileNotFoundError as error:
            raise IndexDirectoryError(f"{directory} is not an index: it has no {FILE_NAME}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexDirectoryError(
                f"{path} is damaged: restore it from a backup, or ingest into a new directory"
            ) from error

    def write(self, directory: Path) -> None:
        """Write it, all or nothing."""
        draft = directory / f".{FILE_NAME}.part"
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(directory / FILE_NAME)

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


def _check_version(version: int, directory: Path) -> None:
    if version > SCHEMA_VERSION:
        raise IndexDirectoryError(f"{directory} was written by a newer version (schema {version}): upgrade vipylo-rag")
    if version < SCHEMA_VERSION:
        raise IndexDirectoryError(
            f"{directory} was written by an older version (schema {version}, this one reads {SCHEMA_VERSION}): ingest "
            "the documents into a new directory"
        )
