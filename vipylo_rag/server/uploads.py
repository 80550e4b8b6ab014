"""Uploads: files that were received whole, and how far the writer is with reading them; and deletions, in one line."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from embedder.errors import ViPyloError
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.places import SERVER_LOCK
from vipylo_rag.server.catalogue import Catalogue
from vipylo_rag.server.graphs import Graphs
from vipylo_rag.server.model_line import OverloadedError
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.schemas import Upload
from vipylo_rag.server.upload_files import ReceivedFile, UploadFiles, new_upload, own_names, same_content
from vipylo_rag.server.upload_job import Job
from vipylo_rag.server.writer import PATIENCE_SECONDS, Writer
from vipylo_rag.sources import file_facts

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

# So many uploads, and so long, are remembered when they are read.
_MOST_ENDED: Final = 200
_ENDED_SECONDS: Final = 3600.0
_RETRY_SECONDS: Final = 30

logger = logging.getLogger(__name__)


class Uploads:
    """Takes files into an index, one upload after the other, deletes documents, and has page graphs built: the only
    writer of a server.

    Args:
        index: open for as long as this runs.
        options: its limits; where they say not `writable`, documents are only listed.
        llm: reads pages for the page graphs that it made.
        patience: seconds that an upload waits while another process writes or the store is away.
    """

    def __init__(
        self,
        index: MultimodalIndex,
        options: ServerOptions,
        *,
        llm: "LLM | None" = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._index = index
        self._options = options
        self.files = UploadFiles(index.directory)
        self.catalogue = Catalogue(index, self.files)
        self.graphs = Graphs(index, llm=llm, builds=options.writable, unasked=options.graphs, patience=patience)
        self._writer = Writer(
            index,
            self.files,
            self.catalogue,
            self.graphs,
            options,
            prepare=self._go_on,
            ended=self._ended,
            patience=patience,
        )
        self._held = FileLock(self.files.folder / SERVER_LOCK, timeout=0, thread_local=False)
        self._lock = threading.Lock()
        # From the choice of a name until its upload is taken: two at a time must not choose the same.
        self._naming = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._receiving = 0
        self._elsewhere: dict[tuple[str, str], list[str]] = {}

    def start(self) -> None:
        """Clean what a killed server left, and go on with what it had taken in. Starts the writer's thread.

        Raises:
            IndexDirectoryError: another server takes uploads for this index.
        """
        if not self._options.writable:
            return
        self.files.folder.mkdir(mode=0o700, exist_ok=True)
        try:
            self._held.acquire()
        except Timeout as error:
            raise IndexDirectoryError(
                f"another server takes uploads for {self._index.directory}: stop it, or start this one read-only"
            ) from error
        self.files.make_ready()
        for tenant in self._index.ledger.tenants():
            for source in self.catalogue.from_elsewhere(tenant):
                self._elsewhere.setdefault((tenant, Path(source).name), []).append(source)
        for upload in self.files.waiting():
            self._line_up(Job(upload))
        self._writer.start()

    def stop(self) -> None:
        """End the writer's thread; what is not read by then is read after the next start. Twice is allowed."""
        self._writer.stop()
        self.catalogue.close()
        self._held.release()

    @contextmanager
    def receiving(self) -> Iterator[Path]:
        """A folder to receive an upload in, and a place in the line for it. What is not given to `add` is gone after.

        Raises:
            OverloadedError: there are as many uploads as the options allow.
        """
        with self._lock:
            count = self._receiving + sum(job.state != "done" for job in self._jobs.values())
            if count >= self._options.uploads:
                raise OverloadedError(f"{count} uploads wait or are being read: send this one later", _RETRY_SECONDS)
            self._receiving += 1
        try:
            with self.files.receiving() as folder:
                yield folder
        finally:
            with self._lock:
                self._receiving -= 1

    def add(self, folder: Path, files: Sequence[ReceivedFile], tenant: str, *, replace: bool = False) -> Upload:
        """Put an upload into the line; from now on it survives the server.

        Args:
            folder: of `receiving`, with the files by their numbers.
            tenant: whose documents these become.
            replace: a file takes the place of the one that was uploaded under its name before. Without it, one whose
                name is taken by other content is kept beside that under a numbered name.
        """
        with self._naming:
            upload = new_upload(tenant, time.time_ns(), self._named(folder, files, tenant, replace))
            self.files.take(folder, upload)
            job = Job(upload)
            shown = job.shown(self.catalogue, self.files)
            self._line_up(job)
        return shown

    def _named(self, folder: Path, files: Sequence[ReceivedFile], tenant: str, replace: bool) -> list[ReceivedFile]:
        """The files under the names that their documents get."""
        waiting = self.files.newest_waiting(tenant)

        def is_others(at: int, name: str) -> bool:
            # A number is ours to give: under a name that the sender did not say, nothing is replaced.
            if replace and name == files[at].name:
                return False
            return self._is_others(folder / str(files[at].number), name, tenant, waiting.get(name))

        return [
            file if name == file.name else file.model_copy(update={"name": name, "sent_as": file.name})
            for file, name in zip(files, own_names((file.name for file in files), is_others), strict=True)
        ]

    def _is_others(self, received: Path, name: str, tenant: str, waiting: Path | None) -> bool:
        """Whether other content than that of a received file has a name: newest first, as it waits, lies or lay."""
        source = self.files.source(name, tenant)
        # In the direction that files move in: what is gone from the one by now is in the other.
        for held in (waiting, Path(source)):
            with suppress(FileNotFoundError):
                if held is not None:
                    return not same_content(received, held)
        entries = [self.catalogue.entry(each, tenant) for each in (source, *self._elsewhere.get((tenant, name), ()))]
        known = {entry.sha256 for entry in entries if entry is not None}
        return bool(known) and known != {file_facts(received).sha256}

    def get(self, id_: str, tenant: str) -> Upload | None:
        """An upload and how far it is; None where this tenant has no such upload, or it ended long ago."""
        with self._lock:
            job = self._jobs.get(id_)
        if job is None or job.upload.tenant != tenant:
            return None
        return job.shown(self.catalogue, self.files)

    def all_of(self, tenant: str) -> list[Upload]:
        """A tenant's uploads that are not done, and those that ended lately; newest first."""
        with self._lock:
            self._forget()
            jobs = [job for job in self._jobs.values() if job.upload.tenant == tenant]
        return [job.shown(self.catalogue, self.files) for job in reversed(jobs)]

    def delete(self, id_: str, tenant: str) -> "Future[None] | None":
        """Delete a document by its id; None where this tenant has none of this id. See `Writer.delete`."""
        source = self.catalogue.source(id_, tenant)
        return self._writer.delete(source, tenant) if source is not None else None

    def build_graph(self, tenant: str) -> None:
        """Have a tenant's page graph built or brought up to date, after the uploads that wait. See `Graphs.ask`."""
        self.graphs.ask(tenant)
        self._writer.wake()

    def _line_up(self, job: Job) -> None:
        with self._lock:
            self._forget()
            self._jobs[job.upload.id] = job
        self._writer.read(job)

    def _forget(self) -> None:
        ended = [job for job in self._jobs.values() if job.state == "done"]
        too_many = max(0, len(ended) - _MOST_ENDED)
        for number, job in enumerate(ended):
            if number < too_many or time.monotonic() - job.ended_at > _ENDED_SECONDS:
                del self._jobs[job.upload.id]

    # In the writer's thread

    def _go_on(self) -> None:
        """What an earlier server left: half deletions, files not read to their end, and an index that was moved."""
        tenants = self._index.ledger.tenants()
        known = {self.files.home(tenant): tenant for tenant in tenants}
        for aside, file in self.files.half_deleted():
            tenant = known.get(file.parent)
            if tenant is not None and self.catalogue.entry(file.as_posix(), tenant) and not file.exists():
                aside.replace(file)
            else:
                aside.unlink()
        waiting = {
            self.files.source(file.name, job.upload.tenant)
            for job in list(self._jobs.values())
            for file in job.upload.files
        }
        for tenant in tenants:
            left = dict.fromkeys(Path(source) for source in self.catalogue.unread(tenant) if source not in waiting)
            for owner, name in list(self._elsewhere):
                here = self.files.home(tenant) / name
                if owner == tenant and here.as_posix() not in waiting:
                    left[here] = None
            files = [
                ReceivedFile(name=path.name, number=number, bytes=path.stat().st_size)
                for number, path in enumerate(left)
                if path.is_file()
            ]
            if files:
                self._line_up(Job(new_upload(tenant, time.time_ns(), files)))
        self.catalogue.learn()
        self.graphs.start(tenants)

    def _ended(self, job: Job) -> None:
        self._replace_elsewhere(job)
        self.graphs.changed(job.upload.tenant)

    def _replace_elsewhere(self, job: Job) -> None:
        """Documents that were uploaded while the index lay elsewhere, and are there again under their new path, go."""
        for file in job.upload.files:
            entry = self.catalogue.entry(self.files.source(file.name, job.upload.tenant), job.upload.tenant)
            if entry is None or entry.state != "done":
                continue
            for source in self._elsewhere.pop((job.upload.tenant, file.name), ()):
                try:
                    if self.catalogue.entry(source, job.upload.tenant):
                        self._index.delete(source, tenant=job.upload.tenant)
                except ViPyloError as error:
                    logger.warning("an earlier version of %s is still in the index: %s", file.name, error)
