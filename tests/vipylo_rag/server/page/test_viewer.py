"""The page viewer: heat map, boxes, words, turning pages, zooming, and that a document cannot bring code."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex

Visit = Callable[..., Page]

DRAWN = """canvas => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let drawn = 0;
  for (let at = 3; at < pixels.length; at += 4) if (pixels[at] > 20) drawn += 1;
  return drawn / (canvas.width * canvas.height);
}"""


def opened(visit: Visit, server: RunningServer, query: str = "tiền đặt cọc") -> Page:
    page = visit(server.url, f"/?q={query}")
    page.locator("#grid .card").first.click()
    expect(page.locator("#panel-why .score-value")).to_be_visible()
    return page


def test_the_heat_map_and_the_boxes_are_drawn(visit: Visit, server: RunningServer) -> None:
    page = opened(visit, server)
    expect(page.locator("#viewer-title")).to_have_text("thuê nhà.pdf")
    assert 0.001 < page.locator("#heat").evaluate(DRAWN) < 0.9
    box = page.locator("#boxes .box.match").first
    sheet = page.locator("#sheet").bounding_box()
    place = box.bounding_box()
    assert sheet is not None and place is not None
    assert sheet["x"] <= place["x"] and place["x"] + place["width"] <= sheet["x"] + sheet["width"] + 1
    assert 5 < place["width"] < sheet["width"] and 3 < place["height"] < sheet["height"] / 4
    asked = [text.split("\n")[0] for text in page.locator("#panel-why ol.bars").first.locator("li").all_inner_texts()]
    assert asked == ["tiền", "đặt", "cọc"]
    page.get_by_label("Bản đồ nhiệt", exact=True).uncheck()
    expect(page.locator("#heat")).to_be_hidden()
    page.get_by_label("Khung từ khớp").uncheck()
    expect(page.locator("#boxes .box")).to_have_count(0)
    page.get_by_label("Bản đồ nhiệt", exact=True).check()
    page.get_by_label("Độ đậm của bản đồ nhiệt").fill("0.3")
    assert page.locator("#heat").evaluate("canvas => getComputedStyle(canvas).opacity") == "0.3"


def test_shares_of_the_panel_add_up_to_the_score(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?q=contract")
    with page.expect_response("**/explain") as answer:
        page.locator("#grid .card").first.click()
    said = answer.value.json()
    assert abs(said["text_share"] + said["picture_share"] + said["other_share"] - said["score"]) < 1e-4
    expect(page.locator("#panel-why .score-value")).to_have_text(f"{said['score']:.3f}".replace(".", ","))


def test_escape_closes_and_focus_goes_back(visit: Visit, server: RunningServer) -> None:
    page = opened(visit, server)
    assert "page=" in page.url
    for _ in range(30):  # Tab never leaves the dialog
        page.keyboard.press("Tab")
        assert page.evaluate("document.getElementById('viewer').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    assert page.evaluate("document.activeElement === document.querySelector('#grid .card')")
    page.wait_for_url(lambda url: "page=" not in url)
    page.go_forward()
    expect(page.locator("#viewer-title")).to_have_text("thuê nhà.pdf")


def test_pages_are_turned_and_the_text_is_there_to_copy(visit: Visit, server: RunningServer) -> None:
    page = opened(visit, server)
    expect(page.locator("#viewer-place")).to_have_text("Trang 1 / 3")
    expect(page.locator("#page-previous")).to_be_disabled()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-place")).to_have_text("Trang 2 / 3")
    page.keyboard.press("]")
    expect(page.locator("#viewer-place")).to_have_text("Trang 3 / 3")
    expect(page.locator("#page-next")).to_be_disabled()
    page.keyboard.press("[")
    page.get_by_role("tab", name="Chữ").click()
    expect(page.locator(".page-text")).to_contain_text("bàn giao chìa khóa")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Sao chép").click()
    expect(page.locator("#toast")).to_have_text("Đã sao chép")
    assert "chìa khóa" in page.evaluate("navigator.clipboard.readText()")
    page.go_back()
    expect(page.locator("#viewer")).to_be_hidden()  # turning pages fills no history


def test_wheel_drag_and_keys_zoom_and_move(visit: Visit, server: RunningServer) -> None:
    page = opened(visit, server)
    fitted = page.locator("#zoom-value").inner_text()
    sheet = page.locator("#sheet")
    before = sheet.bounding_box()
    stage = page.locator("#stage").bounding_box()
    assert before is not None and stage is not None
    middle = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -600)
    zoomed = sheet.bounding_box()
    assert zoomed is not None and zoomed["width"] > before["width"] * 2
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 40)
    page.mouse.up()
    moved = sheet.bounding_box()
    assert moved is not None
    assert (round(moved["x"] - zoomed["x"]), round(moved["y"] - zoomed["y"])) == (60, 40)
    page.locator("#stage").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#viewer-place")).to_have_text("Trang 1 / 3")
    page.keyboard.press("0")
    expect(page.locator("#zoom-value")).to_have_text(fitted)
    page.keyboard.press("+")
    assert page.locator("#zoom-value").inner_text() != fitted


def test_a_page_is_asked_with(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?q=contract")
    page.locator("[data-field='kinds'] label", has_text="Ảnh").click()
    expect(page.locator("#grid .card")).to_have_count(1)
    page.locator("#grid .card").click()
    page.get_by_role("button", name="Tìm bằng hình của trang này").click()
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("#search-pictures img")).to_have_count(1)
    expect(page.locator("#grid .card-name").first).to_have_text("red.png")


def test_a_page_of_text_and_a_page_that_is_gone(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?page=00000000-0000-5000-8000-000000000000", expected="404")
    expect(page.locator("#stage-note")).to_have_text("Trang này không còn trong kho tài liệu.")
    page.keyboard.press("Escape")
    expect(page.locator("#search-state h1")).to_be_visible()


def test_a_hostile_document_stays_text(visit: Visit, own_index: MultimodalIndex) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    folder = own_index.directory.parent / "hostile"
    folder.mkdir()
    (folder / "<img src=x onerror=alert(1)>.md").write_text(
        f"# {hostile}\n\nlease {hostile} <script>alert(2)</script> [1]\n", encoding="utf-8"
    )
    write_pdf(folder / "'\"><svg onload=alert(3)>.pdf", ["lease &lt;img src=x onerror=alert(4)&gt;"])
    own_index.ingest(folder)
    with running(own_index) as server:
        page = visit(server.url, "/?q=lease+%3Cimg+src%3Dx+onerror%3Dalert(5)%3E")
        alerts: list[str] = []
        page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        expect(page.locator("#grid .card-name", has_text="onerror").first).to_be_visible()
        expect(page.locator("#filter-body .name", has_text="svg onload")).to_be_visible()
        page.locator("#grid .card", has_text="onerror").first.click()
        expect(page.locator("#viewer-title")).to_contain_text("on")
        expect(page.locator("#panel-why .score-value")).to_be_visible()
        page.get_by_role("tab", name="Chữ").click()
        page.get_by_role("tab", name="Chi tiết").click()
        page.keyboard.press("Escape")
        page.locator("#tab-documents").click()
        expect(page.locator(".document-name", has_text=hostile)).to_be_visible()
        page.get_by_role("button", name=f"Xóa {hostile}.md").click()
        expect(page.locator("#delete-text")).to_contain_text(hostile)
        assert page.locator("img[src=x], svg[onload], main script").count() == 0
        assert alerts == []
