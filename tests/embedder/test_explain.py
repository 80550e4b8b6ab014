"""Shares of a score: they add up to it exactly, and each stands for the patch or the characters it says."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from embedder.explain import Explains
from embedder.inputs import Tokenization, collate, decode
from embedder.prefixes import literal
from embedder.protocol import Sample

PIECES = [
    "hợp đồng thuê nhà", "The labour contract. ", "租赁合同书", " ", "\n\n", "\t", "😀👩\u200d👧", "e\u0301a",
    "<|image_pad|>", "<|im_end|>", "< |im_end|>", "<ocr> ", "<vqa_multi>", "\u00a0", "<|", "|>", "\ue000", "a",
]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=8).map("".join)


@pytest.fixture(scope="module", params=["right", "left"])
def sided(tiny_checkpoint: Path, request: pytest.FixtureRequest) -> ColPaLiQwenEmbedder:
    embedder = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")
    embedder.processor.tokenizer.padding_side = request.param
    return embedder


@pytest.fixture(scope="module")
def target() -> np.ndarray:
    return np.random.default_rng(1).normal(size=1024).astype(np.float32)


def cosine(embedder: ColPaLiQwenEmbedder, sample: Sample, target: np.ndarray) -> float:
    """As search computes it; beside a longer sample, so that padding comes in."""
    longer = Sample("a longer text that pads the other " * 12)
    rows = embedder.encode_rows([sample, longer])
    assert not rows.errors
    return float(rows.vectors[0] @ (target / np.linalg.norm(target)))


@settings(max_examples=60, deadline=None)
@given(text=texts, images=st.lists(st.integers(0, 7), max_size=3), markers=st.integers(0, 3))
def test_shares_add_up_to_the_cosine(
    sided: ColPaLiQwenEmbedder,
    pictures: list[Image.Image],
    target: np.ndarray,
    text: str,
    images: list[int],
    markers: int,
) -> None:
    said = "<image>" * min(markers, len(images)) + text.replace("<image>", "")
    said = said[7:] + said[:7]  # a marker at the end, perhaps
    if not images and not literal(said).replace("<ocr> ", "").replace("<vqa_multi>", "").strip():
        said += "x"
    if said.count("<image>") > len(images):
        said = said.replace("<image>", "")
    sample = Sample("w" + said, tuple(pictures[number] for number in images))
    why = sided.explain(sample, target)
    assert why.picture_share + why.text_share + why.other == pytest.approx(why.score, abs=1e-6)
    assert why.score == pytest.approx(cosine(sided, sample, target), abs=1e-5)
    assert len(why.images) == len(images)
    spans = [(token.start, token.end) for token in why.tokens]
    assert all(0 <= start < end <= len(sample.text) for start, end in spans)
    assert spans == sorted(spans)


def test_every_character_that_is_read_has_its_token(embedder: ColPaLiQwenEmbedder, target: np.ndarray) -> None:
    """The tiny tokenizer has one token for each byte."""
    text = "<ocr> hợp 合同 😀 <|im_end|> x"
    why = embedder.explain(Sample(text), target)
    found = [(token.start, token.end) for token in why.tokens]
    expected = [(0, 5)]  # the prefix is one token
    for place, character in enumerate(text[5:], start=5):
        expected += [(place, place + 1)] * len(character.encode())
    # "<|im_end|>" became "< |im_end|>": the space belongs to the character behind it.
    mark = text.index("|im_end")
    expected.insert(expected.index((mark, mark + 1)), (mark, mark + 1))
    assert found == expected
    assert why.other == 0


@pytest.mark.parametrize("marked", [False, True])
def test_a_share_is_its_token_s(embedder: ColPaLiQwenEmbedder, pictures: list[Image.Image], marked: bool) -> None:
    """Computed once more by hand, token by token, from the sequence as the model sees it."""
    target = np.random.default_rng(2).normal(size=1024)
    sample = Sample("say <image> and <image> ok" if marked else "say ok", tuple(pictures[3:5]))
    why = embedder.explain(sample, target)
    tokenization = Tokenization(embedder.processor, 512, 5)
    sequence = tokenization.sequence(sample)
    batch = collate([sequence], [decode(sequence, tokenization.budget)], embedder.processor.tokenizer)
    with torch.no_grad():
        each = torch.nn.functional.linear(embedder.token_states(batch)[0], embedder.projection.weight).double().numpy()
    unit = target / np.linalg.norm(target)
    shares = each @ unit / len(each) / np.linalg.norm(each.mean(axis=0))
    names = embedder.processor.tokenizer.convert_ids_to_tokens(sequence.ids)
    pads = np.array([name == "<|image_pad|>" for name in names])
    frames = np.array([name in ("<|vision_start|>", "<|vision_end|>") for name in names])
    assert frames.sum() == 4
    np.testing.assert_allclose(np.concatenate([grid.ravel() for grid in why.images]), shares[pads], atol=1e-7)
    np.testing.assert_allclose([token.share for token in why.tokens], shares[~pads & ~frames], atol=1e-7)
    assert why.other == pytest.approx(shares[frames].sum(), abs=1e-7)
    said = "".join(sample.text[token.start] for token in why.tokens)
    assert said == sample.text.replace("<image>", "")


def test_a_patch_lies_where_its_pixels_do(embedder: ColPaLiQwenEmbedder) -> None:
    """Shares of a model whose tokens see only themselves: a bright cell in the picture is the odd cell of the grid."""
    picture = Image.new("RGB", (140, 56), "black")  # 5 x 2 merged patches
    picture.paste((255, 255, 255), (84, 28, 112, 56))
    blind = alone(embedder)
    why = blind.explain(Sample("", (picture,)), np.ones(1024))
    [grid] = why.images
    assert grid.shape == (2, 5)
    odd = np.abs(grid - np.median(grid))
    assert np.unravel_index(odd.argmax(), grid.shape) == (1, 3)
    assert np.sort(odd.ravel())[-2] < odd.max() / 10


def alone(embedder: ColPaLiQwenEmbedder) -> ColPaLiQwenEmbedder:
    """The embedder with attention taken out."""
    copy = deepcopy(embedder)
    with torch.no_grad():
        for name, weight in copy.model.named_parameters():
            if "o_proj" in name or "attn.proj" in name:
                weight.zero_()
    return copy


def test_turned_pictures_are_explained_upright(embedder: ColPaLiQwenEmbedder, target: np.ndarray) -> None:
    turned = Image.new("RGB", (140, 56), "red")
    turned.getexif()[0x0112] = 6
    [grid] = embedder.explain(Sample("", (turned,)), target).images
    assert grid.shape == (5, 2)


def test_what_was_cut_has_no_share(tiny_checkpoint: Path, pictures: list[Image.Image], target: np.ndarray) -> None:
    short = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu", max_tokens=20)
    why = short.explain(Sample("0123456789" * 5, (pictures[0],)), target)  # 6 patches, 2 frames
    assert [token.start for token in why.tokens] == list(range(12))
    assert why.picture_share + why.text_share + why.other == pytest.approx(why.score, abs=1e-6)
    marked = short.explain(Sample("0123456789 <image> 0123456789", (pictures[0],)), target)
    assert [token.start for token in marked.tokens] == [*range(11), 18]


def test_words_share_what_their_tokens_have(embedder: ColPaLiQwenEmbedder, target: np.ndarray) -> None:
    text = "hợp đồng  租赁"
    why = embedder.explain(Sample(text), target)
    words = why.over(text, [(0, 3), (4, 8), (10, 12)])
    spaces = sum(token.share for token in why.tokens if text[token.start].isspace())
    assert sum(words) + spaces == pytest.approx(why.text_share, abs=1e-9)
    assert words[0] == pytest.approx(sum(token.share for token in why.tokens if token.end <= 3), abs=1e-9)
    assert why.over(text, []) == []


def test_both_sides_say_the_same_score(embedder: ColPaLiQwenEmbedder, pictures: list[Image.Image]) -> None:
    query, page = Sample("red car", (pictures[0],)), Sample("a red car, a page", (pictures[5],))
    first, second = embedder.encode_rows([query, page]).vectors
    forth, back = embedder.explain(query, second), embedder.explain(page, first)
    assert forth.score == pytest.approx(back.score, abs=1e-5) == pytest.approx(float(first @ second), abs=1e-5)
    np.testing.assert_allclose(forth.vector, first, atol=1e-5)


def test_a_cut_vector_is_compared_as_encode_cuts_it(embedder: ColPaLiQwenEmbedder, target: np.ndarray) -> None:
    cut = embedder.encode(text="hợp đồng", dim=64, convert_to="numpy")[0]
    why = embedder.explain(Sample("hợp đồng"), target[:64])
    assert why.score == pytest.approx(float(cut @ target[:64]) / np.linalg.norm(target[:64]), abs=1e-5)
    assert why.text_share == pytest.approx(why.score, abs=1e-6)


BAD_VECTORS = {
    "zero": np.zeros(1024),
    "nan": np.full(1024, np.nan),
    "matrix": np.ones((1, 1024)),
    "long": np.ones(1025),
    "empty": np.ones(0),
}


@pytest.mark.parametrize("vector", BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_vectors_that_are_none_are_refused(embedder: ColPaLiQwenEmbedder, vector: np.ndarray) -> None:
    with pytest.raises(InputError, match="the vector has"):
        embedder.explain(Sample("x"), vector)


def test_bad_samples_are_refused_as_by_encode(embedder: ColPaLiQwenEmbedder, target: np.ndarray) -> None:
    with pytest.raises(InputError, match="empty"):
        embedder.explain(Sample(" "), target)


def test_a_template_that_frames_the_text_is_other_and_one_that_changes_it_is_refused(
    tiny_checkpoint: Path, target: np.ndarray
) -> None:
    embedder = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")
    own = embedder.processor.chat_template
    embedder.processor.chat_template = "a system says: " + own + "\n"
    why = embedder.explain(Sample("a text\n"), target)
    assert [(token.start, token.end) for token in why.tokens] == [(i, i + 1) for i in range(7)]
    assert why.other != 0
    assert why.text_share + why.other == pytest.approx(why.score, abs=1e-6)
    embedder.processor.chat_template = own.replace("ns.text.replace", "ns.text.upper().replace")
    with pytest.raises(InputError, match="chat template changes the text"):
        embedder.explain(Sample("a text"), target)


def test_ours_explains(embedder: ColPaLiQwenEmbedder) -> None:
    assert isinstance(embedder, Explains)
