"""Asks the forms and measures: which form comes, and whether the cited words hold the field's value."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from statistics import median

from connectors.page import WordBox
from vipylo_rag import Answer, MultimodalIndex

from .questions import FieldQuestion

TOP = 5


@dataclass(frozen=True)
class Asked:
    """A question with its answer.

    Attributes:
        rank: of the right form among the pages that answer, from 1; None: not among them.
        in_first: the value stands in the first passage that was quoted.
        in_quote: it stands in the quote of the citation of the right form.
        in_boxes: the boxes drawn for that citation hold the value's words.
        quoted_share: how much of the form's text that quote is.
    """

    question: FieldQuestion
    answer: Answer
    rank: int | None
    in_first: bool
    in_quote: bool
    in_boxes: bool
    quoted_share: float

    @property
    def boxes(self) -> tuple[WordBox, ...]:
        """What is marked on the right form."""
        cited = [one for one in self.answer.citations if one.number == self.rank]
        return cited[0].boxes if cited else ()


@dataclass(frozen=True)
class Score:
    """How many of `questions` hold; ranks are 1 and 1 to 3."""

    questions: int
    first: int
    in_three: int
    in_first: int
    in_quote: int
    in_boxes: int
    quoted_share: float

    @classmethod
    def of(cls, asked: Sequence[Asked]) -> "Score":
        """The sums over some questions."""
        return cls(
            questions=len(asked),
            first=sum(one.rank == 1 for one in asked),
            in_three=sum((one.rank or 99) <= 3 for one in asked),
            in_first=sum(one.in_first for one in asked),
            in_quote=sum(one.in_quote for one in asked),
            in_boxes=sum(one.in_boxes for one in asked),
            quoted_share=median(shares) if (shares := [one.quoted_share for one in asked if one.quoted_share]) else 0.0,
        )


def ask(index: MultimodalIndex, questions: Sequence[FieldQuestion], tenant: str) -> list[Asked]:
    """Ask a tenant's forms without a language model: the answer quotes the passages that fit best."""
    return [_asked(question, index.ask(question.text, top_k=TOP, tenant=tenant)) for question in questions]


def _asked(question: FieldQuestion, answer: Answer) -> Asked:
    stems = [PurePath(hit.name).stem for hit in answer.pages]
    rank = stems.index(question.form) + 1 if question.form in stems else None
    cited = next((one for one in answer.citations if one.number == rank), None)
    # The answer without a model is a line that says so, then the passages, best first, with their numbers.
    passages = answer.text.split("\n\n")[1:] if answer.found else []
    first = passages[0] if passages else ""
    return Asked(
        question=question,
        answer=answer,
        rank=rank,
        in_first=first.endswith(f"[{rank}]") and holds(first, question.value),
        in_quote=cited is not None and holds(cited.quote, question.value),
        in_boxes=cited is not None and holds(" ".join(box.text for box in cited.boxes), question.value),
        quoted_share=len(cited.quote) / len(cited.hit.text) if cited else 0.0,
    )


def holds(text: str, value: str) -> bool:
    """Whether the value stands in a text as whole words: class C does not stand in C1."""
    return bool(re.search(rf"(?<!\w){re.escape(_plain(value))}(?!\w)", _plain(text)))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
