"""Answers without a language model: the passages that fit, or that there are none. Never made up."""

from pathlib import Path

import pytest

from connectors.page import WordBox
from tests.vipylo_rag.answer_pages import BRAKES, DEPOSIT, FILTER, page, pages
from vipylo_rag.answer import Answer, answer_stream, whole
from vipylo_rag.citations import Mark
from vipylo_rag.evidence import claim_of
from vipylo_rag.passages import Span, boxes_of, sentences, terms
from vipylo_rag.prompt import language_of
from vipylo_rag.search import Hit

ASKED = [
    ("Tiền đặt cọc là bao nhiêu?", "vi", 1, "29.000.000 đồng"),
    ("How thick are new brake pads?", "en", 2, "2.2 mm thick"),
    ("反渗透膜多久更换？", "zh", 3, "二十四个月"),
]


def quoting(question: str, hits: list[Hit]) -> Answer:
    return whole(answer_stream(question, (), hits, None))


@pytest.mark.parametrize(("question", "language", "number", "holds"), ASKED)
def test_the_best_passage_is_quoted_word_for_word(
    question: str, language: str, number: int, holds: str, tmp_path: Path
) -> None:
    hits = pages(tmp_path)
    answer = quoting(question, hits)
    assert (answer.found, answer.generated, answer.model, answer.language) == (True, False, None, language)
    assert answer.citations[0].number == number and len(answer.citations) == 1
    cited = answer.citations[0]
    assert holds in cited.quote and f"“{cited.quote}” [{number}]" in answer.text
    assert "".join(cited.quote.split()) in "".join(cited.hit.text.split())
    assert "".join(box.text for box in cited.boxes) == "".join(cited.quote.split())


@pytest.mark.parametrize(
    ("question", "told", "why"),
    [
        ("Ai viết truyện Kiều?", "Không tìm thấy trong tài liệu.", "(Khi chưa có mô hình ngôn ngữ, chỉ tìm được"),
        ("What is the capital of France?", "Not found in the documents.", "(Without a language model, only passages"),
        ("红楼梦的作者是谁？", "在文档中没有找到。", "（未配置语言模型时，只能找到"),
    ],
)
def test_what_the_pages_do_not_say_is_not_found(question: str, told: str, why: str, tmp_path: Path) -> None:
    hits = pages(tmp_path)
    answer = quoting(question, hits)
    assert (answer.found, answer.citations, answer.pages) == (False, (), tuple(hits))
    assert answer.text.startswith(f"{told}\n\n{why}")
    assert quoting(question, []).text == told


def test_two_parts_of_a_question_are_answered_by_two_passages(tmp_path: Path) -> None:
    hits = [page(BRAKES, tmp_path, 1), page("The warranty is void after racing. It covers the frame.", tmp_path, 2)]
    answer = quoting("How thick are new brake pads, and when is the warranty void?", hits)
    assert [citation.number for citation in answer.citations] == [1, 2]


def test_pages_without_text_quote_nothing(tmp_path: Path) -> None:
    assert not quoting("What is on the picture?", [page("", tmp_path)]).found


def test_running_heads_answer_nothing(tmp_path: Path) -> None:
    head = "Solar Park Annual Report 2025"
    hits = [
        page(f"{head}\nThe weakest month of the park was December.", tmp_path, 1),
        page(f"{head}\nNo.", tmp_path, 2),
    ]
    answer = quoting("weakest month of the solar park, annual report", hits)
    assert answer.citations[0].quote == "The weakest month of the park was December."


def test_sentences_of_three_languages() -> None:
    text = "4.1. Giá là 3.5 triệu.\nDr. x said so! “Yes.” And\nthis goes on. 第一句。第二句！最后"
    assert [text[one.start : one.end] for one in sentences(text)] == [
        "4.1. Giá là 3.5 triệu.", "Dr. x said so!", "“Yes.”", "And\nthis goes on.", "第一句。", "第二句！", "最后",
    ]  # fmt: skip
    assert sentences("") == [] and sentences(" \n\n ") == []


@pytest.mark.parametrize(("word", "other"), [("replacing", "replace"), ("batteries", "battery"), ("pads", "pad")])
def test_english_endings_do_not_matter(word: str, other: str) -> None:
    assert terms(word) == terms(other)
    assert terms("má") != terms("mà") and terms("净水器") == ["净水", "水器"]


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("tiền đặt cọc", "vi"), ("giá iPhone Pro Max", "vi"), ("净水器滤芯 RO 多久换？", "zh"),
        ("What is on the café menu?", "en"), ("What is the deposit in Nguyễn Văn An's contract?", "en"),
        ("E11", "en"), ("hoá đơn tháng 3", "vi"), ("", "en"),
    ],
)  # fmt: skip
def test_the_questions_language(question: str, language: str) -> None:
    assert language_of(question) == language


def test_the_claim_that_a_mark_stands_behind() -> None:
    text = "The first is so and so [1], the second is otherwise [2]. The third is new. [3]"
    places = [text.index(f"[{number}]") for number in (1, 2, 3)]
    claims = [claim_of(text, Mark(number, place, place + 3)) for number, place in enumerate(places, start=1)]
    assert claims == ["The first is so and so", ", the second is otherwise", "The third is new."]


def test_boxes_of_a_repeated_passage_are_those_at_its_place(tmp_path: Path) -> None:
    hit = page("Same words here.\nOther words.\nSame words here.", tmp_path)
    last = Span(hit.text.rindex("Same"), len(hit.text))
    assert [box.y0 for box in boxes_of(hit.text, [last], hit.words)] == [2 / 50] * 3
    assert boxes_of("nothing alike", [Span(0, 13)], hit.words) == ()


def test_boxes_of_a_passage_that_is_drawn_otherwise_than_written() -> None:
    """A list's and a heading's marks have no boxes, the words stand in another order, and "5" is also in "15"."""
    text = "# Order of 15\n- 5\n- screws\nnote: 15"
    words = [WordBox(word, 0, number / 9, 1, (number + 1) / 9) for number, word in enumerate(
        ["note:", "15", "Order", "of", "15", "•", "5", "•", "screws"]
    )]  # fmt: skip
    cell = Span(text.index("5\n- s"), text.index("5\n- s") + 1)
    assert boxes_of(text, [cell], words) == (words[6],)
    assert boxes_of(text, [Span(0, 13)], words) == tuple(words[2:5])


def test_a_lost_file_of_words_costs_the_boxes_only(tmp_path: Path) -> None:
    hit = page(FILTER, tmp_path)
    assert hit.words_path
    hit.words_path.unlink()
    (citation,) = quoting("反渗透膜多久更换？", [hit]).citations
    assert "二十四个月" in citation.quote and citation.boxes == ()
    assert DEPOSIT not in citation.quote
