"""Search over HTTP, and what can be filtered by."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Query, Response, UploadFile
from starlette.concurrency import run_in_threadpool

from connectors.page import source_id
from vipylo_rag.query import SearchRequest
from vipylo_rag.server.catalogue import Catalogue
from vipylo_rag.server.errors import PROBLEMS
from vipylo_rag.server.json_answer import json_answer
from vipylo_rag.server.query_form import checked_mode, checked_text, checked_top_k, filter_of, has_graph
from vipylo_rag.server.query_pictures import QueryPictures, pictures_of
from vipylo_rag.server.schemas import Facet, Facets, Health, Info, Limits, Mode, SearchResult
from vipylo_rag.server.shown import found_page, shown_name
from vipylo_rag.server.state import ServerState, state_of, tenant_of

MOST_DOCUMENTS = 200
FILTER = (
    'A filter as JSON, such as {"kind": "pdf", "page": {"lte": 3}}; `document` takes the id of a document, or a list.'
)

router = APIRouter(tags=["search"])

State = Annotated[ServerState, Depends(state_of)]
Tenant = Annotated[str, Depends(tenant_of)]
Pictures = Annotated[QueryPictures, Depends(pictures_of)]


async def ids_of(state: State) -> Catalogue:
    """Who knows the documents' ids, as a FastAPI dependency."""
    return state.uploads.catalogue


Ids = Annotated[Catalogue, Depends(ids_of)]


@router.post("/api/search", response_model=SearchResult, responses=PROBLEMS)
async def search(
    state: State,
    tenant: Tenant,
    ids: Ids,
    pictures: Pictures,
    text: Annotated[str, Form(description="What to look for.")] = "",
    images: Annotated[list[UploadFile], File(description="Pictures; with a text, both are one query.")] = [],  # noqa: B006
    top_k: Annotated[int, Form(ge=1, description="How many pages at most.")] = 10,
    mode: Annotated[Mode, Form()] = "hybrid",
    where: Annotated[str, Form(description=FILTER)] = "",
) -> Response:
    """The best pages for a text, for pictures, or for both together."""
    return await _search(state, tenant, ids, pictures, text, images, top_k, mode, where)


@router.get("/api/search", response_model=SearchResult, responses=PROBLEMS)
async def search_text(
    state: State,
    tenant: Tenant,
    ids: Ids,
    pictures: Pictures,
    text: Annotated[str, Query(description="What to look for.")],
    top_k: Annotated[int, Query(ge=1, description="How many pages at most.")] = 10,
    mode: Annotated[Mode, Query()] = "hybrid",
    where: Annotated[str, Query(description=FILTER)] = "",
) -> Response:
    """The best pages for a text."""
    return await _search(state, tenant, ids, pictures, text, [], top_k, mode, where)


async def _search(
    state: ServerState,
    tenant: str,
    ids: Catalogue,
    pictures: QueryPictures,
    text: str,
    images: list[UploadFile],
    top_k: int,
    mode: Mode,
    where: str,
) -> Response:
    begun = time.perf_counter()
    checked_text(text, state.options)
    checked_top_k(top_k, state.options)
    filter_ = await run_in_threadpool(filter_of, where, ids, tenant) if where else None
    await run_in_threadpool(checked_mode, mode, state.options, state.index, tenant)
    asked = await pictures.read(images)
    hits = await state.searches.search(SearchRequest(text, asked, top_k, filter_, mode, tenant))
    result = SearchResult(
        mode=mode,
        text=text,
        images=len(asked),
        hits=[found_page(hit, rank, text, tenant) for rank, hit in enumerate(hits, start=1)],
        took_ms=1000 * (time.perf_counter() - begun),
    )
    return json_answer(result)


@router.get("/api/facets", response_model=Facets, responses=PROBLEMS)
def facets(state: State, tenant: Tenant) -> Response:
    """What the caller's pages can be filtered by."""
    kinds = state.index.facet("kind", tenant=tenant)
    sources = state.index.facet("source", tenant=tenant, limit=MOST_DOCUMENTS)
    return json_answer(
        Facets(
            kinds=[Facet(value=kind, label=kind, pages=pages) for kind, pages in kinds.items()],
            documents=[
                Facet(value=source_id(source, tenant), label=shown_name(source), pages=pages)
                for source, pages in sources.items()
            ],
        )
    )


@router.get("/api/info", response_model=Info, responses=PROBLEMS)
def info(state: State, tenant: Tenant) -> Response:
    """What this server is and takes, with counts of the caller's own documents."""
    counts, options = state.index.ledger.counts(tenant), state.options
    return json_answer(
        Info(
            name="ViPylo RAG",
            pages=counts["pages done"],
            documents=sum(counts[f"sources {state_}"] for state_ in ("done", "failed", "pending")),
            failed=counts["sources failed"],
            embedder=shown_name(state.index.manifest.embedder.name),
            llm=shown_name(state.llm.metadata.model_name) if state.llm else None,
            graph=has_graph(state.index, tenant),
            writable=options.writable,
            limits=Limits(
                upload_bytes=options.upload_bytes,
                file_bytes=options.file_bytes,
                image_bytes=options.image_bytes,
                images=options.images,
                top_k=options.top_k,
                text_characters=options.text_characters,
            ),
        )
    )


@router.get("/healthz", response_model=Health, tags=["server"])
async def healthz(state: State) -> Response:
    """The server is up and its index is open. Asks for no key."""
    return json_answer(Health(status="ok"))
