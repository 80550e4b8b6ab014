"""Why a page was found: shares that add up to its score, on the words and places that they belong to."""

import copy
import pickle
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from connectors.page import WordBox
from connectors.stores.options import StoreOptions
from embedder import ColPaLiQwenEmbedder
from embedder.protocol import EncodedRows, Sample
from tests.vipylo_rag.conftest import write_picture
from vipylo_rag import DocumentError, Hit, InputError, MultimodalIndex
from vipylo_rag.alignment import places, words_in
from vipylo_rag.explain import PageExplanation, sum_in

WHOLE = WordBox("", 0.0, 0.0, 1.0, 1.0)


def assert_adds_up(why: PageExplanation) -> None:
    assert why.picture_share + why.text_share + why.other_share == pytest.approx(why.score, abs=1e-5)
    assert why.score == pytest.approx(why.query_shares.score, abs=1e-5)
    boxed = sum(word.share for word in why.words if word.box)
    if why.heat is not None and why.picture is not None:
        assert why.heat.sum() == pytest.approx(why.picture_share + boxed, abs=1e-9)
        assert why.heat_in([WHOLE]) == pytest.approx(float(why.heat.sum()), abs=1e-9)
        assert why.picture.sum() == pytest.approx(why.picture_share, abs=1e-9)


@pytest.mark.parametrize("quantized", [False, True])
def test_the_score_is_that_of_the_dense_search(
    tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder, documents: Path, quantized: bool
) -> None:
    options = StoreOptions(quantization="int8") if quantized else None
    picture = Image.open(documents / "sub" / "red.png")
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder, options=options) as index:
        index.ingest(documents)
        for query in ({"text": "hợp đồng"}, {"images": picture}, {"text": "red <image> disc", "images": picture}):
            for found in index.search(**query, mode="dense", top_k=20):
                why = found.explain()
                # A quantized store ranks by its bytes, and scores by the vectors that it keeps beside them.
                assert why.score == pytest.approx(found.score, abs=1e-4)
                assert_adds_up(why)


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_other_modes_explain_the_cosine(filled: MultimodalIndex, mode: Any) -> None:
    cosines = {found.id: found.score for found in filled.search("hợp đồng", mode="dense", top_k=50)}
    for found in filled.search("hợp đồng", mode=mode, top_k=3):
        why = found.explain()
        assert why.score == pytest.approx(cosines[found.id], abs=1e-4)
        assert [word.text for word in why.query_words] == ["hợp", "đồng"]
        assert why.boxes == found.boxes("hợp đồng") != ()


