"""A server that is killed while it receives and reads: after the next start nothing is lost, doubled or half there."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from embedder import ColPaLiQwenEmbedder
from tests import prepared
from tests.vipylo_rag.server.sending import left_over, listed, on_disk, pdf, send, sent_and_read
from vipylo_rag import MultimodalIndex, pipeline
from vipylo_rag.server.app import create_app
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.options import ServerOptions

FILES = [(f"file {n}.pdf", pdf(*(f"file {n} page {page}" for page in range(8)))) for n in range(5)]
# Of a name that is taken by then: it gets a number, once.
ANOTHER = (FILES[0][0], pdf(*(f"another page {page}" for page in range(8))))
NAMES = [*(name for name, _ in FILES), "file 0 (2).pdf"]


def serve(directory: Path, checkpoint: Path, port: Path) -> None:
    """What the server's process does. Two pages at a time, and each batch takes a while: so it can be killed in one."""
    pipeline.BATCH_PAGES = 2
    embedder = ColPaLiQwenEmbedder.from_pretrained(checkpoint, device="cpu")
    encode_rows = embedder.encode_rows

    def slowly(samples: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return encode_rows(samples, **options)

    embedder.encode_rows = slowly  # type: ignore[method-assign]
    listening = socket.create_server(("127.0.0.1", 0))
    with MultimodalIndex.open(directory, embedder=embedder) as opened:
        app = create_app(opened, ServerOptions(), Keys.of({}))
        port.write_text(str(listening.getsockname()[1]))
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])


@contextmanager
def served(folder: Path, checkpoint: Path, number: int) -> Iterator[tuple[BaseProcess, httpx.Client]]:
    """A server in a process of its own."""
    port, said = folder / f"port-{number}", folder / f"said-{number}"
    process = prepared.start(serve, folder / "index", checkpoint, port, output=said)
    try:
        until = time.monotonic() + 120
        while not (port.is_file() and port.read_text()):
            assert process.is_alive() and time.monotonic() < until, f"the server does not start: {said.read_text()}"
            time.sleep(0.05)
        with httpx.Client(base_url=f"http://127.0.0.1:{port.read_text()}", timeout=60) as client:
            yield process, client
    finally:
        process.kill()
        process.join()


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_by_kills(
    tmp_path: Path, tiny_checkpoint: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    taken: list[str] = []
    for number, pages in enumerate((0, 10)):  # right after it was taken, and with so many pages read
        with served(tmp_path, tiny_checkpoint, number) as (process, client):
            if number == 0:
                answer = send(client, *FILES)
                assert answer.status_code == 202
                taken.append(answer.json()["id"])
                assert send(client, ANOTHER).json()["files"][0]["name"] == NAMES[-1]
                # Another one is on its way in when the server dies.
                half = client.build_request(
                    "POST", "/api/documents", files=[("files", ("half.pdf", b"x" * 10_000_000))]
                )
                with httpx.Client(transport=httpx.HTTPTransport()) as other, pytest.raises(httpx.TransportError):
                    body = b"".join(half.stream)  # type: ignore[arg-type]

                    def cut_off(body: bytes = body) -> Iterator[bytes]:
                        yield body[:5_000_000]
                        process.kill()
                        process.join()
                        yield body[5_000_000:]

                    other.post(
                        half.url, content=cut_off(), headers={"Content-Type": half.headers["Content-Type"]}, timeout=60
                    )
                continue
            while sum(document["pages"] for document in listed(client)) < pages:
                time.sleep(0.02)
            process.kill()
            process.join()
    with served(tmp_path, tiny_checkpoint, 9) as (process, client):
        until = time.monotonic() + 120
        while client.get(f"/api/uploads/{taken[0]}").json()["state"] != "done":
            assert time.monotonic() < until, "the upload is not gone on with"
            time.sleep(0.05)
        assert [file["name"] for file in sent_and_read(client, ANOTHER)] == NAMES[-1:]
        assert {d["name"]: (d["state"], d["pages"]) for d in listed(client)} == {name: ("done", 8) for name in NAMES}
        process.terminate()
        process.join(60)
        assert not process.is_alive()
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as index:
        assert index.store.count() == index.ledger.counts()["pages done"] == 48
        assert on_disk(index) == sorted(NAMES)
        assert left_over(index) == []
        found = index.collect(dry_run=True)
        assert (found.lost, found.unknown) == ([], [])
