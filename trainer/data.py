"""Training files: JSONL of any size as a dataset of samples, read line by line where they are needed."""

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from trainer.errors import DataError
from trainer.line_index import LineIndex, blank_lines, line_starts, whole_lines
from trainer.sample_format import LineFormat, Side, TrainSample

__all__ = ["JsonlSamples", "Side", "TrainSample"]

_TASK = re.compile(rb'"task"[ \t]*:[ \t]*"([^"\\\n]*)"')
_MOST_TASKS = 255


class JsonlSamples(Dataset[TrainSample]):
    """A training file as a map-style dataset: `len(samples)`, `samples[i]` is a `TrainSample`.

    Opening finds the lines and parses none; eight bytes a line are kept. Blank lines do not count. A copy in another
    process (forked or spawned) opens the file itself.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name) / "train.jsonl"
        >>> _ = file.write_text('{"task": "ocr", "query": {"text": "sum?"}, "positive": {"text": "12,000 đ"}}')
        >>> JsonlSamples(file)[0].positive.text
        '12,000 đ'
        >>> folder.cleanup()

    Args:
        path: the file.
        known_tasks: names a task may have; None allows any.

    Raises:
        DataError: the file cannot be read or has no samples; from `[i]`: the line is not a sample ("FILE:LINE: field:
            reason"), or the file has changed since it was opened.
    """

    def __init__(self, path: str | Path, known_tasks: Collection[str] | None = None) -> None:
        self.path = Path(path)
        self._lines = LineIndex(self.path)
        self._form = LineFormat(str(path), self.path.absolute().parent, known_tasks)
        self._tasks: tuple[npt.NDArray[np.uint8], tuple[str, ...]] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_tasks": None}

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> TrainSample:
        row = range(len(self))[index]  # negative ones count from the end, and too large ones are an IndexError
        return self._form.parse(self._lines.read([row])[0], self._lines.number(row))

    def __getitems__(self, indices: Sequence[int]) -> list[TrainSample | DataError]:
        """What `DataLoader` calls: many samples with one opening of the file; a line that is no sample gives its error.

        Raises:
            DataError: the file has changed: that is no matter of one line.
        """
        entries: list[TrainSample | DataError] = []
        for row, raw in zip(indices, self._lines.read(indices), strict=True):
            try:
                entries.append(self._form.parse(raw, self._lines.number(row)))
            except DataError as error:
                entries.append(error)
        return entries

    def tasks(self) -> npt.NDArray[np.uint8]:
        """The task of every sample as an index into `task_names`. uint8 [samples]; found by one scan, then kept."""
        return self._scanned_tasks()[0]

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks in the file, sorted. Lines in which no task can be found have the name ""."""
        return self._scanned_tasks()[1]

    def _scanned_tasks(self) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
        if self._tasks is None:
            seen: dict[bytes, int] = {}
            with self._lines.open() as file:
                codes = np.concatenate([_codes(block, seen, self.path) for _, block in whole_lines(file, "find tasks")])
            names = [name.decode("utf-8", "replace") for name in seen]
            ordered = tuple(sorted(set(names)))
            places = np.array([ordered.index(name) for name in names], dtype=np.uint8)
            self._tasks = places[codes], ordered
        return self._tasks


def _codes(block: bytes, seen: dict[bytes, int], path: Path) -> npt.NDArray[np.uint8]:
    """Numbers in `seen`, which grows, of the tasks of a block's lines. uint8 [lines that are not blank]."""
    starts = line_starts(block)
    starts = starts[~blank_lines(block, starts)]
    found = list(_TASK.finditer(block))
    places = np.fromiter((match.start() for match in found), dtype=np.int64, count=len(found))
    rows = np.searchsorted(starts, places, side="right") - 1
    single = np.bincount(rows, minlength=len(starts)) == 1
    names = [match[1] for match, alone in zip(found, single[rows].tolist(), strict=True) if alone]
    numbers = {name: _code(name, seen, path) for name in sorted(set(names))}
    codes = np.zeros(len(starts), dtype=np.uint8)
    codes[single] = [numbers[name] for name in names]
    # None (a broken line, an escaped name), or several: a field of that name inside another one. These are parsed.
    ends = np.append(starts[1:], len(block))
    for row in np.flatnonzero(~single):
        codes[row] = _code(_parsed_task(block[starts[row] : ends[row]]), seen, path)
    return codes


def _code(name: bytes, seen: dict[bytes, int], path: Path) -> int:
    code = seen.setdefault(name, len(seen))
    if code >= _MOST_TASKS:
        raise DataError(f"{path}: more than {_MOST_TASKS} different tasks: is `task` the name of a task?")
    return code


def _parsed_task(raw: bytes) -> bytes:
    try:
        task = json.loads(raw).get("task")
    except (ValueError, RecursionError, AttributeError):
        return b""
    return task.encode("utf-8", "replace") if isinstance(task, str) else b""
