"""The command: `python -m examples.screenshots`."""

import argparse
import json
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
    if not documents.exists():
        build(documents)
    if not index.exists():
        with MultimodalIndex.open(index) as made:
            made.ingest(documents)
    taken = take(index, documents, arguments.out)
    for one in taken:
        sys.stdout.write(f"{one.file} ({one.file.stat().st_size // 1000} kB)\n")
    words = {one.file.stem: one.words for one in taken}
    file = arguments.out / "interface.json"
    file.write_text(json.dumps(words, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
