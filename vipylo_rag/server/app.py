"""The FastAPI application: its parts, put together around one open index."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from vipylo_rag.index import MultimodalIndex
from vipylo_rag.server import (
    ask_api,
    docs_page,
    documents_api,
    embeddings_api,
    graph_api,
    metrics,
    page,
    pages_api,
    search_api,
    sessions,
)
from vipylo_rag.server.errors import add_error_answers
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.limits import LimitsLayer
from vipylo_rag.server.metrics import CountingLayer, Metrics
from vipylo_rag.server.model_line import ModelLine
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.query_pictures import QueryPictures
from vipylo_rag.server.search_line import SearchLine
from vipylo_rag.server.security import AccessLayer, HeadersLayer, check_reachable
from vipylo_rag.server.slots import Slots
from vipylo_rag.server.state import ServerState
from vipylo_rag.server.thumbnails import Thumbnails
from vipylo_rag.server.uploads import Uploads

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

ROUTERS = (search_api, pages_api, documents_api, graph_api, ask_api, embeddings_api, sessions, metrics, docs_page, page)


def create_app(index: MultimodalIndex, options: ServerOptions, keys: Keys, *, llm: "LLM | None" = None) -> FastAPI:
    """The application that serves an index; it is up while its lifespan runs, and leaves the index open.

    Args:
        index: used by this server alone while it runs; one process serves it.
        keys: who may ask, and for whose documents. Without any, whoever reaches the server sees `options.tenant`'s.
        llm: answers questions; None: answers quote passages.

    Raises:
        InputError: others could reach the server, and there are no keys.
    """
    check_reachable(options, keys)
    doors = sessions.Doors(keys)
    counts = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as parts:  # whatever was begun is ended, also where a later part does not start
            embedder = index.embedder
            model = ModelLine(embedder, waiting=options.waiting, observe=counts.embedded)
            parts.callback(index.embed_with, embedder)
            parts.callback(model.stop)
            index.embed_with(model)
            searches = SearchLine(index, options)
            parts.callback(searches.stop)
            pictures, thumbnails = QueryPictures(options), Thumbnails()
            parts.callback(pictures.stop)
            parts.callback(thumbnails.stop)
            uploads = Uploads(index, options, llm=llm)
            parts.callback(uploads.stop)
            uploads.start()
            answers = Slots(options.answers, "answers", seconds=10)
            explanations = Slots(options.explanations, "explanations", seconds=1)
            counts.gauge("model_waiting", "Calls that wait for the model.", lambda: model.waiting)
            counts.gauge("searches_waiting", "Searches that wait for their turn.", lambda: searches.waiting)
            counts.gauge("pictures_waiting", "Query pictures that wait to be read.", lambda: pictures.waiting)
            counts.gauge("sessions", "Open sessions.", lambda: len(doors.sessions))
            counts.gauge("graphs_waiting", "Page graphs that wait or are built.", lambda: uploads.graphs.waiting)
            counts.gauge("pages", "Pages in the index.", lambda: index.ledger.counts()["pages done"])
            app.state.server = ServerState(index, options, searches, uploads, counts, answers, explanations, llm)
            app.state.pictures, app.state.thumbnails = pictures, thumbnails
            yield

    app = FastAPI(
        title="ViPylo RAG",
        description="Pages of documents, searched by text, by picture, or by both.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.doors = doors
    add_error_answers(app, hidden=(str(index.directory),))
    for part in ROUTERS:
        app.include_router(part.router)
    # The last one added is the first to see a request.
    app.add_middleware(LimitsLayer, options=options)
    app.add_middleware(AccessLayer, options=options, doors=doors)
    app.add_middleware(CountingLayer, counts=counts)
    app.add_middleware(HeadersLayer)
    return app
