"""The line of uploads and its writer: stopped and gone on with, deletions in between, limits, other writers, moves."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.page import source_id
from embedder import ColPaLiQwenEmbedder
from tests.vipylo_rag.server.held_embedder import HeldEmbedder
from tests.vipylo_rag.server.sending import Sent, left_over, on_disk, pdf
from vipylo_rag import MultimodalIndex, pipeline
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.opening import writing
from vipylo_rag.places import RECEIVING, SERVER_LOCK, UPLOADS, WAITING
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.schemas import Upload
from vipylo_rag.server.upload_files import ReceivedFile, UploadFiles, safe_file_name, tenant_folder
from vipylo_rag.server.uploads import Uploads

LONG = pdf(*(f"page number {n}" for n in range(12)))


@pytest.fixture
def held(tiny_embedder: ColPaLiQwenEmbedder, monkeypatch: pytest.MonkeyPatch) -> HeldEmbedder:
    """An embedder that gets two pages at a time, so that there is something between the batches; its gate is open."""
    monkeypatch.setattr(pipeline, "BATCH_PAGES", 2)
    embedder = HeldEmbedder(tiny_embedder)
    embedder.gate.set()
    return embedder


@pytest.fixture
def index(held: HeldEmbedder, tmp_path: Path) -> Iterator[MultimodalIndex]:
    with MultimodalIndex.open(tmp_path / "index", embedder=held) as opened:
        yield opened


@contextmanager
def line(index: MultimodalIndex, patience: float = 300, **options: float) -> Iterator[Uploads]:
    """Uploads that run until the block ends."""
    uploads = Uploads(index, ServerOptions.model_validate(options), patience=patience)
    uploads.start()
    try:
        yield uploads
    finally:
        uploads.stop()


def add(uploads: Uploads, *files: Sent, tenant: str = "", replace: bool = False) -> str:
    """Put files into the line; the upload's id."""
    with uploads.receiving() as folder:
        for number, (_, content) in enumerate(files):
            (folder / str(number)).write_bytes(content)
        received = [
            ReceivedFile(name=safe_file_name(name), number=number, bytes=len(content))
            for number, (name, content) in enumerate(files)
        ]
        return uploads.add(folder, received, tenant, replace=replace).id


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def done(uploads: Uploads, id_: str, tenant: str = "") -> Upload:
    until(lambda: _got(uploads, id_, tenant).state == "done")
    return _got(uploads, id_, tenant)


def _got(uploads: Uploads, id_: str, tenant: str) -> Upload:
    found = uploads.get(id_, tenant)
    assert found is not None
    return found


def test_reading_that_a_stop_cut_off_is_gone_on_with(index: MultimodalIndex, held: HeldEmbedder) -> None:
    uploads = Uploads(index, ServerOptions())
    uploads.start()
    held.gate.clear()
    id_ = add(uploads, ("long.pdf", LONG), ("next.md", b"# next"))
    assert held.entered.acquire(timeout=30)
    first, second = _got(uploads, id_, "").files
    assert first.state == "reading" and second.state in ("waiting", "reading")  # the readers are a file ahead
    stopping = threading.Thread(target=uploads.stop)
    stopping.start()
    held.gate.set()
    stopping.join(timeout=20)
    assert not stopping.is_alive()
    assert index.ledger.counts()["pages done"] < 12
    with line(index) as again:
        assert [file.state for file in done(again, id_).files] == ["done", "done"]
    assert index.ledger.counts()["pages done"] == index.store.count() == 13
    texts = [text for call in held.calls for text in call]
    assert sum("page number" in text for text in texts) <= 12 + 3 * 2  # what was stored is not embedded again
    assert left_over(index) == []


def test_a_deletion_does_not_wait_for_a_long_upload(index: MultimodalIndex, held: HeldEmbedder) -> None:
    with line(index) as uploads:
        old = done(uploads, add(uploads, ("old.md", b"# old"))).files[0]
        while held.entered.acquire(blocking=False):
            pass
        held.gate.clear()
        id_ = add(uploads, ("long.pdf", LONG))
        assert held.entered.acquire(timeout=30)
        going = uploads.delete(old.document or "", "")
        assert going is not None and not going.done()
        held.gate.set()
        going.result(timeout=30)
        assert [(file.name, file.state, file.pages) for file in done(uploads, id_).files] == [("long.pdf", "done", 12)]
        assert uploads.catalogue.document(old.document or "", "") is None
    assert on_disk(index) == ["long.pdf"]


