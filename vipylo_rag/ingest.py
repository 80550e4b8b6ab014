"""Ingest: discover -> hash -> read in child processes -> embed in batches -> upsert -> ledger.

Killed at any moment, the next run resumes: a page counts only when its vector is stored and the ledger says so, and a
source only when its last page does. New pages are stored before old ones are deleted.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from connectors.errors import DocumentError, StoreError
from connectors.loaders.pool import PAGE_SECONDS, Document, DocumentEnd, PageLost, PageRead, ReaderPool
from connectors.loaders.registry import discover
from connectors.page import page_id
from connectors.stores.filters import And, AnyOf, Not
from connectors.stores.protocol import Point, Vector, VectorStore
from embedder.prefixes import literal
from embedder.protocol import Embedder, Sample
from vipylo_rag.ledger import Ledger, PageRow
from vipylo_rag.manifest import is_index

logger = logging.getLogger(__name__)

# Payload fields that are ours; a loader's metadata cannot set them.
RESERVED_FIELDS = frozenset(
    {"source", "name", "page", "kind", "text", "content_sha256", "asset", "width", "height", "tenant"}
)
BATCH_PAGES = 16
# Below this a full scan is as quick as the graph, and building one takes seconds in which nothing else runs.
OPTIMIZE_FROM = 10_000


@dataclass(frozen=True)
class Failure:
    """A source (page None) or one page of it that is not in the index, and why."""

    source: str
    page: int | None
    reason: str


@dataclass
class IngestReport:
    """What a run did. Sources: indexed + unchanged + failed = found. `failures` also lists single pages."""

    found: int = 0
    indexed: int = 0
    unchanged: int = 0
    failed: int = 0
    removed: int = 0
    pages_embedded: int = 0
    pages_unchanged: int = 0
    pages_deleted: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


Progress = Callable[[IngestReport], None]


@dataclass
class _Open:
    """A source that is being read."""

    sha256: str
    known: dict[int, PageRow]
    stored: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)


class Ingest:
    """One run over some paths into one index. Make it, call `run` once.

    Args:
        embedder, store, ledger: the index's parts.
        assets: the index's asset folder.
        workers: child processes that read and render.
        page_seconds: longest time a page may take to read.
        loader_options: constructor arguments by loader name.
        progress: called with the report so far, after each page and source.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        ledger: Ledger,
        assets: Path,
        *,
        workers: int = 1,
        page_seconds: float = PAGE_SECONDS,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._ledger = ledger
        self._assets = assets
        self._pool = ReaderPool(assets, workers=workers, page_seconds=page_seconds, loader_options=loader_options)
        self._progress = progress or (lambda report: None)
        self._open: dict[str, _Open] = {}
        self._batch: list[PageRead] = []
        self._ended: list[DocumentEnd] = []
        self.report = IngestReport()

    def run(self, paths: Sequence[Path], *, prune: bool = False) -> IngestReport:
        """Bring the index up to date with the files at and below `paths`.

        Args:
            prune: also remove sources that lie below a given folder in the index, but no longer on disk.

        Raises:
            DocumentError: one of `paths` does not exist, or there is no file in any of them.
        """
        begun = time.monotonic()
        files = find_files(paths)
        self.report.found = len(files)
        for event in self._pool.read(self._changed(files)):
            match event:
                case PageRead():
                    self._page(event)
                case PageLost():
                    self._lose(event.source, event.number, event.reason)
                case DocumentEnd():
                    self._ended.append(event)
            if len(self._batch) >= BATCH_PAGES or not self._batch:
                self._flush()
        self._flush()
        if prune:
            self._prune(paths, files)
        if self.report.pages_embedded or self.report.pages_deleted:
            remove_orphans(self._assets, self._ledger)
        if self.report.pages_embedded and self._store.count() >= OPTIMIZE_FROM:
            self._store.optimize()
        self.report.seconds = time.monotonic() - begun
        return self.report

    def _changed(self, files: Iterable[Path]) -> Iterator[Document]:
        """The files to read: new, changed, not finished last time, or with a page or more that failed last time."""
        for file in files:
            source = source_name(file)
            try:
                sha256 = file_digest(file)
                source.encode()
            except OSError as error:
                self._fail_source(source, "", f"cannot be read: {error.strerror}")
                continue
            except UnicodeEncodeError:
                shown = source.encode("utf-8", "backslashreplace").decode()
                self._fail_source(shown, "", "the file name is no valid Unicode: rename the file")
                continue
            row = self._ledger.source(source)
            known = self._ledger.pages(source)
            whole = all(page.state == "done" for page in known.values())
            if row and row.sha256 == sha256 and row.state == "done" and whole:
                self.report.unchanged += 1
                self._progress(self.report)
                continue
            self._open[source] = _Open(sha256, known)
            self._ledger.put_source(source, sha256, "pending")
            yield Document(file, source)

    def _page(self, page: PageRead) -> None:
        source = self._open[page.source]
        known = source.known.get(page.number)
        if known and known.state == "done" and known.digest == page_digest(page):
            source.stored.add(page.number)
            self.report.pages_unchanged += 1
            self._progress(self.report)
        else:
            self._batch.append(page)

    def _flush(self) -> None:
        """Embed and store the pages at hand, then close the sources whose last page that was."""
        batch, self._batch = self._batch, []
        if samples := self._samples(batch):
            begun = time.monotonic()
            rows = self._embedder.encode_rows([sample for _, sample in samples])
            pages = [(page, rows.vectors[row]) for row, (page, _) in enumerate(samples) if row not in rows.errors]
            for row, error in sorted(rows.errors.items()):
                self._lose(samples[row][0].source, samples[row][0].number, str(error))
            stored = self._store_pages(pages)
            seconds = (time.monotonic() - begun) / len(batch)
            with self._ledger.transaction():
                self._ledger.put_pages(
                    PageRow(p.source, p.number, page_digest(p), p.asset, "done", None, seconds) for p in stored
                )
                self._ledger.add_fields({key for page in stored for key in payload(page)})
            for page in stored:
                self._open[page.source].stored.add(page.number)
            self.report.pages_embedded += len(stored)
            self._progress(self.report)
        ended, self._ended = self._ended, []
        for end in ended:
            self._close(end)

    def _samples(self, batch: Sequence[PageRead]) -> list[tuple[PageRead, Sample]]:
        samples = []
        for page in batch:
            try:
                images = (Image.open(self._assets / page.asset),) if page.asset else ()
            except OSError as error:
                # Content-addressed files are never rewritten: a damaged one must go, or it stays damaged for ever.
                (self._assets / str(page.asset)).unlink(missing_ok=True)
                self._lose(
                    page.source, page.number, f"its stored image was damaged and is removed, ingest again: {error}"
                )
                continue
            samples.append((page, Sample(literal(page.text), images)))
        return samples

    def _store_pages(self, pages: Sequence[tuple[PageRead, Vector]]) -> list[PageRead]:
        """Upsert all pages; if the store refuses one, the others one by one. Returns those that are stored."""
        try:
            self._store.upsert(point(page, vector) for page, vector in pages)
            return [page for page, _ in pages]
        except StoreError as error:
            if len(pages) <= 1:
                for page, _ in pages:
                    self._lose(page.source, page.number, str(error))
                return []
        return [stored for pair in pages for stored in self._store_pages([pair])]

    def _lose(self, source: str, number: int, reason: str) -> None:
        """A page that cannot be indexed; what an older version of it left behind goes away when the source closes."""
        self._open[source].lost.add(number)
        self._ledger.put_pages([PageRow(source, number, None, None, "failed", reason)])
        self.report.failures.append(Failure(source, number, reason))
        self._progress(self.report)

    def _close(self, end: DocumentEnd) -> None:
        """The source was read to its end, or failed. Only a whole reading removes pages that it no longer has."""
        source = self._open.pop(end.source)
        failed = end.error or ("no page of it can be read" if source.lost and not source.stored else None)
        if failed:
            older = any(page.state == "done" for page in source.known.values())
            self._fail_source(
                end.source, source.sha256, failed + (" (its earlier pages stay searchable)" if older else "")
            )
            return
        # By filter, not by the ledger's ids: a run that was killed may have stored pages that the ledger never saw.
        kept = Not(AnyOf("page", tuple(sorted(source.stored))))
        self.report.pages_deleted += self._store.delete(where=And((AnyOf("source", (end.source,)), kept)))
        with self._ledger.transaction():
            self._ledger.delete_pages(end.source, source.known.keys() - source.stored - source.lost)
            self._ledger.put_source(end.source, source.sha256, "done")
        self.report.indexed += 1
        self._progress(self.report)

    def _fail_source(self, source: str, sha256: str, reason: str) -> None:
        self._ledger.put_source(source, sha256, "failed", reason)
        self.report.failed += 1
        self.report.failures.append(Failure(source, None, reason))
        logger.info("%s is not indexed: %s", source, reason)
        self._progress(self.report)

    def _prune(self, paths: Sequence[Path], files: Sequence[Path]) -> None:
        found = {source_name(file) for file in files}
        # A folder that could not be listed comes as a "file": what lies below it is unknown, not gone.
        closed = [Path(source_name(file)) for file in files if file.is_dir()]
        folders = [path.resolve() for path in paths if path.is_dir()]
        for row in list(self._ledger.sources()):
            place = Path(row.source)
            below = any(place.is_relative_to(folder) for folder in folders)
            if below and row.source not in found and not any(place.is_relative_to(folder) for folder in closed):
                self.report.pages_deleted += delete_source(self._store, self._ledger, row.source)
                self.report.removed += 1


