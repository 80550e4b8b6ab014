"""Ingest: discover -> hash -> read in child processes -> embed in batches -> upsert -> ledger.

Killed at any moment, the next run resumes: a page counts only when its vector is stored and the ledger says so, and a
source only when its last page does. New pages are stored before old ones are deleted.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.pool import PAGE_SECONDS, Document, DocumentEnd, PageLost, PageRead, ReaderPool
from connectors.loaders.registry import discover
from connectors.page import page_id
from connectors.stores.protocol import Point, VectorStore
from embedder.prefixes import literal
from embedder.protocol import Embedder, Sample
from vipylo_rag.ledger import Ledger, PageRow

logger = logging.getLogger(__name__)

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
    seen: set[int] = field(default_factory=set)
    stored: int = 0
    lost: int = 0


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
            self._prune(paths, {source_name(file) for file in files})
        if self.report.pages_embedded and self._store.count() >= OPTIMIZE_FROM:
            self._store.optimize()
        self.report.seconds = time.monotonic() - begun
        return self.report

    def _changed(self, files: Iterable[Path]) -> list[Document]:
        """The files to read: new, changed, not finished last time, or failed last time."""
        documents = []
        for file in files:
            source = source_name(file)
            try:
                sha256 = file_digest(file)
            except OSError as error:
                self._fail_source(source, "", f"cannot be read: {error.strerror}")
                continue
            row = self._ledger.source(source)
            if row and row.sha256 == sha256 and row.state == "done":
                self.report.unchanged += 1
                self._progress(self.report)
                continue
            self._open[source] = _Open(sha256, self._ledger.pages(source))
            self._ledger.put_source(source, sha256, "pending")
            documents.append(Document(file, source))
        return documents

    def _page(self, page: PageRead) -> None:
        source = self._open[page.source]
        source.seen.add(page.number)
        known = source.known.get(page.number)
        if known and known.state == "done" and known.digest == page_digest(page):
            source.stored += 1
            self.report.pages_unchanged += 1
            self._progress(self.report)
        else:
            self._batch.append(page)

    def _flush(self) -> None:
        """Embed and store the pages at hand, then close the sources whose last page that was."""
        batch, self._batch = self._batch, []
        if batch:
            begun = time.monotonic()
            rows = self._embedder.encode_rows([self._sample(page) for page in batch])
            good = [row for row in range(len(batch)) if row not in rows.errors]
            self._store.upsert(point(batch[row], rows.vectors[row]) for row in good)
            seconds = (time.monotonic() - begun) / len(batch)
            with self._ledger.transaction():
                self._ledger.put_pages(
                    PageRow(p.source, p.number, page_digest(p), p.asset, "done", None, seconds)
                    for p in (batch[row] for row in good)
                )
                self._ledger.add_fields({key for row in good for key in payload(batch[row])})
            for row in good:
                self._open[batch[row].source].stored += 1
            for row, error in sorted(rows.errors.items()):
                self._lose(batch[row].source, batch[row].number, str(error))
            self.report.pages_embedded += len(good)
            self._progress(self.report)
        ended, self._ended = self._ended, []
        for end in ended:
            self._close(end)

    def _sample(self, page: PageRead) -> Sample:
        images = (Image.open(self._assets / page.asset),) if page.asset else ()
        return Sample(literal(page.text), images)

    def _lose(self, source: str, number: int, reason: str) -> None:
        """A page that cannot be indexed; what an older version of it left behind goes away when the source closes."""
        self._open[source].lost += 1
        self._ledger.put_pages([PageRow(source, number, None, None, "failed", reason)])
        self.report.failures.append(Failure(source, number, reason))
        self._progress(self.report)

    def _close(self, end: DocumentEnd) -> None:
        source = self._open.pop(end.source)
        failed = end.error or ("no page of it can be read" if source.lost and not source.stored else None)
        if failed:
            # What an earlier version left stays searchable: a broken new version must not lose the old one.
            self._fail_source(end.source, source.sha256, failed)
            return
        lost = {row.page for row in self._ledger.pages(end.source).values() if row.state == "failed"}
        stale = [number for number in source.known if number not in source.seen or number in lost]
        if stale:
            self.report.pages_deleted += self._store.delete([page_id(end.source, number) for number in stale])
        with self._ledger.transaction():
            self._ledger.delete_pages(end.source, [number for number in stale if number not in lost])
            self._ledger.put_source(end.source, source.sha256, "done")
        self.report.indexed += 1
        self._progress(self.report)

    def _fail_source(self, source: str, sha256: str, reason: str) -> None:
        self._ledger.put_source(source, sha256, "failed", reason)
        self.report.failed += 1
        self.report.failures.append(Failure(source, None, reason))
        logger.info("%s is not indexed: %s", source, reason)
        self._progress(self.report)

    def _prune(self, paths: Sequence[Path], found: set[str]) -> None:
        folders = [path.resolve() for path in paths if path.is_dir()]
        for row in list(self._ledger.sources()):
            below = any(Path(row.source).is_relative_to(folder) for folder in folders)
            if below and row.source not in found:
                self.report.pages_deleted += delete_source(self._store, self._ledger, row.source)
                self.report.removed += 1


def find_files(paths: Sequence[Path]) -> list[Path]:
    """All files at and below `paths`, each once, in order.

    Raises:
        DocumentError: a path does not exist, or there is no file at all.
    """
    files = list(discover(paths))
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
    content: dict[str, Any] = {
        **page.metadata,
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
    numbers = list(ledger.pages(source))
    deleted = store.delete([page_id(source, number) for number in numbers]) if numbers else 0
    ledger.delete_source(source)
    return deleted
