"""The documents of an index as a server lists them: newest first, by name, by state, by id; a page of them at a time.

It reads the ledger over a connection of its own, so that a long list keeps neither searches nor the writer waiting.
"""

import sqlite3
import threading
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from connectors.page import page_id, source_id
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.ledger import Container, SourceState
from vipylo_rag.places import UPLOADS
from vipylo_rag.search import Hit
from vipylo_rag.server.errors import without_folders
from vipylo_rag.server.schemas import Document, DocumentList, FailedPage
from vipylo_rag.server.shown import page_summary, shown_name
from vipylo_rag.server.upload_files import UploadFiles

MOST_FAILED: Final = 20
_COLUMNS: Final = "source, state, bytes, reason, archive, container, walked, attempts, sha256, first_seen"
# Clocks are set back by so much without anybody noticing.
_CLOCK_SECONDS: Final = 60.0
_PIECE: Final = 1000


@dataclass(frozen=True)
class Entry:
    """What the ledger says of a document."""

    source: str
    state: SourceState
    bytes: int
    reason: str | None
    archive: str | None
    container: Container
    walked: bool
    attempts: int
    sha256: str
    first_seen: float

    @property
    def in_work(self) -> bool:
        """It was begun, and it or something in it is not read to its end."""
        return self.state == "pending" or (self.state == "done" and self.container != "nothing" and not self.walked)


@dataclass(frozen=True)
class Members:
    """What came out of a file, in sums."""

    documents: int
    failed: int
    pages: int


