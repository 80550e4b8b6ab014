"""Entries of zip files, by their directory or, where that is lost, by the headers before each member.

Content is inflated here and not by `zipfile`, which hands its bzip2 and LZMA decoders no limit: 4 KB can be 4 GB.
"""

import bz2
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from connectors.loaders.archive_entry import CHUNK, ArchiveEntry, DamagedArchiveError
from connectors.loaders.archive_names import decoded_name, name_encoding

_LOCAL_MARK, _DIRECTORY_MARK, _END_MARK, _END64_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06"
_DESCRIPTOR_MARK = b"PK\x07\x08"
_UNICODE_PATH = 0x7075
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 0x1, 0x8, 0x800
_MOST_DIRECTORY = 256 << 20
_MOST_PASSED_OVER = 16 << 20
_RAW = 1 << 16
_METHODS = {9: "deflate64", 93: "zstd", 95: "xz", 98: "PPMd", 99: "AES encryption"}
_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zip_entries(path: Path, most_entries: int, passwords: Sequence[str] = ()) -> Iterator[ArchiveEntry]:
    """The entries of a zip file in the order in which they lie in it.

    Raises:
        DamagedArchiveError: it cannot be read (on): no zip file, overlapping members, a directory of far too many.
    """
    with path.open("rb") as file:
        try:
            _check_directory(file, most_entries)
            archive = zipfile.ZipFile(file)
        except DamagedArchiveError:
            raise
        except Exception as error:  # zipfile.BadZipFile, struct.error, NotImplementedError, ValueError ...
            yield from _salvaged(file, str(error))
            return
        with archive:
            infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
            raw_names = {id(info): _raw_name(info) for info in infos}
            encoding = name_encoding(b"/".join(name for info in infos if (name := raw_names[id(info)])))
            for place, info in enumerate(infos):
                # Members that share bytes: how 42 KB are made to hold gigabytes without nesting.
                end = info.header_offset + 30 + len(raw_names[id(info)] or b"") + info.compress_size
                if place + 1 < len(infos) and end > infos[place + 1].header_offset:
                    raise DamagedArchiveError("its members overlap: a zip bomb?")
                yield _entry(archive, file, info, raw_names[id(info)], encoding, passwords)


def zip_names(path: Path) -> list[str]:
    """The names in a zip file, undecoded where no encoding is known; what a damaged one's headers still tell.

    Raises:
        DamagedArchiveError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            _check_directory(file, 1_000_000)
            with zipfile.ZipFile(file) as archive:
                return archive.namelist()
        except DamagedArchiveError:
            raise
        except Exception:
            file.seek(0)
            return [head[1].decode("cp437") for head in _local_heads(file.read(_RAW))]


def _check_directory(file: BinaryIO, most_entries: int) -> None:
    """Refuse a directory that would need much memory: `zipfile` reads all of it, whatever the count at the end says."""
    size = file.seek(0, 2)
    start = max(0, size - 65_557)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) < at + 22:
        return
    directory = struct.unpack_from("<L", tail, at + 12)[0]
    wide = tail.rfind(_END64_MARK, 0, at)
    if wide >= 0 and len(tail) >= wide + 48:
        directory = max(directory, struct.unpack_from("<Q", tail, wide + 40)[0])
    if min(directory, size) > _MOST_DIRECTORY:
        raise DamagedArchiveError(f"its directory takes {directory / 1e6:,.0f} MB")
    file.seek(max(0, start + at - directory - 128))
    if file.read(directory + 128).count(_DIRECTORY_MARK) > 3 * most_entries:
        raise DamagedArchiveError(f"it has more than {3 * most_entries:,} members")


def _raw_name(info: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a name whose encoding is not known; None where the archive says that it is UTF-8."""
    return None if info.flag_bits & _UTF8 else info.orig_filename.encode("cp437", "replace")


