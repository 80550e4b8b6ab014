"""How large and how slow a request may be, counted while it comes: also where it does not say how long it is."""

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vipylo_rag.server.errors import RETRY_SECONDS, problem
from vipylo_rag.server.options import MIB, ServerOptions

# Of a body, between two of its pieces.
SILENT_SECONDS = 30.0
_SESSION_BYTES = 2**16
# What forms add around the files: names, boundaries, the other fields.
_FORM_BYTES = MIB
# Bodies of the greatest length that are held at a time, all callers together.
_AT_A_TIME = 4
_UPLOADS = "/api/documents"
_ANSWERS = "/api/ask"


class LimitsLayer:
    """Ends requests whose body is too long or too slow, and those that take too long before they are answered."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self._app = app
        self._options = options
        self._held = {False: 0, True: 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        most = self._most(scope["path"])
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not said.isdigit() or int(said) > most:
            return await problem(413, _too_long(most), {"Connection": "close"})(scope, receive, send)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        body = _Body(self, receive, most, upload=scope["path"] == _UPLOADS, whole=not chunked and not int(said))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not body.whole:
                # Answered before all of it came: the rest is not waited for, so no other request can follow.
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        try:
            await self._within_time(scope, body, sending)
        finally:
            body.release()

    async def _within_time(self, scope: Scope, body: "_Body", send: Send) -> None:
        if scope["path"] in (_UPLOADS, _ANSWERS):  # they have limits of their own
            return await self._app(scope, body.receive, send)
        seconds, now = self._options.request_seconds, asyncio.get_running_loop().time
        try:
            # The body has as long again, which it watches itself.
            async with asyncio.timeout(seconds if body.whole else 2 * seconds) as limit:

                async def receiving() -> Message:
                    coming = not body.whole
                    message = await body.receive()
                    if coming and body.whole:
                        limit.reschedule(now() + seconds)
                    return message

                async def sending(message: Message) -> None:
                    if limit.when() is not None:
                        limit.reschedule(None)  # what comes now takes as long as the caller takes to read it
                    await send(message)

                await self._app(scope, receiving, sending)
        except TimeoutError:
            if not limit.expired():
                raise
            detail = f"this took longer than {seconds:g} s: ask for less, or try again later"
            await problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})(scope, body.receive, send)

    def _most(self, path: str) -> int:
        if path == _UPLOADS:
            return self._options.upload_bytes + _FORM_BYTES
        if path == "/api/session":
            return _SESSION_BYTES
        return self._options.images * self._options.image_bytes + _FORM_BYTES

    def hold(self, count: int, upload: bool) -> None:
        """Take room for received bytes.

        Raises:
            HTTPException: 429, others hold it all.
        """
        largest = self._most(_UPLOADS if upload else "")
        if self._held[upload] + count > _AT_A_TIME * largest:
            raise HTTPException(
                429, "too many large requests at a time: try again later", {"Retry-After": str(RETRY_SECONDS)}
            )
        self._held[upload] += count

    def release(self, count: int, upload: bool) -> None:
        """Give room back."""
        self._held[upload] -= count

    def deadline(self, upload: bool) -> float:
        """When a body that begins now must have come whole, as the loop's time."""
        seconds = self._options.upload_seconds if upload else self._options.request_seconds
        return asyncio.get_running_loop().time() + seconds


class _Body:
    """One request's body as it comes."""

    def __init__(self, layer: LimitsLayer, receive: Receive, most: int, *, upload: bool, whole: bool) -> None:
        self._layer = layer
        self._receive = receive
        self._most = most
        self._upload = upload
        self._bytes = 0
        self.whole = whole
        self._deadline: float | None = None

    async def receive(self) -> Message:
        if self.whole:  # only that the caller goes away can come now, at any time
            return await self._receive()
        message = await self._piece()
        if message["type"] != "http.request":
            return message
        count = len(message.get("body", b""))
        if self._bytes + count > self._most:
            raise HTTPException(413, _too_long(self._most))
        self._layer.hold(count, self._upload)
        self._bytes += count
        self.whole = not message.get("more_body", False)
        return message

    def release(self) -> None:
        self._layer.release(self._bytes, self._upload)

    async def _piece(self) -> Message:
        if self._deadline is None:
            self._deadline = self._layer.deadline(self._upload)
        soon = asyncio.get_running_loop().time() + SILENT_SECONDS
        try:
            async with asyncio.timeout_at(min(self._deadline, soon)):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the request came too slowly: send it again") from None


def _too_long(most: int) -> str:
    return f"the request is longer than the {most / MIB:.3g} MiB that are taken here"
