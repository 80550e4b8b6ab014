"""What was read of every page: the graph builder's own book, from which nodes and relations follow.

It is a SQLite file beside the graph. A page is put or dropped in one transaction, which also notes which nodes no
longer stand as they should (`stale`); later, which vectors are to be made (`due`). So a run that was killed can be
gone on with.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.graph.elements import document_id, figure_id

SCHEMA_VERSION: Final = 1
READINGS: Final = "readings.sqlite"

# Why a page's list of neighbours is due: it is new, and others are to be told; or it lost or may get a neighbour.
NEW: Final = 1
SHORT: Final = 2

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pages (id TEXT PRIMARY KEY, document TEXT, tenant TEXT, source TEXT, name TEXT, number INTEGER, kind TEXT,
    sha256 TEXT, reason TEXT, near_due INTEGER) WITHOUT ROWID;
CREATE INDEX pages_of_source ON pages (tenant, source, number);
CREATE INDEX pages_of_document ON pages (document);
CREATE TABLE mentions (page TEXT, entity TEXT, label TEXT, surface TEXT, count INTEGER, context TEXT,
    PRIMARY KEY (page, entity)) WITHOUT ROWID;
CREATE INDEX mentions_of_entity ON mentions (entity);
CREATE TABLE links (page TEXT, source TEXT, label TEXT, target TEXT, properties TEXT,
    PRIMARY KEY (page, source, label, target)) WITHOUT ROWID;
CREATE INDEX links_of_source ON links (source);
CREATE INDEX links_of_target ON links (target);
CREATE TABLE figures (id TEXT PRIMARY KEY, page TEXT, number INTEGER, box TEXT, caption TEXT) WITHOUT ROWID;
CREATE INDEX figures_of_page ON figures (page);
CREATE TABLE near (page TEXT, other TEXT, cosine REAL, PRIMARY KEY (page, other)) WITHOUT ROWID;
CREATE INDEX near_of_other ON near (other);
CREATE TABLE written (node TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE stale (node TEXT PRIMARY KEY, rewrite INTEGER) WITHOUT ROWID;
CREATE TABLE vectors (node TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;
CREATE TABLE due (node TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Mention:
    """An entity on a page: its node's id, its label, how it is written there, how often, and where it stands."""

    entity: str
    label: str
    surface: str
    count: int
    context: str


@dataclass(frozen=True)
class Link:
    """A relation between two entities that a page says; `properties` are the extractor's."""

    source: str
    label: str
    target: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class FigureRead:
    """A figure on a page: its box as fractions of width and height, and its caption ("" without one)."""

    box: tuple[float, float, float, float]
    caption: str


@dataclass(frozen=True)
class PageReading:
    """What was read of a page. `reason` is why that is not all: the next build reads it again."""

    id: str
    tenant: str
    source: str
    name: str
    number: int
    kind: str
    sha256: str
    mentions: Sequence[Mention] = ()
    links: Sequence[Link] = ()
    figures: Sequence[FigureRead] = ()
    reason: str | None = field(default=None)


