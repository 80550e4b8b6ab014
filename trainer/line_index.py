"""Where the lines of a file of millions of lines are: found once in blocks, then any line is one read away."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from trainer.errors import DataError

BLOCK = 1 << 24
# No sample is this long: a file with such a line is no JSONL (a JSON array, a binary), and would be read whole.
LONGEST_LINE = 1 << 26

_BOM = b"\xef\xbb\xbf"
_BLANK_STARTS = np.zeros(256, dtype=bool)
_BLANK_STARTS[list(b" \t\r\n\v\f")] = True


def whole_lines(file: IO[bytes], label: str | None = None) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines: (offset in the file, bytes that end in a newline, or at the end of the file).

    A byte order mark at the start is left out. With a label there is a progress bar, once it takes over a second.

    Raises:
        DataError: a line is longer than `LONGEST_LINE`.
    """
    start = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    file.seek(start)
    rest = b""
    size = os.fstat(file.fileno()).st_size
    with tqdm(total=size, unit="B", unit_scale=True, desc=label, delay=1, disable=label is None, leave=False) as bar:
        while block := file.read(BLOCK):
            end = block.rfind(b"\n") + 1
            if end:
                lines = rest + block[:end]
                yield start, lines
                start, rest = start + len(lines), block[end:]
            else:
                rest += block
            if len(rest) > LONGEST_LINE:
                raise DataError(
                    f"{file.name}: the line at byte {start} is longer than {LONGEST_LINE >> 20} MB: "
                    "JSONL has one sample on each line"
                )
            bar.update(len(block))
    if rest:
        yield start, rest


def line_starts(block: bytes) -> npt.NDArray[np.int64]:
    """Where each line of a block of whole lines starts. int64 [lines], blank lines included."""
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
    starts = np.concatenate([[0], ends + 1])
    return starts[:-1] if starts[-1] == len(block) else starts


def blank_lines(block: bytes, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of these lines hold nothing but white space. bool [lines]."""
    blank = _BLANK_STARTS[np.frombuffer(block, dtype=np.uint8)[starts]]
    ends = np.append(starts[1:], len(block))
    for row in np.flatnonzero(blank):  # an indented line also starts with a blank
        blank[row] = block[starts[row] : ends[row]].isspace()
    return blank


class LineIndex:
    """The lines of a file that are not blank, by number.

    Holds eight bytes a line and no file handle: the file is opened for each read, so that forked and spawned
    processes share nothing, and a file that was cut short is an error instead of a bus error. A pickled index
    carries no offsets; they are found again at the first use.

    Raises:
        DataError: the file cannot be read, has no line, or is not the file any more that was indexed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, int] | None = None
        self._offsets: npt.NDArray[np.uint64] | None = None
        self._lines_before_blanks: npt.NDArray[np.int64] | None = None
        self._scan()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_offsets": None, "_lines_before_blanks": None}

    def __len__(self) -> int:
        return len(self._found()[0]) - 1

    def number(self, row: int) -> int:
        """The 1-based line number, as an editor counts, of the `row`-th line that is not blank."""
        blanks = self._found()[1]
        return row + 1 + int(np.searchsorted(blanks, row, side="right"))

    def read(self, rows: Iterable[int]) -> list[bytes]:
        """The bytes of these lines; white space at their ends may be more or less than in the file."""
        offsets, _ = self._found()
        spans = [(int(offsets[row]), int(offsets[row + 1])) for row in rows]
        with self.open() as file:
            lines = []
            for start, end in spans:
                file.seek(start)
                lines.append(file.read(end - start))
        return lines

    def open(self) -> IO[bytes]:
        """The file, after a check that it is still the one that was indexed."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error
        try:
            self._compare(file)
        except DataError:
            file.close()
            raise
        return file

    def _compare(self, file: IO[bytes]) -> None:
        status = os.fstat(file.fileno())
        state = status.st_size, status.st_mtime_ns
        if self._state is not None and state != self._state:
            raise DataError(
                f"{self.path}: changed while it was in use ({self._state[0]} bytes before, {state[0]} now): "
                "start again, or train on a copy"
            )
        self._state = state

    def _found(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        if self._offsets is None or self._lines_before_blanks is None:
            self._scan()
        assert self._offsets is not None and self._lines_before_blanks is not None
        return self._offsets, self._lines_before_blanks

    def _scan(self) -> None:
        offsets: list[npt.NDArray[np.uint64]] = []
        blanks: list[npt.NDArray[np.int64]] = []
        count = 0
        with self.open() as file:
            for start, block in whole_lines(file, "find lines"):
                starts = line_starts(block)
                blank = blank_lines(block, starts)
                if blank.any():
                    blanks.append(count + np.cumsum(~blank)[blank])
                    starts = starts[~blank]
                offsets.append((starts + start).astype(np.uint64))
                count += len(starts)
            end = file.tell()
            self._compare(file)  # nor may it grow while it is being read
        if not count:
            raise DataError(f"{self.path}: has no samples (no line that is not blank)")
        self._offsets = np.concatenate([*offsets, np.array([end], dtype=np.uint64)])
        self._lines_before_blanks = np.concatenate([np.empty(0, dtype=np.int64), *blanks])
