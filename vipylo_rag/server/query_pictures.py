"""A query's pictures: sent files, read by the loaders that the index reads with, in processes of their own."""

import asyncio
import queue
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from fastapi import Request, UploadFile
from PIL import Image
from starlette.exceptions import HTTPException

from connectors.errors import DocumentError
from connectors.loaders.reader_process import AbandonedError, ReaderProcess
from embedder.errors import InputError
from vipylo_rag.server.model_line import OverloadedError
from vipylo_rag.server.options import MIB, ServerOptions

_READERS = 2
_WAITING = 64
# For a reader that is just starting too: who asks with a picture waits for it.
_SECONDS = 15.0
_READER_BYTES = 2 * 2**30


class QueryPictures:
    """Reads the pictures of queries: photos and scans, and as at ingest the first page of a PDF, or a DICOM file.

    A file is written to a private folder that goes away with the query, and read by a child process whose memory and
    time are limited. Its name only says what kind of file it is.
    """

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        settings = {"image": {"max_image_pixels": options.image_pixels, "max_frames": 1}}
        self._children = [ReaderProcess(settings, _READER_BYTES) for _ in range(_READERS)]
        self._free: queue.SimpleQueue[ReaderProcess] = queue.SimpleQueue()
        for child in self._children:
            self._free.put(child)
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="picture")
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many queries wait for their pictures, or have them read."""
        return self._waiting

    async def read(self, files: Sequence[UploadFile]) -> tuple[Image.Image, ...]:
        """The pictures, in RGB. A part of a form without name and content is no picture.

        Raises:
            HTTPException: 413, a file is too long. InputError: too many files. DocumentError: one cannot be read.
            OverloadedError: too many queries with pictures wait.
        """
        sent = [file for file in files if file.filename or file.size]
        self._check(sent)
        if not sent:
            return ()
        if self._waiting >= _WAITING:
            raise OverloadedError("too many pictures wait to be read: try again later", retry_after=5)
        self._waiting += 1
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, self._all, sent)
            # The files are closed when the request ends: not before the thread is done with them.
            return await asyncio.shield(work)
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """End the readers; what they read is not finished."""
        for child in self._children:
            child.abandon()
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.stop()

    def _check(self, sent: Sequence[UploadFile]) -> None:
        if len(sent) > self._options.images:
            raise InputError(f"{len(sent)} pictures are too many: send {self._options.images} at most")
        for number, file in enumerate(sent, start=1):
            if (file.size or 0) > self._options.image_bytes:
                limit = f"{self._options.image_bytes / MIB:.3g} MiB"
                raise HTTPException(413, f"picture {number} is longer than {limit}: send a smaller one")

    def _all(self, sent: Sequence[UploadFile]) -> tuple[Image.Image, ...]:
        child = self._free.get()
        try:
            with tempfile.TemporaryDirectory(prefix="vipylo-query-") as folder:
                return tuple(_read(child, file, f"picture {n}", Path(folder)) for n, file in enumerate(sent, start=1))
        except AbandonedError:
            raise OverloadedError("the server is stopping: ask again when it is back", retry_after=5) from None
        finally:
            self._free.put(child)


async def pictures_of(request: Request) -> QueryPictures:
    """The server's reader of query pictures, as a FastAPI dependency."""
    pictures: QueryPictures = request.app.state.pictures
    return pictures


def _read(child: ReaderProcess, file: UploadFile, name: str, folder: Path) -> Image.Image:
    path = folder / f"{name}{_suffix(file.filename or '')}"
    with path.open("wb") as target:
        file.file.seek(0)
        while piece := file.file.read(MIB):
            target.write(piece)
    request = {"path": str(path), "source": name, "first": 1, "assets": str(folder / "pages")}
    answers = child.ask(request, _SECONDS)
    answer = next(answers)
    if answer["event"] == "busy":
        child.stop()
        raise DocumentError(f"{name}: is a document that would have to be converted: send a picture, or a PDF")
    if answer["event"] in ("page", "failure") and next(answers)["event"] not in ("end", "error", "died"):
        child.stop()  # it would go on with the pages behind the first
    return _picture(answer, name, folder / "pages")


def _picture(answer: dict[str, Any], name: str, folder: Path) -> Image.Image:
    if answer["event"] != "page":
        raise DocumentError(f"{name}: {answer.get('reason', 'has no page')}")
    if answer["asset"] is None:
        raise DocumentError(f"{name}: is text, not a picture")
    with Image.open(folder / answer["asset"]) as stored:
        return stored.convert("RGB")


def _suffix(name: str) -> str:
    """What a file's name says of its kind, for kinds that do not show in the content; "" for anything unusual."""
    suffix = PurePosixPath(PureWindowsPath(name).name).suffix
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 8 else ""
