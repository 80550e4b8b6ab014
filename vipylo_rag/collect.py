"""What `vipylo gc` does: finds what an index holds for nothing, and where ledger, store and pictures disagree."""

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from connectors.page import page_id
from connectors.stores.protocol import VectorStore
from vipylo_rag.ledger import Ledger, SourceRow
from vipylo_rag.manifest import NEXT_NAME, Manifest
from vipylo_rag.opening import Access, Parts, remove_retired

_STORE_FOLDER = re.compile(r"store(-[0-9a-z]+)*")
# Folders in which a killed engine was making or copying a store, and files not yet renamed.
_HALF_MADE = re.compile(r"\.store[0-9a-z-]*\..+|\..+\.part")
WORK_FOLDER = "work"
_BLOCK = 1000


@dataclass
class Collected:
    """What was found, and (unless it was a dry run) removed or marked.

    Attributes:
        assets: pictures and word boxes that no page refers to, below the asset folder.
        scraps: half-written files and work folders of killed runs, and stores that are replaced or given up.
        freed_bytes: length of all these files.
        lost: (tenant, source, page) that the ledger counts as done, while the vector or a picture is missing.
        unknown: (tenant, source, page) in the store that the ledger does not know.
        unfinished: the embedder of a reindexing that was stopped and can be gone on with; None: there is none.
        dry_run: nothing was changed.
    """

    assets: list[str] = field(default_factory=list)
    scraps: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    lost: list[tuple[str, str, int]] = field(default_factory=list)
    unknown: list[tuple[str, str, int]] = field(default_factory=list)
    unfinished: str | None = None
    dry_run: bool = False


def collect(parts: Parts, access: Access, *, dry_run: bool = False, abandon: bool = False) -> Collected:
    """Remove what an index holds for nothing; see `MultimodalIndex.collect`. Call it as the only writer."""
    folder, found = parts.directory, Collected(dry_run=dry_run)
    coming = Manifest.coming(folder)
    if coming and not abandon:
        found.unfinished = coming.embedder.name
    with _census(parts) as census:
        found.lost = list(census.lost())
        found.unknown = list(census.unknown())
        for file in list(census.orphans()):
            found.assets.append(file.relative_to(parts.directory / "assets").as_posix())
            found.freed_bytes += _remove(file, dry_run)
    if coming and abandon:
        found.scraps.append(f"{coming.store.label} (half reindexed to {coming.embedder.name})")
        if not dry_run:
            access.remove_store(folder, coming.store, coming.embedder.dim)
            (folder / NEXT_NAME).unlink()
    kept = {parts.manifest.store.folder} | ({coming.store.folder} if coming else set())
    for scrap in _scraps(folder, kept):
        found.scraps.append(scrap.relative_to(folder).as_posix())
        found.freed_bytes += _remove(scrap, dry_run)
    if parts.manifest.retired:
        found.scraps += [r.store.served_collection for r in parts.manifest.retired if r.store.url]
        if not dry_run:
            remove_retired(folder, parts.manifest, access)
    if not dry_run:
        mark_pending(parts.ledger, [*found.lost, *found.unknown])
    return found


def mark_pending(ledger: Ledger, pages: Iterable[tuple[str, str, int]]) -> None:
    """Have the next ingest read these pages' files again: pages are (tenant, source, number).

    A source that the ledger does not know gets a row, so that the next ingest with `--prune` finds it gone.
    """
    for tenant, source, number in pages:
        with ledger.transaction():
            ledger.delete_pages(source, [number], tenant)
            waiting: str | None = source
            while waiting is not None:  # what came out of an archive is read again with the archive
                row = ledger.source(waiting, tenant)
                if row is None:
                    ledger.put_source(SourceRow(tenant, waiting, "", 0, "pending"))
                    break
                ledger.put_source(replace(row, state="pending", walked=False))
                waiting = row.archive


