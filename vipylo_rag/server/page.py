"""The web page: its few files, read once from the package and served by name. It knows nothing of the index."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from fastapi import APIRouter, HTTPException, Request, Response

_TYPES = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
)
# Asked again each time, answered 304 by the ETag: an upgraded server never meets an old script.
_CACHING = "no-cache"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class PageFile:
    """A file of the web page as it is sent."""

    content: bytes
    media_type: str
    etag: str


@router.get("/")
def front(request: Request) -> Response:
    """The web page itself."""
    return _sent("index.html", request)


@router.get("/static/{name:path}")
def static(name: str, request: Request) -> Response:
    """A file that the web page loads; 404 for every name that is none of them, however it is written."""
    return _sent(name, request)


def _sent(name: str, request: Request) -> Response:
    file = page_files().get(name)
    if file is None:
        raise HTTPException(404, "there is no such file; the web page is at /")
    headers = {"ETag": file.etag, "Cache-Control": _CACHING}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


@cache
def page_files() -> Mapping[str, PageFile]:
    """All files of the web page by their path below `static`. A request only looks a name up, it opens no path."""
    return MappingProxyType(dict(_read(files("vipylo_rag.server") / "static", "")))


def _read(folder: Traversable, prefix: str) -> list[tuple[str, PageFile]]:
    found: list[tuple[str, PageFile]] = []
    for entry in folder.iterdir():
        media_type = _TYPES.get(entry.name.rpartition(".")[2])
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif media_type is not None:
            content = entry.read_bytes()
            found.append(
                (prefix + entry.name, PageFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"'))
            )
    return found
