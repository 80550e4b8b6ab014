"""What a hit shows: its page's words, where those that were asked for stand, and nothing from outside the index."""

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest

from connectors.loaders.words import save_words
from connectors.page import WordBox
from vipylo_rag import DocumentError, Hit, MultimodalIndex, StoreError


def hit(assets: Path, **references: str) -> Hit:
    payload: dict[str, Any] = {"source": "/a.pdf", "page": 1, "kind": "pdf", "text": "", "tenant": "", **references}
    return Hit.of("id", 1.0, payload, assets)


def with_words(assets: Path, *words: str) -> Hit:
    """A hit of a page that has these words, one below the other."""
    boxes = [WordBox(word, 0.1, row / 100, 0.5, (row + 1) / 100) for row, word in enumerate(words)]
    return hit(assets, words=save_words(boxes, assets).relative_to(assets).as_posix())


def asked(found: Hit, query: str) -> list[str]:
    return [box.text for box in found.boxes(query)]


def test_words_match_whole_and_with_their_marks(tmp_path: Path) -> None:
    found = with_words(tmp_path, "HỢP", "đồng,", "hop", "hợpp", "thuê", "đông", "(nhà)")
    assert asked(found, "hợp đồng") == ["HỢP", "đồng,"]
    assert asked(found, unicodedata.normalize("NFD", "nhà, hợp?")) == ["HỢP", "(nhà)"]
    assert asked(with_words(tmp_path, unicodedata.normalize("NFD", "đồng")), "đồng") != []
    assert asked(found, "số") == asked(found, "") == asked(found, " ?! ") == []


def test_chinese_matches_by_pairs(tmp_path: Path) -> None:
    found = with_words(tmp_path, "租赁合同书", "发票", "票据", "合法", "Contract合同")
    assert asked(found, "合同发票") == ["租赁合同书", "发票", "Contract合同"]
    assert asked(found, "合同 contract") == ["租赁合同书", "Contract合同"]
    assert asked(found, "同合") == []


def test_a_page_without_words_has_none(tmp_path: Path) -> None:
    assert hit(tmp_path).words == hit(tmp_path).boxes("hợp") == ()


@pytest.mark.parametrize("content", [None, b"", b"[[", b"{}", b'[["word", 0, 0, 2, 1]]', b"\xff"])
def test_damaged_words_are_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.words.json").write_bytes(content)
    with pytest.raises(DocumentError, match=r"x\.words\.json: (cannot be read|holds no word boxes)"):
        hit(tmp_path, words="x.words.json").boxes("hợp")


@pytest.mark.parametrize("key", ["asset", "words"])
@pytest.mark.parametrize("reference", ["../secret.png", "/etc/passwd", "ab/../../secret", "link/secret"])
def test_no_reference_leads_outside(tmp_path: Path, key: str, reference: str) -> None:
    """Payloads come from stores that others may write to."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "link").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="outside the asset folder"):
        hit(tmp_path / "assets", **{key: reference})


def test_boxes_lie_where_the_words_are_drawn(index: MultimodalIndex, tmp_path: Path) -> None:
    places = {"alpha": (40, 60), "beta": (150, 200), "gamma": (90, 340)}
    with pymupdf.open() as document:
        page = document.new_page(width=300, height=400)
        for word, place in places.items():
            page.insert_text(place, word, fontsize=20)
        document.save(tmp_path / "a.pdf")
    index.ingest(tmp_path / "a.pdf")
    [found] = index.search("beta", mode="lexical")
    assert found.image is not None
    assert [box.text for box in found.words] == ["alpha", "beta", "gamma"]
    ink = np.asarray(found.image.convert("L")) < 128
    height, width = ink.shape
    outside = ink.copy()
    for box, (x, y) in zip(found.words, places.values(), strict=True):
        assert abs(box.x0 * 300 - x) < 3 and box.y0 * 400 < y - 8 < box.y1 * 400
        rows = slice(int(box.y0 * height), int(box.y1 * height) + 1)
        columns = slice(int(box.x0 * width), int(box.x1 * width) + 1)
        assert ink[rows, columns].any()
        outside[rows, columns] = False
    assert not outside.any()
    assert [box.text for box in found.boxes("BETA delta")] == ["beta"]
