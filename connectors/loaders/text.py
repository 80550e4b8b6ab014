"""Reads plain text and Markdown in the encodings found in the wild, cut into page-sized pieces at paragraphs."""

import functools
import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, Loader, PageFailure, clean_text
from connectors.loaders.encoding import decoded
from connectors.loaders.split import halved, split_text
from connectors.loaders.typeset import Typeset, typeset
from connectors.page import Page

_MARKDOWN = (".md", ".markdown")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)(.*)$", re.MULTILINE)


class TextLoader(Loader):
    """Text files as typeset pages; JSON, XML, YAML and their like as they are written.

    The text of a page is the file's own; its picture shows it set, Markdown rendered.

    Args:
        encoding: Python's name of the files' encoding; default: found from the bytes (UTF-8, UTF-16, UTF-32, then
            Chinese GB 18030, Vietnamese Windows-1258, Western Windows-1252).
        max_bytes: larger files are refused.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        ".txt", ".text", ".md", ".markdown", ".rst", ".log",
        ".json", ".jsonl", ".xml", ".yaml", ".yml", ".ini", ".toml",
    )  # fmt: skip
    kind: ClassVar[str] = "text"

    def __init__(
        self,
        *,
        encoding: str | None = None,
        max_bytes: int = 50_000_000,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(image_dir=image_dir, image_format=image_format)
        self.encoding = encoding
        self.max_bytes = max_bytes

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield the text's pieces in order."""
        size = path.stat().st_size
        if size > self.max_bytes:
            raise DocumentError(
                f"{source}: has {size / 1e6:,.0f} MB, over the limit of {self.max_bytes / 1e6:,.0f} MB of text; "
                "split it, or raise max_bytes of the text loader"
            )
        try:
            text, encoding = decoded(path.read_bytes(), self.encoding)
        except ValueError as error:
            raise DocumentError(f"{source}: {error}") from error
        text = clean_text(text)
        if not text:
            raise DocumentError(f"{source}: is empty (nothing but blanks)")
        metadata: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
        for number, (piece, drawn) in enumerate(_drawn(text, path.suffix.lower() in _MARKDOWN), start=1):
            if number < first:
                continue
            if drawn is None:  # not even one line of it fits on paper: the text alone is still a page
                yield self.make_page(source, number, piece, metadata=dict(metadata))
                continue
            yield replace(self.make_page(source, number, piece, drawn.image, dict(metadata)), words=drawn.words)


def _drawn(text: str, markdown: bool) -> Iterator[tuple[str, Typeset | None]]:
    """The pages of `text`: each piece as it stands in the file, and drawn."""
    fence = ""  # a block of code that a cut falls into goes on, as code, on the next page
    for piece in split_text(text):
        for part in _fitting(piece, markdown, fence):
            yield part
            fence = _open_fence(part[0], fence) if markdown else ""


def _fitting(piece: str, markdown: bool, fence: str) -> Iterator[tuple[str, Typeset | None]]:
    """`piece` on one page, or where it has too many lines for that on several."""
    drawn = typeset(markdown_html(f"{fence}\n{piece}" if fence else piece) if markdown else text_html(piece))
    smaller = [] if drawn else halved(piece)
    if len(smaller) < 2:
        yield piece, drawn
        return
    for part in smaller:
        for fitted in _fitting(part, markdown, fence):
            yield fitted
            fence = _open_fence(fitted[0], fence) if markdown else ""


def _open_fence(piece: str, fence: str) -> str:
    """The code fence that is open at the end of `piece`, given the one that is open at its start; "" for none."""
    for match in _FENCE.finditer(piece):
        if not fence:
            fence = match[1]
        elif match[1].startswith(fence) and not match[2].strip():
            fence = ""
    return fence


def text_html(text: str) -> str:
    """Plain text as HTML: every line on a line of its own, blanks at its start kept."""
    return f'<p class="lines">{html.escape(text)}</p>'


def markdown_html(text: str) -> str:
    """CommonMark with tables as HTML; HTML in it is shown as text, pictures by what stands for them."""
    return str(_markdown().render(text)) or "<p></p>"


@functools.cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # A picture would have to be fetched; its words say what is there.
    parser.add_render_rule("image", lambda self, tokens, place, options, env: html.escape(tokens[place].content))
    return parser
