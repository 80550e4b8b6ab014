"""One line of a training file, checked: JSON to a sample, or an error that names file, line and field."""

import json
import math
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedder.model import MAX_IMAGES
from embedder.prefixes import IMAGE_MARKER, without_prefix
from trainer.errors import DataError

FIELDS = frozenset({"task", "query", "positive", "negatives", "turns", "score", "group", "language"})
SIDE_FIELDS = frozenset({"text", "images"})
TURN_FIELDS = frozenset({"user", "images", "assistant"})


@dataclass(frozen=True)
class Side:
    """One side of a sample: text, up to five image files, or both. `<image>` in the text places an image there."""

    text: str = ""
    images: tuple[Path, ...] = ()


@dataclass(frozen=True)
class TrainSample:
    """One line of a training file.

    Attributes:
        line: its 1-based number in the file.
        score: how well query and positive fit, 0 to 1; 1 where the line has none.
        group: samples of one group are never each other's negatives.
        language: of both sides ("vi"), or of query and positive ("vi-en").
        file: the file it stands in, for messages.
    """

    line: int
    task: str
    query: Side
    positive: Side
    negatives: tuple[Side, ...] = ()
    score: float = 1.0
    group: str | None = None
    language: str | None = None
    file: str = ""

    @property
    def place(self) -> str:
        """ "FILE:LINE", as messages name it."""
        return f"{self.file}:{self.line}" if self.file else f"line {self.line}"


@dataclass(frozen=True)
class LineFormat:
    """What a line may hold.

    Attributes:
        file: name of the file, for messages.
        folder: relative image paths start here.
        known_tasks: names a task may have; None allows any.
        strict: unknown fields are errors (a misspelt "image" would otherwise go unseen).
    """

    file: str
    folder: Path
    known_tasks: Collection[str] | None = None
    strict: bool = False

    def parse(self, raw: bytes, line: int) -> TrainSample:
        """A line as a sample. null means absent, as tables exported to JSON have it.

        Images are looked up, not opened. Their paths are the user's own: absolute ones and ".." are fine.

        Raises:
            DataError: "FILE:LINE: field: reason".
        """
        return _Line(self, line).sample(raw)


