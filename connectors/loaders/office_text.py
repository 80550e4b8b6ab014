"""Text and pictures of docx and pptx without LibreOffice: in reading order, with tables, notes and comments."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connectors.loaders.base import one_line
from connectors.loaders.blocks import Block, Picture, Section
from connectors.loaders.packed import local, xml_root

_R_EMBED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}embed"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MOST_PICTURE_BYTES = 50_000_000


def docx_sections(path: Path) -> Iterator[Section]:
    """A Word document as one section: header, body, footnotes, comments, footer."""
    import docx

    document = docx.Document(str(path))
    yield Section(_docx_parts(document))


def _docx_parts(document: Any) -> Iterator[Block | Picture]:
    body = _DocxBody(document)
    related = [relation for relation in document.part.rels.values() if not relation.is_external]
    yield from _once(body, related, "header")
    yield from body.parts(document.element.body)
    for kind in ("footnotes", "endnotes", "comments"):
        for relation in related:
            if _kind(relation) == kind:
                yield from body.notes(relation.target_part)
    yield from _once(body, related, "footer")


def _once(body: "_DocxBody", related: list[Any], kind: str) -> Iterator[Block]:
    """What headers or footers say: each text once, though every section of a document has its own."""
    seen: set[str] = set()
    for relation in related:
        for block in body.notes(relation.target_part) if _kind(relation) == kind else ():
            if block.text not in seen:
                seen.add(block.text)
                yield block


def _kind(relation: Any) -> str:
    return str(relation.reltype).rpartition("/")[2]


class _DocxBody:
    """Walks WordprocessingML. python-docx's own walk passes over content controls, insertions and text boxes."""

    def __init__(self, document: Any) -> None:
        self._part = document.part
        self._headings = _heading_levels(document)

    def parts(self, container: Any) -> Iterator[Block | Picture]:
        for child in container:
            name = local(child.tag)
            if name == "p":
                yield from self._paragraph(child)
            elif name == "tbl":
                yield from self._table(child)
            elif name in ("sdt", "sdtContent", "ins", "customXml", "smartTag", "moveTo"):
                yield from self.parts(child)

    def notes(self, part: Any) -> Iterator[Block]:
        """The paragraphs of another part of the package: notes, comments, a header."""
        root = xml_root(part.blob)
        for paragraph in root.iter(f"{_W}p"):
            if text := _run_text(paragraph).strip():
                yield Block("paragraph", text)

    def _paragraph(self, paragraph: Any) -> Iterator[Block | Picture]:
        text = _run_text(paragraph)
        properties = paragraph.find(f"{_W}pPr")
        style = "" if properties is None else _value(properties.find(f"{_W}pStyle"))
        if text.strip():
            yield self._block(text, style, properties)
        for box in paragraph.iter(f"{_W}txbxContent"):
            if not any(local(above.tag) in ("Fallback", "txbxContent") for above in box.iterancestors()):
                yield from self.parts(box)
        yield from self._pictures(paragraph)

    def _block(self, text: str, style: str, properties: Any) -> Block:
        if level := self._headings.get(style):
            return Block("heading", text, level=level)
        numbering = None if properties is None else properties.find(f"{_W}numPr")
        if numbering is not None:
            depth = _value(numbering.find(f"{_W}ilvl"))
            return Block("item", text, level=int(depth) if depth.isdigit() else 0)
        return Block("item" if style.startswith("List") else "paragraph", text)

    def _table(self, table: Any) -> Iterator[Block | Picture]:
        rows, pictures = [], []
        for row in table.iter(f"{_W}tr"):
            cells = []
            for cell in row.iter(f"{_W}tc"):
                if next(cell.iterancestors(f"{_W}tr")) is not row:
                    continue
                inner = list(self.parts(cell))
                pictures += [part for part in inner if isinstance(part, Picture)]
                blocks = [part for part in inner if isinstance(part, Block)]
                cells.append("\n".join(b.text or " | ".join(c for r in b.rows for c in r) for b in blocks))
            if next(row.iterancestors(f"{_W}tbl")) is table:
                rows.append(tuple(cells))
        yield Block("table", rows=tuple(rows))
        yield from pictures

    def _pictures(self, paragraph: Any) -> Iterator[Picture]:
        for drawing in paragraph.iter(f"{_W}drawing"):
            caption = next((e.get("descr") or "" for e in drawing.iter() if local(e.tag) == "docPr"), "")
            for blip in (e for e in drawing.iter() if local(e.tag) == "blip"):
                part = self._part.related_parts.get(blip.get(_R_EMBED))
                if part is not None and _is_raster(str(part.partname)) and len(part.blob) <= _MOST_PICTURE_BYTES:
                    yield Picture(part.blob, posixpath.basename(str(part.partname)), one_line(caption))


