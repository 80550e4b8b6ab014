"""What the tests of uploads do over and over: send files, wait until they are read, look at what lies on disk."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pymupdf

from vipylo_rag import MultimodalIndex
from vipylo_rag.places import RECEIVING, WAITING
from vipylo_rag.server.upload_files import UploadFiles

Sent = tuple[str, bytes]


def pdf(*texts: str) -> bytes:
    """A real PDF with one text a page."""
    with pymupdf.open() as document:
        for text in texts:
            document.new_page(width=200, height=200).insert_text((20, 40), text)
        made: bytes = document.tobytes()
    return made


def send(client: httpx.Client, *files: Sent, **more: Any) -> httpx.Response:
    """One upload."""
    return client.post("/api/documents", files=[("files", file) for file in files], **more)


def wait_until_done(client: httpx.Client, upload: str, seconds: float = 60, **more: Any) -> dict[str, Any]:
    """The upload when it is read."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = client.get(f"/api/uploads/{upload}", **more)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        if said["state"] == "done":
            return said
        time.sleep(0.05)
    raise AssertionError(f"the upload is not read after {seconds:g} s: {said}")


def sent_and_read(client: httpx.Client, *files: Sent, **more: Any) -> list[dict[str, Any]]:
    """What became of the files of one upload."""
    answer = send(client, *files, **more)
    assert answer.status_code == 202, answer.text
    more.pop("data", None)
    read: list[dict[str, Any]] = wait_until_done(client, answer.json()["id"], **more)["files"]
    return read


def listed(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """The documents, newest first."""
    answer = client.get("/api/documents", params=query)
    assert answer.status_code == 200, answer.text
    documents: list[dict[str, Any]] = answer.json()["documents"]
    return documents


def on_disk(index: MultimodalIndex, tenant: str = "") -> list[str]:
    """The names of a tenant's uploaded files."""
    home = UploadFiles(index.directory).home(tenant)
    return sorted(file.name for file in home.iterdir()) if home.is_dir() else []


def left_over(index: MultimodalIndex) -> list[Path]:
    """What lies where files are received and wait: nothing, when all is read."""
    folder = UploadFiles(index.directory).folder
    return [entry for name in (RECEIVING, WAITING) for entry in (folder / name).iterdir()]


def multipart(parts: Iterable[tuple[bytes, bytes]], boundary: bytes = b"xyz") -> bytes:
    """A body of parts, each of a Content-Disposition and a content, byte by byte as given."""
    body = b"".join(
        b"--" + boundary + b"\r\nContent-Disposition: " + said + b"\r\n\r\n" + content + b"\r\n"
        for said, content in parts
    )
    return body + b"--" + boundary + b"--\r\n"


MULTIPART = {"Content-Type": "multipart/form-data; boundary=xyz"}
