"""A running server for tests: uvicorn in a thread, on a free port, before a real index."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from connectors.page import source_id
from tests.vipylo_rag.conftest import write_pdf, write_picture
from vipylo_rag import MultimodalIndex
from vipylo_rag.server.app import create_app
from vipylo_rag.server.connection import LimitedConnection
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.state import ServerState

LEASE = "hợp đồng thuê nhà, tiền đặt cọc hai tháng"


@dataclass(frozen=True)
class RunningServer:
    """A server that listens. `client` talks to it as a program does, without a key."""

    url: str
    app: FastAPI
    index: MultimodalIndex
    client: httpx.Client

    @property
    def state(self) -> ServerState:
        """What its parts share."""
        state: ServerState = self.app.state.server
        return state

    def search(self, text: str, **fields: Any) -> list[dict[str, Any]]:
        """The hits of a search by text."""
        answer = self.client.post("/api/search", data={"text": text, **fields})
        assert answer.status_code == 200, answer.text
        hits: list[dict[str, Any]] = answer.json()["hits"]
        return hits


@contextmanager
def running(
    index: MultimodalIndex, options: ServerOptions | None = None, keys: Mapping[str, str] | None = None, **parts: Any
) -> Iterator[RunningServer]:
    """A server before `index` until the block ends; the index stays open."""
    app = create_app(index, options or ServerOptions(), Keys.of(keys or {}), **parts)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=LimitedConnection,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=3,
                server_header=False,
            )
        )
        thread = threading.Thread(target=server.run, args=([listening],), name="uvicorn")
        thread.start()
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                wait_until_up(client, thread)
                yield RunningServer(url, app, index, client)
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive(), "the server does not stop"


def wait_until_up(client: httpx.Client, thread: threading.Thread) -> None:
    """Wait for the first answer."""
    for _ in range(600):
        assert thread.is_alive(), "the server did not start"
        try:
            client.get("/healthz")
        except httpx.TransportError:
            thread.join(0.05)
        else:
            return
    raise AssertionError("the server does not answer")


def write_served_documents(folder: Path) -> Path:
    """A handful of documents in three languages: two PDFs, a picture and a note."""
    folder.mkdir(parents=True)
    write_pdf(folder / "thuê nhà.pdf", [LEASE, "biên bản bàn giao chìa khóa", "chấm dứt hợp đồng trước thời hạn"])
    write_pdf(folder / "labour.pdf", ["labour contract of an engineer", "annual leave and salary"])
    write_picture(folder / "red.png", "red")
    (folder / "发票.md").write_text("# 发票\n\n合同 编号 2024，金额 三千元", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def served_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the documents, made with the packaged starter, so that meaning can be tested."""
    folder = tmp_path_factory.mktemp("served")
    with MultimodalIndex.open(folder / "index", embedder="starter") as index:
        index.ingest(write_served_documents(folder / "documents"))
    return folder / "index"


@pytest.fixture(scope="session")
def server(served_directory: Path) -> Iterator[RunningServer]:
    """A server that all tests of a worker share: to be read only."""
    with (
        MultimodalIndex.open(served_directory, create=False) as index,
        running(index, ServerOptions(writable=False)) as up,
    ):
        yield up


@pytest.fixture
def own_index(served_directory: Path, server: RunningServer, tmp_path: Path) -> Iterator[MultimodalIndex]:
    """A copy of the documents' index that a test may change."""
    copy = shutil.copytree(served_directory, tmp_path / "index", ignore=shutil.ignore_patterns("writer.lock"))
    with MultimodalIndex.open(copy, embedder=server.state.index.embedder.embedder) as index:  # type: ignore[attr-defined]
        yield index


@pytest.fixture
def writable_server(own_index: MultimodalIndex) -> Iterator[RunningServer]:
    """A server of the test's own, whose index it may change."""
    with running(own_index) as up:
        yield up


TENANT_KEYS = {"blue": "blue-key-0123456789", "green": "green-key-0123456789"}


@pytest.fixture(scope="session")
def tenants_server(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Any) -> Iterator[RunningServer]:
    """A server with keys of two tenants who have documents, and documents of nobody's key: to be read only."""
    folder = tmp_path_factory.mktemp("tenants")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        for tenant, texts in {"blue": ["blue lease", "shared words"], "green": ["green lease"], "": ["old"]}.items():
            documents = folder / f"documents-{tenant}"
            documents.mkdir()
            write_pdf(documents / f"{tenant or 'nobody'}.pdf", texts)
            write_picture(documents / f"{tenant or 'nobody'}.png", tenant or "grey")
            index.ingest(documents, tenant=tenant)
        with running(index, keys=TENANT_KEYS) as up:
            yield up


@pytest.fixture
def as_tenant(tenants_server: RunningServer) -> Iterator[Callable[[str], httpx.Client]]:
    """Clients that send the key of a tenant."""
    made: list[httpx.Client] = []

    def client(tenant: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {TENANT_KEYS[tenant]}"}
        made.append(httpx.Client(base_url=tenants_server.url, headers=headers, timeout=60))
        return made[-1]

    yield client
    for one in made:
        one.close()


def document_id(index: MultimodalIndex, name: str, tenant: str = "") -> str:
    """The id of the document of a file name."""
    return source_id(index.find_source(name, tenant=tenant), tenant)
