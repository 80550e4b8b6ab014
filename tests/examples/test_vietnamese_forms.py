"""The Vietnamese forms: samples on their face, the same for the same seed, and their fields are found and cited."""

import hashlib
import re
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from connectors.loaders.ocr import tesseract_languages
from embedder import ColPaLiQwenEmbedder
from examples.vietnamese_forms import KINDS, build, people
from examples.vietnamese_forms.amounts import in_words, shown
from examples.vietnamese_forms.asked import Score, holds
from examples.vietnamese_forms.questions import questions
from examples.vietnamese_forms.run import PDF, READ_SCAN, SCAN, Result, run

_NUMBERS = {word: n for n, word in enumerate(("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín"))}


def _text(path: Path) -> str:
    with pymupdf.open(path) as document:
        assert len(document) == 1
        return str(document[0].get_text())


def _digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.*"))}


def _number(words: str) -> int:
    """What an amount in words says, read as people do: by groups of three figures."""
    total, group = 0, 0
    for word in words.removesuffix(" đồng").split():
        match word:
            case "tỷ" | "triệu" | "nghìn":
                total += group * {"tỷ": 10**9, "triệu": 10**6, "nghìn": 10**3}[word]
                group = 0
            case "trăm":
                group = group * 100
            case "mươi":
                group = group // 10 * 10 + group % 10 * 10 if group >= 100 else group * 10
            case "mười":
                group += 10
            case "linh":
                pass
            case _:
                group += {"mốt": 1, "lăm": 5, **_NUMBERS}[word]
    return total + group


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_amounts_in_words_say_the_amount(amount: int) -> None:
    assert _number(in_words(amount)) == amount


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "không đồng"),
        (21, "hai mươi mốt đồng"),
        (115, "một trăm mười lăm đồng"),
        (7_474_505, "bảy triệu bốn trăm bảy mươi bốn nghìn năm trăm linh năm đồng"),
        (1_000_020_000, "một tỷ không trăm hai mươi nghìn đồng"),
    ],
)
def test_amounts_in_words_as_they_are_written(amount: int, words: str) -> None:
    assert in_words(amount) == words
    assert shown(7_474_505) == "7.474.505"


def test_same_seed_same_bytes_other_seed_others(tmp_path: Path) -> None:
    for name, seed, scans in (("a", 3, 1), ("b", 3, 1), ("c", 4, 0)):
        build(tmp_path / name, count=1, seed=seed, scans_of=scans)
    first, again, other = (_digests(tmp_path / name) for name in "abc")
    assert first == again and len(first) == 2 * len(KINDS)
    assert not set(first.values()) & set(other.values())


def test_every_form_says_that_it_is_a_sample_and_holds_what_is_asked(tmp_path: Path) -> None:
    forms = build(tmp_path, count=5, scans_of=0)
    texts = {path.stem: _text(path) for path in forms.pdfs.glob("*.pdf")}
    assert len(texts) == 5 * len(KINDS)
    assert all("MẪU – SAMPLE, KHÔNG CÓ GIÁ TRỊ" in text for text in texts.values())
    for question in questions(forms.people):
        assert holds(texts[question.form], question.value), question
        others = [stem for stem in texts if stem.split("-")[:-1] == question.form.split("-")[:-1]]
        assert len(others) == 5
    # no number of these can be somebody's
    assert all(person.id_number.startswith("000") and len(person.id_number) == 12 for person in forms.people)
    assert all(person.claim.plate.startswith("00A-") for person in forms.people)


def test_people_are_different_and_their_sums_are_right() -> None:
    everybody = people(40)
    assert len({person.name for person in everybody}) == len({person.id_number for person in everybody}) == 40
    assert everybody[0].name == "Nguyễn Thị Mẫu"
    for person in everybody:
        net = sum(item.count * item.price for item in person.invoice.items)
        assert abs(person.invoice.total - net * (1 + person.invoice.vat_percent / 100)) <= 0.5
        assert person.licence.expires is None or person.licence.expires > person.licence.issued
    with pytest.raises(ValueError, match="1 to 40"):
        people(41)


@pytest.mark.parametrize(
    ("text", "value", "there"), [("hạng C1.", "C", False), ("HẠNG C", "c", True), ("a  b", "a b", True)]
)
def test_a_value_is_there_as_whole_words(text: str, value: str, there: bool) -> None:
    assert holds(text, value) is there


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, str]:
    console = Console(record=True, width=120)
    # A third of the pixels that the example takes: what is asserted holds as well, and a third of the time is enough.
    starter = ColPaLiQwenEmbedder.from_pretrained("starter", max_pixels=250_000)
    folder = tmp_path_factory.mktemp("forms")
    return run(folder, console, count=2, scans_of=1, embedder=starter), console.export_text()


@pytest.mark.slow
def test_the_right_form_comes_and_its_value_is_cited(answered: tuple[Result, str]) -> None:
    result, printed = answered
    score = Score.of(result.asked[PDF])
    assert score.questions == 18
    assert score.in_three >= 17 and score.in_quote >= 17 and score.in_first >= 16
    assert score.in_boxes == score.in_quote  # what is quoted is also marked on the picture
    assert score.quoted_share < 0.6  # a quote of the whole form would hold everything
    page = result.page.read_text(encoding="utf-8")
    assert page.count("<section>") == sum(len(result.asked.get(tenant, [])) for tenant in (PDF, READ_SCAN))
    assert page.count("<mark>") >= score.in_quote and not re.search(r'src="(?!data:)', page)
    assert "rank of the form" in printed and str(result.page) in printed


@pytest.mark.slow
def test_a_scan_is_found_by_its_copy_and_cited_where_it_was_read(answered: tuple[Result, str]) -> None:
    result, _ = answered
    assert Score.of(result.asked[SCAN]).in_quote == 0  # no text layer, nothing to quote
    assert result.copies == [1] * len(KINDS)
    if "vie" not in tesseract_languages():
        pytest.skip("Tesseract with Vietnamese is not installed")
    read = Score.of(result.asked[READ_SCAN])
    assert read.in_three >= 7 and read.in_quote >= 5
