"""`manifest.json`: what an index directory is, so that it can be moved, opened, and refused when it must be."""

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from embedder.protocol import Embedder
from vipylo_rag.errors import IndexDirectoryError

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"


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
    """Where the vectors are: `url` is None for the embedded engine in the directory's own `store/`."""

    model_config = ConfigDict(frozen=True)

    url: str | None = None
    collection: str = "vipylo"

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
            IndexDirectoryError: there is none, it is damaged, or a newer version wrote it.
        """
        path = directory / FILE_NAME
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise IndexDirectoryError(f"{directory} is not an index: it has no {FILE_NAME}") from error
        except (OSError, ValidationError, ValueError) as error:
            raise IndexDirectoryError(
                f"{path} is damaged: restore it from a backup, or ingest into a new directory"
            ) from error
        if manifest.schema_version > SCHEMA_VERSION:
            raise IndexDirectoryError(
                f"{directory} was written by a newer version (schema {manifest.schema_version}): upgrade vipylo-rag"
            )
        return manifest

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
            f"{embedder.name!r} ({embedder.fingerprint[:12]}): {way_out}, or ingest the documents into a new index "
            "directory with the new embedder"
        )
