"""The recipe's measures: pages of held-out text only, one right answer each, worn as they say."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from embedder.model import ColPaLiQwenEmbedder
from trainer.starter.corpus import Corpus
from trainer.starter.evaluate import (
    evaluate_pages,
    evaluate_questions,
    evaluate_similarity,
    evaluate_texts,
    question_pages,
    ranked,
    text_pages,
)
from trainer.starter.render import Fonts


@pytest.fixture(scope="module")
def corpora(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Training and held-out parts of small texts."""
    return corpus.split()


@pytest.fixture(scope="module")
def embedder(tiny_checkpoint: Path) -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")


def test_pages_hold_held_out_text_and_their_question_is_a_sentence_of_theirs(corpora: tuple[Corpus, Corpus]) -> None:
    train, held = corpora
    pages = text_pages(held, 6, Fonts())
    assert 2 <= len(pages) <= 6
    seen = {text for document in train.documents for text in document.paragraphs if len(text) > 60}
    for page in pages:
        assert len(page.text) >= 100 and not any(text in page.text for text in seen)
        words = page.query.split()
        inside = [word in page.text for word in words] if page.language != "zh" else [True]
        assert sum(inside) > len(inside) / 2
    again = text_pages(held, 6, Fonts())
    assert [page.query for page in again] == [page.query for page in pages]


def test_scans_are_askew_and_coarse_copies_small(corpora: tuple[Corpus, Corpus]) -> None:
    page = text_pages(corpora[1], 1, Fonts())[0]
    sharp, scan, coarse = page.sharp(), page.scan(random.Random(0)), page.coarse(random.Random(0))
    assert sharp.size == scan.size and coarse.width == pytest.approx(sharp.width * 80 / 150, abs=2)
    before, after = (np.asarray(image.convert("L")).astype(int) for image in (sharp, scan))
    assert np.abs(before - after).mean() > 3
    # A line of text no longer lies in one row: dark rows are less dark.
    assert (255 - after).mean(axis=1).max() < (255 - before).mean(axis=1).max()


def test_only_document_i_is_right_for_query_i() -> None:
    documents = torch.eye(5)
    row = ranked(documents[[0, 1, 2, 3, 0]], documents, "t", "all")
    assert (row.candidates, row.recall) == (5, pytest.approx(0.8))
    assert ranked(torch.ones(5, 3), torch.ones(5, 3), "t", "all").recall == 0.0
    assert ranked(torch.full((5, 3), torch.nan), torch.ones(5, 3), "t", "all").recall == 0.0
    one = ranked(documents, documents, "t", "vi", torch.tensor([4]))
    assert (one.ndcg, one.candidates) == (1.0, 5)


def test_every_measure_runs_on_a_checkpoint(
    corpora: tuple[Corpus, Corpus], embedder: ColPaLiQwenEmbedder, tmp_path: Path
) -> None:
    _, held = corpora
    pages = text_pages(held, 3, Fonts())
    tasks = {row.task for row in evaluate_pages(embedder, pages, scans=2, others=2)}
    assert {"text -> page image", "page image -> its text", "text -> page image as a scan"} <= tasks
    assert "text -> page image as a scan" not in {row.task for row in evaluate_pages(embedder, pages, 0, 0)}
    questions = question_pages(held, 2, Fonts())
    assert questions and {row.task for row in evaluate_questions(embedder, questions)} == {"question -> page image"}
    assert {row.task for row in evaluate_texts(embedder, held, 5)} >= {"text -> its translation"}
    file = tmp_path / "sts.csv"
    same = "A man is playing a flute near the river."
    file.write_text(f'"{same}","{same}",5.0\n"{same}","Two dogs",0.5\n"A cat","{same}",1.0\n', encoding="utf-8")
    language, rho = evaluate_similarity(embedder, file)
    assert language == "en" and rho >= 0.5  # the pair of equal sentences comes first
