"""Which files there are, what they are called in an index, what they hold, and by which means they are read."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from connectors.errors import DocumentError
from connectors.loaders.registry import discover
from embedder.plugins import registered
from vipylo_rag.manifest import is_index

MEMBER_MARK = "!/"
# Loader options that are never written down.
_SECRET = frozenset({"password", "passwords", "api_key", "token"})
# The class of a DICOMDIR, as the head of the file names it.
_DICOMDIR = b"1.2.840.10008.1.3.10"
_HEAD_BYTES = 1024
_PROGRAMS = ("soffice", "libreoffice", "tesseract")


@dataclass(frozen=True)
class FileFacts:
    """A file's content: hex sha256 of its bytes ("" for what is no regular file), and how many they are.

    `modified` is the time that the file bore then, in nanoseconds since 1970.
    """

    sha256: str
    bytes: int
    modified: int = field(default=0, compare=False)


def find_files(paths: Sequence[Path]) -> list[Path]:
    """All files at and below `paths`, each once (also when reached by a link), in order.

    Indexes are left out, and so are DICOMDIR files unless named themselves: they only list the images beside them.

    Raises:
        DocumentError: a path does not exist, or there is no file at all.
    """
    named = {source_name(path) for path in paths}
    found = {source_name(file): file for file in discover(paths, skip=is_index)}
    files = [
        file
        for name, file in found.items()
        if not (file.is_symlink() and file.resolve().as_posix() in found)
        and (name in named or not lists_images(file, file.name))
    ]
    if not files:
        raise DocumentError(f"nothing to ingest: no file in {', '.join(str(path) for path in paths)}")
    return files


def lists_images(file: Path, name: str) -> bool:
    """Whether a file, called `name`, is the table of contents of a DICOM medium, with nothing to see in it."""
    if PurePosixPath(name).name.upper() != "DICOMDIR":
        return False
    try:
        with file.open("rb") as content:
            head = content.read(_HEAD_BYTES)
    except OSError:
        return False
    return head[128:132] == b"DICM" and _DICOMDIR in head


def source_name(file: Path) -> str:
    """The name a file is known by in the index: its absolute path, links in its folder resolved."""
    return (file.parent.resolve() / file.name).as_posix()


def shown_name(source: str) -> str:
    """A source's name as it can be written down: file names may hold bytes that are no text."""
    return source.encode("utf-8", "backslashreplace").decode()


def member_name(archive: str, name: str) -> str:
    """The name of what came out of a file, by that file's source and its own name inside."""
    return f"{archive}{MEMBER_MARK}{name}"


def file_facts(file: Path) -> FileFacts:
    """Hash a file, in blocks.

    Raises:
        DocumentError: it cannot be read; the text says why.
    """
    try:
        if not file.is_file():
            return FileFacts("", 0)  # the reader says what is wrong with it
        with file.open("rb") as content:
            modified = os.fstat(content.fileno()).st_mtime_ns
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            return FileFacts(sha256, content.tell(), modified)
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}") from error


def has_changed(file: Path, facts: FileFacts) -> bool:
    """Whether a file's content is another one than when it was hashed; one that is gone or locked by now was as read.

    A new time alone is no change: then the content is hashed again.
    """
    try:
        now = file.stat()
        if (now.st_size, now.st_mtime_ns) == (facts.bytes, facts.modified):
            return False
        return file_facts(file).sha256 not in ("", facts.sha256)
    except (OSError, DocumentError):
        return False


def is_gone(file: str) -> bool:
    """Whether a file is certainly no longer there. One in a folder that may not be entered is not certainly gone."""
    try:
        Path(file).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def without_secrets(loader_options: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]]:
    """Loader options that may be written down: all but passwords and the like."""
    return {
        loader: {name: value for name, value in options.items() if name not in _SECRET}
        for loader, options in (loader_options or {}).items()
    }


def how_read(
    loader_options: Mapping[str, Mapping[str, Any]] | None, page_seconds: float, most_pages: int | None = None
) -> str:
    """Digest of all that decides whether reading a file again could end differently than the last time.

    These are the options, the time a page may take, the most pages, this package's version, the installed loaders and
    the programs that they call. Of passwords there are 16 bits of a slow hash: enough to notice another one, too little
    to find it.
    """
    options = without_secrets(loader_options)
    secrets = [
        [loader, name, value]
        for loader, given in sorted((loader_options or {}).items())
        for name, value in sorted(given.items())
        if name in _SECRET
    ]
    hidden = (
        hashlib.pbkdf2_hmac("sha256", json.dumps(secrets).encode(), b"vipylo", 100_000)[:2].hex() if secrets else ""
    )
    means: dict[str, Any] = {
        "options": {loader: given for loader, given in options.items() if given},
        "secrets": hidden if secrets else "",
        "page_seconds": page_seconds,
        "version": version("vipylo-rag"),
        "loaders": sorted(f"{name}={point.value}" for name, point in registered("loaders").items()),
        "programs": [name for name in _PROGRAMS if shutil.which(name)],
    }
    if most_pages is not None:
        means["most_pages"] = most_pages
    return hashlib.sha256(json.dumps(means, sort_keys=True).encode()).hexdigest()[:16]
