"""The map in a browser: it draws, answers the mouse and the keys, and asks nothing of any network."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedder import ColPaLiQwenEmbedder
from tests.vipylo_rag.conftest import write_pdf, write_picture
from vipylo_rag import MultimodalIndex
from vipylo_rag.map import write_map

NAME = "<b>'\"&</script><img src=x onerror=alert(1)>".replace("/", "∕") + ".md"


@pytest.fixture(scope="module")
def map_file(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Path:
    folder = tmp_path_factory.mktemp("page")
    documents = folder / "documents"
    documents.mkdir()
    write_pdf(documents / "hợp đồng.pdf", ["nhà số 1", "nhà số 2", "tiền thuê"])
    write_picture(documents / "red.png", "red")
    shutil.copyfile(documents / "red.png", documents / "copy.png")
    (documents / NAME).write_text("</script><script>document.title='owned'</script> nước", encoding="utf-8")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(documents)
        return write_map(index, folder / "map.html", duplicates=0.9999).file


@contextmanager
def opened(file: Path, **options: Any) -> Iterator[Any]:
    """The map in headless Chromium; at the end nothing may have gone wrong or have been asked for."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(**options).new_page()
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
        assert {url.split(":")[0] for url in asked} <= {"file", "data"}
        assert [url for url in asked if url.startswith("file")] == [file.as_uri()]
        browser.close()


def until(page: Any, code: str) -> None:
    """Wait until `code` is true. Playwright's own way compiles text in the page, which the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(code):
        assert time.monotonic() < end, f"never true: {code}"
        time.sleep(0.02)


def place_of(page: Any, name: str, number: int = 1) -> tuple[float, float]:
    """Where a page stands on the screen."""
    code = "([name, number]) => toScreen(listed.find((i) => shortName(i) === name && data.page[i] === number))"
    x, y = page.evaluate(code, [name, number])
    box = page.locator("#canvas").bounding_box()
    return box["x"] + x, box["y"] + y


def test_hover_click_search_legend_and_keys(map_file: Path) -> None:
    with opened(map_file, viewport={"width": 1200, "height": 800}, locale="vi-VN") as page:
        assert "6 trang" in page.inner_text("#summary") and page.title() == "Bản đồ trang: index"
        for shown in (True, False):
            page.click("#about-button")
            assert page.locator("#about").is_visible() == shown
        page.uncheck("#pictures-on")  # pictures on the map may cover another page's point

        page.mouse.move(*place_of(page, "hợp đồng.pdf", 2))
        card = page.locator("#hover")
        card.wait_for(state="visible")
        assert "hợp đồng.pdf" in card.inner_text() and "trang 2" in card.inner_text()
        assert page.evaluate("document.querySelector('#hover img').naturalWidth") > 100
        page.mouse.move(5, 790)

        page.mouse.click(*place_of(page, "hợp đồng.pdf", 3))
        details = page.locator("#details")
        assert "trang 3 · pdf" in details.inner_text() and "tiền thuê" in details.inner_text()
        assert details.locator(".item").count() == 5  # the pages most like it

        page.select_option("#language", "en")
        assert page.title() == "Map of pages: index" and "page 3" in details.inner_text()
        page.focus("#canvas")
        page.keyboard.press("Escape")
        assert not details.is_visible()
        page.keyboard.press("n")
        assert details.is_visible()
        page.keyboard.press("Escape")

        page.click("#tab-twins")
        page.locator("#twins .fly").click()
        assert page.locator("#twins .badge").inner_text() == "identical"
        assert ".png" in details.inner_text()

        page.fill("#query", "nuoc")  # without its tone marks
        until(page, "listed.length === 1")
        assert NAME in page.inner_text("#found") and "</script><script>" in page.inner_text("#found")
        assert page.locator("#found img[onerror]").count() == 0
        page.fill("#query", "nược")  # with other ones
        until(page, "listed.length === 0")
        page.fill("#query", "")
        until(page, "listed.length === 6")

        page.click("#tab-legend")
        page.locator("#legend-list input").first.uncheck()
        assert page.evaluate("listed.length") == 3
        page.click("#all")
        assert page.evaluate("listed.length") == 6
        page.select_option("#colour-by", "kind")
        assert page.locator("#legend-list li").count() == 3


def test_phone_in_the_dark(map_file: Path) -> None:
    phone = {"width": 390, "height": 844}
    options = {"viewport": phone, "has_touch": True, "is_mobile": True, "color_scheme": "dark", "locale": "zh-CN"}
    with opened(map_file, **options) as page:
        assert page.get_attribute("html", "lang") == "zh"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
        page.uncheck("#pictures-on")
        page.touchscreen.tap(*place_of(page, "hợp đồng.pdf", 2))
        page.locator("#details").wait_for(state="visible")
        assert "hợp đồng.pdf" in page.inner_text("#details")
