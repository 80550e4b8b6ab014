"""Our loaders for `SimpleDirectoryReader`: each suffix that an installed loader reads, with that loader."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_index.core.readers.base import BaseReader

from connectors.loaders.base import Loader
from connectors.loaders.registry import LoaderRegistry

# A loader has a reader's methods without importing LlamaIndex, which reader processes do not need.
BaseReader.register(Loader)  # type: ignore[type-abstract]


def file_extractor(
    *, image_dir: Path | str | None = None, options: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, BaseReader]:
    """Suffix -> reader, for `SimpleDirectoryReader(folder, file_extractor=file_extractor())`.

    Each page becomes a node with text and image, as at ingest; the stock readers give text without images. What
    `SimpleDirectoryReader` adds about a file (path, dates) stays out of embeddings and prompts.

    Args:
        image_dir: where page images are written; default: the user's cache directory.
        options: constructor arguments by loader name, such as {"pdf": {"password": "..."}}.

    Raises:
        InputError: `options` name an unknown loader, or do not fit.
    """
    registry = LoaderRegistry(options)
    readers: dict[str, BaseReader] = {}
    for name, suffixes in registry.suffixes.items():
        loader = registry.make(name)
        if image_dir is not None:
            loader.image_dir = Path(image_dir)
        for suffix in suffixes:
            readers.setdefault(suffix, loader)
    return readers
