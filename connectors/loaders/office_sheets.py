"""Workbooks: their cells without LibreOffice, and a layout for LibreOffice that cuts no table into strips."""

import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connectors.loaders.blocks import Block, Section
from connectors.loaders.office_numbers import shown
from connectors.loaders.packed import content, local, xml_root

# Rows that become one block, so that a sheet of a million rows is never in memory as a whole.
_ROWS = 50
# In letters: how wide a landscape A4 page may be, so that they keep 14 pixels at 150 dpi, and a portrait one.
_PAGE_LETTERS = 230
_PORTRAIT_LETTERS = 100
_DEFAULT_WIDTH = 9.1
_MOST_LAYOUT_BYTES = 60_000_000
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_AFTER_PAGE_SETUP = frozenset((
    "headerFooter", "rowBreaks", "colBreaks", "customProperties", "cellWatches", "ignoredErrors", "smartTags",
    "drawing", "legacyDrawing", "legacyDrawingHF", "picture", "oleObjects", "controls", "webPublishItems",
    "tableParts", "extLst",
))  # fmt: skip


def xlsx_sections(path: Path) -> Iterator[Section]:
    """A section for each visible sheet that has cells: its rows as shown, formulas by their last result."""
    import openpyxl

    workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in workbook.worksheets:
            if sheet.sheet_state == "visible":
                sheet.reset_dimensions()  # some programs write wrong ones, and rows would be missing
                yield Section(_sheet_blocks(sheet), {"sheet": sheet.title})
    finally:
        workbook.close()


def _sheet_blocks(sheet: Any) -> Iterator[Block]:
    rows: list[tuple[str, ...]] = []
    named = False
    for row in sheet.iter_rows():
        cells = tuple(shown(cell.value, cell.number_format) for cell in row)
        while cells and not cells[-1]:
            cells = cells[:-1]
        if not cells:
            continue
        if not named:
            yield Block("heading", sheet.title, level=2)
            named = True
        rows.append(cells)
        if len(rows) == _ROWS:
            yield Block("table", rows=tuple(rows))
            rows = []
    if rows:
        yield Block("table", rows=tuple(rows))


def write_fitted(path: Path, target: Path) -> None:
    """Copy a workbook to `target`, each sheet set to be printed as wide as a page where letters stay readable.

    Printed as it is, a sheet of 12 columns falls apart into strips of 7; and what lies outside a print area is not
    printed at all. Very wide sheets still take several pages side by side. Sheets that cannot be read stay as they are.

    Raises:
        ValueError, OverflowError: the workbook is damaged, or its sheets have sizes that none can have.
    """
    with zipfile.ZipFile(path) as package, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for member in package.infolist():
            data = content(package, member.filename)
            if len(data) <= _MOST_LAYOUT_BYTES:
                if _SHEET.fullmatch(member.filename):
                    data = _fitted_sheet(data)
                elif member.filename == "xl/workbook.xml":
                    data = re.sub(rb"<definedName[^>]*_xlnm\.Print_Area[^>]*>[^<]*</definedName>", b"", data)
                    data = re.sub(rb"<definedNames>\s*</definedNames>", b"", data)
            out.writestr(member.filename, data)


def _fitted_sheet(data: bytes) -> bytes:
    from lxml import etree

    try:
        root = xml_root(data)
    except ValueError:
        return data
    if local(root.tag) != "worksheet":
        return data
    space = root.tag.rpartition("}")[0] + "}"
    letters = _sheet_letters(root, space)
    properties = root.find(f"{space}sheetPr")
    if properties is None:
        properties = etree.Element(f"{space}sheetPr")
        root.insert(0, properties)
    for old in [
        *properties.findall(f"{space}pageSetUpPr"),
        *root.findall(f"{space}pageSetup"),
        *root.findall(f"{space}colBreaks"),
    ]:
        old.getparent().remove(old)
    etree.SubElement(properties, f"{space}pageSetUpPr", fitToPage="1")
    setup = etree.Element(f"{space}pageSetup", paperSize="9", fitToHeight="0")
    setup.set("fitToWidth", str(max(1, math.ceil(letters / _PAGE_LETTERS))))
    setup.set("orientation", "landscape" if letters > _PORTRAIT_LETTERS else "portrait")
    place = next((i for i, child in enumerate(root) if local(child.tag) in _AFTER_PAGE_SETUP), len(root))
    root.insert(place, setup)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True))


def _sheet_letters(root: Any, space: str) -> float:
    """How wide the used columns are together, in letters."""
    used = 0
    for row in root.iter(f"{space}row"):
        cells = [cell for cell in row if len(cell)]
        if cells:
            used = max(used, _column(cells[-1].get("r") or "") or len(row))
    default = _number(
        next((e.get("defaultColWidth") for e in root.iter(f"{space}sheetFormatPr")), None), _DEFAULT_WIDTH
    )
    letters = used * default
    for column in root.iter(f"{space}col"):
        first, last = int(_number(column.get("min"), 1)), min(used, int(_number(column.get("max"), 1)))
        width = 0.0 if column.get("hidden") in ("1", "true") else _number(column.get("width"), default)
        letters += max(0, last - first + 1) * (width - default)
    return letters


def _column(reference: str) -> int:
    """The 1-based column of a cell's reference, as 28 of "AB7"; 0 where it has none."""
    number = 0
    for letter in reference.rstrip("0123456789"):
        number = number * 26 + ord(letter) - 64
    return number


def _number(text: str | None, default: float) -> float:
    try:
        return float(text) if text is not None else default
    except ValueError:
        return default
