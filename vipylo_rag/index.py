"""MultimodalIndex: a directory of pages, searchable by text, by image, or by both as one vector."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout
from PIL import Image

from connectors.loaders.pool import PAGE_SECONDS
from connectors.loaders.registry import check_loader_options, first_image
from connectors.stores.filters import Filter, parse_filter
from connectors.stores.open import open_store
from connectors.stores.protocol import SearchMode, StoredPoint, VectorStore
from embedder.errors import InputError
from embedder.load import given, load_embedder
from embedder.prefixes import IMAGE_MARKER, literal
from embedder.protocol import Embedder, Sample
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
from vipylo_rag.ledger import Ledger, SourceRow
from vipylo_rag.location import Location, check_can_create, locate
from vipylo_rag.manifest import FILE_NAME, EmbedderRecord, Manifest
from vipylo_rag.search import Hit

_UNFILTERED = frozenset({"text", "asset", "tenant"})
_REPAIR = "restore it from a backup, or ingest the documents into a new directory"

ImageInput = Image.Image | str | Path


class MultimodalIndex:
    """An index of pages: vectors in a store, page images as files, and a ledger of what is in it.

    Example:
        >>> with MultimodalIndex.open("my-index") as index:            # doctest: +SKIP
        ...     index.ingest("documents/")
        ...     for hit in index.search("hợp đồng thuê nhà", top_k=3):
        ...         print(hit.score, hit.name, hit.page)
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        embedder: Embedder | None,
        store: VectorStore,
        ledger: Ledger,
        device: str | None = None,
    ) -> None:
        """Use `open`. Without an embedder, the manifest's is loaded when first needed."""
        self.directory = directory
        self.manifest = manifest
        self.store = store
        self.ledger = ledger
        self._embedder = embedder
        self._device = device

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

        Raises:
            IndexDirectoryError: no index there (with create=False), a damaged one, or one of another embedder.
            StoreError: the store is in use by another process, or the server cannot be reached.
        """
        place = locate(location, directory)
        if (place.directory / FILE_NAME).is_file():
            return cls._open_existing(place, embedder, device, api_key)
        check_can_create(place.directory)
        if not create:
            raise IndexDirectoryError(
                f"there is no index at {place.directory}: make one with `vipylo ingest PATH --index {location}`"
            )
        return cls._create(place, embedder, device, api_key)

    @classmethod
    def _open_existing(
        cls, place: Location, embedder: Embedder | str | None, device: str | None, api_key: str | None
    ) -> Self:
        folder, manifest = place.directory, Manifest.read(place.directory)
        if place.store.url and place.store != manifest.store:
            raise IndexDirectoryError(
                f"{folder} belongs to {manifest.store.label}, not to {place.store.label}: name another directory"
            )
        parts = ["ledger.sqlite", "assets"] + ([] if manifest.store.url else ["store"])
        if missing := [part for part in parts if not (folder / part).exists()]:
            raise IndexDirectoryError(f"{folder} is damaged: {', '.join(missing)} is missing; {_REPAIR}")
        loaded = _loaded(embedder, device) if embedder is not None else None
        if loaded is not None:
            manifest.check_embedder(loaded, folder)
        index = cls._with_parts(folder, manifest, loaded, device, api_key)
        if index.ledger.counts()["pages done"] and not index.store.count():
            index.close()
            raise IndexDirectoryError(f"{folder} is damaged: {manifest.store.label} has lost all pages; {_REPAIR}")
        return index

    @classmethod
    def _create(cls, place: Location, embedder: Embedder | str | None, device: str | None, api_key: str | None) -> Self:
        folder = place.directory
        made = next((path for path in [*reversed(folder.parents), folder] if not path.exists()), None)
        loaded = _loaded(embedder or "starter", device)
        record = EmbedderRecord(
            name=_lasting_name(embedder if isinstance(embedder, str) else loaded.name),
            fingerprint=loaded.fingerprint,
            dim=loaded.dim,
        )
        manifest = Manifest(embedder=record, store=place.store)
        try:
            (folder / "assets").mkdir(parents=True, exist_ok=True)
            index = cls._with_parts(folder, manifest, loaded, device, api_key)
            if place.store.url and index.store.count():
                index.close()
                raise IndexDirectoryError(
                    f"{place.store.label} holds pages already, made with an unknown embedder: open it with directory= "
                    "(the folder that has its manifest), or choose another collection"
                )
            manifest.write(folder)  # last: a directory with a manifest is complete
        except BaseException:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)
            raise
        return index

    @classmethod
    def _with_parts(
        cls, folder: Path, manifest: Manifest, embedder: Embedder | None, device: str | None, api_key: str | None
    ) -> Self:
        place: str | Path = manifest.store.url or folder / "store"
        store = open_store(place, manifest.embedder.dim, collection=manifest.store.collection, api_key=api_key)
        try:
            return cls(folder, manifest, embedder, store, Ledger(folder / "ledger.sqlite"), device)
        except BaseException:
            store.close()
            raise

    @property
    def embedder(self) -> Embedder:
        """The embedder that made the vectors; loaded when first asked for.

        Raises:
            CheckpointError: it cannot be found. IndexDirectoryError: what has its name now is another one.
        """
        if self._embedder is None:
            loaded = _loaded(self.manifest.embedder.name, self._device)
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


def _loaded(embedder: Embedder | str, device: str | None) -> Embedder:
    return load_embedder(embedder, **given(device=device)) if isinstance(embedder, str) else embedder


def _lasting_name(name: str) -> str:
    """A relative checkpoint path would mean another one when the index is opened from another folder."""
    return str(Path(name).resolve()) if name != "starter" and Path(name).is_dir() else name


def _pictures(images: ImageInput | Sequence[ImageInput] | None) -> tuple[Image.Image, ...]:
    if images is None:
        return ()
    several = images if isinstance(images, Sequence) and not isinstance(images, str) else [images]
    return tuple(_picture(image) for image in several)


def _picture(image: ImageInput) -> Image.Image:
    """A query image. A path goes through the loaders, so that a photo, a scan or a DICOM file is seen as at ingest."""
    return image if isinstance(image, Image.Image) else first_image(image)
