"""`vipylo status`, `retry`, `ingest --dry-run`, `--where-is` and `--resume` as a user runs them."""

import json
import shutil
from pathlib import Path

import pytest

from tests.vipylo_rag.command_line import vipylo
from tests.vipylo_rag.conftest import write_picture


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """An index of one tenant's note, picture and broken file."""
    folder = tmp_path_factory.mktemp("status")
    (folder / "docs").mkdir()
    (folder / "docs" / "note.md").write_text("biên bản họp", encoding="utf-8")
    (folder / "docs" / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    write_picture(folder / "docs" / "red.png", "red")
    done = vipylo(
        "ingest", folder / "docs", "--index", folder / "index", "--embedder", tiny_checkpoint, "--tenant", "an"
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_status_says_how_each_file_stands(kept: Path) -> None:
    done = vipylo("status", "--index", kept / "index", "--tenant", "an")
    assert "3 documents: 2 done, 1 failed, 0 not finished — 2 pages searchable, 0 failed" in done.stdout
    assert "broken.pdf" in done.stdout and "no readable PDF" in done.stdout
    shown = vipylo("status", "--index", kept / "index", "--tenant", "an", "--failed").stdout
    assert "broken.pdf" in shown and "note.md" not in shown
    assert "3 documents: 2 done, 1 failed, 0 not finished — 2 pages searchable, 0 failed" in shown
    rows = json.loads(vipylo("status", "--index", kept / "index", "--tenant", "an", "--failed", "--json").stdout)
    assert [(Path(row["row"]["source"]).name, row["row"]["attempts"]) for row in rows] == [("broken.pdf", 1)]
    assert "0 documents" in vipylo("status", "--index", kept / "index").stdout  # nobody else's


def test_retry_reads_what_failed_once_more(kept: Path, tmp_path: Path) -> None:
    index = shutil.copytree(kept / "index", tmp_path / "index")
    again = json.loads(vipylo("ingest", kept / "docs", "--index", index, "--tenant", "an", "--json").stdout)
    assert [(f["attempts"], f["before"]) for f in again["failures"]] == [(1, True)]
    done = vipylo("retry", "--failed", "--index", index, "--tenant", "an", "--json", "--strict")
    assert [(f["attempts"], f["before"]) for f in json.loads(done.stdout)["failures"]] == [(2, False)]
    assert done.returncode == 1


def test_a_dry_run_makes_no_index(kept: Path, tmp_path: Path) -> None:
    done = vipylo("ingest", kept / "docs", "--index", tmp_path / "new", "--dry-run", "--json")
    assert {row["action"] for row in json.loads(done.stdout)} == {"new"}
    assert not (tmp_path / "new").exists()
    done = vipylo("ingest", kept / "docs", "--index", kept / "index", "--dry-run", "--tenant", "an")
    assert "2 unchanged" in done.stdout and "1 failed before" in done.stdout and "nothing was done" in done.stdout


def test_where_is_finds_content_under_other_names(kept: Path, tmp_path: Path) -> None:
    copy = shutil.copy(kept / "docs" / "red.png", tmp_path / "other.png")
    rows = json.loads(vipylo("ingest", copy, "--index", kept / "index", "--where-is", "--json").stdout)
    assert rows[0]["known"] is None
    assert [(Path(r["source"]).name, r["tenant"]) for r in rows[0]["same_content"]] == [("red.png", "an")]
    line = vipylo("ingest", kept / "docs" / "red.png", "--index", kept / "index", "--where-is", "--tenant", "an").stdout
    assert "red.png: done, 1 pages" in line
