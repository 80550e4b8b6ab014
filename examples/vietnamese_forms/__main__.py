"""`python -m examples.vietnamese_forms [FOLDER]`: forms of people who do not exist, and what they are asked."""

import argparse
from pathlib import Path

from rich.console import Console

from .run import run


def main() -> None:
    """Runs the example from the command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.vietnamese_forms", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo/forms"), help="where all is written")
    parser.add_argument("--people", type=int, default=4, help="how many; each has four forms (default 4)")
    parser.add_argument("--scans-of", type=int, default=2, help="how many of them have scans too (default 2)")
    parser.add_argument("--embedder", default="starter", help="a checkpoint's name or directory")
    given = parser.parse_args()
    run(given.folder, Console(), count=given.people, scans_of=given.scans_of, embedder=given.embedder)


if __name__ == "__main__":
    main()
