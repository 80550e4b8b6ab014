"""The file that an index is exported to: one zip with a header, vectors, points, ledger rows, assets and checksums.

Both ways stream. Reading trusts nothing: names, sizes, counts and checksums are compared before anything is used.
"""

import hashlib
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.stores.options import StoreOptions
from embedder.errors import InputError
from vipylo_rag.manifest import EmbedderRecord

FORMAT: Final = "vipylo-rag index"
VERSION: Final = 1
HEADER: Final = "index.json"
VECTORS: Final = "vectors.npy"
POINTS: Final = "points.jsonl"
LEDGER: Final = "ledger.jsonl"
CHECKSUMS: Final = "checksums.jsonl"
ASSETS: Final = "assets/"

ASSET_NAME: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{16,128}\.(jpeg|png|words\.json)")
_MAGIC: Final = {".jpeg": b"\xff\xd8\xff", ".png": b"\x89PNG\r\n\x1a\n"}
_BLOCK: Final = 1 << 20
_HEADER_BYTES: Final = 1 << 20
_LINE_BYTES: Final = 64 << 20
_ASSET_BYTES: Final = 512 << 20
# JSON lines of ours shrink about tenfold; deflate alone could blow one byte up to a thousand.
_RATIO: Final = 200
_SMALL: Final = 1 << 20


