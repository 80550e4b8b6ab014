"""Word boxes as files: one small JSON beside the page pictures, named by what it says, kept out of the store's payload."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.errors import DocumentError
from connectors.loaders.base import write_once
from connectors.page import WordBox

WORDS_SUFFIX = ".words.json"
# A page crammed with text has some 5,000 words, 300 KB. What is over the limit is no page anyone reads.
MAX_WORDS_BYTES = 16_000_000
# Five digits are a hundredth of a pixel on an A4 page at 150 dpi, and half the size of a float written out.
_DIGITS = 5


def save_words(words: Sequence[WordBox], folder: Path) -> Path:
    """Write `words` into `folder` under the hash of what is written, unless it is there; return where it is.

    The file is a JSON list of [text, x0, y0, x1, y1], the numbers rounded to 5 digits.

    Raises:
        DocumentError: they take more than 16 MB, or the folder cannot be written.
    """
    rows = [[w.text, *(round(place, _DIGITS) for place in (w.x0, w.y0, w.x1, w.y1))] for w in words]
    content = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    if len(content) > MAX_WORDS_BYTES:
        raise DocumentError(f"its {len(words):,} words take more than {MAX_WORDS_BYTES / 1e6:.0f} MB")
    name = hashlib.sha256(content).hexdigest()
    target = folder / name[:2] / f"{name}{WORDS_SUFFIX}"
    write_once(target, folder, lambda file: file.write(content))
    return target


def load_words(path: Path) -> tuple[WordBox, ...]:
    """The words that `save_words` wrote.

    Raises:
        DocumentError: the file cannot be read, is too large, or holds anything but word boxes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_WORDS_BYTES + 1)
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_WORDS_BYTES:
        raise DocumentError(f"{path}: has more than {MAX_WORDS_BYTES / 1e6:.0f} MB; ingest its document again")
    try:
        rows = json.loads(content)
        if not isinstance(rows, list):
            raise ValueError("no list")
        return tuple(map(_word, rows))
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        raise DocumentError(f"{path}: holds no word boxes ({error}); ingest its document again") from error


def _word(row: Any) -> WordBox:
    match row:
        case [str(text), *places] if text and len(places) == 4 and all(map(_is_share, places)):
            x0, y0, x1, y1 = map(float, places)
            if x0 <= x1 and y0 <= y1:
                return WordBox(text, x0, y0, x1, y1)
    raise ValueError(f"{str(row)[:80]!r} is no word box")


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1
