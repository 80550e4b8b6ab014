"""How fast and how exact is each store? Upserts per second, query latency and recall, measured in one run.

    python benchmarks/search.py --sizes 20000 100000 --out search.json
    python benchmarks/search.py --sizes 20000 --engines edge server --url http://localhost:6333

Compares Qdrant Edge (the embedded default), qdrant-client's local mode (what most Python projects embed) and a Qdrant
server, through this package's own stores. The vectors are synthetic: unit vectors in clusters, as embeddings of pages
are, since vectors spread evenly make every index look bad. Queries are points with noise; recall is against an exact
numpy search. The 100,000-point run needs about 2 GB of memory and 3 GB of disk.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from connectors.stores.edge import EdgeStore
from connectors.stores.filters import AnyOf
from connectors.stores.protocol import Point, VectorStore
from connectors.stores.server import ServerStore

TOP = 10
KINDS = 10  # the filtered search asks for one of so many equally frequent values
WORDS_A_PAGE = 40


@dataclass(frozen=True)
class Corpus:
    """`vectors` [n, dim] and `queries` [q, dim], float32 unit rows; `exact` [q, 10] the true nearest row numbers."""

    vectors: np.ndarray
    queries: np.ndarray
    exact: np.ndarray


@dataclass(frozen=True)
class Measurement:
    """One engine at one size. Times in milliseconds a query, recall as a share of the true 10 nearest."""

    engine: str
    points: int
    state: str
    upserts_per_s: float | None
    optimize_s: float | None
    dense_p50_ms: float
    dense_p95_ms: float
    filtered_p50_ms: float
    hybrid_p50_ms: float
    recall_at_10: float
    queries: int


def make_corpus(points: int, dim: int, queries: int, seed: int = 0) -> Corpus:
    """About 50 points a cluster, at a cosine of about 0.7 to their centre; queries at about 0.8 to a point."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(points // 50, 1), dim)).astype(np.float32)
    vectors = centres[random.integers(len(centres), size=points)]
    vectors = _unit(vectors + random.normal(size=vectors.shape).astype(np.float32))
    noise = random.normal(size=(queries, dim)).astype(np.float32) * np.float32(0.75 / np.sqrt(dim))
    asked = _unit(vectors[random.integers(points, size=queries)] + noise)
    return Corpus(vectors, asked, np.argsort(-(asked @ vectors.T), axis=1)[:, :TOP])


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_points(corpus: Corpus) -> Iterator[Point]:
    """The corpus as pages: 40 words each out of 5,000, spread as words are (Zipf)."""
    random = np.random.default_rng(1)
    for number, vector in enumerate(corpus.vectors):
        text = " ".join(f"w{word}" for word in random.zipf(1.2, size=WORDS_A_PAGE) % 5000)
        payload = {"source": f"{number // 20}.pdf", "page": number % 20 + 1, "kind": f"kind{number % KINDS}"}
        yield Point(str(uuid.UUID(int=number)), vector, text, payload)


def measure_queries(store: VectorStore, corpus: Corpus, limit: int) -> dict[str, Any]:
    """Latencies of dense, filtered dense and hybrid search, and recall of the dense one."""
    asked = corpus.queries[:limit]
    found: list[set[int]] = []
    dense = _timed(len(asked), lambda i: found.append(_numbers(store.search(asked[i], top_k=TOP, mode="dense"))))
    kind = [AnyOf("kind", (f"kind{i % KINDS}",)) for i in range(len(asked))]
    filtered = _timed(len(asked), lambda i: store.search(asked[i], top_k=TOP, where=kind[i], mode="dense"))
    hybrid = _timed(len(asked), lambda i: store.search(asked[i], f"w{i % 50 + 2} w{i + 100}", top_k=TOP))
    hits = [len(found[i] & set(corpus.exact[i].tolist())) / TOP for i in range(len(asked))]
    return {
        "dense_p50_ms": float(np.percentile(dense, 50)),
        "dense_p95_ms": float(np.percentile(dense, 95)),
        "filtered_p50_ms": float(np.percentile(filtered, 50)),
        "hybrid_p50_ms": float(np.percentile(hybrid, 50)),
        "recall_at_10": float(np.mean(hits)),
        "queries": len(asked),
    }


