"""The documents tab: uploads with their progress and reasons, states, deleting, and a server that takes nothing."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex
from vipylo_rag.server.options import ServerOptions

Visit = Callable[..., Page]

DROP = """async ([bytes, name]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


def test_good_and_broken_files_are_uploaded_found_and_deleted(
    visit: Visit, writable_server: RunningServer, tmp_path: Path
) -> None:
    page = visit(writable_server.url, "/?view=documents")
    expect(page.locator("#document-count")).to_have_text("4 tài liệu")
    good = write_pdf(tmp_path / "máy bơm.pdf", ["máy bơm nước giếng khoan", "bảo hành hai năm"])
    broken = tmp_path / "hỏng.pdf"
    broken.write_bytes(b"%PDF-1.4 broken")
    empty = tmp_path / "rỗng.pdf"
    empty.touch()
    page.set_input_files("#files-input", [good, broken, empty])
    rows = page.locator(".upload-file")
    expect(rows.filter(has_text="rỗng.pdf")).to_contain_text("Tệp rỗng.")
    expect(rows.filter(has_text="máy bơm.pdf")).to_contain_text("Xong, 2 trang")
    failed = rows.filter(has_text="hỏng.pdf")
    expect(failed).to_contain_text("Lỗi")
    assert len(failed.locator(".reason").inner_text()) > 20
    expect(page.locator(".upload header").filter(has_text="Tải lên 2 tệp")).to_contain_text("1 xong, 1 lỗi")
    expect(page.locator("#document-list")).to_contain_text("máy bơm.pdf")

    page.locator("#document-state").select_option("failed")
    expect(page.locator(".document")).to_have_count(1)
    expect(page.locator(".document")).to_contain_text("hỏng.pdf")
    page.locator("#document-state").select_option("")
    page.fill("#document-name", "bơm")
    expect(page.locator(".document")).to_have_count(1)

    page.locator("#tab-search").click()
    page.fill("#query", "máy bơm nước")
    page.press("#query", "Enter")
    expect(page.locator("#grid .card-name").first).to_have_text("máy bơm.pdf")
    expect(page.locator("#filter-body")).to_contain_text("máy bơm.pdf")

    page.locator("#tab-documents").click()
    page.get_by_role("button", name="Xóa máy bơm.pdf").click()
    expect(page.locator("#delete-text")).to_contain_text("“máy bơm.pdf” và 2 trang")
    page.locator("#delete-cancel").click()
    expect(page.locator(".document")).to_have_count(1)
    page.get_by_role("button", name="Xóa máy bơm.pdf").click()
    page.locator("#delete-confirm").click()
    expect(page.locator("#toast")).to_have_text("Đã xóa máy bơm.pdf")
    expect(page.locator("#documents-state")).to_have_text("Không có tài liệu nào như vậy.")
    assert not any(hit["name"] == "máy bơm.pdf" for hit in writable_server.search("máy bơm nước"))


def test_a_dropped_file_is_uploaded_and_its_document_searched(visit: Visit, writable_server: RunningServer) -> None:
    page = visit(writable_server.url, "/?view=documents")
    expect(page.locator("#document-count")).to_have_text("4 tài liệu")
    page.evaluate(DROP, [list("# Nội quy\n\ngiữ yên lặng sau 22 giờ".encode()), "nội quy.md"])
    expect(page.locator(".upload-file")).to_contain_text("Xong, 1 trang")
    expect(page.locator("#document-count")).to_have_text("5 tài liệu")
    page.get_by_role("button", name="Tìm trong tài liệu này: nội quy.md").click()
    expect(page.locator(".chip")).to_have_text("nội quy.md")
    page.fill("#query", "yên lặng")
    page.press("#query", "Enter")
    expect(page.locator("#grid .card")).to_have_count(1)


def test_a_name_that_is_taken_becomes_another_and_is_told(visit: Visit, writable_server: RunningServer) -> None:
    page = visit(writable_server.url, "/?view=documents")
    expect(page.locator("#document-count")).to_have_text("4 tài liệu")
    for words in ("hóa đơn tháng một", "hóa đơn tháng hai"):
        page.evaluate(DROP, [list(words.encode()), "IMG_0001.md"])
        expect(page.locator(".upload-file").first).to_contain_text("Xong, 1 trang")
    newest, oldest = page.locator(".upload-file").all()
    expect(newest).to_contain_text("đã lưu thành “IMG_0001 (2).md”")
    expect(oldest).not_to_contain_text("đã lưu")
    expect(page.locator("#document-list")).to_contain_text("IMG_0001 (2).md")
    expect(page.locator("#document-count")).to_have_text("6 tài liệu")


def test_a_file_that_is_too_large_is_not_even_sent(visit: Visit, own_index: MultimodalIndex, tmp_path: Path) -> None:
    large = tmp_path / "large.md"
    large.write_text("x" * 3000)
    with running(own_index, ServerOptions(file_bytes=2048, upload_bytes=4000)) as server:
        page = visit(server.url, "/?view=documents")
        expect(page.locator("#upload-limits")).to_contain_text("2,0 KB")
        page.set_input_files("#files-input", large)
        expect(page.locator(".upload-file")).to_contain_text("Lớn hơn mức cho phép (2,0 KB).")
        assert server.client.get("/api/uploads").json() == []


def test_nothing_can_be_changed_where_the_server_takes_nothing(visit: Visit, server: RunningServer) -> None:
    page = visit(server.url, "/?view=documents")
    expect(page.locator(".document")).to_have_count(4)
    expect(page.locator("#read-only")).to_be_visible()
    expect(page.locator("#drop-zone")).to_be_hidden()
    expect(page.get_by_role("button", name="Xóa")).to_have_count(0)
    page.locator("a.document-name", has_text="labour.pdf").click()
    expect(page.locator("#viewer-place")).to_have_text("Trang 1 / 2")
    expect(page.locator("#panel-why")).to_contain_text("Mở một trang từ kết quả tìm kiếm")
    page.get_by_role("tab", name="Chi tiết").click()
    page.get_by_role("button", name="Chỉ tìm trong tài liệu này").click()
    expect(page.locator(".chip")).to_have_text("labour.pdf")