def test_every_word_has_its_tokens_share(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    why = found.explain()
    assert {(word.text, word.box) for word in why.words} == {(box.text, box) for box in found.words}
    shares = [word.share for word in why.words]
    assert shares == sorted(shares, reverse=True)
    text = found.text
    blanks = sum(token.share for token in why.page_shares.tokens if not text[token.start : token.end].strip())
    assert sum(shares) + blanks == pytest.approx(why.text_share, abs=1e-9)


def test_a_word_s_share_lies_on_its_box(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    why = found.explain()
    assert why.heat is not None and why.picture is not None
    for word in why.words:
        assert word.box is not None
        cell = 1 / min(why.heat.shape)
        around = WordBox(
            "", max(0.0, word.box.x0 - cell), max(0.0, word.box.y0 - cell), word.box.x1 + cell, word.box.y1 + cell
        )
        others = sum(
            other.share for other in why.words if other is not word and other.box and overlaps(other.box, around)
        )
        own = why.heat_in([around]) - sum_in(why.picture, around)
        assert abs(own - word.share) <= abs(others) + 1e-9


def overlaps(first: WordBox, second: WordBox) -> bool:
    return first.x0 < second.x1 + 0.1 and second.x0 < first.x1 + 0.1 and first.y0 < second.y1 and second.y0 < first.y1


def test_the_page_is_explained_for_any_query(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    page = filled.page(found.id)
    assert page.explain("hợp đồng").score == pytest.approx(found.explain().score, abs=1e-6)
    other = found.explain("labour", Image.new("RGB", (60, 60), "red"))
    assert other.text == "labour"
    assert len(other.query_shares.images) == 1
    assert_adds_up(other)
    with pytest.raises(InputError, match="was not searched for: give explain"):
        page.explain()
    with pytest.raises(InputError, match="empty"):
        page.explain(" ")


def test_pages_that_name_markers_and_control_tokens_are_explained_as_they_were_embedded(
    index: MultimodalIndex, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("say <image> or <|image_pad|> or <ocr> hợp đồng 合同", encoding="utf-8")
    index.ingest(tmp_path / "note.txt")
    [found] = index.search("hợp đồng", mode="dense", top_k=1)
    why = found.explain()
    assert why.score == pytest.approx(found.score, abs=1e-4)
    assert_adds_up(why)
    assert {"say", "or", "hợp", "đồng", "合", "同"} <= {word.text for word in why.words if word.box}


def test_a_picture_of_no_words_is_all_picture(index: MultimodalIndex, tmp_path: Path) -> None:
    index.ingest(write_picture(tmp_path / "blue.png", "blue"))
    [found] = index.search(images=tmp_path / "blue.png", mode="dense")
    why = found.explain()
    assert why.score == pytest.approx(found.score, abs=1e-4)
    assert why.words == () and why.text_share == 0
    assert why.picture is not None and why.picture.shape[0] < why.picture.shape[1]


def test_a_page_without_a_picture_has_no_heat(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    bare = replace(found, image_path=None, words_path=None)
    why = bare.explain()
    assert why.heat is why.picture is None
    assert why.picture_share == why.other_share == 0
    assert [word.box for word in why.words] == [None] * len(why.words)
    assert_adds_up(why)
    with pytest.raises(InputError, match="no picture"):
        why.heat_in([WHOLE])


def test_hits_stay_plain_values(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    assert "asked" not in repr(found)
    assert found == replace(found, asked=None)
    assert copy.deepcopy(found).explain().score == found.explain().score
    sent = pickle.loads(pickle.dumps(found))
    assert sent == found
    with pytest.raises(InputError, match=r"index\.page"):
        sent.explain()


def test_a_lost_picture_is_named(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    assert found.image_path is not None
    found.image_path.unlink()
    with pytest.raises(DocumentError, match=r"doc0\.pdf, page \d: its stored picture cannot be read"):
        found.explain()


class LastToken:
    """An embedder that explains nothing."""

    def __init__(self, inner: ColPaLiQwenEmbedder) -> None:
        self.name, self.dim, self.max_tokens = "last-token", inner.dim, inner.max_tokens
        self.fingerprint = inner.fingerprint
        self._inner = inner

    def encode(self, text: Any = None, images: Any = None, *, batch_size: int = 32, **options: Any) -> Any:
        return self._inner.encode(text, images, batch_size=batch_size, **options)

    def encode_rows(self, samples: Sequence[Sample], *, batch_size: int = 32) -> EncodedRows:
        return self._inner.encode_rows(samples, batch_size=batch_size)


def test_an_embedder_that_cannot_explain_says_so(
    tmp_path: Path, documents: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    with MultimodalIndex.open(tmp_path / "index", embedder=LastToken(tiny_embedder)) as index:
        index.ingest(documents / "doc0.pdf")
        [found] = index.search("hợp đồng", top_k=1)
        with pytest.raises(InputError, match="'last-token' cannot say"):
            found.explain()


def boxes(*words: str) -> list[WordBox]:
    return [WordBox(word, 0.1, 0.1, 0.2, 0.2) for word in words]


def test_words_find_their_places() -> None:
    text = "- a cat\n- the  cat and\na the租赁 合同书"
    found = places(text, boxes("a", "cat", "the", "cat", "•", "and", "a", "the租赁", "合同书"))
    assert [span and text[slice(*span)] for span in found] == [
        "a", "cat", "the", "cat", None, "and", "a", "the租赁", "合同书",
    ]  # fmt: skip
    assert [span[0] for span in found if span] == sorted(span[0] for span in found if span)
    moved = places("left one two right three four", boxes("right", "three", "four", "left", "one", "two", "five"))
    assert [span and span[0] for span in moved] == [13, 19, 25, 0, 5, 9, None]
    assert places("cat", boxes("a", "at", "ca", "t")) == [None, None, (0, 2), (2, 3)]
    assert places("", boxes("a")) == [None]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ab租 \n", min_size=1, max_size=5).filter(str.strip), max_size=12), st.randoms())
def test_places_never_overlap_and_say_what_the_box_says(words: list[str], random: Any) -> None:
    text = random.choice([" ", "\n", "  - "]).join(words)
    shuffled = words[:]
    random.shuffle(shuffled)
    for order in (words, shuffled):
        found = places(text, boxes(*order))
        for word, span in zip(order, found, strict=True):
            assert span is None or "".join(text[slice(*span)].split()) == "".join(word.split())
        taken = sorted(span for span in found if span)
        assert all(before[1] <= after[0] for before, after in pairwise(taken))
        if order is words and "-" not in text:
            assert None not in found


def test_chinese_is_cut_where_tokens_are() -> None:
    text = "租赁合同 abc合同"
    assert [text[slice(*span)] for span in words_in(text, {0, 2, 5, 6, 8})] == ["租赁", "合同", "abc", "合同"]
    assert [text[slice(*span)] for span in words_in(text)] == ["租赁合同", "abc合同"]


def test_boxes_on_a_real_page_lie_under_the_heat(index: MultimodalIndex, tmp_path: Path) -> None:
    """One word alone in a corner: its share is there, and nowhere else."""
    with pymupdf.open() as document:
        page = document.new_page(width=300, height=400)
        page.insert_text((200, 380), "corner", fontsize=14)
        document.save(tmp_path / "a.pdf")
    index.ingest(tmp_path / "a.pdf")
    [found] = index.search("corner", mode="lexical")
    why = found.explain()
    [word] = why.words
    corner = WordBox("", 0.6, 0.8, 1.0, 1.0)
    assert why.picture is not None
    assert why.heat_in([corner]) - sum_in(why.picture, corner) == pytest.approx(word.share, abs=1e-9)
    assert np.abs(why.picture).sum() > 0


def test_hit_made_by_hand_explains_nothing() -> None:
    bare = Hit(id="x", score=0.0, source="a", page=1, kind="text", text="a", image_path=None)
    with pytest.raises(InputError, match=r"index\.page"):
        bare.explain("a")
