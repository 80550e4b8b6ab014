"""Heat maps of the starter point at what was asked for."""

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
