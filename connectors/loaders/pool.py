"""Reads many documents in child processes: pages stream in, a crash or hang costs one page, memory stays bounded."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from connectors.loaders.reader_process import AbandonedError, ReaderProcess

PAGE_SECONDS = 30.0
# Of address space. Engines and a page take 0.3 GB, OCR 0.9 GB: what wants more than this is broken or an attack.
READER_BYTES = 4 * 2**30
# Events waiting for the consumer. Pages are files by then, so this bounds text, not pixels.
_BACKLOG = 64
# A document is given up where so many pages in a row kill the reader ...
_MOST_IN_A_ROW = 5
# ... or where so many page limits of time are lost at it, one more for each so many pages that it gave.
_LOST_LIMITS = 5
_PAGES_FOR_A_LIMIT = 50
# What starting another child costs, seen as time lost.
_RESTART_SECONDS = 1.0
# No document has this page: to be asked for it is to be opened, and no more.
_BEHIND_ALL = 2**31
# How often `stop` is asked while nothing comes.
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Document:
    """A file to read: `path` on disk, `source` the name it is known by."""

    path: Path
    source: str


@dataclass(frozen=True)
class PageRead:
    """A page, its image already in the asset folder (`asset` is relative to it; None for a page without image).

    `words` is its file of word boxes there (`connectors.loaders.words.load_words` reads it); None where it has none.
    """

    source: str
    number: int
    kind: str
    text: str
    asset: str | None
    size: tuple[int, int] | None
    content_sha256: str
    metadata: dict[str, Any] = field(default_factory=dict)
    words: str | None = None


@dataclass(frozen=True)
class PageLost:
    """A page that could not be read, and why."""

    source: str
    number: int
    reason: str


@dataclass(frozen=True)
class DocumentEnd:
    """The last event of a document; `error` is None when it was read to its end."""

    source: str
    error: str | None


ReadEvent: TypeAlias = PageRead | PageLost | DocumentEnd


class ReaderPool:
    """Child processes that read documents (see `connectors.loaders.worker`).

    Args:
        assets: folder that page images and word boxes are written to, named by content.
        workers: how many children.
        page_seconds: a child that gives no page for so long is killed; that page is lost, the rest goes on.
        memory_bytes: the address space of a child (on Linux); a page that needs more is lost. None: no limit.
        loader_options: constructor arguments by loader name, such as {"pdf": {"password": "..."}}.
        most_pages: of one document; the first page behind these is reported as lost, and no other. None: all.
        stop: asked several times a second, in the thread that reads; what it raises ends the reading at once.
    """

    def __init__(
        self,
        assets: Path,
        *,
        workers: int = 1,
        page_seconds: float = PAGE_SECONDS,
        memory_bytes: int | None = READER_BYTES,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
        most_pages: int | None = None,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self._assets = assets
        self._workers = workers
        self._page_seconds = page_seconds
        self._memory_bytes = memory_bytes
        self._options = {name: dict(options) for name, options in (loader_options or {}).items()}
        self._most_pages = most_pages
        self._stop = stop

    def read(self, documents: Iterable[Document]) -> Iterator[ReadEvent]:
        """Events of all documents; those of one document come in order, different documents interleave.

        `documents` is read in the caller's thread, a few ahead of the children. Stopping early (closing the iterator)
        ends the children at once, even one that hangs.
        """
        upcoming = iter(documents)
        waiting: queue.Queue[Document | None] = queue.Queue()
        events: queue.Queue[Any] = queue.Queue(maxsize=_BACKLOG)
        children = [ReaderProcess(self._options, self._memory_bytes) for _ in range(self._workers)]
        threads = [threading.Thread(target=self._work, args=(c, waiting, events), daemon=True) for c in children]
        for thread in threads:
            thread.start()
        running, exhausted = len(threads), False
        try:
            while running:
                while not exhausted and waiting.qsize() < 2 * self._workers:
                    document = next(upcoming, None)
                    exhausted = document is None
                    for _ in range(self._workers if exhausted else 1):
                        waiting.put(document)
                event = self._next(events)
                if event is None:
                    running -= 1
                elif isinstance(event, BaseException):
                    raise event
                else:
                    yield event
        finally:
            for child in children:
                child.abandon()
                waiting.put(None)
            while any(thread.is_alive() for thread in threads):
                try:  # a worker may be blocked on a full queue
                    events.get(timeout=0.05)
                except queue.Empty:
                    continue

    def _next(self, events: "queue.Queue[Any]") -> Any:
        if self._stop is None:
            return events.get()
        while True:
            self._stop()
            try:
                return events.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue

    def _work(self, child: ReaderProcess, waiting: "queue.Queue[Document | None]", events: "queue.Queue[Any]") -> None:
        try:
            while (document := waiting.get()) is not None:
                for event in self._read_one(child, document):
                    events.put(event)
        except AbandonedError:
            pass
        except BaseException as error:
            events.put(error)
        finally:
            child.stop()
            events.put(None)

    def _read_one(self, child: ReaderProcess, document: Document) -> Iterator[ReadEvent]:
        """Read a document, starting again behind a page that killed the child or took too long.

        Such a page is reported only when some page of the document could be read: a parser that dies while opening it
        would otherwise "lose" pages that nobody knows to exist.
        """
        first, read, tried = 1, 0, 0
        wasted = 0.0
        lost: list[PageLost] = []  # not yet reported: no page came behind these
        while True:
            for answer in child.ask(self._request(document, first), self._page_seconds):
                kind = answer["event"]
                if kind in ("page", "failure"):
                    yield from lost
                    lost, read = [], read + 1
                    first = answer["number"] + 1
                    yield _page(document.source, answer) if kind == "page" else _failure(document.source, answer)
            if kind != "died":
                # Nothing came behind a page that died: that it died is the reason, "has no pages" is not.
                reason = answer.get("reason") if read or not lost else lost[0].reason
                yield from lost if read else []
                yield DocumentEnd(document.source, reason)
                return
            wasted += answer["seconds"] + _RESTART_SECONDS
            if not answer["hung"] and not answer["fresh"] and tried != first:
                tried = first  # a page read before it may be to blame: this one gets a clean process
                continue
            lost.append(PageLost(document.source, first, answer["reason"]))
            if not read and len(lost) == 1 and (reason := self._opening(child, document)):
                yield DocumentEnd(document.source, reason)
                return
            if len(lost) >= _MOST_IN_A_ROW or wasted > self._patience(read):
                yield from lost if read else []
                yield DocumentEnd(document.source, f"given up at page {first}: {answer['reason']}")
                return
            first += 1

    def _opening(self, child: ReaderProcess, document: Document) -> str | None:
        """What is wrong with a document that cannot even be opened; None where it is its first page that kills."""
        *_, last = child.ask(self._request(document, _BEHIND_ALL), self._page_seconds)
        return last.get("reason")

    def _patience(self, read: int) -> float:
        """The seconds that may be lost at a document that gave `read` pages."""
        return _RESTART_SECONDS * _LOST_LIMITS + self._page_seconds * (_LOST_LIMITS + read / _PAGES_FOR_A_LIMIT)

    def _request(self, document: Document, first: int) -> dict[str, Any]:
        return {
            "path": str(document.path),
            "source": document.source,
            "first": first,
            "last": self._most_pages,
            "assets": str(self._assets),
        }


def _failure(source: str, answer: Mapping[str, Any]) -> PageLost:
    return PageLost(source, answer["number"], answer["reason"])


def _page(source: str, answer: Mapping[str, Any]) -> PageRead:
    size = answer.get("size")
    return PageRead(
        source=source,
        number=answer["number"],
        kind=answer["kind"],
        text=answer["text"],
        asset=answer["asset"],
        size=(size[0], size[1]) if size else None,
        content_sha256=answer["content_sha256"],
        metadata=answer["metadata"],
        words=answer.get("words"),
    )
