"""What an index knows about its sources and pages (SQLite): hashes, states, reasons, timings. The truth about progress.

A page is in the ledger only after its vector is durably in the store, so a run that was killed repeats at most the
pages of its last batches, and repeating is harmless (ids are derived from tenant, source and page number). Everything
is known by tenant first: rows of one tenant are never seen by another's questions.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ledger_tables import TABLES

LEDGER_VERSION = 2

SourceState = Literal["pending", "done", "failed"]
PageState = Literal["done", "failed"]
# What a file holds: pages, further files (an archive), or both (a mail with attachments).
Container = Literal["nothing", "members", "pages and members"]


@dataclass(frozen=True)
class SourceRow:
    """A source's state.

    Attributes:
        sha256: of the file's bytes as last read; "" where they could not be read.
        bytes: the file's length.
        reason: why it failed.
        attempts: how often this content was read, or was begun to be.
        how: digest of the way of reading (`vipylo_rag.sources.how_read`).
        archive: the source of the file that this one came out of; None for a file of its own.
        container: whether the file holds further files.
        walked: all that it holds was found and decided upon.
        moved_from: the source whose pages these were, until that one is removed.
        read_seconds: from the moment it went to the readers until its last page arrived.
        embed_seconds: its pages' share of embedding and storing.
        first_seen, last_seen: seconds since 1970: when a run met it first, and last.
    """

    tenant: str
    source: str
    sha256: str
    bytes: int
    state: SourceState
    reason: str | None = None
    attempts: int = 1
    how: str = ""
    archive: str | None = None
    container: Container = "nothing"
    walked: bool = False
    moved_from: str | None = None
    read_seconds: float | None = None
    embed_seconds: float | None = None
    first_seen: float = 0.0
    last_seen: float = 0.0


@dataclass(frozen=True)
class PageRow:
    """A page's state.

    `digest` is of all that is stored of it; `asset` and `words` are its picture and word boxes below the asset folder;
    `seconds` is its share of the time its batch took to embed and store.
    """

    tenant: str
    source: str
    page: int
    digest: str | None
    asset: str | None
    state: PageState
    reason: str | None = None
    seconds: float | None = None
    words: str | None = None
    attempts: int = 1


@dataclass(frozen=True)
class RunRow:
    """A run of ingest: what it was asked to do. `ended` is None for one that was stopped or killed."""

    id: int
    tenant: str
    paths: tuple[str, ...]
    options: Mapping[str, Any]
    started: float
    ended: float | None
    report: Mapping[str, Any] | None


@dataclass(frozen=True)
class PageCounts:
    """A source's pages by state; `warned` of those that are done carry a warning."""

    done: int = 0
    failed: int = 0
    warned: int = 0


_SOURCE_COLUMNS = ", ".join(field.name for field in fields(SourceRow))
_PAGE_COLUMNS = ", ".join(field.name for field in fields(PageRow))
_PIECE = 1000


