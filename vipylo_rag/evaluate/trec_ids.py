"""Ids in the columns of TREC files, which blanks part: an id's own blanks are written as %20, and read back."""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from embedder.errors import InputError

_ESCAPED: Final = re.compile(r"[\s%]")
# As C's isspace sees them: other blanks of Unicode are part of an id that somebody else wrote.
_COLUMN: Final = re.compile(r"[^ \t\r\n\f\v]+")


def escaped(id_: str) -> str:
    """An id without blanks: they and "%" are written as %XX."""
    return _ESCAPED.sub(lambda match: quote(match[0]), id_)


def unescaped(written: str) -> str:
    """What `escaped` made it from; as it is, where it was made by nothing of the kind."""
    try:
        return unquote(written, errors="strict") if "%" in written else written
    except UnicodeDecodeError:
        return written


def columns(line: str) -> list[str]:
    """The columns of a line, parted by blanks or tabs."""
    return _COLUMN.findall(line)


def meant(written: str, known: Callable[[str], bool], place: str) -> str | None:
    """The known id that a column names: as it is written (others' ids may hold a "%"), or unescaped; None: none is.

    Raises:
        InputError: both are known ids.
    """
    plain = unescaped(written)
    if plain == written or not known(plain):
        return written if known(written) else None
    if known(written):
        raise InputError(
            f"{place}: {written!r} is an id, and how {plain!r} is written here, too: rename one, or write tabs and "
            "three columns as BEIR does"
        )
    return plain
