"""Nothing is lost and nothing doubled: files that change, vanish or have two names, and pages that come and go."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.loaders.pool import PageRead
from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.test_tenants import Letters
from vipylo_rag import DocumentError, MultimodalIndex, ingest, removal
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.report import IngestReport
from vipylo_rag.sources import FileFacts, file_facts, find_files, has_changed, source_name


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[MultimodalIndex]:
    """An index whose embedder needs no model."""
    with MultimodalIndex.open(tmp_path / "index", embedder=Letters()) as opened:
        yield opened


def texts(index: MultimodalIndex) -> dict[int, str]:
    return {p.payload["page"]: p.payload["text"] for p in index.pages()}


def written_after_hashing(monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    """Somebody writes a file between its being hashed and its being read."""
    real = ingest.file_facts

    def facts(file: Path) -> FileFacts:
        before = real(file)
        write(file)
        return before

    monkeypatch.setattr(ingest, "file_facts", facts)


def test_a_file_written_to_while_it_is_read_is_read_again(index: MultimodalIndex, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["một", "hai", "ba"])
    with pytest.MonkeyPatch.context() as patch:
        written_after_hashing(patch, lambda file: write_pdf(file, ["bốn", "năm"]))
        report = index.ingest(path)
    assert [f.reason for f in report.failures] == ["changed while it was being read; the next run reads it again"]
    assert (report.found, report.failed) == (1, 1)
    again = index.ingest(path)
    assert (again.indexed, again.failures, texts(index)) == (1, [], {1: "bốn", 2: "năm"})
    [row] = index.sources()
    assert (row.state, row.reason, row.sha256) == ("done", None, file_facts(path).sha256)


def test_an_archive_written_to_while_it_is_read_is_read_again(index: MultimodalIndex, tmp_path: Path) -> None:
    from tests.vipylo_rag.test_moves import write_zip

    path = write_zip(tmp_path / "a.zip", {"x.txt": b"old words"})
    with pytest.MonkeyPatch.context() as patch:
        new = {"y.txt": b"other words"}
        written_after_hashing(patch, lambda file: write_zip(file, new) if file == path else None)
        report = index.ingest(path)
    assert report.found == report.settled == 2 and len(report.failures) == 1
    assert index.ingest(path).failures == [] and texts(index) == {1: "other words"}


def test_a_new_time_alone_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    facts = file_facts(path)
    assert not has_changed(path, facts)
    os.utime(path, ns=(0, 0))
    assert not has_changed(path, facts)
    path.write_text("other")
    assert has_changed(path, facts)
    path.unlink()
    assert not has_changed(path, facts)


def test_a_file_that_vanishes_before_it_is_read_counts_as_not_found(index: MultimodalIndex, documents: Path) -> None:
    index.ingest(documents)
    files = find_files([documents])
    (documents / "doc0.pdf").rename(documents / "later.pdf")
    (documents / "broken.pdf").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vipylo_rag.runs.find_files", lambda paths: files)
        report = index.ingest(documents, reread=True)
    assert (report.found, report.settled) == (5, 5)
    assert [Path(f.source).name for f in report.failures] == ["thing.xyz"]
    moved = index.ingest(documents)  # its pages waited for the new name
    assert (moved.moved, moved.pages_embedded) == (1, 0)
    assert [Path(row.source).name for row in index.sources() if row.state == "failed"] == ["thing.xyz"]


@pytest.mark.parametrize("retry", [False, True])
def test_a_moved_file_that_failed_leaves_no_row_behind(index: MultimodalIndex, tmp_path: Path, retry: bool) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "bad.pdf").write_bytes(b"%PDF-1.4 broken")
    (folder / "empty.xyz").write_bytes(b"")
    index.ingest(folder)
    for name in ("bad.pdf", "empty.xyz"):
        (folder / name).rename(folder / f"moved-{name}")
    if retry:
        assert index.retry().found == 0
        assert index.sources() == []
    index.ingest(folder)
    assert sorted(Path(row.source).name for row in index.sources()) == ["moved-bad.pdf", "moved-empty.xyz"]


def test_a_moved_file_that_is_read_anew_is_there_once(index: MultimodalIndex, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["một", "hai"])
    index.ingest(path)
    path.rename(tmp_path / "b.pdf")
    report = index.ingest(tmp_path / "b.pdf", reread=True)
    assert report.indexed == 1
    assert [Path(row.source).name for row in index.sources()] == ["b.pdf"] and index.store.count() == 2


class Reading:
    """Versions of one document, read page by page without readers: the books alone."""

    def __init__(self, index: MultimodalIndex) -> None:
        self.index = index
        self.report = IngestReport()

    def read(self, content: str, lost: tuple[int, ...] = (), error: str | None = None) -> None:
        """A run over a version whose pages are the words of `content`, each with a picture; some are lost."""
        index = self.index
        books = Bookkeeping(index.ledger, index.store, index.assets, self.report, how="test", retry=True)
        books.begin(books.decide("/a.txt", FileFacts(content + str(lost) + str(error), 1)))
        for number, word in enumerate(content.split(), start=1):
            if number in lost:
                books.lost("/a.txt", number, "no luck")
                continue
            (index.assets / word).write_text(word)
            page = PageRead("/a.txt", number, "text", word, word, (1, 1), word)
            if books.wants(page):
                index.store.upsert([books.point(page, index.embedder.encode_rows([_sample(word)]).vectors[0])])
                books.stored([page], 0.1)
        books.close("/a.txt", error)
        books.sweep()

    def check(self, expected: dict[int, str]) -> None:
        """These pages are in store and ledger, each with its picture, and no other picture is there."""
        index = self.index
        assert texts(index) == expected
        done = {n for n, row in index.ledger.pages("/a.txt").items() if row.state == "done"}
        assert done == set(expected)
        assert sorted(file.name for file in index.assets.iterdir()) == sorted(expected.values())


def _sample(text: str) -> Any:
    from embedder.protocol import Sample

    return Sample(text)


def test_a_page_lost_now_goes_with_the_old_version_or_stays_with_it(letters: MultimodalIndex) -> None:
    document = Reading(letters)
    document.read("one two three")
    document.read("one zwei three", lost=(2,))
    document.check({1: "one", 3: "three"})
    document.read("one two three")
    document.read("eins zwei drei", lost=(1, 2, 3))  # nothing of it can be read: the earlier pages stay, whole
    document.check({1: "one", 2: "two", 3: "three"})
    document.read("eins zwei drei", lost=(2,), error="cut off")
    document.check({1: "eins", 2: "two", 3: "drei"})
    assert document.report.failures[-1].reason == "cut off (its earlier pages stay searchable)"
    document.read("eins zwei")
    document.check({1: "eins", 2: "zwei"})


def test_a_kill_between_ledger_and_store_loses_no_page(letters: MultimodalIndex) -> None:
    """The ledger must never believe a page to be stored that is deleted already: it would not be stored again."""

    class Killed(BaseException):
        pass

    def die_behind(self: Any, **options: Any) -> int:
        real(self, **options)
        raise Killed

    real = type(letters.store).delete
    document = Reading(letters)
    document.read("one two three")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(letters.store), "delete", die_behind)
        with pytest.raises(Killed):
            document.read("one")
    document.read("one two three")
    document.check({1: "one", 2: "two", 3: "three"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(letters.store), "delete", die_behind)
        with pytest.raises(Killed):
            removal.delete_source(letters.store, letters.ledger, "/a.txt")
    document.read("one two three")
    document.check({1: "one", 2: "two", 3: "three"})


def test_unread_is_what_a_killed_deletion_left_of_an_archive(letters: MultimodalIndex, monkeypatch: Any) -> None:
    from vipylo_rag.ledger import SourceRow

    row = SourceRow("", "/a.zip", "x", 1, "done", container="members", walked=True)
    letters.ledger.put_source(row)
    letters.ledger.put_source(replace(row, source="/a.zip!/b.txt", container="nothing", archive="/a.zip"))
    monkeypatch.setattr(removal, "delete_source", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        letters.delete("/a.zip")
    books = Bookkeeping(letters.ledger, letters.store, letters.assets, IngestReport())
    assert books.decide("/a.zip", FileFacts("x", 1)).action == "unfinished"


def test_each_file_is_found_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (tmp_path / "outside.txt").write_text("o")
    (folder / "sub" / "to-a.txt").symlink_to(folder / "a.txt")
    (folder / "b-to-a.txt").symlink_to("a.txt")
    (folder / "to-outside.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "broken.txt").symlink_to(tmp_path / "nowhere")
    (folder / "loop").symlink_to(folder)
    (folder / "hard.txt").hardlink_to(folder / "a.txt")
    found = find_files([folder, folder, folder / "sub" / "..", folder / "a.txt"])
    assert sorted(file.name for file in found) == ["a.txt", "broken.txt", "hard.txt", "to-outside.txt"]
    assert [file.name for file in find_files([folder / "sub"])] == ["to-a.txt"]  # alone it keeps its own name


def test_folders_that_can_be_listed_but_not_entered_cost_no_run(
    index: MultimodalIndex, documents: Path, monkeypatch: Any
) -> None:
    """Permissions r-- of a folder: its names are known, and nothing more."""
    index.ingest(documents)
    real = Path.stat

    def locked(self: Path, **options: Any) -> Any:
        if self.parent.name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", locked)
        report = index.ingest(documents, prune=True)
    assert report.removed == 0 and report.unchanged == 4
    assert any(f.source.endswith("/sub") and "is a folder" in f.reason for f in report.failures)
    assert len(index.pages({"name": "red.png"})) == 1


def test_names_that_are_no_text_are_pruned_only_when_gone(index: MultimodalIndex, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("words")
    odd = folder / os.fsdecode(b"caf\xe9.md")
    odd.write_text("x")
    for _ in range(2):
        assert index.ingest(folder, prune=True).removed == 0
    odd.unlink()
    assert index.ingest(folder, prune=True).removed == 1


def test_prune_of_an_emptied_folder_is_refused(index: MultimodalIndex, documents: Path) -> None:
    """As an unmounted drive looks: nothing goes."""
    index.ingest(documents)
    shutil.rmtree(documents)
    documents.mkdir()
    with pytest.raises(DocumentError, match="nothing to ingest"):
        index.ingest(documents, prune=True)
    assert index.store.count() == 11


def test_prune_of_one_tenant_leaves_the_others(index: MultimodalIndex, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(f"words of {name}")
    for tenant in ("an", "bình"):
        index.ingest(folder, tenant=tenant)
    (folder / "b.txt").unlink()
    assert index.ingest(folder, tenant="an", prune=True).removed == 1
    assert len(index.pages(tenant="an")) == 1 and len(index.pages(tenant="bình")) == 2
    assert all(hit.image is not None for hit in index.search("words", mode="lexical", tenant="bình"))


def test_reread_embeds_only_what_a_loader_now_reads_otherwise(index: MultimodalIndex, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["một", "hai", "ba"])
    index.ingest(path)
    source = source_name(path)
    index.ledger.put_pages([replace(index.ledger.pages(source)[2], digest="as an older version read it")])
    assert index.ingest(path).unchanged == 1
    report = index.ingest(path, reread=True)
    assert (report.indexed, report.pages_embedded, report.pages_unchanged) == (1, 1, 2)
    assert texts(index) == {1: "một", 2: "hai", 3: "ba"}
