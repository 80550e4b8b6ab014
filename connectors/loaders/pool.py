"""Reads many documents in child processes: pages stream in, a crash or hang costs one page, memory stays bounded."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from connectors.errors import DocumentError

PAGE_SECONDS = 30.0
# Events waiting for the consumer. Pages are files by then, so this bounds text, not pixels.
_BACKLOG = 64
# A document whose pages keep crashing or stopping the reader is given up.
_MOST_DEATHS = 3
# From starting a child to its first word: Python's imports, on a machine that may be busy.
_START_SECONDS = 120.0
_MOST_SILENT_SECONDS = 60.0


@dataclass(frozen=True)
class Document:
    """A file to read: `path` on disk, `source` the name it is known by."""

    path: Path
    source: str


@dataclass(frozen=True)
class PageRead:
    """A page, its image already in the asset folder (`asset` is relative to it; None for a page without image)."""

    source: str
    number: int
    kind: str
    text: str
    asset: str | None
    size: tuple[int, int] | None
    content_sha256: str
    metadata: dict[str, Any] = field(default_factory=dict)


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
        assets: folder that page images are written to, named by content.
        workers: how many children.
        page_seconds: a child that gives no page for so long is killed; that page is lost, the rest goes on.
        loader_options: constructor arguments by loader name, such as {"pdf": {"password": "..."}}.
    """

    def __init__(
        self,
        assets: Path,
        *,
        workers: int = 1,
        page_seconds: float = PAGE_SECONDS,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._assets = assets
        self._workers = workers
        self._page_seconds = page_seconds
        self._options = json.dumps({name: dict(options) for name, options in (loader_options or {}).items()})

    def read(self, documents: Iterable[Document]) -> Iterator[ReadEvent]:
        """Events of all documents; those of one document come in order, different documents interleave.

        `documents` is read in the caller's thread, a few ahead of the children. Stopping early (closing the iterator)
        ends the children at once, even one that hangs.
        """
        upcoming = iter(documents)
        waiting: queue.Queue[Document | None] = queue.Queue()
        events: queue.Queue[Any] = queue.Queue(maxsize=_BACKLOG)
        children = [_Child(self._options) for _ in range(self._workers)]
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
                event = events.get()
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

    def _work(self, child: "_Child", waiting: "queue.Queue[Document | None]", events: "queue.Queue[Any]") -> None:
        try:
            while (document := waiting.get()) is not None:
                for event in self._read_one(child, document):
                    events.put(event)
        except _AbandonedError:
            pass
        except BaseException as error:
            events.put(error)
        finally:
            child.stop()
            events.put(None)

    def _read_one(self, child: "_Child", document: Document) -> Iterator[ReadEvent]:
        """Read a document, starting again behind a page that killed the child or took too long.

        Such a page is reported only when something behind it could be read: a parser that dies while opening the
        document would otherwise "lose" pages that nobody knows to exist.
        """
        first, deaths, silent, any_page = 1, 0, 0.0, False
        lost: list[PageLost] = []
        while True:
            for answer in child.ask(self._request(document, first), self._page_seconds):
                kind = answer["event"]
                if kind in ("page", "failure"):
                    yield from lost
                    lost, any_page = [], True
                    first = answer["number"] + 1
                    yield _page(document.source, answer) if kind == "page" else _failure(document.source, answer)
            if kind != "died":
                reason = answer.get("reason")
                if lost:  # nothing came behind a page that died: that it died is the reason, "has no pages" is not
                    reason = None if any_page else lost[0].reason
                yield from lost if any_page else []
                yield DocumentEnd(document.source, reason)
                return
            deaths += 1
            silent += answer["seconds"]
            lost.append(PageLost(document.source, first, answer["reason"]))
            if not any_page and deaths > 1:
                yield DocumentEnd(document.source, answer["reason"])
                return
            if deaths >= _MOST_DEATHS or silent >= _MOST_SILENT_SECONDS:
                yield from lost
                yield DocumentEnd(document.source, f"given up at page {first}: {answer['reason']}")
                return
            first += 1

    def _request(self, document: Document, first: int) -> dict[str, Any]:
        return {"path": str(document.path), "source": document.source, "first": first, "assets": str(self._assets)}


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
    )


class _AbandonedError(Exception):
    """The caller wants no more events."""


class _Child:
    """One child process; started when first asked, and again after it died."""

    def __init__(self, options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._abandoned = False

    def ask(self, request: Mapping[str, Any], silence: float) -> Iterator[dict[str, Any]]:
        """The answers to a request, ending with "end", "error", or "died" (crashed, or silent for too long)."""
        process = self._started()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:
            pass  # it ended; the read below says so
        while True:
            answer = self._answer(process, silence)
            yield answer
            if answer["event"] in ("end", "error", "died"):
                return

    def stop(self) -> None:
        """End the child, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def abandon(self) -> None:
        """From another thread: end the child, and start no other."""
        self._abandoned = True
        if (process := self._process) is not None:
            process.kill()

    def _answer(self, process: "subprocess.Popen[str]", silence: float) -> dict[str, Any]:
        """The next answer; "died" if none comes in `silence` seconds."""
        assert process.stdout is not None
        # The timer kills the child, which ends the readline: no second thread has to guard the pipe.
        timer = threading.Timer(silence, process.kill)
        timer.start()
        begun = time.monotonic()
        line = process.stdout.readline()
        timer.cancel()
        if line.endswith("\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.stop()
        if self._abandoned:
            raise _AbandonedError
        seconds = time.monotonic() - begun
        reason = f"took longer than {silence:g} s" if seconds >= silence else "the reader process crashed"
        return {"event": "died", "reason": reason, "seconds": seconds}

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            # -P: a json.py that lies in the current folder (of somebody's documents) must not be imported.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "connectors.loaders.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
            if self._abandoned:
                self.stop()
                raise _AbandonedError
            assert self._process.stdin is not None
            self._process.stdin.write(self._options + "\n")
            self._process.stdin.flush()
            if self._answer(self._process, _START_SECONDS)["event"] != "ready":
                raise DocumentError("the process that reads documents does not start; see `vipylo doctor`")
        return self._process
