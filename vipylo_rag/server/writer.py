"""The one thread of a server that changes its index: it reads uploads, one after the other, deletes documents, and
builds page graphs.

A deletion does not wait for a long upload: reading stops, which loses nothing, the document goes, and reading goes on.
Neither does an upload, or a deletion, wait for a graph that is being built.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from connectors.errors import DocumentError, StoreUnavailableError
from embedder.errors import ViPyloError
from vipylo_rag.embedding import EmbedderFailedError
from vipylo_rag.errors import BeingWrittenError, IndexDirectoryError
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.ledger import SourceRow
from vipylo_rag.opening import writing
from vipylo_rag.report import IngestReport
from vipylo_rag.server.catalogue import Catalogue
from vipylo_rag.server.errors import without_folders
from vipylo_rag.server.graphs import RETRY_SECONDS, Graphs, StepsAsideError
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.upload_files import UploadFiles
from vipylo_rag.server.upload_job import Job
from vipylo_rag.sources import file_facts

# So long an upload waits for what keeps every upload from being read, before it is given up until the next start.
PATIENCE_SECONDS = 300.0
# A deletion waits so long for another process that writes.
_DELETION_SECONDS = 10.0
# Reading that was stopped for a deletion is left alone for half of the time it took so far, and no longer than this; so
# is a graph's build.
_LEFT_ALONE_SECONDS = 20.0
_MOST_TRIES = 3

logger = logging.getLogger(__name__)


class WriterStoppedError(ViPyloError):
    """The server is stopping: what was asked for was not done."""


class _StopsError(StepsAsideError):
    """Reading stops because the server does."""


class _MakesWayError(StepsAsideError):
    """Reading stops for a deletion, building for that or an upload, and is gone on with."""


class _TimeIsUpError(Exception):
    """Reading stops for good."""


@dataclass(frozen=True)
class _Deletion:
    source: str
    tenant: str
    done: "Future[None]" = field(default_factory=Future)


class Writer:
    """Takes uploads and deletions into its line; its thread works them off.

    Args:
        index: nobody else in this process may change it.
        files, catalogue, graphs: of the index.
        prepare: called first in the thread.
        ended: called in the thread with each upload that is read to its end.
        patience: seconds, see `PATIENCE_SECONDS`.
    """

    def __init__(
        self,
        index: MultimodalIndex,
        files: UploadFiles,
        catalogue: Catalogue,
        graphs: Graphs,
        options: ServerOptions,
        *,
        prepare: Callable[[], None],
        ended: Callable[[Job], None],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._index = index
        self._files = files
        self._catalogue = catalogue
        self._graphs = graphs
        self._options = options
        self._prepare = prepare
        self._ended = ended
        self._patience = patience
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._deletions: deque[_Deletion] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; reading that was begun goes on after the next start. Twice is allowed."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def read(self, job: Job) -> None:
        """Put an upload at the end of the line."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def wake(self) -> None:
        """Look again at what is to be done: a graph is wanted."""
        with self._changed:
            self._changed.notify_all()

    def delete(self, source: str, tenant: str) -> "Future[None]":
        """Delete a document, with its file if it was uploaded, and before any upload is read on. What of it waits in
        the line is not read any more.

        The future raises what `MultimodalIndex.delete` does, or `WriterStoppedError`.
        """
        deletion = _Deletion(source, tenant)
        with self._changed:
            if self._stopping:
                raise WriterStoppedError("the server is stopping: nothing was deleted")
            for job in self._jobs:
                self._drop(job, source, tenant)
            self._deletions.append(deletion)
            self._changed.notify_all()
        return deletion.done

    def _drop(self, job: Job, source: str, tenant: str) -> None:
        for file in job.upload.files if job.upload.tenant == tenant else ():
            if self._files.source(file.name, tenant) == source:
                job.drop(file)
                self._files.note(job.upload)

    def _work(self) -> None:
        try:
            self._prepare()
        except Exception:  # the rest can be worked off all the same
            logger.exception("what an earlier server left could not be gone on with")
        while (todo := self._next()) is not None:
            if isinstance(todo, _Deletion):
                self._delete(todo)
                continue
            if isinstance(todo, Graphs):
                self._build(todo)
                continue
            try:
                self._read(todo)
            except Exception:
                logger.exception("the upload %s is left until the next start", todo.upload.id)
                self._drop_from_line(todo)
        with self._changed:
            for job in self._jobs:
                if job.passes:  # in good order: that it was begun does not count
                    self._files.tries(job.upload, -1)
            left, self._deletions = self._deletions, deque()
        for deletion in left:
            deletion.done.set_exception(WriterStoppedError("the server is stopping: nothing was deleted"))

    def _next(self) -> Job | _Deletion | Graphs | None:
        with self._changed:
            while not self._stopping:
                if self._deletions:
                    return self._deletions.popleft()
                upload = self._jobs[0].retry_at - time.monotonic() if self._jobs else None
                graph = self._graphs.wait()
                upload_waits = upload is not None and upload <= 0
                if graph is not None and graph <= 0 and (not upload_waits or self._graphs.passed_over()):
                    return self._graphs
                if upload_waits:
                    return self._jobs[0]
                self._changed.wait(min((wait for wait in (upload, graph) if wait is not None), default=None))
        return None

    def _build(self, graphs: Graphs) -> None:
        begun, passed_over = time.monotonic(), graphs.passed_over()

        def stop(before: float) -> None:
            if self._stopping:
                raise _StopsError
            taken = time.monotonic() - begun
            left_alone = min(_LEFT_ALONE_SECONDS, (before + taken) / 2)
            if self._deletions and taken >= left_alone:
                raise _MakesWayError
            if passed_over:
                left_alone = _LEFT_ALONE_SECONDS
            if taken >= left_alone and self._jobs and self._jobs[0].retry_at <= time.monotonic():
                raise _MakesWayError

        graphs.build(stop)

    def _delete(self, deletion: _Deletion) -> None:
        until = time.monotonic() + _DELETION_SECONDS
        while True:
            try:
                with self._files.going(deletion.source, deletion.tenant):
                    self._index.delete(deletion.source, tenant=deletion.tenant)
            except BaseException as error:
                if isinstance(error, BeingWrittenError) and time.monotonic() < until and not self._stopping:
                    self._pause(0.5)
                    continue
                deletion.done.set_exception(error)
            else:
                deletion.done.set_result(None)
                self._graphs.changed(deletion.tenant)
            return

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    # Reading

    def _read(self, job: Job) -> None:
        try:
            with self._timed(job):
                if not self._begun(job):
                    self._give_up(job, f"the server ended {_MOST_TRIES} times at the same place of this upload")
                else:
                    self._ingest(job)
        except (_StopsError, _MakesWayError):
            return
        except _TimeIsUpError:
            limit = f"{self._options.upload_seconds:g} seconds"
            self._give_up(job, f"reading the upload took longer than {limit} and was ended: send fewer files at a time")
        except DocumentError as error:  # its files are gone
            job.reason = without_folders(str(error))
        except (StoreUnavailableError, EmbedderFailedError, IndexDirectoryError) as error:
            self._postpone(job, error)
            return
        except Exception:
            logger.exception("the upload %s cannot be read; it is tried again after the next start", job.upload.id)
            self._end(job, "the server failed: its log says why")
            return
        job.failing_since = None
        self._end(job, job.reason)
        self._files.finish(job.upload)

    @contextmanager
    def _timed(self, job: Job) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            job.seconds += time.monotonic() - begun

    def _begun(self, job: Job) -> bool:
        """Note that an upload goes to the readers; False: that it did so often enough."""
        tenant = job.upload.tenant
        if not job.passes:
            job.before = {
                file.number: self._catalogue.entry(self._files.source(file.name, tenant), tenant)
                for file in job.upload.files
            }
        job.state, job.reason = "reading", None
        job.passes += 1
        return job.passes > 1 or self._files.tries(job.upload, +1) <= _MOST_TRIES

    def _ingest(self, job: Job) -> None:
        paths: list[Path] = self._files.place(job.upload)
        if not paths:
            return
        noted = False

        def progress(report: IngestReport) -> None:
            nonlocal noted
            if report.pages_embedded and not noted:  # whatever ended the server before is behind us
                noted = True
                self._files.tries(job.upload, 1 - _MOST_TRIES)

        self._index.ingest(
            paths,
            tenant=job.upload.tenant,
            # A file that is sent again is to be tried again; not so what failed a moment ago.
            retry=job.passes == 1,
            most_pages=self._options.upload_pages,
            optimize=False,
            progress=progress,
            stop=self._stop_for(job),
        )

    def _stop_for(self, job: Job) -> Callable[[], None]:
        begun, left_alone = time.monotonic(), min(_LEFT_ALONE_SECONDS, job.seconds / 2)

        def stop() -> None:
            if self._stopping:
                raise _StopsError
            taken = time.monotonic() - begun
            if job.seconds + taken > self._options.upload_seconds:
                raise _TimeIsUpError
            if self._deletions and taken >= left_alone:
                raise _MakesWayError

        return stop

    def _postpone(self, job: Job, error: ViPyloError) -> None:
        """Nothing can be read now. The upload waits; after a while it is given up, and not lost: the next start goes on
        with it."""
        now = time.monotonic()
        if job.failing_since is None:
            job.failing_since, job.postponed = now, 0
            logger.warning("uploads wait: %s", error)
        reason = _spoken(error)
        if now - job.failing_since >= self._patience:
            self._end(job, f"{reason}; it is tried again when the server starts next")
            return
        job.retry_at = now + RETRY_SECONDS[min(job.postponed, len(RETRY_SECONDS) - 1)]
        job.postponed += 1
        job.state, job.reason = "waiting", f"{reason}; it is tried again in a moment"

    def _give_up(self, job: Job, reason: str) -> None:
        """What of an upload is not read to its end counts as failed; its pages so far stay. Sent again, it is read."""
        job.reason = reason
        ledger, tenant = self._index.ledger, job.upload.tenant
        try:
            with writing(self._index.directory), ledger.transaction():
                for path in self._files.place(job.upload):
                    source, row = path.as_posix(), ledger.source(path.as_posix(), tenant)
                    if row is None:
                        row = SourceRow(tenant, source, "", path.stat().st_size, "pending")
                    elif row.state == "done" and (_half_walked(row) or file_facts(path).sha256 != row.sha256):
                        row = replace(row, state="pending")
                    for each in (row, *ledger.members(source, tenant)):
                        if each.state == "pending":
                            ledger.put_source(replace(each, state="failed", reason=reason))
        except (ViPyloError, OSError) as error:
            logger.warning("that the upload %s was given up cannot be noted: %s", job.upload.id, error)

    def _drop_from_line(self, job: Job) -> None:
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
        job.state = "done"

    def _end(self, job: Job, reason: str | None) -> None:
        job.reason = reason
        job.ended = tuple(job.shown_files(self._catalogue, self._files, running=False))
        job.ended_at = time.monotonic()
        self._drop_from_line(job)
        self._ended(job)


def _half_walked(row: SourceRow) -> bool:
    return row.container != "nothing" and not row.walked


def _spoken(error: ViPyloError) -> str:
    """What keeps an upload from being read, without paths of this machine."""
    match error:
        case BeingWrittenError():
            return "another process is changing the index"
        case StoreUnavailableError():
            return "the vector store does not answer"
        case EmbedderFailedError():
            return "the model fails"
        case _:
            return without_folders(str(error))
