"""Pages of the starter recipe: what was drawn stands where the targets say, on every kind of page."""

import random
import re

import numpy as np
import pymupdf
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from tests.trainer.small_texts import EN, VI, ZH, make_batches
from trainer.starter.corpus import Corpus
from trainer.starter.layouts import KINDS
from trainer.starter.pictures import draw_picture
from trainer.starter.render import (
    CELL,
    SLOT,
    SLOTS,
    Crop,
    Fonts,
    Page,
    cut,
    draw,
    join_lines,
    lay_out,
    lay_out_special,
    read_page,
)
from trainer.starter.samples import BLANK, UNKNOWN, CharacterSet, sentence_of, span_of

TEXTS = {"vi": VI, "en": EN, "zh": ZH}


def page_with(words: dict[tuple[float, float], str]) -> pymupdf.Page:
    page = pymupdf.open().new_page(width=224, height=168)
    for place, word in words.items():
        page.insert_text(place, word, fontsize=12)
    return page


def slot_box(place: int, columns: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels of a flat slot."""
    cell, slot = divmod(place, SLOTS)
    left = cell % columns * CELL + slot % (CELL // SLOT[1]) * SLOT[1]
    top = cell // columns * CELL + slot // (CELL // SLOT[1]) * SLOT[0]
    return left, top, left + SLOT[1], top + SLOT[0]


def ink_centre(grey: np.ndarray) -> np.ndarray:
    """x, y of the centre of mass of what is dark."""
    weights = 255.0 - grey.astype(float)
    y, x = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]] + 0.5
    return np.asarray([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def share_with_ink(crop: Crop) -> float:
    """Share of visible characters that have a pixel unlike their surroundings in their slot or its neighbours."""
    columns = crop.grey.shape[1] // CELL
    found = []
    for place, code in crop.char_slots:
        if not chr(code).isspace():
            left, top, right, bottom = slot_box(int(place), columns)
            around = crop.grey[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4].astype(int)
            found.append(around.max() - around.min() > 60)
    return float(np.mean(found))


def test_characters_lie_in_the_slots_where_they_were_drawn() -> None:
    page = read_page(page_with({(30, 25): "AB", (90, 25): "D", (30, 110): "C"}))
    crop = cut(page, 0, 0, 1.0, 224, 168)
    columns = 224 // CELL
    places = {chr(code): int(place) for place, code in crop.char_slots}
    # A letter is 8 wide: A's middle lies at x 34, B's at 42, D's at 94.
    assert {char: place // SLOTS for char, place in places.items()} == {
        "A": 0 * columns + 1, "B": 0 * columns + 1, "D": 0 * columns + 3, "C": 3 * columns + 1,
    }  # fmt: skip
    across = {char: place % SLOTS % (CELL // SLOT[1]) for char, place in places.items()}
    assert across == {"A": 0, "B": 2, "D": 1, "C": 0}
    for place in places.values():
        left, top, right, bottom = slot_box(place, columns)
        assert crop.grey[top:bottom, left:right].min() < 128
    assert crop.grey[:, 5 * CELL :].min() == 255


@pytest.mark.parametrize("skew", [-2.5, 1.3, 2.5])
def test_places_turn_with_the_pixels(skew: float) -> None:
    width, height, moved = 448, 336, []
    for place in ((8, 20), (200, 20), (8, 155), (200, 155), (104, 90)):
        page = read_page(page_with({place: "H"}))
        straight, askew = cut(page, 0, 0, 2.0, width, height), cut(page, 0, 0, 2.0, width, height, skew)
        # The letter's middle is that of its line, a fixed way from that of its ink.
        middle = ink_centre(askew.grey) + page.centres[0] * 2.0 - ink_centre(straight.grey)
        left, top, right, bottom = slot_box(int(askew.char_slots[0, 0]), width // CELL)
        assert left - 1 < middle[0] < right + 1 and top - 1 < middle[1] < bottom + 1
        moved.append(int(askew.char_slots[0, 0]) != int(straight.char_slots[0, 0]))
    assert any(moved) and not moved[-1]  # the last one lies near the middle


def test_skewed_drawing_is_straight_one_turned() -> None:
    page = read_page(page_with({(20, 30): "left", (170, 30): "right"}))
    askew = draw(page, 0, 0, 1.0, 224, 168, 2.0)
    left, right = ink_centre(askew[:, :112]), ink_centre(askew[:, 112:]) + np.asarray([112, 0])
    # Anticlockwise: the line rises to the right.
    assert (left[1] - right[1]) / (right[0] - left[0]) == pytest.approx(np.tan(np.radians(2.0)), abs=0.015)
    assert askew.shape == (168, 224)


def test_crop_of_a_part_moves_targets_and_pixels_alike() -> None:
    page = read_page(page_with({(90, 66): "B"}))
    whole = draw(page, 0, 0, 2.0, 448, 336)
    part = cut(page, 56, 28, 2.0, 112, 112)
    assert np.abs(part.grey.astype(int) - whole[56:168, 112:224]).max() < 40  # the same drawing, up to antialiasing
    # The letter's middle is at 76 and about 67 of 112 pixels.
    assert [int(place) for place, _ in part.char_slots] == [(2 * 4 + 2) * SLOTS + 2]


def test_crop_beyond_the_page_is_white() -> None:
    page = read_page(page_with({(30, 25): "A"}))
    for skew in (0.0, 2.0):
        grey = draw(page, -50, -50, 1.0, 112, 112, skew)
        assert grey.shape == (112, 112) and grey[:50].min() == 255 and grey[50:].min() < 128


def test_text_of_a_crop_has_whole_words_only() -> None:
    page = read_page(page_with({(10, 30): "alpha beta gamma", (60, 60): "delta"}))
    x = float(page.centres[2][0]) + 0.1  # cuts "alpha" in two
    assert cut(page, x, 0, 1.0, 224, 168).text == "beta gamma delta"
    assert join_lines(["劳动", "者每年", "rests", "well"]) == "劳动者每年 rests well"


def test_character_places_mark_empty_slots() -> None:
    characters = CharacterSet(["A", "B"])
    places = characters.places(np.asarray([[1, ord("A")], [1, ord(" ")], [2, ord("Z")]]), 4)
    assert sorted(map(tuple, places.tolist())) == [(0, BLANK), (1, 2), (2, UNKNOWN), (3, BLANK)]


def test_every_slot_of_a_batch_holds_characters_or_is_blank(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> None:
    crops = make_batches(corpus, tokenizer).batch(4, 0.1)
    slots, indices = crops.characters.unbind(1)
    height, width = crops.pixels.shape[1:3]
    count = len(crops.pixels) * (height // CELL) * (width // CELL) * SLOTS
    assert torch.equal(slots.unique(), torch.arange(count))
    blank = set(slots[indices == BLANK].tolist())
    assert blank and blank.isdisjoint(slots[indices != BLANK].tolist())
    # Easy crops are black on white: a character's slot is dark far more often than a blank one.
    grey = crops.pixels[..., 0].numpy()
    dark = grey.reshape(len(grey), height // SLOT[0], SLOT[0], width // SLOT[1], SLOT[1]).min(axis=(2, 4)) < 128
    rows, columns = height // SLOT[0], width // SLOT[1]
    marked = np.ones((len(grey), rows, columns), bool)
    for slot in blank:
        crop, rest = divmod(slot, count // len(grey))
        left, top, _, _ = slot_box(rest, width // CELL)
        marked[crop, top // SLOT[0], left // SLOT[1]] = False
    assert dark[marked].mean() > 0.8 and dark[~marked].mean() < 0.5


@pytest.mark.parametrize("number", [1, 2])
def test_reading_lies_over_the_cells_that_show_it(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, number: int
) -> None:
    crops = make_batches(corpus, tokenizer).batch(number, 0.6)
    ids, lengths = crops.reading.ids, crops.reading.lengths
    assert len(crops.under) == int(lengths.sum())
    expected = [row * ids.shape[1] + place for row, length in enumerate(lengths) for place in range(int(length))]
    assert crops.under[:, 0].tolist() == expected
    cells = (crops.pixels.shape[1] // CELL) * (crops.pixels.shape[2] // CELL)
    # A crop's tokens lie in its own cells.
    assert torch.equal(crops.under[:, 0] // ids.shape[1], crops.under[:, 1] // cells)
    characters = CharacterSet.of(corpus, 200)
    shown: dict[int, set[str]] = {}
    for slot, index in crops.characters.tolist():
        if index > UNKNOWN:
            shown.setdefault(slot // SLOTS, set()).add(characters.characters[index - 2])
    known = []
    for place, cell in crops.under.tolist():
        text = tokenizer.decode([int(ids.flatten()[place])]).strip()
        if "\ufffd" not in text:
            known.append(bool(set(text) & shown.get(cell, set())))
    assert len(known) > 20 and np.mean(known) > 0.9


def test_tokens_of_a_page_lie_where_their_text_is(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> None:
    page = make_batches(corpus, tokenizer).page(random.Random(3))
    assert len(page.tokens) > 50
    crop = cut(page, 0, 0, 1.0, int(page.width) // CELL * CELL, int(page.height) // CELL * CELL)
    cells: dict[int, set[str]] = {}
    for place, code in crop.char_slots:
        cells.setdefault(int(place) // SLOTS, set()).add(chr(code))
    known = [
        bool(set(tokenizer.decode([int(token)]).strip()) & cells.get(int(cell), set()))
        for cell, token in crop.token_cells
        if "\ufffd" not in tokenizer.decode([int(token)])
    ]
    assert np.mean(known) > 0.95


@pytest.mark.parametrize("text", [VI, EN, ZH])
def test_span_is_a_part_of_its_text(text: str) -> None:
    rng = random.Random(0)
    spans = {span_of(text, rng) for _ in range(20)}
    assert len(spans) > 5 and all(span in text for span in spans)


def test_span_of_few_words_is_short() -> None:
    rng = random.Random(0)
    assert {len(span_of(EN, rng, most=3).split()) for _ in range(10)} == {3}
    assert {len(span_of(EN, rng).split()) for _ in range(40)} <= set(range(4, 25))


def test_sentence_is_whole_and_of_fitting_length() -> None:
    rng = random.Random(0)
    text = "Too short. The first one has six words. The second one has six too! 他今天去学校读书。"
    found = {sentence_of(text, rng).rstrip(".!。") for _ in range(40)}
    assert found == {"The first one has six words", "The second one has six too", "他今天去学校读书"}
    assert sentence_of("one two three", rng) == "one two three"  # without a sentence: a run of words


def test_layout_draws_every_language() -> None:
    for text in TEXTS.values():
        page = lay_out([text] * 30, random.Random(1), Fonts())
        assert text[:3] in "".join(map(chr, page.chars))
        assert draw(page, 0, 0, 1.0, 224, 224).min() < 128


def special(kind: str, language: str, seed: int) -> Page:
    return lay_out_special(kind, [TEXTS[language]] * 5, language, random.Random(seed), Fonts())


def page_words(page: Page, language: str) -> list[str]:
    """Words without digits (Chinese: characters) as the page's lines give them."""
    pattern = r"[\u4e00-\u9fff]" if language == "zh" else r"[^\W\d_]{2,}"
    return [word for line in page.lines for word in re.findall(pattern, line)]


@pytest.mark.parametrize("language", list(TEXTS))
@pytest.mark.parametrize("kind", list(KINDS))
def test_special_page_shows_words_and_numbers(kind: str, language: str) -> None:
    numbers = 0
    for seed in range(4):
        page = special(kind, language, seed)
        words = page_words(page, language)
        own = {"vi": "Tổng cộng Cảm ơn quý khách", "en": "Total Thank you", "zh": "合计谢谢惠顾"}[language]
        # Words come from the text whole, but for one too long for its column.
        known = [word in TEXTS[language] + own for word in words]
        assert len(words) >= 4 and np.mean(known) > 0.9, words
        numbers += len(re.findall(r"\d+", " ".join(page.lines)))
        crop = cut(page, 0, 0, 2.0, int(page.width * 2) // CELL * CELL, int(page.height * 2) // CELL * CELL)
        assert len(crop.char_slots) > 0.85 * len(page.chars)  # what is cut off at the right and below is little
        assert share_with_ink(crop) > 0.95
    assert numbers >= 8


@pytest.mark.parametrize("kind", list(KINDS))
def test_special_page_depends_on_its_seed_alone(kind: str) -> None:
    one, again, other = special(kind, "vi", 1), special(kind, "vi", 1), special(kind, "vi", 2)
    assert one.lines == again.lines and np.array_equal(one.centres, again.centres)
    assert np.array_equal(draw(one, 0, 0, 1.0, 224, 224), draw(again, 0, 0, 1.0, 224, 224))
    assert one.lines != other.lines


def test_receipt_writes_all_its_items_and_a_total() -> None:
    for seed in range(6):
        lines = [line.strip() for line in special("receipt", "en", seed).lines]
        total = lines.index("Total")
        amounts = [line for line in lines[:total] if re.fullmatch(r"[\d.,]+", line)]
        items = [line for line in lines[2:total] if not re.search(r"\d", line)]
        assert len(amounts) == len(items) >= 4
        assert lines[-1] == "Thank you" and lines[total + 1].endswith("$")


def test_special_page_of_little_text_is_drawn_too() -> None:
    for kind in KINDS:
        page = lay_out_special(kind, ["Hello"], "en", random.Random(0), Fonts())
        assert "Hello" in " ".join(page.lines)


def test_pictures_differ_from_each_other_and_resemble_their_second_view() -> None:
    one, two = draw_picture(random.Random(1), (112, 112), (84, 84))
    assert one.shape == (112, 112, 3) and two.shape == (84, 84, 3)
    assert np.abs(one.mean((0, 1)) - two.mean((0, 1))).max() < 60
