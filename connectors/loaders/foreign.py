"""Lets any LlamaIndex reader that names its suffixes serve as a loader."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import MetadataMode
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import Loader, PageFailure, described, one_line
from connectors.loaders.image import ImageLoader
from connectors.page import Page
from embedder.errors import PluginError


class ReaderLoader(Loader):
    """A third party's `BaseReader` as a loader: each document or node it gives is a page.

    The text is the node's, the image its `image_resource` (path or bytes) where it has one. JSON metadata stay.

    Args:
        reader: has `suffixes` (as ".docx") and `load_data(path)`; may have `sniff(head)`.
        name: the name it is registered by; becomes the pages' kind.

    Raises:
        PluginError: it is no reader, or names no suffixes.
    """

    def __init__(self, reader: BaseReader, name: str) -> None:
        super().__init__()
        suffixes = getattr(reader, "suffixes", None)
        if not hasattr(reader, "load_data") or not suffixes:
            raise PluginError(f"the loader {name!r} needs load_data() and a `suffixes` attribute, as ('.docx',)")
        self._reader = reader
        self._images = ImageLoader()
        self.suffixes = tuple(str(suffix).lower() for suffix in suffixes)  # type: ignore[misc]  # a class per reader is too much
        self.kind = name  # type: ignore[misc]

    def sniff(self, head: bytes) -> bool:  # type: ignore[override]
        """Ask the reader, if it can tell."""
        own = getattr(self._reader, "sniff", None)
        return bool(own(head)) if own is not None else False

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield a page for each of the reader's documents."""
        lazy = type(self._reader).lazy_load_data is not BaseReader.lazy_load_data
        nodes = self._reader.lazy_load_data(path) if lazy else self._reader.load_data(path)
        for number, node in enumerate(nodes, start=1):
            if number < first:
                continue
            try:
                yield self._page(node, source, number)
            except DocumentError as error:
                yield PageFailure(source, number, described(error))

    def _page(self, node: Any, source: str, number: int) -> Page:
        image = self._image(node, source)
        text = node.get_content(metadata_mode=MetadataMode.NONE)
        return self.make_page(source, number, text, image, _json_metadata(node.metadata))

    def _image(self, node: Any, source: str) -> Image.Image | None:
        """The node's picture, from its resource or from the older ImageNode's fields."""
        resource = getattr(node, "image_resource", None)
        path = getattr(resource, "path", None) or getattr(node, "image_path", None)
        data = getattr(resource, "data", None) or getattr(node, "image", None)
        if path:
            try:
                with Path(path).open("rb") as file:
                    return self._images.picture(file, str(path))
            except OSError as error:
                raise DocumentError(f"its picture {path} cannot be opened: {error.strerror}") from error
        if not data:
            return None
        try:
            decoded = base64.b64decode(data)
        except (ValueError, TypeError) as error:
            raise DocumentError(f"its picture is no base64: {one_line(error)}") from error
        return self._images.picture(io.BytesIO(decoded), source)


def _json_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in metadata.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            continue
        kept[key] = value
    return kept
