"""Sides to vectors: a bad one costs itself, and with several ranks nothing is tried that others do not try."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from embedder.errors import InputError
from embedder.model import ColPaLiQwenEmbedder
from embedder.protocol import Sample
from trainer import side_vectors
from trainer.data import Side
from trainer.side_vectors import embed_sides

SIDES = [Side("one"), Side("bad"), Side("three")]


@pytest.fixture
def embedder(tiny_checkpoint: Path) -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")


def failing(embedder: ColPaLiQwenEmbedder, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Any batch with the text "bad" raises."""
    stock = embedder.encode_rows

    def encode_rows(samples: Sequence[Sample], **options: Any) -> Any:
        if any(sample.text == "bad" for sample in samples):
            raise error
        return stock(samples, **options)

    monkeypatch.setattr(embedder, "encode_rows", encode_rows)


def test_a_bad_side_costs_its_own_row(embedder: ColPaLiQwenEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = embed_sides(embedder, SIDES, 3, show_progress=False).vectors
    failing(embedder, monkeypatch, RuntimeError("strange"))
    found = embed_sides(embedder, SIDES, 3, show_progress=False)
    assert found.errors == {1: "strange"} and not found.vectors[1].any()
    assert torch.allclose(found.vectors[[0, 2]], expected[[0, 2]], atol=1e-5)


def test_with_several_ranks_the_model_is_not_called_again(
    embedder: ColPaLiQwenEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_vectors, "world_size", lambda: 2)
    with monkeypatch.context() as patch:
        failing(embedder, patch, RuntimeError("out of memory"))
        with pytest.raises(RuntimeError, match="out of memory"):
            embed_sides(embedder, SIDES, 3, show_progress=False)
    failing(embedder, monkeypatch, InputError("a bad sample, on every rank"))
    assert embed_sides(embedder, SIDES, 3, show_progress=False).errors == {1: "a bad sample, on every rank"}
