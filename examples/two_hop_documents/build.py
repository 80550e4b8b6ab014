"""Documents for `examples/two_hop.py`: pairs of pages in three languages that only a name, a code or a date links.

Each group has two files, as an office keeps them: what happened (incidents, contracts, invoices, visits, logbooks), and
what was done about it (repairs, annexes, deliveries, findings, duties). A question about the first is answered by the
second, which shares no word with it. It is not made easy: all pages of a file are alike and have the company's name,
pages mention one another's codes, a register lists them all with the subjects that questions name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import pymupdf

from examples.two_hop_documents.chinese import CHINESE
from examples.two_hop_documents.english import ENGLISH
from examples.two_hop_documents.group import Group
from examples.two_hop_documents.vietnamese import VIETNAMESE

GROUPS: tuple[Group, ...] = (*VIETNAMESE, *ENGLISH, *CHINESE)

Split = Literal["dev", "test"]

_WIDTH, _HEIGHT, _MARGIN = 330, 210, 14


@dataclass(frozen=True)
class Place:
    """A page of a file, by the file's name and the page's number."""

    name: str
    page: int


@dataclass(frozen=True)
class Case:
    """A question, and where its answer stands.

    Attributes:
        kind: "two-hop": the answer's page shares no word with the question; "one-hop": it is asked for by its words.
        group: the group that it belongs to.
        asked: the page that the question describes.
        answer: the page that answers it; of one-hop questions the same page.
    """

    kind: Literal["two-hop", "one-hop"]
    group: Group
    question: str
    asked: Place
    answer: Place

    @property
    def split(self) -> Split:
        """Weights are chosen by the "dev" questions and reported for the "test" ones, which have other templates."""
        return self.group.split


@dataclass(frozen=True)
class _Sheet:
    """A page to be written: a title and lines."""

    title: str
    lines: tuple[str, ...]

    @property
    def html(self) -> str:
        said = "".join(f"<p style='margin:2px 0'>{escape(line)}</p>" for line in self.lines)
        return f"<h4 style='margin:0 0 4px 0'>{escape(self.title)}</h4>{said}"


def cases() -> list[Case]:
    """All questions."""
    return [case for group in GROUPS for case in _cases(group)]


def write_documents(folder: Path) -> int:
    """Writes all files as PDFs; returns how many pages they have."""
    folder.mkdir(parents=True, exist_ok=True)
    return sum(_write(folder / name, group.company, sheets) for group in GROUPS for name, sheets in _files(group))


def _cases(group: Group) -> Iterator[Case]:
    for number, row in enumerate(group.rows, start=1):
        asked, answer = (
            Place(f"{group.key}-{group.first}.pdf", number),
            Place(group.second_name, _shuffled(group, number)),
        )
        if row.asked:
            yield Case("two-hop", group, group.question.format_map(row.slots), asked, answer)
        if number == 1:
            yield Case("one-hop", group, group.direct.format_map(row.slots), asked, asked)
        if number == 2:
            yield Case("one-hop", group, group.direct_second.format_map(row.slots), answer, answer)


def _shuffled(group: Group, number: int) -> int:
    """The second file is in another order than the first: page numbers link nothing."""
    return (number * 3 + len(group.key)) % len(group.rows) + 1


def _files(group: Group) -> Iterator[tuple[str, list[_Sheet]]]:
    first, second = [], {}
    for number, row in enumerate(group.rows, start=1):
        other = group.rows[number % len(group.rows)]
        slots = {**row.slots, "other": other.slots["link"]}
        first.append(_Sheet(group.first_title, tuple(line.format_map(slots) for line in group.first_lines)))
        lines = tuple(line.format_map(slots) for line in group.second_lines)
        second[_shuffled(group, number)] = _Sheet(group.second_title, lines)
    listed = tuple(group.register_line.format_map(row.slots) for row in group.rows)
    first.append(_Sheet(group.register_title, listed))
    yield f"{group.key}-{group.first}.pdf", first
    yield group.second_name, [second[number] for number in sorted(second)]


def _write(path: Path, company: str, sheets: list[_Sheet]) -> int:
    document = pymupdf.open()
    for sheet in sheets:
        page = document.new_page(width=_WIDTH, height=_HEIGHT)
        head = f"<p style='font-size:8px;margin:0'>{escape(company)}</p>"
        room = pymupdf.Rect(_MARGIN, _MARGIN, _WIDTH - _MARGIN, _HEIGHT - _MARGIN)
        page.insert_htmlbox(room, f"<div style='font-size:11px'>{head}{sheet.html}</div>")
    document.subset_fonts()
    document.ez_save(path)
    document.close()
    return len(sheets)
