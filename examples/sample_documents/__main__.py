"""`python -m examples.sample_documents OUTDIR`."""

import argparse
import time
from pathlib import Path

from . import DOCUMENTS, QUERIES, build, queries_folder


def main() -> None:
    """Builds the samples and says what was written."""
    parser = argparse.ArgumentParser(prog="python -m examples.sample_documents", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="OUTDIR", help="folder for the documents, created if missing")
    folder = parser.parse_args().folder
    started = time.perf_counter()
    build(folder)
    for document in DOCUMENTS:
        print(f"{document.name:32} {document.language or '–':3} {document.pages:2} p.  {document.kind}")
    pages = sum(document.pages for document in DOCUMENTS)
    seconds = time.perf_counter() - started
    print(
        f"{len(DOCUMENTS)} documents, {pages} pages in {folder}; {len(QUERIES)} queries, pictures in "
        f"{queries_folder(folder)}; {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