def test_a_document_can_be_deleted_while_it_is_read(index: MultimodalIndex, held: HeldEmbedder) -> None:
    with line(index) as uploads:
        held.gate.clear()
        id_ = add(uploads, ("long.pdf", LONG), ("other.md", b"# other"))
        assert held.entered.acquire(timeout=30)
        going = uploads.delete(source_id(uploads.files.source("long.pdf", ""), ""), "")
        assert going is not None
        held.gate.set()
        going.result(timeout=30)
        first, second = done(uploads, id_).files
        assert (first.state, first.reason, second.state) == ("failed", "it was deleted", "done")
    assert on_disk(index) == ["other.md"]
    assert index.store.count() == index.ledger.counts()["pages done"] == 1


def test_a_newer_version_that_waits_goes_with_its_document(index: MultimodalIndex, held: HeldEmbedder) -> None:
    with line(index) as uploads:
        old = done(uploads, add(uploads, ("a.md", b"# first"))).files[0]
        held.gate.clear()
        add(uploads, ("long.pdf", LONG))
        waiting = add(uploads, ("a.md", b"# second"), replace=True)
        going = uploads.delete(old.document or "", "")
        held.gate.set()
        assert going is not None
        going.result(timeout=30)
        assert done(uploads, waiting).files[0].reason == "it was deleted"
    assert on_disk(index) == ["long.pdf"]


def test_a_name_belongs_to_what_waits_under_it(index: MultimodalIndex, held: HeldEmbedder) -> None:
    with line(index) as uploads:
        done(uploads, add(uploads, ("a.md", b"# first")))
        held.gate.clear()
        add(uploads, ("long.pdf", LONG))
        waiting = [
            add(uploads, ("a.md", b"# second"), replace=True),
            add(uploads, ("a.md", b"# first")),  # which will not be there any more
            add(uploads, ("a.md", b"# second")),
            add(uploads, ("a.md", b"# third"), tenant="other"),
            add(uploads, ("long.pdf", pdf("# of one that is read"))),
        ]
        held.gate.set()
        named = [
            done(uploads, id_, tenant).files[0] for id_, tenant in zip(waiting, ("", "", "", "other", ""), strict=True)
        ]
        assert [file.name for file in named] == ["a.md", "a (2).md", "a.md", "a.md", "long (2).pdf"]
    assert sorted(page.payload["text"] for page in index.pages() if "#" in page.payload["text"]) == [
        "# first",
        "# of one that is read",
        "# second",
    ]


def test_names_that_were_chosen_outlast_the_server(index: MultimodalIndex) -> None:
    idle = Uploads(index, ServerOptions())
    idle.files.make_ready()
    ids = [add(idle, ("a.md", content)) for content in (b"# one", b"# two", b"# two")]
    idle.stop()
    with line(index) as uploads:
        again = add(uploads, ("a.md", b"# two"))
        files = [done(uploads, id_).files[0] for id_ in (*ids, again)]
        assert [(file.name, file.sent_as, file.state) for file in files] == [
            ("a.md", None, "done"),
            ("a (2).md", "a.md", "done"),
            ("a (2).md", "a.md", "unchanged"),
            ("a (2).md", "a.md", "unchanged"),
        ]
    assert sorted(page.payload["text"] for page in index.pages()) == ["# one", "# two"]
    assert left_over(index) == []


def test_reading_that_takes_too_long_is_ended_and_told(index: MultimodalIndex, held: HeldEmbedder) -> None:
    with line(index, upload_seconds=0.5) as uploads:
        held.gate.clear()
        threading.Timer(1.0, held.gate.set).start()
        id_ = add(uploads, ("long.pdf", LONG), ("next.md", b"# next"))
        first, second = done(uploads, id_).files
        assert first.state == second.state == "failed"
        assert "took longer than 0.5 seconds" in (first.reason or "") and first.reason == second.reason
        assert first.pages < 12
        failed = uploads.catalogue.listed("", "failed", "", 0, 10)
        assert failed.total == 2
    assert left_over(index) == []
    assert index.store.count() == index.ledger.counts()["pages done"]
    with line(index) as uploads:
        assert uploads.all_of("") == []
        files = done(uploads, add(uploads, ("long.pdf", LONG), ("next.md", b"# next"))).files
        assert [(file.state, file.pages, file.reason) for file in files] == [("done", 12, None), ("done", 1, None)]


