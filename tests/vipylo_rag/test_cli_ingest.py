"""`vipylo ingest` and `vipylo info` as a user runs them: rereading, OCR, archives in a dry run, what is unfinished."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from connectors.loaders.ocr import tesseract_languages
from tests.connectors.test_loaders_archive_limits import encrypted_zip
from tests.vipylo_rag.command_line import vipylo
from tests.vipylo_rag.conftest import write_picture
from tests.vipylo_rag.test_moves import write_zip
from vipylo_rag import MultimodalIndex
from vipylo_rag.manifest import NEXT_NAME, EmbedderRecord, Manifest


@pytest.fixture
def place(filled_directory: Path, tmp_path: Path) -> Path:
    """An index of the usual documents, not opened."""
    return Path(shutil.copytree(filled_directory, tmp_path / "index"))


def test_reread_reads_all_and_embeds_nothing(place: Path, filled_directory: Path) -> None:
    documents = filled_directory.parent / "documents"
    report = json.loads(vipylo("ingest", documents, "--index", place, "--reread", "--json").stdout)
    assert (report["indexed"], report["unchanged"]) == (5, 0)
    assert (report["pages_unchanged"], report["pages_embedded"], report["pages_deleted"]) == (11, 0, 0)


@pytest.mark.skipif(
    not {"vie", "eng"} <= tesseract_languages(), reason="tesseract with Vietnamese (tesseract-ocr-vie) is not installed"
)
def test_ocr_makes_a_scan_findable_with_boxes(place: Path, tmp_path: Path) -> None:
    scan = Image.new("RGB", (900, 300), "white")
    ImageDraw.Draw(scan).text((60, 110), "INVOICE 4711 total", fill="black", font=ImageFont.load_default(60))
    scan.save(tmp_path / "scan.png")
    done = vipylo("ingest", tmp_path / "scan.png", "--index", place, "--ocr", "tesseract", "--strict")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(vipylo("search", "4711", "--index", place, "--mode", "lexical", "--json").stdout)
    assert Path(row["source"]).name == "scan.png" and row["metadata"]["ocr"] == "tesseract"
    with MultimodalIndex.open(place) as index:
        [box] = index.search("4711", mode="lexical")[0].boxes("4711")
    assert 0.3 < box.x0 < box.x1 < 0.7 and 0.3 < box.y0 < box.y1 < 0.7


def test_a_password_opens_zip_members(place: Path, tmp_path: Path) -> None:
    (tmp_path / "locked.zip").write_bytes(encrypted_zip(b"secret", b"hello"))
    passwords = ["--password", "swordfish", "--password", "secret"]
    done = vipylo("ingest", tmp_path / "locked.zip", "--index", place, *passwords, "--strict")
    assert done.returncode == 0 and "2 files: 2 indexed" in done.stdout, done.stderr
    assert "swordfish" not in done.stdout + done.stderr
    assert "zip" in vipylo("ingest", "--help").stdout.partition("--password")[2].partition("--renderer")[0]


def test_a_dry_run_says_what_it_cannot_count(place: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_zip(tmp_path / "in" / "all.zip", {"a.txt": b"words"})
    write_picture(tmp_path / "in" / "red.png", "red")
    line = "1 of these hold other documents (archives, mails), which are counted only when they are ingested"
    assert line in vipylo("ingest", tmp_path / "in", "--index", place, "--dry-run").stdout
    rows = json.loads(vipylo("ingest", tmp_path / "in", "--index", place, "--dry-run", "--json").stdout)
    assert {Path(row["source"]).name: row["container"] for row in rows} == {"all.zip": "members", "red.png": "nothing"}
    assert "hold other documents" not in vipylo("ingest", tmp_path / "in/red.png", "--index", place, "--dry-run").stdout


def test_info_shows_what_is_unfinished(place: Path) -> None:
    plain = vipylo("info", "--index", place).stdout
    assert "--resume" not in plain and "reindex" not in plain
    with MultimodalIndex.open(place) as index:
        index.ledger.begin_run("an", ["/docs", "/more"], {})
        assert index.info()["unfinished_run"]["paths"] == ["/docs", "/more"]
        coming = EmbedderRecord(name="other", fingerprint="f", dim=8)
        Manifest.read(place).model_copy(update={"embedder": coming}).write(place, NEXT_NAME)
    shown = vipylo("info", "--index", place).stdout
    assert "ingest of /docs and 1 more (tenant an), begun 20" in shown and "`vipylo ingest --resume` goes on" in shown
    assert "to other: at work, or stopped" in shown and "`vipylo gc --abandon`" in shown
