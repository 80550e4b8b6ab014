"""Answers to questions: made by a language model from the pages that a search found, or quoted from them where there is
none. What comes out is data: the text, and for each [number] in it the page and the place that it rests on."""

import asyncio
import re
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from PIL import Image

from connectors.errors import LLMError
from connectors.page import WordBox
from embedder.errors import InputError
from vipylo_rag.citations import AnswerReader, marks
from vipylo_rag.evidence import Quote, best_passages, quotes
from vipylo_rag.llm import broken_off, llm_error, refuses_images
from vipylo_rag.prompt import LEAST_TEXT_CHARACTERS, TEXT_CHARACTERS, Language, language_of, messages, words_in
from vipylo_rag.search import Hit

if TYPE_CHECKING:
    from llama_index.core.llms import LLM, ChatMessage, ChatResponse


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
) -> AsyncGenerator[AnswerEvent, None]:
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
    asking = _Asking.of(question, images, hits, language)
    yield AskedPages(asking.hits)
    if llm is None or not asking.hits:
        for event in await asyncio.to_thread(asking.quoted):
            yield event
        return
    reader = AnswerReader(len(asking.hits))
    for last, pictures in _attempts(llm, asking):
        prompt = await asyncio.to_thread(asking.messages, llm, pictures)
        heard = False
        try:
            async with aclosing(_apieces(llm, prompt)) as pieces:
                async for piece in pieces:
                    heard = True
                    if shown := reader.feed(piece.text):
                        yield AnswerToken(shown)
                    if piece.broken_off:
                        reader.break_off()
                    if reader.done:
                        break
            break
        except Exception as error:
            if last or heard or not refuses_images(error):
                raise llm_error(error, _name(llm)) from error
    for token in asking.closing(reader, llm):
        yield token
    yield await asyncio.to_thread(asking.answered, reader, llm)


def answer_stream(
    question: str,
    images: Sequence[Image.Image],
    hits: Sequence[Hit],
    llm: "LLM | None",
    *,
    language: Language | None = None,
) -> Generator[AnswerEvent, None, None]:
    """`answer_astream` for callers without an event loop: the same events and errors, by the model's blocking calls."""
    asking = _Asking.of(question, images, hits, language)
    yield AskedPages(asking.hits)
    if llm is None or not asking.hits:
        yield from asking.quoted()
        return
    reader = AnswerReader(len(asking.hits))
    for last, pictures in _attempts(llm, asking):
        heard = False
        try:
            with closing(_pieces(llm, asking.messages(llm, pictures))) as pieces:
                for piece in pieces:
                    heard = True
                    if shown := reader.feed(piece.text):
                        yield AnswerToken(shown)
                    if piece.broken_off:
                        reader.break_off()
                    if reader.done:
                        break
            break
        except Exception as error:
            if last or heard or not refuses_images(error):
                raise llm_error(error, _name(llm)) from error
    yield from asking.closing(reader, llm)
    yield asking.answered(reader, llm)


def check_question(question: str, language: Language | None) -> None:
    """Refuse what cannot be answered, before pages are searched.

    Raises:
        InputError: the question is empty, or there is no such language.
    """
    if not question.strip():
        raise InputError("the question is empty: ask in words (to search by a picture alone, use search)")
    if language is not None:
        words_in(language)


def whole(events: Iterable[AnswerEvent]) -> Answer:
    """The answer that a stream ends with."""
    for event in events:
        if isinstance(event, Answered):
            return event.answer
    raise ValueError("the stream of an answer ended before the answer")


