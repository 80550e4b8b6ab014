"""The rerank benchmark runs at tiny size, and its figures are those worked out by hand."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "rerank.py"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    words = ["một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám"]
    documents = [{"_id": f"d{n}", "title": "", "text": f"{word} {words[n - 1]} nhà"} for n, word in enumerate(words)]
    queries = [{"_id": f"q{n}", "text": word} for n, word in enumerate(words)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(len(words)))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, encoding="utf-8")
    return folder


def test_variants_are_measured_on_two_halves(
    script: dict[str, Any], data: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rerank.json"
    script["main"]([f"tiny={data}", "--scans", "3", "--embedder", str(tiny_checkpoint), "--out", str(out)])
    report = json.loads(out.read_text())
    rows = report["measurements"]
    assert {(row["data"], row["mode"]) for row in rows} == {("tiny", "dense"), ("tiny", "hybrid"), ("scans", "dense")}
    for data_, mode, number in (("tiny", "dense", 8), ("tiny", "hybrid", 8), ("scans", "dense", 3)):
        mine = [row for row in rows if (row["data"], row["mode"]) == (data_, mode)]
        assert sum(row["queries"] for row in mine if row["variant"] == "first") == number
        assert len({row["variant"] for row in mine}) == 1 + 4 * 5
        assert all(0 <= row["ndcg"] <= 1 and row["low"] <= row["gain"] <= row["high"] for row in mine)
        assert all(row["gain"] == 0 for row in mine if row["variant"] == "first")
    dev = [row for row in rows if row["half"] == "dev"]
    sums = {name: sum(r["ndcg"] for r in dev if r["variant"] == name) for name in {r["variant"] for r in dev}}
    assert sums[report["chosen"]] == pytest.approx(max(sums.values()))
    assert {one["pages"] for one in report["costs"]} == {"text", "pictures"} and report["costs"][0]["new"] > 0
    shown = capsys.readouterr().out
    assert "test half" in shown and "(chosen)" in shown and "s a query" in shown


def test_figures_and_scores_by_hand(script: dict[str, Any]) -> None:
    from embedder.token_vectors import TokenVectors

    assert script["figures"](["a", "b", "c"], {"b": 1.0}) == pytest.approx((1 / np.log2(3), 0.0))
    assert script["figures"](["b"], {"b": 1.0, "x": 1.0}) == pytest.approx((1 / (1 + 1 / np.log2(3)), 0.5))
    query = TokenVectors(np.array([[2, 0], [0, 2]], np.float32), np.array([True, True]))
    page = TokenVectors(np.array([[4, 0], [0, 3], [9, 9]], np.float32), np.array([True, True, False]))
    tokens = script["PageTokens"].of(page)
    half = np.sqrt(0.5)
    assert script["max_share"](query, tokens) == pytest.approx(4 * half / np.hypot(13 / 3, 4))
    assert script["max_cosine"](query, tokens) == pytest.approx(half)
    assert script["best_window"](query, tokens) == pytest.approx((4 + 3) * half / 5)
    assert script["weighted"](query, tokens) == script["unweighted"](query, tokens) == pytest.approx(1.0)
    found = script["variants"](query, [tokens, tokens], np.array([0.5, 0.2]))
    assert found["first"].tolist() == [0.5, 0.2] and found["late interaction, weight 0.25"].argmax() == 0


def test_data_are_asked_for(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script["main"]([])
    assert "give NAME=PATH of some data, or --scans" in capsys.readouterr().err