class Catalogue:
    """The documents of one index. Threads may share it.

    Args:
        index: open for as long as this is used.
        files: which of its documents were uploaded.
    """

    def __init__(self, index: MultimodalIndex, files: UploadFiles) -> None:
        self._index = index
        self._files = files
        self._lock = threading.Lock()
        place = (index.directory / "ledger.sqlite").resolve().as_uri() + "?mode=ro"
        self._db = sqlite3.connect(place, uri=True, check_same_thread=False, timeout=30)
        self._db.create_function("is_named", 2, _is_named, deterministic=True)
        # Ids are hashes of names: this side of it is kept in a database that goes with the process, not in its memory.
        self._ids = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._ids.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, tenant TEXT, source TEXT) WITHOUT ROWID")
        self._version = -1
        self._known_until = 0.0

    def close(self) -> None:
        """Close both databases."""
        with self._lock:
            self._db.close()
            self._ids.close()

    def listed(self, tenant: str, state: str | None, name: str, offset: int, limit: int) -> DocumentList:
        """A part of a tenant's documents, newest first: all, or those of a state, or with `name` in their names."""
        where, values = "tenant = ?", [tenant]
        if state is not None:
            where, values = f"{where} AND state = ?", [*values, state]
        if name.strip():
            where, values = f"{where} AND is_named(source, ?)", [*values, _folded(name.strip())]
        [(total,)] = self._rows(f"SELECT COUNT(*) FROM sources WHERE {where}", values)  # noqa: S608
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM sources WHERE {where} "  # noqa: S608
            "ORDER BY first_seen DESC, source LIMIT ? OFFSET ?",
            [*values, limit, offset],
        )
        return DocumentList(total=total, documents=self._documents([_entry(row) for row in rows], tenant))

    def document(self, id_: str, tenant: str) -> Document | None:
        """A tenant's document by its id; None where this tenant has none of this id."""
        source = self.source(id_, tenant)
        entry = self.entry(source, tenant) if source is not None else None
        return self._documents([entry], tenant)[0] if entry else None

    def source(self, id_: str, tenant: str) -> str | None:
        """The name under which the index knows a tenant's document; None where this tenant has none of this id."""
        try:
            key = uuid.UUID(id_).bytes
        except ValueError:
            return None
        found = self._of_id(key)
        if found is None and self.learn():
            found = self._of_id(key)
        if found is None or found[0] != tenant or self.entry(found[1], tenant) is None:
            return None
        return found[1]

    def entry(self, source: str, tenant: str) -> Entry | None:
        """What the ledger says of a document."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM sources WHERE tenant = ? AND source = ?", (tenant, source))  # noqa: S608
        return _entry(rows[0]) if rows else None

    def pages(self, source: str, tenant: str) -> int:
        """How many pages of a document can be found."""
        query = "SELECT COUNT(*) FROM pages WHERE tenant = ? AND source = ? AND state = 'done'"
        return int(self._rows(query, (tenant, source))[0][0])

    def failed_pages(self, source: str, tenant: str) -> list[FailedPage]:
        """The first pages of a document that are not in the index, and why."""
        query = (
            "SELECT page, reason FROM pages WHERE state = 'failed' AND tenant = ? AND source = ? ORDER BY page LIMIT ?"
        )
        rows = self._rows(query, (tenant, source, MOST_FAILED))
        return [FailedPage(page=page, reason=without_folders(reason or "")) for page, reason in rows]

    def members(self, archive: str, tenant: str) -> Members:
        """What came out of a file, in sums."""
        query = "SELECT COUNT(*), SUM(state = 'failed') FROM sources WHERE tenant = ? AND archive = ?"
        [(documents, failed)] = self._rows(query, (tenant, archive))
        pages = (
            "SELECT COUNT(*) FROM sources JOIN pages USING (tenant, source) "
            "WHERE tenant = ? AND archive = ? AND pages.state = 'done'"
        )
        return Members(documents, failed or 0, int(self._rows(pages, (tenant, archive))[0][0]))

    def failed_members(self, archive: str, tenant: str) -> list[Entry]:
        """The first documents that came out of a file and failed."""
        query = (
            f"SELECT {_COLUMNS} FROM sources WHERE tenant = ? AND archive = ? AND state = 'failed' "  # noqa: S608
            f"ORDER BY source LIMIT {MOST_FAILED}"
        )
        return [_entry(row) for row in self._rows(query, (tenant, archive))]

    def unread(self, tenant: str) -> list[str]:
        """The uploaded files that were begun and not read to their end."""
        query = "SELECT source FROM sources WHERE state = 'pending' AND archive IS NULL AND tenant = ?"
        sources = [source for (source,) in self._rows(query, (tenant,))]
        return [source for source in sources if self._files.is_uploaded(source, tenant)]

    def from_elsewhere(self, tenant: str) -> list[str]:
        """Documents that this tenant uploaded while the index lay in another folder."""
        query = "SELECT source FROM sources WHERE archive IS NULL AND tenant = ? AND source LIKE ?"
        home = self._files.home(tenant)
        sources = [source for (source,) in self._rows(query, (tenant, f"%/{UPLOADS}/{home.name}/%"))]
        return [source for source in sources if _ends_like(source, home) and Path(source).parent != home]

    def learn(self) -> bool:
        """Take in the documents that came since the last time; whether the ledger was changed at all since then."""
        with self._lock:
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return False
            newest = self._known_until
            rows = self._db.execute(
                "SELECT tenant, source, first_seen FROM sources WHERE first_seen > ?",
                (self._known_until - _CLOCK_SECONDS,),
            )
            self._ids.execute("BEGIN")
            while piece := rows.fetchmany(_PIECE):
                self._ids.executemany(
                    "INSERT OR IGNORE INTO ids VALUES (?, ?, ?)",
                    [(uuid.UUID(source_id(source, tenant)).bytes, tenant, source) for tenant, source, _ in piece],
                )
                newest = max(newest, *(seen for _, _, seen in piece))
            self._ids.execute("COMMIT")
            self._known_until, self._version = newest, version
        return True

    def _documents(self, entries: Sequence[Entry], tenant: str) -> list[Document]:
        first = self._first_pages([entry.source for entry in entries], tenant)
        return [self._shown(entry, tenant, first.get(entry.source)) for entry in entries]

    def _shown(self, entry: Entry, tenant: str, first: Hit | None) -> Document:
        pages = self.pages(entry.source, tenant)
        if entry.container != "nothing":
            pages += self.members(entry.source, tenant).pages
        return Document(
            id=source_id(entry.source, tenant),
            name=shown_name(entry.source),
            state=entry.state,
            kind=first.kind if first else None,
            pages=pages,
            bytes=entry.bytes,
            reason=without_folders(entry.reason) if entry.reason else None,
            failed_pages=self.failed_pages(entry.source, tenant),
            added=datetime.fromtimestamp(entry.first_seen, UTC).isoformat(timespec="seconds"),
            uploaded=self._files.is_uploaded(entry.source, tenant),
            first_page=page_summary(first, tenant) if first else None,
        )

    def _first_pages(self, sources: Sequence[str], tenant: str) -> dict[str, Hit]:
        """The first page that is stored of each document."""
        query = "SELECT MIN(page) FROM pages WHERE tenant = ? AND source = ? AND state = 'done'"
        numbers = {source: self._rows(query, (tenant, source))[0][0] for source in sources}
        ids = [page_id(source, number, tenant) for source, number in numbers.items() if number is not None]
        if not ids:
            return {}
        with self._index.turnstile.passing():
            points = self._index.store.get(ids)
        hits = [Hit.of(point.id, 0.0, dict(point.payload), self._index.assets) for point in points]
        return {hit.source: hit for hit in hits}

    def _of_id(self, key: bytes) -> tuple[str, str] | None:
        with self._lock:
            found: tuple[str, str] | None = self._ids.execute(
                "SELECT tenant, source FROM ids WHERE id = ?", (key,)
            ).fetchone()
        return found

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()


def _entry(row: Sequence[Any]) -> Entry:
    source, state, size, reason, archive, container, walked, attempts, sha256, first_seen = row
    return Entry(source, state, size, reason, archive, container, bool(walked), attempts, sha256, first_seen)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _is_named(source: str, wanted: str) -> bool:
    # Most are sorted out by the first, which is quick.
    return wanted in _folded(source) and wanted in _folded(shown_name(source))


def _ends_like(source: str, home: Path) -> bool:
    ending: tuple[str, ...] = home.parts[-2:]
    return Path(source).parent.parts[-2:] == ending