def _heading_levels(document: Any) -> dict[str, int]:
    """Heading level by style id: by the style's English name, or its outline level, whatever the language."""
    levels = {}
    for style in document.styles.element.iter(f"{_W}style"):
        name = _value(style.find(f"{_W}name")).lower()
        outline = _value(next(style.iter(f"{_W}outlineLvl"), None))
        if name in ("title", "subtitle"):
            levels[style.get(f"{_W}styleId")] = 1 if name == "title" else 2
        elif outline.isdigit() and int(outline) < 6:
            levels[style.get(f"{_W}styleId")] = int(outline) + 1
        elif name.startswith("heading ") and name[8:].isdigit():
            levels[style.get(f"{_W}styleId")] = min(6, int(name[8:]))
    return levels


def _value(element: Any) -> str:
    return "" if element is None else element.get(f"{_W}val") or ""


def _run_text(paragraph: Any) -> str:
    """A paragraph's own text: not what was deleted, what hides, or what stands in a text box of its own."""
    text = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        name = local(element.tag)
        if name == "t":
            text.append(element.text or "")
        elif name in ("tab", "ptab"):
            text.append("\t")
        elif name in ("br", "cr"):
            text.append("\n")
        elif name == "noBreakHyphen":
            text.append("-")
        elif name == "r" and element.find(f"{_W}rPr/{_W}vanish") is not None:
            continue
        elif name not in ("pPr", "rPr", "del", "moveFrom", "drawing", "pict", "Fallback", "p", "tbl"):
            stack += reversed(element)
    return "".join(text)


def pptx_sections(path: Path) -> Iterator[Section]:
    """A section for each shown slide: title, text, tables, charts, pictures, then the speaker's notes."""
    import pptx

    for number, slide in enumerate(pptx.Presentation(str(path)).slides, start=1):
        if slide._element.get("show") != "0":
            yield Section(_slide_parts(slide), {"slide": number})


def _slide_parts(slide: Any) -> Iterator[Block | Picture]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield Block("heading", title.text_frame.text, level=1)
    for shape in slide.shapes:
        if title is None or shape.shape_id != title.shape_id:
            yield from _shape_parts(shape)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None and frame.text.strip():
        yield from (Block("paragraph", paragraph.text) for paragraph in frame.paragraphs)


def _shape_parts(shape: Any, depth: int = 0) -> Iterator[Block | Picture]:
    if hasattr(shape, "shapes"):
        for inner in shape.shapes if depth < 20 else ():
            yield from _shape_parts(inner, depth + 1)
    elif getattr(shape, "has_table", False):
        yield Block("table", rows=tuple(tuple(cell.text for cell in row.cells) for row in shape.table.rows))
    elif getattr(shape, "has_chart", False):
        yield from _chart_parts(shape.chart)
    elif shape.has_text_frame:
        for paragraph in shape.text_frame.paragraphs:
            if paragraph.text.strip():
                yield Block("item" if paragraph.level else "paragraph", paragraph.text, level=min(5, paragraph.level))
    if (picture := _shape_picture(shape)) is not None:
        yield picture


def _shape_picture(shape: Any) -> Picture | None:
    try:
        image = shape.image
    except (AttributeError, KeyError, ValueError):  # no picture, or one that is only linked
        return None
    if not _is_raster(image.filename or f"x.{image.ext}") or len(image.blob) > _MOST_PICTURE_BYTES:
        return None
    caption = next((e.get("descr") or "" for e in shape._element.iter() if local(e.tag) == "cNvPr"), "")
    return Picture(image.blob, image.filename or f"picture.{image.ext}", one_line(caption))


def _chart_parts(chart: Any) -> Iterator[Block]:
    """A chart's title and numbers, as a table."""
    try:
        if chart.has_title and chart.chart_title.has_text_frame:
            yield Block("paragraph", chart.chart_title.text_frame.text)
        for plot in chart.plots:
            head = ("", *map(str, plot.categories))
            rows = ((str(series.name or ""), *map(str, series.values)) for series in plot.series)
            yield Block("table", rows=(head, *rows))
    except (AttributeError, KeyError, ValueError, NotImplementedError):
        return  # a kind of chart that python-pptx does not know


def _is_raster(name: str) -> bool:
    """Whether a picture can be read here: the vector formats of Office need LibreOffice."""
    return not name.lower().endswith((".emf", ".wmf", ".svg", ".emz", ".wmz", ".pict"))
