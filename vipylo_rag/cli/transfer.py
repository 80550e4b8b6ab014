"""`vipylo export` and `vipylo import`: a whole index in one file."""

from pathlib import Path
from typing import Annotated

import typer

from vipylo_rag.cli.counting import Bar
from vipylo_rag.cli.options import DEFAULT_INDEX, IndexOption, open_index


def export(
    file: Annotated[Path, typer.Argument(help="The file to write. It must not exist yet.", metavar="FILE")],
    index: IndexOption = DEFAULT_INDEX,
) -> None:
    """Write a whole index to one file: vectors, pages, page images. `vipylo import` reads it, into any engine."""
    with open_index(index) as opened, Bar("export", "pages and images") as bar:
        report = opened.export(file, bar.show)
    held = f"{report.pages} pages and {report.assets} files (page images, places of words)"
    print(f"{held} in {file} ({report.bytes / 1e6:.1f} MB)")


def import_(
    file: Annotated[Path, typer.Argument(help="A file of `vipylo export`.", metavar="FILE")],
    index: IndexOption = DEFAULT_INDEX,
) -> None:
    """Make an index from a file of `vipylo export`: a directory, or a collection of a server. It must be new."""
    from vipylo_rag.settings import Settings
    from vipylo_rag.transfer import import_index

    with Bar("import", "pages and images") as bar:
        folder = import_index(file, index, api_key=Settings().qdrant_api_key, progress=bar.show)
    print(f"the index is at {folder}")
