"""The server's benchmark runs at tiny size, and measures what it says."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_real_server_is_asked(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.vipylo_rag.conftest import write_documents
    from vipylo_rag import MultimodalIndex

    with MultimodalIndex.open(tmp_path / "index", embedder=str(tiny_checkpoint)) as index:
        index.ingest(write_documents(tmp_path / "documents"))
    out = tmp_path / "serve.json"
    sizes = ["--concurrent", "8", "--rounds", "3", "--single", "5", "--warm-up", "2"]
    runpy.run_path(str(BENCHMARKS / "serve.py"))["main"](
        ["--index", str(tmp_path / "index"), "--out", str(out), *sizes, "--", "--read-only"]
    )
    report = json.loads(out.read_text())
    assert report["pages"] == 11
    assert [(one["concurrent"], one["errors"]) for one in report["rounds"]] == [(8, 0)] * 3
    assert all(0 < one["p50_ms"] <= one["p95_ms"] for one in report["rounds"])
    assert report["ratio"] == pytest.approx(report["p95_ms"] / report["single_ms"])
    assert all(one["memory_mb"] > 50 for one in report["rounds"])
    assert "x a single search" in capsys.readouterr().out
