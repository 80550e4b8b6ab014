"""What does a 3,000-page PDF cost in memory? The peak of the whole process tree over that of the loaded model.

    python benchmarks/long_pdf.py --out long_pdf.json                # 3,000 pages, the starter
    python benchmarks/long_pdf.py --pages 300 --embedder CHECKPOINT

Generates the PDF (each page has text and a picture of its own), ingests it, and samples the resident memory of this
process and its children four times a second. Also says how soon the first page could be found by a search.
"""

import argparse
import io
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import pymupdf
from PIL import Image

from embedder.load import load_embedder
from embedder.protocol import Embedder, Sample
from vipylo_rag import IngestReport, MultimodalIndex

_MB = 2**20


@dataclass(frozen=True)
class Outcome:
    """Megabytes of resident memory of the process tree; seconds from the start of the ingest."""

    pages: int
    megabytes_before: float
    megabytes_peak: float
    seconds: float
    seconds_to_first_hit: float | None
    pages_stored_at_first_hit: int


class PeakMemory:
    """The largest resident memory of this process and all its children while the block runs, in bytes."""

    def __init__(self, every: float = 0.25) -> None:
        self.peak = self.now()
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @staticmethod
    def now() -> int:
        """Resident memory of the tree now. What processes share counts once for each of them."""
        this = psutil.Process()
        total = 0
        for process in [this, *this.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    def _watch(self) -> None:
        while not self._done.wait(self._every):
            self.peak = max(self.peak, self.now())

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, self.now())


def write_pdf(path: Path, pages: int, seed: int = 0) -> None:
    """A PDF of A6 pages, each with a line that names it, a paragraph, and a noisy picture of its own."""
    random = np.random.default_rng(seed)
    document = pymupdf.open()
    for number in range(1, pages + 1):
        page = document.new_page(width=298, height=420)
        page.insert_text((20, 40), f"Record {number:05d} of the long register", fontsize=13)
        page.insert_textbox((20, 60, 278, 200), "An entry like all others, so that the page is full. " * 8, fontsize=9)
        picture = Image.fromarray(random.integers(0, 255, (60, 80, 3), dtype=np.uint8))
        data = io.BytesIO()
        picture.save(data, "png")
        page.insert_image((60, 220, 240, 380), stream=data.getvalue())
    document.save(path)
    document.close()


def measure(embedder: Embedder, pdf: Path, pages: int, folder: Path) -> Outcome:
    """Ingest the PDF into a new index in `folder`, searching it for its first page while it is at work."""
    with MultimodalIndex.open(folder / "index", embedder=embedder) as index:
        before, begun, first = PeakMemory.now(), time.monotonic(), (None, 0)

        def look(report: IngestReport) -> None:
            nonlocal first
            if first[0] is None and report.pages_embedded:
                hits = index.search("Record 00001", mode="lexical", top_k=1)
                if hits and hits[0].page == 1:
                    first = (time.monotonic() - begun, report.pages_embedded)

        with PeakMemory() as memory:
            report = index.ingest(pdf, progress=look)
        if report.pages_embedded != pages:
            raise SystemExit(f"{report.pages_embedded} of {pages} pages were indexed: {report.failures[:3]}")
        return Outcome(pages, before / _MB, memory.peak / _MB, report.seconds, *first)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=3000)
    parser.add_argument("--embedder", default="starter", help="as `vipylo ingest --embedder`")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    embedder = load_embedder(options.embedder)
    embedder.encode_rows([Sample("warm up", (Image.new("RGB", (224, 224), "white"),))])
    with tempfile.TemporaryDirectory() as folder:
        pdf = Path(folder) / "register.pdf"
        write_pdf(pdf, options.pages)
        outcome = measure(embedder, pdf, options.pages, Path(folder))
    over = outcome.megabytes_peak - outcome.megabytes_before
    print(f"{outcome.pages} pages in {outcome.seconds:.0f} s ({outcome.pages / outcome.seconds:.1f} pages/s)")
    print(f"memory of the process tree: {outcome.megabytes_before:.0f} MB with the model, ", end="")
    print(f"{outcome.megabytes_peak:.0f} MB at its peak, {over:.0f} MB more")
    if outcome.seconds_to_first_hit is not None:
        print(
            f"page 1 found after {outcome.seconds_to_first_hit:.1f} s, with {outcome.pages_stored_at_first_hit} stored"
        )
    if options.out:
        options.out.write_text(json.dumps(asdict(outcome), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