class _Line:
    def __init__(self, form: LineFormat, line: int) -> None:
        self.form = form
        self.line = line

    def wrong(self, field: str, reason: str) -> DataError:
        return DataError(f"{self.form.file}:{self.line}: {field + ': ' if field else ''}{reason}")

    def sample(self, raw: bytes) -> TrainSample:
        fields = self.object(self.json(raw), "", FIELDS)
        task = self.task(fields)
        if fields.get("turns") is not None:
            if both := [name for name in ("query", "positive") if fields.get(name) is not None]:
                raise self.wrong(both[0], "stands beside turns; a line has either turns, or query and positive")
            query, positive = self.conversation(fields["turns"])
        else:
            query = self.side(fields.get("query"), "query")
            positive = self.side(fields.get("positive"), "positive")
        self.check_prefix(query.text, task)
        negatives = tuple(
            self.side(entry, f"negatives[{number}]")
            for number, entry in enumerate(self.array(fields.get("negatives"), "negatives"))
        )
        return TrainSample(
            line=self.line,
            task=task,
            query=query,
            positive=positive,
            negatives=negatives,
            score=self.score(fields.get("score")),
            group=self.label(fields.get("group"), "group"),
            language=self.label(fields.get("language"), "language"),
            file=self.form.file,
        )

    def json(self, raw: bytes) -> Any:
        try:
            return json.loads(raw.decode("utf-8").rstrip())
        except UnicodeDecodeError as error:
            raise self.wrong("", f"is not UTF-8 (byte {error.start} of the line)") from error
        except json.JSONDecodeError as error:
            raise self.wrong("", f"is not JSON: {error.msg} (column {error.colno})") from error
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets 100,000 deep
            raise self.wrong("", f"is not JSON that can be read: {error}") from error

    def object(self, value: Any, field: str, known: Collection[str]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            kind = "is missing" if value is None else f"is {_kind(value)}, not an object"
            raise self.wrong(field, kind)
        if self.form.strict and (unknown := [name for name in value if name not in known]):
            name = f"{field}.{unknown[0]}" if field else unknown[0]
            raise self.wrong(name, f"unknown field (known: {', '.join(sorted(known))})")
        return value

    def array(self, value: Any, field: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(field, f"is {_kind(value)}, not a list")
        return value

    def text(self, value: Any, field: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(field, f"is {_kind(value)}, not a string")
        try:
            value.encode()
        except UnicodeEncodeError as error:  # "\\ud83d": half of a character, which no tokenizer takes
            raise self.wrong(field, f"has half a surrogate pair at character {error.start}") from error
        return value

    def label(self, value: Any, field: str) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(value, field) or None

    def task(self, fields: Mapping[str, Any]) -> str:
        task = self.text(fields.get("task"), "task")
        if not task:
            raise self.wrong("task", "is missing")
        known = self.form.known_tasks
        if known is not None and task not in known:
            raise self.wrong("task", f"unknown task {task!r} (known: {', '.join(sorted(known))})")
        return task

    def score(self, value: Any) -> float:
        if value is None:
            return 1.0
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong("score", f"is {_kind(value)}, not a number")
        if not 0 <= value <= 1:  # NaN, which Python's JSON allows, fails too
            raise self.wrong("score", f"{value} is outside 0 to 1" if math.isfinite(value) else "is not finite")
        return float(value)

    def side(self, value: Any, field: str) -> Side:
        entry = self.object(value, field, SIDE_FIELDS)
        text = self.text(entry.get("text"), f"{field}.text")
        images = self.images(entry.get("images"), f"{field}.images", 0)
        if not images and not without_prefix(text).strip():
            raise self.wrong(field, "is empty: it has neither text nor an image")
        self.check_markers(text, len(images), f"{field}.text")
        return Side(text, images)

    def images(self, value: Any, field: str, earlier: int) -> tuple[Path, ...]:
        """The files named by a list, of which the side already has `earlier`."""
        names = self.array(value, field)
        if earlier + len(names) > MAX_IMAGES:
            more = f" with those of the turns before ({earlier})" if earlier else ""
            raise self.wrong(
                field, f"{earlier + len(names)} images{more}, at most {MAX_IMAGES} are allowed on one side"
            )
        return tuple(self.image(name, f"{field}[{number}]") for number, name in enumerate(names))

    def image(self, name: Any, field: str) -> Path:
        if not isinstance(name, str) or not name:
            raise self.wrong(field, "is empty" if name == "" else f"is {_kind(name)}, not a path")
        if "://" in name or name.startswith("data:"):
            raise self.wrong(field, f"{name[:80]} is a URL: nothing is fetched, save the image and name its file")
        path = self.form.folder / name
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - a quarter of Path.stat's time, and there are millions
        except FileNotFoundError as error:
            raise self.wrong(field, f"no such file {name}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise self.wrong(field, f"cannot be read ({reason}): {name[:200]}") from error
        if not stat.S_ISREG(mode):
            raise self.wrong(field, f"{name} is not a file")
        return path

    def check_markers(self, text: str, images: int, field: str) -> None:
        if (markers := text.count(IMAGE_MARKER)) > images:
            raise self.wrong(
                field,
                f"{markers} {IMAGE_MARKER} markers but {images} images "
                "(text that is data, not markup, goes through embedder.prefixes.literal first)",
            )

    def check_prefix(self, text: str, task: str) -> None:
        if text.startswith(f"<{task}>") or without_prefix(text) == text:
            return
        found = text[: text.index(">") + 1]
        raise self.wrong("query.text", f"starts with {found}, but the task is {task}")

    def conversation(self, value: Any) -> tuple[Side, Side]:
        """Turns as query (all up to the last user turn, a line each) and positive (the last answer)."""
        turns = [
            self.object(entry, f"turns[{number}]", TURN_FIELDS)
            for number, entry in enumerate(self.array(value, "turns"))
        ]
        if not turns:
            raise self.wrong("turns", "is empty")
        said: list[tuple[str, int]] = []  # text, and how many images go with it
        images: tuple[Path, ...] = ()
        for number, turn in enumerate(turns):
            field = f"turns[{number}]"
            found = self.images(turn.get("images"), f"{field}.images", len(images))
            user = self.text(turn.get("user"), f"{field}.user")
            if not found and not without_prefix(user).strip():
                raise self.wrong(f"{field}.user", "is empty, and the turn has no image")
            self.check_markers(user, len(found), f"{field}.user")
            answer = self.text(turn.get("assistant"), f"{field}.assistant")
            if not without_prefix(answer).strip():
                raise self.wrong(f"{field}.assistant", "is empty")
            self.check_markers(answer, 0, f"{field}.assistant")
            images += found
            said += [(user, len(found)), (answer, 0)]
        return Side(_joined(said[:-1]), images), Side(said[-1][0])


def _joined(said: list[tuple[str, int]]) -> str:
    """Texts as one, a line each, so that every image stays with its own text.

    Images without a marker come first of all in a model's input. That is where those of the first turn belong; once
    another turn has images or a text has a marker, each image needs one.
    """
    plain = all(images == 0 for _, images in said[1:]) and not any(IMAGE_MARKER in text for text, _ in said)
    if plain:
        return "\n".join(text for text, _ in said)
    return "\n".join(IMAGE_MARKER * (images - text.count(IMAGE_MARKER)) + text for text, images in said)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
