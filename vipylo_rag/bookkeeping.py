"""The books of a run, apart from how pages are read and embedded: what was stored or lost, when a source is closed.

A local run and one that is spread over machines keep the same books.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from connectors.loaders.pool import PageRead
from connectors.stores.filters import And, AnyOf, Not
from connectors.stores.protocol import Point, Vector, VectorStore
from vipylo_rag.ledger import Container, Ledger, PageRow, SourceRow
from vipylo_rag.moves import Moves
from vipylo_rag.removal import delete_source
from vipylo_rag.report import Failure, IngestReport, PageWarning, Progress
from vipylo_rag.rules import Decision, Rules
from vipylo_rag.sources import FileFacts
from vipylo_rag.stored_page import json_types, page_digest, page_point, page_warning, payload_of
from vipylo_rag.tenants import for_tenant

logger = logging.getLogger(__name__)

_SEEN_AT_ONCE = 1000


@dataclass
class _Open:
    """A source that is being read."""

    sha256: str
    known: Mapping[int, PageRow]
    fresh: bool
    same_content: bool
    begun: float
    stored: set[int] = field(default_factory=set)
    lost: dict[int, PageRow] = field(default_factory=dict)
    embed_seconds: float = 0.0


class Bookkeeping:
    """The books of one run for one tenant. One thread at a time.

    Args:
        how: `vipylo_rag.sources.how_read` of this run.
        reread: read unchanged files too.
        retry: read again what failed before, though nothing about it changed.
        report, progress: kept up to date; called with it after each page and source.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: VectorStore,
        assets: Path,
        report: IngestReport,
        *,
        tenant: str = "",
        how: str = "",
        reread: bool = False,
        retry: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._assets = assets
        self._tenant = tenant
        self._moves = Moves(ledger, store, tenant)
        self._rules = Rules(ledger, tenant, how, reread=reread, retry=retry)
        self._how = how
        self._progress = progress or (lambda report: None)
        self._open: dict[str, _Open] = {}
        self._unreferenced: set[str] = set()
        self._seen: list[str] = []
        self._fields: set[tuple[str, str]] = set()
        self.report = report

    # What to read

    def decide(self, source: str, facts: FileFacts) -> Decision:
        """What is to be done with a file of this content."""
        return self._rules.decide(source, facts)

    def is_open(self, sha256: str) -> bool:
        """Whether a file with these bytes is being read right now: its pages can be copied when that is done."""
        return bool(sha256) and any(source.sha256 == sha256 for source in self._open.values())

    def settle(self, decision: Decision) -> None:
        """Count a source that needs nothing, with the reasons of what failed before; its members too."""
        row = decision.row
        assert row is not None
        members = [] if row.container == "nothing" else self._ledger.members(row.source, self._tenant)
        self.report.found += len(members)
        for each in (row, *members):
            self._settle_one(each)
        self._seen.extend(each.source for each in (row, *members))
        if len(self._seen) >= _SEEN_AT_ONCE:
            self.flush()
        self._progress(self.report)

    def flush(self) -> None:
        """Write what is held back to save transactions."""
        seen, self._seen = self._seen, []
        with self.report.timed("ledger"):
            self._ledger.saw(seen, self._tenant)

    def _settle_one(self, row: SourceRow) -> None:
        if row.state == "failed":
            self.report.failed += 1
            self._failures(Failure(row.source, None, row.reason or "", row.attempts, before=True))
            return
        self.report.unchanged += 1
        if self._ledger.page_counts(row.source, self._tenant).failed:
            for page in self._ledger.pages(row.source, self._tenant).values():
                if page.state == "failed":
                    self._failures(Failure(row.source, page.page, page.reason or "", page.attempts, before=True))

    # A source, from its first page to its last

    def begin(self, decision: Decision, archive: str | None = None, container: Container = "nothing") -> None:
        """A source goes to the readers."""
        row, facts = decision.row, decision.facts
        same = row is not None and bool(facts.sha256) and row.sha256 == facts.sha256
        known = self._ledger.pages(decision.source, self._tenant)
        self._open[decision.source] = _Open(facts.sha256, known, row is None, same, begun=time.monotonic())
        self._ledger.put_source(
            SourceRow(
                self._tenant,
                decision.source,
                facts.sha256,
                facts.bytes,
                "pending",
                attempts=row.attempts + 1 if row and same else 1,
                how=self._how,
                archive=archive,
                container=container,
            )
        )

    def wants(self, page: PageRead) -> bool:
        """Whether a page that was read has to be embedded; if not, it is stored already and counts as kept."""
        source = self._open[page.source]
        known = source.known.get(page.number)
        if known is None or known.state != "done" or known.digest != page_digest(page):
            return True
        self._unreferenced.update({name for name in (page.asset, page.words) if name} - {known.asset, known.words})
        source.stored.add(page.number)
        self.report.pages_unchanged += 1
        self._progress(self.report)
        return False

    def digests(self, source: str) -> dict[int, str]:
        """The digests of the pages of an open source that are stored already, by number: see `page_digest`."""
        known = self._open[source].known.values()
        return {row.page: row.digest for row in known if row.state == "done" and row.digest}

    def point(self, page: PageRead, vector: Vector) -> Point:
        """A page as the store keeps it."""
        return page_point(page, vector, self._tenant)

    def stored(self, pages: Sequence[PageRead], seconds: float) -> None:
        """These pages are durably in the store; embedding and storing them took `seconds` in all."""
        if not pages:
            return
        share = seconds / len(pages)
        with self.report.timed("ledger"), self._ledger.transaction():
            self._ledger.put_pages(self._row(page, share) for page in pages)
            found = {pair for page in pages for pair in json_types(payload_of(page, self._tenant))}
            self._ledger.add_fields(found - self._fields, self._tenant)
        self._fields |= found
        for page in pages:
            source = self._open[page.source]
            source.stored.add(page.number)
            source.embed_seconds += share
            if known := source.known.get(page.number):
                self._unreferenced.update({name for name in (known.asset, known.words) if name})
            if warning := page_warning(page):
                self.report.warnings.append(PageWarning(page.source, page.number, warning))
        self.report.pages_embedded += len(pages)
        self._progress(self.report)

    def _row(self, page: PageRead, seconds: float) -> PageRow:
        return PageRow(
            self._tenant,
            page.source,
            page.number,
            page_digest(page),
            page.asset,
            "done",
            seconds=seconds,
            reason=page_warning(page),
            words=page.words,
            attempts=self._attempts(page.source, page.number),
        )

    def _attempts(self, source: str, number: int) -> int:
        opened = self._open[source]
        known = opened.known.get(number)
        return known.attempts + 1 if known and known.state == "failed" and opened.same_content else 1

    def lost(self, source: str, number: int, reason: str, assets: Iterable[str | None] = ()) -> None:
        """A page that cannot be indexed; what an older version of it left behind goes away when the source closes.

        `assets` are the files that were written for it.
        """
        opened = self._open[source]
        attempts = self._attempts(source, number)
        row = PageRow(self._tenant, source, number, None, None, "failed", reason, attempts=attempts)
        opened.lost[number] = row
        known = opened.known.get(number)
        if known is None or known.state == "failed":  # else the older one is searchable until the whole is read
            self._ledger.put_pages([row])
        self._unreferenced.update(name for name in assets if name)
        self._failures(Failure(source, number, reason, attempts))
        self._progress(self.report)

    def close(self, source: str, error: str | None = None) -> None:
        """The source was read to its end, or failed; all its pages are stored or lost.

        Only a whole reading removes pages that it no longer has.
        """
        opened = self._open.pop(source)
        reason = error or ("no page of it can be read" if opened.lost and not opened.stored else None)
        row = self._timed(source, opened)
        if reason:
            older = any(page.state == "done" for page in opened.known.values())
            reason += " (its earlier pages stay searchable)" if older else ""
            row = replace(row, state="failed", reason=reason)
            self._put_failed(row)
        else:
            if not opened.fresh:  # its first reading: nothing older can be there
                self._ledger.put_pages(opened.lost.values())
                self._forget_pages(source, opened.known, kept=opened.stored, lost=opened.lost.keys())
            row = replace(row, state="done", reason=None)
            self._ledger.put_source(row)
            self.report.indexed += 1
        self._forget_old_names(row)
        self._progress(self.report)

    def put_back(self, source: str) -> None:
        """The file changed while it was being read: what is stored of it may be of either version. The next run reads
        it again, whatever it holds then."""
        reason = "changed while it was being read; the next run reads it again"
        row = self._timed(source, self._open.pop(source))
        self._ledger.put_source(replace(row, sha256="", state="pending", reason=reason))
        self.report.failed += 1
        self._failures(Failure(source, None, reason, row.attempts))
        self._progress(self.report)

    def _timed(self, source: str, opened: _Open) -> SourceRow:
        read_seconds = time.monotonic() - opened.begun
        return replace(self._ledger_row(source), read_seconds=read_seconds, embed_seconds=opened.embed_seconds)

    def _forget_pages(self, source: str, known: Mapping[int, PageRow], kept: Set[int], lost: Set[int]) -> None:
        # The ledger first: a page that it believes to be stored would not be stored again after a kill.
        gone = known.keys() - kept - lost
        self._ledger.delete_pages(source, gone, self._tenant)
        for number in gone | (known.keys() & lost):
            self._unreferenced.update(name for name in (known[number].asset, known[number].words) if name)
        # By filter, not by the ledger's ids: a run that was killed may have stored pages that the ledger never saw.
        others = And((AnyOf("source", (source,)), Not(AnyOf("page", tuple(sorted(kept))))))
        with self.report.timed("delete"):
            self.report.pages_deleted += self._store.delete(where=for_tenant(self._tenant, others))

    def _forget_old_names(self, row: SourceRow) -> None:
        for name in self._moves.outdated(row):
            self._forget(name)

    def refuse(self, source: str, reason: str, facts: FileFacts | None = None, archive: str | None = None) -> None:
        """A source that cannot even be given to a reader."""
        row = self._ledger.source(source, self._tenant)
        content = facts or FileFacts("", 0)
        attempts = row.attempts + 1 if row and row.sha256 == content.sha256 else 1
        refused = SourceRow(
            self._tenant,
            source,
            content.sha256,
            content.bytes,
            "failed",
            reason,
            attempts=attempts,
            how=self._how,
            archive=archive,
        )
        self._put_failed(refused)
        self._forget_old_names(refused)

    def vanished(self, source: str) -> None:
        """A file went away between being listed and being read: it counts as not found. What is stored of it stays, to
        be moved or pruned; that it failed is forgotten, where nothing of it is stored."""
        row = self._ledger.source(source, self._tenant)
        self.report.found -= 1
        if row and row.state == "failed" and not self._ledger.page_counts(source, self._tenant).done:
            self._forget(source)

    def _put_failed(self, row: SourceRow) -> None:
        self._ledger.put_source(row)
        self.report.failed += 1
        self._failures(Failure(row.source, None, row.reason or "", row.attempts))
        logger.info("%s is not indexed: %s", row.source, row.reason)
        self._progress(self.report)

    # Files that hold others

    def walked(
        self, source: str, seen: Set[str], unknown: Iterable[str], *, prune: bool, error: str | None = None
    ) -> None:
        """All that a file holds is decided upon and read. Members that it no longer has go: with `prune`, and those of
        which nothing is stored anyway. `unknown` are beginnings of names: what was damaged may hold them still."""
        row = self._ledger_row(source)
        if source in self._open:  # it has no pages: this closes it
            self.close(source, error)
            row = self._ledger_row(source)
        elif error:
            self._failures(Failure(source, None, error))
        if error or row.state == "pending":  # put back
            return
        spared = tuple(unknown)
        for member in self._ledger.members(source, self._tenant):
            if member.source in seen or member.source.startswith(spared):
                continue
            if prune:
                self.remove(member.source)
            elif member.state == "failed" and not self._ledger.page_counts(member.source, self._tenant).done:
                self._forget(member.source)
        row = replace(row, walked=True)
        self._ledger.put_source(row)
        self._forget_old_names(row)

    # Content that is known under another name

    def take_over(self, decision: Decision, archive: str | None = None, container: Container = "nothing") -> bool:
        """Give a source the pages of another with the same content, vectors and all; False: they are not all there.

        Where the other file is gone, its entry goes too, after the new one is whole. A run that is killed in between
        leaves a note of that, see `finish_moves`.
        """
        assert decision.other is not None
        other, source = decision.other, decision.source
        rows = self._ledger.pages(other.source, self._tenant)
        known = self._ledger.pages(source, self._tenant)
        self.begin(decision, archive, container)
        self._open.pop(source)
        with self.report.timed("copy"):
            copied = self._moves.copy(other.source, source)
        if copied != {number for number, row in rows.items() if row.state == "done"}:
            return False  # the store lost some: the file is read instead
        failed = {number: row for number, row in rows.items() if row.state == "failed"}
        self._ledger.put_pages(replace(row, source=source) for row in failed.values())
        self._forget_pages(source, known, kept=copied, lost=failed.keys())
        for page in known.values():
            self._unreferenced.update(name for name in (page.asset, page.words) if name)
        moved = decision.action == "moved"
        row = replace(self._ledger_row(source), state="done", how=other.how)
        self._ledger.put_source(replace(row, moved_from=other.source if moved else None))
        if moved:
            self._moves.finish(self._ledger_row(source))
        self.report.moved += moved
        self.report.copied += not moved
        self.report.pages_copied += len(copied)
        for page in failed.values():
            self._failures(Failure(source, page.page, page.reason or "", page.attempts, before=True))
        self._progress(self.report)
        return True

    def finish_moves(self) -> None:
        """Remove the old names that killed runs have left behind."""
        self._moves.finish_all()

    # What goes

    def remove(self, source: str) -> None:
        """Remove a source that is no longer there."""
        self.report.pages_deleted += self._forget(source)
        self.report.removed += 1

    def _forget(self, source: str) -> int:
        for row in self._ledger.pages(source, self._tenant).values():
            self._unreferenced.update(name for name in (row.asset, row.words) if name)
        return delete_source(self._store, self._ledger, source, self._tenant)

    def sweep(self) -> int:
        """Delete the files that this run left without a page; returns how many. Only when nothing is in work: a page
        that is about to be stored may look the same as one that went away."""
        names = [name for name in sorted(self._unreferenced) if not self._ledger.refers_to(name)]
        for name in names:
            (self._assets / name).unlink(missing_ok=True)
        self._unreferenced.clear()
        return len(names)

    def _ledger_row(self, source: str) -> SourceRow:
        row = self._ledger.source(source, self._tenant)
        assert row is not None
        return row

    def _failures(self, failure: Failure) -> None:
        self.report.failures.append(failure)
