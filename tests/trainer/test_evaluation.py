"""Metrics against hand-worked cases and plain Python, exact search against a full sort, evaluation of real models."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from embedder import ColPaLiQwenEmbedder
from embedder.protocol import EncodedRows, Sample
from trainer.data import JsonlSamples
from trainer.evaluation import Evaluation, evaluate
from trainer.exact_search import nearest, ranks_of_right
from trainer.metrics import average_ranks, ndcg_at_k, recall_at_k, reciprocal_rank, spearman

WriteLines = Callable[[list[dict[str, Any] | str]], JsonlSamples]


@pytest.fixture(scope="module")
def starter() -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained("starter", device="cpu")


@pytest.fixture
def lines(tmp_path: Path) -> WriteLines:
    def write(entries: list[dict[str, Any] | str]) -> JsonlSamples:
        file = tmp_path / "samples.jsonl"
        texts = [entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in entries]
        file.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return JsonlSamples(file)

    return write


def pair(query: str, positive: str, task: str = "ocr", **more: Any) -> dict[str, Any]:
    return {"task": task, "query": {"text": query}, "positive": {"text": positive}, **more}


# --- metrics by hand


def test_ndcg_by_hand() -> None:
    assert ndcg_at_k([1]) == 1.0
    assert ndcg_at_k([3]) == pytest.approx(0.5)  # 1 / log2(4)
    assert ndcg_at_k([11]) == 0.0 and ndcg_at_k([math.inf]) == 0.0
    # Two right documents at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2 3)
    assert ndcg_at_k([3, 1]) == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    # Graded: gain 1 at rank 1 and gain 3 at rank 2, best is the other way round.
    assert ndcg_at_k([2, 1], gains=[3, 1]) == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))
    assert ndcg_at_k([1, 2], gains=[3, 1]) == 1.0
    # 3 right documents and k = 2: two of them in front are the best there is.
    assert ndcg_at_k([1, 2, 9], k=2) == 1.0
    assert math.isnan(ndcg_at_k([])) and math.isnan(ndcg_at_k([1], gains=[0]))


def test_recall_and_reciprocal_rank_by_hand() -> None:
    assert recall_at_k([1, 6], 5) == 0.5 and recall_at_k([1, 6], 6) == 1.0 and recall_at_k([2], 1) == 0.0
    assert reciprocal_rank([4, 2]) == 0.5 and reciprocal_rank([math.inf]) == 0.0
    assert math.isnan(recall_at_k([], 3)) and math.isnan(reciprocal_rank([]))


def test_spearman_by_hand() -> None:
    assert spearman([1, 2, 3], [10, 20, 21]) == 1.0 and spearman([1, 2, 3], [3, 2, 1]) == -1.0
    # Without ties: 1 - 6 * (0 + 1 + 1) / (3 * 8)
    assert spearman([1, 2, 3], [5, 9, 7]) == pytest.approx(0.5)
    # Ranks 1.5, 1.5, 3 against 1, 2, 3: covariance 1.5, squares 1.5 and 2.
    assert spearman([7, 7, 9], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(1.5 * 2))
    assert math.isnan(spearman([1, 1], [1, 2])) and math.isnan(spearman([1], [1]))
    assert math.isnan(spearman([1, math.nan], [1, 2]))
    assert average_ranks([30, 10, 30, 20]).tolist() == [3.5, 1, 3.5, 2]


@pytest.mark.parametrize(
    "call",
    [lambda: ndcg_at_k([0]), lambda: recall_at_k([1], 0), lambda: ndcg_at_k([1], gains=[1, 2]),
     lambda: ndcg_at_k([1], gains=[-1]), lambda: spearman([1, 2], [1])],
)  # fmt: skip
def test_senseless_arguments_are_refused(call: Callable[[], float]) -> None:
    with pytest.raises(ValueError):
        call()


# --- metrics against plain Python


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), min_size=1, max_size=8, unique_by=lambda pair: pair[0]),
    st.integers(1, 20),
)
def test_ranking_metrics_equal_a_walk_down_the_list(found: list[tuple[int, int]], k: int) -> None:
    gain_at = dict(found)
    dcg = sum(gain_at.get(rank, 0) / math.log2(rank + 1) for rank in range(1, k + 1))
    best = sorted(gain_at.values(), reverse=True)
    ideal = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(best[:k], start=1))
    ranks = [rank for rank, _ in found]
    value = ndcg_at_k(ranks, k, [gain for _, gain in found])
    assert math.isnan(value) if ideal == 0 else value == pytest.approx(dcg / ideal)
    assert recall_at_k(ranks, k) == pytest.approx(sum(rank in gain_at for rank in range(1, k + 1)) / len(ranks))
    first = next(rank for rank in range(1, 41) if rank in gain_at)
    assert reciprocal_rank(ranks) == pytest.approx(1 / first)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=12))
def test_spearman_equals_pearson_of_counted_ranks(pairs: list[tuple[int, int]]) -> None:
    def ranks(values: list[int]) -> list[float]:  # one more than the smaller ones, and half of the other equal ones
        return [1 + sum(o < v for o in values) + (sum(o == v for o in values) - 1) / 2 for v in values]

    x, y = ranks([a for a, _ in pairs]), ranks([b for _, b in pairs])
    mean = (len(pairs) + 1) / 2
    top = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    squares = sum((a - mean) ** 2 for a in x) * sum((b - mean) ** 2 for b in y)
    value = spearman([a for a, _ in pairs], [b for _, b in pairs])
    assert math.isnan(value) if squares == 0 else value == pytest.approx(top / math.sqrt(squares))


# --- exact search

vectors = st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=14)


@settings(max_examples=60, deadline=None)
@given(vectors, vectors, st.data())
def test_ranks_in_blocks_equal_a_full_sort(queries: Any, documents: Any, data: st.DataObject) -> None:
    every = st.lists(st.integers(0, len(documents) - 1), max_size=4, unique=True)
    right = [data.draw(every) for _ in queries]
    q, d = torch.tensor(queries).float(), torch.tensor(documents).float()
    found = ranks_of_right(q, d, right, query_block=3, document_block=4)
    for row, wanted in enumerate(right):
        scores = (d @ q[row]).tolist()
        # Wrong documents first among equals.
        order = sorted(range(len(scores)), key=lambda n, s=scores, w=wanted: (-s[n], n in w))  # type: ignore[misc]
        expected = {place: scores[n] for place, n in enumerate(order, start=1) if n in wanted}
        got = {int(rank): scores[n] for n, rank in zip(wanted, found[row], strict=True)}
        assert got == expected


@settings(max_examples=40, deadline=None)
@given(vectors, vectors, st.integers(1, 6), st.data())
def test_nearest_in_blocks_equals_a_full_sort(queries: Any, documents: Any, k: int, data: st.DataObject) -> None:
    every = st.lists(st.integers(0, len(documents) - 1), max_size=4)
    excluded = [data.draw(every) for _ in queries]
    ceiling = torch.tensor([float(data.draw(st.integers(-2, 9))) for _ in queries])
    q, d = torch.tensor(queries).float(), torch.tensor(documents).float()
    found = nearest(q, d.half(), k, ceiling=ceiling, excluded=excluded, document_block=4)
    for row in range(len(queries)):
        scores = (d @ q[row]).tolist()
        free = [score for n, score in enumerate(scores) if n not in excluded[row]]
        allowed = sorted((score for score in free if score <= ceiling[row]), reverse=True)
        kept = [n for n, score in zip(found.rows[row].tolist(), found.scores[row].tolist(), strict=True) if score > -99]
        assert [scores[n] for n in kept] == allowed[:k]
        assert len(set(kept)) == len(kept) and not set(kept) & set(excluded[row])
        assert int(found.above[row]) == sum(score > ceiling[row] for score in free)


def test_one_vector_for_everything_ranks_last_and_so_does_nan() -> None:
    same = torch.nn.functional.normalize(torch.randn(1, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    ranks = ranks_of_right(same.expand(5, -1), same.expand(40, -1), [[n] for n in range(5)], document_block=7)
    assert [int(rank[0]) for rank in ranks] == [40] * 5
    lost = torch.full((1, 64), math.nan)
    assert int(ranks_of_right(lost, same.expand(40, -1), [[3]])[0][0]) >= 40
    documents = torch.cat([same, lost.expand(6, -1)])
    assert int(ranks_of_right(same, documents, [[0]])[0][0]) == 7


# --- evaluate

TOPICS = [
    ("hợp đồng lao động", "Hợp đồng lao động là sự thỏa thuận giữa người lao động và người sử dụng lao động.", "vi"),
    ("nghỉ hằng năm", "Người lao động được nghỉ hằng năm và hưởng nguyên lương.", "vi"),
    ("neural network layers", "A neural network has layers, and each layer has weights.", "en"),
    ("the weather in spring", "In spring the weather is mild and the flowers open.", "en"),
    ("how to cook rice", "To cook rice, wash it and boil it in water.", "en"),
]


def test_distinct_documents_queries_and_languages(starter: ColPaLiQwenEmbedder, lines: WriteLines) -> None:
    entries: list[dict[str, Any] | str] = [pair(query, text, language=code) for query, text, code in TOPICS]
    entries.append(pair("boiling rice", "To cook rice,  wash it and boil it in water.", language="en"))  # same document
    result = evaluate(starter, lines(entries), batch_size=4)
    whole = result.parts[0]
    assert (whole.task, whole.language, whole.queries, whole.documents) == ("ocr", None, 6, 5)
    assert [(p.name, p.queries, p.documents) for p in result.parts[1:]] == [("ocr/en", 4, 3), ("ocr/vi", 2, 2)]
    assert result.metrics["mean"] == result.metrics["ocr/ndcg@10"] > 0.8  # the starter knows these texts apart
    assert set(whole.metrics) == {"ndcg@10", "recall@1", "recall@5", "recall@10", "mrr"}
    assert result.metrics["ocr/recall@10"] == 1.0 and result.skipped == 0


def test_numbers_are_those_of_plain_code(starter: ColPaLiQwenEmbedder, lines: WriteLines) -> None:
    result = evaluate(starter, lines([pair(query, text) for query, text, _ in TOPICS]))
    queries = starter.encode([query for query, _, _ in TOPICS], task="ocr")
    documents = starter.encode([text for _, text, _ in TOPICS])
    assert isinstance(queries, Tensor) and isinstance(documents, Tensor)
    scores = queries @ documents.T
    ranks = [1 + sum(float(s) > float(row[i]) for s in row) for i, row in enumerate(scores)]
    assert result.metrics["ocr/ndcg@10"] == pytest.approx(np.mean([1 / math.log2(rank + 1) for rank in ranks]))
    assert result.metrics["ocr/mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]))


def test_several_right_documents(starter: ColPaLiQwenEmbedder, lines: WriteLines) -> None:
    """Equal queries share their documents, and so do samples of one group."""
    same = [pair("nghỉ hằng năm", text) for text in ("Nghỉ hằng năm.", "Ngày nghỉ hằng năm của người lao động.")]
    grouped = [pair(query, text, group="rice") for query, text in (("rice", "Boil rice."), ("cook rice", "Wash rice."))]
    other = [pair(query, text) for query, text, _ in TOPICS[2:4]]
    result = evaluate(starter, lines([*same, *grouped, *other]), ks=(1, 2))
    assert result.parts[0].queries == 5 and result.parts[0].documents == 6
    alone = evaluate(starter, lines([*same[:1], *grouped, *other]), ks=(1, 2))
    # Of two right documents at most one can be first: 3 of 5 queries can reach 0.5 only.
    assert result.metrics["ocr/recall@1"] <= (3 * 0.5 + 2) / 5 < alone.metrics["ocr/recall@1"] + 0.4
    assert result.metrics["ocr/recall@2"] > result.metrics["ocr/recall@1"]


def test_scored_pairs(starter: ColPaLiQwenEmbedder, lines: WriteLines) -> None:
    """Spearman stands for the task in the mean; a pair of score 0 is no answer, but a candidate."""
    entries = [
        pair("A man plays the guitar.", "A man is playing a guitar.", "text_pair", score=1.0),
        pair("A dog runs in the park.", "A dog is running through a park.", "text_pair", score=0.9),
        pair("A woman cuts an onion.", "The stock market fell again.", "text_pair", score=0.0),
        pair("Children play football.", "A function returns its value.", "text_pair", score=0.1),
        *(pair(query, text) for query, text, _ in TOPICS),
    ]
    result = evaluate(starter, lines(list(entries)))
    scored = next(part for part in result.parts if part.task == "text_pair")
    assert (scored.queries, scored.documents) == (2, 4)
    cosines = [
        float((starter.encode(one, task="text_pair") * starter.encode(two)).sum())
        for one, two in [(entry["query"]["text"], entry["positive"]["text"]) for entry in entries[:4]]
    ]
    assert result.metrics["text_pair/spearman"] == pytest.approx(spearman(cosines, [1.0, 0.9, 0.0, 0.1]))
    assert result.metrics["text_pair/spearman"] > 0.4
    tasks = (result.metrics["text_pair/spearman"], result.metrics["ocr/ndcg@10"])
    assert result.metrics["mean"] == pytest.approx(sum(tasks) / 2)


def test_prefixes_are_those_of_training(starter: ColPaLiQwenEmbedder, lines: WriteLines) -> None:
    samples = lines([pair(query, text) for query, text, _ in TOPICS])
    seen: list[Sample] = []
    encode_rows = starter.encode_rows

    def spy(given: Any, **options: Any) -> EncodedRows:
        seen.extend(given)
        return encode_rows(given, **options)

    starter.encode_rows = spy  # type: ignore[method-assign, assignment]
    try:
        evaluate(starter, samples)
        evaluate(starter, samples, prefixes=False)
    finally:
        del starter.encode_rows
    texts = [sample.text for sample in seen]
    assert texts.count("<ocr> nghỉ hằng năm") == 1 and texts.count("nghỉ hằng năm") == 1
    assert texts.count(TOPICS[0][1]) == 2  # a document never has one


def test_bad_samples_are_skipped_and_counted(
    tiny_checkpoint: Path, lines: WriteLines, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")
    for name, colour in (("red.png", "red"), ("blue.png", "blue")):
        Image.new("RGB", (56, 56), colour).save(tmp_path / name)
    (tmp_path / "copy.png").write_bytes((tmp_path / "red.png").read_bytes())
    (tmp_path / "cut.png").write_bytes((tmp_path / "red.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("not a picture")

    def page(query: str, image: str) -> dict[str, Any]:
        return {"task": "ocr", "query": {"text": query}, "positive": {"images": [image]}}

    good = [page("red", "red.png"), page("rot", "copy.png"), page("blue", "blue.png")]
    wrong = [page("cut", "cut.png"), page("text", "text.png"), page("gone", "gone.png"), "{broken"]
    tiny.train()
    result = evaluate(tiny, lines(list[dict[str, Any] | str]([*good, *wrong])))
    assert tiny.training  # as it was found
    assert (result.samples, result.skipped) == (7, 4)
    assert {int(message.split(":")[1]) for message in result.bad} == {4, 5, 6, 7}
    assert any("gone.png" in message for message in caplog.messages)
    assert (result.parts[0].queries, result.parts[0].documents) == (3, 2)  # equal files are one document


def test_nothing_to_choose_from(starter: ColPaLiQwenEmbedder, lines: WriteLines) -> None:
    result = evaluate(starter, lines([pair("a", "the same"), pair("b", "the same"), pair("c", "one", "instr")]))
    assert result.parts == () and result.metrics == {}
    assert "no task" in result.table()


def test_json_and_table() -> None:
    result = _made_up()
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert Evaluation.from_json(content) == result
    assert content["metrics"]["mean"] == pytest.approx((0.5 + 0.25) / 2)
    table = result.table().splitlines()
    assert table[0].split() == ["task", "language", "queries", "documents", "nDCG@10".lower(), "recall@1", "spearman"]
    assert table[2].split() == ["ocr", "vi", "3", "4", "0.600", "0.400"]
    assert table[3].split() == ["text_pair", "all", "2", "5", "0.250"]
    assert table[4] == "mean 0.375" and "1 of 9 samples" in table[5] and "x.jsonl:3" in table[5]


def _made_up() -> Evaluation:
    from trainer.evaluation import Part

    parts = (
        Part("ocr", None, 4, 6, {"ndcg@10": 0.5, "recall@1": 0.3}),
        Part("ocr", "vi", 3, 4, {"ndcg@10": 0.6, "recall@1": 0.4}),
        Part("text_pair", None, 2, 5, {"spearman": 0.25}),
    )
    return Evaluation(parts, 9, 1, ("x.jsonl:3: query: is empty",), 1.5)
