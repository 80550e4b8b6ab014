"""What an index knows about its sources and pages (SQLite): hashes, states, reasons, timings. The truth about progress.

A page is in the ledger only after its vector is durably in the store, so a run that was killed repeats at most the
pages of its last batch, and repeating is harmless (ids are derived from source and page number).
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vipylo_rag.errors import IndexDirectoryError

SourceState = Literal["pending", "done", "failed"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
    source TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'failed')),
    reason TEXT,
    updated REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pages (
    source TEXT NOT NULL,
    page INTEGER NOT NULL,
    digest TEXT,
    asset TEXT,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reason TEXT,
    seconds REAL,
    PRIMARY KEY (source, page)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fields (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class SourceRow:
    """A source's state. `reason` says why it failed; `sha256` is of the file as last read."""

    source: str
    sha256: str
    state: SourceState
    reason: str | None


@dataclass(frozen=True)
class PageRow:
    """A page's state.

    `digest` is of all that is stored of it; `seconds` is its share of the time its batch took to embed and store.
    """

    source: str
    page: int
    digest: str | None
    asset: str | None
    state: Literal["done", "failed"]
    reason: str | None = None
    seconds: float | None = None


class Ledger:
    """The ledger of one index, in one SQLite file.

    Raises:
        IndexDirectoryError: the file is damaged or no ledger.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # A server may search from threads of its own; SQLite's own lock serialises them.
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._db.execute("SELECT state FROM sources LIMIT 1")
        except sqlite3.DatabaseError as error:
            raise IndexDirectoryError(
                f"{path} is damaged or no ledger ({error}): restore it from a backup, or ingest anew"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside, or none of them."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def source(self, source: str) -> SourceRow | None:
        """The row of a source, or None."""
        row = self._db.execute(
            "SELECT source, sha256, state, reason FROM sources WHERE source = ?", (source,)
        ).fetchone()
        return SourceRow(*row) if row else None

    def sources(self) -> Iterator[SourceRow]:
        """All sources in order."""
        for row in self._db.execute("SELECT source, sha256, state, reason FROM sources ORDER BY source"):
            yield SourceRow(*row)

    def put_source(self, source: str, sha256: str, state: SourceState, reason: str | None = None) -> None:
        """Insert or update a source."""
        self._db.execute(
            "INSERT INTO sources (source, sha256, state, reason, updated) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (source) DO UPDATE SET sha256 = excluded.sha256, state = excluded.state, "
            "reason = excluded.reason, updated = excluded.updated",
            (source, sha256, state, reason, time.time()),
        )

    def pages(self, source: str) -> dict[int, PageRow]:
        """The pages of a source by number."""
        rows = self._db.execute(
            "SELECT source, page, digest, asset, state, reason, seconds FROM pages WHERE source = ?", (source,)
        )
        return {row[1]: PageRow(*row) for row in rows}

    def put_pages(self, rows: Iterable[PageRow]) -> None:
        """Insert or replace pages."""
        self._db.executemany(
            "INSERT OR REPLACE INTO pages (source, page, digest, asset, state, reason, seconds) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(r.source, r.page, r.digest, r.asset, r.state, r.reason, r.seconds) for r in rows],
        )

    def delete_pages(self, source: str, numbers: Iterable[int]) -> None:
        """Forget pages of a source."""
        self._db.executemany("DELETE FROM pages WHERE source = ? AND page = ?", [(source, n) for n in numbers])

    def delete_source(self, source: str) -> None:
        """Forget a source and its pages."""
        with self.transaction():
            self._db.execute("DELETE FROM pages WHERE source = ?", (source,))
            self._db.execute("DELETE FROM sources WHERE source = ?", (source,))

    def failed_pages(self) -> Iterator[PageRow]:
        """Pages that could not be read or embedded, with their reasons."""
        for row in self._db.execute(
            "SELECT source, page, digest, asset, state, reason, seconds FROM pages WHERE state = 'failed' "
            "ORDER BY source, page"
        ):
            yield PageRow(*row)

    def assets(self) -> set[str]:
        """Every asset that a page refers to."""
        return {row[0] for row in self._db.execute("SELECT DISTINCT asset FROM pages WHERE asset IS NOT NULL")}

    def counts(self) -> dict[str, int]:
        """How many sources and pages are in which state, as "sources done", "pages failed", ..."""
        counts: dict[str, int] = {}
        for table, states in (("sources", ("done", "failed", "pending")), ("pages", ("done", "failed"))):
            found = dict(self._db.execute(f"SELECT state, COUNT(*) FROM {table} GROUP BY state"))  # noqa: S608
            counts.update({f"{table} {state}": found.get(state, 0) for state in states})
        return counts

    def add_fields(self, names: Iterable[str]) -> None:
        """Remember payload fields that pages carry: these can be filtered by."""
        self._db.executemany("INSERT OR IGNORE INTO fields (name) VALUES (?)", [(name,) for name in names])

    def fields(self) -> set[str]:
        """All payload fields that pages carry."""
        return {row[0] for row in self._db.execute("SELECT name FROM fields")}

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        self._db.close()
