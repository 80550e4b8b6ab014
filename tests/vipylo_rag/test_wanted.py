"""What a question wants is told by its words, and a passage with a thing of that kind is quoted before one without."""

import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vipylo_rag.answer_pages import page, pages
from vipylo_rag.answer import Answer, answer_stream, whole
from vipylo_rag.prompt import LANGUAGES, Language, language_of
from vipylo_rag.wanted import NOTHING, Wanted

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def wanted(question: str) -> Wanted:
    return Wanted.by(question, language_of(question))


def quoting(question: str, folder: Path, texts: list[str]) -> Answer:
    return whole(answer_stream(question, (), pages(folder, texts), None))


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("Tổng số tiền là bao nhiêu?", {"figure"}),
        ("Tiền đặt cọc là bao nhiêu, khi nào được hoàn trả?", {"figure", "date"}),
        ("Số điện thoại của thủ kho là bao nhiêu?", {"code"}),
        ("Đóng vào tài khoản số mấy?", {"code"}),
        ("Hợp đồng số AB-12 ký ngày nào?", {"date"}),
        ("Biển số xe trong hồ sơ của Nguyễn Thị Mẫu?", {"code"}),
        ("Ai lắp đèn?", {"person"}),
        ("Vì sao ca đêm phải dừng máy?", set()),
        ("How many pallets are there?", {"figure"}),
        ("What does the display show when the battery is empty?", set()),
        ("When is the rent due, and who pays it?", {"date", "person"}),
        ("What is the sample number?", {"code"}),
        ("What is the number of pallets?", {"figure"}),
        ("押金是多少？", {"figure"}),
        ("维修编号是多少？", {"code"}),
        ("几号开会？", {"date"}),
        ("主考是谁？", {"person"}),
        ("为什么停水？", set()),
    ],
)
def test_questions_tell_what_they_want(question: str, kinds: set[str]) -> None:
    assert wanted(question).kinds == kinds


@pytest.mark.parametrize(
    ("question", "holding", "not_holding"),
    [
        ("Tổng số tiền là bao nhiêu?", "14.150.000 đồng", "III. SỐ TIỀN YÊU CẦU"),
        ("Tổng số tiền là bao nhiêu?", "còn 3 bao", "Điều 3. Tiền thuê"),
        ("How thick are the pads?", "2.2 mm thick", "2.2 Pads"),
        ("How many robots stopped?", "eleven of the sixteen", "robots of line KX-7750"),
        ("Ngày nào giao hàng?", "ngày 06/05/2026", "14.150.000 đồng, số NK-0317"),
        ("When was it sampled?", "on 17 June 2026", "W-5518 at 118 m"),
        ("交货日期是哪天？", "2026 年 8 月 1 日", "36 把，8,640 元"),
        ("押金是多少？", "二十四个月", "以清单为准"),
        ("Mã hồ sơ là gì?", "CL-88-2051", "168 cm, ngày 20/09/2026"),
        ("Số điện thoại của cô là số mấy?", "0900 000 616", "4.390.000 đồng"),
        ("Ai là thủ kho?", "Thủ kho: Nghiêm Văn Đoài", "Thủ kho ký tên"),
        ("负责人是谁？", "负责人是闻人静。", "负责人签字"),
    ],
)
def test_texts_hold_things_of_a_kind(question: str, holding: str, not_holding: str) -> None:
    assert wanted(question).is_in(holding) and not wanted(question).is_in(not_holding)


def test_what_the_question_says_itself_answers_nothing() -> None:
    asked = wanted("Hoá đơn 7,8 triệu của Nguyễn Thị Mẫu: còn nợ bao nhiêu, ai trả?")
    assert asked.kinds == {"figure", "person"}
    assert not asked.is_in("7.8 triệu, Nguyễn Thị Mẫu") and asked.is_in("Trần Văn Thử") and asked.is_in("1,2 triệu")
    assert not NOTHING.is_in("12 ngày, AB-12, Nguyễn Thị Mẫu")


