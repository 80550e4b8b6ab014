"""Text splitting for BM25: what must count as the same word, in the languages that matter most here."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.stores.lexical import document_tokens, document_vector, query_vector, tokens


def test_chinese_runs_become_character_pairs() -> None:
    assert tokens("战国无双3是") == ["战国", "国无", "无双", "3", "是"]


def test_one_chinese_character_is_found() -> None:
    assert document_tokens("战国 3是") == ["战国", "3", "是", "战", "国"]
    assert set(query_vector("国").indices) <= set(document_vector("战国无双").indices)


def test_vietnamese_keeps_syllables_and_joins_accented_neighbours() -> None:
    assert tokens("Số hóa đơn") == ["số", "hóa", "số_hóa", "đơn", "hóa_đơn"]


def test_english_is_words_only() -> None:
    assert tokens("Don't panic: MQ-145/2020_v2") == ["don", "t", "panic", "mq", "145", "2020", "v2"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hoá đơn TUỲ ý", "hóa đơn tùy ý"),
        (unicodedata.normalize("NFD", "Điều khoản hợp đồng"), "điều khoản HỢP ĐỒNG"),
        ("ﬁnal ＡＢＣ１２３", "final abc123"),
        ("in\u00adfor\u200bmation", "information"),
        ("STRASSE", "straße"),
    ],
)
def test_spellings_of_the_same_text_are_equal(one: str, other: str) -> None:
    assert tokens(one) == tokens(other)


def test_words_with_combining_marks_stay_whole() -> None:
    assert tokens("हिन्दी") == ["हिन्दी"]
    assert tokens("ภาษา") == ["ภา", "าษ", "ษา"]


def test_text_without_words() -> None:
    assert query_vector("?! …") is None
    assert query_vector("") is None
    assert document_vector("—").indices == []


def test_english_endings_meet() -> None:
    assert query_vector("invoices") == query_vector("invoice")


def test_document_weights_grow_with_frequency_and_shrink_with_length() -> None:
    once, twice, diluted = (document_vector(text) for text in ("mèo", "mèo mèo", "mèo " + "chó " * 2000))
    word = query_vector("mèo").indices[0]

    def weight(vector: object) -> float:
        return dict(zip(vector.indices, vector.values, strict=True))[word]

    assert weight(twice) > weight(once) > weight(diluted)


@given(st.text(max_size=200))
def test_any_text_splits_without_raising(text: str) -> None:
    split = tokens(text)
    assert all(token and " " not in token for token in split)
    assert (query_vector(text) is None) == (not split)
    assert bool(document_vector(text).indices) == bool(split)
