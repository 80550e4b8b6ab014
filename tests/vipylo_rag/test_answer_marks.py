"""What a model writes, read piece by piece: marks, unknown numbers, the word for "not found", thoughts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipylo_rag.citations import MOST_CHARACTERS, AnswerReader, marks


def read(pieces: list[str], pages: int = 3) -> AnswerReader:
    reader = AnswerReader(pages)
    shown = [reader.feed(piece) for piece in pieces]
    shown.append(reader.end())
    assert "".join(shown) == reader.text
    return reader


CASES = [
    ("It is so [1].", "It is so [1]."),
    ("So [1, 2] and so [2][3].", "So [1][2] and so [2][3]."),
    ("So [1-3].", "So [1][2][3]."),
    ("所以【1】，还有［2］。", "所以[1]，还有[2]。"),
    ("So [9].", "So."),
    ("So [1, 9].", "So [1]."),
    ("In [2024] it was so [ 2 ].", "In (2024) it was so [2]."),
    ("So [0][1].", "So[1]."),
    ("A list [a] of [links](http://x) stays [", "A list [a] of [links](http://x) stays ["),
    ("[1] begins it", "[1] begins it"),
    ("So [1][1].", "So [1][1]."),
    ("So [[2]].", "So [[2]]."),
    ("So\x1b[31m red [1\u200b].", "So[31m red [1]."),
    ("<think>pages say [1]</think>\n\nSo [2].", "So [2]."),
]


@pytest.mark.parametrize(("said", "shown"), CASES)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_marks_are_checked_however_the_pieces_split_them(said: str, shown: str, size: int) -> None:
    assert read([said[i : i + size] for i in range(0, len(said), size)]).text == shown


@given(
    st.lists(st.sampled_from(["so ", "[", "]", "1", "2", "9", ", ", "【3】", "[1]", "\n", ".", "[[NOT", "_FOUND]]"])),
    st.lists(st.integers(0, 60)),
)
def test_any_split_gives_the_same_and_only_numbers_of_pages(parts: list[str], cuts: list[int]) -> None:
    said = "".join(parts)
    places = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    split = read([said[a:b] for a, b in pairwise(places)], pages=2)
    once = read([said], pages=2)
    assert (split.text, split.not_found) == (once.text, once.not_found)
    assert all(mark.number in (1, 2) for mark in marks(once.text))
    assert "NOT_FOUND" not in once.text.replace("NOT_FOUND]]", "")


@pytest.mark.parametrize(
    "said", ["[[NOT_FOUND]]", "NOT_FOUND", " [[NOT_FOUND]].\n", "**[[not_found]]**", "`NOT_FOUND`", "NOT FOUND",
             "<think>hm</think>[[NOT_FOUND]]", "[[NOT_FOUND]] The pages say nothing of it."]
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_the_word_for_not_found_is_seen_and_never_shown(said: str, size: int) -> None:
    reader = AnswerReader(3)
    shown = "".join(reader.feed(said[i : i + size]) for i in range(0, len(said), size)) + reader.end()
    assert reader.not_found and shown == ""


def test_the_word_for_not_found_after_an_answer_is_taken_out() -> None:
    reader = read(["The deposit is 5 [1]. ", "[[NOT_", "FOUND]]"])
    assert reader.not_found and reader.text == "The deposit is 5 [1]."
    for said in ("Nothing is said.", "Not foundry but casting [1].", "NOTES are given [2]."):
        assert not read([said]).not_found and read([said]).text == said


def test_a_model_that_writes_nothing_but_blanks_is_cut() -> None:
    reader = AnswerReader(1)
    reader.feed("word")
    for _ in range(100):
        reader.feed(" " * 400)
    assert reader.cut and len(reader.text) == MOST_CHARACTERS
    assert read(["word" + " " * 100 + "[1", "]."]).text.endswith(" [1].")


def test_a_model_that_never_ends_is_cut() -> None:
    reader = AnswerReader(1)
    rounds = 0
    while not reader.done:
        reader.feed("word " * 100)
        rounds += 1
        assert rounds < 100
    assert reader.cut and len(reader.text) == MOST_CHARACTERS