def test_only_so_many_pages_of_a_file_are_read(index: MultimodalIndex) -> None:
    with line(index, upload_pages=3) as uploads:
        (file,) = done(uploads, add(uploads, ("long.pdf", LONG))).files
        assert (file.state, file.pages) == ("done", 3)
        assert [(page.page, page.reason) for page in file.failed_pages] == [
            (4, "is not read: only the first 3 pages of a document are")
        ]
    assert index.collect(dry_run=True).assets == []


def test_while_another_process_writes_uploads_wait(index: MultimodalIndex) -> None:
    with line(index) as uploads:
        with writing(index.directory):
            id_ = add(uploads, ("a.md", b"# a"))
            until(lambda: bool(_got(uploads, id_, "").files[0].reason))
            (file,) = _got(uploads, id_, "").files
            assert file.state == "waiting" and "another process is changing the index" in (file.reason or "")
        assert done(uploads, id_).files[0].state == "done"


def test_an_upload_that_waited_too_long_is_given_up_and_not_lost(index: MultimodalIndex) -> None:
    with writing(index.directory), line(index, patience=0.1) as uploads:
        id_ = add(uploads, ("a.md", b"# a"))
        (file,) = done(uploads, id_).files
        assert file.state == "failed" and "tried again when the server starts next" in (file.reason or "")
        assert [upload.id for upload in uploads.files.waiting()] == [id_]
    with line(index) as uploads:
        assert done(uploads, id_).files[0].state == "done"
    assert left_over(index) == []


def test_an_upload_that_ends_the_server_is_given_up(index: MultimodalIndex) -> None:
    idle = Uploads(index, ServerOptions())
    idle.files.make_ready()
    id_ = add(idle, ("a.md", b"# a"))
    (upload,) = idle.files.waiting()
    idle.files.tries(upload, +3)
    idle.stop()
    with line(index) as uploads:
        (file,) = done(uploads, id_).files
        assert file.state == "failed" and "ended 3 times at the same place" in (file.reason or "")
    assert left_over(index) == []


def test_a_moved_index_keeps_its_uploads(index: MultimodalIndex, held: HeldEmbedder, tmp_path: Path) -> None:
    with line(index) as uploads:
        done(uploads, add(uploads, ("a.pdf", pdf("one", "two")), ("b.md", b"# b")))
    index.close()
    moved = index.directory.rename(tmp_path / "elsewhere")
    held.calls.clear()
    with MultimodalIndex.open(moved, embedder=held) as opened, line(opened) as uploads:
        until(lambda: all(d.uploaded for d in uploads.catalogue.listed("", None, "", 0, 10).documents))
        until(lambda: all(upload.state == "done" for upload in uploads.all_of("")))
        found = uploads.catalogue.listed("", "done", "", 0, 10)
        assert sorted((d.name, d.pages) for d in found.documents) == [("a.pdf", 2), ("b.md", 1)]
        assert held.calls == []  # their vectors moved with them
        for document in found.documents:
            going = uploads.delete(document.id, "")
            assert going is not None
            going.result(timeout=30)
        assert opened.store.count() == 0 and on_disk(opened) == []


