"""A data set whose figures are worked out by hand below, through the `vipylo evaluate` command."""

import json
import math
from pathlib import Path

import pytest

from connectors.loaders.base import content_digest
from connectors.page import page_id
from tests.vipylo_rag.evaluate.conftest import Vipylo, WriteDataset

# Cosines with the query [1]: 1.0, 0.96, 0.8, 0.6, 0.28, 0.0. Queries on the second axis [0 1] see the other order.
CORPUS = [
    {"_id": "d1", "title": "one", "text": "[1 0]"},
    {"_id": "d2", "text": "two [0.96 0.28]"},
    {"_id": "d3", "text": "three [0.8 0.6]"},
    {"_id": "d4", "text": "four [0.6 0.8]"},
    {"_id": "d5", "text": "five [0.28 0.96]"},
    {"_id": "d6", "text": "six [0 1]"},
    # Twins of equal score for every query: [-1 0] is last for [1], and with cosine 0 after d6..d2 for [0 1].
    {"_id": "t1", "text": "[-1 0]"},
    {"_id": "t2", "text": "[-1 0]"},
]
QUERIES = [
    {"_id": "graded", "text": "[1 0]", "language": "vi"},
    {"_id": "other axis", "text": "[0 1]", "language": "en"},
    {"_id": "tied", "text": "[-1 0]", "language": "en"},
    {"_id": "unjudged", "text": "[1 0]"},
    {"_id": "nothing right", "text": "[1 0]"},
]
QRELS = [
    ("graded", "d3", 2),
    ("graded", "d1", 1),
    ("graded", "d6", 3),
    ("graded", "d2", 0),
    ("other axis", "d1", 1),
    ("tied", "t2", 1),
    ("nothing right", "d1", 0),
    ("nothing right", "d2", -1),
]


def log2(value: float) -> float:
    return math.log2(value)


def expected() -> dict[str, dict[str, float]]:
    """Worked out by hand.

    "graded" ranks d1 d2 d3 d4 d5 d6 t1 t2 (cosines 1, .96, .8, .6, .28, 0, -1, -1): d1 (grade 1) at 1, d3 (grade 2) at
    3, d6 (grade 3) at 6. With -k 5 the ranking is read down to 5: d6 is missing.
      DCG@5 = 1/log2(2) + 2/log2(4) = 1 + 1 = 2
      IDCG@5 = 3/log2(2) + 2/log2(3) + 1/log2(4) = 3 + 1.2618595071429148 + 0.5 = 4.761859507142915
      nDCG@5 = 0.42000399150792816; recall@5 = 2/3; MRR@5 = 1
      nDCG@1 = (1/1) / (3/1) = 1/3; recall@1 = 1/3; MRR@1 = 1
    "other axis" ranks d6 d5 d4 d3 d2 (cosines 1, .96, .8, .6, .28), then d1, t1, t2 with 0: d1 is behind the cut of 5:
      every figure is 0.
    "tied": t1 and t2 have cosine 1 and one content. The one of the smaller page id stands first, so t2 is at 1 or at 2:
      nDCG@5 = 1/log2(1 + rank), recall@1 = 1 if rank is 1, MRR@5 = 1/rank.
    """
    rank = 1 if page_id("t2", 1) < page_id("t1", 1) else 2
    first = float(rank == 1)
    return {
        "graded": {
            "ndcg@1": 1 / 3, "ndcg@5": 2 / (3 + 2 / log2(3) + 1 / 2),
            "recall@1": 1 / 3, "recall@5": 2 / 3, "mrr@1": 1.0, "mrr@5": 1.0,
        },
        "other axis": dict.fromkeys(("ndcg@1", "ndcg@5", "recall@1", "recall@5", "mrr@1", "mrr@5"), 0.0),
        "tied": {
            "ndcg@1": first, "ndcg@5": 1 / log2(1 + rank),
            "recall@1": first, "recall@5": 1.0, "mrr@1": first, "mrr@5": 1 / rank,
        },
    }  # fmt: skip


