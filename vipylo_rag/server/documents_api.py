"""Documents over HTTP: list, upload with progress, delete."""

import asyncio
from functools import partial
from typing import Annotated, Any, Final, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.requests import ClientDisconnect

from embedder.errors import InputError
from vipylo_rag.server.errors import PROBLEMS
from vipylo_rag.server.model_line import OverloadedError
from vipylo_rag.server.receiving import FIELD, REPLACE_FIELD, Receiving, RefusedError
from vipylo_rag.server.schemas import Document, DocumentList, Upload
from vipylo_rag.server.state import ServerState, state_of, tenant_of
from vipylo_rag.server.writer import WriterStoppedError

# A deletion waits for the writer so long; it is done later all the same.
_DELETION_SECONDS: Final = 50.0
_RETRY_SECONDS: Final = "10"
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
                        REPLACE_FIELD: {
                            "type": "boolean",
                            "default": False,
                            "description": "Whether a file replaces the one of the same name that was uploaded before.",
                        },
                    },
                }
            }
        },
    }
}

State = Annotated[ServerState, Depends(state_of)]
Tenant = Annotated[str, Depends(tenant_of)]

router = APIRouter(tags=["documents"])


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: PROBLEMS[status] for status in statuses}


def _writable(state: ServerState) -> None:
    if not state.options.writable:
        raise HTTPException(403, "this server only reads: documents are added and deleted by who runs it")


@router.get("/api/documents", responses=_problems(401, 403, 422))
def documents(
    state: State,
    tenant: Tenant,
    status: Annotated[
        Literal["pending", "done", "failed"] | None, Query(alias="state", description="Only those in this state.")
    ] = None,
    name: Annotated[str, Query(max_length=200, description="Only those with this in their names.")] = "",
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DocumentList:
    """The caller's documents, newest first."""
    return state.uploads.catalogue.listed(tenant, status, name, offset, limit)


@router.get("/api/documents/{id}", responses=_problems(401, 403, 404, 422))
def document(state: State, tenant: Tenant, id: str) -> Document:
    """One document."""
    found = state.uploads.catalogue.document(id, tenant)
    if found is None:
        raise _unknown()
    return found


@router.post(
    "/api/documents",
    status_code=202,
    openapi_extra=_BODY,
    responses=_problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
)
async def upload(request: Request, state: State, tenant: Tenant) -> Upload:
    """Send files: PDF, office, pictures, DICOM, text, mail, archives. They are read in the background: ask
    `/api/uploads/{id}` how far they are. A file of the same name as another is kept beside it, numbered, unless
    `replace` says that it replaces that one; one of the same content too is the same document."""
    _writable(state)
    try:
        return await _received(request, state, tenant)
    except RefusedError as error:
        # What is still coming is not read: the connection cannot be used for another request.
        raise HTTPException(error.status, str(error), {"Connection": "close"}) from error
    except OverloadedError as error:
        headers = {"Retry-After": str(error.retry_after), "Connection": "close"}
        raise HTTPException(429, str(error), headers) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the upload was broken off") from error


async def _received(request: Request, state: ServerState, tenant: str) -> Upload:
    length = request.headers.get("content-length", "")
    with state.uploads.receiving() as folder:
        receiving = Receiving(
            folder,
            request.headers.get("content-type", ""),
            int(length) if length.isdecimal() else None,
            state.options,
        )
        try:
            async for piece in request.stream():
                if piece:
                    await to_thread.run_sync(receiving.feed, piece)
            add = partial(state.uploads.add, replace=receiving.replace)
            return await to_thread.run_sync(add, folder, receiving.files(), tenant)
        finally:
            receiving.close()


@router.get("/api/uploads", responses=_problems(401, 403))
def uploads(state: State, tenant: Tenant) -> list[Upload]:
    """The caller's uploads that are waiting or being read, and those that ended lately; newest first."""
    return state.uploads.all_of(tenant)


@router.get("/api/uploads/{id}", responses=_problems(401, 403, 404, 422))
def upload_state(state: State, tenant: Tenant, id: str) -> Upload:
    """How far an upload is. An archive is one file, with the pages of all that is in it; what of it failed follows."""
    found = state.uploads.get(id, tenant)
    if found is None:
        raise HTTPException(404, "you have no upload of this id, or it ended long ago: see /api/documents")
    return found


@router.delete("/api/documents/{id}", status_code=204, responses=_problems(401, 403, 404, 409, 422, 503))
async def delete(state: State, tenant: Tenant, id: str) -> None:
    """Delete a document. If it was uploaded, its file goes too; what lies elsewhere on the server stays there."""
    _writable(state)
    going = await to_thread.run_sync(state.uploads.delete, id, tenant)
    if going is None:
        raise _unknown()
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(going)), _DELETION_SECONDS)
    except TimeoutError as error:
        detail = "the index is busy: the document goes as soon as that is over"
        raise HTTPException(503, detail, {"Retry-After": _RETRY_SECONDS}) from error
    except WriterStoppedError as error:
        raise HTTPException(503, str(error), {"Retry-After": _RETRY_SECONDS}) from error
    except InputError as error:  # another request was quicker
        raise _unknown() from error


def _unknown() -> HTTPException:
    return HTTPException(404, "you have no document of this id: see /api/documents")
