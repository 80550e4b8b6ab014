"""`facts.json`: what a page graph is, so that it can be refused when it must be.

It is written last: a graph folder with facts holds a whole graph."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from embedder.errors import InputError
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.manifest import EmbedderRecord, sync_folder
from vipylo_rag.places import GRAPH

SCHEMA_VERSION: Final = 1
FACTS: Final = "facts.json"
BUILD: Final = "vipylo graph build"


Stamp = tuple[int, int, int]


def facts_stamp(directory: Path) -> Stamp | None:
    """Another one whenever an index directory's facts were written anew, by whomever; None where there are none."""
    try:
        said = (directory / GRAPH / FACTS).stat()
    except OSError:
        return None
    return said.st_mtime_ns, said.st_ino, said.st_size


class TenantFacts(BaseModel):
    """A tenant's part of the graph.

    Attributes:
        extractor: what found its entities, as `extractor_identity` says.
        pages: how many pages it was made of.
        built: when, in UTC (ISO 8601).
    """

    model_config = ConfigDict(frozen=True)

    extractor: str
    pages: int
    built: str

    @staticmethod
    def now() -> str:
        """This moment as `built` has it."""
        return datetime.now(UTC).isoformat(timespec="seconds")


class GraphFacts(BaseModel):
    """The whole file.

    Attributes:
        embedder: which one made the vectors of entities and figures.
        url: of the server that has the nodes and relations; None: `graph.json` has them.
        tenants: whose pages are in it.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    embedder: EmbedderRecord
    url: str | None = None
    tenants: dict[str, TenantFacts] = {}

    @property
    def pages(self) -> int:
        """How many pages the graph was made of, all tenants' together."""
        return sum(tenant.pages for tenant in self.tenants.values())

    @classmethod
    def read(cls, directory: Path) -> "GraphFacts":
        """The facts of an index directory's graph.

        Raises:
            InputError: there is no graph. IndexDirectoryError: the file is damaged, or another version wrote it.
        """
        path = directory / GRAPH / FACTS
        try:
            content = json.loads(path.read_bytes())
            if content["schema_version"] != SCHEMA_VERSION:
                raise IndexDirectoryError(
                    f"{path.parent} was made by another version (schema {content['schema_version']}, this one reads "
                    f"{SCHEMA_VERSION}): delete that folder and make the graph anew with `{BUILD} --index {directory}`"
                )
            return cls.model_validate(content)
        except FileNotFoundError:
            raise InputError(f"there is no graph: make it with `{BUILD} --index {directory}`") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IndexDirectoryError(
                f"{path} is damaged: make the graph anew with `{BUILD} --index {directory}`"
            ) from error

    def fits(self, embedder: EmbedderRecord) -> bool:
        """Whether this embedder made the vectors."""
        return self.embedder.fingerprint == embedder.fingerprint

    def check_embedder(self, embedder: EmbedderRecord, directory: Path) -> None:
        """Refuse vectors that the index's embedder did not make: its queries would find nonsense in them.

        Raises:
            IndexDirectoryError: says how to mend it.
        """
        if not self.fits(embedder):
            raise IndexDirectoryError(
                f"the graph of {directory} was made with embedder {self.embedder.name!r} "
                f"({self.embedder.fingerprint[:12]}), and the index is of {embedder.name!r} "
                f"({embedder.fingerprint[:12]}) now: `{BUILD} --index {directory}` brings it up to date"
            )

    def write(self, directory: Path) -> None:
        """Write it, all or nothing."""
        folder = directory / GRAPH
        draft = folder / f".{FACTS}.part"
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / FACTS)
        sync_folder(folder)
