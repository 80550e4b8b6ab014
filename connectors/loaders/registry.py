"""Finds the loader for a file, by content and then by suffix, and the files in a folder.

Importing this module is quick: loaders, and with them LlamaIndex, are imported when the first file asks for one.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.errors import DocumentError
from embedder.errors import InputError
from embedder.plugins import load_plugin, registered

if TYPE_CHECKING:
    from PIL import Image

    from connectors.loaders.base import Loader

_GROUP = "loaders"
_OURS = "connectors.loaders."
_HEAD_BYTES = 1024


class LoaderRegistry:
    """The installed loaders, each made once, with options by loader name.

    What a file *is* decides before how it is called: each loader's `sniff` is asked first, then the suffixes. In both
    rounds third parties go before ours, so that a package can replace a loader. A plain LlamaIndex reader with a
    `suffixes` attribute is a loader too.

    Args:
        options: constructor arguments by loader name, as `{"pdf": {"password": "..."}, "image": {"max_frames": 10}}`.

    Raises:
        InputError: `options` names a loader that is not installed.
    """

    def __init__(self, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._options = {name: dict(arguments) for name, arguments in (options or {}).items()}
        points = registered(_GROUP)
        self._names = sorted(points, key=lambda name: (points[name].value.startswith(_OURS), name))
        self._made: dict[str, Loader] | None = None
        self._broken: dict[str, str] = {}
        if unknown := sorted(set(self._options) - set(points)):
            raise InputError(f"options for unknown loaders: {', '.join(unknown)} (installed: {', '.join(self._names)})")

    def loader_for(self, path: Path) -> "Loader":
        """The loader that reads `path`.

        Raises:
            DocumentError: no loader reads this kind of file, or there is no such file.
        """
        path = Path(path)
        head = _head(path)
        loaders = self._loaders().values()
        for loader in loaders:
            if _sniffs(loader, head):
                return loader
        suffix = path.suffix.lower()
        for loader in loaders:
            if suffix and suffix in loader.suffixes:
                return loader
        raise DocumentError(f"{path}: {self._no_loader(suffix)}")

    def sort_out(self, paths: Iterable[Path | str]) -> Iterator[tuple[Path, "Loader | DocumentError"]]:
        """Each file that `discover` finds, with its loader or the reason why no loader reads it."""
        for path in discover(paths):
            try:
                yield path, self.loader_for(path)
            except DocumentError as error:
                yield path, error

    @property
    def suffixes(self) -> dict[str, tuple[str, ...]]:
        """The file suffixes by loader name."""
        return {name: tuple(loader.suffixes) for name, loader in self._loaders().items()}

    @property
    def broken(self) -> dict[str, str]:
        """Installed loaders that do not work, by name, with the reason."""
        self._loaders()
        return dict(self._broken)

    def _loaders(self) -> dict[str, "Loader"]:
        if self._made is None:
            made: dict[str, Loader] = {}
            for name in self._names:
                try:
                    made[name] = self.make(name)
                except Exception as error:
                    # One broken third-party package must not stop the others; files it would read name it.
                    if self._options.get(name):
                        raise
                    self._broken[name] = f"the loader {name!r} does not work: {error}"
            self._made = made
        return self._made

    def make(self, name: str) -> "Loader":
        """The loader registered as `name`, with its options.

        Raises:
            PluginError: it, or a part that its options name, cannot be imported. InputError: its options do not fit.
        """
        from connectors.loaders.base import Loader

        factory = load_plugin(_GROUP, name)
        try:
            made = factory(**self._options.get(name, {}))
        except TypeError as error:
            raise InputError(f"options of the loader {name!r}: {error}") from error
        if isinstance(made, Loader):
            return made
        from connectors.loaders.foreign import ReaderLoader  # it, and no loader of ours, needs LlamaIndex

        return ReaderLoader(made, name)

    def _no_loader(self, suffix: str) -> str:
        kind = f"{suffix!r} files" if suffix else "a file without suffix and of unknown content"
        installed = ", ".join(sorted(self._loaders()))
        broken = "".join(f"; {reason}" for reason in self._broken.values())
        return f"no loader for {kind}; installed loaders: {installed}{broken}"


@cache
def _default_registry() -> LoaderRegistry:
    return LoaderRegistry()


def loader_for(path: Path | str) -> "Loader":
    """The loader that reads `path`, with default options. For options make a `LoaderRegistry`.

    Raises:
        DocumentError: no loader reads this kind of file, or there is no such file.
    """
    return _default_registry().loader_for(Path(path))


def check_loader_options(options: Mapping[str, Mapping[str, Any]] | None) -> None:
    """Make the loaders that have options, so that a wrong one is known before any document is read.

    Raises:
        InputError: an unknown loader or option. PluginError: a part named in the options is not installed.
    """
    registry = LoaderRegistry(options)
    for name, arguments in (options or {}).items():
        if arguments:
            registry.make(name)


def first_image(path: Path | str) -> "Image.Image":
    """What a file's first page shows, as ingest would see it: how a query image is read from a path.

    Raises:
        DocumentError: the file cannot be read, or its first page has no image.
    """
    from connectors.loaders.base import PageFailure

    page = next(loader_for(path).pages(Path(path)))
    if isinstance(page, PageFailure):
        raise DocumentError(f"{path}: {page.reason}")
    if page.image is None:
        raise DocumentError(f"{path}: is text, not an image")
    return page.image


def _nothing(folder: Path) -> bool:
    return False


def discover(paths: Iterable[Path | str], skip: Callable[[Path], bool] = _nothing) -> Iterator[Path]:
    """The files at and below `paths`, folders in sorted order, each file once. Folders that `skip` names are left out.

    Hidden files and folders inside a folder are left out. Linked folders are followed, but no folder is walked twice,
    so that loops end. What is neither file nor readable folder (a broken link, a folder without permission) is yielded
    too: `loader_for` then says what is wrong with it.

    Raises:
        DocumentError: one of `paths` does not exist.
    """
    seen_files: set[str] = set()
    seen_folders: set[str] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise DocumentError(f"{path}: does not exist")
        for file in _walk(path, seen_folders, skip) if path.is_dir() else (path,):
            key = os.path.abspath(file)  # noqa: PTH100  # no resolve(): a link keeps its own name
            if key not in seen_files:
                seen_files.add(key)
                yield file


def unreadable(paths: Iterable[Path | str]) -> Iterator[tuple[Path, DocumentError]]:
    """The files at and below `paths` that no installed loader reads, with the reason."""
    for path, found in _default_registry().sort_out(paths):
        if isinstance(found, DocumentError):
            yield path, found


def _sniffs(loader: "Loader", head: bytes) -> bool:
    try:
        return loader.sniff(head)
    except Exception:  # a third party's; its suffixes still count
        return False


def _walk(folder: Path, seen: set[str], skip: Callable[[Path], bool]) -> Iterator[Path]:
    identity = os.path.realpath(folder)
    if identity in seen or skip(folder):
        return
    seen.add(identity)
    try:
        # Real entries before linked folders: what lies here is named by where it lies, not by a link to it.
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_symlink() and entry.is_dir(), entry.name))
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen, skip)
        else:
            yield entry


def _head(path: Path) -> bytes:
    if path.is_dir():
        readable = os.access(path, os.R_OK | os.X_OK)
        raise DocumentError(
            f"{path}: is a folder" + ("" if readable else " that cannot be listed; check its permissions")
        )
    if not path.exists():
        raise DocumentError(f"{path}: does not exist" + (" (a broken link)" if path.is_symlink() else ""))
    if not path.is_file():
        raise DocumentError(f"{path}: is no regular file")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise DocumentError(f"{path}: cannot be opened: {error.strerror}") from error
