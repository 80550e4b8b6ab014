"""Mode graph over HTTP: the way to each page, a clear answer where there is no graph, and nobody else's pages."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.server.conftest import TENANT_KEYS, RunningServer, running
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph.facts import FACTS
from vipylo_rag.places import GRAPH
from vipylo_rag.server.options import ServerOptions

ASKED = "Who signed the lease of the harbour hall?"


def write_chain(folder: Path, other: str) -> Path:
    """A lease that names a file number, and a page that shares no word with the question but has that number."""
    folder.mkdir()
    write_pdf(folder / "lease.pdf", ["The lease of the harbour hall was signed, see file XK-204/7."])
    write_pdf(folder / "register.pdf", [f"XK-204/7: {other}", "Opening times"])
    for number in range(3):
        write_pdf(folder / f"filler{number}.pdf", [f"soup and bread {number}"])
    return folder


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Any) -> Iterator[RunningServer]:
    """A server of two tenants with documents, of whom only one has a graph."""
    folder = tmp_path_factory.mktemp("linked")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(write_chain(folder / "blue", "Nguyễn Văn An"), tenant="blue")
        index.ingest(write_chain(folder / "green", "Trần Thị Bình"), tenant="green")
        index.build_graph(tenant="blue")
        with running(index, keys=TENANT_KEYS) as up:
            yield up


def key(tenant: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TENANT_KEYS[tenant]}"}


def test_the_way_to_a_page_is_told(linked: RunningServer) -> None:
    answer = linked.client.post("/api/search", data={"text": ASKED, "mode": "graph"}, headers=key("blue"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["mode"] == "graph"
    hits = {(hit["name"], hit["page"]): hit for hit in answer.json()["hits"]}
    assert answer.json()["hits"][0]["name"] == "lease.pdf" and answer.json()["hits"][0]["path"] == []
    found = hits["register.pdf", 1]
    first, code, last = found["path"]
    assert (first["label"], first["name"], first["relation"]) == ("page", "lease.pdf, page 1", "")
    assert (code["label"], code["name"], code["page_id"]) == ("code", "XK-204/7", None)
    assert last["page_id"] == found["id"] and last["relation"] == "MENTIONS"
    page = linked.client.get(f"/api/pages/{first['page_id']}", headers=key("blue"))
    assert page.status_code == 200 and page.json()["name"] == "lease.pdf"
    plain = linked.client.post("/api/search", data={"text": ASKED}, headers=key("blue")).json()["hits"]
    assert [hit["path"] for hit in plain] == [[]] * len(plain)


def test_an_answer_rests_on_pages_found_along_the_graph(linked: RunningServer) -> None:
    headers = {**key("blue"), "Accept": "application/json"}
    answer = linked.client.post("/api/ask", data={"question": ASKED, "mode": "graph"}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert any(page["path"] for page in answer.json()["pages"])


@pytest.mark.parametrize("path", ["/api/search", "/api/ask"])
def test_who_has_no_graph_is_told_so(linked: RunningServer, path: str) -> None:
    asked = {"text": ASKED, "question": ASKED, "mode": "graph"}
    answer = linked.client.post(path, data=asked, headers=key("green"))
    assert answer.status_code == 422
    assert "have it built (on the web page, or POST api/graph)" in answer.json()["detail"]
    assert str(linked.index.directory) not in answer.json()["detail"]
    for tenant, graph in (("blue", True), ("green", False)):
        assert linked.client.get("/api/info", headers=key(tenant)).json()["graph"] is graph


def test_a_graph_that_does_not_fit_the_index_counts_as_none(
    linked: RunningServer, tmp_path: Path, tiny_embedder: Any
) -> None:
    copy = shutil.copytree(linked.index.directory, tmp_path / "index", ignore=shutil.ignore_patterns("*.lock"))
    facts = copy / GRAPH / FACTS
    for damage in (lambda text: text.replace(tiny_embedder.fingerprint, "0" * 64), lambda text: text[:40]):
        facts.write_text(damage(facts.read_text("utf-8")), encoding="utf-8")
        with (
            MultimodalIndex.open(copy, embedder=tiny_embedder) as index,
            running(index, ServerOptions(writable=False), keys=TENANT_KEYS) as up,
        ):
            assert up.client.get("/api/info", headers=key("blue")).json()["graph"] is False
            answer = up.client.get("/api/search", params={"text": ASKED, "mode": "graph"}, headers=key("blue"))
            assert answer.status_code == 422 and "none that fits" in answer.json()["detail"]
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as index, running(index, keys=TENANT_KEYS) as up:
        until = time.monotonic() + 30  # a server that may write mends it
        while up.client.get("/api/graph", headers=key("blue")).json()["state"] != "built":
            assert time.monotonic() < until
            time.sleep(0.05)
        answer = up.client.get("/api/search", params={"text": ASKED, "mode": "graph"}, headers=key("blue"))
        assert any(hit["path"] for hit in answer.json()["hits"])
