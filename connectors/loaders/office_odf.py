"""Text of OpenDocument files (odt, odp, ods) without LibreOffice: content.xml, read in order."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connectors.loaders import packed
from connectors.loaders.blocks import Block, Picture, Section
from connectors.loaders.packed import local

# Empty cells to the end of a sheet are written as one, repeated a million times.
_MOST_REPEATS = 200
_ROWS = 50


def odf_sections(path: Path) -> Iterator[Section]:
    """A section for the text, for each slide, or for each sheet."""
    with zipfile.ZipFile(path) as package:
        root = packed.xml_root(packed.content(package, "content.xml"))
        hidden = _hidden_tables(root)
        body = next((e for e in root.iter() if local(e.tag) in ("text", "presentation", "spreadsheet")), None)
        kind = "" if body is None else local(body.tag)
        if body is None:
            return
        if kind == "text":
            yield Section(_parts(body, package))
            return
        wanted = "page" if kind == "presentation" else "table"
        for number, part in enumerate((e for e in body if local(e.tag) == wanted), start=1):
            if kind == "presentation":
                yield Section(_parts(part, package), {"slide": number})
            elif _attribute(part, "style-name") not in hidden:
                name = _attribute(part, "name")
                yield Section(_sheet(part, name), {"sheet": name})


def _hidden_tables(root: Any) -> set[str]:
    """The styles of sheets that are not displayed."""
    return {
        _attribute(style, "name")
        for style in root.iter()
        if local(style.tag) == "style"
        and any(local(e.tag) == "table-properties" and _attribute(e, "display") == "false" for e in style)
    }


def _sheet(table: Any, name: str) -> Iterator[Block]:
    rows = list(_rows(table))
    if rows:
        yield Block("heading", name, level=2)
    for start in range(0, len(rows), _ROWS):
        yield Block("table", rows=tuple(rows[start : start + _ROWS]))


def _parts(container: Any, package: zipfile.ZipFile, depth: int = 0) -> Iterator[Block | Picture]:
    """Blocks in order. `depth` counts the lists around."""
    for element in container:
        name = local(element.tag)
        if name in ("p", "h"):
            yield from _paragraph(element, package, depth)
        elif name == "list":
            for item in element:
                if local(item.tag) in ("list-item", "list-header"):
                    yield from _parts(item, package, min(6, depth + 1))
        elif name == "table":
            yield Block("table", rows=tuple(_rows(element)))
        elif name == "notes" and any(local(e.tag) == "text-box" for e in element.iter()):
            yield from (part for part in _parts(element, package) if isinstance(part, Block))
        elif name == "image":
            yield from _picture(element, package)
        elif name not in ("tracked-changes", "forms", "sequence-decls", "annotation", "page-thumbnail"):
            yield from _parts(element, package, depth)


def _paragraph(element: Any, package: zipfile.ZipFile, depth: int) -> Iterator[Block | Picture]:
    text = _text(element)
    if text.strip():
        if local(element.tag) == "h":
            level = _attribute(element, "outline-level")
            yield Block("heading", text, level=int(level) if level.isdigit() else 1)
        else:
            yield Block("item", text, level=depth - 1) if depth else Block("paragraph", text)
    for frame in element.iter():
        outermost = not any(local(e.tag) == "frame" for e in frame.iterancestors())
        if local(frame.tag) == "note-body" or (local(frame.tag) == "frame" and outermost):
            yield from _parts(frame, package)


def _picture(element: Any, package: zipfile.ZipFile) -> Iterator[Picture]:
    name = packed.member(package, "", _attribute(element, "href"))
    if name is None or name.lower().endswith((".svg", ".wmf", ".emf", ".svm")):
        return
    frame = element.getparent()
    captions = [e.text or "" for e in frame if local(e.tag) in ("title", "desc")] if frame is not None else []
    try:
        data = packed.content(package, name)
    except ValueError:
        data = b""  # its page will say that it is broken
    yield Picture(data, name, " ".join(captions))


def _rows(table: Any) -> Iterator[tuple[str, ...]]:
    for row in table.iter():
        if (
            local(row.tag) != "table-row"
            or next(e for e in row.iterancestors() if local(e.tag) == "table") is not table
        ):
            continue
        cells: list[str] = []
        for cell in row:
            if local(cell.tag) in ("table-cell", "covered-table-cell"):
                text = "\n".join(filter(None, (_text(e) for e in cell.iter() if local(e.tag) in ("p", "h"))))
                cells += [text] * min(_MOST_REPEATS, _stated(cell, "number-columns-repeated"))
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            count = _stated(row, "number-rows-repeated")
            yield from [tuple(cells)] * min(_MOST_REPEATS, count)
            if count > _MOST_REPEATS:
                yield (f"[{count - _MOST_REPEATS:,} more rows like this]",)


def _stated(element: Any, name: str) -> int:
    text = _attribute(element, name)
    return int(text) if text.isdecimal() and 0 < len(text) < 10 else 1


def _text(element: Any) -> str:
    """A paragraph's own text: blanks as written, none of its frames, notes and comments."""
    text = [re.sub(r"\s+", " ", element.text or "")]
    for child in element:
        name = local(child.tag)
        if name == "tab":
            text.append("\t")
        elif name == "line-break":
            text.append("\n")
        elif name == "s":
            count = _attribute(child, "c")
            text.append(" " * min(100, int(count) if count.isdigit() else 1))
        elif name and name not in ("frame", "note", "annotation", "custom-shape"):
            text.append(_text(child))
        text.append(re.sub(r"\s+", " ", child.tail or ""))
    return "".join(text)


def _attribute(element: Any, name: str) -> str:
    """An attribute by its local name: the namespaces of OpenDocument are many and its names do not clash here."""
    return next((str(value) for key, value in element.attrib.items() if local(key) == name), "")
