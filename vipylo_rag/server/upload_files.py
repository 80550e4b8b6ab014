"""Uploaded files on disk, inside the index directory: received whole or not at all, waiting, and in their place.

A file's name is data of the sender's: what lies on disk has a name of our making, below a folder of the tenant's own.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.loaders.archive_names import numbered
from vipylo_rag.manifest import sync_folder
from vipylo_rag.places import RECEIVING, UPLOADS, WAITING

# File systems take 255 bytes; names in Vietnamese and Chinese have up to three bytes a letter.
NAME_BYTES: Final = 200
_UNNAMED: Final = "unnamed"
_HIDDEN_LETTERS: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_NOT_IN_NAMES: Final = re.compile(r'[<>:"|?*]')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,16}$")
_JOURNAL: Final = "upload.json"
_TRIES: Final = "tries"
_DELETED: Final = re.compile(r"\.(.+)\.deleted")

logger = logging.getLogger(__name__)


class ReceivedFile(BaseModel):
    """A file of an upload: its name made harmless, and its number in the folder that it was received in.

    `sent_as` is the name that it came under, where that was another's and it got a number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    number: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sent_as: str | None = None


class TakenUpload(BaseModel):
    """An upload that was received whole; as `upload.json` in its folder it survives the server.

    `received` is in nanoseconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    tenant: str
    received: int
    files: tuple[ReceivedFile, ...]

    def without(self, number: int) -> "TakenUpload":
        """The same upload, but for one file."""
        return self.model_copy(update={"files": tuple(file for file in self.files if file.number != number)})


def safe_file_name(name: str) -> str:
    """A name for a file that came as `name`: its last component, without what could mislead people or systems.

    Letters that are not seen (controls, marks that turn the direction) go, what Windows has no names for becomes "_".
    Long names are cut, keeping their suffix, and get a digest, so that two long ones stay two.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    seen = "".join(letter for letter in last if unicodedata.category(letter) not in _HIDDEN_LETTERS or letter in "\t\n")
    plain = " ".join(_NOT_IN_NAMES.sub("_", seen).split()).rstrip(". ")
    if not plain.strip("."):
        return _UNNAMED
    if plain.startswith((".", "~")) or _RESERVED.match(plain):
        plain = f"_{plain}"
    return _cut(unicodedata.normalize("NFC", plain))


