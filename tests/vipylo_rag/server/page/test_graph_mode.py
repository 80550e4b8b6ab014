"""Mode graph on the web page: the way to each page under its card, the graph built where there is none; and the mode
that questions are asked in."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.vipylo_rag.server.conftest import RunningServer, running
from tests.vipylo_rag.server.test_graph_mode import ASKED, write_chain
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph.extraction import Extraction

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Any) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("linked")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(write_chain(folder / "documents", "<b>Nguyễn</b> Văn An"))
        index.build_graph()
        with running(index) as up:
            yield up


def test_the_way_to_a_page_can_be_walked(visit: Visit, linked: RunningServer) -> None:
    page = visit(linked.url)
    page.fill("#query", ASKED)
    page.keyboard.press("Enter")
    expect(page.locator("#grid .card").first).to_contain_text("lease.pdf")
    expect(page.locator(".via")).to_have_count(0)
    page.locator("#modes label", has_text="Liên kết").click()
    expect(page.locator("#mode-hint")).to_contain_text("có chung tên, mã hay ngày")
    way = page.locator("li", has_text="register.pdf").locator(".via").first
    expect(way).to_have_text("qua lease.pdf, trang 1 → XK-204/7")
    way.locator("a").click()
    expect(page.locator("#viewer")).to_be_visible()
    expect(page.locator("#viewer")).to_contain_text("lease.pdf")
    page.go_back()
    page.select_option("#language", "en")
    expect(way).to_have_text("via lease.pdf, page 1 → XK-204/7")
    page.reload()
    expect(page.locator("#modes input:checked")).to_have_value("graph")
    expect(way).to_be_visible()


def test_where_no_graph_can_be_built_the_mode_is_not_offered_and_a_link_to_it_says_why(
    visit: Visit, server: RunningServer
) -> None:
    page = visit(server.url)
    expect(page.locator("#modes label", has_text="Theo từ")).to_be_visible()
    expect(page.locator("#mode-graph")).to_be_hidden()
    page = visit(server.url, "/?q=lease&mode=graph", expected="422")
    expect(page.locator("#search-state")).to_contain_text("vipylo graph build")


def test_on_a_phone_the_four_modes_fit(visit: Visit, linked: RunningServer) -> None:
    page = visit(linked.url, viewport={"width": 360, "height": 740})
    expect(page.locator("#mode-graph")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.fixture
def graphless(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Any) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("graphless")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(write_chain(folder / "documents", "Nguyễn Văn An"))
        with running(index) as up:
            yield up


def test_the_graph_is_built_from_the_page_and_then_walked(
    visit: Visit, graphless: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    read = Extraction.read

    def waiting(self: Extraction, pages: Any) -> Any:
        assert gate.wait(30)
        return read(self, pages)

    monkeypatch.setattr(Extraction, "read", waiting)
    page = visit(graphless.url)
    page.fill("#query", ASKED)
    page.keyboard.press("Enter")
    expect(page.locator("#grid .card").first).to_be_visible()
    page.locator("#modes label", has_text="Liên kết").click()
    offer = page.locator("#search-state")
    expect(offer).to_contain_text("Chưa có đồ thị trang")
    expect(page.locator("#grid")).to_be_hidden()
    offer.get_by_role("button", name="Lập đồ thị").click()
    expect(offer.locator("progress")).to_be_visible()
    expect(offer).to_contain_text("Đọc các trang: 0 / 6")
    page.select_option("#language", "en")
    expect(offer).to_contain_text("Reading pages: 0 of 6")
    page.locator("#tab-ask").click()  # the choice goes along, and so does what is told of the graph
    expect(page.locator("#ask-modes input:checked")).to_have_value("graph")
    expect(page.locator("#ask-graph")).to_contain_text("The graph is being built")
    expect(page.locator("#ask-submit")).to_be_disabled()
    page.locator("#tab-search").click()
    page.fill("#query", ASKED)
    page.keyboard.press("Enter")
    expect(offer.locator("progress")).to_be_visible()
    gate.set()
    expect(page.locator("li", has_text="register.pdf").locator(".via").first).to_contain_text("XK-204/7")
    expect(offer).to_be_empty()


def test_a_question_is_asked_in_the_mode_that_is_chosen(visit: Visit, linked: RunningServer) -> None:
    page = visit(linked.url, "/?view=ask")
    expect(page.locator("#ask-modes input:checked")).to_have_value("hybrid")
    for mode, label in (("graph", "Liên kết"), ("lexical", "Theo từ")):
        page.locator("#ask-modes label", has_text=label).click()
        with page.expect_request("**/api/ask") as sent:
            page.fill("#question", ASKED)
            page.press("#question", "Enter")
        assert f'name="mode"\r\n\r\n{mode}\r\n' in (sent.value.post_data or "")
        expect(page.locator(".answer").first).to_contain_text(label)
        expect(page.locator("#ask-submit")).to_be_enabled()
    assert "mode=lexical" in page.url
    page.locator("#tab-search").click()
    expect(page.locator("#modes input:checked")).to_have_value("lexical")
    page.locator("#modes label", has_text="Theo ý").click()
    page.locator("#tab-ask").click()
    expect(page.locator("#ask-modes input:checked")).to_have_value("dense")
