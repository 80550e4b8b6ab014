"""How much a request may be: bodies that are long, slow or grow when unpacked; heads without end."""

import io
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image

from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex
from vipylo_rag.server import connection, limits
from vipylo_rag.server.options import MIB, ServerOptions

SMALL = ServerOptions(image_bytes=100_000, images=2, image_pixels=1_000_000, text_characters=50, top_k=10)
MOST = SMALL.images * SMALL.image_bytes + MIB


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Any) -> Iterator[RunningServer]:
    """A server with narrow limits."""
    folder = tmp_path_factory.mktemp("limits")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(write_pdf(folder / "one.pdf", ["lease"]))
        with running(index, SMALL) as up:
            yield up


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Any) -> Iterator[RunningServer]:
    """A server that waits for nobody."""
    folder = tmp_path_factory.mktemp("hasty")
    with (
        MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index,
        running(index, ServerOptions(request_seconds=1.5)) as up,
    ):
        yield up


def conversation(server: RunningServer, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What a server says to bytes that are sent piece by piece, until it closes the connection."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as caller:
        try:
            for piece in pieces:
                caller.sendall(piece)
                time.sleep(pause)
        except OSError:
            pass  # it closed already; what it said before is still to be read
        said = b""
        try:
            while piece := caller.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
        return said


HEAD = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"


def test_a_body_that_says_it_is_too_long_is_refused_unread(small: RunningServer) -> None:
    said = conversation(small, HEAD + f"Content-Length: {MOST + 1}\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 413") and b"that are taken here" in said and b"nosniff" in said


def test_a_body_that_says_nothing_is_counted(small: RunningServer) -> None:
    chunk = b"20000\r\n" + b"x" * 0x20000 + b"\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    said = conversation(
        small, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n" % (len(part), part), *[chunk] * 12
    )
    assert said.startswith(b"HTTP/1.1 413")


def test_a_slow_body_is_not_waited_for(hasty: RunningServer) -> None:
    begun = time.monotonic()
    said = conversation(hasty, HEAD + b"Content-Length: 1000\r\n\r\n--b\r\n", *[b"X"] * 8, pause=0.4)
    assert said.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begun < 6


def test_a_silent_body_is_not_waited_for(small: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SILENT_SECONDS", 0.3)
    begun = time.monotonic()
    assert conversation(small, HEAD + b"Content-Length: 1000\r\n\r\n-").startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begun < 10  # a request may take 60 s here


def test_bodies_of_all_callers_together_are_limited(small: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_AT_A_TIME", 0)
    answer = small.client.post("/api/search", data={"text": "lease"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    monkeypatch.undo()
    for _ in range(20):  # what was taken is given back
        assert small.client.post("/api/search", data={"text": "lease"}, files={"x": b"x" * MIB}).status_code == 200


def test_a_request_that_takes_too_long_is_answered(hasty: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: object) -> None:
        import asyncio

        await asyncio.sleep(30)

    monkeypatch.setattr(hasty.state.searches, "search", never)
    answer = hasty.client.post("/api/search", data={"text": "lease"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_a_body_that_is_not_read_is_not_waited_for(small: RunningServer) -> None:
    said = conversation(small, HEAD + b"Content-Length: 1000\r\n\r\nno boundary")
    assert said.startswith(b"HTTP/1.1 400") and b"connection: close" in said


def bomb(side: int) -> bytes:
    """A PNG of some kilobytes that decodes to side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(b"\0" * (side // 8 + 1)) for _ in range(side)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_picture_of_too_many_pixels_is_not_decoded(small: RunningServer) -> None:
    sent = bomb(20_000)
    assert len(sent) < SMALL.image_bytes
    answer = small.client.post("/api/search", files={"images": ("bomb.png", sent)})
    assert answer.status_code == 422
    assert "pixels" in answer.json()["detail"] or "MP" in answer.json()["detail"]


def png(side: int = 20) -> bytes:
    """A small picture."""
    target = io.BytesIO()
    Image.effect_noise((side, side), 90).save(target, "PNG")
    return target.getvalue()


def test_limits_of_a_query(small: RunningServer) -> None:
    ask = small.client.post
    three = [("images", ("a.png", png())) for _ in range(3)]
    assert ask("/api/search", files=three).json()["detail"] == "3 pictures are too many: send 2 at most"
    assert ask("/api/search", files={"images": ("a.png", png(500))}).status_code == 413
    assert "51 characters" in ask("/api/search", data={"text": "x" * 51}).json()["detail"]
    assert ask("/api/search", data={"text": "x", "top_k": 11}).status_code == 422
    assert ask("/api/search", data={"text": "x", "top_k": 10**30}).status_code == 422
    assert ask("/api/session", json={"key": "k" * 2000}).status_code == 422
    assert ask("/api/session", content=b"{" + b" " * 70_000 + b"}").status_code == 413
    assert ask("/api/search", files={f"f{n}": ("a", b"x") for n in range(1200)}).status_code in (400, 413)


def test_heads_are_limited_in_bytes_and_time(small: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    assert small.client.get("/healthz").status_code == 200
    assert small.client.get("/healthz").status_code == 200  # again, over the same connection
    sent = small.client.post("/api/search", data={"text": "x" * 40}, files={"y": b"y" * 500_000})
    assert sent.status_code == 200
    begun = time.monotonic()
    assert conversation(small, b"GET / HTTP/1.1\r\nHost: local") == b""
    assert conversation(small, b"") == b""
    assert time.monotonic() - begun < 5
    long = conversation(small, b"GET / HTTP/1.1\r\nX: ", *[b"x" * 30_000] * 20, pause=0.01)
    assert long.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("piece", [b"a:b\r\n" * 20_000, b"x" * 100_000], ids=["many", "one without end"])
def test_what_follows_a_chunked_body_is_limited(small: RunningServer, piece: bytes) -> None:
    """Trailers are headers again, kept one by one: they are no way around the limits of head and body."""
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n--b\r\n\r\n0\r\n"
    assert conversation(small, head, *[piece] * 40, pause=0.005).startswith(b"HTTP/1.1 400")


def test_small_chunks_are_no_trailers(small: RunningServer) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nlease\r\n--b--\r\n'
    padded = form[:-2] + b"\r\n" + b"p" * 20_000  # what follows the last boundary counts for nothing
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in padded) + b"0\r\nX-Check: 1\r\n\r\n"
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert conversation(small, head, *[chunks[at : at + 9000] for at in range(0, len(chunks), 9000)]).startswith(
        b"HTTP/1.1 200"
    )


def test_who_takes_no_answer_is_not_waited_for(small: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_SECONDS", 0.3)
    host, _, port = small.url.removeprefix("http://").partition(":")
    asked, got = 400, 0
    length = len(small.client.get("/openapi.json").content)
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.settimeout(10)
        caller.connect((host, int(port)))
        caller.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked)
        time.sleep(2)
        with suppress(ConnectionResetError):
            while piece := caller.recv(65536):
                got += len(piece)
    assert got < asked * length


def test_who_reads_slowly_gets_the_whole_answer(small: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_SECONDS", 2.0)  # small windows stall for tenths of a second
    host, _, port = small.url.removeprefix("http://").partition(":")
    asked, got = 100, 0
    length = len(small.client.get("/openapi.json").content)
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        caller.connect((host, int(port)))
        close = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        caller.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked + close)
        while piece := caller.recv(200_000):
            got += len(piece)
            time.sleep(0.02)
    assert got > asked * length
