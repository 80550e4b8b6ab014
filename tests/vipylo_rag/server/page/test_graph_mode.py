"""Mode graph on the web page: offered where there is a graph, with the way to each page under its card."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.vipylo_rag.server.conftest import RunningServer, running
from tests.vipylo_rag.server.test_graph_mode import ASKED, write_chain
from vipylo_rag import MultimodalIndex

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


def test_without_a_graph_the_mode_is_not_offered_and_a_link_to_it_says_why(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url)
    expect(page.locator("#modes label", has_text="Theo từ")).to_be_visible()
    expect(page.locator("#mode-graph")).to_be_hidden()
    page = visit(server.url, "/?q=lease&mode=graph", expected="422")
    expect(page.locator("#search-state")).to_contain_text("vipylo graph build")


def test_on_a_phone_the_four_modes_fit(visit: Visit, linked: RunningServer) -> None:
    page = visit(linked.url, viewport={"width": 360, "height": 740})
    expect(page.locator("#mode-graph")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
