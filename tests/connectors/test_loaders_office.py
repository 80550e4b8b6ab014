"""Office documents, both ways: as text (always), and as LibreOffice prints them (where it is installed)."""

import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import PageFailure
from connectors.loaders.libreoffice import ConversionError, converted, find_soffice, work_folder
from connectors.loaders.libreoffice_fonts import is_torn
from connectors.loaders.office import OfficeLoader
from connectors.loaders.office_sheets import write_fitted
from connectors.loaders.pool import Document, DocumentEnd, PageRead, ReaderPool
from connectors.loaders.registry import loader_for
from connectors.page import Page

needs_libreoffice = pytest.mark.skipif(find_soffice() is None, reason="LibreOffice is not installed")


def picture(colour: str = "red") -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (90, 60), colour).save(file, "PNG")
    file.seek(0)
    return file


def pages(path: Path, **options: Any) -> list[Page]:
    return [page for page in OfficeLoader(**{"convert": "text", **options}).pages(path) if isinstance(page, Page)]


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    document = docx.Document()
    document.add_heading("Hợp đồng lao động", 1)
    document.add_paragraph("Điều khoản chung")
    document.add_paragraph("một", style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip(table._cells, ("Họ tên", "Lương", "Ân", "劳动"), strict=True):
        cell.text = text
    document.add_picture(picture())
    document.sections[0].header.paragraphs[0].text = "Công ty"
    document.sections[0].footer.paragraphs[0].text = "Trang"
    hidden = document.add_paragraph().add_run("unseen")
    hidden.font.hidden = True
    path = tmp_path / "contract.docx"
    document.save(str(path))
    return path


def test_docx_as_text(contract: Path) -> None:
    text, shown = pages(contract)
    assert text.text == (
        "Công ty\n\nHợp đồng lao động\n\nĐiều khoản chung\n\n- một\n\nHọ tên | Lương\nÂn | 劳动\n\nTrang"
    )
    assert text.metadata == {"format": "docx", "converted_by": "text"} and text.kind == "office"
    assert text.image is not None and text.words and shown.metadata["picture"] == "image1.png"
    assert shown.image is not None and shown.image.getpixel((5, 5)) == (255, 0, 0)
    lying = contract.rename(contract.with_name("lying.txt"))
    assert isinstance(loader_for(lying), OfficeLoader) and pages(lying)[0].text == text.text


def test_docx_content_that_python_docx_passes_over(contract: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(contract) as package:
        members = {name: package.read(name) for name in package.namelist()}
    extra = (
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>in a control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
        "<w:p><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></w:pict></w:r></w:p>"
    )
    members["word/document.xml"] = members["word/document.xml"].replace(b"<w:sectPr", extra.encode() + b"<w:sectPr", 1)
    with zipfile.ZipFile(tmp_path / "b.docx", "w") as package:
        for name, data in members.items():
            package.writestr(name, data)
    text = pages(tmp_path / "b.docx")[0].text
    assert "in a control\n\ninserted\n\nboxed" in text and "deleted" not in text


def test_docx_notes_stand_in_no_other_language(contract: Path, tmp_path: Path) -> None:
    note = (
        '<w:footnotes xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:footnote><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:footnote></w:footnotes>"
    )
    relations, types = "word/_rels/document.xml.rels", "[Content_Types].xml"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    part = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    with zipfile.ZipFile(contract) as package:
        members = {name: package.read(name).decode("utf-8", "surrogateescape") for name in package.namelist()}
    added = f'<Relationship Id="rId99" Type="{kind}" Target="footnotes.xml"/></Relationships>'
    members[relations] = members[relations].replace("</Relationships>", added)
    added = f'<Override PartName="/word/footnotes.xml" ContentType="{part}"/></Types>'
    members[types] = members[types].replace("</Types>", added)
    for name, words in (("a.docx", "chú thích"), ("b.docx", "x" * 10_100_000)):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_STORED) as package:
            for member, text in (members | {"word/footnotes.xml": note.format(words)}).items():
                package.writestr(member, text.encode("utf-8", "surrogateescape"))
    assert pages(tmp_path / "a.docx")[0].text.endswith("Ân | 劳动\n\nchú thích\n\nTrang")
    with pytest.raises(DocumentError, match=r"b\.docx: .*XML in it has a text of over 10 MB"):
        pages(tmp_path / "b.docx")


def test_pptx_as_text(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    for number, shown in ((1, None), (2, "0"), (3, None)):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = f"Trang {number}"
        if shown is not None:
            slide._element.set("show", shown)
    slide.shapes.add_table(1, 2, 0, 0, 99999, 99999).table.cell(0, 1).text = "ô"
    slide.shapes.add_picture(picture("blue"), 0, 0)
    slide.notes_slide.notes_text_frame.text = "ghi chú"
    deck.save(str(tmp_path / "a.pptx"))
    first, third, shown_picture = pages(tmp_path / "a.pptx")
    assert (first.text, first.metadata["slide"]) == ("Trang 1", 1)
    assert third.text.split("\n\n") == ["Trang 3", "ô", "ghi chú"] and third.metadata["slide"] == 3
    assert shown_picture.metadata["slide"] == 3 and shown_picture.image is not None


def workbook(path: Path, columns: int = 3, rows: int = 3) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Bảng lương"
    for row in range(1, rows + 1):
        sheet.append([f"r{row}c{column}" for column in range(1, columns + 1)])
    sheet["A1"], sheet["B1"] = 0.1 + 0.2, None
    sheet.print_area = "A1:A2"
    book.create_sheet("hidden").sheet_state = "hidden"
    book["hidden"]["A1"] = "unseen"
    book.save(path)
    return path


def test_xlsx_as_text(tmp_path: Path) -> None:
    (page,) = pages(workbook(tmp_path / "a.xlsx"))
    assert page.text == "Bảng lương\n\n0.3 |  | r1c3\nr2c1 | r2c2 | r2c3\nr3c1 | r3c2 | r3c3"
    assert page.metadata == {"format": "xlsx", "converted_by": "text", "sheet": "Bảng lương"}
    found = pages(workbook(tmp_path / "b.xlsx", rows=500))
    assert len(found) > 3 and "r500c3" in found[-1].text and all(page.image is not None for page in found)


def open_document(path: Path, kind: str, body: str) -> Path:
    spaces = " ".join(f'xmlns:{name}="urn:x:{name}"' for name in ("office", "text", "table", "draw", "style"))
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        package.writestr("META-INF/manifest.xml", "<manifest/>")
        package.writestr("content.xml", f"<office:c {spaces}><office:body>{body}</office:body></office:c>")
    return path


def test_open_document_as_text(tmp_path: Path) -> None:
    text = (
        "<office:text><text:h text:outline-level='1'>Đề<text:s text:c='2'/>mục</text:h><text:p>một\n  dòng"
        "<text:line-break/>hai</text:p><text:list><text:list-item><text:p>mục con</text:p>"
        "</text:list-item></text:list></office:text>"
    )
    (page,) = pages(open_document(tmp_path / "a.odt", "text", text))
    assert page.text == "Đề  mục\n\nmột dòng\nhai\n\n- mục con" and page.metadata["format"] == "odt"
    sheet = (
        "<office:spreadsheet><table:table table:name='S'><table:table-row><table:table-cell><text:p>a</text:p>"
        "</table:table-cell><table:table-cell table:number-columns-repeated='16000'/></table:table-row>"
        "<table:table-row table:number-rows-repeated='1048576'><table:table-cell/></table:table-row></table:table>"
        "</office:spreadsheet>"
    )
    (page,) = pages(open_document(tmp_path / "a.ods", "spreadsheet", sheet))
    assert page.text == "S\n\na" and isinstance(loader_for(tmp_path / "a.ods"), OfficeLoader)
    row = "<table:table-row table:number-rows-repeated='{}'><table:table-cell><text:p>{}</text:p></table:table-cell>"
    rows = "".join(f"{row}</table:table-row>".format(*of) for of in ((150, "như nhau"), (1048000, "nhiều")))
    sheet = f"<office:spreadsheet><table:table table:name='S'>{rows}</table:table></office:spreadsheet>"
    text = "\n".join(page.text for page in pages(open_document(tmp_path / "b.ods", "spreadsheet", sheet)))
    assert text.count("như nhau") == 150 and "[1,047,800 more rows like this]" in text
    slides = (
        "<office:presentation><draw:page><draw:frame><draw:text-box><text:p>một</text:p></draw:text-box></draw:frame>"
    )
    slides += "</draw:page><draw:page><text:p>hai</text:p></draw:page></office:presentation>"
    assert [page.text for page in pages(open_document(tmp_path / "a.odp", "presentation", slides))] == ["một", "hai"]


@pytest.mark.parametrize("convert", ["text", pytest.param("auto", marks=needs_libreoffice)])
def test_refused_by_name(tmp_path: Path, contract: Path, convert: str) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    with zipfile.ZipFile(tmp_path / "bomb.docx", "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", bytes(80_000_000))
    with zipfile.ZipFile(tmp_path / "zip.docx", "w") as package:
        package.writestr("a.txt", "x")
    for name, data, reason in (
        ("sealed.xlsx", ole + bytes(504) + "EncryptedPackage".encode("utf-16-le"), "is password-protected"),
        ("garbage.docx", b"\x00\x01garbage" * 50, "is no readable Word document"),
        ("cut.pptx", contract.read_bytes()[:2000], "is no readable PowerPoint presentation"),
        ("thumbs.doc", ole + bytes(2000), "neither a document"),
        ("bomb.docx", None, "zip bomb"),
        ("zip.docx", None, "no Office document"),
    ):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(DocumentError, match=rf"{name}: .*{reason}"):
            pages(tmp_path / name, convert=convert)


def test_without_libreoffice(tmp_path: Path, contract: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIPYLO_SOFFICE", "none")
    assert find_soffice() is None and OfficeLoader().silent_seconds == 0
    assert pages(contract, convert="auto")[0].metadata["converted_by"] == "text"
    with pytest.raises(DocumentError, match="LibreOffice is not found; install it, or name soffice"):
        pages(contract, convert="libreoffice")
    (tmp_path / "a.rtf").write_text(r"{\rtf1 xin chao}")
    with pytest.raises(DocumentError, match="old format rtf needs LibreOffice"):
        pages(tmp_path / "a.rtf", convert="auto")
    with pytest.raises(TypeError, match="convert must be"):
        OfficeLoader(convert="word")  # type: ignore[arg-type]


FAKE = """#!{python}
import os, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--outdir") + 1])
if {act!r} == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path({note!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
    time.sleep(600)
sys.exit(1)
"""


@pytest.mark.skipif(os.name != "posix", reason="programs are scripts only on POSIX")
@pytest.mark.parametrize("act", ["hang", "fail"])
def test_a_libreoffice_that_fails(tmp_path: Path, contract: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    program, note = tmp_path / "soffice", tmp_path / "pids"
    program.write_text(FAKE.format(python=sys.executable, act=act, note=str(note)))
    program.chmod(0o755)
    monkeypatch.setenv("VIPYLO_SOFFICE", str(program))
    reason = "took longer than 1 s" if act == "hang" else "cannot open it"
    with pytest.raises(ConversionError, match=rf"contract\.docx: LibreOffice {reason}"):
        pages(contract, convert="libreoffice", convert_seconds=1)
    (text, _) = pages(contract, convert="auto", convert_seconds=1)
    assert reason in text.metadata["conversion_error"] and text.metadata["converted_by"] == "text"
    for pid in note.read_text().split() if act == "hang" else ():
        assert not running(int(pid))


def running(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.05)
    return True


def test_what_a_killed_process_left_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, ours = tmp_path / f"vipylo-office-{ended.pid}-x", tmp_path / f"vipylo-office-{os.getpid()}-x"
    left.mkdir()
    ours.mkdir()
    with work_folder() as folder:
        assert folder.is_dir() and ours.is_dir() and left.exists() == (os.name != "posix")
    assert not folder.exists()


@needs_libreoffice
@pytest.mark.slow
def test_printed_by_libreoffice(contract: Path) -> None:
    (page,) = pages(contract, convert="libreoffice")
    assert page.metadata == {"format": "docx", "converted_by": "libreoffice"} and page.kind == "office"
    assert page.source == str(contract) and page.image is not None and page.image.height > 1500 and page.words
    for text in ("Công ty", "Hợp đồng lao động", "Họ tên", "Trang"):
        assert text in page.text
    assert "unseen" not in page.text
    colours = page.image.getcolors(1 << 24)
    assert colours is not None and any(colour == (255, 0, 0) and count > 500 for count, colour in colours)


@needs_libreoffice
@pytest.mark.slow
def test_wide_sheets_are_printed_whole(tmp_path: Path) -> None:
    (page,) = pages(workbook(tmp_path / "a.xlsx", columns=14, rows=20), convert="libreoffice")
    assert "r20c14" in page.text and "unseen" not in page.text
    assert page.image is not None and page.image.width > page.image.height
    soffice = find_soffice()
    assert soffice is not None
    with converted(tmp_path / "a.xlsx", "xlsx", "s", "ods", seconds=60, soffice=soffice) as other:
        (again,) = pages(other.rename(tmp_path / "a.ods"), convert="libreoffice")
    assert "r20c14" in again.text and again.metadata["format"] == "ods"


def test_very_wide_sheets_stay_readable(tmp_path: Path) -> None:
    write_fitted(workbook(tmp_path / "a.xlsx", columns=60), tmp_path / "b.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "b.xlsx")["Bảng lương"]
    assert sheet.page_setup.fitToWidth == 3 and sheet.page_setup.fitToHeight == 0 and not sheet.print_area
    assert sheet.sheet_properties.pageSetUpPr.fitToPage and sheet["A2"].value == "r2c1"


def test_a_damaged_workbook_is_left_to_libreoffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "a.xlsx")
    with zipfile.ZipFile(path) as package:
        info = package.getinfo("docProps/core.xml")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + 5] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"docProps/core\.xml in it is damaged"):
        write_fitted(path, tmp_path / "b.xlsx")
    # A program that "prints" what it is given: that it gets the workbook is what counts.
    program = tmp_path / "soffice"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, pymupdf\nfolder = pathlib.Path(sys.argv[-2])\nfolder.mkdir()\n"
        "made = pymupdf.open()\nmade.new_page().insert_text((50, 50), str(pathlib.Path(sys.argv[-1]).stat().st_size))\n"
        "made.save(folder / 'document.pdf')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("VIPYLO_SOFFICE", str(program))
    (page,) = pages(path, convert="libreoffice")
    assert page.text == str(len(data))


@needs_libreoffice
@pytest.mark.slow
def test_several_readers_convert_at_once_longer_than_a_page_may_take(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.rtf").write_text(rf"{{\rtf1 number {number}\page second}}")
    pool = ReaderPool(tmp_path / "assets", workers=2, page_seconds=0.2)
    found = list(pool.read(Document(path, path.stem) for path in sorted(tmp_path.glob("*.rtf"))))
    read = {(event.source, event.number): event.text for event in found if isinstance(event, PageRead)}
    assert [event.error for event in found if isinstance(event, DocumentEnd)] == [None] * 2
    assert read == {(str(n), p): f"number {n}" if p == 1 else "second" for n in range(2) for p in (1, 2)}


@needs_libreoffice
@pytest.mark.slow
def test_pages_of_a_printed_document_are_limited(tmp_path: Path) -> None:
    (tmp_path / "a.rtf").write_text(r"{\rtf1 a\page b\page c}")
    *_, last = OfficeLoader(max_pages=2).pages(tmp_path / "a.rtf")
    assert isinstance(last, PageFailure) and last.number == 3 and "left out" in last.reason


def test_torn_vietnamese_is_noticed() -> None:
    whole = "Bộ luật Lao động quy định tiêu chuẩn lao động; quyền, nghĩa vụ, trách nhiệm của người lao động ở nước ta"
    assert is_torn("B lu t Lao đ ng quy đ nh tiêu chu n lao đ ng ộ ậ ộ ị ẩ ộ ề ụ ệ ủ ườ")
    assert not is_torn(whole) and not is_torn("plain English") and not is_torn("ở ạ ư")
