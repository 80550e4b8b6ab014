"""A connection of uvicorn's that neither waits without end, for a head or for a reader, nor holds what is no body."""

import asyncio
from asyncio.events import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20.0
HEAD_BYTES = 2**16
# Who does not take so much of an answer in so long has gone, or holds the connection on purpose.
READ_SECONDS = 30.0
READ_BYTES = 2**15


class LimitedConnection(HttpToolsProtocol):
    """Uvicorn limits bodies by nothing, which the application makes good; it never gets to see a head, the trailers
    behind a chunked body, or that nobody takes its answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: TimerHandle | None = None
        self._read_timer: TimerHandle | None = None
        self._no_body_bytes = 0
        self._in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.set_write_buffer_limits(high=0)  # told of whatever waits, also of the end of an answer
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        self._end_reading()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._no_body_bytes += len(data)
        if self._no_body_bytes > HEAD_BYTES + len(data):  # the last piece may be body for the most part
            self.send_400_response("The head of the request, or what follows its body, is too long.")
            return
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._end_reading()
        self._await_reader()

    def resume_writing(self) -> None:
        self._end_reading()
        super().resume_writing()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._begin_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._no_body_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._no_body_bytes = 0
        super().on_message_complete()

    def _begin_head(self) -> None:
        self._in_head, self._no_body_bytes = True, 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end_head(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _await_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() > waiting - READ_BYTES:
                self.transport.abort()
            else:
                self._await_reader()

        self._read_timer = self.loop.call_later(READ_SECONDS, look)

    def _end_reading(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
