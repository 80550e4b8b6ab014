"""Reads HTML files: what a person would see of their text, cut into pages. Nothing that they refer to is fetched."""

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, one_line
from connectors.loaders.blocks import Block, BlockLoader, Picture, Section
from connectors.loaders.encoding import decoded, decoded_as

PictureSource = Callable[[str], tuple[str, bytes] | None]
"""Gives name and bytes of the picture that a `src` means, or None: not here, or not to be read."""

_UNSEEN = frozenset((
    "script", "style", "noscript", "template", "head", "meta", "link", "title", "object", "embed", "applet",
    "iframe", "canvas", "audio", "video", "svg", "math", "datalist", "select",
))  # fmt: skip
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "main", "menu",
    "nav", "ol", "option", "p", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
    "caption",
))  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"""<(?:meta[^>]+charset|\?xml[^>]+encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL
)
# A line that ends between two Chinese letters is no blank between them.
_CHINESE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_CHINESE_WRAP = re.compile(rf"(?<=[{_CHINESE}])[ \t]*\n\s*(?=[{_CHINESE}])")
_DEEPEST = 200


class HTMLLoader(BlockLoader):
    """HTML files as typeset pages. Pictures inside the file (`data:`) become pages; those elsewhere are not fetched.

    Args:
        max_bytes: larger files are refused.
        max_pictures: see `BlockLoader`.
        max_pages: see `BlockLoader`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")
    kind: ClassVar[str] = "html"

    def __init__(
        self,
        *,
        max_bytes: int = 20_000_000,
        max_pictures: int = 200,
        max_pages: int = 20_000,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(max_pictures=max_pictures, max_pages=max_pages, image_dir=image_dir, image_format=image_format)
        self.max_bytes = max_bytes

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether `head` begins as HTML: document type or `<html>` tag, comments and an XML line allowed before."""
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            head = head[: len(head) // 2 * 2].decode("utf-16", "replace").encode()
        return _START.match(head.removeprefix(b"\xef\xbb\xbf")) is not None

    def sections(self, path: Path, source: str) -> Iterator[Section]:
        """The document, as one section."""
        size = path.stat().st_size
        if size > self.max_bytes:
            raise DocumentError(
                f"{source}: has {size / 1e6:,.0f} MB of HTML, over the limit of {self.max_bytes / 1e6:,.0f} MB; "
                "raise max_bytes of the html loader"
            )
        try:
            text = html_text(path.read_bytes())
        except ValueError as error:
            raise DocumentError(f"{source}: {error}") from error
        title, parts = html_blocks(text, data_picture)
        if not parts:
            raise DocumentError(f"{source}: shows nothing: it has neither text nor pictures of its own")
        yield Section(parts, {"title": title} if title else {})


def html_text(data: bytes, encoding: str | None = None) -> str:
    """The bytes of an HTML file as text: by mark, by what it or its transport (`encoding`) says, by what decodes.

    Raises:
        ValueError: it is no text.
    """
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return decoded(data)[0]
    said = _CHARSET.search(data[:4096])
    names = (encoding, said[1].decode("ascii", "replace") if said else None)
    # What says in ASCII that it is UTF-16 is not.
    return decoded_as(data, (name for name in names if name and not name.lower().startswith("utf-16")))


def html_blocks(text: str, picture: PictureSource) -> tuple[str, list[Block | Picture]]:
    """Title and visible blocks of an HTML document, in order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XHTML is read as HTML on purpose: it often is no sound XML
        soup = BeautifulSoup(text, "lxml")
    title = one_line(soup.title.get_text()) if soup.title else ""
    walk = _Walk(picture)
    root = soup.body or soup
    try:
        walk.children(root, 0)
    except RecursionError:
        walk.parts = [Block("paragraph", root.get_text("\n"))]
    walk.flush()
    return title, walk.parts


def data_picture(address: str) -> tuple[str, bytes] | None:
    """The picture that a `data:` address holds."""
    kind, comma, data = address.partition(",")
    if not comma or not kind.lower().startswith("data:image/") or "svg" in kind.lower():
        return None
    try:
        raw = unquote_to_bytes(data)
        content = base64.b64decode(raw) if ";base64" in kind.lower() else raw
    except (binascii.Error, ValueError):
        return None
    return "picture in the page", content


class _Walk:
    """Collects blocks on the way through the tree; text between two blocks is a paragraph."""

    def __init__(self, picture: PictureSource) -> None:
        self.parts: list[Block | Picture] = []
        self._picture = picture
        self._line: list[str] = []
        self._lists: list[int] = []  # the open lists: how many items so far, -1 where they are not numbered
        self._marker: str | None = None  # of the list item that the next text begins

    def children(self, tag: Tag, depth: int) -> None:
        for child in tag.children:
            if isinstance(child, NavigableString):
                if not isinstance(child, PreformattedString):  # comments, CDATA, declarations
                    self._line.append(re.sub(r"\s+", " ", _CHINESE_WRAP.sub("", str(child))))
            elif isinstance(child, Tag):
                self._tag(child, depth + 1)

    def flush(self) -> None:
        text = "\n".join(line.strip() for line in re.sub(" +", " ", "".join(self._line)).split("\n")).strip()
        self._line = []
        if not text:
            return
        if self._marker is not None and self._lists:
            self.parts.append(Block("item", self._marker + text, level=min(5, len(self._lists) - 1)))
            self._marker = None
        else:
            self.parts.append(Block("paragraph", text))

    def _tag(self, tag: Tag, depth: int) -> None:
        name = tag.name.rpartition(":")[2].lower()
        if name in _UNSEEN or _is_hidden(tag):
            return
        if depth > _DEEPEST:
            self._line.append(" " + tag.get_text(" ") + " ")
        elif name == "br":
            self._line.append("\n")
        elif name in ("img", "image"):
            self._image(tag)
        elif name in ("input", "textarea", "button"):
            self._line.append(f" {tag.get('value') or tag.get_text(' ')} " if tag.get("type") != "password" else " ")
        elif name in _HEADINGS:
            self.flush()
            start = len(self.parts)
            self.children(tag, depth)
            self.flush()
            self._as_heading(start, _HEADINGS[name])
        elif name == "pre":
            self.flush()
            self.parts.append(Block("code", tag.get_text().strip("\n")))
        elif name in ("ul", "ol", "menu"):
            self._list(tag, name == "ol", depth)
        elif name == "li":
            self._item(tag, depth)
        elif name == "table" and not _is_layout(tag):
            self._table(tag)
        elif name in _BLOCKS:
            self.flush()
            self.children(tag, depth)
            self.flush()
        else:
            self.children(tag, depth)

    def _as_heading(self, start: int, level: int) -> None:
        made = self.parts[start:]
        text = "\n".join(part.text for part in made if isinstance(part, Block) and part.text)
        self.parts[start:] = [part for part in made if isinstance(part, Picture)]
        if text:
            self.parts.insert(start, Block("heading", text, level=level))

    def _list(self, tag: Tag, numbered: bool, depth: int) -> None:
        self.flush()
        self._lists.append(0 if numbered else -1)
        self.children(tag, depth)
        self.flush()
        self._lists.pop()
        self._marker = None

    def _item(self, tag: Tag, depth: int) -> None:
        self.flush()
        if not self._lists:  # an item that is in no list
            self._lists.append(-1)
        if self._lists[-1] >= 0:
            self._lists[-1] += 1
        self._marker = f"{self._lists[-1]}. " if self._lists[-1] > 0 else ""
        self.children(tag, depth)
        self.flush()
        self._marker = None

    def _image(self, tag: Tag) -> None:
        caption = one_line(tag.get("alt") or tag.get("title") or "")
        address = tag.get("src") or tag.get("xlink:href") or tag.get("href")
        found = self._picture(address.strip()) if isinstance(address, str) else None
        if found is not None:
            self.parts.append(Picture(found[1], found[0], caption))
        elif caption:
            self._line.append(f" [{caption}] ")

    def _table(self, tag: Tag) -> None:
        self.flush()
        rows = []
        for row in tag.find_all("tr"):
            if not _is_hidden(row):
                cells = [cell for cell in row.find_all(["td", "th"], recursive=False) if not _is_hidden(cell)]
                rows.append(tuple(self._cell(cell) for cell in cells))
        if caption := tag.find("caption"):
            self.parts.append(Block("paragraph", one_line(caption.get_text(" "), 2000)))
        self.parts.append(Block("table", rows=tuple(row for row in rows if row)))

    def _cell(self, cell: Tag) -> str:
        """A cell's visible text; its pictures go behind the table's rows so far."""
        inner = _Walk(self._picture)
        inner.children(cell, 0)
        inner.flush()
        self.parts.extend(part for part in inner.parts if isinstance(part, Picture))
        return "\n".join(part.text for part in inner.parts if isinstance(part, Block) and part.text)


def _is_hidden(tag: Tag) -> bool:
    attributes: dict[str, Any] = tag.attrs
    return (
        "hidden" in attributes
        or str(attributes.get("type", "")).lower() == "hidden"
        or bool(_HIDDEN_STYLE.search(str(attributes.get("style", ""))))
    )


def _is_layout(table: Tag) -> bool:
    """Whether a table arranges a page instead of holding data: tables, headings or lists inside, or a single column."""
    if table.find(["table", "h1", "h2", "h3", "ul", "ol", "pre"]) is not None:
        return True
    rows = table.find_all("tr")
    return all(len(row.find_all(["td", "th"], recursive=False)) < 2 for row in rows)