def _cut(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES:
        return name
    found = _SUFFIX.search(name)
    suffix = found[0] if found else ""
    mark = "~" + hashlib.sha256(name.encode()).hexdigest()[:8] + suffix
    stem = name.encode()[: NAME_BYTES - len(mark.encode())].decode(errors="ignore")
    return stem.rstrip(". ") + mark


def own_names(names: Iterable[str], is_others: Callable[[int, str], bool] = lambda _at, _name: False) -> Iterator[str]:
    """Each name, or, where one before it in the same upload looks the same, the name with a number.

    Args:
        is_others: whether the file at this place in `names` may not have this name, as another document has it.
    """
    taken: set[str] = set()
    for at, name in enumerate(names):
        own, number = name, 1
        while own.casefold() in taken or is_others(at, own):
            number += 1
            own = _cut(numbered(name, number))
        taken.add(own.casefold())
        yield own


def tenant_folder(tenant: str) -> str:
    """The name of a tenant's folder: nothing of the tenant's own name, which may be no file name, is in it."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:16]


class UploadFiles:
    """The uploaded files of one index.

    Args:
        directory: of the index.
    """

    def __init__(self, directory: Path) -> None:
        # Resolved, as the names of sources are.
        self.folder = directory.resolve() / UPLOADS
        self._receiving = self.folder / RECEIVING
        self._waiting = self.folder / WAITING

    def make_ready(self) -> None:
        """Make the folders, and remove what was being received when the server ended."""
        for folder in (self.folder, self._receiving, self._waiting):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._receiving.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def receiving(self) -> Iterator[Path]:
        """A new folder to receive files in, by their numbers; what is not taken by `take` is gone afterwards."""
        folder = self._receiving / uuid.uuid4().hex
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def take(self, folder: Path, upload: TakenUpload) -> None:
        """Make a folder of received files an upload that waits; it is whole from now on, whatever happens."""
        _write(folder / _JOURNAL, upload.model_dump_json())
        sync_folder(folder)
        folder.rename(self._waiting / upload.id)
        sync_folder(self._waiting)

    def waiting(self) -> list[TakenUpload]:
        """The uploads that were taken and are not finished, oldest first."""
        found = []
        for folder in self._waiting.iterdir():
            try:
                found.append(_journal(folder))
            except (OSError, ValidationError) as error:
                logger.warning("an upload cannot be gone on with, its files stay in %s: %s", folder, error)
        return sorted(found, key=lambda upload: (upload.received, upload.id))

    def newest_waiting(self, tenant: str) -> dict[str, Path]:
        """Where the newest content of each name lies that a tenant sent and that may not be in its place yet."""
        uploads = []
        for folder in self._waiting.iterdir():
            with suppress(OSError, ValidationError):  # finished by now; or odd, and said at the start
                uploads.append(_journal(folder))
        return {
            file.name: self._waiting / upload.id / str(file.number)
            for upload in sorted(uploads, key=lambda upload: (upload.received, upload.id))
            if upload.tenant == tenant
            for file in upload.files
        }

    def note(self, upload: TakenUpload) -> None:
        """Note that a waiting upload has other files now."""
        journal = self._waiting / upload.id / _JOURNAL
        if journal.parent.is_dir():
            _write(journal, upload.model_dump_json())

    def tries(self, upload: TakenUpload, change: int = 0) -> int:
        """How often reading an upload was begun and not ended in good order; `change` is added first."""
        file = self._waiting / upload.id / _TRIES
        if not file.parent.is_dir():  # one that has nothing to wait for here, see `Uploads`
            return 0
        try:
            count = int(file.read_text())
        except (OSError, ValueError):
            count = 0
        if change:
            count = max(0, count + change)
            _write(file, json.dumps(count))
        return count

    def place(self, upload: TakenUpload) -> list[Path]:
        """Move an upload's files to where they are read; a file of the same name is replaced. Returns those there.

        Repeating it is harmless: what is in its place already stays there.
        """
        home = self.home(upload.tenant)
        home.mkdir(mode=0o700, exist_ok=True)
        for file in upload.files:
            with suppress(FileNotFoundError):
                (self._waiting / upload.id / str(file.number)).replace(home / file.name)
        sync_folder(home)
        return [path for path in (home / file.name for file in upload.files) if path.is_file()]

    def finish(self, upload: TakenUpload) -> None:
        """The upload is read, or given up: it waits for nothing any more."""
        shutil.rmtree(self._waiting / upload.id, ignore_errors=True)

    def home(self, tenant: str) -> Path:
        """Where a tenant's files lie. Their paths are the names of their documents."""
        return self.folder / tenant_folder(tenant)

    def source(self, name: str, tenant: str) -> str:
        """The name of an uploaded file's document."""
        return (self.home(tenant) / name).as_posix()

    def is_uploaded(self, source: str, tenant: str) -> bool:
        """Whether a document is a file that this tenant uploaded; what came out of an archive is none."""
        return Path(source).parent == self.home(tenant)

    @contextmanager
    def going(self, source: str, tenant: str) -> Iterator[None]:
        """Around the deletion of a document: its file goes with it, if it was uploaded and the block ends well."""
        file = Path(source)
        if not self.is_uploaded(source, tenant) or not file.is_file():
            yield
            return
        aside = file.with_name(f".{file.name}.deleted")
        file.replace(aside)
        try:
            yield
        except BaseException:
            aside.replace(file)
            raise
        aside.unlink()

    def half_deleted(self) -> Iterator[tuple[Path, Path]]:
        """Files of deletions that a killed server left: (where it lies, where it lay)."""
        for home in self.folder.iterdir():
            if home.is_dir() and not home.name.startswith("."):
                for file in list(home.iterdir()):
                    if found := _DELETED.fullmatch(file.name):
                        yield file, file.with_name(found[1])


def new_upload(tenant: str, received: int, files: Sequence[ReceivedFile]) -> TakenUpload:
    """An upload with an id that nobody can guess."""
    return TakenUpload(id=uuid.uuid4().hex, tenant=tenant, received=received, files=tuple(files))


def same_content(first: Path, second: Path) -> bool:
    """Whether two files have the same bytes.

    Raises:
        OSError: one cannot be read, or is not there.
    """
    with first.open("rb") as one, second.open("rb") as other:
        if os.fstat(one.fileno()).st_size != os.fstat(other.fileno()).st_size:
            return False
        return hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()


def _journal(folder: Path) -> TakenUpload:
    return TakenUpload.model_validate_json((folder / _JOURNAL).read_bytes())


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = file.with_name(f"{file.name}.part")
    with draft.open("w", encoding="utf-8") as target:
        target.write(text)
        target.flush()
        os.fsync(target.fileno())
    draft.replace(file)
