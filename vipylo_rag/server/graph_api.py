"""The page graph over HTTP: what there is of it, and having it built while the server serves."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException

from vipylo_rag.server.errors import PROBLEMS
from vipylo_rag.server.schemas import Graph
from vipylo_rag.server.state import ServerState, state_of, tenant_of

State = Annotated[ServerState, Depends(state_of)]
Tenant = Annotated[str, Depends(tenant_of)]

router = APIRouter(tags=["graph"])


@router.get("/api/graph", responses={status: PROBLEMS[status] for status in (401, 403)})
def graph(state: State, tenant: Tenant) -> Graph:
    """The page graph of the caller's documents: whether there is one, what is in it, how far its build is."""
    return state.uploads.graphs.shown(tenant)


@router.post("/api/graph", status_code=202, responses={status: PROBLEMS[status] for status in (401, 403, 422)})
def build(state: State, tenant: Tenant) -> Graph:
    """Have the page graph built, or brought up to date, in the background; ask again by GET how far it is. From then on
    uploads enter it and deleted documents leave it by themselves. Searches go on meanwhile; while a graph is brought up
    to date, those in mode `graph` go along the one that there was. Asked for again while it is being built, it is built
    once."""
    if not state.options.writable:
        raise HTTPException(403, "this server only reads: ask who runs it for `vipylo graph build`")
    state.uploads.build_graph(tenant)
    return state.uploads.graphs.shown(tenant)
