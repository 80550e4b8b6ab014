"""What goes wrong in an ingest and what it costs: pages, files, third parties' parts, the embedder, the disk."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from connectors.loaders.pool import Document, PageRead, ReaderPool
from embedder.protocol import EncodedRows
from tests.vipylo_rag.conftest import write_pdf
from vipylo_rag import IndexDirectoryError, MultimodalIndex, StoreError
from vipylo_rag.embedding import EmbedderFailedError


def test_a_damaged_stored_image_is_made_anew(index: MultimodalIndex, documents: Path) -> None:
    path = documents / "sub" / "red.png"
    index.ingest(path)
    asset = index.assets / index.pages()[0].payload["asset"]
    index.delete(path)
    asset.parent.mkdir(exist_ok=True)
    asset.write_bytes(b"")  # as a power cut may leave it
    report = index.ingest(path)
    assert "stored image was damaged" in report.failures[0].reason
    assert index.ingest(path).pages_embedded == 0  # unchanged, and failed before
    assert index.retry().pages_embedded == 1


def test_a_page_that_failed_is_tried_again_when_asked(index: MultimodalIndex, documents: Path, monkeypatch) -> None:
    path = documents / "doc0.pdf"
    kind = type(index.embedder)
    real = kind.encode_rows

    def second_fails(self: Any, samples: Any, **options: Any) -> Any:
        rows = real(self, samples, **options)
        rows.errors[1] = ValueError("bad luck")
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(kind, "encode_rows", second_fails)
        report = index.ingest(path)
    assert [(f.page, f.reason) for f in report.failures] == [(2, "bad luck")]
    kept = index.ingest(path)
    assert [(f.page, f.reason, f.attempts, f.before) for f in kept.failures] == [(2, "bad luck", 1, True)]
    assert (kept.unchanged, kept.pages_embedded) == (1, 0)
    again = index.retry(path)
    assert (again.pages_embedded, again.pages_unchanged, again.failures) == (1, 2, [])
    assert list(index.ledger.failed_pages()) == []


CRASHING_LOADER = """
import os
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

class Crashing(BaseReader):
    suffixes = (".crash",)

    def load_data(self, file, extra_info=None):
        os._exit(3)

class Greedy(BaseReader):
    suffixes = (".greedy",)

    def load_data(self, file, extra_info=None):
        return [Document(text="hello", metadata={"asset": "../../etc/passwd", "source": "elsewhere", "mood": "good"})]

class Broken(BaseReader):
    suffixes = (".broken",)

    def __init__(self):
        raise ImportError("pip install something")
"""


def test_bad_third_parties_cost_only_their_own_files(index, tmp_path: Path, install_plugin, monkeypatch) -> None:
    points = {"crash": "badparts:Crashing", "greedy": "badparts:Greedy", "broken": "badparts:Broken"}
    site = install_plugin("badparts", CRASHING_LOADER, {"vipylo_rag.loaders": points})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("a.crash", "b.greedy", "c.broken", "d.md"):
        (folder / name).write_text("words")
    report = index.ingest(folder)
    assert {Path(f.source).name: (f.page, f.reason[:40]) for f in report.failures} == {
        "a.crash": (None, "the reader process crashed"),
        "c.broken": (None, "no loader for '.broken' files; installed"),
    }
    doctor = subprocess.run(
        [Path(sys.executable).with_name("vipylo"), "doctor", "--json"], capture_output=True, text=True, check=False
    )
    assert doctor.returncode == 1 and "the loader 'broken' does not work" in doctor.stdout
    pages = {p.payload["name"]: p.payload for p in index.pages()}
    assert set(pages) == {"b.greedy", "d.md"}
    assert "asset" not in pages["b.greedy"] and pages["b.greedy"]["mood"] == "good"


HANGING_LOADER = """
import time
from connectors.loaders.base import Loader

class HangingLoader(Loader):
    suffixes = (".hang",)
    kind = "hang"

    def read(self, path, source, first):
        for number in range(first, 5):
            if number == 2:
                time.sleep(600)
            if number == 3:
                import os
                os._exit(11)
            yield self.make_page(source, number, f"page {number} of a difficult file")
