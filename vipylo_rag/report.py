"""What a run of ingest says of itself: counts, reasons, and where the time went."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter


@dataclass(frozen=True)
class Failure:
    """A source (page None) or one page of it that is not in the index, and why.

    `attempts` is how often it was tried; `before` says that this was in earlier runs only, and not now.
    """

    source: str
    page: int | None
    reason: str
    attempts: int = 1
    before: bool = False


@dataclass(frozen=True)
class PageWarning:
    """A page that is in the index, but not as one would wish: its text could not be read, it may show a name, ..."""

    source: str
    page: int
    text: str


@dataclass
class IngestReport:
    """What a run did. Sources: indexed + moved + copied + unchanged + failed = found (members of archives count too).

    Attributes:
        indexed: read to the end.
        moved: their content was known under a name whose file is gone; its pages got the new name.
        copied: their content was known under another name too; its pages were taken over.
        removed: no longer on disk (with prune), or in an archive.
        failures: sources that are not in the index and single pages, also of earlier runs.
        warnings: pages that this run put into the index, with what is wrong with them.
        seconds_by_stage: "hash", "read" (the model had nothing to do, as no page was read yet), "decode", "embed",
            "store", "ledger", "delete" (what is replaced), "copy". Stages overlap: their sum may exceed `seconds`.
    """

    found: int = 0
    indexed: int = 0
    moved: int = 0
    copied: int = 0
    unchanged: int = 0
    failed: int = 0
    removed: int = 0
    pages_embedded: int = 0
    pages_unchanged: int = 0
    pages_copied: int = 0
    pages_deleted: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    warnings: list[PageWarning] = field(default_factory=list)
    seconds_by_stage: dict[str, float] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        """How many of the sources found are dealt with so far."""
        return self.indexed + self.moved + self.copied + self.unchanged + self.failed

    @property
    def counted(self) -> float:
        """Seconds of all stages together."""
        return sum(list(self.seconds_by_stage.values()))  # a list at once: other threads add stages

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the time of a block to a stage."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.spent(stage, perf_counter() - begun)

    def spent(self, stage: str, seconds: float) -> None:
        """Count seconds to a stage. Each stage is one thread's at a time."""
        self.seconds_by_stage[stage] = self.seconds_by_stage.get(stage, 0.0) + seconds


Progress = Callable[[IngestReport], None]
