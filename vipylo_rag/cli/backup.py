"""`vipylo backup`: copy an index."""

from pathlib import Path
from typing import Annotated

import typer

from vipylo_rag.cli.options import DEFAULT_INDEX, IndexOption, open_index


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to make. It must not exist yet.", metavar="DIR")],
    index: IndexOption = DEFAULT_INDEX,
) -> None:
    """Copy an index to a folder that is an index itself; also of an index on a server, which the copy does not need."""
    with open_index(index) as opened:
        opened.backup(folder)
    print(f"the copy is at {folder}: search it with --index {folder}")
