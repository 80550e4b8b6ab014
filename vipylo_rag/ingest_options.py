"""How a run of ingest works."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.loaders.pool import PAGE_SECONDS
from vipylo_rag.sources import how_read, without_secrets


@dataclass(frozen=True)
class IngestOptions:
    """How a run works.

    Attributes:
        tenant: whose documents these are.
        prune: remove sources below the given folders that are no longer on disk, and members that archives lost.
        reread: read unchanged files too; only pages that changed are embedded.
        retry: read again what failed before, though nothing about it changed.
        workers: child processes that read and render (None: a quarter of the cores, at least 1).
        page_seconds: longest time that reading one page may take.
        loader_options: constructor arguments by loader name, such as {"pdf": {"password": "..."}}.
        most_pages: of one document (each member of an archive is one); the rest is not read, which counts as one page
            that failed. None: all.
        optimize: make a large index's search graph when all is read. It holds the interpreter for seconds to minutes;
            until then, new pages are found by a full scan.
    """

    tenant: str = ""
    prune: bool = False
    reread: bool = False
    retry: bool = False
    workers: int | None = None
    page_seconds: float = PAGE_SECONDS
    loader_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    most_pages: int | None = None
    optimize: bool = True

    @property
    def passwords(self) -> tuple[str, ...]:
        """All that any loader was given: archives are tried with them too."""
        given = [options.get("password") or () for options in self.loader_options.values()]
        return tuple(dict.fromkeys(word for each in given for word in ([each] if isinstance(each, str) else each)))

    @property
    def how(self) -> str:
        """Digest of the way of reading."""
        return how_read(self.loader_options, self.page_seconds, self.most_pages)

    def to_json(self) -> dict[str, Any]:
        """What a run may note of itself: all but passwords."""
        noted = ("prune", "reread", "retry", "workers", "page_seconds", "most_pages", "optimize")
        values = {name: getattr(self, name) for name in noted}
        return values | {"loader_options": without_secrets(self.loader_options)}
