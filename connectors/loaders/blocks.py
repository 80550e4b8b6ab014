"""What flowing documents (HTML, e-books, mails, Office without LibreOffice) are brought to: blocks, and pages of them.

A loader of such a format only says which blocks a document has, in order; cutting them into pages, their text and
their pictures are the same for all.
"""

import functools
import hashlib
import html
import io
import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, Loader, PageFailure, clean_text
from connectors.loaders.image import ImageLoader
from connectors.loaders.split import FULL, MOST, halved, split_text, weight
from connectors.loaders.typeset import Typeset, typeset
from connectors.page import Page

Kind = Literal["heading", "paragraph", "item", "code", "table"]

# More columns than this are no table on a page any more: their rows are written as lines.
_MOST_COLUMNS = 14
# Paragraphs are cut to at most this, so that a page need not end far above its foot because the next is long.
_CUT = FULL // 2
# Smaller pictures are bullets, lines, icons and tracking pixels.
_LEAST_SIDE = 48


@dataclass(frozen=True)
class Block:
    """A piece of a document that stands on lines of its own.

    Attributes:
        kind: what it is.
        text: its text; "" for a table.
        level: of a heading (1-6) or a list item (0 = outermost).
        rows: the cells of a table, row by row.
        head: of a table, the row above `rows` that stands on each of its pages.
    """

    kind: Kind
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()
    head: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture inside a document, as its file's bytes, with what the document says of it."""

    data: bytes
    name: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a document that begins a new page: a slide, a sheet, a chapter."""

    parts: Iterable[Block | Picture]
    metadata: dict[str, Any] = field(default_factory=dict)


class BlockLoader(Loader):
    """A loader whose documents are sections of blocks and pictures. A subclass writes `sections`.

    Text becomes typeset pages; each picture of some size becomes a page of its own after the page that has it.

    Args:
        max_pictures: the most pictures of a document that become pages; where there are more, a `PageFailure` says so.
        max_pages: the most pages of a document, likewise.
    """

    def __init__(
        self,
        *,
        max_pictures: int = 200,
        max_pages: int = 20_000,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(image_dir=image_dir, image_format=image_format)
        self.max_pictures = max_pictures
        self.max_pages = max_pages

    @abstractmethod
    def sections(self, path: Path, source: str) -> Iterator[Section]:
        """The document's sections, lazily.

        Raises:
            DocumentError: the document cannot be read.
        """

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield the sections' pages in order."""
        yield from self.flow(self.sections(path, source), source, first)

    def flow(self, sections: Iterable[Section], source: str, first: int) -> Iterator[Page | PageFailure]:
        """The pages of `sections`, from number `first` on."""
        number, pictures = 0, _PictureBudget(self.max_pictures)
        for section in sections:
            for piece in _pieces(section.parts):
                found = pictures.wanted(piece) if isinstance(piece, Picture) else piece
                if found is None:
                    continue
                number += 1
                if number > self.max_pages:
                    yield PageFailure(source, number, f"pages behind number {self.max_pages} are left out")
                    return
                if number >= first:
                    yield self._made(found, source, number, section.metadata)
        if pictures.left_out and number + 1 >= first:
            reason = f"{pictures.left_out} more pictures in it are left out (at most {self.max_pictures} are read)"
            yield PageFailure(source, number + 1, reason)

    def _made(
        self, piece: "_Piece | Picture", source: str, number: int, metadata: dict[str, Any]
    ) -> Page | PageFailure:
        if isinstance(piece, Picture):
            try:
                image = _images().picture(io.BytesIO(piece.data), piece.name)
            except DocumentError as error:
                return PageFailure(source, number, f"the picture {error}")
            return self.make_page(source, number, piece.caption, image, {**metadata, "picture": piece.name})
        if piece.drawn is None:
            return self.make_page(source, number, piece.text, metadata=dict(metadata))
        page = self.make_page(source, number, piece.text, piece.drawn.image, dict(metadata))
        return replace(page, words=piece.drawn.words)


@dataclass(frozen=True)
class _Piece:
    """A page of text. `drawn` is None where not even one letter of it fits on paper: its text is still a page."""

    text: str
    drawn: Typeset | None


class _PictureBudget:
    """Which of a document's pictures become pages: each once, none that is tiny, only so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[bytes] = set()
        self.left_out = 0

    def wanted(self, picture: Picture) -> Picture | None:
        digest = hashlib.sha256(picture.data).digest()
        if digest in self._seen or _is_tiny(picture.data):
            return None
        self._seen.add(digest)
        if len(self._seen) <= self._most:
            return picture
        self.left_out += 1
        return None


def _is_tiny(data: bytes) -> bool:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF", "WEBP", "BMP")) as image:
            return min(image.size) < _LEAST_SIDE
    except Exception:  # what it is, and whether it can be read, is the picture loader's to say
        return False


@functools.cache
def _images() -> ImageLoader:
    return ImageLoader()


def blocks_text(blocks: Iterable[Block]) -> str:
    """The blocks as plain text: a table's cells are joined by " | "."""
    return "\n\n".join(filter(None, (_block_text(block) for block in _headed(blocks))))


def _block_text(block: Block) -> str:
    if block.kind == "table":
        return "\n".join(" | ".join(row).rstrip(" |") for row in block.rows)
    return f"{'  ' * block.level}- {block.text}" if block.kind == "item" else block.text


def blocks_html(blocks: Iterable[Block]) -> str:
    """The blocks as HTML for `typeset`, everything escaped."""
    return "".join(_block_html(block) for block in _headed(blocks)) or "<p></p>"


