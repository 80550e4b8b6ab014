"""One page over HTTP: its text, its picture, a thumbnail, and why it has its score."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from connectors.page import page_id
from embedder.errors import InputError
from vipylo_rag.search import Hit
from vipylo_rag.server.errors import PROBLEMS
from vipylo_rag.server.json_answer import json_answer
from vipylo_rag.server.query_form import checked_text
from vipylo_rag.server.query_pictures import QueryPictures, pictures_of
from vipylo_rag.server.schemas import Explanation, PageDetail
from vipylo_rag.server.shown import explanation, page_summary, picture_version
from vipylo_rag.server.state import ServerState, state_of, tenant_of
from vipylo_rag.server.thumbnails import Thumbnails

router = APIRouter(prefix="/api/pages/{id}", tags=["pages"])

# What the summary says, and what tells nothing to people.
_NOT_SHOWN = ("name", "width", "height", "content_sha256")
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "As the caller has it."},
}

State = Annotated[ServerState, Depends(state_of)]
Tenant = Annotated[str, Depends(tenant_of)]
Version = Annotated[str, Query(alias="v", max_length=64, description="As in the page's address: lets caches keep it.")]


def page_of(id: UUID, state: State, tenant: Tenant) -> Hit:
    """The caller's page of an id, as a FastAPI dependency; 404 for what is another's as for what is nobody's."""
    try:
        return state.index.page(str(id), tenant=tenant)
    except InputError:
        raise HTTPException(404, "there is no page of this id") from None


Asked = Annotated[Hit, Depends(page_of)]


@router.get("", response_model=PageDetail, responses=PROBLEMS)
def page(hit: Asked, state: State, tenant: Tenant) -> Response:
    """One page whole."""
    rows = state.index.ledger.pages(hit.source, tenant)
    numbers = [number for number, row in rows.items() if row.state == "done"]
    before = max((number for number in numbers if number < hit.page), default=None)
    behind = min((number for number in numbers if number > hit.page), default=None)
    return json_answer(
        PageDetail(
            **dict(page_summary(hit, tenant)),
            text=hit.text,
            pages=len(numbers),
            previous=None if before is None else page_id(hit.source, before, tenant),
            next=None if behind is None else page_id(hit.source, behind, tenant),
            metadata={
                name: value
                for name, value in hit.metadata.items()
                if name not in _NOT_SHOWN and isinstance(value, str | int | float | bool | None)
            },
        )
    )


@router.get("/image", response_class=FileResponse, responses={**PROBLEMS, **_PICTURE})
def image(hit: Asked, request: Request, v: Version = "") -> Response:
    """The page's picture, as it is stored."""
    if hit.image_path is None or not hit.image_path.is_file():
        raise HTTPException(404, "this page has no picture")
    headers = _caching(hit, v)
    if _has(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return FileResponse(hit.image_path, headers=headers)


@router.get("/thumbnail", response_class=Response, responses={**PROBLEMS, **_PICTURE})
async def thumbnail(hit: Asked, request: Request, v: Version = "") -> Response:
    """The page's picture, small: WebP, its longer side 400 pixels at most."""
    if hit.image_path is None:
        raise HTTPException(404, "this page has no picture")
    headers = _caching(hit, v)
    if _has(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    thumbnails: Thumbnails = request.app.state.thumbnails
    return Response(await thumbnails.of(hit.image_path), media_type="image/webp", headers=headers)


@router.post("/explain", response_model=Explanation, responses=PROBLEMS)
async def explain(
    hit: Asked,
    state: State,
    pictures: Annotated[QueryPictures, Depends(pictures_of)],
    text: Annotated[str, Form(description="What was asked for.")] = "",
    images: Annotated[list[UploadFile], File(description="The pictures that were asked for.")] = [],  # noqa: B006
) -> Response:
    """Why the page has its score for a query: what each part of its picture and each of its words adds."""
    checked_text(text, state.options)
    with state.explanations.one():
        asked = await pictures.read(images)
        return json_answer(await run_in_threadpool(lambda: explanation(hit.explain(text, asked))))


def _caching(hit: Hit, version: str) -> dict[str, str]:
    """Only the address that names what is shown may be kept unasked. A key's pictures are no other key's."""
    known = picture_version(hit)
    lasting = "max-age=31536000, immutable" if version == known else "no-cache"
    return {"ETag": f'"{known}"', "Cache-Control": f"private, {lasting}", "Vary": "Authorization, Cookie"}


def _has(request: Request, etag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
