"""Fixtures for the embedder's tests: a tiny random model and pictures that differ."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder import ColPaLiQwenEmbedder


@pytest.fixture(scope="session")
def embedder(tiny_checkpoint: Path) -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Eight pictures of different sizes; the first two have the same number of tokens."""
    rng = np.random.default_rng(0)
    sizes = [(84, 56), (84, 56), (112, 112), (56, 140), (300, 40), (28, 28), (200, 150), (60, 61)]
    return [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
