"""`vipylo backup`: a copy of an index that is an index itself, complete or not there."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.manifest import Manifest, StoreRecord, in_one_piece, sync_folder
from vipylo_rag.opening import Parts
from vipylo_rag.places import RECEIVING, SERVER_LOCK, UPLOADS


def backup(parts: Parts, target: Path, also: Callable[[Path], None] = lambda draft: None) -> None:
    """Copy an index to `target`; see `MultimodalIndex.backup`. Call it as the only writer. `also` copies more into it.

    Pictures are copied, not linked: a backup must survive what happens to the files it was made of.
    """
    target = target.expanduser()
    if target.resolve().is_relative_to(parts.directory.resolve()):
        raise IndexDirectoryError(f"a backup cannot lie inside the index it is of: choose another folder than {target}")
    with appearing(target) as draft:
        parts.store.backup(draft / "store")
        copy_ledger(parts.directory / "ledger.sqlite", draft / "ledger.sqlite")
        shutil.copytree(parts.directory / "assets", draft / "assets", ignore=shutil.ignore_patterns("*.part"))
        also(draft)
        _copy_uploads(parts.directory / UPLOADS, draft / UPLOADS)
        store = StoreRecord(options=in_one_piece(parts.manifest.store.options))
        Manifest(embedder=parts.manifest.embedder, store=store).write(draft)


def _copy_uploads(uploads: Path, target: Path) -> None:
    """Copy the files that were uploaded, and those that wait to be read. Not what is just being received."""
    if uploads.is_dir():
        ours = {RECEIVING, SERVER_LOCK}  # a tenant's file may be called like a lock

        def not_documents(folder: str, names: list[str]) -> set[str]:
            return ours.intersection(names) if Path(folder) == uploads else set()

        shutil.copytree(uploads, target, ignore=not_documents)


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A folder to fill, which gets the name `target` (that must be free) when the block ends well, else vanishes.

    Raises:
        IndexDirectoryError: `target` exists.
    """
    if target.exists() or target.is_symlink():
        raise IndexDirectoryError(f"{target} exists already: choose a folder that does not")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".part") as scratch:
        draft = Path(scratch) / "index"
        draft.mkdir()
        yield draft
        if target.exists():  # a rename would silently take the place of an empty folder
            raise IndexDirectoryError(f"{target} was made by another process meanwhile: choose another folder")
        draft.rename(target)
        sync_folder(target.parent)


def copy_ledger(source: Path, target: Path) -> None:
    """Copy a ledger that may be open: SQLite's own way, which sees whole transactions only."""
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
