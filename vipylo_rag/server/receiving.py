"""An upload on its way in: multipart parsed as it comes, each file written to disk, limits counted all the while."""

import errno
import os
import shutil
from pathlib import Path
from typing import IO, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from embedder.errors import ViPyloError
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.upload_files import ReceivedFile, safe_file_name

FIELD: Final = "files"
REPLACE_FIELD: Final = "replace"
_WORDS: Final = {b"true": True, b"false": False}
# What boundaries and headers of the parts may add to the files themselves: so much for each.
_PART_BYTES: Final = 8192
_HEADER_BYTES: Final = 4096
# An upload must not fill the disk that the index writes to.
_LEAST_FREE_BYTES: Final = 64 * 2**20
_CHECK_ROOM_EVERY: Final = 8 * 2**20


class RefusedError(ViPyloError):
    """An upload that is not taken; `status` is HTTP's word for why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Receiving:
    """Takes the body of one request, piece by piece, in any thread but one at a time.

    Args:
        folder: a new, empty one, to write the files to by their numbers.
        content_type: the request's header.
        length: what the request says of its length; None where it does not.

    Raises:
        RefusedError: the request is no upload, or says itself that it is too large.
    """

    def __init__(self, folder: Path, content_type: str, length: int | None, options: ServerOptions) -> None:
        self._folder = folder
        self._options = options
        self._most = options.upload_bytes + _PART_BYTES * (options.upload_files + 1)
        self._received = 0
        self._checked = 0
        self._files: list[ReceivedFile] = []
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._disposition = b""
        self._name = ""
        self._open: IO[bytes] | None = None
        self._word: bytes | None = None
        self._replace = False
        self._written = 0
        self._ended = False
        if length is not None and length > self._most:
            raise self._too_large()
        kind, values = parse_options_header(content_type)
        boundary = values.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise RefusedError(415, f"send the files as multipart/form-data, each as a part named {FIELD!r}")
        self._check_room(length or 0)
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._open_part,
                    "on_part_data": self._write,
                    "on_part_end": self._close_part,
                    "on_end": self._end,
                },
                max_header_size=_HEADER_BYTES,
            )
        except FormParserError as error:
            raise RefusedError(400, "the boundary of the multipart body is too long") from error

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body.

        Raises:
            RefusedError: a limit is passed, the body is no multipart, or the disk is full.
        """
        self._received += len(piece)
        if self._received > self._most:
            raise self._too_large()
        if self._received - self._checked >= _CHECK_ROOM_EVERY:
            self._checked = self._received
            self._check_room(0)
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise RefusedError(400, "the body is no valid multipart/form-data") from error
        except OSError as error:
            raise self._unwritable(error) from error

    def files(self) -> list[ReceivedFile]:
        """The files, whole on disk, when the body has ended.

        Raises:
            RefusedError: it ended too early, or held no file.
        """
        if not self._ended:
            raise RefusedError(400, "the body ended before its last boundary: send it again")
        if not self._files:
            raise RefusedError(422, f"there is no file in the request: send each as a part named {FIELD!r}")
        return self._files

    @property
    def replace(self) -> bool:
        """Whether the files replace those of the same names."""
        return self._replace

    def close(self) -> None:
        """Close what is open. Closing twice is allowed."""
        if self._open is not None:
            self._open.close()
            self._open = None

    # What the parser finds, in its order

    def _begin(self) -> None:
        self._disposition = b""
        self._name = ""
        self._word = None

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        self._header = (b"", b"")
        if name.lower() == b"content-disposition":
            self._disposition = value

    def _open_part(self) -> None:
        _, values = parse_options_header(self._disposition)
        if values.get(b"name") == REPLACE_FIELD.encode() and b"filename" not in values:
            self._word = b""
            return
        if values.get(b"name") != FIELD.encode() or b"filename" not in values:
            raise RefusedError(
                422, f"send files only, each as a part named {FIELD!r} with a file name, and {REPLACE_FIELD!r}"
            )
        if len(self._files) >= self._options.upload_files:
            raise RefusedError(413, f"more than {self._options.upload_files:,} files in one upload: send them in parts")
        self._name = values[b"filename"].decode("utf-8", "replace")
        self._written = 0
        file = self._folder / str(len(self._files))
        self._open = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._word is not None:
            self._word += data[start:end]
            if len(self._word) > max(map(len, _WORDS)):
                raise _no_word()
            return
        assert self._open is not None
        self._written += end - start
        if self._written > self._options.file_bytes:
            name = safe_file_name(self._name)
            raise RefusedError(
                413, f"{name} is larger than the {_size(self._options.file_bytes)} that one file may have"
            )
        self._open.write(data[start:end])

    def _close_part(self) -> None:
        if self._word is not None:
            if self._word.lower() not in _WORDS:
                raise _no_word()
            self._replace = _WORDS[self._word.lower()]
            return
        assert self._open is not None
        self._open.flush()
        os.fsync(self._open.fileno())
        self.close()
        if not self._name and not self._written:  # a form whose file field was left empty
            (self._folder / str(len(self._files))).unlink()
            return
        self._files.append(ReceivedFile(name=safe_file_name(self._name), number=len(self._files), bytes=self._written))
        if sum(file.bytes for file in self._files) > self._options.upload_bytes:
            raise self._too_large()

    def _end(self) -> None:
        self._ended = True

    # Why not

    def _check_room(self, wanted: int) -> None:
        if shutil.disk_usage(self._folder).free < _LEAST_FREE_BYTES + wanted:
            raise RefusedError(503, "the server's disk is full: ask who runs it to make room")

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413,
            f"the upload is larger than the {_size(self._options.upload_bytes)} that one may have: send it in parts",
        )

    def _unwritable(self, error: OSError) -> RefusedError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return RefusedError(
            503, "the server's disk is full: ask who runs it to make room" if full else "the server cannot store files"
        )


def _no_word() -> RefusedError:
    return RefusedError(422, f"{REPLACE_FIELD!r} is either true or false")


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count:,} bytes"