def _entry(
    archive: zipfile.ZipFile,
    file: BinaryIO,
    info: zipfile.ZipInfo,
    raw_name: bytes | None,
    encoding: str,
    passwords: Sequence[str],
) -> ArchiveEntry:
    name = info.orig_filename if raw_name is None else _unicode_path(info.extra) or decoded_name(raw_name, encoding)
    if name.replace("\\", "/").endswith("/"):
        return ArchiveEntry(name="")
    problem = None
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        problem = "is a link; links in archives are not followed"
    elif info.compress_type not in _READ_METHODS:
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        problem = f"is stored with {method}, which is not read here; unpack the archive with another tool"
    elif info.flag_bits & _ENCRYPTED:
        problem = None if passwords else "is encrypted; give the password of the archive, or unpack it"
    if problem:
        chunks: Iterator[bytes] = iter(())
    elif info.flag_bits & _ENCRYPTED:
        chunks = _decrypted(archive, info, passwords)
    else:
        chunks = _content(file, info)
    return ArchiveEntry(name, chunks, info.file_size, info.compress_size, problem)


def _unicode_path(extra: bytes) -> str | None:
    """The UTF-8 name that Info-ZIP writes beside one in a legacy encoding."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _UNICODE_PATH and length > 5:
            return extra[at + 9 : at + 4 + length].decode("utf-8", "replace")
        at += 4 + length
    return None


def _decrypted(archive: zipfile.ZipFile, info: zipfile.ZipInfo, passwords: Sequence[str]) -> Iterator[bytes]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DamagedArchiveError("is encrypted and stored with bzip2 or LZMA, which is not read here")
    keys = [password.encode() for password in passwords if _fits(archive, info, password.encode())]
    if not keys:
        raise DamagedArchiveError("is encrypted with another password")
    # Of 256 wrong passwords one fits: where several do, only reading to the checksum tells which is right.
    key = next((key for key in keys[:-1] if _reads(archive, info, key)), keys[-1])
    with archive.open(info, pwd=key) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _fits(archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: bytes) -> bool:
    try:
        archive.open(info, pwd=key).close()
    except RuntimeError:
        return False
    return True


def _reads(archive: zipfile.ZipFile, info: zipfile.ZipInfo, key: bytes) -> bool:
    try:
        with archive.open(info, pwd=key) as stream:
            while stream.read(CHUNK):
                pass
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False
    return True


def _content(file: BinaryIO, info: zipfile.ZipInfo) -> Iterator[bytes]:
    file.seek(info.header_offset)
    head = file.read(30)
    if len(head) < 30 or head[:4] != _LOCAL_MARK:
        raise DamagedArchiveError("is not where the archive's directory says")
    start = info.header_offset + 30 + sum(struct.unpack_from("<HH", head, 26))
    inflater = _Inflater(file, start, info.compress_size, info.compress_type, info.file_size)
    yield from inflater.chunks()
    if inflater.crc != info.CRC or inflater.size != info.file_size:
        raise DamagedArchiveError("is damaged (its checksum is wrong)")


class _Inflater:
    """Inflates one member piece by piece. `crc`, `size` and `used` (packed bytes) hold once all pieces were read."""

    def __init__(self, file: BinaryIO, start: int, packed: int | None, method: int, size: int | None) -> None:
        self._file, self._start, self._packed, self._method, self._size = file, start, packed, method, size
        self.crc = self.size = self.used = 0

    def chunks(self) -> Iterator[bytes]:
        for chunk in self._inflated():
            self.crc, self.size = zlib.crc32(chunk, self.crc), self.size + len(chunk)
            if self._size is not None and self.size > self._size:
                raise DamagedArchiveError("inflates to more than it says")
            if chunk:
                yield chunk

    def _raw(self) -> bytes:
        """The next packed bytes; seeks first, as the caller may read other members from the same file between."""
        count = _RAW if self._packed is None else min(_RAW, self._packed - self.used)
        self._file.seek(self._start + self.used)
        data = self._file.read(count)
        if count and not data:
            raise DamagedArchiveError("is cut off")
        self.used += len(data)
        return data

    def _inflated(self) -> Iterator[bytes]:
        if self._method == zipfile.ZIP_STORED:
            while data := self._raw():
                yield data
        elif self._method == zipfile.ZIP_DEFLATED:
            yield from self._deflated()
        else:
            yield from self._limited()

    def _deflated(self) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while not inflater.eof:
            if data := inflater.unconsumed_tail or self._raw():
                yield inflater.decompress(data, CHUNK)
                continue
            yield inflater.flush()  # all was taken in: at most a window's worth is still to come out
            if not inflater.eof:
                raise DamagedArchiveError("is cut off")
        self.used -= len(inflater.unused_data)

    def _limited(self) -> Iterator[bytes]:
        inflater = bz2.BZ2Decompressor() if self._method == zipfile.ZIP_BZIP2 else self._lzma()
        while not inflater.eof and self.size != self._size:  # LZMA in a zip need not mark its end
            data = self._raw() if inflater.needs_input else b""
            if inflater.needs_input and not data:
                raise DamagedArchiveError("is cut off")
            yield inflater.decompress(data, CHUNK)

    def _lzma(self) -> lzma.LZMADecompressor:
        self._file.seek(self._start)
        head = self._file.read(9)  # version, length of the properties (always 5), the properties
        if len(head) < 9:
            raise DamagedArchiveError("is cut off")
        self.used = 9
        rest, lc = divmod(head[4], 9)
        pb, lp = divmod(rest, 5)
        dictionary = int.from_bytes(head[5:9], "little")
        filters = [{"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": dictionary}]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)


def _local_heads(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(place, name) of the members whose headers are in `data`."""
    at = data.find(_LOCAL_MARK)
    while 0 <= at <= len(data) - 30:
        length = struct.unpack_from("<H", data, at + 26)[0]
        yield at, data[at + 30 : at + 30 + length]
        at = data.find(_LOCAL_MARK, at + 4)


