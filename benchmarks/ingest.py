"""Does ingest keep the model busy? Pages per second of a whole ingest beside the bare `encode` of the same pages.

    python benchmarks/ingest.py demo/documents --out ingest.json     # what `make demo` wrote, the starter
    python benchmarks/ingest.py FOLDER --embedder CHECKPOINT --rounds 3

Each round ingests the documents into a new index, then encodes the same pages once more: pictures decoded and in
memory, the same batches, nothing else to do. The rounds alternate, so that a noisy machine disturbs both alike. The
table says where the seconds of an ingest went: the model, or waiting for readers, decoding, storing, the ledger.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from embedder.load import load_embedder
from embedder.prefixes import literal
from embedder.protocol import Embedder, Sample
from vipylo_rag import MultimodalIndex
from vipylo_rag.pipeline import BATCH_PAGES


@dataclass(frozen=True)
class Round:
    """One ingest and one bare encode of the same pages. Seconds; `stages` are the main thread's of the ingest."""

    pages: int
    ingest_seconds: float
    encode_seconds: float
    stages: dict[str, float]

    @property
    def ratio(self) -> float:
        """Ingest's rate as a share of encode's."""
        return self.encode_seconds / self.ingest_seconds


def measure(embedder: Embedder, documents: Path, workers: int | None) -> Round:
    """Ingest `documents` into a new index, then encode what it holds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MultimodalIndex.open(Path(folder) / "index", embedder=embedder) as index,
    ):
        report = index.ingest(documents, workers=workers)
        samples = [
            Sample(literal(page.payload["text"]), _picture(index.assets, page.payload.get("asset")))
            for page in sorted(index.pages(), key=lambda page: (page.payload["source"], page.payload["page"]))
        ]
        begun = time.perf_counter()
        for batch in _batches(samples, BATCH_PAGES):
            embedder.encode_rows(batch)
        return Round(len(samples), report.seconds, time.perf_counter() - begun, report.seconds_by_stage)


def _picture(assets: Path, asset: str | None) -> tuple[Image.Image, ...]:
    if asset is None:
        return ()
    with Image.open(assets / asset) as stored:
        return (stored.convert("RGB"),)


def _batches(samples: Sequence[Sample], size: int) -> Iterable[Sequence[Sample]]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


def conditions() -> dict[str, Any]:
    """What the figures depend on."""
    packages = ("torch", "pymupdf", "pillow", "qdrant-edge-py")
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _print(rounds: Sequence[Round]) -> None:
    console = Console()
    table = Table("round", "pages", "ingest pages/s", "encode pages/s", "ingest / encode")
    for number, one in enumerate(rounds, start=1):
        rates = one.pages / one.ingest_seconds, one.pages / one.encode_seconds
        table.add_row(str(number), str(one.pages), f"{rates[0]:.2f}", f"{rates[1]:.2f}", f"{one.ratio:.3f}")
    console.print(table)
    console.print(f"median: {statistics.median(one.ratio for one in rounds):.3f}")
    stages = Table("where an ingest's seconds went", "s a page", "share")
    pages, seconds = sum(one.pages for one in rounds), sum(one.ingest_seconds for one in rounds)
    spent = {stage: sum(one.stages.get(stage, 0.0) for one in rounds) for stage in rounds[0].stages}
    for stage, total in [*spent.items(), ("the rest", seconds - sum(spent.values()))]:
        stages.add_row(stage, f"{total / pages:.4f}", f"{total / seconds:.1%}")
    console.print(stages)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="a folder of documents")
    parser.add_argument("--embedder", default="starter", help="as `vipylo ingest --embedder`")
    parser.add_argument("--device", help="cpu, cuda, ...")
    parser.add_argument("--workers", type=int, help="reader processes (default: as ingest chooses)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    embedder = load_embedder(options.embedder, **({"device": options.device} if options.device else {}))
    embedder.encode_rows([Sample("warm up", (Image.new("RGB", (224, 224), "white"),))])
    rounds = [measure(embedder, options.documents, options.workers) for _ in range(options.rounds)]
    _print(rounds)
    if options.out:
        report = {"conditions": conditions(), "rounds": [{**asdict(one), "ratio": one.ratio} for one in rounds]}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
