"""The command: `python -m examples.screenshots`."""

import argparse
import sys
from pathlib import Path

from examples.sample_documents import build
from examples.screenshots import __doc__ as about
from examples.screenshots.taking import take
from vipylo_rag import MultimodalIndex


def main() -> None:
    """Take all pictures; the demo's index is made first where there is none."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path("docs/images"), help="where the pictures are written")
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder of the demo")
    arguments = parser.parse_args()
    documents, index = arguments.demo / "documents", arguments.demo / "index"
    if not index.exists():
        build(documents)
        with MultimodalIndex.open(index) as made:
            made.ingest(documents)
    for path in take(index, documents, arguments.out):
        sys.stdout.write(f"{path} ({path.stat().st_size // 1000} kB)\n")


if __name__ == "__main__":
    main()
