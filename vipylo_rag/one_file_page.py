"""A page that is one HTML file: our markup, style and scripts, and data that can become neither markup nor script."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

# What could end a script element, begin a comment in it, or be a line's end to JavaScript only.
_ESCAPES: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class OneFilePage:
    """A kind of such pages.

    Attributes:
        called: what a file of this kind says that it is, in its first line.
        markup: a file of the package `vipylo_rag`. parts: further ones, by the `{{name}}` in it that they stand for.
        styles, scripts: such files, put together in this order.
    """

    called: str
    markup: str
    parts: Mapping[str, str]
    styles: tuple[str, ...]
    scripts: tuple[str, ...]

    @property
    def _mark(self) -> bytes:
        return f"<!doctype html><!-- {self.called} -->".encode()

    def wrote(self, path: Path) -> bool:
        """Whether a file is a page of this kind."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(self._mark)) == self._mark

    def write(self, path: Path, content: dict[str, Any], pictures: Sequence[bytes | None]) -> int:
        """Write the file, complete or not at all; returns its size in bytes.

        Args:
            content: what the page's scripts read (plain JSON values).
            pictures: WebP files; None where there is none.
        """
        draft = path.with_name(f".{path.name}.part")
        try:
            with draft.open("wb") as target:
                for part in self._parts(content, pictures):
                    target.write(part)
                size = target.tell()
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return size

    def _parts(self, content: dict[str, Any], pictures: Sequence[bytes | None]) -> Iterator[bytes]:
        style = "".join(map(_own, self.styles))
        script = "".join(map(_own, self.scripts))
        policy = f"default-src 'none'; img-src data:; script-src {_digest(script)}; style-src {_digest(style)}"
        html = _own(self.markup)
        for name, part in self.parts.items():
            html = html.replace(f"{{{{{name}}}}}", _own(part), 1)
        for name, ours in (("policy", policy), ("style", style), ("script", script)):
            html = html.replace(f"{{{{{name}}}}}", ours, 1)
        before, after = html.split("{{data}}")
        yield self._mark + b"\n"
        yield before.encode()
        yield b'<script type="application/json" id="content">' + as_data(content) + b"</script>\n"
        yield b'<script type="application/json" id="pictures">["'
        for number, picture in enumerate(pictures):
            yield b'","' * (number > 0) + base64.b64encode(picture or b"")
        yield b'"]</script>'
        yield after.encode()


def drawn_page(called: str, folder: str, style: str, scripts: Sequence[str]) -> OneFilePage:
    """A page with one large drawing to move about in, and a panel beside it.

    Args:
        called: as OneFilePage.called.
        folder: of the package, with what is this page's own: switches.html, panel.html, words.js and the rest.
        style, scripts: the names there, without ending; what the scripts have to give is told in drawn_page/*.js.
    """
    return OneFilePage(
        called,
        "drawn_page/page.html",
        {name: f"{folder}/{name}.html" for name in ("switches", "panel")},
        ("drawn_page/page.css", f"{folder}/{style}.css"),
        (
            f"{folder}/words.js",
            *(f"drawn_page/{name}.js" for name in ("speaking", "content", "moving", "panel")),
            *(f"{folder}/{name}.js" for name in scripts),
        ),
    )


def as_data(value: Any) -> bytes:
    """JSON that can stand in a script element, whatever the texts in it are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES).encode("utf-8", "replace")  # a file name may hold half a character


def _own(name: str) -> str:
    return files("vipylo_rag").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
