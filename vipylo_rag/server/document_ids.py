"""From a document's id, as callers know it, to the source that the index knows it by."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.page import source_id
from vipylo_rag.ledger import Ledger

# Ids that are not known cost a look at the whole ledger: not more often than this while its counts stay the same.
_SECONDS = 1.0


@dataclass(frozen=True)
class _Known:
    sources: Mapping[str, str]
    counts: Mapping[str, int]
    made: float


class DocumentIds:
    """Ids are digests and cannot be read back, so the sources of a tenant are kept by id, and made anew for an id that
    is not among them. Threads may share it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def source(self, id_: str, tenant: str) -> str | None:
        """The source of a tenant's document; None if this tenant has none of that id, or has it no more."""
        known = self._known.get(tenant)
        found = known.sources.get(id_) if known else None
        if found is None:
            found = self._again(tenant).sources.get(id_)
        # One that was deleted stays among the known.
        return found if found is not None and self._ledger.source(found, tenant) is not None else None

    def _again(self, tenant: str) -> _Known:
        with self._lock:
            counts, now = self._ledger.counts(tenant), time.monotonic()
            known = self._known.get(tenant)
            if known is None or known.counts != counts or now - known.made > _SECONDS:
                sources = {source_id(row.source, tenant): row.source for row in self._ledger.sources(tenant)}
                known = self._known[tenant] = _Known(sources, counts, now)
            return known
