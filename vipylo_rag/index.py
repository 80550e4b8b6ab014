"""MultimodalIndex: a directory of pages, searchable by text, by image, or by both as one vector."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from connectors.loaders.pool import PAGE_SECONDS
from connectors.stores.filters import Filter
from connectors.stores.options import StoreOptions
from connectors.stores.protocol import SearchMode, StoredPoint
from embedder.protocol import Embedder
from vipylo_rag.backup import backup
from vipylo_rag.cluster import Cluster
from vipylo_rag.collect import Collected, collect
from vipylo_rag.ingest_options import IngestOptions
from vipylo_rag.ledger import SourceRow
from vipylo_rag.manifest import Manifest
from vipylo_rag.opening import Access, Parts, embedder_record, open_parts, tidied, writing
from vipylo_rag.overview import overview
from vipylo_rag.pipeline import LocalPipeline, Pipeline
from vipylo_rag.query import FieldTypes, ImageInput, Query, checked_filter, field_types
from vipylo_rag.reindex import BATCH_PAGES, ReindexReport, rebuild
from vipylo_rag.reindex import Progress as ReindexProgress
from vipylo_rag.removal import delete_document
from vipylo_rag.report import IngestReport, Progress
from vipylo_rag.runs import MakePipeline, Planned, plan, retry, run, unfinished
from vipylo_rag.search import Hit
from vipylo_rag.status import find_source
from vipylo_rag.tenants import check_tenant, for_tenant
from vipylo_rag.transfer import ExportReport, export_index
from vipylo_rag.turnstile import Turnstile, passes


class MultimodalIndex:
    """An index of pages: vectors in a store, page images as files, and a ledger of what is in it.

    Example:
        >>> with MultimodalIndex.open("my-index") as index:            # doctest: +SKIP
        ...     index.ingest("documents/")
        ...     for hit in index.search("hợp đồng thuê nhà", top_k=3):
        ...         print(hit.score, hit.name, hit.page)
    """

    def __init__(self, parts: Parts, access: Access) -> None:
        """Use `open`. Without an embedder, the manifest's is loaded when first needed."""
        self.directory = parts.directory
        self.manifest = parts.manifest
        self.store = parts.store
        self.ledger = parts.ledger
        self._embedder = parts.embedder
        self._access = access
        self.turnstile = Turnstile()

    @classmethod
    def open(
        cls,
        location: str | Path,
        *,
        embedder: Embedder | str | None = None,
        create: bool = True,
        device: str | None = None,
        directory: str | Path | None = None,
        api_key: str | None = None,
        options: StoreOptions | None = None,
    ) -> Self:
        """Open an index, or create it if there is none.

        Args:
            location: a directory (vectors in the embedded engine), or the URL of a Qdrant server, as
                "http://host:6333/collection".
            embedder: an embedder, or the name of one (see `load_embedder`); by default the one that made the index, and
                the starter for a new one.
            create: False refuses a location that holds no index.
            device: where an embedder that is loaded here runs, such as "cpu" or "cuda".
            directory: with a URL, where manifest, ledger and page images lie (default: below the user's data folder).
            api_key: of the server.
            options: how a new index keeps its vectors (quantization, ...); of one that is there, they must be the same.

        Raises:
            IndexDirectoryError: no index there (with create=False), a damaged one, or one of another embedder.
            StoreError: the store is in use by another process, or the server cannot be reached.
        """
        access = Access(device=device, api_key=api_key)
        return cls(open_parts(location, directory, embedder, access, create=create, options=options), access)

    @property
    def embedder(self) -> Embedder:
        """The embedder that made the vectors; loaded when first asked for.

        Raises:
            CheckpointError: it cannot be found. IndexDirectoryError: what has its name now is another one.
        """
        if self._embedder is None:
            loaded = self._access.embedder(self.manifest.embedder.name)
            self.manifest.check_embedder(loaded, self.directory)
            self._embedder = loaded
        return self._embedder

    @property
    def assets(self) -> Path:
        """Folder of page images, named by content."""
        return self.directory / "assets"

    def fields(self, tenant: str = "") -> FieldTypes:
        """The payload fields that `where` may name with their JSON types: ours, and those that loaders added."""
        return field_types(self.ledger.fields(tenant))

    def ingest(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        tenant: str = "",
        prune: bool = False,
        reread: bool = False,
        workers: int | None = None,
        page_seconds: float = PAGE_SECONDS,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
        cluster: Cluster | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Bring the index up to date with files and folders. Unchanged files cost a hash; bad ones are reported.

        A file that was moved keeps its vectors. One that failed is not read again before its content or the way of
        reading it changes, see `retry`. A run that is stopped or killed goes on with the next, see `resume`.

        Args:
            paths: files and folders (walked); archives are walked too.
            tenant: whose documents these are; nobody else finds them.
            prune: remove sources below the given folders that are no longer on disk.
            reread: read unchanged files too; pages that are the same are not embedded again.
            workers: child processes that read and render (default: a quarter of the cores, at least 1).
            page_seconds: longest time that reading one page may take.
            loader_options: constructor arguments by loader name, such as {"pdf": {"password": "..."}}.
            cluster: the machines that read and embed (an index on a server only); None: this one.
            progress: called with the report so far.

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
            workers=workers,
            page_seconds=page_seconds,
            loader_options=loader_options or {},
        )
        with self._writing():
            return run(self._parts(), self._pipeline(cluster), _paths(paths), options, progress)

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
            return run(self._parts(), self._pipeline(cluster), paths, options, progress)

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
            return retry(self._parts(), self._pipeline(None), _paths(paths), options, progress)

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

    @passes
    def search(
        self,
        text: str | None = None,
        images: ImageInput | Sequence[ImageInput] | None = None,
        top_k: int = 10,
        where: Mapping[str, Any] | Filter | None = None,
        mode: SearchMode = "hybrid",
        *,
        tenant: str = "",
    ) -> list[Hit]:
        """The best pages for a text, an image (or several), or both together as one query vector.

        Args:
            text: what to look for, in any language of the model.
            images: PIL images or paths of image files.
            top_k: how many hits at most.
            where: a filter over payload fields, such as {"kind": "pdf", "page": {"lte": 3}}.
            mode: "dense" compares vectors, "lexical" compares words (BM25; needs text), "hybrid" fuses both ranks.
            tenant: whose documents are searched; nobody else's are found.

        Raises:
            InputError: nothing to search for, a bad top_k, mode or tenant. DocumentError: an unreadable image.
            FilterError: `where` names an unknown field or operator, or compares with a value of the wrong type.
        """
        query = Query.of(text, images, top_k, mode)
        mine = for_tenant(check_tenant(tenant), checked_filter(where, self.fields(tenant)))
        vector = query.vector(lambda: self.embedder)
        found = self.store.search(vector, query.words or None, top_k=top_k, where=mine, mode=mode)
        return [Hit.of(point.id, point.score, dict(point.payload), self.assets) for point in found]

    def delete(self, source: str | Path, *, tenant: str = "") -> int:
        """Remove a document by the name it was ingested under, or by its path; returns how many pages went away.

        With an archive or a mail, what came out of it goes too.

        Raises:
            InputError: no such source in this index.
        """
        name = self.find_source(source, tenant=tenant)
        with self._writing():
            return delete_document(self.store, self.ledger, self.assets, name, tenant)

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
        return found

    def backup(self, folder: str | Path) -> None:
        """Copy the index to a folder that does not exist yet, as an index of its own (with the embedded engine).

        Raises:
            IndexDirectoryError: the folder exists, or another process is writing.
        """
        with self._writing():
            backup(self._parts(), Path(folder))

    def export(self, file: str | Path, progress: Callable[[int, int], None] | None = None) -> ExportReport:
        """Write the whole index to one file, which `vipylo_rag.transfer.import_index` reads into any engine.

        Args:
            file: must not exist yet.
            progress: called with how many parts (pages and pictures) are written, and how many there are.

        Raises:
            IndexDirectoryError: the file exists, or another process is writing.
        """
        with self._writing():
            return export_index(self._parts(), Path(file), progress)

    def _pipeline(self, cluster: Cluster | None) -> MakePipeline:
        """How documents become stored pages, made when a run begins; only the local way loads the model here."""

        def make(options: IngestOptions) -> Pipeline:
            if cluster is None:
                return LocalPipeline(self.embedder, self.store, self.assets, options)
            from vipylo_rag.distributed import DistributedPipeline

            return DistributedPipeline(self.directory, self.manifest, self._access, cluster, options)

        return make

    def _parts(self) -> Parts:
        return Parts(self.directory, self.manifest, self._embedder, self.store, self.ledger)

    def find_source(self, source: str | Path, *, tenant: str = "") -> str:
        """The name under which the index knows a document, from that name, its path, or its unique file name.

        Raises:
            InputError: no such source in this index, or several of that file name.
        """
        return find_source(self.ledger, source, check_tenant(tenant))

    def sources(self, *, tenant: str = "") -> list[SourceRow]:
        """All documents of a tenant with their states."""
        return list(self.ledger.sources(check_tenant(tenant)))

    @passes
    def pages(self, where: Mapping[str, Any] | Filter | None = None, *, tenant: str = "") -> list[StoredPoint]:
        """All stored pages of a tenant that pass a filter, in id order."""
        return list(self.store.scroll(for_tenant(check_tenant(tenant), checked_filter(where, self.fields(tenant)))))

    @passes
    def facet(
        self, field: str, where: Mapping[str, Any] | Filter | None = None, *, tenant: str = "", limit: int = 100
    ) -> dict[Any, int]:
        """The most frequent values of a field among a tenant's pages that pass a filter, with their counts.

        Raises:
            FilterError: there is no such field.
        """
        fields = self.fields(check_tenant(tenant))
        checked_filter({field: {"exists": True}}, fields)
        return self.store.facet(field, for_tenant(tenant, checked_filter(where, fields)), limit=limit)

    @passes
    def info(self) -> dict[str, Any]:
        """What this index is and holds, of all tenants: embedder, store, counts, kinds, size of the pictures in bytes,
        and what was begun and did not come to its end.

        For who runs the index; `sources`, `pages` and `facet` answer for one tenant.
        """
        return overview(self._parts())

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self.directory)

    def close(self) -> None:
        """Release the store and the ledger. Closing twice is allowed."""
        self.store.close()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _paths(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
