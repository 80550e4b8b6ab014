"""Searching on the web page: words, pictures, both, filters, and what is said when something is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from pydicom.data import get_testdata_file

from tests.vipylo_rag.conftest import write_pdf, write_picture
from tests.vipylo_rag.server.conftest import LEASE, RunningServer

Visit = Callable[..., Page]

# What a browser does when a file is dropped or pasted: a real DataTransfer with a real File in it.
TRANSFER = """async ([bytes, type]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "rot.png", { type: "image/png" }));
  const event = type === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
    : new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.getElementById("query").dispatchEvent(event);
}"""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "rot.png", "red")


def search(page: Page, text: str) -> None:
    page.fill("#query", text)
    page.press("#query", "Enter")


def first_name(page: Page) -> str:
    return page.locator("#grid .card-name").first.inner_text()


def test_words_find_their_page_first(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url)
    expect(page.locator("#search-state h1")).to_be_visible()
    search(page, "tiền đặt cọc")
    card = page.locator("#grid .card").first
    expect(card).to_have_attribute("aria-label", "Hạng 1: thuê nhà.pdf, trang 1")
    assert card.locator("mark").all_inner_texts() == ["tiền", "đặt", "cọc"]
    assert card.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 50
    expect(page.locator("#result-line")).to_contain_text("trang")


def test_chinese_words_are_marked_by_pairs(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?q=%E5%90%88%E5%90%8C%E9%87%91%E9%A2%9D&mode=lexical")
    expect(page.locator("#grid .card").first).to_be_visible()
    assert first_name(page) == "发票.md"
    assert page.locator("#grid .card").first.locator("mark").all_inner_texts() == ["合同", "金额"]


def test_the_address_holds_the_search_and_back_works(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url)
    search(page, "annual leave")
    expect(page.locator("#grid .card-name").first).to_have_text("labour.pdf")
    search(page, "chìa khóa")
    expect(page.locator("#grid .card-name").first).to_have_text("thuê nhà.pdf")
    shared = page.url
    page.go_back()
    expect(page.locator("#query")).to_have_value("annual leave")
    expect(page.locator("#grid .card-name").first).to_have_text("labour.pdf")
    page.goto(shared)
    expect(page.locator("#query")).to_have_value("chìa khóa")
    expect(page.locator("#grid .card").first).to_have_attribute("aria-label", "Hạng 1: thuê nhà.pdf, trang 2")


def test_a_chosen_picture_finds_its_like(visit: Visit, server: RunningServer, picture: Path) -> None:
    page = visit(server.url)
    page.set_input_files("#search-pictures + input", picture)
    expect(page.locator("#grid .card-name").first).to_have_text("red.png")
    expect(page.locator("#search-pictures img")).to_have_count(1)
    page.get_by_role("button", name="Bỏ ảnh rot.png").click()
    expect(page.locator("#search-pictures img")).to_have_count(0)
    expect(page.locator("#search-state h1")).to_be_visible()
    page.go_back()  # the picture is kept for as long as the tab is open
    expect(page.locator("#grid .card-name").first).to_have_text("red.png")
    expect(page.locator("#search-pictures img")).to_have_count(1)


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(visit: Visit, server: RunningServer, picture: Path, how: str) -> None:
    page = visit(server.url)
    expect(page.locator("#search-state h1")).to_be_visible()
    if how == "drop":
        page.evaluate(TRANSFER, [list(picture.read_bytes()), "dragenter"])
        expect(page.locator("#drop-cover")).to_be_visible()
        page.evaluate(TRANSFER, [list(picture.read_bytes()), "dragover"])
    page.evaluate(TRANSFER, [list(picture.read_bytes()), how])
    expect(page.locator("#drop-cover")).to_be_hidden()
    expect(page.locator("#grid .card-name").first).to_have_text("red.png")


def test_words_and_a_picture_go_together(visit: Visit, server: RunningServer, picture: Path) -> None:
    page = visit(server.url)
    page.fill("#query", "tiền đặt cọc hai tháng")
    with page.expect_response("**/api/search") as answer:
        page.set_input_files("#search-pictures + input", picture)
    said = answer.value.json()
    assert (said["text"], said["images"]) == ("tiền đặt cọc hai tháng", 1)
    expect(page.locator("#grid .card").first).to_be_visible()


def test_too_many_and_wrong_files_are_refused_with_a_word(visit: Visit, server: RunningServer, picture: Path) -> None:
    page = visit(server.url)
    expect(page.locator("#search-state h1")).to_be_visible()
    page.set_input_files("#search-pictures + input", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no"})
    expect(page.locator("#toast")).to_contain_text("không phải là ảnh")
    page.set_input_files("#search-pictures + input", [picture] * 6)
    expect(page.locator("#search-pictures img")).to_have_count(5)
    expect(page.locator("#toast")).to_contain_text("Nhiều nhất 5 ảnh")


def test_a_pdf_and_a_dicom_file_are_searched_with(visit: Visit, server: RunningServer, tmp_path: Path) -> None:
    page = visit(server.url)
    expect(page.locator("#search-state h1")).to_be_visible()
    pdf = write_pdf(tmp_path / "mẫu.pdf", [LEASE])
    with page.expect_response("**/api/search") as answer:
        page.set_input_files("#search-pictures + input", pdf)
    assert answer.value.json()["images"] == 1
    sheet = page.locator("#search-pictures .file-icon")
    expect(sheet).to_have_attribute("aria-label", "Trang đầu của mẫu.pdf để tìm")
    expect(page.locator("#grid .card").first).to_be_visible()
    # Browsers have no type for DICOM files.
    scan = {"name": "ct.dcm", "mimeType": "", "buffer": Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()}
    with page.expect_response("**/api/search") as answer:
        page.set_input_files("#search-pictures + input", scan)
    assert (answer.value.status, answer.value.json()["images"]) == (200, 2)
    expect(sheet).to_have_count(2)
    sheet.first.locator("..").get_by_role("button").click()
    expect(sheet).to_have_count(1)


def test_an_unreadable_picture_is_told(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, expected="422")
    expect(page.locator("#search-state h1")).to_be_visible()
    page.set_input_files(
        "#search-pictures + input", {"name": "a.png", "mimeType": "image/png", "buffer": b"\x89PNG no"}
    )
    expect(page.locator(".state.problem")).to_contain_text("is no picture")


def test_filters_by_kind_and_document(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?q=contract")
    expect(page.locator("#grid .card").first).to_be_visible()
    page.locator("[data-field='kinds'] label", has_text="Ảnh").click()
    expect(page.locator("#grid .card")).to_have_count(1)
    assert first_name(page) == "red.png"
    assert "kind=image" in page.url
    page.get_by_role("button", name="Bỏ lọc Ảnh").click()
    page.locator("[data-field='documents'] label", has_text="labour.pdf").click()
    expect(page.locator("#grid .card")).to_have_count(2)
    assert set(page.locator("#grid .card-name").all_inner_texts()) == {"labour.pdf"}
    page.reload()
    expect(page.locator("#grid .card")).to_have_count(2)
    expect(page.locator(".chip")).to_have_text("labour.pdf")


def test_modes_are_explained_and_nothing_found_is_said(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?q=zzzz")
    expect(page.locator("#grid .card").first).to_be_visible()  # the nearest pages, by meaning
    page.locator("#modes label", has_text="Theo từ").click()
    expect(page.locator(".state-title")).to_have_text("Không thấy trang nào")
    expect(page.locator(".state")).to_contain_text("Không trang nào có các từ này")
    expect(page.locator("#mode-hint")).to_contain_text("đúng các từ này")


def test_a_busy_server_is_asked_again_when_it_said(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, expected="429")
    asked = []

    def busy_once(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            return route.continue_()
        return route.fulfill(
            status=429,
            headers={"Retry-After": "2", "Content-Type": "application/json"},
            body=json.dumps({"detail": "too much is waiting"}),
        )

    page.route("**/api/search", busy_once)
    search(page, "annual leave")
    expect(page.locator(".state.problem")).to_contain_text("Tự thử lại sau 2 giây")
    expect(page.locator(".state.problem")).to_contain_text("Tự thử lại sau 1 giây")
    expect(page.locator("#grid .card-name").first).to_have_text("labour.pdf")


def test_without_a_connection_it_says_so_and_goes_on_later(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, expected="ERR_INTERNET_DISCONNECTED")
    expect(page.locator("#search-state h1")).to_be_visible()
    page.context.set_offline(True)
    search(page, "annual leave")
    expect(page.locator(".state.problem")).to_contain_text("Không liên lạc được với máy chủ")
    page.context.set_offline(False)  # the browser tells, the page searches again by itself
    expect(page.locator("#grid .card-name").first).to_have_text("labour.pdf")
