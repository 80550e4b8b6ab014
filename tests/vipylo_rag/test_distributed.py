"""Ingest over a local Ray cluster with two workers: the same index, the same books as on one machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import StoreError
from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.connectors.qdrant_rest import Fault, QdrantRest
from tests.vipylo_rag.conftest import write_pdf, write_picture
from tests.vipylo_rag.test_ingest import assert_same, snapshot
from vipylo_rag import MultimodalIndex
from vipylo_rag.cluster import Cluster

ray = pytest.importorskip("ray", reason="needs the extra `ray`")
pytest.importorskip("ray.data", reason="needs the extra `ray`")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

TWO = Cluster(readers=1, embedders=2)
# Where nothing depends on a second one: each process of a cluster imports torch anew.
ONE = Cluster(readers=1, embedders=1)


@pytest.fixture(scope="module")
def qdrant() -> Iterator[QdrantRest]:
    with QdrantRest() as server:
        yield server


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Started once for all tests here: it takes seconds."""
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
             object_store_memory=2**28)  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture
def opened(
    qdrant: QdrantRest, tiny_checkpoint: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[MultimodalIndex]:
    """An index on the server, in a collection of its own; its embedder is known by name, as other processes load it."""
    url = f"{qdrant.url}/{request.node.name.replace('[', '-').replace(']', '')}"
    with MultimodalIndex.open(url, embedder=str(tiny_checkpoint), directory=tmp_path / "index") as index:
        yield index


def rows(index: MultimodalIndex) -> dict[str, tuple[Any, ...]]:
    """The ledger, but for times."""
    return {
        row.source: (row.state, row.sha256, row.reason, row.attempts, pages(index, row.source))
        for row in index.sources()
    }


def pages(index: MultimodalIndex, source: str) -> list[tuple[Any, ...]]:
    known = index.ledger.pages(source).values()
    return sorted((page.page, page.state, page.digest, page.asset, page.words) for page in known)


def test_a_cluster_makes_the_index_that_one_machine_makes(
    opened: MultimodalIndex, local_ray: None, documents: Path, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    write_pdf(documents / "long.pdf", [f"trang dài số {number}" for number in range(40)])
    (documents / "twin.pdf").write_bytes((documents / "doc0.pdf").read_bytes())
    (tmp_path / "blob").write_text("một ghi chú sau một liên kết", encoding="utf-8")
    (documents / "linked.md").symlink_to(tmp_path / "blob")  # only the link's name tells the kind of file
    report = opened.ingest(documents, cluster=TWO)
    with MultimodalIndex.open(tmp_path / "local", embedder=tiny_embedder) as local:
        alone = local.ingest(documents)
        assert_same(snapshot(opened), snapshot(local))
        assert rows(opened) == rows(local)
    counts = ("found", "indexed", "copied", "failed", "pages_embedded", "pages_copied")
    assert [getattr(report, name) for name in counts] == [getattr(alone, name) for name in counts]
    assert (report.pages_embedded, report.copied) == (52, 1)
    assert {(f.source, f.page, f.reason) for f in report.failures} == {
        (f.source, f.page, f.reason) for f in alone.failures
    }
    hits = opened.search("trang dài số 7", mode="lexical", top_k=1)
    assert hits[0].page == 8 and hits[0].image is not None

    # The second run embeds nothing, and does not even ask the cluster.
    again = opened.ingest(documents, cluster=ONE)
    assert (again.unchanged, again.pages_embedded) == (report.indexed + report.copied, 0)

    # A changed page alone is embedded; pages that went are deleted.
    write_pdf(documents / "doc1.pdf", ["labour contract số 10", "một trang mới"])
    changed = opened.ingest(documents, cluster=ONE)
    assert (changed.indexed, changed.pages_embedded, changed.pages_unchanged, changed.pages_deleted) == (1, 1, 1, 1)
    assert {p.payload["text"] for p in opened.pages({"name": "doc1.pdf"})} == {"labour contract số 10", "một trang mới"}


def test_a_server_that_refuses_ends_the_run_and_the_next_goes_on(
    opened: MultimodalIndex, local_ray: None, qdrant: QdrantRest, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        write_picture(folder / f"{number}.png", colour)
    qdrant.fail(Fault(status=401, path="/points"), times=2)  # the batch, and its first page alone
    with pytest.raises(StoreError, match="refused the API key") as raised:
        opened.ingest(folder, cluster=ONE)
    assert "Traceback" not in str(raised.value)
    assert qdrant.unmet == 0
    assert {row.state for row in opened.sources()} == {"pending"}
    assert not any(opened.ledger.pages(row.source) for row in opened.sources())
    report = opened.resume(cluster=ONE)
    assert (report.indexed, report.pages_embedded, report.failed) == (3, 3, 0)


def test_the_command(qdrant: QdrantRest, tiny_checkpoint: Path, documents: Path, tmp_path: Path) -> None:
    """A process of its own that starts Ray itself, and stops it."""
    done = subprocess.run(
        [sys.executable, "-c", "from vipylo_rag.cli import main; main()", "ingest", str(documents), "--ray",
         "--embedders", "2", "--index", f"{qdrant.url}/command", "--embedder", str(tiny_checkpoint), "--json"],
        capture_output=True, text=True, env={**os.environ, "XDG_DATA_HOME": str(tmp_path)}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["found"], report["indexed"], report["failed"], report["pages_embedded"]) == (7, 5, 2, 11)
    assert "Traceback" not in done.stderr


def test_an_index_that_keeps_its_own_vectors_is_refused(index: MultimodalIndex, documents: Path) -> None:
    with pytest.raises(InputError, match="a cluster needs an index on a Qdrant server"):
        index.ingest(documents, cluster=TWO)
    assert index.sources() == []
