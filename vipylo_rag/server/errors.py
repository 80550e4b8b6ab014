"""Errors as answers: a status and one sentence with the way out, never a path of this machine or a traceback."""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from connectors.errors import DocumentError, FilterError, LLMError, StoreError, StoreUnavailableError
from embedder.errors import InputError, ViPyloError
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.server.model_line import OverloadedError
from vipylo_rag.server.schemas import Problem

RETRY_SECONDS = 5
# Folders before a last name: of Unix from the root on, of Windows from a drive on.
_FOLDERS = re.compile(r"(?<![\w./])(?:[A-Za-z]:[\\/]|/)(?:[^\s\\/:'\"`,;()]+[\\/])+|\\\\(?:[^\s\\/:]+\\)+")
# Starlette's words for what is no operation of ours, with the way out.
_PLAIN = {
    (404, "Not Found"): "there is nothing at this address: /docs lists what there is",
    (405, "Method Not Allowed"): "this address does not take this method: /docs lists what there is",
}

logger = logging.getLogger(__name__)

# What each operation may answer beside its own: for the OpenAPI document.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is malformed."},
    401: {"model": Problem, "description": "No key, or a wrong one."},
    403: {"model": Problem, "description": "Not allowed from this page, under this host name, or on this server."},
    404: {"model": Problem, "description": "The caller has nothing of this id."},
    408: {"model": Problem, "description": "The request came too slowly."},
    409: {"model": Problem, "description": "The index is being changed by another process."},
    413: {"model": Problem, "description": "The request is larger than the server takes."},
    415: {"model": Problem, "description": "Nothing that is read here."},
    422: {"model": Problem, "description": "What was asked for is not possible; `detail` says why."},
    429: {"model": Problem, "description": "Too much to do: try again after `Retry-After` seconds."},
    503: {"model": Problem, "description": "A part that is needed does not answer: try again later."},
}


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error as the answer to a request."""
    return Response(Problem(detail=detail).model_dump_json(), status, headers, "application/json")


def without_folders(text: str, hidden: Sequence[str] = ()) -> str:
    """`text` with each path in it cut to its last name, and without the folders `hidden`, spaces or not."""
    for folder in hidden:
        text = text.replace(f"{folder}/", "")
    return _FOLDERS.sub("", text)


def add_error_answers(app: FastAPI, hidden: Sequence[str] = ()) -> None:
    """Make every error that a route raises an answer of the form `Problem`; `hidden` are folders that none names."""
    app.add_exception_handler(ViPyloError, _answering(lambda error: answer_to(error, hidden)))
    app.add_exception_handler(HTTPException, _answering(_of_http))
    app.add_exception_handler(RequestValidationError, _answering(_of_validation))


def _answering(answer: Callable[[Any], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(_: Request, error: Exception) -> Response:
        return answer(error)

    return handle


def answer_to(error: ViPyloError, hidden: Sequence[str]) -> Response:
    """What is answered to an error of ours, which is also noted in the log where it is none of the caller's."""
    if isinstance(error, OverloadedError):
        return problem(429, str(error), {"Retry-After": str(error.retry_after)})
    if isinstance(error, StoreUnavailableError):
        logger.warning("the store does not answer: %s", error)
        return problem(503, "the vector store does not answer: try again later", {"Retry-After": str(RETRY_SECONDS)})
    if isinstance(error, IndexDirectoryError):
        logger.warning("%s", error)
        return problem(409, "the index is being changed by another process: wait for it")
    if isinstance(error, InputError | DocumentError | FilterError):
        return problem(422, without_folders(str(error), hidden))
    if isinstance(error, LLMError):
        logger.warning("%s", error)
        return problem(503, without_folders(str(error), hidden), {"Retry-After": str(RETRY_SECONDS)})
    logger.error("%s", error, exc_info=error)
    kind = "vector store" if isinstance(error, StoreError) else "model"
    return problem(503, f"the {kind} failed: the server's log says why", {"Retry-After": str(RETRY_SECONDS)})


def _of_http(error: HTTPException) -> Response:
    detail = _PLAIN.get((error.status_code, str(error.detail)), str(error.detail))
    return problem(error.status_code, detail, dict(error.headers or {}))


def _of_validation(error: RequestValidationError) -> Response:
    return problem(422, "; ".join(_spoken(one) for one in error.errors()[:5]))


def _spoken(error: dict[str, Any]) -> str:
    place: Sequence[Any] = error.get("loc", ())
    name = ".".join(str(part) for part in place[1:]) or "the request"
    return f"{name}: {error.get('msg', 'is not valid')}"
