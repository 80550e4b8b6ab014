"""The graph as one HTML page: what is in the file, what it refuses, and how it behaves in a browser."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.vipylo_rag.conftest import write_pdf, write_picture
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph.show import GraphPageReport, write_graph

HOSTILE = "</script><script>document.title='owned'</script> XK-204/7 <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[MultimodalIndex]:
    """An index with a graph of two tenants: pages that share the code XK-204/7, one of them with hostile words."""
    folder = tmp_path_factory.mktemp("shown")
    documents, others = folder / "documents", folder / "others"
    documents.mkdir()
    others.mkdir()
    write_pdf(documents / "hợp đồng.pdf", ["Hợp đồng số XK-204/7 ký ngày 05/03/2026", "Điều khoản thanh toán"])
    write_pdf(documents / "invoice.pdf", ["Invoice for contract XK-204/7, total 1,250,000 VND"])
    (documents / "note.md").write_text(HOSTILE, encoding="utf-8")
    write_picture(documents / "red.png", "red")
    write_pdf(others / "secret.pdf", ["The secret paper of contract XK-204/7"])
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(documents)
        index.ingest(others, tenant="others")
        index.build_graph()
        index.build_graph(tenant="others")
        yield index


@pytest.fixture(scope="module")
def written(shown: MultimodalIndex, tmp_path_factory: pytest.TempPathFactory) -> GraphPageReport:
    return write_graph(shown, tmp_path_factory.mktemp("page") / "graph.html", title="Kho <giấy>")


def content_of(file: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="content">(.*?)</script>', file.read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_the_page_holds_the_graph_of_one_tenant(shown: MultimodalIndex, written: GraphPageReport) -> None:
    content = content_of(written.file)
    assert written.nodes == written.held == len(content["name"]) and written.edges == len(content["from"])
    assert written.labels["document"] == 4 and written.labels["page"] == 5 and written.pictures == 5
    assert written.bytes == written.file.stat().st_size
    code = content["name"].index("XK-204/7")
    assert content["labels"][content["label"][code]] == "code" and content["pages"][code] == 3
    said = {
        content["name"][content["from"][link]]: content["said"][link]
        for link in range(written.edges)
        if content["to"][link] == code and content["kinds"][content["link"][link]] == "MENTIONS"
    }
    assert said.keys() == {"hợp đồng.pdf", "invoice.pdf", "note.md"}
    assert said["invoice.pdf"] == ["Invoice for contract XK-204/7, total 1,250,000 VND", "XK-204/7"]
    assert "secret" not in written.file.read_text("utf-8")
    theirs = write_graph(shown, written.file.with_name("theirs.html"), tenant="others")
    assert "secret" in theirs.file.read_text("utf-8") and "invoice" not in theirs.file.read_text("utf-8")


def test_a_limit_keeps_what_is_connected_best_and_says_so(shown: MultimodalIndex, written: GraphPageReport) -> None:
    some = write_graph(shown, written.file.with_name("some.html"), limit=6, picture_bytes=0)
    assert (some.nodes, some.held, some.pictures) == (6, written.held, 0)
    content = content_of(some.file)
    assert "XK-204/7" in content["name"] and content["held"] == written.held
    assert set(content["from"]) | set(content["to"]) <= set(range(6))


def test_what_is_refused(shown: MultimodalIndex, tiny_embedder: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html><p>mine")
    with pytest.raises(InputError, match="is no page of a graph"):
        write_graph(shown, mine)
    assert mine.read_text() == "<!doctype html><p>mine"
    with pytest.raises(InputError, match="is no folder"):
        write_graph(shown, tmp_path / "none" / "graph.html")
    with pytest.raises(InputError, match="limit=0"):
        write_graph(shown, tmp_path / "graph.html", limit=0)
    with pytest.raises(InputError, match="nothing to show"):
        write_graph(shown, tmp_path / "graph.html", tenant="nobody")
    with (
        MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as bare,
        pytest.raises(InputError, match="vipylo graph build"),
    ):
        write_graph(bare, tmp_path / "graph.html")
    assert [file.name for file in tmp_path.iterdir() if file.suffix in (".html", ".part")] == ["mine.html"]
    again = write_graph(shown, tmp_path / "graph.html")
    assert write_graph(shown, again.file).bytes == again.bytes


@contextmanager
def opened(file: Path, **options: Any) -> Iterator[Any]:
    """The page in headless Chromium; at the end nothing may have gone wrong or have been asked for."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_context(reduced_motion="reduce", **options).new_page()
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        until(page, "view.width > 0")
        yield page
        assert not wrong
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
        browser.close()


def until(page: Any, code: str) -> None:
    """Wait until `code` is true. Playwright's own way compiles text in the page, which the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(code):
        assert time.monotonic() < end, f"never true: {code}"
        time.sleep(0.02)


def place_of(page: Any, name: str) -> tuple[float, float]:
    """Where a node stands on the screen."""
    x, y = page.evaluate("(name) => toScreen(data.name.indexOf(name))", name)
    box = page.locator("#canvas").bounding_box()
    return box["x"] + x, box["y"] + y


def test_search_hover_click_kinds_languages_and_keys(written: GraphPageReport) -> None:
    with opened(written.file, viewport={"width": 1200, "height": 800}, locale="vi-VN") as page:
        assert page.title() == "Đồ thị trang: Kho <giấy>"
        assert f"{written.nodes} nút" in page.inner_text("#summary")

        page.mouse.move(*place_of(page, "XK-204/7"))
        card = page.locator("#hover")
        card.wait_for(state="visible")
        assert "XK-204/7" in card.inner_text() and "mã · 3 liên kết" in card.inner_text()

        page.mouse.click(*place_of(page, "XK-204/7"))
        details = page.locator("#details")
        assert details.locator(".item").count() == 3 and details.locator("mark").all_inner_texts() == ["XK-204/7"] * 3
        assert "</script><script>" in details.inner_text() and details.locator("img[onerror]").count() == 0

        details.locator(".item", has_text="invoice.pdf").click()
        assert "total 1,250,000 VND" in details.inner_text() and "Nhắc đến" in details.inner_text()
        assert page.evaluate("document.querySelector('#details > img').naturalWidth") > 100

        page.select_option("#language", "en")
        assert "Mentions" in details.inner_text() and "page 1" in details.inner_text()
        page.fill("#query", "hop dong")  # without its tone marks
        until(page, "listed.length >= 3 && listed.length < COUNT")
        page.keyboard.press("Enter")
        assert "hợp đồng.pdf" in details.locator(".name").first.inner_text()
        page.fill("#query", "")
        until(page, "listed.length === COUNT")

        page.focus("#canvas")
        page.keyboard.press("Escape")
        assert not details.is_visible()
        x, scale = page.evaluate("[view.x, view.scale]")
        for key in ("ArrowRight", "+"):
            page.keyboard.press(key)
        assert page.evaluate("view.x") > x and page.evaluate("view.scale") > scale
        page.keyboard.press("n")
        assert details.is_visible()

        page.locator("#legend li", has_text="page").locator("input").uncheck()
        until(page, "listed.length === COUNT - 5")
        page.click("#all")
        until(page, "listed.length === COUNT")


def test_dark_and_on_a_phone(written: GraphPageReport) -> None:
    with opened(written.file, viewport={"width": 390, "height": 800}, color_scheme="dark", locale="zh-CN") as page:
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
        assert page.locator("#view").bounding_box()["width"] == 390
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert "页面图谱" in page.title()