class Header(BaseModel):
    """What the file says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["vipylo-rag index"] = FORMAT
    version: int = VERSION
    ledger_version: int
    embedder: EmbedderRecord
    options: StoreOptions
    pages: int = Field(ge=0)


class Writer:
    """Writes such a file. Entries come one after the other; leaving the `with` block adds the checksums."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", allowZip64=True)
        self._sums = tempfile.TemporaryFile("w+b")  # noqa: SIM115  # closed in `__exit__`
        self.entries = 0

    @contextmanager
    def entry(self, name: str, *, shrink: bool) -> Iterator[Callable[[bytes], None]]:
        """Gives a function that takes the entry's bytes piece by piece."""
        digest, length = hashlib.sha256(), 0
        info = zipfile.ZipInfo(name)  # of 1980, whenever it is made: equal indexes give equal files
        info.compress_type = zipfile.ZIP_DEFLATED if shrink else zipfile.ZIP_STORED
        with self._zip.open(info, "w", force_zip64=True) as target:

            def put(piece: bytes) -> None:
                nonlocal length
                target.write(piece)
                digest.update(piece)
                length += len(piece)

            yield put
        if name != CHECKSUMS:
            self._sums.write(line({"name": name, "sha256": digest.hexdigest(), "bytes": length}))
            self.entries += 1

    def copy(self, name: str, file: Path) -> None:
        """Add a file. Pictures are compressed already."""
        with file.open("rb") as source, self.entry(name, shrink=file.suffix == ".json") as put:
            while piece := source.read(_BLOCK):
                put(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Add the checksums and end the file; after an error it stays without them, which no reader takes."""
        with self._sums, self._zip:
            if error is None:
                self._sums.seek(0)
                with self.entry(CHECKSUMS, shrink=True) as put:
                    while piece := self._sums.read(_BLOCK):
                        put(piece)


class Reader:
    """Reads such a file. `with` it; everything cheap to check is checked on the way in.

    Raises:
        InputError: it is no such file, damaged, of another version, or made to do harm; names it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            raise InputError(f"{path} does not exist, or is no file")
        with self.checked():
            self._zip = zipfile.ZipFile(path)
        try:
            with self.checked():
                self._check_entries()
                self.header = self._header()
                self._sums = self._checksums()
        except BaseException:
            self._zip.close()
            raise

    @property
    def assets(self) -> list[str]:
        """The assets' names, relative to the asset folder."""
        return [name.removeprefix(ASSETS) for name in self._zip.namelist() if name.startswith(ASSETS)]

    @property
    def total_bytes(self) -> int:
        """Of all entries, unpacked."""
        return sum(info.file_size for info in self._zip.infolist())

    def has_asset(self, name: str) -> bool:
        """Whether the file holds this asset."""
        return ASSETS + name in self._sums

    def size(self, name: str) -> int:
        """An entry's length in bytes, unpacked."""
        return self._zip.getinfo(name).file_size

    @contextmanager
    def entry(self, name: str) -> Iterator["Entry"]:
        """An entry to read to its end; its checksum is compared when the block ends well."""
        with self._zip.open(name) as source:
            entry = Entry(source)
            yield entry
            if entry.read(1):
                raise InputError(f"{self._path} is damaged: {name} holds more than it should")
        if entry.sha256 != self._sums[name]:
            raise InputError(f"{self._path} is damaged: the checksum of {name} is another")

    def lines(self, name: str) -> Iterator[Any]:
        """The JSON values of an entry, a line each."""
        with self.entry(name) as entry:
            while text := entry.readline():
                yield json.loads(text)

    def extract(self, name: str, target: Path) -> None:
        """Write an asset to a file."""
        with self.entry(ASSETS + name) as entry, target.open("xb") as file:
            first = entry.read(_BLOCK)
            if not first.startswith(_MAGIC.get(target.suffix, b"")):
                raise InputError(f"{self._path}: {name} is not what its name says")
            while first:
                file.write(first)
                first = entry.read(_BLOCK)

    @contextmanager
    def checked(self) -> Iterator[None]:
        """What is wrong with the file, also in the libraries' words, as an error of ours that names it."""
        try:
            yield
        except InputError as error:
            if str(self._path) in str(error):
                raise
            raise InputError(f"{self._path} is refused: {error}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise InputError(f"{self._path} is damaged, or no file of `vipylo export`: {error}") from error
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{self._path} is damaged, or no file of `vipylo export`: {said}") from error

    def _check_entries(self) -> None:
        infos = self._zip.infolist()
        names = {info.filename for info in infos}
        if len(names) < len(infos):
            raise InputError(f"{self._path} is refused: it holds several entries of one name")
        if missing := {HEADER, VECTORS, POINTS, LEDGER, CHECKSUMS} - names:
            raise InputError(f"{self._path} is no file of `vipylo export`: it has no {', '.join(sorted(missing))}")
        for info in infos:
            asset = info.filename.startswith(ASSETS)
            if asset and not ASSET_NAME.fullmatch(info.filename.removeprefix(ASSETS)):
                raise InputError(f"{self._path} is refused: {info.filename[:80]!r} is no name of an asset")
            if not asset and info.filename not in (HEADER, VECTORS, POINTS, LEDGER, CHECKSUMS):
                raise InputError(f"{self._path} is refused: {info.filename[:80]!r} does not belong there")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(
                    f"{self._path} is refused: {info.filename[:80]!r} is encrypted, or packed in an odd way"
                )
            if info.file_size > max(_SMALL, _RATIO * info.compress_size) or (asset and info.file_size > _ASSET_BYTES):
                raise InputError(
                    f"{self._path} is refused: {info.filename[:80]!r} would unpack to {info.file_size} bytes"
                )

    def _header(self) -> Header:
        with self._zip.open(HEADER) as source:
            content = json.loads(source.read(_HEADER_BYTES))
        if content["format"] != FORMAT:
            raise InputError(f"{self._path} is no file of `vipylo export`")
        if content["version"] != VERSION:
            raise InputError(
                f"{self._path} has format version {content['version']}, this program reads {VERSION}: export it again, "
                "or use the version that wrote it"
            )
        return Header.model_validate(content)

    def _checksums(self) -> dict[str, str]:
        sums: dict[str, str] = {}
        with self._zip.open(CHECKSUMS) as source:
            while text := Entry(source).readline():
                row = json.loads(text)
                sums[str(row["name"])] = str(row["sha256"])
        if sums.keys() != set(self._zip.namelist()) - {CHECKSUMS}:
            raise InputError(f"{self._path} is damaged: its checksums are of other entries")
        return sums

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()


class Entry:
    """An entry that is read piece by piece, with the checksum of what was read so far."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes; fewer only at the end."""
        piece = self._source.read(size)
        self._digest.update(piece)
        return piece

    def readline(self) -> bytes:
        """The next line; b"" at the end."""
        piece = self._source.readline(_LINE_BYTES)
        if len(piece) == _LINE_BYTES:
            raise InputError(f"a line is longer than {_LINE_BYTES >> 20} MB")
        self._digest.update(piece)
        return piece


def line(value: Any) -> bytes:
    """A JSON value as a line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
