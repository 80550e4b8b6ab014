"""Word boxes as files: a JSON beside the page pictures, named by what it says, kept out of the store's payload."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from connectors.errors import DocumentError
from connectors.loaders.base import write_once
from connectors.page import WordBox

WORDS_SUFFIX = ".words.json"
# A page crammed with text has some 5,000 words, 300 KB. What is over the limit is no page anyone reads.
_MOST = 16_000_000
# Five digits are a hundredth of a pixel on an A4 page at 150 dpi, and half the size of a float written out.
_DIGITS = 5
_NUMBERS = frozenset({int, float})


def save_words(words: Sequence[WordBox], folder: Path) -> Path:
    """Write `words` into `folder` under the hash of what is written, unless it is there; return where it is.

    The file is a JSON list of [text, x0, y0, x1, y1], the numbers rounded to 5 digits. What is no box on the page is
    left out, and so are the last words of a page that has more than fit into 16 MB.

    Raises:
        DocumentError: the folder cannot be written.
    """
    places = ((word.text, word.x0, word.y0, word.x1, word.y1) for word in words)
    rows = [[text, *(round(share, _DIGITS) for share in box)] for text, *box in places if text and _is_box(box)]
    while len(content := json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")) > _MOST:
        rows = rows[: len(rows) // 2]
    name = hashlib.sha256(content).hexdigest()
    target = folder / name[:2] / f"{name}{WORDS_SUFFIX}"
    write_once(target, folder, lambda file: file.write(content))
    return target


def load_words(path: Path) -> tuple[WordBox, ...]:
    """The words that `save_words` wrote.

    Raises:
        DocumentError: the file cannot be read, is too large, or holds anything but word boxes.
    """
    stored = StoredWords.read(path)
    return tuple(map(stored.box, range(len(stored.texts))))


@dataclass(frozen=True)
class StoredWords:
    """The words of a file whose boxes are made as they are asked for: few of them ever are.

    Attributes:
        texts: all words, in reading order.
    """

    path: Path
    texts: list[str]
    _rows: list[Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `save_words` wrote. Raises as `load_words`."""
        try:
            with path.open("rb") as file:
                content = file.read(_MOST + 1)
        except OSError as error:
            raise DocumentError(f"{path}: cannot be read: {error.strerror}") from error
        if len(content) > _MOST:
            raise DocumentError(f"{path}: has more than {_MOST / 1e6:.0f} MB; ingest its document again")
        try:
            rows = json.loads(content)
            if not isinstance(rows, list):
                raise ValueError("no list")
            return cls(path, list(map(_checked, rows)), rows)
        except (ValueError, RecursionError) as error:  # also what is no UTF-8
            raise DocumentError(f"{path}: holds no word boxes ({error}); ingest its document again") from error

    def box(self, number: int) -> WordBox:
        """The box of a word, by its place in `texts`."""
        text, *box = self._rows[number]
        return WordBox(text, *map(float, box))


def _checked(row: Any) -> str:
    """The text of a stored word that has a box."""
    if isinstance(row, list) and row and isinstance(row[0], str) and row[0] and _is_box(row[1:]):
        return row[0]
    raise ValueError(f"{str(row)[:80]!r} is no word box")


def _is_box(box: list[Any]) -> bool:
    # The first is quick, and enough for what JSON gives; loaders may have numbers of numpy's.
    numbers = _NUMBERS.issuperset(map(type, box)) or all(
        isinstance(share, int | float) and not isinstance(share, bool) for share in box
    )
    return len(box) == 4 and numbers and 0 <= box[0] <= box[2] <= 1 and 0 <= box[1] <= box[3] <= 1  # also no to nan
