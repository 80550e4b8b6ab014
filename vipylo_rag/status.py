"""What the ledger says of files and folders: states, reasons, and where else the same content is. Changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedder.errors import InputError
from vipylo_rag.ledger import Ledger, PageCounts, PageRow, SourceRow
from vipylo_rag.sources import FileFacts, file_facts, source_name


@dataclass(frozen=True)
class SourceStatus:
    """A source with its pages by state, the pages that failed, and those that carry a warning (their `reason`)."""

    row: SourceRow
    pages: PageCounts
    failed_pages: tuple[PageRow, ...] = ()
    warned_pages: tuple[PageRow, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it failed, whole or in part."""
        return self.row.state == "failed" or self.pages.failed > 0


@dataclass(frozen=True)
class Whereabouts:
    """Where a file is in an index.

    Attributes:
        source: its own name there.
        known: that name's state; None if the index has no such name.
        current: whether what was indexed under the name are the bytes that the file has now.
        same_content: other names (of any tenant) for the same bytes.
    """

    source: str
    known: SourceStatus | None
    current: bool
    same_content: tuple[SourceRow, ...]


def statuses(ledger: Ledger, tenant: str = "", paths: Sequence[Path] = ()) -> Iterator[SourceStatus]:
    """The sources of a tenant at and below `paths` (all of them without any)."""
    places = [Path(source_name(path)) for path in paths]
    for row in ledger.sources(tenant):
        own = Path(row.archive or row.source)
        if not places or any(own.is_relative_to(place) or Path(row.source) == place for place in places):
            yield _status(ledger, row)


def where_is(ledger: Ledger, file: Path, tenant: str = "") -> Whereabouts:
    """Where a file, and its content under whatever name, is in an index.

    Raises:
        DocumentError: the file cannot be read.
    """
    source = source_name(file)
    facts = file_facts(file) if file.exists() else FileFacts("", 0)
    row = ledger.source(source, tenant)
    sha256 = facts.sha256 or (row.sha256 if row else "")
    twins = ledger.same_content(sha256) if sha256 else []
    return Whereabouts(
        source,
        _status(ledger, row) if row else None,
        bool(row and facts.sha256 and row.sha256 == facts.sha256),
        tuple(twin for twin in twins if (twin.tenant, twin.source) != (tenant, source)),
    )


def find_source(ledger: Ledger, source: str | Path, tenant: str = "") -> str:
    """The name under which a document is known, from that name, its path, or its unique file name.

    Raises:
        InputError: no such source, or several of that file name.
    """
    for name in (str(source), source_name(Path(source))):
        if ledger.source(name, tenant):
            return name
    alike = [row.source for row in ledger.sources(tenant) if Path(row.source).name == str(source)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise InputError(f"{source} is the name of {len(alike)} documents: give one whole, as {alike[0]}")
    raise InputError(f"{source} is not in this index")


def _status(ledger: Ledger, row: SourceRow) -> SourceStatus:
    counts = ledger.page_counts(row.source, row.tenant)
    pages = ledger.pages(row.source, row.tenant).values() if counts.failed or counts.warned else ()
    failed = tuple(page for page in pages if page.state == "failed")
    return SourceStatus(row, counts, failed, tuple(page for page in pages if page.state == "done" and page.reason))
