"""The encode contract of DESIGN 3, as the model card shows it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from embedder import ColPaLiQwenEmbedder, InputError, Sample
from embedder.prefixes import literal


def test_one_mixed_sample(embedder: ColPaLiQwenEmbedder, pictures: list[Image.Image]) -> None:
    assert embedder.encode(text="<vqa_single> Trong ảnh có gì?", images=pictures[0]).shape == (1, 1024)


def test_two_texts_and_their_cosine(embedder: ColPaLiQwenEmbedder) -> None:
    first, second = embedder.encode(text=["<text_pair> một con mèo", "<text_pair> a cat"])
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=0)
    assert -1.0 <= float(cosine) < 0.9999
    assert float(first @ second) == pytest.approx(float(cosine), abs=1e-6)


def test_an_ocr_sample(embedder: ColPaLiQwenEmbedder, pictures: list[Image.Image]) -> None:
    assert embedder.encode(text=["<ocr> Tổng cộng: 1.250.000 đ"], images=[pictures[2]]).shape == (1, 1024)


def test_a_batch_of_four(embedder: ColPaLiQwenEmbedder, pictures: list[Image.Image]) -> None:
    img = pictures[0]
    vectors = embedder.encode(text=["a", "b", "c", "d"], images=[img, img, None, None], batch_size=2)
    assert vectors.shape == (4, 1024)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(4), atol=1e-6)


def test_argument_forms_agree(embedder: ColPaLiQwenEmbedder, pictures: list[Image.Image]) -> None:
    one, two = pictures[:2]
    reference = embedder.encode(text=["x"], images=[[one, two]])
    assert torch.equal(embedder.encode(text="x", images=[one, two]), reference)
    assert torch.equal(embedder.encode(text="x", images=[[one, two]]), reference)
    assert torch.equal(embedder.encode(images=[one]), embedder.encode(text=[""], images=[[one]]))
    assert embedder.encode(images=[one, two]).shape == (2, 1024)


def test_task_equals_written_prefix(embedder: ColPaLiQwenEmbedder) -> None:
    assert torch.equal(embedder.encode("xin chào", task="ocr"), embedder.encode("<ocr> xin chào"))
    assert torch.equal(embedder.encode("<ocr> xin chào", task="ocr"), embedder.encode("<ocr> xin chào"))
    assert not torch.allclose(embedder.encode("xin chào", task="instr"), embedder.encode("<ocr> xin chào"))
    with pytest.raises(InputError, match="row 1: task='instr', but the text already starts with <ocr>"):
        embedder.encode(["xin", "<ocr> xin chào"], task="instr")


def test_dim_normalize_and_convert_to(embedder: ColPaLiQwenEmbedder) -> None:
    full = embedder.encode(["a", "b"])
    cut = embedder.encode(["a", "b"], dim=64, convert_to="numpy")
    assert isinstance(cut, np.ndarray) and cut.shape == (2, 64)
    assert np.allclose(cut, (full[:, :64] / full[:, :64].norm(dim=1, keepdim=True)).numpy(), atol=1e-6)
    raw = embedder.encode(["a", "b"], normalize=False)
    assert torch.allclose(raw / raw.norm(dim=1, keepdim=True), full, atol=1e-6)
    assert not torch.allclose(raw.norm(dim=1), torch.ones(2))


def test_precision(embedder: ColPaLiQwenEmbedder) -> None:
    full = embedder.encode(["a", "b"], convert_to="numpy")
    int8 = embedder.encode(["a", "b"], precision="int8", convert_to="numpy")
    assert int8.dtype == np.int8
    assert np.abs(int8 / 127.0 - full).max() <= 0.5 / 127 + 1e-6
    binary = embedder.encode(["a", "b"], precision="binary", convert_to="numpy")
    assert np.array_equal(binary, np.packbits(full > 0, axis=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ["ok", "  "]}, "row 1: the sample is empty"),
        ({"text": ["<ocr> "]}, "row 0: the sample is empty"),
        ({"text": ["ok", "ok"], "images": [None]}, "2 texts but 1 entries"),
        ({"text": ["ok", 3]}, "row 1: text is a int"),
        ({"text": ["ok"], "images": ["a.png"]}, "row 0: an image is"),
        ({"text": ["a <image> b"]}, "row 0: 1 <image> markers but 0 images"),
        ({"text": ["a"], "task": "poetry"}, "unknown task 'poetry'"),
        ({"text": ["a"], "dim": 1025}, "dim=1025"),
        ({"text": ["a"], "precision": "int4"}, "precision='int4'"),
        ({}, "nothing to encode"),
    ],
)
def test_bad_input_names_the_row(embedder: ColPaLiQwenEmbedder, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embedder.encode(**arguments)


def test_a_sixth_image_is_refused(embedder: ColPaLiQwenEmbedder, pictures: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="row 1: 6 images, but this checkpoint allows 5"):
        embedder.encode(text=["ok", "six"], images=[pictures[:5], pictures[:6]])


def test_images_that_do_not_fit_are_refused(tiny_checkpoint, pictures: list[Image.Image]) -> None:
    small = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu", max_tokens=20)
    with pytest.raises(ValueError, match=r"row 1: its images take .* tokens, the limit is 20"):
        small.encode(text=["ok", "two"], images=[None, [pictures[2], pictures[2]]])


def test_an_unreadable_image_costs_its_own_row(embedder, pictures: list[Image.Image], tmp_path) -> None:
    pictures[6].save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    broken = Image.open(tmp_path / "cut.png")
    samples = [Sample("a", (pictures[0],)), Sample("b", (broken,)), Sample("", ()), Sample("d")]
    rows = embedder.encode_rows(samples)
    assert set(rows.errors) == {1, 2}
    assert "cut.png cannot be decoded" in str(rows.errors[1])
    assert np.isnan(rows.vectors[[1, 2]]).all()
    alone = embedder.encode(text=["a", "d"], images=[pictures[0], None], convert_to="numpy")
    assert np.abs(rows.vectors[[0, 3]] - alone).max() < 1e-5


def test_exif_orientation_changes_the_plan_and_the_pixels(embedder, pictures: list[Image.Image], tmp_path) -> None:
    upright = pictures[4]  # 300 x 40
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    turned = Image.open(tmp_path / "turned.png")
    assert torch.allclose(embedder.encode(images=[turned]), embedder.encode(images=[upright]), atol=1e-6)


def test_broken_exif_is_no_reason_to_lose_a_picture(embedder, pictures: list[Image.Image], tmp_path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "upside down"  # a description; renumbered below into an orientation that is text
    pictures[0].save(tmp_path / "whole.jpg", exif=exif, quality=95)
    content = (tmp_path / "whole.jpg").read_bytes()
    assert content.count(b"\x01\x0e\x00\x02") == 1
    (tmp_path / "odd.jpg").write_bytes(content.replace(b"\x01\x0e\x00\x02", b"\x01\x12\x00\x02"))
    odd = embedder.encode_rows([Sample("", (Image.open(tmp_path / "odd.jpg"),)), Sample("x")])
    assert odd.errors == {} and np.isfinite(odd.vectors).all()


def test_processor_is_settable(tiny_checkpoint, pictures: list[Image.Image]) -> None:
    first = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")
    before, mark = first.encode(images=[pictures[6]]), first.fingerprint
    first.processor = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu", max_pixels=56 * 56).processor
    assert not torch.allclose(first.encode(images=[pictures[6]]), before)
    assert first.fingerprint != mark


@contextmanager
def token_budget(embedder: ColPaLiQwenEmbedder, budget: int) -> Iterator[None]:
    """Another token budget for a while: the model is shared by all tests."""
    before, embedder.token_budget = embedder.token_budget, budget
    try:
        yield
    finally:
        embedder.token_budget = before


SAMPLES = st.lists(
    st.tuples(
        st.text(alphabet="abc đạo ộ 中文合同 <|image_pad|> 012", min_size=1, max_size=60).filter(str.strip),
        st.lists(st.integers(0, 7), max_size=3),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=SAMPLES, batch_size=st.integers(1, 9), budget=st.integers(10, 400))
def test_a_row_does_not_depend_on_its_neighbours(embedder, pictures, drawn, batch_size: int, budget: int) -> None:
    texts = [literal(text) for text, _ in drawn]  # the alphabet spells "<image>" too
    images = [[pictures[i] for i in chosen] for _, chosen in drawn]
    with token_budget(embedder, budget):
        together = embedder.encode(text=texts, images=images, batch_size=batch_size)
    alone = torch.cat([embedder.encode(text=[t], images=[i]) for t, i in zip(texts, images, strict=True)])
    assert (together - alone).abs().max() < 1e-5


def test_one_versus_sixty_four(embedder, pictures: list[Image.Image]) -> None:
    texts = [f"mẫu số {i} " + "dài hơn " * (i % 7) for i in range(64)]
    images = [pictures[i % 8] if i % 3 else None for i in range(64)]
    together = embedder.encode(text=texts, images=images, batch_size=64)
    alone = torch.cat([embedder.encode(text=t, images=i, batch_size=1) for t, i in zip(texts, images, strict=True)])
    assert (together - alone).abs().max() < 1e-5
