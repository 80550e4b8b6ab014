"""Files that moved, were copied, or lie in archives: what is embedded again (nothing) and what goes."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.vipylo_rag.conftest import assert_same, snapshot, write_pdf
from vipylo_rag import MultimodalIndex
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.moves import Moves
from vipylo_rag.sources import source_name


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From when it is called, nothing may be embedded."""

    def forbid(index: MultimodalIndex) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("embedded again")

        monkeypatch.setattr(type(index.embedder), "encode_rows", refuse)

    return forbid


def names(index: MultimodalIndex) -> list[tuple[str, int]]:
    return sorted((p.payload["name"], p.payload["page"]) for p in index.pages())


def test_a_moved_file_keeps_its_vectors(index: MultimodalIndex, documents: Path, unread: Any) -> None:
    index.ingest(documents)
    before = {p.payload["page"]: p for p in index.store.scroll(with_vectors=True) if p.payload["name"] == "doc0.pdf"}
    assets = sorted(index.assets.rglob("*"))
    unread(index)
    (documents / "doc0.pdf").rename(documents / "sub" / "renamed.pdf")
    report = index.ingest(documents)
    assert (report.moved, report.copied, report.pages_copied, report.unchanged) == (1, 0, 3, 4)
    after = {p.payload["page"]: p for p in index.store.scroll(with_vectors=True) if p.payload["name"] == "renamed.pdf"}
    assert index.store.count() == 11 and sorted(after) == [1, 2, 3]
    for page, point in after.items():
        assert abs(point.vector - before[page].vector).max() < 1e-6
        assert point.payload["source"] == source_name(documents / "sub" / "renamed.pdf")
        assert point.payload["asset"] == before[page].payload["asset"]
    assert sorted(index.assets.rglob("*")) == assets
    assert index.ledger.source(source_name(documents / "doc0.pdf")) is None
    assert index.search("thuê nhà số 01", mode="lexical")[0].name == "renamed.pdf"


def test_a_copy_is_stored_without_being_embedded(index: MultimodalIndex, documents: Path, unread: Any) -> None:
    index.ingest(documents)
    unread(index)
    shutil.copy(documents / "doc0.pdf", documents / "again.pdf")
    report = index.ingest(documents)
    assert (report.moved, report.copied, report.pages_copied) == (0, 1, 3)
    assert names(index).count(("doc0.pdf", 1)) == names(index).count(("again.pdf", 1)) == 1
    index.delete(documents / "doc0.pdf")
    assert all(hit.image is not None for hit in index.search("thuê nhà", mode="lexical"))  # the picture is shared


