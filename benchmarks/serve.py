"""What does the server hold up under? One search at a time, then 200 at the same time, over real HTTP.

    python benchmarks/serve.py --index my-index --out serve.json

Starts `vipylo serve` as a process of its own and asks it with different texts, taken from the pages themselves. First
one request after the other: the time of a single request. Then rounds in which `--concurrent` clients, each with a
connection that is kept open, all send one request at the same moment; a round's latencies count from that moment. Tells
p50 and p95, their ratio to a single request, searches per second, and the server's memory after each round. Clients
share the machine's cores with the server.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from vipylo_rag import MultimodalIndex

TOP = 10
_STOP_SECONDS = 60
_SERVE = "import sys; from vipylo_rag.cli import main; sys.argv.insert(1, 'serve'); main()"


@dataclass(frozen=True)
class Round:
    """So many requests at the same time. Milliseconds; `memory_mb` is the server's resident memory afterwards."""

    concurrent: int
    errors: int
    p50_ms: float
    p95_ms: float
    searches_per_s: float
    memory_mb: float


@dataclass(frozen=True)
class Report:
    """All that was measured; `ratio` is the median round's p95 over the median single request."""

    conditions: dict[str, Any]
    pages: int
    single_ms: float
    single_p95_ms: float
    rounds: list[Round]
    p95_ms: float
    ratio: float
    memory_growth_mb: float


class Client:
    """One connection that is kept open: as little work as possible, since it runs on the server's cores."""

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str) -> int:
        """The status of an answer that was read whole."""
        if self._reader is None or self._writer is None or self._reader.at_eof():  # servers close what is idle
            await self.close()
            self._reader, self._writer = await asyncio.open_connection(
                self._place.hostname, self._place.port, limit=2**20
            )
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._place.netloc}\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await self._reader.readexactly(int(length[1]) if length else 0)
        return int(head[9:12])

    async def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()


def questions(index: Path, seed: int = 0) -> tuple[int, Iterator[str]]:
    """How many pages there are, and endlessly many different texts: some words of a page, and a number."""
    with MultimodalIndex.open(index, create=False) as opened:
        texts = [text.split() for page in opened.pages() if (text := page.payload["text"]).strip()]
        pages = opened.store.count()
    if not texts:
        raise SystemExit(f"{index} has no page with text to ask for")
    return pages, _drawn(texts, np.random.default_rng(seed))


def _drawn(texts: list[list[str]], random: np.random.Generator) -> Iterator[str]:
    number = 0
    while True:
        words = texts[random.integers(len(texts))]
        start = int(random.integers(max(1, len(words) - 5)))
        number += 1
        yield " ".join(words[start : start + int(random.integers(3, 7))])[:120] + f" {number}"


@contextmanager
def serving(index: Path, options: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    """The server's address and process, until the block ends."""
    command = [sys.executable, "-c", _SERVE, "--index", str(index), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.match(r"(http://\S+)", server.stdout.readline())
            if found is None:
                raise SystemExit("the server did not start")
            yield found[1], psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(_STOP_SECONDS)


async def measure(url: str, server: psutil.Process, asked: Iterator[str], options: argparse.Namespace) -> list[Any]:
    """Milliseconds of single requests, then the rounds."""

    def path() -> str:
        return f"/api/search?top_k={TOP}&mode={options.mode}&text={quote(next(asked))}"

    alone = Client(url)
    for _ in range(options.warm_up):
        await alone.get(path())
    single = []
    for _ in range(options.single):
        asking = path()
        begun = time.perf_counter()
        assert await alone.get(asking) == 200
        single.append((time.perf_counter() - begun) * 1000)
    await alone.close()
    clients = [Client(url) for _ in range(options.concurrent)]
    rounds = []
    for _ in range(options.rounds):
        await asyncio.gather(*(client.get("/healthz") for client in clients))  # all are connected
        rounds.append(await _round(clients, [path() for _ in clients], server))
    for client in clients:
        await client.close()
    return [single, rounds]


async def _round(clients: list[Client], paths: list[str], server: psutil.Process) -> Round:
    begun = time.perf_counter()

    async def ask(client: Client, path: str) -> tuple[int, float]:
        return await client.get(path), (time.perf_counter() - begun) * 1000

    answers = await asyncio.gather(*(ask(client, path) for client, path in zip(clients, paths, strict=True)))
    seconds = time.perf_counter() - begun
    times = [ms for _, ms in answers]
    return Round(
        concurrent=len(clients),
        errors=sum(status != 200 for status, _ in answers),
        p50_ms=float(np.percentile(times, 50)),
        p95_ms=float(np.percentile(times, 95)),
        searches_per_s=len(clients) / seconds,
        memory_mb=server.memory_info().rss / 1e6,
    )


def run(options: argparse.Namespace) -> Report:
    """Start, ask, stop."""
    pages, asked = questions(options.index)
    extra = [*(["--embedder", options.embedder] if options.embedder else []), *options.serve]
    with serving(options.index, extra) as (url, server):
        single, rounds = asyncio.run(measure(url, server, asked, options))
    p95 = float(np.median([one.p95_ms for one in rounds]))
    middle = float(np.median(single))
    return Report(
        conditions=conditions(),
        pages=pages,
        single_ms=middle,
        single_p95_ms=float(np.percentile(single, 95)),
        rounds=rounds,
        p95_ms=p95,
        ratio=p95 / middle,
        # The first rounds fill caches that are bounded; what grows after them does not end.
        memory_growth_mb=rounds[-1].memory_mb - rounds[len(rounds) // 3].memory_mb,
    )


def as_table(report: Report) -> Table:
    table = Table(
        title=f"{report.pages:,} pages; one search: {report.single_ms:.1f} ms (p95 {report.single_p95_ms:.1f} ms)",
        caption=f"p95 is {report.ratio:.1f} x a single search; memory grew by {report.memory_growth_mb:.1f} MB",
    )
    for name in ("at a time", "errors", "p50 ms", "p95 ms", "searches/s", "memory MB"):
        table.add_column(name, justify="right")
    for one in report.rounds:
        table.add_row(
            str(one.concurrent),
            str(one.errors),
            f"{one.p50_ms:.0f}",
            f"{one.p95_ms:.0f}",
            f"{one.searches_per_s:.0f}",
            f"{one.memory_mb:.0f}",
        )
    return table


def conditions() -> dict[str, Any]:
    """What a reader needs to compare with a run of their own."""
    packages = ("torch", "fastapi", "uvicorn", "qdrant-edge-py")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **{package: version(package) for package in packages},
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True, help="an index with pages of text")
    parser.add_argument("--embedder", help="the index's, if it has moved")
    parser.add_argument("--concurrent", type=int, default=200, help="requests at the same time (default: 200)")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--single", type=int, default=100, help="requests one after the other (default: 100)")
    parser.add_argument("--warm-up", type=int, default=50)
    parser.add_argument("--mode", choices=["hybrid", "dense", "lexical"], default="hybrid")
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    parser.add_argument("serve", nargs="*", help="after --: more options for `vipylo serve`")
    options = parser.parse_args(arguments)
    report = run(options)
    Console(width=100).print(as_table(report))
    if options.out:
        options.out.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
