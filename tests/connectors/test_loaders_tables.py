"""Tables in text files, and cells of workbooks as Excel shows them."""

import datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import DocumentError
from connectors.loaders import office_csv
from connectors.loaders.base import PageFailure
from connectors.loaders.office import OfficeLoader
from connectors.loaders.office_numbers import shown
from connectors.loaders.registry import loader_for
from connectors.page import Page


def pages(path: Path) -> list[Page]:
    found = list(loader_for(path).pages(path))
    assert not any(isinstance(page, PageFailure) for page in found)
    return [page for page in found if isinstance(page, Page)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_and_encoding_are_found(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = [("姓名", "工资", "备注"), ("王芳", '"1.500,5"', ""), ("李伟", '"2,5"', '"他说 ""好""; 走,|了"')]
    path = tmp_path / ("a.tsv" if separator == "\t" else "a.csv")
    path.write_bytes("\r\n".join(separator.join(row) for row in rows).encode(encoding))
    (page,) = pages(path)
    assert page.text == '姓名 | 工资 | 备注\n王芳 | 1.500,5\n李伟 | 2,5 | 他说 "好"; 走,|了'
    assert page.kind == "office" and page.image is not None and page.words
    assert page.metadata == {"format": path.suffix[1:], "converted_by": "text"}


def test_the_head_of_a_table_is_on_each_page_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Họ tên;Lương;Ghi chú\n" + "".join(f"Ân {n};{n},5;\n" for n in range(400)), encoding="utf-8")
    found = pages(path)
    assert len(found) > 4
    for page in found:
        assert page.text.startswith("Họ tên | Lương | Ghi chú\nÂn ") and page.text.count("Lương") == 1
        assert sum(word.text == "Lương" for word in page.words) == 1
    said = "\n".join(page.text for page in found)
    assert [f"Ân {n} | {n},5\n" in said + "\n" for n in range(400)] == [True] * 400


def test_a_table_of_numbers_has_no_head(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=,\n1,2\n3,4\n")
    (page,) = pages(tmp_path / "a.csv")
    assert page.text == "1 | 2\n3 | 4"


def test_a_table_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    monkeypatch.setattr(office_csv, "MOST_ROWS", 3)
    for content, reason in (
        (b"a,b\n1,2\n3,4\n5,6\n", "4 rows, over the limit of 3"),
        (b'a,b\n1,"' + b"x," * 100_000, "quote not closed"),
        (b",,\n,,\n", "has no cells"),
        (bytes(range(256)), "is no text"),
    ):
        path.write_bytes(content)
        with pytest.raises(DocumentError, match=rf"a\.csv: .*{reason}"):
            list(OfficeLoader().pages(path))


DAY = datetime.datetime(2022, 3, 9, 7, 5, 1)


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.15, "0%", "15%"),
        (0.1234, "0.0%", "12.3%"),
        (1500000, "#,##0", "1,500,000"),
        (1500000, '#,##0 "₫"', "1,500,000 ₫"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (-1234.5, "$#,##0.00;[Red]($#,##0.00)", "($1,234.50)"),
        (-7, "_-* #,##0\\ _₫_-;-* #,##0\\ _₫_-", "-7"),
        (1.5, "0.##", "1.5"),
        (-2.5, "0", "-3"),
        (42, "00000", "00042"),
        (0.1 + 0.2, "General", "0.3"),
        (12345.678, "0.00E+00", "12345.678"),
        (0.5, "# ?/?", "0.5"),
        (True, "0%", "TRUE"),
        (DAY, "dd/mm/yyyy", "09/03/2022"),
        (DAY, "hh:mm:ss d/m/yy", "07:05:01 9/3/22"),
        (DAY, "mm-dd-yy", "2022-03-09 07:05"),
        (DAY, "d mmm yyyy", "2022-03-09 07:05"),
        (datetime.datetime(2022, 3, 9), "General", "2022-03-09"),
        ("5%", "0.00", "5%"),
        (None, None, ""),
    ],
)
def test_cells_are_shown_by_their_number_format(value: object, code: str | None, text: str) -> None:
    assert shown(value, code) == text


@given(st.text(alphabet='#0?.,;%"\\\\[]$₫-_*()ymdhsE/@ ', max_size=20), st.floats() | st.integers() | st.datetimes())
def test_no_number_format_breaks_a_cell(code: str, value: object) -> None:
    assert isinstance(shown(value, code), str)


def test_a_workbook_without_libreoffice_shows_formatted_cells(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["VAT", 0.15, 2500000, None, datetime.datetime(2022, 12, 31)])
    for cell, code in (("B1", "0%"), ("C1", '#,##0" ₫"'), ("E1", "dd/mm/yyyy")):
        sheet[cell].number_format = code
    book.save(tmp_path / "a.xlsx")
    (page,) = OfficeLoader(convert="text").pages(tmp_path / "a.xlsx")
    assert isinstance(page, Page) and page.text.endswith("VAT | 15% | 2,500,000 ₫ | 31/12/2022")
