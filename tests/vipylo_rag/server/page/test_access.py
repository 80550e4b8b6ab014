"""Who can use the web page: with a key, in three languages, in the dark, by keyboard, on a phone, by screen reader."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.vipylo_rag.server.conftest import TENANT_KEYS, RunningServer

Visit = Callable[..., Page]

# Every control that can be reached has a name; every visible text has a contrast of 4.5 (3 where it is large).
NAMELESS = """() => {
  const named = (one) => (one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent || one.title
    || one.alt || "").trim();
  return [...document.querySelectorAll("a, button, input, select, textarea, [role=tab], [role=group]")]
    .filter((one) => one.checkVisibility() && !named(one)).map((one) => one.outerHTML.slice(0, 120));
}"""
FAINT = """() => {
  const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = pixel.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 200) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.checkVisibility({ opacityProperty: true }) || one.disabled) continue;
    if (one.closest("svg, [aria-hidden], .unseen, .skip, option")) continue;
    const style = getComputedStyle(one);
    const [a, b] = [light(rgba(style.color)), light(ground(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const enough = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    const said = `${one.className || one.tagName} ${ratio.toFixed(2)} ${one.textContent.slice(0, 30)}`;
    if (ratio < enough) found.push(said);
  }
  return found;
}"""


def test_the_key_is_asked_for_kept_as_a_session_and_given_up(visit: Visit, tenants_server: RunningServer) -> None:
    page = visit(tenants_server.url, "/?q=lease", expected="401")
    dialog = page.get_by_role("dialog", name="Cần khóa truy cập")
    expect(dialog).to_be_visible()
    page.fill("#key", "wrong-key-0123456789")
    page.press("#key", "Enter")
    expect(page.locator("#key-problem")).to_have_text("Khóa này không đúng.")
    page.fill("#key", TENANT_KEYS["blue"])
    page.press("#key", "Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#grid .card").first).to_be_visible()
    assert set(page.locator("#grid .card-name").all_inner_texts()) == {"blue.pdf", "blue.png"}
    assert TENANT_KEYS["blue"] not in str(page.context.storage_state())
    page.reload()
    expect(page.locator("#grid .card").first).to_be_visible()
    page.locator("#logout").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#connection")).to_contain_text("Cần khóa truy cập để tiếp tục.")
    page.get_by_role("button", name="Thử lại").click()
    page.fill("#key", TENANT_KEYS["green"])
    page.press("#key", "Enter")
    expect(page.locator("#search-state h1")).to_be_visible()
    page.fill("#query", "lease")
    page.press("#query", "Enter")
    expect(page.locator("#grid .card-name").first).to_have_text("green.pdf")


def test_the_language_follows_the_browser_and_the_choice_is_kept(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?q=contract", locale="en-US")
    expect(page.locator("#search-submit")).to_have_text("Search")
    expect(page.locator("#result-line")).to_contain_text("pages")
    page.select_option("#language", "zh")
    expect(page.locator("#tab-ask")).to_have_text("问答")
    expect(page.locator("#result-line")).to_contain_text("页")
    expect(page.locator("#grid .card-facts").first).to_contain_text("第 1 页")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    assert page.title().endswith("文档检索与问答")
    other = visit(server.url, locale="fr-FR")
    expect(other.locator("#tab-ask")).to_have_text("Hỏi đáp")


def test_dark_follows_the_system_until_it_is_chosen(visit: Visit, server: RunningServer) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = visit(server.url, color_scheme="dark")
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Chuyển sang nền sáng").click()
    light = page.evaluate(ground)
    assert sum(map(int, re.findall(r"\d+", dark))) < 120 < 600 < sum(map(int, re.findall(r"\d+", light)))
    page.reload()
    assert page.evaluate(ground) == light
    expect(page.get_by_role("button", name="Chuyển sang nền tối")).to_be_visible()


def test_everything_is_reached_by_keyboard(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url)
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("tiền đặt cọc")
    page.keyboard.press("Enter")
    cards = page.locator("#grid .card")
    expect(cards.first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(cards.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(cards.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(cards.last).to_be_focused()
    page.keyboard.press("Home")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(outline.removesuffix("px")) >= 2
    page.keyboard.press("Enter")
    expect(page.locator("#panel-why .score-value")).to_be_visible()
    page.keyboard.press("h")
    expect(page.locator("#heat")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(cards.first).to_be_focused()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Phím tắt")
    expect(keys).to_be_visible()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()  # as it closes it gives the focus back, and a key pressed in between would lose it
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(visit: Visit, server: RunningServer, scheme: str) -> None:
    page = visit(
        server.url, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True, is_mobile=True
    )
    wide = "document.documentElement.scrollWidth > innerWidth"
    seen: dict[str, Any] = {}

    def look(name: str) -> None:
        seen[name] = [page.evaluate(wide), page.evaluate(NAMELESS), page.evaluate(FAINT)]

    expect(page.locator("#search-state h1")).to_be_visible()
    look("start")
    page.fill("#query", "tiền đặt cọc")
    page.tap("#search-submit")
    expect(page.locator("#grid .card").first).to_be_visible()
    page.tap("#filters summary")
    expect(page.locator("#filter-body")).to_be_visible()
    look("search")
    page.tap("#grid .card")
    expect(page.locator("#panel-why .score-value")).to_be_visible()
    assert page.locator("#viewer").evaluate("one => one.scrollWidth <= innerWidth")
    look("viewer")
    page.tap("#viewer-close")
    page.tap("#tab-ask")
    page.fill("#question", "Tiền đặt cọc là mấy tháng?")
    page.tap("#ask-submit")
    expect(page.locator(".source").first).to_be_visible()
    look("ask")
    page.tap("#tab-documents")
    expect(page.locator(".document").first).to_be_visible()
    look("documents")
    assert seen == {name: [False, [], []] for name in seen}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_desktop_names_its_controls_and_its_text_can_be_read(
    visit: Visit, writable_server: RunningServer, scheme: str
) -> None:
    page = visit(writable_server.url, "/?q=contract&kind=pdf", color_scheme=scheme)
    expect(page.locator("#grid .card").first).to_be_visible()
    found = [page.evaluate(NAMELESS), page.evaluate(FAINT)]
    page.locator("#grid .card").first.click()
    expect(page.locator("#panel-why .score-value")).to_be_visible()
    found += [page.evaluate(NAMELESS), page.evaluate(FAINT)]
    page.keyboard.press("Escape")
    page.locator("#tab-documents").click()
    page.set_input_files("#files-input", {"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 broken"})
    expect(page.locator(".upload-file.failed")).to_be_visible()
    found += [page.evaluate(NAMELESS), page.evaluate(FAINT)]
    page.get_by_role("button", name="Xóa labour.pdf").click()
    found += [page.evaluate(NAMELESS), page.evaluate(FAINT)]
    assert found == [[]] * 8
    headings = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(headings) == len(set(headings))
