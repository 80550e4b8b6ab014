"""Pages that are there again are told from pages that look alike: by their words, by their pictures, within a limit."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw

from examples.sample_documents.effects import render, scanned
from examples.vietnamese_forms import KINDS, people
from vipylo_rag.map_layout import compare
from vipylo_rag.near_duplicates import PageText, Twins, Words, find_twins, same_picture, same_words
from vipylo_rag.picture_match import differ, ink


class Given:
    """Pages with these texts and pictures."""

    def __init__(self, texts: Sequence[str], pictures: Sequence[Image.Image | None] = (), exact: bool = True) -> None:
        self.texts, self.pictures, self.exact = texts, pictures or [None] * len(texts), exact

    def text(self, row: int) -> PageText:
        return PageText(self.texts[row], self.exact)

    def picture(self, row: int) -> Image.Image | None:
        return self.pictures[row]


def found(pages: Given, contents: Sequence[str] | None = None, most_pairs: int = 1000) -> Twins:
    """The twins among pages that their vectors do not tell apart."""
    count = len(pages.texts)
    vectors = np.tile(np.float32([1, 0]), (count, 1))
    return find_twins(compare(vectors), contents or [""] * count, pages, most_pairs=most_pairs)


def form(kind: int, person: int) -> Image.Image:
    with pymupdf.open() as document:
        KINDS[kind].draw(document, people(person + 1, seed=41)[person])
        return render(document[0], 75)


@pytest.fixture(scope="module")
def invoices() -> tuple[Image.Image, Image.Image]:
    return form(2, 0), form(2, 1)


def test_copies_of_a_form_are_together_and_another_persons_is_not(invoices: tuple[Image.Image, Image.Image]) -> None:
    mine, other = invoices
    small = mine.resize((mine.width * 3 // 4, mine.height * 3 // 4), Image.Resampling.LANCZOS)
    pictures = [mine, other, scanned(mine, seed=3, skew=-1.5), small, scanned(other, seed=4, skew=1.0)]
    assert found(Given([""] * 5, pictures)).group.tolist() == [0, 1, 0, 0, 1]


def test_what_was_added_in_one_place_is_no_other_page(invoices: tuple[Image.Image, Image.Image]) -> None:
    stamped, signed = invoices[0].copy(), invoices[0].copy()
    ImageDraw.Draw(stamped).ellipse((260, 380, 400, 520), outline=(200, 20, 30), width=9)
    ImageDraw.Draw(signed).line([(250, 400), (330, 500), (340, 390), (420, 500)], fill=(20, 40, 160), width=9)
    pages = [ink(picture) for picture in (invoices[0], stamped, signed)]
    assert same_picture(differ(pages[0], pages[1])) == same_picture(differ(pages[0], pages[2])) == "same"
    assert same_picture(differ(pages[1], pages[2])) == "touched"
    assert found(Given([""] * 3, [invoices[0], stamped, signed])).group.tolist() == [0, 0, 0]


def test_short_pages_and_empty_ones() -> None:
    pages = []
    for text in ("", "", "Chapter 3: The bridge", "Chapter 8: A garden"):
        page = Image.new("RGB", (600, 850), "white")
        ImageDraw.Draw(page).text((80, 100), text, fill="black", font_size=22)
        pages.append(page)
    assert found(Given([""] * 4, pages)).group.tolist() == [0, 0, -1, -1]
    assert differ(ink(pages[2]), ink(pages[2].rotate(90, expand=True))) is None


@pytest.mark.parametrize(
    ("one", "other", "exact", "same"),
    [
        ("a " * 50, "a " * 50, True, True),
        ("a " * 50 + "ﬁn", "a " * 50 + "fin COPY", True, True),  # what one has beyond the other is a stamp's
        ("a " * 50, "a " * 100, True, None),  # half a page is no copy of the whole
        ("a " * 50 + "9.500.000", "a " * 50 + "9.600.000", True, False),
        ("a " * 50 + "9.500.000", "a " * 50 + "9.600.000", False, None),  # may be misread
        ("a " * 50 + "Lan", "a " * 50 + "Hoa", True, None),
        ("a " * 50 + "b " * 10, "a " * 50 + "c " * 10, True, False),
        ("a " * 50 + "b " * 50, "a " * 50 + "c " * 50, False, False),
        ("a", "a", True, None),  # too little to go by
        ("", "a", True, None),
        ("公寓租赁合同", "公寓租赁合约", True, False),
    ],
)
def test_words_tell_or_leave_it_open(one: str, other: str, exact: bool, same: bool | None) -> None:
    from vipylo_rag.near_duplicates import _words

    first, second = _words(PageText(one, exact)), _words(PageText(other, exact))
    assert same_words(first, second) is same_words(second, first) is same


def test_without_pictures_words_decide() -> None:
    empty = Words(Counter(), exact=True)
    assert same_words(empty, empty, seen=False) is None
    said = ["rent is due", "rent is due", "rent is late", "rent is due on the first day of each month"]
    assert found(Given(said)).group.tolist() == [0, 0, -1, -1]


def test_a_blank_form_does_not_join_those_that_were_filled_in() -> None:
    blank = " ".join(f"field{letter}" for letter in "abcdefghijklmnopqrstuvwxyz") + " form" * 20
    said = [blank, f"{blank} Lan Cầu", f"{blank} Hoa Suối"]
    group = found(Given(said)).group
    assert group[1] != group[2] or group[1] == -1


def test_equal_pages_are_not_looked_at() -> None:
    class Unread(Given):
        def text(self, row: int) -> PageText:
            raise AssertionError

    twins = found(Unread([""] * 300), contents=["a", "b", "c"] * 100, most_pairs=0)
    assert np.bincount(twins.group).tolist() == [100, 100, 100] and twins.pairs == 3 * 100 * 99 // 2
    assert twins.compared == 0


def test_the_limit_is_kept_and_told() -> None:
    pages = Given([f"page {number}" for number in range(9)])
    some, all_ = found(pages, most_pairs=5), found(pages)
    assert (some.compared, some.left) == (5, 31) and (all_.compared, all_.left) == (36, 0)