def test_a_copy_of_an_index_leaves_the_first_alone(index: MultimodalIndex, held: HeldEmbedder, tmp_path: Path) -> None:
    with line(index) as uploads:
        done(uploads, add(uploads, ("a.md", b"# a"), ("b.md", b"# b")))
    (index.directory / UPLOADS / RECEIVING / "half").mkdir()
    lock = Path(UPLOADS) / tenant_folder("") / "poetry.lock"  # a document like any other
    (index.directory / lock).touch()
    index.backup(tmp_path / "copy")
    assert not (tmp_path / "copy" / UPLOADS / RECEIVING).exists()
    assert not (tmp_path / "copy" / UPLOADS / SERVER_LOCK).exists()
    assert (tmp_path / "copy" / lock).exists()
    for folder in (index.directory, tmp_path / "copy"):
        (folder / lock).unlink()
    with MultimodalIndex.open(tmp_path / "copy", embedder=held) as copy, line(copy) as uploads:
        until(lambda: all(d.uploaded for d in uploads.catalogue.listed("", "done", "", 0, 10).documents))
        until(lambda: uploads.catalogue.listed("", None, "", 0, 10).total == 2)
        documents = uploads.catalogue.listed("", None, "", 0, 10)
        assert (documents.total, copy.store.count(), on_disk(copy)) == (2, 2, ["a.md", "b.md"])
        going = uploads.delete(documents.documents[0].id, "")
        assert going is not None
        going.result(timeout=30)
    assert on_disk(index) == ["a.md", "b.md"] and index.store.count() == 2


def test_sending_again_replaces_what_came_with_an_import(
    index: MultimodalIndex, held: HeldEmbedder, tmp_path: Path
) -> None:
    from vipylo_rag.transfer import import_index

    with line(index) as uploads:
        done(uploads, add(uploads, ("a.md", b"# a")))
    index.export(tmp_path / "index.vipylo")
    import_index(tmp_path / "index.vipylo", tmp_path / "imported")
    with MultimodalIndex.open(tmp_path / "imported", embedder=held) as imported, line(imported) as uploads:
        assert [d.uploaded for d in uploads.catalogue.listed("", None, "", 0, 10).documents] == [False]
        (beside,) = done(uploads, add(uploads, ("a.md", b"# another"))).files
        assert (beside.name, uploads.catalogue.listed("", None, "", 0, 10).total) == ("a (2).md", 2)
        gone = uploads.delete(beside.document or "", "")
        assert gone is not None
        gone.result(timeout=30)
        done(uploads, add(uploads, ("a.md", b"# a, changed"), replace=True))
        until(lambda: uploads.catalogue.listed("", None, "", 0, 10).total == 1)
        assert [d.uploaded for d in uploads.catalogue.listed("", None, "", 0, 10).documents] == [True]
        assert [page.payload["text"] for page in imported.pages()] == ["# a, changed"]


def test_what_a_killed_server_left_is_cleaned(index: MultimodalIndex) -> None:
    with line(index) as uploads:
        done(uploads, add(uploads, ("kept.md", b"# kept"), ("gone.md", b"# gone")))
        home = uploads.files.home("")
    half = index.directory / UPLOADS / RECEIVING / "half"
    half.mkdir()
    (half / "0").write_bytes(b"# hal")
    (index.directory / UPLOADS / WAITING / "odd").mkdir()
    index.delete(home / "gone.md")
    for name in ("kept.md", "gone.md"):  # killed before the index forgot the one, and after it forgot the other
        (home / name).rename(home / f".{name}.deleted")
    with line(index) as uploads:
        until(lambda: on_disk(index) == ["kept.md"])
        assert not half.exists()


def test_two_servers_do_not_take_uploads_for_one_index(index: MultimodalIndex) -> None:
    with line(index):
        second = Uploads(index, ServerOptions())
        with pytest.raises(IndexDirectoryError, match="another server"):
            second.start()
        second.stop()
    with line(index):
        pass


def test_ingest_with_prune_spares_uploads(held: HeldEmbedder, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "mine.md").write_text("# mine")
    with MultimodalIndex.open(documents / "index", embedder=held) as index:
        with line(index) as uploads:
            done(uploads, add(uploads, ("sent.md", b"# sent")))
        assert index.ingest(documents, prune=True).removed == 0
        assert sorted(Path(row.source).name for row in index.sources()) == ["mine.md", "sent.md"]
        (documents / "mine.md").unlink()
        (documents / "other.md").write_text("# other")
        assert index.ingest(documents, prune=True).removed == 1


def test_names_on_disk_say_nothing_of_tenants(tmp_path: Path) -> None:
    files = UploadFiles(tmp_path)
    homes = {files.home(tenant).name for tenant in ("", "a", "A", "../x", "a/b", "tên")}
    assert len(homes) == 6 and all(len(name) == 16 and name.isalnum() for name in homes)
