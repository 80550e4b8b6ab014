"""What an index leans on goes away in the middle of a run; and what others see of a run that is at work."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.stores.server import ServerStore
from tests.connectors.qdrant_rest import Fault, QdrantRest
from tests.vipylo_rag.conftest import write_pdf
from vipylo_rag import IndexDirectoryError, MultimodalIndex, StoreUnavailableError, pipeline


@pytest.fixture
def server() -> Iterator[QdrantRest]:
    with QdrantRest() as running:
        yield running


@pytest.fixture
def served(server: QdrantRest, tmp_path: Path, tiny_embedder: Any) -> Iterator[MultimodalIndex]:
    """An index on a server, that gives the server up after a second."""
    location = f"{server.url}/pages"
    with MultimodalIndex.open(location, directory=tmp_path / "side", embedder=tiny_embedder) as index:
        index.store.close()
        index.store = ServerStore.open(server.url, tiny_embedder.dim, collection="pages", retry_seconds=1)
        yield index


@pytest.mark.parametrize("how", [Fault(reset=True, path="/points"), Fault(status=503, path="/points")])
def test_a_server_that_goes_away_ends_the_run_and_blames_nobody(
    served: MultimodalIndex, server: QdrantRest, tmp_path: Path, monkeypatch: Any, how: Fault
) -> None:
    monkeypatch.setattr(pipeline, "BATCH_PAGES", 4)
    path = write_pdf(tmp_path / "long.pdf", [f"trang số {n}" for n in range(24)])
    gone_at: list[float] = []

    def go_away(report: Any) -> None:
        if report.pages_embedded and not gone_at:
            gone_at.append(time.monotonic())
            server.fail(how, times=1000)

    with pytest.raises(StoreUnavailableError, match="the Qdrant server at http://127"):
        served.ingest(path, progress=go_away)
    assert time.monotonic() - gone_at[0] < 30  # on a busy machine; its retries are over after a second
    assert list(served.ledger.failed_pages()) == []
    assert [row.state for row in served.sources()] == ["pending"]
    before = served.ledger.counts()["pages done"]
    assert 4 <= before < 24
    server._faults.clear()  # it is back
    report = served.resume()
    assert (report.indexed, report.failures, report.pages_unchanged) == (1, [], before)
    assert served.store.count() == 24 and served.info()["unfinished_run"] is None


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, a folder that takes no files, also from root")
def test_pictures_that_cannot_be_written_end_the_run_and_blame_nobody(index: MultimodalIndex, documents: Path) -> None:
    """As a full disk does it: each write of a picture fails, and a trial write too."""
    index.assets.rename(index.directory / "aside")
    index.assets.symlink_to("/proc/self")
    with pytest.raises(IndexDirectoryError, match=r"assets cannot be written \(.*--resume"):
        index.ingest(documents)
    assert [row.source for row in index.sources() if row.state == "failed"] == []
    assert list(index.ledger.failed_pages()) == []
    index.assets.unlink()
    (index.directory / "aside").rename(index.assets)
    report = index.resume()
    assert (report.indexed, report.failed, report.pages_embedded) == (5, 2, 11)


def test_another_thread_finds_the_first_pages_while_the_rest_is_in_work(index: MultimodalIndex, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "long.pdf", [f"trang số {n}" for n in range(48)])
    found: dict[str, int] = {}
    enough = threading.Event()

    def look() -> None:
        while not enough.wait(0.01):
            for mode in ("lexical", "dense", "hybrid"):
                if hits := index.search("trang số 3", mode=mode, top_k=100):  # type: ignore[arg-type]
                    found.setdefault(mode, len(hits))
            if len(found) == 3:
                enough.set()

    def wait(report: Any) -> None:
        if report.pages_embedded and not enough.wait(60):
            raise AssertionError("nothing is found while ingest is at work")

    searching = threading.Thread(target=look)
    searching.start()
    try:
        report = index.ingest(path, progress=wait)
    finally:
        enough.set()
        searching.join()
    assert report.pages_embedded == 48
    assert all(0 < count < 48 for count in found.values()) and len(found) == 3