def test_equal_files_in_one_run_are_embedded_once(index: MultimodalIndex, tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", ["một", "hai"])
    for name in ("b.pdf", "c.pdf"):
        shutil.copy(tmp_path / "a.pdf", tmp_path / name)
    report = index.ingest([tmp_path / name for name in ("a.pdf", "b.pdf", "c.pdf")])
    assert (report.indexed, report.copied, report.pages_embedded, report.pages_copied) == (1, 2, 2, 4)


def test_a_renamed_folder_moves_each_file(index: MultimodalIndex, documents: Path, tmp_path: Path) -> None:
    index.ingest(documents)
    documents.rename(tmp_path / "elsewhere")
    report = index.ingest(tmp_path / "elsewhere")
    assert (report.moved, report.pages_embedded) == (5, 0)
    assert index.store.count() == 11
    assert all(str(tmp_path / "elsewhere") in row.source for row in index.sources() if row.state == "done")


@pytest.mark.parametrize("killed_at", ["_forget_pages", "finish", "delete"])
def test_a_move_killed_half_way_is_finished(
    index: MultimodalIndex, documents: Path, tmp_path: Path, tiny_embedder: Any, killed_at: str
) -> None:
    index.ingest(documents)
    (documents / "doc0.pdf").rename(documents / "moved.pdf")

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        owner = {"delete": type(index.store), "finish": Moves, "_forget_pages": Bookkeeping}[killed_at]
        patch.setattr(owner, killed_at, die)
        with pytest.raises(Killed):
            index.ingest(documents)
    report = index.ingest(documents)
    assert report.pages_embedded == 0
    with MultimodalIndex.open(tmp_path / "fresh", embedder=tiny_embedder) as fresh:
        fresh.ingest(documents)
        assert_same(snapshot(index), snapshot(fresh))
        assert {r.source: r.state for r in index.sources()} == {r.source: r.state for r in fresh.sources()}


def test_a_plan_says_what_a_run_would_do(index: MultimodalIndex, documents: Path) -> None:
    index.ingest(documents)
    (documents / "doc0.pdf").rename(documents / "moved.pdf")
    shutil.copy(documents / "doc1.pdf", documents / "copy.pdf")
    write_pdf(documents / "doc2.pdf", ["mới"])
    write_pdf(documents / "new.pdf", ["mới tinh"])
    (documents / "note.md").unlink()
    before = snapshot(index)
    planned = {Path(p.source).name: (p.action, p.detail) for p in index.plan(documents, prune=True)}
    assert planned["moved.pdf"] == ("moved", source_name(documents / "doc0.pdf"))
    assert planned["copy.pdf"] == ("copied", source_name(documents / "doc1.pdf"))
    assert planned["doc2.pdf"] == ("changed", None) and planned["new.pdf"] == ("new", None)
    assert planned["doc1.pdf"] == ("unchanged", None) and planned["note.md"] == ("gone", None)
    assert planned["broken.pdf"][0] == "failed before" and "no readable PDF" in str(planned["broken.pdf"][1])
    assert_same(snapshot(index), before)
    report = index.ingest(documents, prune=True)
    assert (report.moved, report.copied, report.indexed, report.removed) == (1, 1, 2, 1)


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_members_of_archives_are_documents(index: MultimodalIndex, tmp_path: Path, unread: Any) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pdf = write_pdf(tmp_path / "a.pdf", ["trang một", "trang hai"]).read_bytes()
    path = write_zip(folder / "all.zip", {"x/a.pdf": pdf, "b.md": b"ghi chu", "bad.pdf": b"%PDF-1.4 broken"})
    report = index.ingest(folder)
    base = source_name(path)
    assert (report.found, report.indexed, report.failed, report.pages_embedded) == (4, 3, 1, 3)
    assert {p.payload["source"] for p in index.pages()} == {f"{base}!/x/a.pdf", f"{base}!/b.md"}
    assert [f.source for f in report.failures] == [f"{base}!/bad.pdf"]
    assert not (index.directory / "work").exists()
    again = index.ingest(folder)
    assert (again.found, again.unchanged, again.failed, again.pages_embedded) == (4, 3, 1, 0)
    unread(index)
    path.rename(folder / "renamed.zip")
    moved = index.ingest(folder)
    assert (moved.moved, moved.pages_copied) == (2, 3)
    sources = {row.source for row in index.sources() if row.state == "done"}
    new = source_name(folder / "renamed.zip")
    assert sources == {new, f"{new}!/x/a.pdf", f"{new}!/b.md"}
    write_zip(folder / "renamed.zip", {"x/a.pdf": pdf})
    kept = index.ingest(folder)
    assert (kept.unchanged, kept.removed) == (1, 0) and index.store.count() == 3
    write_zip(folder / "renamed.zip", {"y/a.pdf": pdf})
    pruned = index.ingest(folder, prune=True)
    assert pruned.copied == 1 and pruned.removed >= 2
    assert {p.payload["source"] for p in index.pages()} == {f"{new}!/y/a.pdf"}
    (folder / "renamed.zip").unlink()
    write_pdf(folder / "other.pdf", ["x"]).unlink()
    (folder / "left.txt").write_text("")
    assert index.ingest(folder, prune=True).removed == 2
    assert index.store.count() == 0
