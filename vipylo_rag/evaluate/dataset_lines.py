"""Lines of a data set's corpus and queries: JSON objects with texts and pictures. Errors name file, line and field."""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, Final, Literal, TypeAlias

from embedder.errors import InputError
from vipylo_rag.evaluate.dataset_files import text_lines

Modality: TypeAlias = Literal["text", "image", "mixed"]

_MOST_ID_CHARACTERS: Final = 1000
_OWN_FIELDS: Final = frozenset({"_id", "title", "text", "image", "images", "language"})


@dataclass(frozen=True)
class Item:
    """One line of corpus.jsonl or queries.jsonl, or of these gzipped.

    Attributes:
        text: title and text, "" where there is none.
        images: files inside the data set's folder.
        language: as the line says, or None.
        metadata: what else the line says.
        place: "corpus.jsonl:12", for people.
    """

    id: str
    text: str
    images: tuple[Path, ...] = ()
    language: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it to be embedded."""
        return not self.text and not self.images

    @property
    def modality(self) -> Modality:
        """What it is made of."""
        if not self.images:
            return "text"
        return "mixed" if self.text else "image"


def read_items(file: Path, *, empty: bool = False) -> Iterator[Item]:
    """The items of a JSONL file, plain or gzipped, in order; blank lines are skipped. Pictures are not opened.

    Args:
        empty: items without text and picture are given, too; otherwise they are an error.

    Raises:
        InputError: no such file, or a line that is no item, or whose id was there before.
    """
    seen: dict[str, int] = {}
    folder = file.parent.resolve()
    for number, line in text_lines(file, folder):
        place = f"{file}:{number}"
        try:
            said = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: is no JSON: {error}") from error
        if not isinstance(said, dict):
            raise InputError(f'{place}: is no JSON object such as {{"_id": "1", "text": "…"}}')
        item = _item(said, folder, place)
        if item.empty and not empty:
            raise InputError(f'{place}: {item.id!r} is empty: it has neither "text" nor "image"')
        if item.id in seen:
            raise InputError(f'{place}: the "_id" {item.id!r} is that of line {seen[item.id]} too')
        seen[item.id] = number
        yield item


def _item(said: dict[str, Any], folder: Path, place: str) -> Item:
    id_ = _id(said, place)
    title, text = (_text(said, name, place) for name in ("title", "text"))
    language = _text(said, "language", place) or None
    images = tuple(_image(value, name, folder, place) for name, value in _image_values(said, place))
    whole = "\n".join(part for part in (title, text) if part)
    rest = {name: value for name, value in said.items() if name not in _OWN_FIELDS}
    return Item(id_, whole, images, language, rest, place)


def _id(said: Mapping[str, Any], place: str) -> str:
    if "_id" not in said:
        raise InputError(f'{place}: the field "_id" is missing')
    value = said["_id"]
    id_ = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(id_, str) or not id_.strip():
        raise InputError(f'{place}: "_id" is {short(value)}, no text')
    # A tab or a line's end could stand in no qrels file; half a character in no file at all.
    if len(id_) > _MOST_ID_CHARACTERS or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in id_):
        raise InputError(f'{place}: "_id" {short(id_)} is too long, or has characters that are none')
    return id_


def _text(said: Mapping[str, Any], name: str, place: str) -> str:
    value = said.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f'{place}: "{name}" is {short(value)}, no text')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f'{place}: "{name}" holds half a character (a lone surrogate)') from error
    return value.strip()


def _image_values(said: Mapping[str, Any], place: str) -> list[tuple[str, Any]]:
    one, several = said.get("image"), said.get("images")
    if one is not None and several is not None:
        raise InputError(f'{place}: has both "image" and "images"; keep one')
    if several is None:
        return [] if one is None else [("image", one)]
    if not isinstance(several, list):
        raise InputError(f'{place}: "images" is {short(several)}, no list of paths')
    return [(f"images[{number}]", value) for number, value in enumerate(several)]


def _image(value: Any, name: str, folder: Path, place: str) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f'{place}: "{name}" is {short(value)}, no path')
    # As Windows reads it, which knows both slashes: a data set must mean the same files everywhere.
    parts = PureWindowsPath(value)
    if parts.drive or parts.root or ".." in parts.parts:
        raise InputError(f'{place}: "{name}" {short(value)} is no path inside the data set\'s folder')
    path = folder / value
    try:
        inside, there = path.resolve().is_relative_to(folder), path.is_file()
    except (OSError, ValueError):  # too long, or no name a file can have
        inside, there = True, False
    if not inside:
        raise InputError(f'{place}: "{name}" {short(value)} is a link that leads out of the data set\'s folder')
    if not there:
        raise InputError(f'{place}: "{name}": there is no file {short(value)} in {folder}')
    return path


def short(value: Any) -> str:
    """A value as errors show it."""
    said = repr(value)  # of a text: quoted, and with nothing in it that steers a terminal
    return said if len(said) <= 120 else said[:119] + "…"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
