"""How documents become stored pages: what a pipeline must do, and the one of this machine."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

from connectors.loaders.pool import Document, DocumentEnd, PageLost, PageRead, ReaderPool, ReadEvent
from connectors.stores.protocol import VectorStore
from embedder.protocol import Embedder
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.embedding import Embedded, EmbeddingLine, EmbeddingStation
from vipylo_rag.ingest_options import IngestOptions

BATCH_PAGES = 16
# Decoded pages of a batch: 16 MP are 48 MB. Three batches are in work at a time.
BATCH_PIXELS = 16_000_000

# What became of pages that were embedded; a page that could not be read; the end of a document.
Outcome: TypeAlias = Embedded | PageLost | DocumentEnd


class Pipeline(Protocol):
    """Reads documents, embeds their pages and stores them, here or on other machines. Keeps no books."""

    def run(self, documents: Iterator[Document], books: Bookkeeping) -> Iterator[Outcome]:
        """What becomes of all documents. A document's end comes after all of its pages.

        A page that `books.wants` not is neither embedded nor in the outcome. Stopping early (closing the iterator) ends
        all work; what is stored by then is.

        Raises:
            StoreError: the store is away or broken. EmbedderFailedError: the embedder is.
        """


class LocalPipeline:
    """Reader processes and the model on this machine, beside each other.

    Args:
        embedder, store: the index's.
        assets: the index's folder of page pictures.
        stop: asked several times a second; what it raises ends the run. What is stored by then is.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        assets: Path,
        options: IngestOptions,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._assets = assets
        self._pool = ReaderPool(
            assets,
            workers=options.workers or max(1, (os.cpu_count() or 1) // 4),
            page_seconds=options.page_seconds,
            loader_options=options.loader_options,
            most_pages=options.most_pages,
            stop=stop,
        )

    def run(self, documents: Iterator[Document], books: Bookkeeping) -> Iterator[Outcome]:
        """See `Pipeline.run`."""
        station = EmbeddingStation(self._embedder, self._store, self._assets, books.point, books.report)
        yield from embedded(self._pool.read(documents), station, books)


def embedded(events: Iterator[ReadEvent], station: EmbeddingStation, books: Bookkeeping) -> Iterator[Outcome]:
    """What becomes of documents whose pages are read already, or being read: see `Pipeline.run`.

    `events` is a generator: it is closed at the end, also at an early one.
    """
    line = EmbeddingLine(station)
    batches = _Batches()
    ends = _Ends()
    try:
        while True:
            idle, begun, counted = line.idle, time.perf_counter(), books.report.counted
            event = next(events, None)
            if idle:  # the model waited for this; hashing and the like go on in here and count themselves
                books.report.spent("read", time.perf_counter() - begun - (books.report.counted - counted))
            match event:
                case None:
                    break
                case PageRead():
                    if books.wants(event):
                        ends.begun(event.source)
                        if batch := batches.add(event):
                            yield from ends.after(line.put(batch))
                case PageLost():
                    yield event
                case DocumentEnd():
                    yield from ends.end(event)
            yield from ends.after(line.ready())
        if batch := batches.rest():
            yield from ends.after(line.put(batch))
        yield from ends.after(line.rest())
    except Exception:  # broken off: what the model was working on is stored all the same, so it must be noted
        yield from ends.after(line.stop())
        raise
    finally:
        events.close()  # type: ignore[attr-defined]  # a generator; its children end with it
        line.stop()


def in_batches(pages: Iterable[PageRead]) -> Iterator[list[PageRead]]:
    """Pages as the model takes them: 16 at a time at most, and no more once 16 MP are together."""
    batches = _Batches()
    for page in pages:
        if batch := batches.add(page):
            yield batch
    if batch := batches.rest():
        yield batch


class _Batches:
    """Pages on their way to the model, as many at a time as fit."""

    def __init__(self) -> None:
        self._pages: list[PageRead] = []
        self._pixels = 0

    def add(self, page: PageRead) -> list[PageRead]:
        """Take a page; gives a batch when one is full, else nothing."""
        width, height = page.size or (0, 0)
        self._pages.append(page)
        self._pixels += width * height
        full = len(self._pages) >= BATCH_PAGES or self._pixels >= BATCH_PIXELS
        return self.rest() if full else []

    def rest(self) -> list[PageRead]:
        """What is there."""
        pages, self._pages, self._pixels = self._pages, [], 0
        return pages


class _Ends:
    """Holds each document's end back until all of its pages are out."""

    def __init__(self) -> None:
        self._in_work: dict[str, int] = {}
        self._ended: dict[str, DocumentEnd] = {}

    def begun(self, source: str) -> None:
        """A page goes to the model."""
        self._in_work[source] = self._in_work.get(source, 0) + 1

    def end(self, event: DocumentEnd) -> Iterator[Outcome]:
        """The readers are done with a document."""
        self._ended[event.source] = event
        yield from self._if_done(event.source)

    def after(self, batches: Iterable[Embedded]) -> Iterator[Outcome]:
        """Batches that are done, and the ends of documents whose last pages these were."""
        for batch in batches:
            yield batch
            pages = [*batch.stored, *(page for page, _ in batch.lost)]
            for page in pages:
                self._in_work[page.source] -= 1
            for source in dict.fromkeys(page.source for page in pages):
                yield from self._if_done(source)

    def _if_done(self, source: str) -> Iterator[Outcome]:
        if source in self._ended and not self._in_work.get(source):
            self._in_work.pop(source, None)
            yield self._ended.pop(source)
