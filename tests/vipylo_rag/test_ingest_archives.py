"""Archives and mails over time: locked, damaged and repaired, moved, and with attachments that come and go."""

import dataclasses
import json
import shutil
from email.message import EmailMessage
from pathlib import Path

import pydicom.data
import pytest

from tests.connectors.test_loaders_archive_limits import encrypted_zip
from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.test_moves import write_zip
from vipylo_rag import MultimodalIndex
from vipylo_rag.ingest_options import IngestOptions
from vipylo_rag.sources import source_name


def stored(index: MultimodalIndex) -> list[str]:
    """The members with pages."""
    return sorted({p.payload["source"].partition("!/")[2] for p in index.pages()})


def rows(index: MultimodalIndex) -> dict[str, str]:
    return {Path(row.source).as_posix().rpartition("/in/")[2]: row.state for row in index.sources()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_passwords_open_members_and_are_written_nowhere(index: MultimodalIndex, folder: Path) -> None:
    (folder / "locked.zip").write_bytes(encrypted_zip(b"geheim-4711", b"hello"))
    without = index.ingest(folder)
    assert [(f.source.rpartition("/")[2], f.reason) for f in without.failures] == [
        ("a.txt", "is encrypted; give the password of the archive, or unpack it")
    ]
    wrong = index.ingest(folder, loader_options={"pdf": {"password": "falsch-0815"}})
    assert [f.reason for f in wrong.failures] == ["is encrypted with another password"]
    right = index.ingest(folder, loader_options={"pdf": {"password": ["falsch-0815", "geheim-4711"]}})
    assert right.failures == [] and stored(index) == ["a.txt"]
    reports = json.dumps([dataclasses.asdict(report) for report in (without, wrong, right)])
    files = [file.read_bytes() for file in index.directory.glob("ledger.sqlite*")]
    for word in ("geheim-4711", "falsch-0815"):
        assert word not in reports
        assert not any(word.encode() in content for content in files)


def test_every_password_counts_once() -> None:
    options = IngestOptions(loader_options={"pdf": {"password": ["a", "b"]}, "other": {"password": "a"}, "image": {}})
    assert options.passwords == ("a", "b")


def write_mail(path: Path, **attachments: bytes) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "an@example.org", "binh@example.org", "Hợp đồng"
    mail["Date"] = "Mon, 02 Mar 2026 10:00:00 +0700"
    mail.set_content("Xin gửi anh bản hợp đồng.")
    for name, content in attachments.items():
        kind = ("application", "pdf") if name == "pdf" else ("text", "plain")
        mail.add_attachment(content, maintype=kind[0], subtype=kind[1], filename=f"attached.{name}")
    path.write_bytes(bytes(mail))


def test_attachments_come_and_go_with_their_mail(index: MultimodalIndex, folder: Path, tmp_path: Path) -> None:
    pdf = write_pdf(tmp_path / "a.pdf", ["phụ lục hợp đồng"]).read_bytes()
    mail = folder / "letter.eml"
    write_mail(mail, pdf=pdf, txt=b"ghi chu")
    report = index.ingest(folder)
    assert (report.found, report.indexed, report.failures) == (3, 3, [])
    base = source_name(mail)
    assert {p.payload["source"]: p.payload["kind"] for p in index.pages()} == {
        base: "mail",
        f"{base}!/attached.pdf": "pdf",
        f"{base}!/attached.txt": "text",
    }
    assert [hit.source for hit in index.search("phụ lục", mode="lexical")] == [f"{base}!/attached.pdf"]
    again = index.ingest(folder)
    assert (again.found, again.unchanged, again.pages_embedded) == (3, 3, 0)
    write_mail(mail, pdf=pdf)
    kept = index.ingest(folder)
    assert (kept.unchanged, kept.removed, len(stored(index))) == (1, 0, 3)  # the PDF; what is gone goes when asked
    pruned = index.ingest(folder, reread=True, prune=True)
    assert pruned.removed == 1 and stored(index) == ["", "attached.pdf"]
    mail.rename(folder / "renamed.eml")
    assert index.ingest(folder).pages_embedded == 0
    assert set(rows(index)) == {"renamed.eml", "renamed.eml!/attached.pdf"}


def test_damage_spares_members_and_repair_leaves_no_trace(index: MultimodalIndex, folder: Path, tmp_path: Path) -> None:
    """What lies behind damage is unknown, not gone, also for --prune; the note of the damage goes with it."""
    contents = {name: name.encode() * 20 for name in ("a.txt", "b.txt", "c.txt")}
    path = write_zip(folder / "all.zip", contents)
    index.ingest(folder)
    assert stored(index) == ["a.txt", "b.txt", "c.txt"]
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"b.txt") + 20])  # a download that was cut off: the directory is lost too
    damaged = index.ingest(folder, prune=True)
    assert damaged.removed == 0 and any(f.source.endswith("all.zip!/*") for f in damaged.failures)
    assert stored(index) == ["a.txt", "b.txt", "c.txt"]
    assert rows(index)["all.zip!/*"] == "failed"
    path.write_bytes(whole)
    repaired = index.ingest(folder)
    assert repaired.failures == [] and repaired.removed == 0
    assert rows(index) == {"all.zip": "done", **{f"all.zip!/{name}": "done" for name in contents}}