class _Census:
    """Points, ledger rows and files of an index side by side, in a database of its own: it may be millions."""

    def __init__(self, db: sqlite3.Connection, parts: Parts) -> None:
        self._db = db
        self._assets = parts.directory / "assets"
        for table in (
            "points (id TEXT PRIMARY KEY, tenant, source, page)",
            "rows (id TEXT PRIMARY KEY, tenant, source, page, asset, words)",
            "held (name TEXT PRIMARY KEY)",
        ):
            db.execute(f"CREATE TABLE {table} WITHOUT ROWID")
        self._read_store(parts.store)
        self._read_ledger(parts.ledger)
        db.execute("INSERT OR IGNORE INTO held SELECT asset FROM rows WHERE asset IS NOT NULL")
        db.execute("INSERT OR IGNORE INTO held SELECT words FROM rows WHERE words IS NOT NULL")

    def _read_store(self, store: VectorStore) -> None:
        points = store.scroll()
        while block := list(islice(points, _BLOCK)):
            self._db.executemany(
                "INSERT INTO points VALUES (?, ?, ?, ?)",
                [(p.id, p.payload.get("tenant", ""), p.payload["source"], p.payload["page"]) for p in block],
            )
            # A run that was killed may have stored a page that the ledger does not know yet: its picture is shown.
            names = [(p.payload.get(key),) for p in block for key in ("asset", "words") if p.payload.get(key)]
            self._db.executemany("INSERT OR IGNORE INTO held VALUES (?)", names)

    def _read_ledger(self, ledger: Ledger) -> None:
        for row in ledger.sources():
            self._db.executemany(
                "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        page_id(row.source, page.page, row.tenant),
                        row.tenant,
                        row.source,
                        page.page,
                        page.asset,
                        page.words,
                    )
                    for page in ledger.pages(row.source, row.tenant).values()
                    if page.state == "done"
                ],
            )

    def lost(self) -> Iterator[tuple[str, str, int]]:
        """Pages of the ledger without a point, or whose picture or word boxes are gone."""
        query = (
            "SELECT tenant, source, page, asset, words, EXISTS (SELECT 1 FROM points WHERE points.id = rows.id) "
            "FROM rows ORDER BY tenant, source, page"
        )
        for tenant, source, page, asset, words, stored in self._db.execute(query):
            if not stored or any(name and not (self._assets / name).is_file() for name in (asset, words)):
                yield tenant, source, page

    def unknown(self) -> Iterator[tuple[str, str, int]]:
        """Points that the ledger does not know as done."""
        yield from self._db.execute(
            "SELECT tenant, source, page FROM points WHERE id NOT IN (SELECT id FROM rows) "
            "ORDER BY tenant, source, page"
        )

    def orphans(self) -> Iterator[Path]:
        """Files below the asset folder that neither the ledger nor a point names."""
        for file in sorted(self._assets.rglob("*")):
            name = file.relative_to(self._assets).as_posix()
            if file.is_file() and not self._db.execute("SELECT 1 FROM held WHERE name = ?", (name,)).fetchone():
                yield file


@contextmanager
def _census(parts: Parts) -> Iterator[_Census]:
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "census.sqlite", isolation_level=None)
        try:
            db.execute("PRAGMA synchronous=OFF")
            db.execute("BEGIN")  # one transaction for all, for speed
            yield _Census(db, parts)
        finally:
            db.close()


def _scraps(folder: Path, kept: set[str]) -> Iterator[Path]:
    """What killed runs left in the index directory."""
    for entry in sorted(folder.iterdir()):
        leftover_store = _STORE_FOLDER.fullmatch(entry.name) and entry.is_dir() and entry.name not in kept
        if leftover_store or _HALF_MADE.fullmatch(entry.name):
            yield entry
        elif entry.name == WORK_FOLDER and entry.is_dir():
            yield from sorted(entry.iterdir())


def _remove(path: Path, dry_run: bool) -> int:
    """Delete a file or folder; returns how many bytes it had. A link is removed, not followed."""
    if path.is_dir() and not path.is_symlink():
        size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
        if not dry_run:
            shutil.rmtree(path)
        return size
    size = path.lstat().st_size
    if not dry_run:
        path.unlink(missing_ok=True)
    return size
