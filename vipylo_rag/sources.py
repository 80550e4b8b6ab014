"""Which files there are, what they are called in an index, what they hold, and by which means they are read."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from connectors.errors import DocumentError
from connectors.loaders.registry import discover
from embedder.plugins import registered
from vipylo_rag.manifest import is_index

MEMBER_MARK = "!/"
# Loader options that are never written down.
_SECRET = frozenset({"password", "passwords", "api_key", "token"})
_PROGRAMS = ("soffice", "libreoffice", "tesseract")


@dataclass(frozen=True)
class FileFacts:
    """A file's content: hex sha256 of its bytes ("" for what is no regular file), and how many they are."""

    sha256: str
    bytes: int


def find_files(paths: Sequence[Path]) -> list[Path]:
    """All files at and below `paths`, each once (also when reached by a link), in order; indexes are left out.

    Raises:
        DocumentError: a path does not exist, or there is no file at all.
    """
    files = list({source_name(file): file for file in discover(paths, skip=is_index)}.values())
    if not files:
        raise DocumentError(f"nothing to ingest: no file in {', '.join(str(path) for path in paths)}")
    return files


def source_name(file: Path) -> str:
    """The name a file is known by in the index: its absolute path, links in its folder resolved."""
    return (file.parent.resolve() / file.name).as_posix()


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
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            return FileFacts(sha256, content.tell())
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}") from error


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


def how_read(loader_options: Mapping[str, Mapping[str, Any]] | None, page_seconds: float) -> str:
    """Digest of all that decides whether reading a file again could end differently than the last time.

    These are the options, the time a page may take, this package's version, the installed loaders and the programs
    that they call. Of passwords there are 16 bits of a slow hash: enough to notice another one, too little to find it.
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
    means = {
        "options": {loader: given for loader, given in options.items() if given},
        "secrets": hidden if secrets else "",
        "page_seconds": page_seconds,
        "version": version("vipylo-rag"),
        "loaders": sorted(f"{name}={point.value}" for name, point in registered("loaders").items()),
        "programs": [name for name in _PROGRAMS if shutil.which(name)],
    }
    return hashlib.sha256(json.dumps(means, sort_keys=True).encode()).hexdigest()[:16]
