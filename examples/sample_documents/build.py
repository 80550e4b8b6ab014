"""Builds the folder of sample documents and, beside it, the pictures that the demo asks with."""

from pathlib import Path

from .catalog import DOCUMENTS
from .query_pictures import write_query_pictures


def queries_folder(folder: Path) -> Path:
    """Where the query pictures go: beside the documents, so that they are not ingested."""
    return folder.with_name(folder.name + "_queries")


def build(folder: Path) -> list[Path]:
    """Writes all sample documents and query pictures; files already there are overwritten.

    Args:
        folder: Where the documents go; created if missing.

    Returns:
        The documents' paths, in the order of the catalog.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = queries_folder(folder)
    pictures.mkdir(parents=True, exist_ok=True)
    paths = [folder / document.name for document in DOCUMENTS]
    for document, path in zip(DOCUMENTS, paths, strict=True):
        document.write(path)
    write_query_pictures(folder, pictures)
    return paths
