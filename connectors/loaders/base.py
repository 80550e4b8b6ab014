"""What every loader is: a LlamaIndex reader whose native form is `pages()`, one page in memory at a time."""

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal

from PIL import Image

from connectors.errors import DocumentError
from connectors.page import Page, WordBox, page_node

if TYPE_CHECKING:
    from llama_index.core.readers.base import BaseReader
    from llama_index.core.schema import Node
else:
    # To import LlamaIndex takes a second and 60 MB: not in each reader process, which makes no nodes. At run time a
    # loader is a reader by its methods; `connectors.llama_index` registers it as one for `isinstance`.
    BaseReader = ABC

ImageFormat = Literal["png", "webp", "jpeg"]

# Fast settings: at ingest the encoder costs more than the renderer (PNG +47 ms a text page at the default level).
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 1},
    "webp": {"quality": 85, "method": 2},
    "jpeg": {"quality": 88},
}
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_CONTROLS = {code: None for code in range(32) if chr(code) not in "\n\t"}
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_TEXT_TABLE = {**_LIGATURES, **_CONTROLS, **_SURROGATES, 0x0C: "\n", 0x0B: "\n", 0xFEFF: None}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageFailure:
    """One page that cannot be read, while others of its document can. `number` is 1-based; `reason` is one line."""

    source: str
    number: int
    reason: str


class Loader(BaseReader):
    """Reads one kind of document into pages. A subclass sets `suffixes` and `kind` and writes `read`.

    Args:
        image_dir: where `load_data` and `lazy_load_data` write page images, named by what they show. Default: the
            user's cache directory. `pages()` writes nothing.
        image_format: how they are written; "png" loses nothing.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str] = ""

    def __init__(self, *, image_dir: Path | str | None = None, image_format: ImageFormat = "png") -> None:
        self.image_dir = Path(image_dir) if image_dir is not None else default_image_dir()
        self.image_format: ImageFormat = image_format

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether a file that begins with `head` (its first 1024 bytes) is of this kind, whatever its suffix says."""
        return False

    @abstractmethod
    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield the pages of an existing, non-empty file from number `first` on, lazily. Callers use `pages()`."""

    def pages(self, path: Path, *, source: str | None = None, first: int = 1) -> Iterator[Page | PageFailure]:
        """The document's pages in order, decoded one at a time.

        Args:
            path: the file.
            source: names the document in its pages and errors; default: `path` as given.
            first: pages with a lower number are left out, undecoded.

        Raises:
            DocumentError: the document as a whole cannot be read; its text is one line that begins with the source.
        """
        path = Path(path)
        name = str(path) if source is None else source
        try:
            _check_file(path, name)
            empty = True
            for page in self.read(path, name, first):
                empty = False
                yield page
        except DocumentError:
            raise
        except MemoryError as error:
            raise DocumentError(f"{name}: needs more memory than there is") from error
        except OSError as error:
            raise DocumentError(f"{name}: cannot be read: {error.strerror or one_line(error)}") from error
        except Exception as error:  # a broken file can make a parser raise anything; the cause stays attached
            raise DocumentError(f"{name}: cannot be read as {self.kind or 'a document'}: {described(error)}") from error
        if empty and first <= 1:
            raise DocumentError(f"{name}: has no pages")

    def lazy_load_data(  # type: ignore[override]  # a page is a Node: LlamaIndex's Document cannot hold image and text
        self, file: Path | str, extra_info: dict[str, Any] | None = None, fs: Any = None, **_: Any
    ) -> "Iterable[Node]":
        """The pages as LlamaIndex nodes, page images written to `image_dir`. Failed pages are logged and left out.

        Args:
            file: the document; with `fs` (an fsspec file system) a path there.
            extra_info: further metadata, kept out of embeddings and prompts.

        Raises:
            DocumentError: the document, or each of its pages, cannot be read; or `image_dir` cannot be written.
        """
        failure: PageFailure | None = None
        found = False
        with _local_copy(file, fs) as path:
            for page in self.pages(path, source=str(file)):
                if isinstance(page, PageFailure):
                    failure = page
                    logger.warning("%s, page %d: %s", page.source, page.number, page.reason)
                    continue
                found = True
                yield self._node(page, extra_info or {})
        if failure and not found:
            raise DocumentError(f"{failure.source}: no page can be read; page {failure.number}: {failure.reason}")

    def load_data(  # type: ignore[override]
        self, file: Path | str, extra_info: dict[str, Any] | None = None, fs: Any = None, **_: Any
    ) -> "list[Node]":
        """`lazy_load_data` as a list: what `SimpleDirectoryReader(file_extractor=...)` calls."""
        return list(self.lazy_load_data(file, extra_info, fs))

    async def alazy_load_data(self, *args: Any, **load_kwargs: Any) -> "Iterable[Node]":  # type: ignore[override]
        """`lazy_load_data`; reading begins when the pages are asked for."""
        return self.lazy_load_data(*args, **load_kwargs)

    async def aload_data(self, *args: Any, **load_kwargs: Any) -> "list[Node]":  # type: ignore[override]
        """`load_data` in a thread."""
        return await asyncio.to_thread(self.load_data, *args, **load_kwargs)

    def make_page(
        self,
        source: str,
        number: int,
        text: str = "",
        image: Image.Image | None = None,
        metadata: dict[str, Any] | None = None,
        words: tuple[WordBox, ...] = (),
    ) -> Page:
        """A page of this loader's kind, its text cleaned and its content hash taken."""
        text = clean_text(text)
        digest, picture = _digests(image, text)
        return Page(source, number, self.kind, text, image, digest, metadata or {}, words, picture)

    def _node(self, page: Page, extra_info: dict[str, Any]) -> "Node":
        image_path = None
        if page.image is not None:
            image_path = str(save_image(page.image, self.image_dir, self.image_format, page.image_sha256))
        node = page_node(page, image_path)
        added = {key: value for key, value in extra_info.items() if key not in node.metadata}
        node.metadata.update(added)
        node.excluded_embed_metadata_keys = sorted({*node.excluded_embed_metadata_keys, *added})
        node.excluded_llm_metadata_keys = sorted({*node.excluded_llm_metadata_keys, *added})
        return node


