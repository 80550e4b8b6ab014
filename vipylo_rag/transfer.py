"""`vipylo export` and `vipylo import`: a whole index in one file, from any engine and into any engine."""

import hashlib
import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from connectors.page import page_id
from connectors.stores.options import StoreOptions
from connectors.stores.protocol import Point, VectorStore
from embedder.errors import InputError
from vipylo_rag.backup import appearing
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ledger import LEDGER_VERSION, Ledger
from vipylo_rag.location import locate
from vipylo_rag.manifest import Manifest, in_one_piece, sync_folder
from vipylo_rag.opening import Access, Parts
from vipylo_rag.transfer_file import ASSETS, HEADER, LEDGER, POINTS, VECTORS, Header, Reader, Writer, line

# Of the ledger, what belongs to the documents; its runs are the history of a place that is left behind.
_TABLES: Final = ("sources", "pages", "fields")
_MOST_DIM: Final = 65_536
_ROWS: Final = 1000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    pages: int
    assets: int
    bytes: int


def export_index(parts: Parts, file: Path, progress: Progress | None = None) -> ExportReport:
    """Write an index to one file; see `MultimodalIndex.export`. Call it as the only writer."""
    file = file.expanduser()
    if file.exists() or file.is_symlink():
        raise IndexDirectoryError(f"{file} exists already: choose a file that does not")
    if file.resolve().is_relative_to(parts.directory.resolve()):
        raise IndexDirectoryError(f"an export cannot lie inside the index it is of: choose another place than {file}")
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.part")
    try:
        with draft.open("wb") as target:
            with Writer(target) as writer:
                report = _write(parts, writer, progress or (lambda done, total: None))
            target.flush()
            os.fsync(target.fileno())
        report = replace(report, bytes=draft.stat().st_size)
        draft.rename(file)
        sync_folder(file.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return report


def _write(parts: Parts, writer: Writer, progress: Progress) -> ExportReport:
    pages, manifest = parts.store.count(), parts.manifest
    header = Header(
        ledger_version=LEDGER_VERSION, embedder=manifest.embedder, options=manifest.store.options, pages=pages
    )
    with writer.entry(HEADER, shrink=True) as put:
        put(header.model_dump_json(indent=2).encode())
    ids = hashlib.sha256()
    with writer.entry(VECTORS, shrink=False) as put:
        put(_npy_header(pages, manifest.embedder.dim))
        for point in parts.store.scroll(with_vectors=True):
            assert point.vector is not None
            put(point.vector.astype("<f4").tobytes())
            ids.update(point.id.encode())
    assets = parts.ledger.assets()
    written, again = 0, hashlib.sha256()
    with writer.entry(POINTS, shrink=True) as put:
        for point in parts.store.scroll():
            put(line({"id": point.id, "payload": dict(point.payload)}))
            again.update(point.id.encode())
            assets.update(point.payload[key] for key in ("asset", "words") if point.payload.get(key))
            written += 1
            progress(written, pages + len(assets))
    if written != pages or again.digest() != ids.digest():
        raise IndexDirectoryError(f"{parts.directory} changed while it was exported: stop what writes to its store")
    with writer.entry(LEDGER, shrink=True) as put:
        for row in _ledger_rows(parts.directory / "ledger.sqlite"):
            put(line(row))
    for number, name in enumerate(sorted(assets), start=1):
        picture = parts.directory / "assets" / name
        if not picture.is_file():
            raise IndexDirectoryError(
                f"{picture} is missing: run `vipylo gc` and ingest the documents again, then export"
            )
        writer.copy(ASSETS + name, picture)
        progress(pages + number, pages + len(assets))
    return ExportReport(pages, len(assets), 0)


def _ledger_rows(path: Path) -> Iterator[list[Any]]:
    with closing(sqlite3.connect(path)) as db:
        for table in _TABLES:
            rows = db.execute(f"SELECT * FROM {table}")  # noqa: S608
            columns = [column[0] for column in rows.description]
            for row in rows:
                yield [table, dict(zip(columns, row, strict=True))]


def import_index(
    file: str | Path,
    location: str | Path,
    *,
    directory: str | Path | None = None,
    api_key: str | None = None,
    options: StoreOptions | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make an index from a file of `MultimodalIndex.export`; returns its directory.

    Args:
        location: where it is made: a directory, or the URL of a server, as `MultimodalIndex.open` takes it.
        directory: with a URL, where manifest, ledger and page images go.
        api_key: of the server.
        options: how the new store keeps its vectors; by default as the exported one did.
        progress: called with how many parts (pages and pictures) are read, and how many there are.

    Raises:
        InputError: the file is damaged, of another version, or made to do harm. Nothing is left behind.
        IndexDirectoryError: there is something at `location` already.
    """
    place = locate(location, directory)
    progress = progress or (lambda done, total: None)
    with Reader(Path(file)) as reader, appearing(place.directory) as draft, reader.checked():
        header = reader.header
        _check(reader, draft)
        kept = options or (header.options if place.store.url else in_one_piece(header.options))
        manifest = Manifest(embedder=header.embedder, store=place.store.model_copy(update={"options": kept}))
        total = header.pages + len(reader.assets)
        _write_assets(reader, draft / "assets", lambda done: progress(done, total))
        _write_ledger(reader, draft / "ledger.sqlite")
        access = Access(api_key=api_key)
        store = access.store(draft, manifest.store, header.embedder.dim)
        try:
            if store.count():
                raise IndexDirectoryError(f"{place.store.label} holds pages already: choose another collection")
            try:
                _fill(reader, store, lambda done: progress(total - header.pages + done, total))
            except BaseException:
                if place.store.url:
                    access.remove_store(draft, manifest.store, header.embedder.dim)
                raise
        finally:
            store.close()
        manifest.write(draft)
    return place.directory


def _check(reader: Reader, draft: Path) -> None:
    header = reader.header
    if header.ledger_version != LEDGER_VERSION:
        raise InputError(
            f"its ledger has version {header.ledger_version}, this program reads {LEDGER_VERSION}: export it with the "
            "same version"
        )
    if not 1 <= header.embedder.dim <= _MOST_DIM:
        raise InputError(f"its vectors have length {header.embedder.dim}")
    if reader.size(VECTORS) != len(_npy_header(header.pages, header.embedder.dim)) + 4 * _floats(header):
        raise InputError(f"{VECTORS} does not hold {header.pages} vectors of length {header.embedder.dim}")
    free = shutil.disk_usage(draft).free
    if reader.total_bytes > free:
        raise InputError(f"it unpacks to {reader.total_bytes / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left")


def _floats(header: Header) -> int:
    return header.pages * header.embedder.dim


def _write_assets(reader: Reader, folder: Path, progress: Callable[[int], None]) -> None:
    folder.mkdir(mode=0o700)
    for number, name in enumerate(reader.assets, start=1):
        target = folder / name  # two plain names of hex digits: `Reader` checked that
        target.parent.mkdir(exist_ok=True)
        reader.extract(name, target)
        progress(number)


def _write_ledger(reader: Reader, path: Path) -> None:
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        columns = {table: [row[1] for row in db.execute(f"PRAGMA table_info({table})")] for table in _TABLES}
        for row in reader.lines(LEDGER):
            table, values = row
            if table not in columns or sorted(values) != sorted(columns[table]):
                raise InputError(f"{LEDGER} has a row of another form: {str(row)[:120]}")
            for key in ("asset", "words"):
                if table == "pages" and values[key] is not None and not reader.has_asset(values[key]):
                    raise InputError(f"{LEDGER} names an asset that is not there: {values[key][:80]!r}")
            marks = ", ".join("?" * len(columns[table]))
            try:
                db.execute(f"INSERT INTO {table} VALUES ({marks})", [values[name] for name in columns[table]])  # noqa: S608
            except (sqlite3.Error, OverflowError) as error:
                raise InputError(f"{LEDGER} has a row that cannot be: {error}: {str(row)[:120]}") from error


def _fill(reader: Reader, store: VectorStore, progress: Callable[[int], None]) -> None:
    store.upsert(_points(reader, progress))
    if store.count() != reader.header.pages:
        raise InputError(f"{POINTS} holds the same page several times")


def _points(reader: Reader, progress: Callable[[int], None]) -> Iterator[Point]:
    header, number = reader.header, 0
    dim = header.embedder.dim
    with reader.entry(VECTORS) as vectors:
        start = _npy_header(header.pages, dim)
        if vectors.read(len(start)) != start:
            raise InputError(f"{VECTORS} is no array of float32 [{header.pages}, {dim}]")
        for row in reader.lines(POINTS):
            number += 1
            vector = np.frombuffer(vectors.read(4 * dim), dtype="<f4")
            payload = row["payload"]
            if not np.isfinite(vector).all() or not vector.any():
                raise InputError(f"{VECTORS}: row {number} holds NaN or infinity, or nothing but zeros")
            _check_page(reader, row["id"], payload)
            yield Point(row["id"], vector.astype(np.float32), payload["text"], payload)
            progress(number)
        if number != header.pages:
            raise InputError(f"{POINTS} holds {number} pages instead of {header.pages}")


def _check_page(reader: Reader, id_: Any, payload: Any) -> None:
    for key, kind in (("source", str), ("page", int), ("tenant", str), ("kind", str), ("text", str)):
        if type(payload[key]) is not kind:
            raise InputError(f"{POINTS}: the {key!r} of {str(id_)[:40]!r} is {str(payload[key])[:40]!r}")
    if id_ != page_id(payload["source"], payload["page"], payload["tenant"]):
        raise InputError(f"{POINTS}: {str(id_)[:40]!r} is not the id of its page")
    for key in ("asset", "words"):
        if payload.get(key) is not None and not reader.has_asset(payload[key]):
            raise InputError(f"{POINTS}: the page {id_} names an asset that is not there")


def _npy_header(rows: int, dim: int) -> bytes:
    """The first bytes of a .npy file of float32 [rows, dim]."""
    start = io.BytesIO()
    np.lib.format.write_array_header_1_0(start, {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)})
    return start.getvalue()
