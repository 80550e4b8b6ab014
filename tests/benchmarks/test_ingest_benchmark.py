"""The ingest benchmarks run at tiny size, and measure what they say."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.vipylo_rag.conftest import write_documents

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"))


def test_ingest_is_compared_with_encode(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = write_documents(tmp_path / "documents")
    out = tmp_path / "ingest.json"
    script("ingest")["main"]([str(documents), "--embedder", str(tiny_checkpoint), "--rounds", "2", "--out", str(out)])
    report = json.loads(out.read_text())
    assert report["conditions"]["torch"]
    assert [one["pages"] for one in report["rounds"]] == [11, 11]
    for one in report["rounds"]:
        assert 0 < one["ratio"] < 1.2  # the tiny model costs nothing, so that reading is most of it
        assert one["stages"]["embed"] > 0 and one["stages"]["read"] > 0
        assert sum(one["stages"].values()) <= one["ingest_seconds"] * 1.01
    shown = capsys.readouterr().out
    assert "median" in shown and "where an ingest's seconds went" in shown


@pytest.mark.slow
def test_memory_of_a_long_pdf_does_not_grow_with_it(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "long.json"
    script("long_pdf")["main"](["--pages", "400", "--embedder", str(tiny_checkpoint), "--out", str(out)])
    report = json.loads(out.read_text())
    assert report["megabytes_peak"] - report["megabytes_before"] < 1024
    assert report["seconds_to_first_hit"] < report["seconds"] / 2
    assert report["pages_stored_at_first_hit"] < 200
    assert "page 1 found after" in capsys.readouterr().out
