"""Streams of events on their own: comments when nothing moves, and an end whatever happens."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import contextmanager
from typing import Any

import pytest

from vipylo_rag.server.schemas import AskToken
from vipylo_rag.server.sse import EventStream, event


def test_text_with_line_ends_is_one_line_of_data() -> None:
    said = event("token", AskToken(text="one\ntwo\r\nthree\u2028four\rdata: x\n\n"))
    head, data, *rest = said.decode().split("\n")
    assert head == "event: token" and rest == ["", ""]
    assert AskToken.model_validate_json(data.removeprefix("data: ")).text == "one\ntwo\r\nthree\u2028four\rdata: x\n\n"
    assert "\r" not in said.decode()


class Connection:
    """An ASGI connection whose client leaves when told to, and may read slowly."""

    def __init__(self, slow: bool = False) -> None:
        self.left = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self._slow = slow

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self._slow and self.sent:
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


class Held:
    """What is held while a stream lasts, and how its events ended."""

    def __init__(self) -> None:
        self.held = 1
        self.closed = False

    @contextmanager
    def one(self):  # type: ignore[no-untyped-def]
        try:
            yield
        finally:
            self.held -= 1

    async def events(self, *texts: bytes, forever: bool) -> AsyncGenerator[bytes, None]:
        try:
            for text in texts:
                yield text
            if forever:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def stream(held: Held, *texts: bytes, forever: bool = True, **how: Any) -> EventStream:
    return EventStream(held.events(*texts, forever=forever), held.one(), **{"seconds": 5.0, "late": b"late", **how})


def test_comments_come_while_nothing_moves() -> None:
    async def scenario() -> None:
        held, connection = Held(), Connection()
        task = asyncio.create_task(stream(held, b"a", keep_alive=0.02)({}, connection.receive, connection.send))
        await asyncio.sleep(0.2)
        assert connection.text.startswith(b"a: still here\n\n: still here\n\n")
        connection.left.set()
        await asyncio.wait_for(task, 1)
        assert held.held == 0 and held.closed

    asyncio.run(scenario())


@pytest.mark.parametrize("slow", [False, True])
def test_a_stream_ends_in_time_even_if_nobody_reads(slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipylo_rag.server.sse._LAST_WORD_SECONDS", 0.05)

    async def scenario() -> None:
        held, connection = Held(), Connection(slow)
        await asyncio.wait_for(stream(held, b"a", seconds=0.1)({}, connection.receive, connection.send), 2)
        assert held.held == 0 and held.closed
        assert connection.text == (b"" if slow else b"alate")

    asyncio.run(scenario())


def test_a_client_that_left_before_the_start_holds_nothing() -> None:
    async def scenario() -> None:
        held, connection = Held(), Connection()
        connection.left.set()
        await asyncio.wait_for(stream(held, b"a")({}, connection.receive, connection.send), 2)
        assert held.held == 0

    asyncio.run(scenario())


def test_a_server_that_stops_ends_the_stream() -> None:
    async def scenario() -> None:
        held, connection = Held(), Connection()
        task = asyncio.create_task(stream(held, b"a")({}, connection.receive, connection.send))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held.held == 0 and held.closed

    asyncio.run(scenario())
