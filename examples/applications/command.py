"""What the applications' commands share: a folder to write to, an embedder by name, and a printed table."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from embedder import ColPaLiQwenEmbedder


@dataclass(frozen=True)
class Given:
    """The command line: where to write, and with which embedder; the folder exists."""

    folder: Path
    embedder: ColPaLiQwenEmbedder


def given(name: str, description: str) -> Given:
    """Read the command line of `python -m examples.applications.NAME [FOLDER] [--embedder CHECKPOINT]`."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.applications.{name}", description=description)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo/applications") / name)
    parser.add_argument("--embedder", default="starter", help="a checkpoint's name or directory (default: starter)")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    return Given(arguments.folder, ColPaLiQwenEmbedder.from_pretrained(arguments.embedder))


def show_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is words, the others are numbers."""
    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def against_chance(right: int, tried: int, chance: float) -> str:
    """A share with a mark: ↑ where it is more than chance explains (two standard errors), ↓ less, = at chance."""
    share = right / tried
    margin = 2 * (chance * (1 - chance) / tried) ** 0.5
    return f"{share:.0%} {'↑' if share > chance + margin else '=' if share >= chance - margin else '↓'}"
