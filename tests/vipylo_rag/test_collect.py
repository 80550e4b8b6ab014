"""Backup and gc: copies that open, and leftovers that go while all that is needed stays."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from embedder import ColPaLiQwenEmbedder
from tests.tiny_qwen import write_tiny_checkpoint
from vipylo_rag import IndexDirectoryError, MultimodalIndex
from vipylo_rag.cli import app
from vipylo_rag.manifest import FILE_NAME, Manifest, RetiredStore, StoreRecord


def test_a_backup_is_an_index(filled: MultimodalIndex, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    hits = [(hit.id, hit.score) for hit in filled.search("hợp đồng thuê nhà")]
    filled.backup(tmp_path / "copies" / "one")
    with pytest.raises(IndexDirectoryError, match="exists already"):
        filled.backup(tmp_path / "copies" / "one")
    with pytest.raises(IndexDirectoryError, match="inside the index"):
        filled.backup(filled.directory / "backup")
    assert [(hit.id, hit.score) for hit in filled.search("hợp đồng thuê nhà")] == hits
    filled.close()
    shutil.rmtree(filled.directory)
    assert [entry.name for entry in (tmp_path / "copies").iterdir()] == ["one"]
    with MultimodalIndex.open(tmp_path / "copies" / "one", embedder=tiny_embedder, create=False) as copy:
        assert [(hit.id, hit.score) for hit in copy.search("hợp đồng thuê nhà")] == hits
        assert all(hit.image is not None for hit in copy.search("hợp đồng", where={"kind": "pdf"}))
        assert copy.ingest([row.source for row in copy.sources()]).pages_embedded == 0
        found = copy.collect()
        assert (found.assets, found.scraps, found.lost, found.unknown) == ([], [], [], [])


def leave_scraps(index: MultimodalIndex) -> list[str]:
    """What runs that were killed may leave; gives the names."""
    (index.assets / "ab").mkdir(exist_ok=True)
    orphan, words, part = (f"ab/{'ab' * 32}.jpeg", f"ab/{'ab' * 32}.words.json", "ab/tmpq8x.part")
    for name in (orphan, words, part):
        (index.assets / name).write_bytes(b"12345")
    for folder in ("work/tmp1", "store-0123456789ab", ".store.abc/store", ".store-0123456789ab.xyz/store"):
        (index.directory / folder).mkdir(parents=True)
        (index.directory / folder / "file").write_bytes(b"12345")
    (index.directory / f".{FILE_NAME}.part").write_bytes(b"12345")
    return sorted([orphan, words, part])


def test_scraps_go_and_nothing_else(filled: MultimodalIndex) -> None:
    files = {file for file in filled.directory.rglob("*") if file.is_file()}
    orphans = leave_scraps(filled)
    expected = [".manifest.json.part", ".store-0123456789ab.xyz", ".store.abc", "store-0123456789ab", "work/tmp1"]
    planned = filled.collect(dry_run=True)
    assert (planned.assets, planned.scraps, planned.freed_bytes) == (orphans, expected, 40)
    assert all((filled.assets / name).exists() for name in orphans)
    found = filled.collect()
    assert (found.assets, found.scraps, found.freed_bytes) == (orphans, expected, 40)
    assert {file for file in filled.directory.rglob("*") if file.is_file()} - {filled.directory / "writer.lock"} == (
        files - {filled.directory / "writer.lock"}
    )
    assert filled.collect().freed_bytes == 0


def test_what_disagrees_is_found_and_the_next_ingest_heals_it(filled: MultimodalIndex) -> None:
    sources = [row.source for row in filled.sources()]
    before = {point.id: dict(point.payload) for point in filled.store.scroll()}
    picture, vector, row = [page for page in filled.pages() if page.payload["kind"] == "pdf"][:3]
    (filled.assets / picture.payload["asset"]).unlink()
    filled.store.delete([vector.id])
    filled.ledger.delete_pages(row.payload["source"], [row.payload["page"]])
    found = filled.collect()
    place = [("", page.payload["source"], page.payload["page"]) for page in (picture, vector, row)]
    assert (sorted(found.lost), found.unknown) == (sorted(place[:2]), [place[2]])
    assert found.assets == []  # the picture of a page that only the store knows is shown: it stays
    report = filled.ingest(sources)
    assert report.pages_embedded == 3
    assert {point.id: dict(point.payload) for point in filled.store.scroll()} == before
    healed = filled.collect()
    assert (healed.assets, healed.lost, healed.unknown) == ([], [], [])


def test_points_of_a_source_that_nobody_knows_go_with_the_next_prune(filled: MultimodalIndex, tmp_path: Path) -> None:
    (page,) = [page for page in filled.pages() if page.payload["name"] == "red.png"]
    folder = Path(page.payload["source"]).parent
    filled.ledger.delete_source(page.payload["source"])
    found = filled.collect()
    assert found.unknown == [("", page.payload["source"], 1)]
    (folder / "blue.txt").write_text("something else")
    Path(page.payload["source"]).rename(tmp_path / "gone.png")
    try:
        filled.ingest(folder, prune=True)
    finally:
        (tmp_path / "gone.png").rename(page.payload["source"])  # other tests share these documents
        (folder / "blue.txt").unlink()
    assert not [p for p in filled.pages() if p.payload["name"] == "red.png"]


def test_a_store_that_was_replaced_goes_with_the_next_start(
    filled: MultimodalIndex, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    """A reindexing that was killed between its switch and the removal."""
    filled.close()
    old = filled.directory / "store-00000000000a"
    shutil.copytree(filled.directory / "store", old)
    retired = RetiredStore(store=StoreRecord(folder=old.name), dim=1024)
    filled.manifest.model_copy(update={"retired": (retired,)}).write(filled.directory)
    with MultimodalIndex.open(filled.directory, embedder=tiny_embedder) as again:
        assert not old.exists()
        assert again.manifest.retired == ()
    assert Manifest.read(filled.directory).retired == ()


def test_one_writer_at_a_time(filled: MultimodalIndex, tmp_path: Path) -> None:
    hold = "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(1); sys.stdin.read()"
    command = [sys.executable, "-u", "-c", hold]
    lock = filled.directory / "writer.lock"
    with subprocess.Popen([*command, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        for write in (
            filled.collect,
            lambda: filled.backup(tmp_path / "copy"),
            lambda: filled.export(tmp_path / "file"),
            filled.reindex,
            lambda: filled.ingest(Path(__file__)),
        ):
            with pytest.raises(IndexDirectoryError, match="being written by another process: wait for it"):
                write()
        other.communicate()
    assert not list(tmp_path.glob("copy*")) + list(tmp_path.glob("file"))
    with FileLock(lock, timeout=0):
        pass


def test_the_commands(filled: MultimodalIndex, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = filled.store.count()
    filled.close()
    other = write_tiny_checkpoint(tmp_path / "other", seed=3)

    def run(*arguments: object) -> str:
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    index = filled.directory
    assert f"{pages} pages and " in run("export", tmp_path / "file.vipylo", "--index", index)
    assert "the index is at" in run("import", tmp_path / "file.vipylo", "--index", tmp_path / "imported")
    assert "the copy is at" in run("backup", tmp_path / "backup", "--index", index)
    said = run("reindex", "--embedder", other, "--device", "cpu", "--quantization", "int8", "--index", index)
    assert said.startswith(f"{pages} pages: {pages} embedded")
    assert json.loads(run("reindex", "--index", tmp_path / "imported", "--json"))["kept"] == pages
    assert "0 files without a page and 0 leftovers removed" in run("gc", "--index", index)
    (index / "assets" / "ab").mkdir(exist_ok=True)
    (index / "assets" / "ab" / "x.part").write_bytes(b"1")
    assert "1 files without a page and 0 leftovers would be removed" in run("gc", "--dry-run", "--index", index)
    assert json.loads(run("gc", "--json", "--index", index))["assets"] == ["ab/x.part"]
    assert Manifest.read(index).embedder.name == str(other)
