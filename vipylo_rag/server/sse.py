"""Server-sent events: an answer as it comes into being. When its reader goes away, its making ends at once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, aclosing, suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vipylo_rag.server.schemas import Schema

KEEP_ALIVE_SECONDS = 15.0
_KEEP_ALIVE = b": still here\n\n"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold tokens back until it has some kilobytes
}
_LAST_WORD_SECONDS = 2.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ReaderLeftError(Exception):
    """Who asked is gone: there is nobody to answer."""


def event(name: str, body: Schema) -> bytes:
    """An event with JSON as its data; line ends in texts are escaped there, so that the data is one line."""
    return event_of(name, body.model_dump_json().encode())


def event_of(name: str, json_body: bytes) -> bytes:
    """An event whose data is JSON already, on one line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json_body)


async def while_read(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. The request's body must have been read.

    Raises:
        ReaderLeftError: the caller went away; `work` was cancelled and has ended. Whatever `work` raises.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ReaderLeftError
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Sends events as they come, each at once, and a comment when there was none for a while.

    Args:
        events: made here; closed at the end, and as soon as the reader leaves.
        held: entered already; left when the stream has ended, whatever the reason.
        seconds: after so long the stream ends with the event `late`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        held: AbstractContextManager[Any],
        *,
        seconds: float,
        late: bytes,
        keep_alive: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._held = held
        self._seconds = seconds
        self._late = late
        self._keep_alive = keep_alive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all, as an ASGI application."""
        with self._held, suppress(ReaderLeftError):
            async with aclosing(self._events):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await while_read(receive, self._speak(send))

    async def _speak(self, send: Send) -> None:
        said = asyncio.Event()

        async def say(text: bytes, more: bool = True) -> None:
            said.set()
            await send({"type": "http.response.body", "body": text, "more_body": more})

        waiting = asyncio.create_task(_keep_alive(said, say, self._keep_alive))
        try:
            async with asyncio.timeout(self._seconds):
                async for text in self._events:
                    await say(text)
                await say(b"", more=False)
        except TimeoutError:
            # It may be the reader that is slow: then it does not hear this either.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_SECONDS):
                    await say(self._late)
                    await say(b"", more=False)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def _keep_alive(said: asyncio.Event, say: Callable[[bytes], Awaitable[None]], seconds: float) -> None:
    """Proxies close connections on which nothing moves."""
    while True:
        said.clear()
        await asyncio.sleep(seconds)
        if not said.is_set():
            await say(_KEEP_ALIVE)
