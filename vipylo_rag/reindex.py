"""Reindexing: every page's vector made anew from what the index keeps of it, in a new store, while the old one serves.

From its first moment a reindexing is a manifest to come that names the new store: the next run goes on where one was
killed, and the switch is one rename. Source files are never read.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from PIL import Image

from connectors.errors import StoreError
from connectors.stores.options import StoreOptions
from connectors.stores.protocol import Point, StoredPoint, VectorStore
from embedder.protocol import Embedder, Sample
from vipylo_rag.collect import mark_pending
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ingest import OPTIMIZE_FROM
from vipylo_rag.manifest import FIRST_STORE, NEXT_NAME, EmbedderRecord, Manifest, RetiredStore
from vipylo_rag.opening import Access, Parts, remove_retired
from vipylo_rag.stored_page import page_sample

BATCH_PAGES = 16
_COPY_BATCH = 256
_SHOWN = 3
_FINGERPRINT = 12

T = TypeVar("T")


@dataclass(frozen=True)
class PageFailure:
    """A page that the new embedder cannot embed, and why."""

    id: str
    tenant: str
    source: str
    page: int
    reason: str


@dataclass
class ReindexReport:
    """What a reindexing did.

    Attributes:
        pages: how many the index holds.
        embedded: embedded anew.
        copied: taken over with their vectors (same embedder).
        kept: there already, from a run that was stopped.
        removed: deleted from the new store, as an ingest in between had deleted them.
        failures: pages that cannot be embedded.
    """

    pages: int = 0
    embedded: int = 0
    copied: int = 0
    kept: int = 0
    removed: int = 0
    seconds: float = 0.0
    failures: list[PageFailure] = field(default_factory=list)

    @property
    def settled(self) -> int:
        """Pages that are decided upon."""
        return self.embedded + self.copied + self.kept + len(self.failures)


Progress = Callable[[ReindexReport], None]


@dataclass(frozen=True)
class Rebuilt:
    """The new store, complete, open and not yet in use, with the manifest to come. No store: nothing was to change."""

    manifest: Manifest
    store: VectorStore | None
    report: ReindexReport


def rebuild(
    parts: Parts,
    embedder: Embedder | None,
    record: EmbedderRecord,
    options: StoreOptions | None,
    access: Access,
    *,
    batch_pages: int = BATCH_PAGES,
    skip_failed: bool = False,
    progress: Progress | None = None,
) -> Rebuilt:
    """Build the store to come of an index, or finish building it. See `MultimodalIndex.reindex`; call it as the only
    writer. `embedder` is None, or the one that `record` is of."""
    folder = parts.directory
    manifest = remove_retired(folder, parts.manifest, access)
    if (record.fingerprint, options or manifest.store.options) == (
        manifest.embedder.fingerprint,
        manifest.store.options,
    ):  # also the second half of a run that was killed after its switch
        pages = parts.store.count()
        return Rebuilt(manifest, None, ReindexReport(pages=pages, kept=pages))
    coming = _begin(folder, manifest, record, options, access)
    maker = embedder if record.fingerprint != manifest.embedder.fingerprint else None
    store = access.store(folder, coming.store, record.dim)
    try:
        refill = Refill(parts.store, store, maker, folder / "assets", batch_pages=batch_pages, progress=progress)
        report = refill.run()
        if not skip_failed:
            _refuse_failures(report, folder)
        mark_pending(parts.ledger, ((page.tenant, page.source, page.page) for page in report.failures))
        if report.embedded + report.copied and report.pages >= OPTIMIZE_FROM:
            store.optimize()
    except BaseException:
        store.close()
        raise
    return Rebuilt(coming, store, report)


def _begin(
    folder: Path, manifest: Manifest, record: EmbedderRecord, options: StoreOptions | None, access: Access
) -> Manifest:
    """The manifest to come of a reindexing to an embedder: of the one that was stopped, or of a new one.

    Raises:
        IndexDirectoryError: another reindexing was stopped and not given up.
    """
    wanted = options or manifest.store.options
    if coming := Manifest.coming(folder):
        if (coming.embedder.fingerprint, coming.store.options) == (record.fingerprint, wanted):
            return coming
        raise IndexDirectoryError(
            f"{folder} is half reindexed to embedder {coming.embedder.name!r} with {coming.store.options}: finish that "
            "first, or give it up with `vipylo gc --abandon`"
        )
    name = f"{FIRST_STORE}-{record.fingerprint[:_FINGERPRINT].lower()}"
    if name == manifest.store.folder:
        name += "-2"
    store = manifest.store.model_copy(update={"folder": name, "options": wanted})
    if store.url is None:
        access.remove_store(folder, store, record.dim)  # what no manifest names is left from a kill
    else:
        _check_unused(folder, store.label, access.store(folder, store, record.dim))
    retired = RetiredStore(store=manifest.store, dim=manifest.embedder.dim)
    coming = Manifest(embedder=record, store=store, retired=(retired,))
    coming.write(folder, NEXT_NAME)
    return coming


def _check_unused(folder: Path, label: str, store: VectorStore) -> None:
    try:
        if store.count():
            raise IndexDirectoryError(
                f"{label} has pages in the collection that {folder} would be reindexed to, and they are not of this "
                "index: delete that collection on the server"
            )
    finally:
        store.close()


class Refill:
    """Makes `new` hold the pages of `old`, and no others. Make it, call `run` once; a second one goes on with the work.

    Args:
        embedder: makes the vectors; None copies those of `old`.
        assets: the index's asset folder.
        batch_pages: how many pages are embedded at a time.
        progress: called with the report so far.
    """

    def __init__(
        self,
        old: VectorStore,
        new: VectorStore,
        embedder: Embedder | None,
        assets: Path,
        *,
        batch_pages: int = BATCH_PAGES,
        progress: Progress | None = None,
    ) -> None:
        self._old = old
        self._new = new
        self._embedder = embedder
        self._assets = assets
        self._batch = batch_pages if embedder is not None else _COPY_BATCH
        self._progress = progress or (lambda report: None)
        self.report = ReindexReport()

    def run(self) -> ReindexReport:
        """Compare both stores page by page, and embed what is missing in the new one or differs there.

        Raises:
            StoreError: the new store refused pages, or does not hold what it was given.
        """
        begun = time.monotonic()
        self.report.pages = self._old.count()
        for batch in _batches(self._different(), self._batch):
            points = list(self._embedded(batch)) if self._embedder is not None else [_copied(page) for page in batch]
            self._new.upsert(points)
            if self._embedder is not None:
                self.report.embedded += len(points)
            else:
                self.report.copied += len(points)
            self._progress(self.report)
        held, wanted = self._new.count(), self.report.settled - len(self.report.failures)
        if held != wanted:
            raise StoreError(
                f"the new store holds {held} pages instead of {wanted}: was it written by others? Try again"
            )
        self.report.seconds = time.monotonic() - begun
        return self.report

    def _different(self) -> Iterator[StoredPoint]:
        """Pages that the new store lacks or holds otherwise. What only the new store has is deleted on the way.

        Both stores are read in id order side by side; what is written meanwhile lies behind both readers.
        """
        there = _in_order(self._new.scroll())
        other = next(there, None)
        for page in _in_order(self._old.scroll(with_vectors=self._embedder is None)):
            while other is not None and other.id < page.id:
                self._remove(other)
                other = next(there, None)
            if other is not None and other.id == page.id:
                same = other.payload == page.payload
                other = next(there, None)
                if same:
                    self.report.kept += 1
                    self._progress(self.report)
                    continue
            yield page
        while other is not None:
            self._remove(other)
            other = next(there, None)

    def _remove(self, page: StoredPoint) -> None:
        self.report.removed += self._new.delete([page.id])

    def _embedded(self, pages: Sequence[StoredPoint]) -> Iterator[Point]:
        assert self._embedder is not None
        samples: list[Sample] = []
        readable: list[StoredPoint] = []
        for page in pages:
            try:
                samples.append(_sample(page, self._assets))
                readable.append(page)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's, of bad files
                self._fail(page, f"its stored picture cannot be read ({error})")
        if not samples:
            return
        rows = self._embedder.encode_rows(samples)
        for number, page in enumerate(readable):
            if number in rows.errors:
                self._fail(page, str(rows.errors[number]))
            else:
                yield Point(page.id, rows.vectors[number], page.payload["text"], page.payload)

    def _fail(self, page: StoredPoint, reason: str) -> None:
        said = page.payload
        self._new.delete([page.id])  # an older state of it
        failure = PageFailure(page.id, said.get("tenant", ""), said["source"], said["page"], reason)
        self.report.failures.append(failure)


def _refuse_failures(report: ReindexReport, folder: Path) -> None:
    """Do not switch to a store that lacks pages which the old one has.

    Raises:
        IndexDirectoryError: there are failures; names the first of them.
    """
    if report.failures:
        first = "; ".join(f"{f.source} page {f.page}: {f.reason}" for f in report.failures[:_SHOWN])
        raise IndexDirectoryError(
            f"{len(report.failures)} of {report.pages} pages of {folder} cannot be embedded anew ({first}): the old "
            "vectors still serve. `vipylo gc` and an ingest heal lost pictures; --skip-failed goes on without the pages"
        )


def _sample(page: StoredPoint, assets: Path) -> Sample:
    """What ingest embedded: the stored picture and the text."""
    asset = page.payload.get("asset")
    picture = None
    if asset:
        picture = Image.open(assets / asset)
        picture.load()
    return page_sample(page.payload["text"], picture)


def _copied(page: StoredPoint) -> Point:
    assert page.vector is not None
    return Point(page.id, page.vector, page.payload["text"], page.payload)


def _in_order(pages: Iterable[StoredPoint]) -> Iterator[StoredPoint]:
    last = ""
    for page in pages:
        if page.id <= last:
            raise StoreError(f"the store gives its pages out of order ({page.id} after {last}): it cannot be reindexed")
        last = page.id
        yield page


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
