"""Changing an index: ingest, delete, another embedder, copies. One writer at a time."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from connectors.loaders.pool import PAGE_SECONDS
from connectors.stores.options import StoreOptions
from embedder.protocol import Embedder
from vipylo_rag.backup import backup
from vipylo_rag.cluster import Cluster
from vipylo_rag.collect import Collected, collect
from vipylo_rag.index_graph import IndexGraphing
from vipylo_rag.ingest_options import IngestOptions
from vipylo_rag.manifest import Manifest
from vipylo_rag.opening import embedder_record, tidied
from vipylo_rag.pipeline import LocalPipeline, Pipeline
from vipylo_rag.reindex import BATCH_PAGES, ReindexReport, rebuild
from vipylo_rag.reindex import Progress as ReindexProgress
from vipylo_rag.removal import delete_document
from vipylo_rag.report import IngestReport, Progress
from vipylo_rag.runs import MakePipeline, Planned, plan, retry, run, unfinished
from vipylo_rag.tenants import check_tenant
from vipylo_rag.transfer import ExportReport, export_index


class IndexWriting(IndexGraphing):
    """What changes an index."""

    def ingest(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        tenant: str = "",
        prune: bool = False,
        reread: bool = False,
        retry: bool = False,
        workers: int | None = None,
        page_seconds: float = PAGE_SECONDS,
        most_pages: int | None = None,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
        optimize: bool = True,
        cluster: Cluster | None = None,
        progress: Progress | None = None,
        stop: Callable[[], None] | None = None,
    ) -> IngestReport:
        """Bring the index up to date with files and folders. Unchanged files cost a hash; bad ones are reported.

        A file that was moved keeps its vectors. One that failed is not read again before its content or the way of
        reading it changes, see `retry`. A run that is stopped or killed goes on with the next, see `resume`.

        Args:
            paths: files and folders (walked); archives are walked too.
            tenant: whose documents these are; nobody else finds them.
            prune: remove sources below the given folders that are no longer on disk.
            reread: read unchanged files too; pages that are the same are not embedded again.
            retry: read again those of these files that failed before, though nothing about them changed.
            workers: child processes that read and render (default: a quarter of the cores, at least 1).
            page_seconds: longest time that reading one page may take.
            most_pages: of one document; what comes after is not read, and told as a page that failed.
            loader_options: constructor arguments by loader name, such as {"pdf": {"password": "..."}}.
            optimize: make a large index's search graph when all is read; holds the interpreter for seconds to minutes.
            cluster: the machines that read and embed (an index on a server only); None: this one.
            progress: called with the report so far.
            stop: asked several times a second while documents are read here; what it raises ends the run, and the next
                one goes on.

        Raises:
            DocumentError: a path does not exist, or there is no file at all. Nothing is changed then.
            InputError, PluginError: `loader_options` do not fit the loaders, or `tenant` cannot be one.
            StoreError, EmbedderFailedError: the store or the embedder is away or broken.
            IndexDirectoryError: the disk is full, or another process is writing.
        """
        options = IngestOptions(
            tenant=check_tenant(tenant),
            prune=prune,
            reread=reread,
            retry=retry,
            workers=workers,
            page_seconds=page_seconds,
            loader_options=loader_options or {},
            most_pages=most_pages,
            optimize=optimize,
        )
        with self._writing():
            report = run(self._parts(), self._pipeline(cluster, stop), _paths(paths), options, progress)
            self._graph_follows(options.tenant)
        return report

    def resume(
        self,
        *,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
        cluster: Cluster | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Repeat the last run that did not come to its end, with its paths and options.

        Args:
            loader_options: added to the run's; passwords are not noted and must be given again.
            cluster: as `ingest`; it may be another one than the run began on.

        Raises:
            InputError: there is no such run. Else as `ingest`.
        """
        with self._writing():
            paths, options = unfinished(self.ledger, loader_options or {})
            report = run(self._parts(), self._pipeline(cluster), paths, options, progress)
            self._graph_follows(options.tenant)
        return report

    def retry(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        tenant: str = "",
        workers: int | None = None,
        page_seconds: float = PAGE_SECONDS,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Read again what failed, though nothing about it changed: all of it, or what lies at and below `paths`.

        Raises:
            InputError: nothing at or below one of `paths` has failed. Else as `ingest`.
        """
        options = IngestOptions(
            tenant=check_tenant(tenant),
            retry=True,
            workers=workers,
            page_seconds=page_seconds,
            loader_options=loader_options or {},
        )
        with self._writing():
            report = retry(self._parts(), self._pipeline(None), _paths(paths), options, progress)
            self._graph_follows(options.tenant)
        return report

    def plan(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        tenant: str = "",
        prune: bool = False,
        reread: bool = False,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[Planned]:
        """What `ingest` would do, file by file; nothing is changed.

        Raises:
            DocumentError: a path does not exist, or there is no file at all.
        """
        options = IngestOptions(check_tenant(tenant), prune, reread, loader_options=loader_options or {})
        return plan(self.ledger, _paths(paths), options)

    def delete(self, source: str | Path, *, tenant: str = "") -> int:
        """Remove a document by the name it was ingested under, or by its path; returns how many pages went away.

        With an archive or a mail, what came out of it goes too; what the page graph has of it goes at once.

        Raises:
            InputError: no such source in this index.
        """
        name = self.find_source(source, tenant=tenant)
        with self._writing():
            deleted = delete_document(self.store, self.ledger, self.assets, name, tenant)
            self._graph_follows(tenant)
        return deleted

    def reindex(
        self,
        embedder: Embedder | str | None = None,
        *,
        options: StoreOptions | None = None,
        batch_pages: int = BATCH_PAGES,
        skip_failed: bool = False,
        progress: ReindexProgress | None = None,
    ) -> ReindexReport:
        """Change the index to another embedder, or its store to other options; searches go on with the old until then.

        Vectors are made from the stored pictures and texts. Killed at any moment, the index is as it was, and the next
        call with the same arguments goes on.

        Args:
            embedder: the new one, or its name; with None or the same one, the vectors are copied to the new store.
            options: how the new store keeps its vectors; None: as now. If nothing is to change, nothing is done.
            batch_pages: how many pages are embedded at a time.
            skip_failed: leave out pages that cannot be embedded (the next ingest tries them again) instead of raising.
            progress: called with the report so far.

        Raises:
            IndexDirectoryError: pages cannot be embedded, another reindexing was stopped half-way, or another process
                is writing.
        """
        loaded = self._access.embedder(embedder) if embedder is not None else None
        record = embedder_record(loaded, embedder) if loaded is not None else self.manifest.embedder
        with self._writing():
            rebuilt = rebuild(
                self._parts(), loaded, record, options, self._access,
                batch_pages=batch_pages, skip_failed=skip_failed, progress=progress,
            )  # fmt: skip
            if rebuilt.store is not None:
                with self.turnstile.alone():
                    self._close_graph()  # its vectors are of the old embedder
                    rebuilt.manifest.switch(self.directory)
                    replaced, self.store = self.store, rebuilt.store
                    self.manifest, self._embedder = rebuilt.manifest, loaded or self._embedder
                replaced.close()
            self.manifest = tidied(self.directory, rebuilt.manifest, self._access)
        return rebuilt.report

    def collect(self, *, dry_run: bool = False, abandon: bool = False) -> Collected:
        """Remove what the index holds for nothing: pictures without a page, half-written files, replaced stores.

        Where ledger, store and pictures disagree, the files concerned are marked, so that the next ingest heals them.

        Args:
            dry_run: only say what would be done.
            abandon: also give up a reindexing that was stopped half-way (else it is kept, to be gone on with).

        Raises:
            IndexDirectoryError: another process is writing.
        """
        with self._writing():
            found = collect(self._parts(), self._access, dry_run=dry_run, abandon=abandon)
            self.manifest = Manifest.read(self.directory)
            if not dry_run:
                self._graph_follows()
        return found

    def backup(self, folder: str | Path) -> None:
        """Copy the index with its page graph to a folder that does not exist yet, as an index of its own (with the
        embedded engine, and the graph in the folder too).

        Raises:
            IndexDirectoryError: the folder exists, or another process is writing.
        """
        with self._writing():
            backup(self._parts(), Path(folder), self._copy_graph)

    def export(self, file: str | Path, progress: Callable[[int, int], None] | None = None) -> ExportReport:
        """Write the whole index to one file, which `vipylo_rag.transfer.import_index` reads into any engine.

        The page graph is left out: `build_graph` makes it anew from the pages.

        Args:
            file: must not exist yet.
            progress: called with how many parts (pages and pictures) are written, and how many there are.

        Raises:
            IndexDirectoryError: the file exists, or another process is writing.
        """
        with self._writing():
            return export_index(self._parts(), Path(file), progress)

    def _pipeline(self, cluster: Cluster | None, stop: Callable[[], None] | None = None) -> MakePipeline:
        """How documents become stored pages, made when a run begins; only the local way loads the model here."""

        def make(options: IngestOptions) -> Pipeline:
            if cluster is None:
                return LocalPipeline(self.embedder, self.store, self.assets, options, stop)
            from vipylo_rag.distributed import DistributedPipeline

            return DistributedPipeline(self.directory, self.manifest, self._access, cluster, options)

        return make


def _paths(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