def content_digest(image: Image.Image | None, text: str) -> str:
    """Hex sha256 of what a page shows: its size, RGB pixels and text. Equal content, equal digest."""
    return _digests(image, text)[0]


def save_image(
    image: Image.Image, folder: Path, image_format: ImageFormat = "png", image_sha256: str | None = None
) -> Path:
    """Write `image` into `folder` under the hash of its pixels, unless it is there; return where it is.

    Args:
        image_sha256: that hash (`Page.image_sha256`), where it has been taken.

    Raises:
        DocumentError: the folder cannot be written.
    """
    name = image_sha256 or content_digest(image, "")
    target = folder / name[:2] / f"{name}.{image_format}"
    write_once(target, folder, lambda file: image.save(file, format=image_format, **_SAVE_OPTIONS[image_format]))
    return target


def write_once(target: Path, folder: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file named by its content below `folder`, whole or not at all, unless it is there.

    Raises:
        DocumentError: the folder cannot be written.
    """
    if target.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # pages may be private: not for other users to list
        target.parent.mkdir(exist_ok=True)
        # Written beside and moved, so that a reader or a killed run never meets half a file.
        with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as part:
            try:
                write(part)
                part.flush()
                os.fsync(part.fileno())  # a name that promises this content must not outlive a power cut without it
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
        Path(part.name).replace(target)
    except OSError as error:
        raise DocumentError(f"{folder}: cannot hold page images ({error}); give another image_dir") from error


def _digests(image: Image.Image | None, text: str) -> tuple[str, str | None]:
    """The digest of a page, and of its picture alone: the pixels, which cost the most, are read once for both."""
    shown = hashlib.sha256()
    if image is not None:
        shown.update(f"{image.width}x{image.height}\n".encode())
        shown.update(image.tobytes())
    shown.update(b"\x00")
    whole = shown.copy()
    whole.update(text.encode())
    return whole.hexdigest(), None if image is None else shown.hexdigest()


def default_image_dir() -> Path:
    """Where readers write page images unless told otherwise: "vipylo/pages" in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "vipylo" / "pages"


def clean_text(text: str) -> str:
    """`text` in NFC (PDFs often hold decomposed Vietnamese), ligatures opened, control characters dropped."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_TEXT_TABLE)
    return unicodedata.normalize("NFC", "\n".join(line.rstrip() for line in text.split("\n"))).strip()


def one_line(value: object, limit: int = 300) -> str:
    """The text of an error or object on one line, cut to `limit` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def described(error: BaseException) -> str:
    """An error in one line, with its type where the text alone says nothing."""
    text = one_line(error)
    return (
        text
        if isinstance(error, DocumentError)
        else f"{type(error).__name__}: {text}"
        if text
        else type(error).__name__
    )


def _check_file(path: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = name.encode("utf-8", "backslashreplace").decode()
        raise DocumentError(f"{shown}: the file name is no valid Unicode; rename the file") from error
    if path.is_dir():
        raise DocumentError(f"{name}: is a folder, not a document")
    if not path.exists():
        raise DocumentError(f"{name}: does not exist")
    if not path.is_file():
        raise DocumentError(f"{name}: is no regular file")
    if path.stat().st_size == 0:
        raise DocumentError(f"{name}: is empty (0 bytes)")


@contextmanager
def _local_copy(file: Path | str, fs: Any) -> Iterator[Path]:
    """`file` itself, or a temporary copy of it where it lies on another (fsspec) file system."""
    if fs is None:
        yield Path(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(file).name
        with fs.open(str(file), "rb") as remote, copy.open("wb") as local:
            shutil.copyfileobj(remote, local)
        yield copy
