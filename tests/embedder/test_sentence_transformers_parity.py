"""The same directory in sentence-transformers gives the same vectors. Needs sentence-transformers and torchvision."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder import ColPaLiQwenEmbedder

sentence_transformers = pytest.importorskip(
    "sentence_transformers", reason="parity: sentence-transformers not installed"
)
pytest.importorskip("torchvision", reason="parity: torchvision not installed")


def picture(seed: int, width: int, height: int) -> Image.Image:
    """A smooth random picture: noise alone would test the resampling filters, not the model."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


SAMPLES = {
    "text": ("Hợp đồng lao động số 12", []),
    "prefixed text": ("<ocr> 发票 total 2026", []),
    "image": ("", [picture(1, 150, 90)]),
    "mixed": ("<vqa_single> What is shown?", [picture(2, 64, 200)]),
    "marked": ("before <image> after", [picture(3, 100, 100)]),
    "several images": ("compare these", [picture(4, 90, 90), picture(5, 200, 60), picture(6, 60, 120)]),
}


def as_input(text: str, images: list[Image.Image]) -> object:
    if not images:
        return text
    return {"text": text, "image": images} if text else {"image": images}


@pytest.fixture(scope="module", params=["tiny", "starter"])
def checkpoint(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> Path:
    from embedder.checkpoint import resolve

    return tiny_checkpoint if request.param == "tiny" else resolve("starter")


@pytest.fixture(scope="module")
def theirs(checkpoint: Path):
    return sentence_transformers.SentenceTransformer(
        str(checkpoint), device="cpu", local_files_only=True, model_kwargs={"dtype": "float32"}
    )


@pytest.fixture(scope="module")
def ours(checkpoint: Path) -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained(checkpoint, device="cpu")


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_single_sample(kind: str, theirs, ours: ColPaLiQwenEmbedder) -> None:
    text, images = SAMPLES[kind]
    expected = theirs.encode([as_input(text, images)])[0]
    actual = ours.encode(text=[text], images=[images], convert_to="numpy")[0]
    assert float(expected @ actual) >= 0.9999


def test_a_batch_of_all_kinds(theirs, ours: ColPaLiQwenEmbedder) -> None:
    expected = theirs.encode([as_input(text, images) for text, images in SAMPLES.values()])
    actual = ours.encode(
        text=[text for text, _ in SAMPLES.values()],
        images=[images for _, images in SAMPLES.values()],
        convert_to="numpy",
    )
    assert (expected * actual).sum(axis=1).min() >= 0.9999


def test_a_prompt_is_a_task(theirs, ours: ColPaLiQwenEmbedder) -> None:
    expected = theirs.encode([{"text": "Hóa đơn", "image": [picture(7, 80, 80)]}], prompt_name="ocr")
    actual = ours.encode(text=["Hóa đơn"], images=[picture(7, 80, 80)], task="ocr", convert_to="numpy")
    assert float(expected[0] @ actual[0]) >= 0.9999