def _headed(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks of a page with the heads of tables above them; pieces of one table that meet here are one again."""
    for head, group in itertools.groupby(blocks, key=lambda block: block.head):
        if head:
            yield Block("table", rows=(head, *(row for block in group for row in block.rows)))
        else:
            yield from group


def _block_html(block: Block) -> str:
    text = html.escape(block.text)
    match block.kind:
        case "heading":
            level = min(6, max(1, block.level))
            return f"<h{level}>{_lines(text)}</h{level}>"
        case "code":
            return f"<pre>{text}</pre>"
        case "item":
            return f"<ul>{'<ul>' * min(block.level, 5)}<li>{_lines(text)}</li>{'</ul>' * min(block.level, 5)}</ul>"
        case "table":
            if max(map(len, block.rows), default=0) > _MOST_COLUMNS:
                return "".join(f"<p>{html.escape(' | '.join(row))}</p>" for row in block.rows)
            rows = ("".join(f"<td>{_lines(html.escape(cell))}</td>" for cell in row) for row in block.rows)
            return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        case _:
            return f"<p>{_lines(text)}</p>"


def _lines(text: str) -> str:
    return text.replace("\n", "<br>")


def _pieces(parts: Iterable[Block | Picture]) -> Iterator[_Piece | Picture]:
    """Pages' worth of blocks, each followed by the pictures that stand among them."""
    blocks: list[Block] = []
    pictures: list[Picture] = []
    load = 0
    for part in _small_parts(parts):
        if isinstance(part, Picture):
            pictures.append(part)
            continue
        part_load = _load(part)
        if blocks and (load + part_load > MOST or load >= FULL):
            kept = _trailing_headings(blocks)
            yield from _fitting(tuple(blocks[: len(blocks) - len(kept)]))
            yield from pictures
            blocks, pictures, load = kept, [], sum(map(_load, kept))
        blocks.append(part)
        load += part_load
    if blocks:
        yield from _fitting(tuple(blocks))
    yield from pictures


def _small_parts(parts: Iterable[Block | Picture]) -> Iterator[Block | Picture]:
    """The parts cleaned, empty ones left out, and no block larger than a page; rows of tables come one by one."""
    for part in parts:
        if isinstance(part, Picture):
            yield replace(part, caption=clean_text(part.caption))
        elif part.kind == "table":
            yield from _table_parts(part)
        elif text := (part.text.rstrip() if part.kind == "code" else clean_text(part.text)):
            for piece in split_text(text, _CUT, _CUT) if weight(text) > _CUT else (text,):
                yield replace(part, text=piece)


def _table_parts(table: Block) -> Iterator[Block]:
    """The table in pieces of a page at most; a row that alone is more becomes paragraphs."""
    rows: list[tuple[str, ...]] = []
    load = 0
    for row in table.rows:
        cells = tuple(clean_text(cell) for cell in row)
        if not any(cells):
            continue
        row_load = _row_load(cells)
        if rows and load + row_load > FULL // 2:
            yield _table_part(table, rows)
            rows, load = [], 0
        if row_load > MOST:
            yield from (Block("paragraph", piece) for piece in split_text("\n".join(filter(None, cells))))
        else:
            rows.append(cells)
            load += row_load
    if rows:
        yield _table_part(table, rows)


def _table_part(table: Block, rows: list[tuple[str, ...]]) -> Block:
    # Below a head each column keeps its place, empty here or not.
    return replace(table, rows=tuple(rows) if table.head else _without_empty_columns(rows))


def _without_empty_columns(rows: list[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Sheets have columns that only keep others apart."""
    used = sorted({place for row in rows for place, cell in enumerate(row) if cell})
    return tuple(tuple(row[place] if place < len(row) else "" for place in used) for row in rows)


def _load(block: Block) -> int:
    """How much of a page a block takes, in letters: short lines take a line's place."""
    if block.kind == "table":
        return sum(map(_row_load, block.rows))
    lines = block.text.count("\n") + 1
    return max(weight(block.text), 50 * lines) + {"heading": 60, "paragraph": 25}.get(block.kind, 10)


def _row_load(row: tuple[str, ...]) -> int:
    return max(45, sum(map(weight, row)))


def _trailing_headings(blocks: list[Block]) -> list[Block]:
    """Headings at the end of a page belong to what follows them, unless they are all there is."""
    count = 0
    while count < len(blocks) - 1 and blocks[-1 - count].kind == "heading":
        count += 1
    return blocks[len(blocks) - count :]


def _fitting(blocks: tuple[Block, ...]) -> Iterator[_Piece]:
    """`blocks` as one page, or in as many as the paper asks for."""
    drawn = typeset(blocks_html(blocks))
    halves = None if drawn else _halves(blocks)
    if halves is None:
        yield _Piece(blocks_text(blocks), drawn)
        return
    for half in halves:
        yield from _fitting(half)


def _halves(blocks: tuple[Block, ...]) -> tuple[tuple[Block, ...], tuple[Block, ...]] | None:
    middle = len(blocks) // 2
    if middle:
        return blocks[:middle], blocks[middle:]
    (block,) = blocks
    if block.kind == "table":
        middle = len(block.rows) // 2
        if middle:
            return (replace(block, rows=block.rows[:middle]),), (replace(block, rows=block.rows[middle:]),)
        # One row wider or taller than the paper: its cells one below the other.
        lines = "\n".join(filter(None, block.rows[0]))
        return None if not lines else _halves((Block("paragraph", lines),))
    pieces = halved(block.text)
    if len(pieces) < 2:
        return None
    rest = "\n".join(pieces[1:])
    return (replace(block, text=pieces[0]),), (replace(block, text=rest),)
