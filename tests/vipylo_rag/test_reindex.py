"""Reindexing: the old vectors serve until the new ones are complete; a stopped run is gone on with."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from connectors.stores.options import StoreOptions
from embedder import ColPaLiQwenEmbedder
from embedder.protocol import EncodedRows, Sample
from tests.connectors.qdrant_rest import QdrantRest
from tests.tiny_qwen import write_tiny_checkpoint
from tests.vipylo_rag.conftest import write_documents, write_pdf
from vipylo_rag import IndexDirectoryError, MultimodalIndex
from vipylo_rag.manifest import NEXT_NAME, Manifest
from vipylo_rag.reindex import ReindexReport


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> ColPaLiQwenEmbedder:
    """An embedder of other weights and another length."""
    path = write_tiny_checkpoint(tmp_path_factory.mktemp("other") / "tiny", seed=5, dim=256)
    return ColPaLiQwenEmbedder.from_pretrained(path, device="cpu")


@pytest.fixture
def server() -> Iterator[QdrantRest]:
    with QdrantRest() as running:
        yield running


class Counting:
    """An embedder that counts its rows and may stop after some."""

    def __init__(self, real: ColPaLiQwenEmbedder, stop_after: int = 10**9) -> None:
        self.real, self.rows, self.stop_after = real, 0, stop_after
        self.name, self.dim, self.max_tokens, self.fingerprint = real.name, real.dim, real.max_tokens, real.fingerprint
        self.encode = real.encode

    def encode_rows(self, samples: list[Sample], *, batch_size: int = 32) -> EncodedRows:
        self.rows += len(samples)
        if self.rows > self.stop_after:
            raise KeyboardInterrupt
        return self.real.encode_rows(samples, batch_size=batch_size)


def vectors(index: MultimodalIndex) -> dict[str, np.ndarray]:
    return {point.id: point.vector for point in index.store.scroll(with_vectors=True) if point.vector is not None}


def said(index: MultimodalIndex) -> list[tuple[str, dict]]:
    return [(point.id, dict(point.payload)) for point in index.store.scroll()]


def folders(index: MultimodalIndex) -> list[str]:
    return sorted(entry.name for entry in index.directory.iterdir() if entry.is_dir())


def test_the_new_index_is_as_if_made_with_the_new_embedder(
    filled: MultimodalIndex, other: ColPaLiQwenEmbedder, tmp_path: Path
) -> None:
    payloads = said(filled)
    report = filled.reindex(other, batch_pages=4)
    assert (report.pages, report.embedded, report.failures) == (len(payloads), len(payloads), [])
    assert said(filled) == payloads
    assert filled.manifest.embedder.dim == 256
    assert folders(filled) == ["assets", f"store-{other.fingerprint[:12]}"]
    hits = filled.search("hợp đồng thuê nhà")
    filled.close()
    with MultimodalIndex.open(filled.directory) as again:  # by the name in its manifest
        assert [(h.id, h.score) for h in again.search("hợp đồng thuê nhà")] == [(h.id, h.score) for h in hits]
        sources = {row.source for row in again.sources()}
        made = vectors(again)
    with MultimodalIndex.open(tmp_path / "fresh", embedder=other) as fresh:
        fresh.ingest(sorted(sources))
        assert made.keys() == vectors(fresh).keys()
        for id_, vector in vectors(fresh).items():
            np.testing.assert_allclose(made[id_], vector, atol=1e-5)


def test_a_stopped_run_is_gone_on_with(filled: MultimodalIndex, other: ColPaLiQwenEmbedder) -> None:
    before, pages = vectors(filled), filled.store.count()
    with pytest.raises(KeyboardInterrupt):
        filled.reindex(Counting(other, stop_after=6), batch_pages=2)
    assert {k: v.tolist() for k, v in vectors(filled).items()} == {k: v.tolist() for k, v in before.items()}
    embedder = filled.embedder
    filled.close()
    with MultimodalIndex.open(filled.directory, embedder=embedder) as again:
        assert len(again.search("hợp đồng")) == 10
        counted = Counting(other)
        report = again.reindex(counted, batch_pages=2)
        assert (report.kept, report.embedded, counted.rows) == (6, pages - 6, pages - 6)
        assert again.store.count() == pages


def test_what_an_ingest_changed_in_between_is_seen(
    index: MultimodalIndex, documents: Path, other: ColPaLiQwenEmbedder
) -> None:
    index.ingest(documents)
    with pytest.raises(KeyboardInterrupt):
        index.reindex(Counting(other, stop_after=8), batch_pages=2)
    write_pdf(documents / "doc0.pdf", ["another page", "hợp đồng thuê nhà số 01"])  # changed, and shorter
    (documents / "doc1.pdf").unlink()
    write_pdf(documents / "new.pdf", ["a new one"])
    index.ingest(documents, prune=True)
    payloads = said(index)
    report = index.reindex(other)
    assert report.removed + report.embedded > 0
    assert said(index) == payloads
    for point in index.store.scroll(with_vectors=True):
        asset = point.payload.get("asset")
        picture = Image.open(index.assets / asset) if asset else None
        expected = other.encode(point.payload["text"], [picture], convert_to="numpy")[0]
        np.testing.assert_allclose(point.vector, expected, atol=1e-5)


def test_searches_go_on_meanwhile(filled: MultimodalIndex, other: ColPaLiQwenEmbedder) -> None:
    before = [hit.id for hit in filled.search("hợp đồng", mode="dense")]
    stop, seen, failed = threading.Event(), [], []

    def search() -> None:
        while not stop.is_set():
            try:
                seen.append([hit.id for hit in filled.search("hợp đồng", mode="dense")])
            except Exception as error:
                failed.append(error)

    searching = threading.Thread(target=search)
    searching.start()
    filled.reindex(other, batch_pages=1)
    count = len(seen)
    stop.set()
    searching.join()
    after = [hit.id for hit in filled.search("hợp đồng", mode="dense")]
    assert not failed
    assert count > 0
    assert all(found in (before, after) for found in seen)


def test_the_same_embedder_is_copied_to_other_options(filled: MultimodalIndex) -> None:
    before = vectors(filled)
    report = filled.reindex(options=StoreOptions(quantization="int8"))
    assert (report.copied, report.embedded) == (len(before), 0)
    for id_, vector in vectors(filled).items():
        np.testing.assert_allclose(vector, before[id_], atol=1e-6)
    assert filled.manifest.store.options.quantization == "int8"
    assert filled.store.options.quantization == "int8"
    assert filled.reindex().kept == len(before)  # nothing to change
    assert len([name for name in folders(filled) if name.startswith("store")]) == 1


def test_pages_that_cannot_be_embedded_stop_the_switch(filled: MultimodalIndex, other: ColPaLiQwenEmbedder) -> None:
    pages = filled.store.count()
    (lost,) = [page for page in filled.pages() if page.payload["name"] == "red.png"]
    (filled.assets / lost.payload["asset"]).unlink()
    with pytest.raises(IndexDirectoryError, match=r"1 of .*red\.png page 1.*still serve.*--skip-failed"):
        filled.reindex(other)
    assert filled.store.count() == pages
    assert filled.manifest.embedder.dim == 1024
    report = filled.reindex(other, skip_failed=True)
    assert [failure.source for failure in report.failures] == [lost.payload["source"]]
    assert filled.store.count() == pages - 1
    filled.ingest([row.source for row in filled.sources()])
    assert filled.store.count() == pages


def test_an_unfinished_one_is_not_lost_silently(
    filled: MultimodalIndex, other: ColPaLiQwenEmbedder, tmp_path: Path
) -> None:
    third = ColPaLiQwenEmbedder.from_pretrained(write_tiny_checkpoint(tmp_path / "third", seed=6), device="cpu")
    with pytest.raises(KeyboardInterrupt):
        filled.reindex(Counting(other, stop_after=4), batch_pages=2)
    with pytest.raises(IndexDirectoryError, match=r"half reindexed to .*gc --abandon"):
        filled.reindex(third)
    assert filled.collect().unfinished == other.name
    assert len(folders(filled)) == 3
    assert any("half reindexed" in scrap for scrap in filled.collect(abandon=True).scraps)
    assert folders(filled) == ["assets", "store"]
    assert not (filled.directory / NEXT_NAME).exists()
    filled.reindex(third)
    assert filled.manifest.embedder.fingerprint == third.fingerprint


def test_on_a_server_another_collection_takes_over(
    tmp_path: Path, server: QdrantRest, tiny_embedder: ColPaLiQwenEmbedder, other: ColPaLiQwenEmbedder
) -> None:
    url = f"{server.url}/docs"
    folder = tmp_path / "index"
    with MultimodalIndex.open(url, embedder=tiny_embedder, directory=folder) as index:
        index.ingest(write_documents(tmp_path / "documents"))
        payloads = said(index)
        with pytest.raises(KeyboardInterrupt):
            index.reindex(Counting(other, stop_after=4), batch_pages=2)
        # A process that searches is not disturbed by one that writes.
        with MultimodalIndex.open(url, embedder=tiny_embedder, directory=folder, create=False) as reader:
            assert len(reader.search("hợp đồng")) == 10
        assert index.reindex(other).kept == 4
        assert said(index) == payloads
    with MultimodalIndex.open(url, embedder=other, directory=folder) as index:
        assert said(index) == payloads
        assert index.store.dim == 256
    assert Manifest.read(folder).store.served_collection == f"docs-{other.fingerprint[:12]}"
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT COUNT(*) FROM pages").fetchone()[0] >= len(payloads)


def test_a_reader_on_a_server_while_another_writes(
    tmp_path: Path, server: QdrantRest, tiny_embedder: ColPaLiQwenEmbedder, documents: Path
) -> None:
    url, folder = f"{server.url}/docs", tmp_path / "index"
    found: list[int] = []
    with (
        MultimodalIndex.open(url, embedder=tiny_embedder, directory=folder) as writer,
        MultimodalIndex.open(url, embedder=tiny_embedder, directory=folder, create=False) as reader,
    ):

        def look(report: object) -> None:
            found.append(len(reader.search("hợp đồng", top_k=50)))
            with pytest.raises(IndexDirectoryError, match="being written by another process"):
                reader.ingest(documents)

        writer.ingest(documents, progress=look)
        assert len(reader.search("hợp đồng", top_k=50)) == writer.store.count() == max(found)


def test_progress_counts_to_the_end(filled: MultimodalIndex, other: ColPaLiQwenEmbedder) -> None:
    seen: list[tuple[int, int]] = []

    def note(report: ReindexReport) -> None:
        seen.append((report.settled, report.pages))

    filled.reindex(other, batch_pages=3, progress=note)
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] == filled.store.count()