@pytest.mark.parametrize(
    ("question", "heading", "line", "holds"),
    [
        (
            "Số tiền yêu cầu bồi thường là bao nhiêu?",
            "III. THIỆT HẠI VÀ SỐ TIỀN YÊU CẦU BỒI THƯỜNG",
            "Cộng số tiền yêu cầu:\n14.150.000 đồng",
            "14.150.000",
        ),
        (
            "When is the delivery date of the goods?",
            "DELIVERY DATE OF THE GOODS",
            "Delivery date:\n9 April 2026",
            "9 April",
        ),
        ("设备的交付日期是哪天？", "设备的交付日期与交付方式", "交付日期：\n2026 年 8 月 1 日", "8 月 1 日"),
    ],
)
def test_the_line_with_the_figure_is_quoted_before_the_heading(
    question: str, heading: str, line: str, holds: str, tmp_path: Path
) -> None:
    filling = (
        "Hai bên đọc lại và ký từng trang. " * 6 if language_of(question) == "vi" else "Both read and sign it. " * 9
    )
    answer = quoting(question, tmp_path, [f"{heading}\n{filling}\n\n{line}\n\n{filling}"])
    first = answer.text.split("\n\n")[1]
    assert holds in first
    cited = answer.citations[0]
    assert {box.text for box in cited.boxes} <= set(cited.hit.text.split()) and cited.boxes


def test_of_two_forms_the_one_that_names_the_person_is_quoted(tmp_path: Path) -> None:
    forms = [
        f"Người yêu cầu: {name}\n{'Tôi cam kết những điều khai trên là đúng. ' * 8}\n\nTổng số tiền:\n{amount} đồng"
        for name, amount in (("Trần Văn Thử", "20.750.000"), ("Lê Ngọc Mai", "10.950.000"))
    ]
    for name, amount, number in (("Trần Văn Thử", "20.750.000", 1), ("Lê Ngọc Mai", "10.950.000", 2)):
        answer = quoting(f"Tổng số tiền của {name} là bao nhiêu?", tmp_path, forms)
        assert answer.text.split("\n\n")[1].endswith(f"[{number}]")
        assert amount in answer.text.split("\n\n")[1]


def test_a_figure_alone_makes_no_answer(tmp_path: Path) -> None:
    """Whether a page answers is told by the question's words; nearly every page has some figure."""
    assert not quoting("Giá vàng hôm qua là bao nhiêu?", tmp_path, ["Lập ngày 14/03/2026: 48.260.000 đồng."]).found
    assert not quoting("How much did the moon landing cost?", tmp_path, ["Invoice: 473.80 in 3 parts."]).found


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.sampled_from(LANGUAGES))
def test_any_text_can_be_asked_and_looked_at(text: str, language: Language) -> None:
    assert not Wanted.by(text, language).is_in(text)  # what it holds is given


@pytest.mark.parametrize("repeated", ["mã số ", "1234 ", "A-1", "what does ", "1.", "ngày 1/1", "几", "Xx ", "- "])
def test_long_questions_and_sentences_take_no_time(repeated: str) -> None:
    text = repeated * (20_000 // len(repeated))
    started = time.process_time()
    for language in LANGUAGES:
        Wanted.by(text, language).is_in(text)
    assert time.process_time() - started < 1.5


@pytest.fixture(scope="module")
def benchmark() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import answers
    finally:
        sys.path.remove(str(BENCHMARKS))
    return answers


def test_the_first_passage_holds_the_field_that_is_asked_for(benchmark: Any, tmp_path: Path) -> None:
    """The benchmark's papers without its search: all papers of a language and of a half are the pages."""
    papers = benchmark.papers()
    asked: dict[str, list[Any]] = {"dev": [], "test": []}
    for split, language in product(asked, LANGUAGES):
        same = [paper for paper in papers if (paper["split"], paper["language"]) == (split, language)]
        hits = [page(paper["text"], tmp_path, n, f"{paper['name']}.txt", False) for n, paper in enumerate(same, 1)]
        for paper in same:
            for question, value in [*paper["asked"], *((one, None) for one in paper["unanswered"])]:
                answer = whole(answer_stream(question, (), hits, None, language=language))
                asked[split].append(benchmark.Asked.of(answer, value))
    dev, test = (benchmark.Row.of(split, some) for split, some in asked.items())
    assert (dev.answered, test.answered, dev.unanswered + test.unanswered) == (35, 36, 36)
    assert dev.first >= 32 and test.first >= 30
    assert dev.any >= 33 and test.any >= 32
    assert dev.refused + test.refused >= 18
