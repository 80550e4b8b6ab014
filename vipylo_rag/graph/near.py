"""Which pages are neighbours: the nearest by the vectors that the index has already, where both find each other.

While pages come and go, the lists stay what a fresh count would give: a new page is told to those it comes near.
"""

from collections.abc import Callable, Iterable
from typing import Final

from connectors.stores.protocol import StoredPoint, VectorStore
from vipylo_rag.graph.readings import NEW, SHORT, Readings
from vipylo_rag.tenants import for_tenant

# How many neighbours a page can have, and how near they must be (cosine). Only pairs that are on each other's lists
# become relations: a page that is near to everything (a blank one, a cover) is on many lists and keeps few.
NEIGHBOURS: Final = 5
NEAREST: Final = 0.5
_BATCH: Final = 64
_FURTHEST: Final = 1024
_EPSILON: Final = 1e-6

Told = Callable[[int, int], None]


class Neighbours:
    """The lists of a tenant's pages in the readings, made from the page store."""

    def __init__(self, readings: Readings, store: VectorStore, tenant: str) -> None:
        self._readings = readings
        self._db = readings.db
        self._store = store
        self._tenant = tenant

    def update(self, told: Told = lambda done, total: None) -> None:
        """Bring the lists up to date with what was noted as due, and with what that changes in other lists."""
        new = self._due(NEW)
        everything = len(new) == self._readings.count("pages", self._tenant)
        done = 0
        for start in range(0, len(new), _BATCH):
            with self._readings.transaction():  # of many pages: each one waits for the disk
                for page in self._points(new[start : start + _BATCH]):
                    # Where all lists are made anew, none has to be told.
                    self._list(page, set() if everything else self._touched(page))
            done += len(new[start : start + _BATCH])
            told(done, len(new))
        others = self._due(SHORT)
        for start in range(0, len(others), _BATCH):
            with self._readings.transaction():
                for page in self._points(others[start : start + _BATCH]):
                    self._list(page, set())
            done += len(others[start : start + _BATCH])
            told(done, len(new) + len(others))

    def _due(self, what: int) -> list[str]:
        query = "SELECT id FROM pages WHERE tenant = ? AND near_due = ? ORDER BY id"
        return [row[0] for row in self._db.execute(query, (self._tenant, what))]

    def _points(self, ids: list[str]) -> Iterable[StoredPoint]:
        return self._store.get(ids, with_vectors=True)

    def _found(self, page: StoredPoint, top_k: int) -> list[tuple[str, float]]:
        found = self._store.search(page.vector, top_k=top_k + 1, where=for_tenant(self._tenant), mode="dense")
        others = ((point.id, point.score) for point in found if point.id != page.id)
        return [(id_, score) for id_, score in others if score >= NEAREST][:top_k]

    def _list(self, page: StoredPoint, touched: set[str]) -> None:
        """Make a page's list, and note those whose lists it changes: together, or a kill would forget them."""
        new = {id_: score for id_, score in self._found(page, NEIGHBOURS) if self._readings.known([id_])}
        with self._readings.transaction():
            old = dict(self._db.execute("SELECT other, cosine FROM near WHERE page = ?", (page.id,)))
            self._db.execute("UPDATE pages SET near_due = 0 WHERE id = ?", (page.id,))
            self._db.executemany(
                f"UPDATE pages SET near_due = {SHORT} WHERE id = ? AND NOT near_due",  # noqa: S608
                [(id_,) for id_ in touched],
            )
            if old.keys() == new.keys() and all(abs(old[id_] - new[id_]) < _EPSILON for id_ in new):
                return
            self._db.execute("DELETE FROM near WHERE page = ?", (page.id,))
            self._db.executemany(
                "INSERT INTO near VALUES (?, ?, ?)", [(page.id, id_, cosine) for id_, cosine in new.items()]
            )
            self._readings.mark_stale([page.id], rewrite=True)

    def _touched(self, page: StoredPoint) -> set[str]:
        """Pages on whose lists this one may now be: those to which it is nearer than the last of a full list."""
        reach = 8 * NEIGHBOURS
        found = self._found(page, reach)
        while len(found) == reach and reach < _FURTHEST:
            reach *= 4
            found = self._found(page, reach)
        touched = set()
        for id_, score in found:
            count, last = self._db.execute("SELECT COUNT(*), MIN(cosine) FROM near WHERE page = ?", (id_,)).fetchone()
            if count < NEIGHBOURS or score >= last - _EPSILON:
                touched.add(id_)
        return touched
