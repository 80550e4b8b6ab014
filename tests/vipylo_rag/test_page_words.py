"""A page's words by what they are asked for with: as a look at each word finds them, and not kept without bound."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.loaders.words import StoredWords
from vipylo_rag import page_words as module
from vipylo_rag.page_words import PageWords, query_terms

WORDS = st.lists(st.text("aăẮ\u0301İß\n _-合同书1", min_size=1, max_size=6), max_size=8)


def stored(words: list[str]) -> StoredWords:
    return StoredWords(Path("x"), words, [[word, 0, 0, 1, 1] for word in words])


@given(WORDS, st.text("aăẮ\u0301İß 合同书1", max_size=8))
def test_a_word_is_asked_for_where_it_shares_a_term(words: list[str], query: str) -> None:
    """One by one, each word alone: joining them for speed changes nothing."""
    terms = query_terms(query)
    found = [box.text for box in PageWords(stored(words)).asked(terms)]
    assert found == [word for word in words if query_terms(word) & terms]


def test_pages_are_kept_up_to_a_number_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WORDS", 25)
    kept = module._Kept()
    files = [tmp_path / f"{number}.words.json" for number in range(5)]
    for number, file in enumerate(files):
        file.write_text(json.dumps([[f"word{number}", 0, 0, 1, 1]] * 10))
    pages = [kept.get(file) for file in files]
    assert [kept.get(file) is page for file, page in zip(files[3:], pages[3:], strict=True)] == [True, True]
    assert kept.get(files[0]) is not pages[0]
    assert len(kept._pages) == 2 and kept._words == 20