def test_a_nested_archive_that_broke_keeps_its_members(index: MultimodalIndex, folder: Path, tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"deep.txt": b"deep down"}).read_bytes()
    path = write_zip(folder / "all.zip", {"a.txt": b"above", "inner.zip": inner})
    index.ingest(folder)
    write_zip(path, {"a.txt": b"above", "inner.zip": b"PK\x03\x04" + bytes(60)})
    assert index.ingest(folder, prune=True).removed == 0
    assert stored(index) == ["a.txt", "inner.zip!/deep.txt"]


def test_a_moved_archive_leaves_nothing_behind(index: MultimodalIndex, folder: Path) -> None:
    """Neither its members that failed, nor the archive itself where it failed as a whole."""
    path = write_zip(folder / "all.zip", {"a.txt": b"words", "bad.pdf": b"%PDF-1.4 broken"})
    (folder / "broken.zip").write_bytes(b"PK\x03\x04" + b"\xff" * 60)
    (folder / "locked.zip").write_bytes(encrypted_zip(b"secret", b"hello"))
    index.ingest(folder)
    before = rows(index)
    assert before["broken.zip"] == before["locked.zip!/a.txt"] == before["all.zip!/bad.pdf"] == "failed"
    moved = folder / "moved"
    moved.mkdir()
    for name in (path.name, "broken.zip", "locked.zip"):
        shutil.move(folder / name, moved / name)
    report = index.ingest(folder)
    assert (report.moved, report.pages_embedded, report.failed) == (1, 0, 3)
    assert rows(index) == {f"moved/{name}": state for name, state in before.items()}


def test_a_dicomdir_is_no_document(index: MultimodalIndex, folder: Path, tmp_path: Path) -> None:
    """It lists the images beside it: passed over in folders and archives, told apart by content."""
    dicomdir = Path(str(pydicom.data.get_testdata_file("DICOMDIR")))
    shutil.copy(dicomdir, folder / "DICOMDIR")
    image = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    shutil.copy(image, folder / "IM001")
    write_zip(folder / "cd.zip", {"cd/DICOMDIR": dicomdir.read_bytes(), "cd/note.txt": b"disc 1"})
    (folder / "sub").mkdir()
    (folder / "sub" / "dicomdir").write_bytes(image.read_bytes())
    report = index.ingest(folder)
    assert report.failures == [] and report.found == report.settled == 4
    assert set(rows(index)) == {"IM001", "cd.zip", "cd.zip!/cd/note.txt", "sub/dicomdir"}
    named = index.ingest(folder / "DICOMDIR")
    assert "index the image files it lists" in named.failures[0].reason
