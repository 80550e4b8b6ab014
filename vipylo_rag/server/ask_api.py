"""Questions over HTTP: the pages found, then the answer as the language model says it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from embedder.errors import InputError, ViPyloError
from vipylo_rag.answer import Answer, Answered, AnswerEvent, AnswerToken, AskedPages, answer_astream
from vipylo_rag.query import SearchRequest
from vipylo_rag.search import Hit
from vipylo_rag.server.errors import PROBLEMS, RETRY_SECONDS, answer_to
from vipylo_rag.server.json_answer import json_answer
from vipylo_rag.server.query_form import checked_mode, checked_text, checked_top_k, filter_of
from vipylo_rag.server.schemas import (
    AnswerResult,
    AskPages,
    AskToken,
    Citation,
    FoundPage,
    Language,
    Mode,
    Problem,
)
from vipylo_rag.server.search_api import FILTER, Ids, Pictures, State, Tenant
from vipylo_rag.server.shown import found_page, page_summary, shown_boxes, shown_name
from vipylo_rag.server.sse import EventStream, ReaderLeftError, event, event_of, while_read
from vipylo_rag.server.state import ServerState

router = APIRouter(tags=["answers"])

logger = logging.getLogger(__name__)

_STREAM = "text/event-stream"
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["pages", "token", "done", "error"]},
        "data": {"type": "string", "description": "JSON."},
    },
    "required": ["event", "data"],
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": AnswerResult,
        "description": "With `Accept: application/json` the whole answer. Else a stream of events: `pages` (AskPages), "
        "`token` (AskToken) any number of times, then `done` (AnswerResult), or `error` (Problem).",
        "content": {_STREAM: {"schema": _EVENT}},
    },
    **PROBLEMS,
}


@router.post("/api/ask", response_model=AnswerResult, responses=_RESPONSES)
async def ask(
    request: Request,
    state: State,
    tenant: Tenant,
    ids: Ids,
    pictures: Pictures,
    question: Annotated[str, Form(description="In Vietnamese, English or Chinese.")],
    images: Annotated[list[UploadFile], File(description="Pictures that belong to the question.")] = [],  # noqa: B006
    top_k: Annotated[int, Form(ge=1, description="From how many pages the answer is made.")] = 5,
    mode: Annotated[Mode, Form()] = "hybrid",
    where: Annotated[str, Form(description=FILTER)] = "",
    language: Annotated[Language | None, Form(description="Of the answer; by default the question's.")] = None,
) -> Response:
    """An answer from the best pages, with the places that it rests on; streamed, unless JSON is asked for.

    Who closes the connection stops the language model.
    """
    if not checked_text(question, state.options).strip():
        raise InputError("the question is empty: ask in words (to search by a picture alone, use /api/search)")
    checked_top_k(top_k, state.options)
    filter_ = await run_in_threadpool(filter_of, where, ids, tenant) if where else None
    with ExitStack() as held:
        held.enter_context(state.answers.one())
        await run_in_threadpool(checked_mode, mode, state.options, state.index, tenant)
        asked = await pictures.read(images)
        hits = await state.searches.search(SearchRequest(question, asked, top_k, filter_, mode, tenant))
        answering = _Answering(state, tenant, question, asked, hits, language)
        if _wants_json(request):
            return await _whole(request, answering)
        late = event("error", Problem(detail=_too_long(state)))
        # From here on the stream holds the place.
        return EventStream(answering.events(), held.pop_all(), seconds=state.options.answer_seconds, late=late)


async def _whole(request: Request, answering: "_Answering") -> Response:
    try:
        async with asyncio.timeout(answering.state.options.answer_seconds):
            return json_answer(await while_read(request.receive, answering.whole()))
    except TimeoutError:
        raise HTTPException(503, _too_long(answering.state), {"Retry-After": str(RETRY_SECONDS)}) from None
    except ReaderLeftError:
        return Response(status_code=499)  # nobody reads it


def _too_long(state: ServerState) -> str:
    return f"the answer took longer than {state.options.answer_seconds:g} s: ask for less, or try again later"


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and _STREAM not in accept


@dataclass(frozen=True)
class _Answering:
    """A question whose pages are found."""

    state: ServerState
    tenant: str
    question: str
    images: Sequence[Image.Image]
    hits: Sequence[Hit]
    language: Language | None

    def answer(self) -> AsyncGenerator[AnswerEvent, None]:
        return answer_astream(self.question, self.images, self.hits, self.state.llm, language=self.language)

    async def whole(self) -> AnswerResult:
        async with aclosing(self.answer()) as answer:
            async for one in answer:
                if isinstance(one, Answered):
                    return await self._shown(one.answer)
        raise RuntimeError("the stream of an answer ended before the answer")

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The events to send; an error is one too, as the status is sent already."""
        try:
            async with aclosing(self.answer()) as answer:
                async for one in answer:
                    yield await self._event(one)
        except ViPyloError as error:
            yield event_of("error", bytes(answer_to(error, (str(self.state.index.directory),)).body))
        except Exception:
            logger.exception("an answer failed")
            yield event("error", Problem(detail="the answer failed: the server's log says why"))

    async def _event(self, one: AnswerEvent) -> bytes:
        match one:
            case AnswerToken(text):
                return event("token", AskToken(text=text))
            case AskedPages(hits):
                return event("pages", AskPages(pages=await run_in_threadpool(self._pages, hits)))
            case Answered(answer):
                return event("done", await self._shown(answer))

    async def _shown(self, answer: Answer) -> AnswerResult:
        return await run_in_threadpool(self._result, answer)

    def _result(self, answer: Answer) -> AnswerResult:
        return AnswerResult(
            question=answer.question,
            answer=answer.text,
            found=answer.found,
            generated=answer.generated,
            language=answer.language,
            model=answer.model and shown_name(answer.model),
            citations=[
                Citation(
                    number=one.number,
                    page=page_summary(one.hit, self.tenant),
                    quote=one.quote,
                    boxes=shown_boxes(one.boxes),
                )
                for one in answer.citations
            ],
            pages=self._pages(answer.pages),
        )

    def _pages(self, hits: Sequence[Hit]) -> list[FoundPage]:
        return [found_page(hit, rank, self.question, self.tenant) for rank, hit in enumerate(hits, start=1)]
