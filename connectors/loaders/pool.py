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

PAGE_SECONDS = 30.0
# Events waiting for the consumer. Pages are files by then, so this bounds text, not pixels.
_BACKLOG = 64
# A document whose pages keep crashing or stopping the reader is given up.
_MOST_DEATHS = 3
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
        self._stop = threading.Event()

    def read(self, documents: Iterable[Document]) -> Iterator[ReadEvent]:
        """Events of all documents; those of one document come in order, different documents interleave.

        Stopping early (closing the iterator) ends the children.
        """
        waiting: queue.Queue[Document | None] = queue.Queue()
        for document in documents:
            waiting.put(document)
        events: queue.Queue[ReadEvent | BaseException | None] = queue.Queue(maxsize=_BACKLOG)
        threads = [
            threading.Thread(target=self._work, args=(waiting, events), daemon=True, name=f"reader-{number}")
            for number in range(max(1, min(self._workers, waiting.qsize())))
        ]
        for thread in threads:
            waiting.put(None)
            thread.start()
        running = len(threads)
        try:
            while running:
                event = events.get()
                if event is None:
                    running -= 1
                elif isinstance(event, BaseException):
                    raise event
                else:
                    yield event
        finally:
            self._stop.set()
            while any(thread.is_alive() for thread in threads):
                try:  # a worker may be blocked on a full queue
                    events.get(timeout=0.05)
                except queue.Empty:
                    continue
            self._stop.clear()

    def _work(self, waiting: "queue.Queue[Document | None]", events: "queue.Queue[Any]") -> None:
        child = _Child(self._options)
        try:
            while not self._stop.is_set() and (document := waiting.get()) is not None:
                for event in self._read_one(child, document):
                    events.put(event)
                    if self._stop.is_set():
                        return
        except BaseException as error:
            events.put(error)
        finally:
            child.stop()
            events.put(None)

    def _read_one(self, child: "_Child", document: Document) -> Iterator[ReadEvent]:
        """Read a document, starting again behind a page that killed the child or took too long."""
        first, deaths, silent = 1, 0, 0.0
        while True:
            request = {
                "path": str(document.path),
                "source": document.source,
                "first": first,
                "assets": str(self._assets),
            }
            started = False
            for answer in child.ask(request, self._page_seconds):
                match answer["event"]:
                    case "start":
                        started = True
                    case "page":
                        first = answer["number"] + 1
                        yield _page(document.source, answer)
                    case "failure":
                        first = answer["number"] + 1
                        yield PageLost(document.source, answer["number"], answer["reason"])
                    case "error":
                        yield DocumentEnd(document.source, answer["reason"])
                        return
                    case "end":
                        yield DocumentEnd(document.source, None)
                        return
                    case "died":
                        reason = answer["reason"]
                        silent += answer["seconds"]
            deaths += 1
            if not started or deaths >= _MOST_DEATHS or silent >= _MOST_SILENT_SECONDS:
                yield DocumentEnd(document.source, f"given up at page {first}: {reason}")
                return
            yield PageLost(document.source, first, reason)
            first += 1


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


class _Child:
    """One child process; started when first asked, and again after it died."""

    def __init__(self, options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: Mapping[str, Any], silence: float) -> Iterator[dict[str, Any]]:
        """The answers to a request, ending with "end", "error", or "died" (crashed, or silent for too long)."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            yield self._died("the reader process ended", 0.0)
            return
        while True:
            # The timer kills the child, which ends the readline: no second thread has to guard the pipe.
            timer = threading.Timer(silence, process.kill)
            timer.start()
            begun = time.monotonic()
            line = process.stdout.readline()
            timer.cancel()
            if not line.endswith("\n"):
                seconds = time.monotonic() - begun
                hung = seconds >= silence
                yield self._died(f"took longer than {silence:g} s" if hung else "the reader process crashed", seconds)
                return
            answer = json.loads(line)
            yield answer
            if answer["event"] in ("end", "error"):
                return

    def stop(self) -> None:
        """End the child, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _died(self, reason: str, seconds: float) -> dict[str, Any]:
        self.stop()
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
            assert self._process.stdin is not None
            self._process.stdin.write(self._options + "\n")
        return self._process
