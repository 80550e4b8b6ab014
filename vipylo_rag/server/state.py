"""What the parts of the server share: made once, when it starts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from vipylo_rag.index import MultimodalIndex
from vipylo_rag.server.options import ServerOptions

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

    from vipylo_rag.server.metrics import Metrics
    from vipylo_rag.server.search_line import SearchLine
    from vipylo_rag.server.slots import Slots
    from vipylo_rag.server.uploads import Uploads


@dataclass(frozen=True)
class ServerState:
    """The served index and what stands before it.

    Attributes:
        index: its embedder is a `ModelLine`, so that all callers' samples share the model.
        searches: takes searches, several at a time, and refuses what would wait too long.
        uploads: takes files and reads them, one upload after the other; the only writer.
        answers: how many questions are answered at a time. explanations: how many pages are explained at a time: each
            keeps a thread while it waits for the model, and other requests need threads too.
        llm: answers questions; None: answers quote passages.
    """

    index: MultimodalIndex
    options: ServerOptions
    searches: "SearchLine"
    uploads: "Uploads"
    metrics: "Metrics"
    answers: "Slots"
    explanations: "Slots"
    llm: "LLM | None" = None


# Both are coroutines because FastAPI would send each plain function through a thread, for every request.
async def state_of(request: Request) -> ServerState:
    """The server's state, as a FastAPI dependency."""
    state: ServerState = request.app.state.server
    return state


async def tenant_of(request: Request) -> str:
    """Whose documents a request may see, as a FastAPI dependency: set by the layer that checked its key."""
    tenant: str = request.state.tenant
    return tenant
