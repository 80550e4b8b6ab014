"""The store benchmarks run at tiny size, and measure what they say."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a benchmark the way a user's `python benchmarks/x.py` does, without its main."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: runpy.run_path(str(BENCHMARKS / f"{name}.py"))


def test_search_compares_engines_and_writes_json(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "search.json"
    script("search")["main"](
        ["--sizes", "300", "--dim", "32", "--queries", "8", "--local-queries", "3", "--out", str(out)]
    )
    report = json.loads(out.read_text())
    rows = {(row["engine"], row["state"]): row for row in report["measurements"]}
    assert set(rows) == {("edge", "after upsert"), ("edge", "after optimize"), ("local", "after upsert")}
    assert all(row["recall_at_10"] == 1.0 for row in rows.values())  # too few points for an approximate index
    assert rows["local", "after upsert"]["queries"] == 3
    assert report["conditions"]["qdrant-edge-py"]
    assert "recall@10" in capsys.readouterr().out


def test_corpus_is_clustered_unit_vectors_with_true_neighbours(script: Any) -> None:
    corpus = script("search")["make_corpus"](500, 256, 20)
    assert np.linalg.norm(corpus.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    cosines = corpus.queries @ corpus.vectors.T
    assert (cosines.max(axis=1) > 0.7).all()
    for row, exact in zip(cosines, corpus.exact, strict=True):
        assert row[exact].min() >= np.delete(row, exact).max()
        assert row[exact[-1]] > 0.2  # ten neighbours come from one cluster, far above chance


def test_server_needs_a_url(script: Any) -> None:
    with pytest.raises(SystemExit, match="needs --url"):
        script("search")["main"](["--sizes", "10", "--dim", "8", "--queries", "1", "--engines", "server"])


SQUAD = {
    "data": [
        {
            "paragraphs": [
                {"context": "战国无双是光荣开发的游戏。", "qas": [{"question": "谁开发了战国无双？"}]},
                {"context": "水在零度结冰。", "qas": [{"question": "水几度结冰？"}, {"question": "水"}]},
            ]
        }
    ]
}


def test_lexical_reads_squad_and_beir_and_ranks(script: Any, tmp_path: Path) -> None:
    (tmp_path / "zh.json").write_text(json.dumps(SQUAD))
    beir = tmp_path / "vi"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text(
        '{"_id": "a", "title": "Thuế", "text": "Hóa đơn"}\n{"_id": "b", "text": "Lao động"}\n'
    )
    (beir / "queries.jsonl").write_text('{"_id": "q", "text": "HOÁ ĐƠN"}\n{"_id": "unjudged", "text": "x"}\n')
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    out = tmp_path / "lexical.json"
    script("lexical")["main"]([f"zh={tmp_path / 'zh.json'}", f"vi={beir}", "--out", str(out)])
    results = json.loads(out.read_text())
    assert results["ours"]["zh"]["ndcg@10"] == 1.0
    assert results["ours"]["vi"]["ndcg@10"] == 1.0
    assert results["engine words, no language"]["zh"]["ndcg@10"] < 1.0


def test_ours_in_the_lexical_benchmark_is_what_the_stores_ship(script: Any) -> None:
    import qdrant_edge

    from connectors.stores.lexical import document_vector

    lexical = script("lexical")
    [ours] = [candidate for candidate in lexical["candidates"]() if candidate.name == "ours"]
    text = "Hoá đơn số 3, the invoices of 战国无双"
    made = qdrant_edge.Bm25(ours.config).embed_document(lexical["joined"](ours.document(text)))
    shipped = document_vector(text)
    assert (list(made.indices), list(made.values)) == (shipped.indices, shipped.values)


def test_ndcg_by_hand(script: Any) -> None:
    ndcg = script("lexical")["ndcg"]
    assert ndcg(["a", "b"], {"a": 1.0}) == 1.0
    assert ndcg(["b", "a"], {"a": 1.0}) == pytest.approx(1 / np.log2(3))
    assert ndcg(["c"], {"a": 1.0}) == 0.0


def test_fusion_compares_constants(script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zh.json").write_text(json.dumps(SQUAD))
    out = tmp_path / "fusion.json"
    try:
        script("fusion")["main"]([f"zh={tmp_path / 'zh.json'}", "--noise", "0.01", "--out", str(out)])
    finally:
        sys.modules.pop("lexical", None)
    [row] = json.loads(out.read_text())
    assert row["dense"] == row["k=5"] == 1.0
    assert "rank constant" in capsys.readouterr().out