def _salvaged(file: BinaryIO, reason: str) -> Iterator[ArchiveEntry]:
    """The entries of a file whose directory is lost (a download cut off), by walking from header to header."""
    at, found = 0, False
    while True:
        file.seek(at)
        head = file.read(30)
        if len(head) < 30 or head[:4] != _LOCAL_MARK:
            break
        found = True
        flags, method = struct.unpack_from("<HH", head, 6)
        crc, packed, size = struct.unpack_from("<3L", head, 14)
        name_length, extra_length = struct.unpack_from("<HH", head, 26)
        name, extra = file.read(name_length), file.read(extra_length)
        shown = name.decode("utf-8", "replace") if flags & _UTF8 else _unicode_path(extra) or decoded_name(name)
        start = at + 30 + name_length + extra_length
        streamed = bool(flags & _SIZES_FOLLOW) and not packed
        if flags & _ENCRYPTED or 0xFFFFFFFF in (packed, size) or (streamed and method != zipfile.ZIP_DEFLATED):
            break
        if shown.replace("\\", "/").endswith("/"):
            at = start + packed
            continue
        inflater = _Inflater(file, start, None if streamed else packed, method, None if streamed else size)
        if method not in _READ_METHODS:
            yield ArchiveEntry(shown, problem=f"is stored with method {method}, which is not read here")
        else:
            yield ArchiveEntry(shown, _checked(inflater, None if streamed else crc), None if streamed else size, packed)
        if streamed and not inflater.used:  # passed over by the caller; where it ends shows only by inflating it
            for _ in inflater.chunks():
                if inflater.size > _MOST_PASSED_OVER:
                    break
        at = start + (inflater.used if streamed else packed)
        if streamed:
            file.seek(at)
            at += 16 if file.read(4) == _DESCRIPTOR_MARK else 12
    raise DamagedArchiveError(f"is damaged or cut off ({reason})" if found else f"is no zip file ({reason})")


def _checked(inflater: _Inflater, crc: int | None) -> Iterator[bytes]:
    yield from inflater.chunks()
    if crc is not None and inflater.crc != crc:
        raise DamagedArchiveError("is damaged (its checksum is wrong)")
