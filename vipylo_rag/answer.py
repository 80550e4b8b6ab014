"""Answers to questions: made by a language model from the pages that a search found, or quoted from them where there is
none. What comes out is data: the text, and for each [number] in it the page and the place that it rests on."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PIL import Image

from connectors.page import WordBox
from vipylo_rag.search import Hit

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

Language = Literal["vi", "en", "zh"]


@dataclass(frozen=True)
class Citation:
    """What a [number] in an answer refers to; each number has one.

    Attributes:
        number: n is the n-th of the answer's `pages`, from 1.
        quote: the passages of the page that the answer's sentences with this number rest on, " … " between them; "" for
            a page without text, and where none of its passages has their words.
        boxes: where the quote's words stand on the page's picture; () where that is not known.
    """

    number: int
    hit: Hit
    quote: str
    boxes: tuple[WordBox, ...] = ()


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        text: with citations as [1] or [1][2]; no other number stands in such brackets.
        found: False: the documents do not answer this; `text` says so, and `pages` are the nearest.
        generated: by a language model; False: `text` quotes the best passages.
        model: the language model's name; None where there is none.
        citations: in order of number.
        pages: what the numbers count, best first.
    """

    question: str
    text: str
    found: bool
    generated: bool
    language: Language
    model: str | None
    citations: tuple[Citation, ...]
    pages: tuple[Hit, ...]


@dataclass(frozen=True)
class AskedPages:
    """The first event of an answer that is streamed: the pages that it is made from."""

    pages: tuple[Hit, ...]


@dataclass(frozen=True)
class AnswerToken:
    """A piece of the answer, to append to what came before."""

    text: str


@dataclass(frozen=True)
class Answered:
    """The last event: the whole answer. Its text is that of all pieces together."""

    answer: Answer


AnswerEvent = AskedPages | AnswerToken | Answered


async def answer_astream(
    question: str,
    images: Sequence[Image.Image],
    hits: Sequence[Hit],
    llm: "LLM | None",
    *,
    language: Language | None = None,
) -> AsyncIterator[AnswerEvent]:
    """The answer to a question from pages already found, piece by piece. Closing it closes the model's stream.

    Args:
        images: pictures that belong to the question.
        hits: the pages, best first; () gives "not found".
        llm: None quotes the best passages.
        language: of the answer; by default the question's.

    Raises:
        InputError: the question is empty, or there is no such language. LLMError: the model cannot be reached, refused,
            or broke off.
    """
    raise NotImplementedError
    yield AskedPages(tuple(hits))
