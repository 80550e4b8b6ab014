"""Sets a document from a plain-text manuscript: headings, paragraphs, lists, tables, boxes, figures.

A manuscript is a text file in `content/`. Blocks are separated by blank lines; their first characters say what
they are:

    # title        ## heading        ### small heading        ^ centred line        ~ caption
    - list item    | table | row     > boxed notice           !figure-name height
    === next column                  --- next page
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pymupdf

from .canvas import A4, GREY, INK, WHITE, Align, Color, Face, Sheet, save, tint

Figure = Callable[[Sheet, pymupdf.Rect], None]

_CONTENT = Path(__file__).parent / "content"
_NUMBER = re.compile(r"[-–+−]?[\d.,\s]+(%|đ|₫|kg|元|°C|W|kWh|MWh)?|–|—")


@dataclass(frozen=True)
class Style:
    """How a document looks.

    Args:
        face: Fonts.
        accent: Colour of headings, table heads and boxes.
        header: Small line at the top of each page; empty for none.
        footer: Page number line, with `{page}` and `{pages}`.
        size: Size of running text in points.
        leading: Line distance as a multiple of the size.
        margin: Left and right margin in points.
        columns: Number of text columns.
        gap: Space below a paragraph in points.
    """

    face: Face
    accent: Color
    header: str = ""
    footer: str = "{page} / {pages}"
    size: float = 11
    leading: float = 1.5
    margin: float = 68
    columns: int = 1
    gap: float = 7


def manuscript(name: str) -> str:
    """The text of a file in `content/`."""
    return (_CONTENT / name).read_text(encoding="utf-8")


def typeset(text: str, path: Path, title: str, style: Style, figures: Mapping[str, Figure] | None = None) -> None:
    """Writes the manuscript as an A4 PDF."""
    try:
        document = compose(text, style, figures)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    save(document, path, title)


def compose(text: str, style: Style, figures: Mapping[str, Figure] | None = None) -> pymupdf.Document:
    """Sets the manuscript on A4 pages of a new document.

    Raises:
        ValueError: A page of the manuscript does not fit its sheet.
    """
    document = pymupdf.open()
    pages = re.split(r"^---$", text, flags=re.MULTILINE)
    for number, source in enumerate(pages, start=1):
        sheet = Sheet(document.new_page(width=A4[0], height=A4[1]), style.face)
        _furniture(sheet, style, number, len(pages))
        try:
            _Setter(sheet, style, figures or {}).run(source)
        except ValueError as error:
            raise ValueError(f"page {number}: {error}") from error
    return document


def _furniture(sheet: Sheet, style: Style, number: int, pages: int) -> None:
    """Running header and page number."""
    if style.header:
        sheet.text(style.margin, 42, style.header, size=8.5, color=GREY)
        sheet.line((style.margin, 49), (sheet.width - style.margin, 49), color=tint(style.accent, 0.5), line=0.7)
    footer = style.footer.format(page=number, pages=pages)
    sheet.text(sheet.width / 2, sheet.height - 32, footer, size=8.5, color=GREY, align="center")


class _Setter:
    """Walks down the columns of one page, block by block."""

    top = 66.0
    bottom = A4[1] - 52

    def __init__(self, sheet: Sheet, style: Style, figures: Mapping[str, Figure]) -> None:
        self.sheet = sheet
        self.style = style
        self.figures = figures
        gutter = 22.0
        usable = sheet.width - 2 * style.margin
        self.width = (usable - gutter * (style.columns - 1)) / style.columns
        self.lefts = [style.margin + i * (self.width + gutter) for i in range(style.columns)]
        self.column = 0
        self.y = self.top
        self.column_top = self.top

    @property
    def x(self) -> float:
        return self.lefts[self.column]

    def run(self, source: str) -> None:
        for block in _blocks(source):
            self._block(block)
            if self.y > self.bottom + self.style.gap:
                raise ValueError(f"text runs off the page at {block[:50]!r}")

    def _block(self, block: str) -> None:
        mark, _, rest = block.partition(" ")
        match mark:
            case "#":
                self._title(rest)
            case "##":
                self._heading(rest, self.style.size * 1.27, before=8)
            case "###":
                self._heading(rest, self.style.size * 1.05, before=4)
            case "^":
                self._paragraph(rest, centred=True)
            case "~":
                self._caption(rest)
            case ">":
                self._box(rest)
            case "-":
                self._list(block)
            case "|":
                self._table(block)
            case "===":
                self.column += 1
                self.y = self.column_top
            case _ if mark.startswith("!"):
                self._figure(mark[1:], float(rest))
            case _:
                self._paragraph(block)

    def _title(self, text: str) -> None:
        """A title spans all columns, which then start below it."""
        size = self.style.size * 1.8
        width = self.sheet.width - 2 * self.style.margin
        left = self.lefts[0]
        self.y = self.sheet.paragraph(
            left, self.y, width, text, size=size, leading=1.3, color=self.style.accent, bold=True, align="center"
        )
        self.y += self.style.gap * 1.4
        self.column_top = self.y

    def _heading(self, text: str, size: float, before: float) -> None:
        if self.y > self.column_top:
            self.y += before
        self.y = self.sheet.paragraph(
            self.x, self.y, self.width, text, size=size, leading=1.3, color=self.style.accent, bold=True
        )
        self.y += self.style.gap * 0.6

    def _paragraph(self, text: str, centred: bool = False) -> None:
        style = self.style
        align: Align = "center" if centred else "left"
        self.y = self.sheet.paragraph(
            self.x, self.y, self.width, text, size=style.size, leading=style.leading, align=align
        )
        self.y += style.gap

    def _caption(self, text: str) -> None:
        self.y = self.sheet.paragraph(
            self.x, self.y, self.width, text, size=self.style.size * 0.85, color=GREY, leading=1.35
        )
        self.y += self.style.gap * 1.2

    def _box(self, text: str) -> None:
        style, pad = self.style, 9.0
        lines = self.sheet.wrap(text, self.width - 2 * pad - 4, style.size)
        height = len(lines) * style.size * style.leading + 2 * pad - 3
        self.sheet.rect(self.x, self.y, self.width, height, fill=tint(style.accent, 0.1))
        self.sheet.rect(self.x, self.y, 4, height, fill=style.accent)
        self.sheet.paragraph(
            self.x + 4 + pad, self.y + pad, self.width - 2 * pad - 4, text, size=style.size, leading=style.leading
        )
        self.y += height + style.gap * 1.3

    def _list(self, block: str) -> None:
        style, indent = self.style, self.style.size * 1.3
        for item in re.split(r"(?:^|\n)- ", block)[1:]:
            self.sheet.circle((self.x + indent * 0.45, self.y + style.size * 0.68), 1.9, fill=style.accent)
            self.y = self.sheet.paragraph(
                self.x + indent,
                self.y,
                self.width - indent,
                _joined(item),
                size=style.size,
                leading=style.leading,
            )
            self.y += style.gap * 0.35
        self.y += style.gap * 0.65

    def _figure(self, name: str, height: float) -> None:
        self.figures[name](self.sheet, pymupdf.Rect(self.x, self.y, self.x + self.width, self.y + height))
        self.y += height + self.style.gap

    def _table(self, block: str) -> None:
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        size, pad = self.style.size * 0.9, 7.0
        widths = self._column_widths(rows, size, pad)
        numeric = [all(_NUMBER.fullmatch(row[i]) for row in rows[1:]) for i in range(len(widths))]
        for index, row in enumerate(rows):
            head = index == 0
            wrapped = [
                self.sheet.wrap(cell, width - 2 * pad, size, head) for cell, width in zip(row, widths, strict=True)
            ]
            height = max(map(len, wrapped)) * size * 1.35 + 2 * pad - 2
            fill = self.style.accent if head else tint(self.style.accent, 0.06) if index % 2 == 0 else WHITE
            self.sheet.rect(self.x, self.y, sum(widths), height, fill=fill)
            at = self.x
            for cell, width, right in zip(row, widths, numeric, strict=True):
                self.sheet.paragraph(
                    at + pad,
                    self.y + pad - 1,
                    width - 2 * pad,
                    cell,
                    size=size,
                    leading=1.35,
                    color=WHITE if head else INK,
                    bold=head,
                    align="right" if right else "left",
                )
                at += width
            self.y += height
            self.sheet.line(
                (self.x, self.y), (self.x + sum(widths), self.y), color=tint(self.style.accent, 0.4), line=0.5
            )
        self.y += self.style.gap * 1.5

    def _column_widths(self, rows: list[list[str]], size: float, pad: float) -> list[float]:
        """Natural widths where they fit; else the widest columns give way first."""
        natural = [
            max(self.style.face.width(cell.replace("**", ""), size, bold=True) for cell in column) + 2 * pad + 2
            for column in zip(*rows, strict=True)
        ]
        spare = self.width - sum(natural)
        if spare >= 0:
            return [width + spare / len(natural) for width in natural]
        limit = self.width
        while sum(min(width, limit) for width in natural) > self.width:
            limit -= 1
        return [min(width, limit) for width in natural]


def _joined(text: str) -> str:
    """A block's lines as one: Chinese takes no space at a line break."""
    chinese = re.search(r"[\u4e00-\u9fff]", text) is not None
    return ("" if chinese else " ").join(line.strip() for line in text.strip().splitlines())


def _blocks(source: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", source.strip()):
        yield block if block.startswith(("- ", "| ")) else _joined(block)
