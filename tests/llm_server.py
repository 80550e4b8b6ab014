"""A small OpenAI-style chat server over real HTTP, in a thread: it plays a scripted language model, well or badly."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What one request gets.

    Attributes:
        pieces: the deltas of the answer.
        status: other than 200 sends `body` instead. headers: further ones.
        first_wait, wait: seconds before the first piece, and before each other one.
        breaks_after: the connection is cut after so many pieces.
        reason: why the model ended, as the last chunk tells it.
        finished: False leaves out the last chunk, as a server that dies between two.
        endless: the pieces are repeated until the client hangs up.
        body: raw bytes instead of a stream.
    """

    pieces: tuple[str, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    first_wait: float = 0.0
    wait: float = 0.0
    breaks_after: int | None = None
    reason: str = "stop"
    finished: bool = True
    endless: bool = False
    body: bytes | None = None


@dataclass
class Asked:
    """A request as it came, and how it went.

    Attributes:
        sent: when each piece was written, `time.monotonic`.
        hung_up: set when the client closed before the end, at `hung_up_at`.
    """

    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    sent: list[float] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    hung_up_at: float = 0.0

    @property
    def system(self) -> str:
        """The text of the system's message."""
        return text_of(self.body["messages"][0])

    @property
    def user(self) -> str:
        """The text of the user's message, an image as "<picture>"."""
        return text_of(self.body["messages"][-1])

    @property
    def pictures(self) -> list[str]:
        """The data URIs of the images."""
        content = self.body["messages"][-1]["content"]
        return [] if isinstance(content, str) else [p["image_url"]["url"] for p in content if p["type"] == "image_url"]

    @property
    def blocks(self) -> dict[int, str]:
        """The pages' blocks, by number, found by the code that the system's message names."""
        (nonce,) = set(re.findall(r"\b[0-9a-f]{12}\b", self.system))
        found = re.findall(rf"⟦page (\d+) · {nonce}⟧(.*?)⟦end of page \1 · {nonce}⟧", self.user, re.DOTALL)
        return {int(number): text for number, text in found}


def text_of(message: dict[str, Any]) -> str:
    """A message's text, an image as "<picture>"."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part["type"] == "text" else "<picture>" for part in content)


class LLMServer:
    """Answers each request with the next of `replies` (the last one again and again), or with what `answer` makes of
    the request; `asked` are the requests."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [Reply(("ok",))]
        self.answer: Callable[[Asked], Reply] | None = None
        self.models: list[dict[str, Any]] = [{"id": "test-vl", "object": "model", "max_model_len": 16_384}]
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._whole(200, json.dumps({"object": "list", "data": server.models}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = Asked(body, dict(self.headers.items()), time.monotonic())
                reply = server._next(asked)
                try:
                    if reply.body is not None or reply.status != 200:
                        said = reply.body or json.dumps({"error": {"message": f"scripted {reply.status}"}}).encode()
                        self._whole(reply.status, said, reply.headers)
                    else:
                        self._stream(reply, asked)
                except OSError:
                    asked.hung_up_at = time.monotonic()
                    asked.hung_up.set()
                    self.close_connection = True

            def _whole(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
                self.send_response(status)
                for name, value in (("Content-Type", "application/json"), *headers):
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self, reply: Reply, asked: Asked) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                number = 0
                while True:
                    for piece in reply.pieces:
                        if reply.breaks_after == number:
                            self.close_connection = True
                            self.connection.close()
                            return
                        self._wait(reply.wait if number else reply.first_wait)
                        self._event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
                        asked.sent.append(time.monotonic())
                        number += 1
                    if not reply.endless:
                        break
                if reply.finished:
                    self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": reply.reason}]})
                    self._chunk(b"data: [DONE]\n\n")
                self._chunk(b"")

            def _wait(self, seconds: float) -> None:
                """Wait, and see at once when the client hangs up, as a real server does."""
                self.connection.settimeout(0.01)
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    if server.stopping.is_set():
                        raise OSError("stopping")
                    try:
                        if self.connection.recv(1) == b"":
                            raise ConnectionResetError("the client hung up")
                    except TimeoutError:
                        continue
                self.connection.settimeout(None)

            def _event(self, said: dict[str, Any]) -> None:
                whole = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "test-vl", **said}
                self._chunk(f"data: {json.dumps(whole)}\n\n".encode())

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def says(self, *pieces: str, **how: Any) -> None:
        """From now on, this is the answer."""
        self.replies = [Reply(pieces, **how)]

    def _next(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            if self.answer is not None:
                return self.answer(asked)
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    @contextmanager
    def running(self) -> Iterator["LLMServer"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()
