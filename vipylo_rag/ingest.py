"""Ingest: discover -> hash -> read in child processes -> embed in batches -> upsert -> ledger.

Killed at any moment, the next run resumes: a page counts only when its vector is stored and the ledger says so, and a
source only when its last page does. New pages are stored before old ones are deleted. How documents become stored pages
is a `vipylo_rag.pipeline`'s, what is written down of them `vipylo_rag.bookkeeping`'s; here is what is given to which.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from connectors.errors import DocumentError
from connectors.loaders.archive import REST, Member, MemberFailure, contains, members
from connectors.loaders.pool import Document, DocumentEnd, PageLost
from connectors.stores.protocol import VectorStore
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.embedding import Embedded
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ingest_options import IngestOptions
from vipylo_rag.ledger import Container, Ledger
from vipylo_rag.manifest import is_index
from vipylo_rag.pipeline import Pipeline
from vipylo_rag.report import IngestReport, Progress
from vipylo_rag.rules import Decision
from vipylo_rag.sources import (
    MEMBER_MARK,
    FileFacts,
    file_facts,
    has_changed,
    is_gone,
    lists_images,
    member_name,
    shown_name,
    source_name,
)

# Below this a full scan is as quick as the graph, and building one takes seconds in which nothing else runs.
OPTIMIZE_FROM = 10_000
WORK_FOLDER = "work"
# With less room than this, a file that could not be read was perhaps not at fault.
_LEAST_FREE_BYTES = 16_000_000
_TRIAL_BYTES = 100_000


@dataclass
class _Walk:
    """A file whose members are being read: those still in work, all seen, and why the walk ended early.

    `unknown` are beginnings of names that may be there still, behind some damage.
    """

    waiting: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    ended: bool = False
    error: str | None = None


class Ingest:
    """One run over some files into one index. Make it, call `run` once, as the only writer.

    Args:
        pipeline: reads, embeds and stores.
        store, ledger: the index's parts.
        directory: the index's directory.
        progress: called with the report so far, after each page and source.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        store: VectorStore,
        ledger: Ledger,
        directory: Path,
        options: IngestOptions,
        *,
        progress: Progress | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._ledger = ledger
        self._directory = directory
        self._options = options
        self.report = IngestReport()
        self._books = Bookkeeping(
            ledger,
            store,
            directory / "assets",
            self.report,
            tenant=options.tenant,
            how=options.how,
            reread=options.reread,
            retry=options.retry,
            progress=progress,
        )
        self._member_files: dict[str, Path] = {}
        self._hashed: dict[str, tuple[Path, FileFacts]] = {}
        self._walks: dict[str, _Walk] = {}
        self._deferred: list[tuple[Path, str, str | None]] = []

    def run(self, files: Sequence[Path], folders: Sequence[Path] = ()) -> IngestReport:
        """Bring the index up to date with `files` (see `vipylo_rag.sources.find_files`).

        Args:
            folders: with `prune`, what lies below these and is not among the files goes.

        Raises:
            StoreError: the store is away or broken. EmbedderFailedError: the embedder is. IndexDirectoryError: the disk
                is full. Nothing is lost: the next run goes on where this one ended.
        """
        begun = time.monotonic()
        self.report.found = len(files)
        work = self._directory / WORK_FOLDER
        shutil.rmtree(work, ignore_errors=True)  # of runs that were killed
        try:
            self._books.finish_moves()
            self._read((file, source_name(file), None) for file in files)
            deferred, self._deferred = self._deferred, []
            self._read(deferred, defer=False)
            if self._options.prune:
                self._prune(files, folders)
            self._books.flush()
            self._books.sweep()
        except sqlite3.Error as error:
            raise IndexDirectoryError(
                f"the ledger of {self._directory} cannot be written ({error}): make room on the disk, then go on with "
                "`vipylo ingest --resume`"
            ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if self._options.optimize and self.report.pages_embedded and self._store.count() >= OPTIMIZE_FROM:
            self._store.optimize()
        self.report.seconds = time.monotonic() - begun
        return self.report

    def _read(self, files: Iterable[tuple[Path, str, str | None]], *, defer: bool = True) -> None:
        """Read files (with their source names and archives) through the whole pipeline, and write down what became."""
        for outcome in self._pipeline.run(self._documents(files, defer), self._books):
            match outcome:
                case Embedded():
                    for page, reason in outcome.lost:
                        self._books.lost(page.source, page.number, reason, (page.asset, page.words))
                    self._books.stored(outcome.stored, outcome.seconds)
                case PageLost():
                    self._check_room()
                    self._books.lost(outcome.source, outcome.number, outcome.reason)
                case DocumentEnd():
                    if outcome.error:
                        self._check_room()
                    if self._has_changed(outcome.source):
                        self._books.put_back(outcome.source)
                    else:
                        self._books.close(outcome.source, outcome.error)
                    self._release(outcome.source)

    def _has_changed(self, source: str) -> bool:
        """Whether a file of its own was written to since it was hashed."""
        return source in self._hashed and has_changed(*self._hashed.pop(source))

    # What is read

    def _documents(self, files: Iterable[tuple[Path, str, str | None]], defer: bool) -> Iterator[Document]:
        for path, source, archive in files:
            if archive is not None:
                yield from self._document(path, source, archive, defer=defer)
                continue
            yield from self._file(path, source, defer)

    def _file(self, path: Path, source: str, defer: bool) -> Iterator[Document]:
        if is_gone(source):
            self._books.vanished(shown_name(source))
            return
        decision = self._decide(path, source)
        if decision is None:
            return
        if decision.settled:
            self._books.settle(decision)
            return
        self._hashed[source] = (path, decision.facts)
        holds = contains(path) if path.is_file() else "nothing"
        if holds == "nothing":
            yield from self._carry_out(decision, path, None, defer)
            return
        walk = self._walks[source] = _Walk()
        if holds == "members":
            self._books.begin(decision, container="members")
        else:
            walk.waiting.add(source)
            yield from self._carry_out(decision, path, None, defer=False, container_of_pages=True)
        yield from self._members(path, source, walk, defer)
        walk.ended = True
        self._end_walk_if_done(source)

    def _members(self, path: Path, source: str, walk: _Walk, defer: bool) -> Iterator[Document]:
        work = self._directory / WORK_FOLDER
        work.mkdir(exist_ok=True)
        try:
            for member in members(path, Path(tempfile.mkdtemp(dir=work)), password=self._options.passwords):
                name = member_name(source, member.name)
                if isinstance(member, Member) and lists_images(member.path, member.name):
                    member.path.unlink()
                    continue
                walk.seen.add(name)
                self.report.found += 1
                if isinstance(member, MemberFailure):
                    self._check_room()
                    whole_rest = member.name == REST or member.name.endswith(MEMBER_MARK + REST)
                    walk.unknown.add(name.removesuffix(REST) if whole_rest else name + MEMBER_MARK)
                    self._books.refuse(name, member.reason, archive=source)
                    continue
                walk.waiting.add(name)
                self._member_files[name] = member.path
                yield from self._document(member.path, name, source, defer=defer)
        except DocumentError as error:
            self._check_room()
            walk.error = str(error).removeprefix(f"{path}: ")

    def _document(self, path: Path, source: str, archive: str, *, defer: bool) -> Iterator[Document]:
        """A member of an archive."""
        decision = self._decide(path, source, archive)
        if decision is None:
            self._release(source)
        elif decision.settled:
            self._books.settle(decision)
            self._release(source)
        else:
            yield from self._carry_out(decision, path, archive, defer)

    def _decide(self, path: Path, source: str, archive: str | None = None) -> Decision | None:
        try:
            source.encode()
            with self.report.timed("hash"):
                facts = file_facts(path)
        except DocumentError as error:
            self._books.refuse(source, str(error), archive=archive)
            return None
        except UnicodeEncodeError:
            self._books.refuse(
                shown_name(source), "the file name is no valid Unicode: rename the file", archive=archive
            )
            return None
        return self._books.decide(source, facts)

    def _carry_out(
        self, decision: Decision, path: Path, archive: str | None, defer: bool, *, container_of_pages: bool = False
    ) -> Iterator[Document]:
        """Copy what is known, put off what is just being read under another name, and read the rest."""
        holds: Container = "pages and members" if container_of_pages else "nothing"
        source = decision.source
        if decision.other is not None:
            if self._books.take_over(decision, archive, holds):
                self._release(source)
                return
            decision = replace(decision, action="changed", other=None)
        if defer and self._books.is_open(decision.facts.sha256):
            self._deferred.append((path, source, archive))
            return
        self._books.begin(decision, archive, holds)
        yield Document(path, source)

    def _release(self, source: str) -> None:
        """A member is dealt with: its file goes, and perhaps it was the last of its archive."""
        if file := self._member_files.pop(source, None):
            file.unlink(missing_ok=True)
        for archive, walk in list(self._walks.items()):
            if source in walk.waiting:
                walk.waiting.discard(source)
                self._end_walk_if_done(archive)

    def _end_walk_if_done(self, archive: str) -> None:
        walk = self._walks[archive]
        if walk.ended and not walk.waiting:
            del self._walks[archive]
            if self._has_changed(archive):
                self._books.put_back(archive)
                return
            self._books.walked(archive, walk.seen, walk.unknown, prune=self._options.prune, error=walk.error)

    def _check_room(self) -> None:
        """Where pictures cannot be written, every file looks broken: then the run ends, and no file is blamed.

        Raises:
            IndexDirectoryError: the disk is full, or takes nothing more for another reason.
        """
        try:
            with tempfile.TemporaryFile(dir=self._directory / "assets") as trial:
                trial.write(bytes(_TRIAL_BYTES))
        except OSError as error:
            raise IndexDirectoryError(
                f"{self._directory / 'assets'} cannot be written ({error.strerror}): mend that, then go on with "
                "`vipylo ingest --resume`"
            ) from error
        if shutil.disk_usage(self._directory).free < _LEAST_FREE_BYTES:
            raise IndexDirectoryError(
                f"the disk of {self._directory} is full: make room, then go on with `vipylo ingest --resume`"
            )

    def _prune(self, files: Sequence[Path], folders: Sequence[Path]) -> None:
        for source in gone_sources(self._ledger, self._options.tenant, files, folders):
            self._books.remove(source)


def gone_sources(ledger: Ledger, tenant: str, files: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    """The sources of a tenant that lie below `folders`, but are not among `files` (nor in one of them).

    What lies in an index, as uploaded files do, is not looked for by `vipylo_rag.sources.find_files`, and so not gone.
    """
    found = {shown_name(source_name(file)) for file in files}
    # A folder that could not be listed comes as a "file": what lies below it is unknown, not gone.
    closed = [Path(source_name(file)) for file in files if file.is_dir()]
    below = [folder.resolve() for folder in folders if folder.is_dir()]
    gone = []
    for row in ledger.sources(tenant):
        file = row.archive or row.source
        place = Path(file)
        unlisted = any(place.is_relative_to(folder) for folder in closed)
        if file not in found and not unlisted and any(_is_walked(place, folder) for folder in below):
            gone.append(row.source)
    return gone


def _is_walked(place: Path, folder: Path) -> bool:
    """Whether a file at `place` would be found in `folder`: it lies below it, and not in an index there."""
    if not place.is_relative_to(folder):
        return False
    between = [parent for parent in place.parents if parent == folder or parent.is_relative_to(folder)]
    return not any(is_index(parent) for parent in between)
