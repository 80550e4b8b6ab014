"""The ask tab, with a language model played over HTTP: streaming, citations, stopping, and answers without a model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.llm_server import LLMServer
from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex
from vipylo_rag.llm import load_llm
from vipylo_rag.server.options import ServerOptions

Visit = Callable[..., Page]

QUESTION = "Tiền đặt cọc là mấy tháng?"


@dataclass(frozen=True)
class Answering:
    """A server and the language model that it asks."""

    server: RunningServer
    model: LLMServer


@pytest.fixture(scope="module")
def answering(server: RunningServer) -> Iterator[Answering]:
    """A second server before the same index, this one with a language model."""
    with (
        LLMServer().running() as model,
        running(server.index, ServerOptions(writable=False), llm=load_llm(model.url)) as up,
    ):
        yield Answering(up, model)


def ask(page: Page, question: str = QUESTION) -> None:
    page.fill("#question", question)
    page.press("#question", "Enter")


# All that the answer ever was: a look now and then would miss what stands for half a second.
SEE_TEXTS = """() => {
    window.seenTexts = [];
    new MutationObserver(() => {
        const answer = document.querySelector(".answer-text");
        if (answer) window.seenTexts.push(answer.textContent.trim());
    }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def test_the_answer_comes_as_it_is_said_and_its_citations_open_the_page(visit: Visit, answering: Answering) -> None:
    answering.model.says("Tiền đặt cọc ", "là **hai tháng** ", "[1].\n\n", "- có <b>biên bản</b>", wait=0.5)
    page = visit(answering.server.url, "/?view=ask")
    expect(page.locator("#ask-model")).to_contain_text("test-vl")
    page.evaluate(SEE_TEXTS)
    ask(page)
    text = page.locator(".answer-text")
    expect(page.get_by_role("button", name="Dừng")).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("Đã trả lời xong")
    assert "Tiền đặt cọc" in page.evaluate("window.seenTexts")  # the first words, alone
    expect(text.locator("strong")).to_have_text("hai tháng")
    expect(text.locator("li")).to_have_text("có <b>biên bản</b>")
    expect(page.locator(".source")).to_have_count(1)
    expect(page.locator(".source")).to_contain_text("thuê nhà.pdf")
    text.get_by_role("button", name="Nguồn 1: thuê nhà.pdf, trang 1").click()
    expect(page.locator("#viewer-title")).to_have_text("thuê nhà.pdf")
    expect(page.locator("#boxes .box.passage").first).to_be_visible()
    expect(page.locator(".passage blockquote")).to_contain_text("đặt cọc")
    expect(page.locator("#panel-why .score-value")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(text).to_contain_text("hai tháng")  # the thread is still there
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Sao chép").click()
    expect(page.locator("#toast")).to_have_text("Đã sao chép")
    assert "hai tháng** [1]" in page.evaluate("navigator.clipboard.readText()")


def test_stop_ends_the_model_and_the_question_can_be_asked_again(visit: Visit, answering: Answering) -> None:
    answering.model.says("một ", "hai ", wait=0.05, endless=True)
    page = visit(answering.server.url, "/?view=ask")
    ask(page)
    expect(page.locator(".answer-text")).to_contain_text("hai một")
    page.get_by_role("button", name="Dừng").click()
    expect(page.locator(".answer")).to_contain_text("Đã dừng theo yêu cầu.")
    assert answering.model.asked[-1].hung_up.wait(5)
    answering.model.says("hai tháng [1]")
    page.get_by_role("button", name="Hỏi lại").click()
    expect(page.locator(".answer-text")).to_have_text("hai tháng [1]")
    expect(page.locator(".answer")).to_have_count(1)


def test_a_broken_model_is_told_in_words(visit: Visit, answering: Answering) -> None:
    answering.model.says("một ", "hai ", "ba ", breaks_after=2)
    page = visit(answering.server.url, "/?view=ask")
    ask(page)
    expect(page.locator(".answer .problem")).to_be_visible()
    assert len(page.locator(".answer .problem").inner_text()) > 15


def test_a_picture_belongs_to_the_question(visit: Visit, answering: Answering) -> None:
    answering.model.says("đỏ [1]")
    page = visit(answering.server.url, "/?view=ask")
    picture = answering.server.client.get(answering.server.search("red", mode="dense")[0]["image"] or "").content
    page.set_input_files("#ask-pictures + input", {"name": "q.png", "mimeType": "image/png", "buffer": picture})
    expect(page.locator("#ask-pictures img")).to_have_count(1)
    ask(page, "Màu gì đây?")
    expect(page.locator(".answer")).to_contain_text("1 ảnh kèm theo")
    expect(page.locator(".answer-text .cite")).to_have_text("[1]")
    expect(page.locator("#ask-pictures img")).to_have_count(0)


def test_not_found_and_no_model_are_said_plainly(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?view=ask")
    expect(page.locator("#ask-model")).to_contain_text("Chưa nối mô hình ngôn ngữ")
    ask(page)
    expect(page.locator(".tag")).to_have_text("Trích nguyên văn, không qua mô hình ngôn ngữ")
    page.locator(".answer-text .cite").first.click()
    expect(page.locator("#boxes .box.passage").first).to_be_visible()
    page.keyboard.press("Escape")
    ask(page, "Quantum chromodynamics?")
    expect(page.locator(".answer").first.locator(".tag")).to_have_text("Không tìm thấy trong tài liệu")
    expect(page.locator(".answer").first).to_contain_text("Những trang gần nhất")
    expect(page.locator(".answer").first.locator(".source").first).to_be_visible()


def test_an_empty_index_says_what_to_do(visit: Visit, server: RunningServer, tmp_path: object) -> None:
    model = server.state.index.embedder.embedder  # type: ignore[attr-defined]
    with MultimodalIndex.open(f"{tmp_path}/index", embedder=model) as index, running(index) as empty:
        page = visit(empty.url)
        expect(page.locator("#search-state h1")).to_have_text("Chưa có tài liệu nào")
        page.get_by_role("button", name="Thêm tài liệu").click()
        expect(page.locator("#documents-state")).to_have_text("Chưa có tài liệu nào.")
        page.locator("#tab-ask").click()
        ask(page)
        expect(page.locator(".answer .tag")).to_have_text("Không tìm thấy trong tài liệu")