class Ledger:
    """The ledger of one index, in one SQLite file. Threads may share it.

    Args:
        path: the file; made if there is none.
        read_only: for looking at it while another process writes; the file must exist.

    Raises:
        IndexDirectoryError: the file is damaged, no ledger, or one of another version.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        self._path = path
        # A server searches from threads of its own, and a transaction is one thread's until it ends.
        self._lock = threading.RLock()
        try:
            place = f"{Path(path).resolve().as_uri()}?mode=ro" if read_only else str(path)
            self._db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, uri=read_only, timeout=30)
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            self._check_version(make=not read_only)
        except sqlite3.DatabaseError as error:
            raise IndexDirectoryError(
                f"{path} is damaged or no ledger ({error}): restore it from a backup, or ingest anew"
            ) from error

    def _check_version(self, make: bool) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        empty = not self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if empty and not found and make:
            with self.transaction():
                for statement in TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {LEDGER_VERSION}")
            return
        if found == LEDGER_VERSION:
            self._db.execute("SELECT state FROM sources LIMIT 1")
            return
        self._db.close()
        older = found < LEDGER_VERSION
        raise IndexDirectoryError(
            f"{self._path} was written by {'an older' if older else 'a newer'} version (schema {found}, this one is "
            f"{LEDGER_VERSION}): {'ingest the documents into a new directory' if older else 'upgrade vipylo-rag'}"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside, or none of them; one inside another is part of it."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.OperationalError):  # after a full disk there is nothing left to roll back
                    self._db.execute("ROLLBACK")
                raise

    # Sources

    def source(self, source: str, tenant: str = "") -> SourceRow | None:
        """The row of a source, or None."""
        return next(self._sources("tenant = ? AND source = ?", (tenant, source)), None)

    def sources(self, tenant: str | None = None) -> Iterator[SourceRow]:
        """All sources in order, of one tenant or (None) of all; read in pieces, as there may be millions."""
        last = ("", "")
        while piece := list(
            self._sources("(tenant, source) > (?1, ?2) AND (?3 IS NULL OR tenant = ?3)", (*last, tenant), _PIECE)
        ):
            yield from piece
            last = (piece[-1].tenant, piece[-1].source)

    def same_content(self, sha256: str, tenant: str | None = None) -> list[SourceRow]:
        """All sources with these bytes, of one tenant or (None) of all."""
        return list(self._sources("sha256 = ?1 AND (?2 IS NULL OR tenant = ?2)", (sha256, tenant)))

    def members(self, archive: str, tenant: str = "") -> list[SourceRow]:
        """The sources that came out of a file."""
        return list(self._sources("tenant = ? AND archive = ?", (tenant, archive)))

    def half_moved(self, tenant: str) -> list[SourceRow]:
        """The sources that have another's pages, while that other may still be there: a run was killed in between."""
        return list(self._sources("tenant = ? AND moved_from IS NOT NULL", (tenant,)))

    def _sources(self, where: str, values: Sequence[Any], limit: int = -1) -> Iterator[SourceRow]:
        query = f"SELECT {_SOURCE_COLUMNS} FROM sources WHERE {where} ORDER BY tenant, source LIMIT {limit}"  # noqa: S608
        for row in self._rows(query, values):
            yield _source_row(row)

    def put_source(self, row: SourceRow) -> None:
        """Insert or replace a source. `first_seen` stays what it was, `last_seen` is now."""
        now = time.time()
        marks = ", ".join("?" * len(fields(SourceRow)))
        columns = [field.name for field in fields(SourceRow) if field.name not in ("tenant", "source", "first_seen")]
        updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
        values = replace(row, first_seen=now, last_seen=now)
        with self._lock:
            self._db.execute(
                f"INSERT INTO sources ({_SOURCE_COLUMNS}) VALUES ({marks}) "  # noqa: S608
                f"ON CONFLICT (tenant, source) DO UPDATE SET {updates}",
                [getattr(values, field.name) for field in fields(SourceRow)],
            )

    def saw(self, sources: Iterable[str], tenant: str = "") -> None:
        """Note that a run met these sources now, and had nothing to do."""
        now = time.time()
        with self.transaction():
            self._db.executemany(
                "UPDATE sources SET last_seen = ? WHERE tenant = ? AND source = ?",
                [(now, tenant, source) for source in sources],
            )

    def delete_source(self, source: str, tenant: str = "") -> None:
        """Forget a source and its pages."""
        with self.transaction():
            self._db.execute("DELETE FROM pages WHERE tenant = ? AND source = ?", (tenant, source))
            self._db.execute("DELETE FROM sources WHERE tenant = ? AND source = ?", (tenant, source))

    # Pages

    def pages(self, source: str, tenant: str = "") -> dict[int, PageRow]:
        """The pages of a source by number."""
        query = f"SELECT {_PAGE_COLUMNS} FROM pages WHERE tenant = ? AND source = ? ORDER BY page"  # noqa: S608
        return {row[2]: PageRow(*row) for row in self._rows(query, (tenant, source))}

    def page_counts(self, source: str, tenant: str = "") -> PageCounts:
        """How many pages of a source are searchable (with a warning, too), and how many failed."""
        query = "SELECT state, COUNT(*), COUNT(reason) FROM pages WHERE tenant = ? AND source = ? GROUP BY state"
        found = {state: (count, reasons) for state, count, reasons in self._rows(query, (tenant, source))}
        done, warned = found.get("done", (0, 0))
        return PageCounts(done, found.get("failed", (0, 0))[0], warned)

    def put_pages(self, rows: Iterable[PageRow]) -> None:
        """Insert or replace pages."""
        marks = ", ".join("?" * len(fields(PageRow)))
        with self.transaction():
            self._db.executemany(
                f"INSERT OR REPLACE INTO pages ({_PAGE_COLUMNS}) VALUES ({marks})",  # noqa: S608
                [[getattr(row, field.name) for field in fields(PageRow)] for row in rows],
            )

    def delete_pages(self, source: str, numbers: Iterable[int], tenant: str = "") -> None:
        """Forget pages of a source."""
        with self.transaction():
            self._db.executemany(
                "DELETE FROM pages WHERE tenant = ? AND source = ? AND page = ?",
                [(tenant, source, number) for number in numbers],
            )

    def failed_pages(self, tenant: str | None = None) -> Iterator[PageRow]:
        """Pages that could not be read or embedded, with their reasons, of one tenant or (None) of all."""
        query = (
            f"SELECT {_PAGE_COLUMNS} FROM pages WHERE state = 'failed' AND (?1 IS NULL OR tenant = ?1) "  # noqa: S608
            "ORDER BY tenant, source, page"
        )
        for row in self._rows(query, (tenant,)):
            yield PageRow(*row)

    def assets(self) -> set[str]:
        """Every file below the asset folder that a page refers to: pictures and word boxes."""
        query = "SELECT asset FROM pages WHERE asset IS NOT NULL UNION SELECT words FROM pages WHERE words IS NOT NULL"
        return {row[0] for row in self._rows(query)}

    def refers_to(self, asset: str) -> bool:
        """Whether any page of any tenant refers to this picture or file of word boxes."""
        query = "SELECT 1 FROM pages WHERE asset = ?1 UNION ALL SELECT 1 FROM pages WHERE words = ?1 LIMIT 1"
        return bool(self._rows(query, (asset,)))

    # The whole

    def counts(self, tenant: str | None = None) -> dict[str, int]:
        """How many sources and pages are in which state, as "sources done", "pages failed", ..."""
        counts: dict[str, int] = {}
        for table, states in (("sources", ("done", "failed", "pending")), ("pages", ("done", "failed"))):
            query = f"SELECT state, COUNT(*) FROM {table} WHERE ?1 IS NULL OR tenant = ?1 GROUP BY state"  # noqa: S608
            found = dict(self._rows(query, (tenant,)))
            counts.update({f"{table} {state}": found.get(state, 0) for state in states})
        return counts

    def tenants(self) -> list[str]:
        """Everybody who has a source here."""
        return [row[0] for row in self._rows("SELECT DISTINCT tenant FROM sources ORDER BY tenant")]

    def add_fields(self, found: Iterable[tuple[str, str]], tenant: str = "") -> None:
        """Remember payload fields, with the JSON types of their values: these can be filtered by."""
        with self.transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO fields (tenant, name, type) VALUES (?, ?, ?)",
                [(tenant, name, type_) for name, type_ in found],
            )

    def fields(self, tenant: str | None = None) -> dict[str, frozenset[str]]:
        """The payload fields that pages carry, with the JSON types seen: "string", "integer", "number", "boolean"."""
        found: dict[str, frozenset[str]] = {}
        for name, type_ in self._rows("SELECT name, type FROM fields WHERE ?1 IS NULL OR tenant = ?1", (tenant,)):
            found[name] = found.get(name, frozenset()) | {type_}
        return found

    # Runs

    def begin_run(self, tenant: str, paths: Sequence[str], options: Mapping[str, Any]) -> int:
        """Note that a run starts; returns its number."""
        with self._lock:
            cursor = self._db.execute(
                "INSERT INTO runs (tenant, paths, options, started) VALUES (?, ?, ?, ?)",
                (tenant, json.dumps(list(paths)), json.dumps(dict(options)), time.time()),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_run(self, number: int, report: Mapping[str, Any]) -> None:
        """Note that a run came to its end; stopped runs over the same paths have nothing left to resume then."""
        with self.transaction():
            self._db.execute(
                "UPDATE runs SET ended = ?1 WHERE ended IS NULL AND id < ?2 "
                "AND (tenant, paths) = (SELECT tenant, paths FROM runs WHERE id = ?2)",
                (time.time(), number),
            )
            self._db.execute(
                "UPDATE runs SET ended = ?, report = ? WHERE id = ?", (time.time(), json.dumps(dict(report)), number)
            )

    def unfinished_run(self) -> RunRow | None:
        """The last run that was stopped or killed before its end."""
        query = (
            "SELECT id, tenant, paths, options, started, ended, report FROM runs WHERE ended IS NULL "
            "ORDER BY id DESC LIMIT 1"
        )
        for number, tenant, paths, options, started, ended, report in self._rows(query):
            said = None if report is None else json.loads(report)
            return RunRow(number, tenant, tuple(json.loads(paths)), json.loads(options), started, ended, said)
        return None

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        with self._lock:
            self._db.close()

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        # Whole: a cursor that is read while another thread rolls back would fail.
        with self._lock:
            return self._db.execute(query, values).fetchall()


def _source_row(row: Sequence[Any]) -> SourceRow:
    values = dict(zip((field.name for field in fields(SourceRow)), row, strict=True))
    return SourceRow(**{**values, "walked": bool(values["walked"])})