@dataclass(frozen=True)
class _Asking:
    """A checked question with the pages that it is asked of."""

    question: str
    images: tuple[Image.Image, ...]
    hits: tuple[Hit, ...]
    language: Language

    @classmethod
    def of(
        cls, question: str, images: Sequence[Image.Image], hits: Sequence[Hit], language: Language | None
    ) -> "_Asking":
        check_question(question, language)
        words = question.strip()
        return cls(words, tuple(images), tuple(hits), language or language_of(words))

    def messages(self, llm: "LLM", pictures: bool) -> "list[ChatMessage]":
        # Two characters a token at worst, and half of what a model takes in for the texts.
        room = max(LEAST_TEXT_CHARACTERS, min(TEXT_CHARACTERS, llm.metadata.context_window // 2))
        return messages(self.question, self.images, self.hits, self.language, pictures=pictures, characters=room)

    def quoted(self) -> list[AnswerEvent]:
        """The answer without a model: the best passages, or that there are none."""
        said = words_in(self.language)
        best = best_passages(self.question, self.hits, self.language)
        if not best:
            # Without pages there is nothing that a model would find either.
            text = f"{said.not_found}\n\n{said.own_words}" if self.hits else said.not_found
            return [AnswerToken(text), self._answered(text, found=False, model=None)]
        lines = [said.quoted, *(f"“{_inert_quote(one.quote.text)}” [{one.number}]" for one in best)]
        text = "\n\n".join(lines)
        by_page: dict[int, Quote] = {}
        for one in best:
            before = by_page.get(one.number)
            by_page[one.number] = before.joined(one.quote) if before else one.quote
        return [AnswerToken(text), self._answered(text, found=True, model=None, quotes=by_page)]

    def closing(self, reader: AnswerReader, llm: "LLM") -> list[AnswerToken]:
        """What stands after a model's last word: the rest that was held back, and what a reader must know of it.

        Raises:
            LLMError: the model said nothing.
        """
        said = words_in(self.language)
        tokens = [reader.end()]
        if not reader.text.strip() and not reader.not_found:
            raise LLMError(
                f"the language model {_name(llm)} gave no answer, or thoughts alone: ask again, or check its server"
            )
        if reader.cut:
            tokens.append(reader.add(f" …\n\n{said.cut}"))
        if reader.not_found and not marks(reader.text):
            tokens.append(reader.add(f"\n\n{said.not_found}" if reader.text.strip() else said.not_found))
        elif not marks(reader.text):
            tokens.append(reader.add(f"\n\n{said.uncited}"))
        return [AnswerToken(token) for token in tokens if token]

    def answered(self, reader: AnswerReader, llm: "LLM") -> Answered:
        text = reader.text
        found = not reader.not_found or bool(marks(text))
        resting = quotes(text, self.question, self.hits, self.language)
        return self._answered(text, found=found, model=_name(llm), quotes=resting)

    def _answered(
        self, text: str, *, found: bool, model: str | None, quotes: Mapping[int, Quote] = MappingProxyType({})
    ) -> Answered:
        citations = tuple(
            Citation(number, self.hits[number - 1], quote.text, quote.boxes) for number, quote in sorted(quotes.items())
        )
        return Answered(
            Answer(
                question=self.question,
                text=text,
                found=found,
                generated=model is not None,
                language=self.language,
                model=model,
                citations=citations,
                pages=self.hits,
            )
        )


def _attempts(llm: "LLM", asking: _Asking) -> list[tuple[bool, bool]]:
    """How to ask, as (last, with pictures): LlamaIndex does not tell whether a model takes images, so it is tried."""
    shown = llm.metadata.is_chat_model and (bool(asking.images) or any(hit.image_path for hit in asking.hits))
    return [(False, True), (True, False)] if shown else [(True, False)]


def _name(llm: "LLM") -> str:
    return llm.metadata.model_name


def _inert_quote(text: str) -> str:
    """A passage as part of an answer: what looks like a citation in it is none."""
    return re.sub(r"\[(\d+)\]", r"(\1)", text)


@dataclass(frozen=True)
class _Piece:
    """What a model's stream adds to its answer; `broken_off` where it had to end there."""

    text: str
    broken_off: bool


async def _apieces(llm: "LLM", prompt: "list[ChatMessage]") -> AsyncGenerator[_Piece, None]:
    stream = await llm.astream_chat(prompt)
    before = ""
    try:
        async for response in stream:
            piece, before = _piece(response, before)
            yield piece
    finally:
        await stream.aclose()


def _pieces(llm: "LLM", prompt: "list[ChatMessage]") -> Generator[_Piece, None, None]:
    stream = llm.stream_chat(prompt)
    before = ""
    try:
        for response in stream:
            piece, before = _piece(response, before)
            yield piece
    finally:
        stream.close()


def _piece(response: "ChatResponse", before: str) -> tuple[_Piece, str]:
    """What a response adds, and all so far: some models give only the latter."""
    if response.delta is not None:
        text, content = response.delta, before + response.delta
    else:
        content = response.message.content or ""
        text = content[len(before) :]
    return _Piece(text, broken_off(response)), content
