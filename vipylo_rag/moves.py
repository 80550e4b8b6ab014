"""Content that is known under another name: its pages are copied, vectors and all, and old names of what moved go."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from connectors.errors import DocumentError
from connectors.page import page_id
from connectors.stores.filters import AnyOf
from connectors.stores.protocol import Point, Vector, VectorStore
from vipylo_rag.ledger import Ledger, SourceRow
from vipylo_rag.removal import delete_source
from vipylo_rag.sources import is_gone
from vipylo_rag.tenants import for_tenant

_COPIED_AT_ONCE = 128


class Moves:
    """The moves of one tenant's sources."""

    def __init__(self, ledger: Ledger, store: VectorStore, tenant: str) -> None:
        self._ledger = ledger
        self._store = store
        self._tenant = tenant

    def copy(self, other: str, source: str) -> set[int]:
        """Give `source` the searchable pages of `other`; returns the numbers of those that the store had."""
        rows = {page: row for page, row in self._ledger.pages(other, self._tenant).items() if row.state == "done"}
        copied: set[int] = set()
        points = self._store.scroll(for_tenant(self._tenant, AnyOf("source", (other,))), with_vectors=True)
        wanted = (point for point in points if point.payload["page"] in rows)
        while batch := list(islice(wanted, _COPIED_AT_ONCE)):
            renamed = [_renamed(dict(point.payload), source) for point in batch]
            self._store.upsert(
                Point(page_id(source, said["page"], self._tenant), _vector(point.vector), said["text"], said)
                for point, said in zip(batch, renamed, strict=True)
            )
            numbers = {said["page"] for said in renamed}
            self._ledger.put_pages(replace(rows[number], source=source, seconds=None) for number in numbers)
            copied |= numbers
        return copied

    def finish_all(self) -> None:
        """Remove the old names that killed runs have left behind."""
        for row in self._ledger.half_moved(self._tenant):
            self.finish(row)

    def finish(self, row: SourceRow) -> None:
        """Remove the name that a source was moved from; the source itself is whole."""
        old = self._ledger.source(row.moved_from or "", self._tenant)
        if old and old.sha256 == row.sha256 and is_gone(old.archive or old.source):
            delete_source(self._store, self._ledger, old.source, self._tenant)
        self._ledger.put_source(replace(row, moved_from=None))

    def outdated(self, row: SourceRow) -> Iterator[str]:
        """Old names of a source that was read under a new one, to be removed: such as that of a file that failed.

        A name stays while it has pages that the new one has not.
        """
        for other in self._ledger.same_content(row.sha256, self._tenant) if row.sha256 else ():
            if other.source == row.source or not is_gone(other.archive or other.source):
                continue
            members = [] if other.container == "nothing" else self._ledger.members(other.source, self._tenant)
            names = [member.source for member in members]
            if row.state != "done":
                names.append(other.source)
            if not any(self._ledger.page_counts(name, self._tenant).done for name in names):
                yield from dict.fromkeys([*names, other.source])


def _renamed(payload: dict[str, Any], source: str) -> dict[str, Any]:
    return {**payload, "source": source, "name": PurePosixPath(source).name}


def _vector(vector: Vector | None) -> Vector:
    if vector is None:
        raise DocumentError("the store gave back a page without its vector")
    return vector