def _numbers(hits: Any) -> set[int]:
    return {uuid.UUID(hit.id).int for hit in hits}


def _timed(count: int, ask: Callable[[int], Any]) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for number in range(count):
        started = time.perf_counter()
        ask(number)
        times.append((time.perf_counter() - started) * 1000)
    return times


def measure_engine(engine: str, store: VectorStore, corpus: Corpus, limit: int) -> Iterator[Measurement]:
    """Fill the store, ask, optimize, ask again. Local mode has no index to build, so it is asked once."""
    points = len(corpus.vectors)
    started = time.perf_counter()
    store.upsert(make_points(corpus))
    rate = points / (time.perf_counter() - started)
    measured = measure_queries(store, corpus, limit)
    yield Measurement(engine, points, "after upsert", rate, None, **measured)
    if engine == "local":
        return
    started = time.perf_counter()
    store.optimize()
    seconds = time.perf_counter() - started
    yield Measurement(engine, points, "after optimize", None, seconds, **measure_queries(store, corpus, limit))


def open_engine(engine: str, directory: Path, dim: int, url: str | None, api_key: str | None) -> VectorStore:
    if engine == "edge":
        return EdgeStore.open(directory / "edge", dim)
    if engine == "server":
        if url is None:
            raise SystemExit("--engines server needs --url")
        return ServerStore.open(url, dim, collection=f"vipylo_benchmark_{uuid.uuid4().hex}", api_key=api_key)
    from qdrant_client import QdrantClient

    warnings.filterwarnings("ignore", message="Local mode is not recommended")
    return ServerStore.over(QdrantClient(path=str(directory / "local")), dim)


def run(options: argparse.Namespace) -> list[Measurement]:
    """Every engine at every size, each in a fresh directory."""
    measurements = []
    for size in options.sizes:
        corpus = make_corpus(size, options.dim, options.queries)
        for engine in options.engines or ["edge", "local", *(["server"] if options.url else [])]:
            limit = min(options.local_queries, options.queries) if engine == "local" else options.queries
            with tempfile.TemporaryDirectory() as directory:
                store = open_engine(engine, Path(directory), options.dim, options.url, options.api_key)
                try:
                    for measured in measure_engine(engine, store, corpus, limit):
                        print(f"{size:,} points, {engine}, {measured.state}: done", file=sys.stderr)
                        measurements.append(measured)
                finally:
                    if engine == "server" and isinstance(store, ServerStore):
                        store.drop()
                    store.close()
    return measurements


def as_table(measurements: list[Measurement]) -> Table:
    table = Table(title=f"Search: p50 and p95 in ms a query, top {TOP}")
    for name in (
        "points",
        "engine",
        "state",
        "upserts/s",
        "optimize s",
        "dense p50",
        "p95",
        "filtered p50",
        "hybrid p50",
    ):
        table.add_column(name, justify="left" if name in ("engine", "state") else "right")
    table.add_column("recall@10", justify="right")
    for m in measurements:
        table.add_row(
            f"{m.points:,}",
            m.engine,
            m.state,
            f"{m.upserts_per_s:,.0f}" if m.upserts_per_s else "",
            f"{m.optimize_s:.1f}" if m.optimize_s is not None else "",
            *(f"{ms:.2f}" for ms in (m.dense_p50_ms, m.dense_p95_ms, m.filtered_p50_ms, m.hybrid_p50_ms)),
            f"{m.recall_at_10:.3f}",
        )
    return table


def conditions() -> dict[str, Any]:
    """What a reader needs to compare with a run of their own."""
    packages = ("qdrant-edge-py", "qdrant-client", "numpy")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **{package: version(package) for package in packages},
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[20_000], help="how many points (default: 20000)")
    parser.add_argument("--engines", nargs="+", choices=["edge", "local", "server"], help="default: all that can run")
    parser.add_argument("--url", help="a Qdrant server to measure too; a collection is made there and dropped")
    parser.add_argument("--api-key", help="of that server")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--local-queries", type=int, default=30, help="at most so many for the slow local mode")
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    options = parser.parse_args(arguments)
    measurements = run(options)
    Console(width=130).print(as_table(measurements))
    if options.out:
        report = {"conditions": conditions(), "measurements": [asdict(m) for m in measurements]}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