"""


def test_stopping_early_does_not_wait_for_a_hang(tmp_path: Path, install_plugin, monkeypatch) -> None:
    site = install_plugin("hanging", HANGING_LOADER, {"vipylo_rag.loaders": {"hang": "hanging:HangingLoader"}})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "a.hang").write_text("x")
    events = ReaderPool(tmp_path, page_seconds=300).read([Document(tmp_path / "a.hang", "a.hang")])
    assert isinstance(next(events), PageRead)
    begun = time.monotonic()
    events.close()
    assert time.monotonic() - begun < 5


def test_a_hang_and_a_crash_cost_their_pages(index, tmp_path: Path, install_plugin, monkeypatch) -> None:
    """A page that hangs and one that kills the reader are reported; the others are indexed, within the time limit."""
    site = install_plugin("hanging", HANGING_LOADER, {"vipylo_rag.loaders": {"hang": "hanging:HangingLoader"}})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "a.hang").write_text("x")
    begun = time.monotonic()
    report = index.ingest(tmp_path / "a.hang", page_seconds=8)
    assert time.monotonic() - begun < 60
    assert {f.page: f.reason for f in report.failures} == {
        2: "took longer than 8 s",
        3: "the reader process crashed",
    }
    assert sorted(p.payload["page"] for p in index.pages()) == [1, 4]


def failing(kind: type, when: Any) -> Any:
    """`encode_rows` that raises for the whole batch when `when` says so of its samples."""
    real = kind.encode_rows  # type: ignore[attr-defined]

    def encode_rows(self: Any, samples: Any, **options: Any) -> EncodedRows:
        if error := when(samples):
            raise error
        result: EncodedRows = real(self, samples, **options)
        return result

    return encode_rows


def test_an_odd_page_costs_itself_not_its_batch(index: MultimodalIndex, documents: Path, monkeypatch: Any) -> None:
    kind = type(index.embedder)
    odd = failing(kind, lambda rows: ValueError("odd") if any("số 01" in row.text for row in rows) else None)
    monkeypatch.setattr(kind, "encode_rows", odd)
    report = index.ingest(documents / "doc0.pdf")
    assert [(f.page, f.reason) for f in report.failures] == [(2, "odd")]
    assert report.pages_embedded == 2


def test_want_of_memory_halves_the_batch(index: MultimodalIndex, tmp_path: Path, monkeypatch: Any) -> None:
    sizes: list[int] = []

    def too_many(rows: Any) -> Exception | None:
        sizes.append(len(rows))
        return RuntimeError("CUDA out of memory. Tried to allocate 2 GiB") if len(rows) > 4 else None

    monkeypatch.setattr(type(index.embedder), "encode_rows", failing(type(index.embedder), too_many))
    report = index.ingest(write_pdf(tmp_path / "long.pdf", [f"trang {n}" for n in range(32)]))
    assert (report.pages_embedded, report.failures) == (32, [])
    assert sizes[:3] == [16, 8, 4] and max(sizes[3:]) <= 8 and max(sizes[-4:]) <= 4  # learnt for the next batches


def test_a_broken_embedder_ends_the_run_and_blames_no_page(index: MultimodalIndex, documents: Path) -> None:
    kind = type(index.embedder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "encode_rows", failing(kind, lambda rows: RuntimeError("device lost")))
        with pytest.raises(EmbedderFailedError, match=r"device lost.*--resume"):
            index.ingest(documents)
    assert list(index.ledger.failed_pages()) == []
    assert index.resume().pages_embedded == 11


def test_a_store_that_breaks_ends_the_run_and_blames_no_page(index: MultimodalIndex, documents: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def broken(self: Any, points: Any) -> int:
            raise StoreError("upsert failed on the store: No space left on device")

        patch.setattr(type(index.store), "upsert", broken)
        with pytest.raises(StoreError, match="No space left"):
            index.ingest(documents)
    assert list(index.ledger.failed_pages()) == []
    assert index.resume().pages_embedded == 11


def test_a_full_ledger_ends_the_run_and_it_can_be_resumed(index: MultimodalIndex, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.md").write_text(f"ghi chú {number} " * 40, encoding="utf-8")
    database = index.ledger._db
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0] + 2}")
    with pytest.raises(IndexDirectoryError, match=r"cannot be written .*disk is full.*--resume"):
        index.ingest(folder)
    database.execute("PRAGMA max_page_count = 1000000")
    report = index.resume()
    assert (report.found, report.failed) == (40, 0)
    assert index.store.count() == 40
