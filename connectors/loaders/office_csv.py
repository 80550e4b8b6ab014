"""Tables in text files (csv, tsv): separator and encoding found, the head kept for each page."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from connectors.loaders.base import one_line
from connectors.loaders.blocks import Block, Section
from connectors.loaders.encoding import decoded

# More is a database, not a document: each page of it would be as good an answer as the next.
MOST_ROWS = 100_000
_MOST_BYTES = 50_000_000
# A cell is seldom larger than a page; a quote that is never closed makes the rest of the file one cell.
_MOST_CELL = 131_072
_ROWS = 50
_SEPARATORS = ("\t", ";", ",", "|")
_SAMPLE_ROWS = 100
_STATED = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_NUMBER = re.compile(r"[^\w]*\d[\d\s.,:/%-]*\D{0,3}")


def csv_sections(path: Path) -> Iterator[Section]:
    """The table as one section.

    Raises:
        ValueError: it is no text, has a broken quote, or is over the limits (50 MB, 100,000 rows).
    """
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(f"it has {size / 1e6:,.0f} MB, over the limit of {_MOST_BYTES / 1e6:,.0f} MB; split it")
    text = decoded(path.read_bytes())[0]
    stated = _STATED.match(text)  # a line that Excel writes and obeys
    text = text[stated.end() :] if stated else text
    separator = stated[1] if stated else _separator(text, path.suffix.lower())
    rows = sum(map(any, _rows(text, separator)))
    if rows > MOST_ROWS:
        raise ValueError(f"it has {rows:,} rows, over the limit of {MOST_ROWS:,}; split it")
    if rows == 0:
        raise ValueError("it has no cells")
    yield Section(_blocks(filter(any, _rows(text, separator))))


def _blocks(rows: Iterator[tuple[str, ...]]) -> Iterator[Block]:
    first = next(rows)
    head = first if _is_head(first) else ()
    block = list(islice(rows, _ROWS)) if head else [first, *islice(rows, _ROWS - 1)]
    if not block:
        yield Block("table", rows=(head,))
    while block:
        yield Block("table", rows=tuple(block), head=head)
        block = list(islice(rows, _ROWS))


def _is_head(row: tuple[str, ...]) -> bool:
    """Whether a first row names columns: at least two, and no number, date or amount among them."""
    return len(row) > 1 and sum(map(bool, row)) > 1 and not any(map(_NUMBER.fullmatch, row))


def _rows(text: str, separator: str) -> Iterator[tuple[str, ...]]:
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if max(map(len, row), default=0) > _MOST_CELL:
                raise ValueError(f"it has a cell of over {_MOST_CELL:,} letters; is a quote not closed?")
            yield tuple(cell.strip() for cell in row)
    except csv.Error as error:
        raise ValueError(f"it is no table: {one_line(error)}; is a quote not closed?") from error


def _separator(text: str, suffix: str) -> str:
    """The separator by which most of the first rows have equally many cells; of equals the one that gives more."""
    best, best_score = "\t" if suffix == ".tsv" else ",", (0.0, 0)
    for separator in _SEPARATORS:
        try:
            counts = Counter(len(row) for row in islice(filter(any, _rows(text, separator)), _SAMPLE_ROWS))
        except ValueError:
            continue
        columns, often = max(counts.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        score = (round(often / max(1, counts.total()), 1), columns)
        if columns > 1 and score > best_score:
            best, best_score = separator, score
    return best
