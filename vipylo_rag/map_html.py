"""The map's HTML file: our page, and beside it the data, which no character of can become markup or script."""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

_MARK: Final = b"<!doctype html><!-- ViPylo map -->"
_SCRIPTS: Final = ("words.js", "pages.js", "canvas.js", "panel.js")
# What could end a script element, begin a comment in it, or be a line's end to JavaScript only.
_ESCAPES: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_html(path: Path, content: dict[str, Any], pictures: Sequence[bytes | None]) -> int:
    """Write the file, complete or not at all; returns its size in bytes.

    Args:
        content: what the page's scripts read (plain JSON values).
        pictures: WebP files; None where there is none.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as target:
            for part in _parts(content, pictures):
                target.write(part)
            size = target.tell()
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return size


def is_map(path: Path) -> bool:
    """Whether a file was written by `write_html`."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK


def as_data(value: Any) -> bytes:
    """JSON that can stand in a script element, whatever the texts in it are."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES).encode("utf-8", "replace")  # a file name may hold half a character


def _parts(content: dict[str, Any], pictures: Sequence[bytes | None]) -> Iterator[bytes]:
    style = _own("map.css")
    script = "".join(_own(name) for name in _SCRIPTS)
    policy = f"default-src 'none'; img-src data:; script-src {_digest(script)}; style-src {_digest(style)}"
    html = _own("map.html")
    for name, ours in (("policy", policy), ("style", style), ("script", script)):
        html = html.replace(f"{{{{{name}}}}}", ours, 1)
    before, after = html.split("{{data}}")
    yield _MARK + b"\n"
    yield before.encode()
    yield b'<script type="application/json" id="content">' + as_data(content) + b"</script>\n"
    yield b'<script type="application/json" id="pictures">["'
    for number, picture in enumerate(pictures):
        yield b'","' * (number > 0) + base64.b64encode(picture or b"")
    yield b'"]</script>'
    yield after.encode()


def _own(name: str) -> str:
    return (files("vipylo_rag") / "map_page" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
