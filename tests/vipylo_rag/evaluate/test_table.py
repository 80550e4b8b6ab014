"""The table in a terminal: names give way, numbers never; and the notes below it."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.vipylo_rag.evaluate.conftest import Vipylo, WriteDataset
from vipylo_rag.cli.evaluate_tables import print_tables
from vipylo_rag.evaluate import Dataset, Evaluation, Run, score

LANGUAGES = ["Vietnamese (Southern)", "Tiếng Việt miền Trung", "中文（简体）中文（简体）中文", "[bold]en[/]"]


@pytest.fixture
def result(write_dataset: WriteDataset, tmp_path: Path) -> Evaluation:
    """Two runs of long names over forty queries in four languages of long names, each with an interval."""
    queries = [{"_id": f"q{n}", "text": "words", "language": LANGUAGES[n % 4]} for n in range(40)]
    folder = write_dataset(None, queries, [(f"q{n}", "right", 1) for n in range(40)])
    for tag in ("a-run-of-a-long-name", "another-run-of-a-longer-name"):
        lines = [
            f"q{n} Q0 {'right' if place == (n * len(tag)) % 11 else f'd{place}'} 1 {-place} {tag}\n"
            for n in range(40)
            for place in range(11)
        ]
        (tmp_path / f"{tag}.run").write_text("".join(lines))
    runs = [Run.read(file) for file in sorted(tmp_path.glob("*.run"))]
    return score(runs, Dataset.load(folder, corpus=False))


def shown(result: Evaluation, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    print_tables(console, result)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def share(value: float | None) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


@pytest.mark.parametrize("width", [200, 80, 50])
def test_long_names_cost_no_number(result: Evaluation, width: int) -> None:
    lines = shown(result, width)
    assert width == 50 or max(map(len, lines)) <= width
    for group in result.groups:
        ndcg = group.metrics["ndcg@10"]
        recalls = [share(group.metrics[f"recall@{k}"].mean) for k in (1, 5, 10, 100)]
        said = [
            str(group.queries),
            share(ndcg.mean),
            share(ndcg.low),
            share(ndcg.high),
            share(group.metrics["mrr@10"].mean),
        ]
        numbers = r"\s+".join(map(re.escape, [*said, *recalls]))
        assert [line for line in lines if re.search(rf"\s{numbers}\s*$", line)], (group, lines)
    for name in ("nDCG@10", "95 %", "MRR@10", "R@1 ", "R@5", "R@10 ", "R@100", "better", "worse"):
        assert any(name in line for line in lines), name
    text = "\n".join(lines)
    assert ("…" in text) == (width < 200)
    assert "[bold]en[/]" in text or width < 200
    for one in result.differences:
        assert f"{one.paired.better}" in text and one.metric.replace("ndcg", "nDCG").replace("mrr", "MRR") in text


def test_fractions_and_fields_that_are_not_stored_are_told(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> None:
    corpus = [{"_id": "d1", "text": "[1 0]", "source": "s", "page": 3, "year": 1}, {"_id": "d2", "text": "[0 1]"}]
    folder = write_dataset(corpus, [{"_id": "q", "text": "[1 0]"}], [("q", "d1", 0.5), ("q", "d2", 2)])
    command = ["evaluate", folder, "--embedder", prescribed, "--mode", "dense"]
    code, told, _ = vipylo(*command, "--run-out", tmp_path / "runs")
    said = " ".join(told.split())
    assert code == 0 and "1 grade is a fraction: trec_eval cuts them to whole numbers (0.5 counts as 0)" in said
    assert "the documents' own page, source: not stored" in said and "year" not in said
    assert "fraction" not in vipylo(*command)[1]
    (folder / "qrels" / "test.tsv").write_text("q\td1\t1\nq\td2\t2.0\n")
    assert "fraction" not in vipylo(*command, "--run-out", tmp_path / "runs")[1]
    assert (tmp_path / "runs" / "qrels.txt").read_text() == "q 0 d1 1\nq 0 d2 2\n"