def find_files(paths: Sequence[Path]) -> list[Path]:
    """All files at and below `paths`, each once (also when reached by a link), in order; indexes are left out.

    Raises:
        DocumentError: a path does not exist, or there is no file at all.
    """
    files = list({source_name(file): file for file in discover(paths, skip=is_index)}.values())
    if not files:
        raise DocumentError(f"nothing to ingest: no file in {', '.join(str(path) for path in paths)}")
    return files


def source_name(file: Path) -> str:
    """The name a file is known by in the index: its absolute path, links in its folder resolved."""
    return (file.parent.resolve() / file.name).as_posix()


def file_digest(file: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    if not file.is_file():
        return ""  # the reader says what is wrong with it
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def page_digest(page: PageRead) -> str:
    """Hex digest of all that is stored of a page: what it shows, what the loader says of it. Equal: nothing to do."""
    said = json.dumps(page.metadata, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{page.content_sha256}\n{page.kind}\n{said}".encode()).hexdigest()


def payload(page: PageRead) -> dict[str, Any]:
    """What is stored beside a page's vector."""
    # A loader's metadata come first: they must not name another page's image or source.
    said = {key: value for key, value in page.metadata.items() if key not in RESERVED_FIELDS}
    content: dict[str, Any] = {
        **said,
        "source": page.source,
        "name": Path(page.source).name,
        "page": page.number,
        "kind": page.kind,
        "text": page.text,
        "content_sha256": page.content_sha256,
    }
    if page.asset:
        content["asset"] = page.asset
    if page.size:
        content["width"], content["height"] = page.size
    return content


def point(page: PageRead, vector: Any) -> Point:
    """A page as a store keeps it."""
    return Point(page_id(page.source, page.number), vector, page.text, payload(page))


def delete_source(store: VectorStore, ledger: Ledger, source: str) -> int:
    """Remove a source from store and ledger; returns how many pages went away. The ledger last: a kill repeats it."""
    deleted = store.delete(where=AnyOf("source", (source,)))
    ledger.delete_source(source)
    return deleted


def remove_orphans(assets: Path, ledger: Ledger) -> int:
    """Delete page images that no page refers to, and what killed readers left half-written; returns how many."""
    kept = {assets / name for name in ledger.assets()}
    orphans = [file for file in assets.rglob("*") if file.is_file() and file not in kept]
    for file in orphans:
        file.unlink(missing_ok=True)
    return len(orphans)