def test_the_command_gives_what_was_worked_out_by_hand(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> None:
    assert expected()["graded"]["ndcg@5"] == pytest.approx(0.42000399150792816, abs=1e-12)
    folder, out = write_dataset(CORPUS, QUERIES, QRELS), tmp_path / "out.json"
    code, told, _ = vipylo(
        "evaluate", folder, "--embedder", prescribed, "--mode", "dense", "-k", 1, "-k", 5, "--json", out
    )
    assert code == 0
    said = json.loads(out.read_text())
    rows = {row["query"]: row for row in said["queries"]}
    assert {name: row["metrics"] for name, row in rows.items()} == {
        name: pytest.approx(values, abs=1e-6) for name, values in expected().items()
    }
    (whole,) = (group for group in said["groups"] if group["by"] == "all")
    for metric in ("ndcg@1", "ndcg@5", "recall@1", "recall@5", "mrr@1", "mrr@5"):
        mean = sum(values[metric] for values in expected().values()) / 3
        assert whole["metrics"][metric]["mean"] == pytest.approx(mean, abs=1e-6)
    assert [(one["id"], one["grade"], one["rank"]) for one in rows["graded"]["right"]] == [
        ("d1", 1, 1), ("d3", 2, 3), ("d6", 3, None),
    ]  # fmt: skip
    assert [one["id"] for one in rows["other axis"]["found"]] == ["d6", "d5", "d4", "d3", "d2"]
    assert {name: row["tied"] for name, row in rows.items()} == {"graded": False, "other axis": False, "tied": True}
    assert said["measured"]["unjudged"] == 2
    assert {group["value"]: group["queries"] for group in said["groups"] if group["by"] == "language"} == {
        "vi": 1,
        "en": 2,
    }
    assert f" {whole['metrics']['ndcg@5']['mean']:.3f} ".replace("0.", ".") in told
    assert "2 queries without a right document in the split: left out" in told
    assert "1 query with a right and a wrong document of equal score" in told


def test_at_ten_all_are_found_and_ranks_are_those_of_the_whole_ranking(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> None:
    """Of the same ranking, read down to 10.

    "graded": d1 at 1, d3 at 3, d6 at 6: DCG@10 = 1 + 2/2 + 3/log2(7) = 1 + 1 + 1.0686215613240666 = 3.0686215613240666
      nDCG@10 = 3.0686215613240666 / 4.761859507142915 = 0.6444170...; recall@10 = 1; MRR@10 = 1
    "other axis": d1, t1 and t2 share the cosine 0 at ranks 6 to 8, in the order of their contents' hashes, the twins
    in that of their page ids.
    """
    folder, out = write_dataset(CORPUS, QUERIES, QRELS), tmp_path / "out.json"
    assert vipylo("evaluate", folder, "--embedder", prescribed, "--mode", "dense", "-k", 10, "--json", out)[0] == 0
    rows = {row["query"]: row["metrics"] for row in json.loads(out.read_text())["queries"]}
    graded = (1 + 2 / 2 + 3 / log2(7)) / (3 + 2 / log2(3) + 1 / 2)
    assert rows["graded"] == pytest.approx({"ndcg@10": graded, "recall@10": 1.0, "mrr@10": 1.0}, abs=1e-6)

    def place_of(id_: str, text: str = "[-1 0]") -> tuple[str, str]:
        return content_digest(None, text), page_id(id_, 1)

    place = 6 + sum(place_of(twin) < place_of("d1", "one\n[1 0]") for twin in ("t1", "t2"))
    assert rows["other axis"] == pytest.approx(
        {"ndcg@10": 1 / log2(place + 1), "recall@10": 1.0, "mrr@10": 1 / place}, abs=1e-6
    )


def test_words_alone_rank_by_hand(write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path) -> None:
    """BM25: "alpha alpha" outweighs "alpha beta" for the word alpha; the document without the word is not found.

    d-two (grade 1) at 2, d-none (grade 2) missing: nDCG@10 = (1/log2(3)) / (2 + 1/log2(3)), recall@10 = 1/2 and
    MRR@10 = 1/2.
    """
    folder = write_dataset(
        [
            {"_id": "d-one", "text": "alpha alpha"},
            {"_id": "d-two", "text": "alpha beta"},
            {"_id": "d-none", "text": "gamma delta"},
        ],
        [{"_id": "q", "text": "alpha"}],
        [("q", "d-two", 1), ("q", "d-none", 2)],
    )
    out = tmp_path / "out.json"
    code, told, _ = vipylo("evaluate", folder, "--embedder", prescribed, "--mode", "lexical", "-k", 10, "--json", out)
    (row,) = json.loads(out.read_text())["queries"]
    assert code == 0 and [one["id"] for one in row["found"]] == ["d-one", "d-two"]
    ndcg = (1 / log2(3)) / (2 + 1 / log2(3))
    assert row["metrics"] == pytest.approx({"ndcg@10": ndcg, "recall@10": 0.5, "mrr@10": 0.5}, abs=1e-6)
    (group,) = json.loads(out.read_text())["groups"]
    assert group["metrics"]["ndcg@10"]["low"] is None and "–" in told  # one query has no interval