class Readings:
    """The open book. One writer at a time (the index's), from one thread at a time."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        """Use `open`."""
        self.db = db
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the book, or begin one.

        Raises:
            IndexDirectoryError: it is damaged, or another version wrote it.
        """
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # What is deleted is overwritten: the text of a document that left the index stays in no file.
            db.execute("PRAGMA secure_delete=ON")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
            elif version != SCHEMA_VERSION:
                raise IndexDirectoryError(
                    f"{path} was written by another version (schema {version}, this one reads {SCHEMA_VERSION})"
                )
            db.execute("CREATE TEMP TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")
            db.execute("CREATE TEMP TABLE batch (node TEXT PRIMARY KEY) WITHOUT ROWID")
            db.execute("CREATE TEMP TABLE gone (node TEXT PRIMARY KEY) WITHOUT ROWID")
            db.execute("SELECT COUNT(*) FROM pages").fetchone()
        except sqlite3.DatabaseError as error:
            db.close()
            raise IndexDirectoryError(f"{path} is damaged ({error})") from error
        except BaseException:
            db.close()
            raise
        return cls(db, path)

    def close(self) -> None:
        """Release the file."""
        self.db.close()

    def copy(self, target: Path) -> None:
        """Write a copy to a file that does not exist yet."""
        with closing(sqlite3.connect(target)) as copy:
            self.db.backup(copy)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Within another one: part of that."""
        if self.db.in_transaction:
            yield
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    # Facts

    def fact(self, key: str) -> str | None:
        """What was noted under a key."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def note(self, key: str, value: str) -> None:
        """Note a value under a key, in place of an earlier one."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # Pages

    def known(self, ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """The content hash and the reason for incompleteness of those pages that were read, by id."""
        asked = ",".join("?" * len(ids))
        rows = self.db.execute(f"SELECT id, sha256, reason FROM pages WHERE id IN ({asked})", list(ids))  # noqa: S608
        return {id_: (sha256, reason) for id_, sha256, reason in rows}

    def page_ids(self, tenant: str | None = None, sources: Iterable[str] | None = None) -> Iterator[str]:
        """Ids of pages that were read: all, a tenant's, or those of some of its documents."""
        if tenant is None:
            yield from self._column("SELECT id FROM pages ORDER BY id")
        elif sources is None:
            yield from self._column("SELECT id FROM pages WHERE tenant = ? ORDER BY id", tenant)
        else:
            for source in sources:
                yield from self._column("SELECT id FROM pages WHERE tenant = ? AND source = ?", tenant, source)

    def put(self, page: PageReading) -> None:
        """Take down what was read of a page, in place of what was read of it before."""
        with self.transaction():
            self.drop(page.id)
            document = document_id(page.tenant, page.source)
            self.db.execute(
                "INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (page.id, document, page.tenant, page.source, page.name, page.number, page.kind, page.sha256,
                 page.reason, NEW),
            )  # fmt: skip
            self.db.executemany(
                "INSERT OR IGNORE INTO mentions VALUES (?, ?, ?, ?, ?, ?)",
                [(page.id, m.entity, m.label, m.surface, m.count, m.context) for m in page.mentions],
            )
            self.db.executemany(
                "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?, ?)",
                [(page.id, link.source, link.label, link.target, _json(link.properties)) for link in page.links],
            )
            self.db.executemany(
                "INSERT INTO figures VALUES (?, ?, ?, ?, ?)",
                [
                    (figure_id(page.id, number), page.id, number, _json(list(figure.box)), figure.caption)
                    for number, figure in enumerate(page.figures, 1)
                ],
            )
            self._unsettle(page.id)

    def drop(self, id_: str) -> bool:
        """Forget a page and all that was read of it; False: it was not known."""
        with self.transaction():
            if not self.known([id_]):
                return False
            self._unsettle(id_)
            self.db.execute(
                f"UPDATE pages SET near_due = {SHORT} WHERE NOT near_due "  # noqa: S608
                "AND id IN (SELECT page FROM near WHERE other = ?)",
                (id_,),
            )
            self.db.execute("DELETE FROM near WHERE page = ? OR other = ?", (id_, id_))
            self.db.execute("DELETE FROM pages WHERE id = ?", (id_,))
            for table in ("mentions", "links", "figures"):
                self.db.execute(f"DELETE FROM {table} WHERE page = ?", (id_,))  # noqa: S608
            return True

    def _unsettle(self, page: str) -> None:
        """Note the nodes that a page, which comes or goes, has a share in."""
        document, tenant, source, number = self.db.execute(
            "SELECT document, tenant, source, number FROM pages WHERE id = ?", (page,)
        ).fetchone()
        around = [
            *self._column(
                "SELECT id FROM pages WHERE tenant = ? AND source = ? AND number < ? ORDER BY number DESC LIMIT 1",
                tenant, source, number,
            ),
            *self._column(
                "SELECT id FROM pages WHERE tenant = ? AND source = ? AND number > ? ORDER BY number LIMIT 1",
                tenant, source, number,
            ),
        ]  # fmt: skip
        self.mark_stale([document], rewrite=False)
        self.mark_stale(self._column("SELECT entity FROM mentions WHERE page = ?", page), rewrite=False)
        self.mark_stale(self._column("SELECT source FROM links WHERE page = ?", page), rewrite=True)
        self.mark_stale(self._column("SELECT target FROM links WHERE page = ?", page), rewrite=False)
        self.mark_stale(self._column("SELECT id FROM figures WHERE page = ?", page), rewrite=True)
        self.mark_stale([page, *around], rewrite=True)

    # What is to be done

    def mark_stale(self, nodes: Iterable[str], *, rewrite: bool) -> None:
        """Note nodes whose properties (with `rewrite`, relations too) are not in the graph as they should be."""
        self.db.executemany(
            "INSERT INTO stale VALUES (?, ?) ON CONFLICT (node) DO UPDATE SET rewrite = max(rewrite, excluded.rewrite)",
            [(node, int(rewrite)) for node in nodes],
        )

    def mark_all_stale(self) -> None:
        """Note that the graph holds nothing of what was read: it is another one, or was lost."""
        with self.transaction():
            self.db.execute("DELETE FROM written")
            self.mark_stale(self._column("SELECT id FROM pages"), rewrite=True)
            self.mark_stale(self._column("SELECT id FROM figures"), rewrite=True)
            self.mark_stale(self._column("SELECT DISTINCT document FROM pages"), rewrite=True)
            self.mark_stale(self._column("SELECT DISTINCT entity FROM mentions"), rewrite=True)

    def forget_vectors(self) -> None:
        """Note that no entity or figure has a vector."""
        with self.transaction():
            self.db.execute("INSERT OR IGNORE INTO due SELECT node FROM vectors")
            self.db.execute("DELETE FROM vectors")

    def settled(self) -> None:
        """The graph holds all that was read, for good: nothing is stale, and what was taken out of it is gone."""
        with self.transaction():
            self.db.execute("DELETE FROM written WHERE node IN (SELECT node FROM gone)")
            self.db.execute("DELETE FROM gone")
            self.db.execute("DELETE FROM stale")

    def count(self, table: str, tenant: str | None = None) -> int:
        """How many rows a table has; of pages, a tenant's."""
        where, values = ("", ()) if tenant is None else (" WHERE tenant = ?", (tenant,))
        return int(self.db.execute(f"SELECT COUNT(*) FROM {table}{where}", values).fetchone()[0])  # noqa: S608

    def failed(self, tenant: str) -> int:
        """How many pages of a tenant could not be read in full."""
        query = "SELECT COUNT(*) FROM pages WHERE tenant = ? AND reason IS NOT NULL"
        return int(self.db.execute(query, (tenant,)).fetchone()[0])

    def portions(self, table: str, size: int) -> Iterator[list[str]]:
        """The nodes that a table notes, in order, some at a time; the table may change meanwhile."""
        last = ""
        while nodes := self._column(f"SELECT node FROM {table} WHERE node > ? ORDER BY node LIMIT {size}", last):  # noqa: S608
            yield nodes
            last = nodes[-1]

    @contextmanager
    def batch(self, nodes: Collection[str]) -> Iterator[None]:
        """These nodes as the table `batch`."""
        self.db.execute("DELETE FROM batch")
        self.db.executemany("INSERT OR IGNORE INTO batch VALUES (?)", [(node,) for node in nodes])
        yield

    def _column(self, query: str, *values: Any) -> list[str]:
        return [row[0] for row in self.db.execute(query, values)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
