"""Notes and minutes as Markdown and plain text."""

import unicodedata
from pathlib import Path

from .typeset import manuscript


def write_note(source: str, path: Path) -> None:
    """Writes a text of `content/` as it is, composed (NFC), with Unix line ends."""
    path.write_text(unicodedata.normalize("NFC", manuscript(source)), encoding="utf-8", newline="\n")
