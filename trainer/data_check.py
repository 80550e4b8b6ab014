"""Checks a whole training file before a run: every problem with its line, and what the file holds."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from PIL import Image
from tqdm import tqdm

from embedder.pixels import MAX_ASPECT_RATIO
from trainer.errors import DataError
from trainer.line_index import blank_lines, line_starts, whole_lines
from trainer.sample_format import LineFormat, Side, TrainSample


@dataclass(frozen=True)
class CheckReport:
    """What a training file holds, and what is wrong with it.

    Attributes:
        samples: lines that are good samples.
        problems: the first messages, "FILE:LINE: field: reason"; one a line at most.
        problem_count: how many there are in all.
        tasks, languages: samples by task, and by language (those without one are not counted).
        images: for "query", "positive" and "negatives": how many sides have 0, 1, ... images.
    """

    path: Path
    samples: int
    problems: tuple[str, ...]
    problem_count: int
    tasks: dict[str, int]
    languages: dict[str, int]
    images: dict[str, dict[int, int]]

    @property
    def ok(self) -> bool:
        """Whether a run could use every line."""
        return not self.problem_count and self.samples > 0

    def __str__(self) -> str:
        lines = list(self.problems)
        if self.problem_count > len(self.problems):
            lines.append(f"... and {self.problem_count - len(self.problems):,} more lines with a problem")
        lines.append(f"{self.path}: {self.samples:,} good samples, {self.problem_count:,} lines with a problem")
        counts = {"tasks": self.tasks, "languages": self.languages}
        lines += [f"  {name}: {_listed(found)}" for name, found in counts.items() if found]
        for side, found in self.images.items():
            if found and set(found) != {0}:
                named = {f"{number} on a side": count for number, count in found.items()}
                lines.append(f"  images in {side}: {_listed(named)}")
        return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def check_file(
    path: str | Path,
    *,
    known_tasks: Collection[str] | None = None,
    limit: int = 20,
    open_images: bool = False,
    show_progress: bool = True,
) -> CheckReport:
    """Read every line of a training file as a run would, and more strictly: unknown fields are problems too.

    Args:
        known_tasks: names a task may have; None allows any.
        limit: most messages kept; all problems are counted.
        open_images: also open each image as far as its header (size, kind); pixels are not decoded.

    Raises:
        DataError: the file cannot be read.
    """
    file = Path(path)
    form = LineFormat(str(path), file.absolute().parent, known_tasks, strict=True)
    problems: list[str] = []
    wrong = 0
    tasks: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    images: dict[str, Counter[int]] = {"query": Counter(), "positive": Counter(), "negatives": Counter()}
    for entry in _entries(file, form, show_progress, open_images):
        if isinstance(entry, DataError):
            wrong += 1
            if len(problems) < limit:
                problems.append(str(entry))
            continue
        tasks[entry.task] += 1
        if entry.language:
            languages[entry.language] += 1
        for field, side in _sides(entry):
            images[field.partition("[")[0]][len(side.images)] += 1
    if not tasks and not wrong:
        wrong, problems = 1, [f"{path}: has no samples (no line that is not blank)"]
    return CheckReport(
        path=file,
        samples=tasks.total(),
        problems=tuple(problems),
        problem_count=wrong,
        tasks=dict(sorted(tasks.items())),
        languages=dict(sorted(languages.items())),
        images={side: dict(sorted(counts.items())) for side, counts in images.items()},
    )


def _entries(path: Path, form: LineFormat, show_progress: bool, open_images: bool) -> Iterator[TrainSample | DataError]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    header_problem = lru_cache(maxsize=1 << 16)(_header_problem)  # pages recur
    bar = tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc="check", delay=1, disable=not show_progress)
    with file, bar:
        lines = _numbered(file)
        while True:
            try:
                line, raw = next(lines)
            except StopIteration:
                return
            except DataError as error:  # a line without end: what follows it cannot be told apart
                yield error
                return
            yield _entry(form, line, raw, header_problem if open_images else None)
            bar.update(len(raw))


def _entry(
    form: LineFormat, line: int, raw: bytes, header_problem: Callable[[Path], str | None] | None
) -> TrainSample | DataError:
    try:
        sample = form.parse(raw, line)
    except DataError as error:
        return error
    for field, side in _sides(sample) if header_problem else ():
        for number, path in enumerate(side.images):
            if header_problem and (reason := header_problem(path)):
                return DataError(f"{sample.place}: {field}.images[{number}]: {path} {reason}")
    return sample


def _numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(1-based number, bytes) of the lines that are not blank."""
    first = 1
    for _, block in whole_lines(file):
        starts = line_starts(block)
        blank = blank_lines(block, starts)
        ends = [*starts[1:].tolist(), len(block)]
        for number, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
            if not blank[number]:
                yield first + number, block[start:end]
        first += len(starts)


def _sides(sample: TrainSample) -> Iterator[tuple[str, Side]]:
    yield "query", sample.query
    yield "positive", sample.positive
    for number, side in enumerate(sample.negatives):
        yield f"negatives[{number}]", side


def _header_problem(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, DecompressionBombError ...
        return f"cannot be opened as an image: {error}"
    if min(width, height) < 1:
        return f"is empty ({width}x{height} pixels)"
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        return f"is {width}x{height} pixels: one side may be at most {MAX_ASPECT_RATIO} times the other"
    return None
