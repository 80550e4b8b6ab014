"""MultimodalIndex: a directory of pages, searchable by text, by image, or by both as one vector."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout
from PIL import Image

from connectors.loaders.pool import PAGE_SECONDS
from connectors.loaders.registry import check_loader_options, first_image
from connectors.stores.filters import Filter, parse_filter
from connectors.stores.options import StoreOptions
from connectors.stores.protocol import SearchMode, StoredPoint
from embedder.errors import InputError
from embedder.prefixes import IMAGE_MARKER, literal
from embedder.protocol import Embedder, Sample
from vipylo_rag.backup import backup
from vipylo_rag.collect import Collected, collect
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ingest import (
    RESERVED_FIELDS,
    Ingest,
    IngestReport,
    Progress,
    delete_source,
    find_files,
    remove_orphans,
    source_name,
)
from vipylo_rag.ledger import SourceRow
from vipylo_rag.manifest import Manifest
from vipylo_rag.opening import Access, Parts, embedder_record, open_parts, remove_retired
from vipylo_rag.reindex import BATCH_PAGES, ReindexReport, rebuild
from vipylo_rag.reindex import Progress as ReindexProgress
from vipylo_rag.search import Hit
from vipylo_rag.transfer import ExportReport, export_index
from vipylo_rag.turnstile import Turnstile, passes

_UNFILTERED = frozenset({"text", "asset", "tenant"})

ImageInput = Image.Image | str | Path


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

    @property
    def fields(self) -> set[str]:
        """The payload fields that `where` may name: ours, and those that loaders added."""
        return (self.ledger.fields() | RESERVED_FIELDS) - _UNFILTERED

    def ingest(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        prune: bool = False,
        workers: int | None = None,
        page_seconds: float = PAGE_SECONDS,
        loader_options: Mapping[str, Mapping[str, Any]] | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Bring the index up to date with files and folders. Unchanged files cost a hash; bad ones are reported.

        Args:
            paths: files and folders (walked).
            prune: remove sources below the given folders that are no longer on disk.
            workers: child processes that read and render (default: a quarter of the cores, at least 1).
            page_seconds: longest time that reading one page may take.
            loader_options: constructor arguments by loader name, such as {"pdf": {"password": "..."}}.
            progress: called with the report so far.

        Raises:
            DocumentError: a path does not exist, or there is no file at all. Nothing is changed then.
            InputError, PluginError: `loader_options` do not fit the loaders.
        """
        chosen = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
        find_files(chosen)
        check_loader_options(loader_options)
        run = Ingest(
            self.embedder,
            self.store,
            self.ledger,
            self.assets,
            workers=workers or max(1, (os.cpu_count() or 1) // 4),
            page_seconds=page_seconds,
            loader_options=loader_options,
            progress=progress,
        )
        with self._writing():
            return run.run(chosen, prune=prune)

    @passes
    def search(
        self,
        text: str | None = None,
        images: ImageInput | Sequence[ImageInput] | None = None,
        top_k: int = 10,
        where: Mapping[str, Any] | Filter | None = None,
        mode: SearchMode = "hybrid",
    ) -> list[Hit]:
        """The best pages for a text, an image (or several), or both together as one query vector.

        Args:
            text: what to look for, in any language of the model.
            images: PIL images or paths of image files.
            top_k: how many hits at most.
            where: a filter over payload fields, such as {"kind": "pdf", "page": {"lte": 3}}.
            mode: "dense" compares vectors, "lexical" compares words (BM25; needs text), "hybrid" fuses both ranks.

        Raises:
            InputError: nothing to search for, an unreadable image, or a bad top_k or mode.
            FilterError: `where` names an unknown field or operator.
        """
        if mode not in ("hybrid", "dense", "lexical"):
            raise InputError(f"mode={mode!r} is none of hybrid, dense, lexical")
        if top_k < 1:
            raise InputError(f"top_k={top_k}: ask for at least 1 hit")
        words = text.strip() if text else ""
        pictures = _pictures(images)
        if not words and not pictures:
            raise InputError("the query is empty: give a text, an image, or both")
        if mode == "lexical" and not words:
            raise InputError("lexical mode compares words: give a text, or use dense or hybrid mode")
        filter_ = parse_filter(where, self.fields)
        vector = None
        if mode != "lexical":
            # More markers than images: then "<image>" is a word that is asked for, not a place for a picture.
            asked = words if words.count(IMAGE_MARKER) <= len(pictures) else literal(words)
            rows = self.embedder.encode_rows([Sample(asked, pictures)])
            if rows.errors:
                raise InputError(f"the query cannot be embedded: {rows.errors[0]}")
            vector = rows.vectors[0]
        found = self.store.search(vector, words or None, top_k=top_k, where=filter_, mode=mode)
        return [self._hit(point.id, point.score, dict(point.payload)) for point in found]

    def _hit(self, id_: str, score: float, payload: dict[str, Any]) -> Hit:
        asset = payload.pop("asset", None)
        return Hit(
            id=id_,
            score=score,
            source=payload.pop("source"),
            page=payload.pop("page"),
            kind=payload.pop("kind"),
            text=payload.pop("text"),
            image_path=self.assets / asset if asset else None,
            metadata=payload,
        )

    def delete(self, source: str | Path) -> int:
        """Remove a document by the name it was ingested under, or by its path; returns how many pages went away.

        Raises:
            InputError: no such source in this index.
        """
        name = self.find_source(source)
        with self._writing():
            deleted = delete_source(self.store, self.ledger, name)
            remove_orphans(self.assets, self.ledger)
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
            embedder: the new one, or its name; None keeps the embedder and copies its vectors.
            options: how the new store keeps its vectors; None: as now.
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
            with self.turnstile.alone():
                rebuilt.manifest.switch(self.directory)
                replaced, self.store = self.store, rebuilt.store
                self.manifest, self._embedder = rebuilt.manifest, loaded or self._embedder
            replaced.close()
            self.manifest = remove_retired(self.directory, self.manifest, self._access)
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

    def _parts(self) -> Parts:
        return Parts(self.directory, self.manifest, self._embedder, self.store, self.ledger)

    def find_source(self, source: str | Path) -> str:
        """The name under which the index knows a document, from that name, its path, or its unique file name.

        Raises:
            InputError: no such source in this index, or several of that file name.
        """
        for name in (str(source), source_name(Path(source))):
            if self.ledger.source(name):
                return name
        alike = [row.source for row in self.ledger.sources() if Path(row.source).name == str(source)]
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise InputError(f"{source} is the name of {len(alike)} documents: give one whole, as {alike[0]}")
        raise InputError(f"{source} is not in this index")

    def sources(self) -> list[SourceRow]:
        """All documents with their states."""
        return list(self.ledger.sources())

    @passes
    def pages(self, where: Mapping[str, Any] | Filter | None = None) -> list[StoredPoint]:
        """All stored pages that pass a filter, in id order."""
        return list(self.store.scroll(parse_filter(where, self.fields)))

    def info(self) -> dict[str, Any]:
        """What this index is and holds: location, embedder, store, counts, kinds, size of the page images in bytes."""
        return {
            "directory": str(self.directory),
            "embedder": self.manifest.embedder.model_dump(),
            "store": self.manifest.store.label,
            **self.ledger.counts(),
            "points": self.store.count(),
            "kinds": self.store.facet("kind"),
            "asset_bytes": sum(file.stat().st_size for file in self.assets.rglob("*") if file.is_file()),
        }

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, also where the vectors are on a server that many processes share."""
        try:
            with FileLock(self.directory / "writer.lock", timeout=0):
                yield
        except Timeout as error:
            raise IndexDirectoryError(f"{self.directory} is being written by another process: wait for it") from error

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


def _pictures(images: ImageInput | Sequence[ImageInput] | None) -> tuple[Image.Image, ...]:
    if images is None:
        return ()
    several = images if isinstance(images, Sequence) and not isinstance(images, str) else [images]
    return tuple(_picture(image) for image in several)


def _picture(image: ImageInput) -> Image.Image:
    """A query image. A path goes through the loaders, so that a photo, a scan or a DICOM file is seen as at ingest."""
    return image if isinstance(image, Image.Image) else first_image(image)
