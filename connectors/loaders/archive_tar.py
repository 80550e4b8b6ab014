"""Entries of tar files, packed or not, and of single packed files."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from connectors.loaders.archive_entry import CHUNK, ArchiveEntry, DamagedArchiveError
from connectors.loaders.archive_names import decoded_name

_BLOCK = 512
# Long names and extended headers are read whole by tarfile; no honest one is near this.
_MOST_AT_ONCE = 16 << 20
_GZIP, _BZIP2, _XZ = b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00"
_KINDS = {
    tarfile.SYMTYPE: "a link; links in archives are not followed",
    tarfile.LNKTYPE: "a link; links in archives are not followed",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


def is_packed(head: bytes) -> bool:
    """Whether a file that begins with `head` is packed by gzip, bzip2 or xz."""
    return head.startswith((_GZIP, _XZ)) or (head.startswith(_BZIP2) and head[4:10] == b"1AY&SY")


def is_tar(head: bytes) -> bool:
    """Whether `head` (512 bytes) is the header of a tar's first member: its checksum fits."""
    if len(head) < _BLOCK or not any(head):
        return False
    try:
        stated = int(head[148:156].strip(b" \x00") or b"0", 8)
    except ValueError:
        return False
    return stated == sum(head[:148]) + sum(head[156:_BLOCK]) + 8 * 32


def tar_entries(path: Path, name: str, most: int) -> Iterator[ArchiveEntry]:
    """The entries of a tar, or the one file that a .gz, .bz2 or .xz holds.

    Args:
        name: what the archive is called; a single file is called so without the last suffix.
        most: bytes that may be unpacked from it in all, those of members passed over too.

    Raises:
        DamagedArchiveError: it cannot be read (on), or holds more.
    """
    with path.open("rb") as file:
        stream = _unpacked(file)
        try:
            head = stream.read(_BLOCK)
            stream.seek(0)
        except Exception as error:
            raise DamagedArchiveError(f"is damaged or cut off ({error})") from error
        if is_tar(head):
            yield from _walked(_Metered(stream, most))
        else:
            yield ArchiveEntry(_single_name(name), _chunks(stream), packed=path.stat().st_size)


def _single_name(name: str) -> str:
    last = PurePosixPath(name).name
    stem = PurePosixPath(last).stem
    return stem if stem != last else f"{last}.unpacked"


def _unpacked(file: BinaryIO) -> BinaryIO:
    head = file.read(10)
    file.seek(0)
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
    if head.startswith(_BZIP2):
        return cast(BinaryIO, bz2.BZ2File(file))
    return cast(BinaryIO, lzma.LZMAFile(file)) if head.startswith(_XZ) else file


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _walked(stream: "_Metered") -> Iterator[ArchiveEntry]:
    try:
        tar = tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    except tarfile.TarError as error:
        raise DamagedArchiveError(f"is damaged ({error})") from error
    with tar:
        while True:
            try:
                info = tar.next()
            except DamagedArchiveError:
                raise
            except Exception as error:  # TarError, EOFError, zlib.error, LZMAError, OSError, ValueError ...
                raise DamagedArchiveError(f"is damaged or cut off ({error})") from error
            if info is None:
                break
            tar.members.clear()  # type: ignore[attr-defined]  # or it keeps every header it has met
            if info.isdir():
                yield ArchiveEntry(name="")
                continue
            name = decoded_name(info.name.encode("utf-8", "surrogateescape"))
            if not info.isreg():
                yield ArchiveEntry(name, problem=f"is {_KINDS.get(info.type, 'no regular file')}")
                continue
            yield ArchiveEntry(name, _member(tar, info), info.size)
        # tarfile ends silently at a header that is broken.
        stream.seek(tar.offset)
        if any(stream.read(_BLOCK)):
            raise DamagedArchiveError("is damaged")


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    content = tar.extractfile(info)
    if content is None:
        raise DamagedArchiveError("is no regular file")
    left = info.size
    while chunk := content.read(CHUNK):
        left -= len(chunk)
        yield chunk
    if left:
        raise DamagedArchiveError("is cut off")


class _Metered(io.RawIOBase):
    """A readable stream that refuses to go on beyond `most` bytes, or to give very many of them at once."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream, self._most = stream, most

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _MOST_AT_ONCE:
            raise DamagedArchiveError("is damaged (an endless header)")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 0 or offset < 0:
            raise DamagedArchiveError("is damaged (a member before the archive's start)")
        self._check(offset)
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def _check(self, end: int) -> None:
        if end > self._most + _MOST_AT_ONCE:
            raise DamagedArchiveError(f"unpacks to over {self._most / 1e6:,.0f} MB: a bomb?")
