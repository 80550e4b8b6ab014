"""Reranking by tokens: the numbers by hand, on what is exact; what the starter makes of it; kept pages; errors."""

import dataclasses
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from connectors.errors import DocumentError
from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from embedder.protocol import Sample
from embedder.token_vectors import TellsTokens, TokenVectors
from vipylo_rag.explain import Asked
from vipylo_rag.query import Query
from vipylo_rag.search import Hit
from vipylo_rag.token_rerank import TokenRerank, content, late_interaction, standardised, unit


def picture(size: tuple[int, int] = (112, 84), colour: str = "red") -> Image.Image:
    return Image.new("RGB", size, colour)


def hits(
    embedder: ColPaLiQwenEmbedder, question: str, texts: Sequence[str], image: Image.Image | None = None
) -> list[Hit]:
    """One page of each text, in this order, as a search for the question would give them."""
    asked = Asked(Query.of(question, image, 10, "dense"), lambda: embedder)
    return [
        Hit(f"p{row}", 1.0 - row / 10, f"{row}.pdf", 1, "pdf", text, None, {"content_sha256": f"{row}"}, asked=asked)
        for row, text in enumerate(texts)
    ]


def test_the_mean_of_token_vectors_is_the_vector(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    samples = [
        Sample("một hợp đồng"),
        Sample("", (picture(),)),
        Sample("<ocr> text", (picture((84, 84), "blue"), picture((56, 140)))),
        Sample("a"),
    ]
    assert isinstance(tiny_embedder, TellsTokens)
    tokens = tiny_embedder.token_vectors(samples, batch_size=4)
    assert [len(one.vectors) for one in tokens] == tiny_embedder.token_counts(samples)
    means = np.stack([one.vectors.mean(axis=0) for one in tokens])
    encoded = tiny_embedder.encode_rows(samples).vectors
    assert unit(means) == pytest.approx(encoded, abs=1e-5)
    # The two that frame each image, and the prefix, say nothing.
    assert [int((~one.content).sum()) for one in tokens] == [0, 2, 5, 0]
    with pytest.raises(InputError, match=r"row 1: .*empty"):
        tiny_embedder.token_vectors([Sample("a"), Sample("  ")])


def test_shares_of_an_explanation_are_the_same_tokens(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    sample = Sample("hợp đồng thuê nhà", (picture(),))
    query = tiny_embedder.encode_rows([Sample("nhà")]).vectors[0]
    (tokens,) = tiny_embedder.token_vectors([sample])
    why = tiny_embedder.explain(sample, query)
    shares = tokens.vectors @ query / (len(tokens.vectors) * np.linalg.norm(tokens.vectors.mean(axis=0)))
    assert shares.sum() == pytest.approx(why.score, abs=1e-5)
    assert np.sort(shares[tokens.content])[-1] == pytest.approx(
        max([token.share for token in why.tokens] + [float(why.images[0].max())]), abs=1e-6
    )


def test_late_interaction_by_hand() -> None:
    query = TokenVectors(np.array([[3, 0], [0, 1], [9, 9]], np.float32), np.array([True, True, False]))
    page = np.array([[0.6, 0.8], [1, 0]], np.float32)
    assert late_interaction(query, page) == pytest.approx((3 * 1.0 + 1 * 0.8) / 4)
    assert late_interaction(query, -page[:1]) == pytest.approx((3 * -0.6 + 1 * -0.8) / 4)
    none = TokenVectors(query.vectors, np.zeros(3, bool))
    assert len(content(none)) == 3
    assert standardised(np.array([1.0, 3.0])) == pytest.approx([-1, 1]) and not standardised(np.ones(3)).any()


def test_a_long_page_token_cannot_win_by_its_length() -> None:
    query = TokenVectors(np.array([[1, 0]], np.float32), np.array([True]))
    right, hub = np.array([[0.9, 0.1]], np.float32), np.array([[50, 50]], np.float32)
    assert late_interaction(query, unit(right)) > late_interaction(query, unit(hub))


def test_scores_are_late_interaction_and_equal_ones_keep_their_order(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    found = hits(tiny_embedder, "thuê nhà", ["một hai ba", "hợp đồng thuê nhà", "hợp đồng thuê nhà"])
    ordered = TokenRerank(weight=1)(found)
    (query,) = tiny_embedder.token_vectors([Sample("thuê nhà")])
    for hit in ordered:
        (page,) = tiny_embedder.token_vectors([Sample(hit.text)])
        assert hit.score == pytest.approx(
            late_interaction(query, unit(content(page))), abs=2e-3
        )  # kept in half precision
    assert [hit.id for hit in ordered if hit.text == "hợp đồng thuê nhà"] == ["p1", "p2"]
    assert [hit.score for hit in ordered] == sorted([hit.score for hit in ordered], reverse=True)
    assert [hit.id for hit in TokenRerank(weight=0)(found)] == ["p0", "p1", "p2"]
    assert TokenRerank()([]) == []
    mixed = {hit.id: hit.score for hit in TokenRerank(weight=0.5)(found)}
    alone = {hit.id: hit.score for hit in ordered}
    expected = (standardised(np.array([alone[hit.id] for hit in found])) + standardised(np.array([1, 0.9, 0.8]))) / 2
    assert [mixed[hit.id] for hit in found] == pytest.approx(expected)


def test_a_fact_on_one_line_of_a_long_page_is_found() -> None:
    """With the starter, whose vector of a long page is of what the page is mostly about."""
    starter = ColPaLiQwenEmbedder.from_pretrained("starter", device="cpu")
    about = "Tiền thuê nhà và tiền điện nước được thanh toán hàng tháng theo hợp đồng thuê nhà giữa hai bên. "
    texts = [about * 4, about * 4 + "Mã kho lưu trữ: Bạch Đằng 7.", about * 6]
    found = hits(starter, "kho lưu trữ Bạch Đằng", texts)
    assert TokenRerank()(found)[0].id == "p1"
    ordered = TokenRerank(weight=1)(found)
    assert ordered[0].id == "p1" and ordered[0].score > ordered[1].score + 0.1
    assert all(hit.asked is not None for hit in ordered)


class Counting:
    """An embedder that counts the samples it is given."""

    def __init__(self, embedder: ColPaLiQwenEmbedder) -> None:
        self.embedder, self.name, self.fingerprint = embedder, embedder.name, embedder.fingerprint
        self.seen: list[Sample] = []

    def token_vectors(self, samples: Sequence[Sample], *, batch_size: int = 32) -> list[TokenVectors]:
        self.seen += samples
        return self.embedder.token_vectors(samples, batch_size=batch_size)


def test_pages_are_embedded_once_and_forgotten_where_there_is_no_room(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    counting = Counting(tiny_embedder)
    found = hits(counting, "nhà", ["một hai ba", "hợp đồng"])  # type: ignore[arg-type]
    rerank = TokenRerank()
    first, again = rerank(found), rerank(found)
    assert first == again and len(counting.seen) == 2 + 2
    changed = [dataclasses.replace(found[0], text="bốn", metadata={"content_sha256": "new"}), found[1]]
    rerank(changed)
    assert [sample.text for sample in counting.seen[4:]] == ["nhà", "bốn"]
    counting.seen.clear()
    small = TokenRerank(keep_mb=0)
    assert small(found) == small(found) == first and len(counting.seen) == 2 * 3


def test_pictures_are_looked_at_where_there_is_no_text_or_when_asked_to(
    tiny_embedder: ColPaLiQwenEmbedder, tmp_path: Path
) -> None:
    picture().save(tmp_path / "a.png")
    counting = Counting(tiny_embedder)
    found = [
        dataclasses.replace(hit, image_path=tmp_path / "a.png")
        for hit in hits(counting, "nhà", ["", "hợp đồng"], picture())  # type: ignore[arg-type]
    ]
    TokenRerank()(found)
    assert [len(sample.images) for sample in counting.seen] == [1, 1, 0]
    counting.seen.clear()
    TokenRerank(pictures=True)(found)
    assert [len(sample.images) for sample in counting.seen] == [1, 1, 1]
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DocumentError, match=r"0\.pdf, page 1: its stored picture cannot be read"):
        TokenRerank()([dataclasses.replace(hit) for hit in found])


def test_what_cannot_be_reranked_is_named(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    found = hits(tiny_embedder, "nhà", ["một"])
    with pytest.raises(InputError, match="do not know what was searched for"):
        TokenRerank()(pickle.loads(pickle.dumps(found)))
    last = dataclasses.replace(found[0], asked=Asked(Query.of("a", None, 1, "dense"), lambda: LastToken()))  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match="the embedder 'last' has no token vectors"):
        TokenRerank()([last])
    with pytest.raises(InputError, match=r"weight=1\.5"):
        TokenRerank(weight=1.5)


class LastToken:
    """An embedder that does not take the mean."""

    name = "last"
