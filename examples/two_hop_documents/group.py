"""What a group of pages is made of: rows of words, and the sentences they are put into."""

from dataclasses import dataclass
from typing import Literal

Language = Literal["vi", "en", "zh"]


@dataclass(frozen=True)
class Row:
    """One matter: the words of both of its pages. `link` is all that they have in common; `asked` tells whether a
    question is asked about it, or it only is there."""

    link: str
    subject: str
    event: str
    answer: str
    more: str
    asked: bool = True
    link_again: str = ""  # as the second page writes it, where that differs

    @property
    def slots(self) -> dict[str, str]:
        """What the sentences' braces stand for."""
        return {
            "link": self.link,
            "link_again": self.link_again or self.link,
            "subject": self.subject,
            "event": self.event,
            "answer": self.answer,
            "more": self.more,
        }


@dataclass(frozen=True)
class Group:
    """A kind of documents in one language: the sentences of both files, the questions, and the rows."""

    key: str
    split: Literal["dev", "test"]
    language: Language
    linked_by: Literal["code", "name", "date"]
    company: str
    first: str
    first_title: str
    first_lines: tuple[str, ...]
    second: str
    second_title: str
    second_lines: tuple[str, ...]
    register_title: str
    register_line: str
    question: str
    direct: str
    direct_second: str
    rows: tuple[Row, ...]

    @property
    def second_name(self) -> str:
        """The second file's name."""
        return f"{self.key}-{self.second}.pdf"
