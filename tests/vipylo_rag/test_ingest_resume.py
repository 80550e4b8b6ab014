"""Runs that are killed or stopped, and two that want to write at a time."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests import prepared
from tests.vipylo_rag.conftest import assert_same, snapshot, write_pdf
from vipylo_rag import IndexDirectoryError, InputError, MultimodalIndex, pipeline
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.embedding import EmbeddingStation
from vipylo_rag.ledger import Ledger, SourceRow
from vipylo_rag.sources import source_name

OWNERS = {"store": (EmbeddingStation, "_put"), "ledger": (Ledger, "put_pages"), "close": (Bookkeeping, "close")}


def killed_at(where: str, stop: int, directory: Path, checkpoint: Path, documents: Path) -> None:
    """Ingest in batches of two pages; at call `stop + 1` of a step, the process kills itself."""
    pipeline.BATCH_PAGES = 2
    owner, name = OWNERS[where]
    original, calls = getattr(owner, name), itertools.count(1)

    def die(self: Any, *arguments: Any) -> Any:
        if next(calls) > stop:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments)

    setattr(owner, name, die)
    with MultimodalIndex.open(directory, embedder=str(checkpoint)) as index:
        index.ingest(documents)


@pytest.mark.slow
@pytest.mark.parametrize(("where", "stop"), [("store", 3), ("ledger", 1), ("ledger", 3), ("close", 2)])
def test_a_killed_run_resumes_to_the_same_index(
    index, documents: Path, tmp_path: Path, tiny_checkpoint: Path, tiny_embedder, where: str, stop: int
) -> None:
    """SIGKILL between the steps: before storing, between store and ledger, and while a source is closed."""
    index.ingest(documents)
    victim = tmp_path / "victim"
    said = tmp_path / "said"
    killed = prepared.start(killed_at, where, stop, victim, tiny_checkpoint, documents, output=said)
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL, said.read_text()
    with MultimodalIndex.open(victim, embedder=tiny_embedder) as resumed:
        assert any(row.state == "pending" for row in resumed.sources())
        resumed.ingest(documents)
        assert_same(snapshot(resumed), snapshot(index))
        assert {r.source: r.state for r in resumed.sources()} == {r.source: r.state for r in index.sources()}
        assert resumed.ledger.counts() == index.ledger.counts()
        assert resumed.ledger.assets() == index.ledger.assets()


def test_a_file_that_shrinks_after_a_kill_leaves_no_orphans(index: MultimodalIndex, tmp_path: Path) -> None:
    """Pages that a killed run stored, but that the ledger never saw, go when the source is read again."""
    path = write_pdf(tmp_path / "a.pdf", [f"trang {n}" for n in range(4)])
    index.ingest(path)
    source = source_name(path)
    index.ledger.delete_pages(source, range(1, 5))  # as if killed between store and ledger
    index.ledger.put_source(SourceRow("", source, "", 0, "pending"))
    write_pdf(path, ["chỉ một trang"])
    index.ingest(path)
    assert [p.payload["text"] for p in index.pages()] == ["chỉ một trang"]
    index.ledger.delete_pages(source, [1])
    index.ledger.put_source(SourceRow("", source, "", 0, "pending"))
    assert index.delete(path) == 1
    assert index.store.count() == 0


def test_a_second_writer_is_refused(index: MultimodalIndex, documents: Path) -> None:
    with (
        FileLock(index.directory / "writer.lock"),
        pytest.raises(IndexDirectoryError, match="being written by another process"),
    ):
        index.ingest(documents)


def test_a_stopped_run_is_resumed_with_its_options(index: MultimodalIndex, documents: Path) -> None:
    with pytest.raises(InputError, match="no unfinished run to resume"):
        index.resume()

    def stop(report: Any) -> None:
        if report.settled:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.ingest(documents, tenant="an", progress=stop, loader_options={"pdf": {"password": "geheim"}})
    noted = index.ledger.unfinished_run()
    assert noted is not None and noted.tenant == "an" and "geheim" not in json.dumps(dict(noted.options))
    assert b"geheim" not in (index.directory / "ledger.sqlite").read_bytes()
    report = index.resume()
    assert (report.found, len(index.pages(tenant="an")), index.pages()) == (7, 11, [])
    with pytest.raises(InputError, match="no unfinished run to resume"):
        index.resume()


def test_first_pages_are_found_while_the_rest_is_in_work(index: MultimodalIndex, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "long.pdf", [f"trang số {n}" for n in range(80)])
    found: dict[int, int] = {}

    def look(report: Any) -> None:
        if report.pages_embedded and report.pages_embedded not in found:
            found[report.pages_embedded] = len(index.search("trang số 3", mode="lexical", top_k=200))

    report = index.ingest(path, progress=look)
    assert report.pages_embedded == 80
    assert min(found) < 80 and found[min(found)] >= min(found)


@pytest.mark.slow
def test_a_second_ingest_is_refused_and_the_first_ends_well(index: MultimodalIndex, documents: Path) -> None:
    """Two processes on one index: exit code 2 and one line for the second, nothing for the first."""
    vipylo = str(Path(sys.executable).with_name("vipylo"))
    place = ["--index", str(index.directory)]
    seen: list[subprocess.CompletedProcess[str]] = []

    def meanwhile(report: Any) -> None:
        if not seen:
            for command in (["ingest", str(documents)], ["status", "--json"]):
                done = subprocess.run(
                    [vipylo, *command, *place], capture_output=True, text=True, timeout=200, check=False
                )
                seen.append(done)

    report = index.ingest(documents, progress=meanwhile)
    second, status = seen
    assert second.returncode == 2 and second.stdout == ""
    assert [line[:6] for line in second.stderr.splitlines() if line.strip()] == ["error:"]
    assert "another process" in second.stderr
    assert status.returncode == 0 and isinstance(json.loads(status.stdout), list)  # who only looks is not refused
    assert (report.pages_embedded, report.failed, index.store.count()) == (11, 2, 11)
