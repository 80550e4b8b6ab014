"""Heat maps of the starter point at what was asked for."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from vipylo_rag import MultimodalIndex

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "explain.py"


@pytest.mark.slow
def test_the_sentence_that_is_asked_for_stands_out(tmp_path: Path) -> None:
    """On 100 small pages of four sentences, in three languages. The picture alone is measured too."""
    benchmark: dict[str, Any] = runpy.run_path(str(BENCHMARK))
    made = benchmark["write_pages"](tmp_path, 100, 4, 1, size=(150.0, 150.0))
    with MultimodalIndex.open(tmp_path / "index", embedder="starter", device="cpu") as index:
        *_, found = benchmark["measure"](index, made, "with text layer")
    assert found.pages == 100
    assert found.heat >= 80
    assert found.picture >= 60


def test_the_benchmark_measures_both_kinds_of_pages(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(BENCHMARK))["main"]
    out = tmp_path / "explain.json"
    main(["--pages", "3", "--sentences", "2", "--embedder", str(tiny_checkpoint), "--out", str(out)])
    rows = json.loads(out.read_text())
    assert [(row["kind"], row["language"], row["pages"]) for row in rows] == [
        (kind, *counted)
        for kind in ("with text layer", "scanned")
        for counted in (("vi", 1), ("en", 1), ("zh", 1), ("all", 3))
    ]
    for row in rows[4:]:  # without a text layer the heat is the picture's
        assert row["heat"] == row["picture"] and row["heat_first"] == row["picture_first"]
    assert "picture first" in capsys.readouterr().out
