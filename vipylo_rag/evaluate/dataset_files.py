"""The text files of a data set, plain or gzipped: regular files inside its folder, read line by line within bounds."""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from embedder.errors import InputError

PACKED: Final = ".gz"
MOST_LINE_BYTES: Final = 16 * 2**20
# A file's lines all together, unpacked: the largest public corpora have some 20 GiB.
MOST_FILE_BYTES: Final = 32 * 2**30
# Text packs to a tenth; what packs far better, and is large, is there to fill a disk or a day.
_MOST_PACKED: Final = 100
_ANY_RATIO_BYTES: Final = 2**30


def text_lines(file: Path, inside: Path | None = None, most_bytes: int = MOST_FILE_BYTES) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers, without those that are blank; one named *.gz is unpacked.

    Args:
        inside: the folder that the file has to lie in, also where it is a link. None: anywhere, as the user names it.
        most_bytes: all lines together, unpacked. A packed file may be 100 times its size, or 1 GiB.

    Raises:
        InputError: there is no such file, it lies elsewhere, it is no regular file (a pipe would be waited for, a
            device never ends), or it or a line of it is too long, or no UTF-8.
    """
    read = number = 0
    try:
        if inside is not None and not file.resolve().is_relative_to(inside.resolve()):
            raise InputError(f"{file}: is a link that leads out of the data set's folder: copy the file there")
        with _opened(file) as (lines, size):
            packed = file.name.endswith(PACKED)
            most = min(most_bytes, max(_ANY_RATIO_BYTES, _MOST_PACKED * size)) if packed else most_bytes
            while line := lines.readline(MOST_LINE_BYTES + 1):
                number, read = number + 1, read + len(line)
                if len(line) > MOST_LINE_BYTES:
                    raise InputError(f"{file}:{number}: the line is longer than {MOST_LINE_BYTES // 2**20} MiB")
                if read > most:
                    raise InputError(
                        f"{file}:{number}: the file holds more than {most / 2**30:.3g} GiB{' unpacked' * packed}"
                    )
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise InputError(f"{file}:{number}: is no UTF-8: {error.reason}") from error
                if text.strip():
                    yield number, text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file}: is no gzip file, or a damaged one ({error})") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself, before Python 3.13
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], int]]:
    """A regular file, unpacked where it is packed, and its size on the disk."""
    # Not blocking: opening a pipe that nobody writes to would wait for ever.
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise InputError(f"{file}: is no regular file")
    with os.fdopen(handle, "rb") as raw:
        if file.name.endswith(PACKED):
            with gzip.open(raw) as unpacked:
                yield cast(IO[bytes], unpacked), facts.st_size
        else:
            yield raw, facts.st_size
