"""The page graph of a server that runs: built when asked for, followed by uploads and deletions, never in the way."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from llama_index.core.graph_stores.types import KG_NODES_KEY, EntityNode
from llama_index.core.schema import BaseNode, TransformComponent

from embedder import ColPaLiQwenEmbedder
from tests.vipylo_rag.graph.graph_state import assert_same, content, vector_content
from tests.vipylo_rag.server.conftest import TENANT_KEYS, RunningServer, document_id, running
from tests.vipylo_rag.server.held_embedder import HeldEmbedder
from tests.vipylo_rag.server.sending import pdf, send, sent_and_read, wait_until_done
from tests.vipylo_rag.server.test_graph_mode import ASKED, key, write_chain
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph import build as graph_build
from vipylo_rag.graph.extraction import Extraction
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.uploads import Uploads


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Path:
    """An index of two tenants' documents, without a graph."""
    folder = tmp_path_factory.mktemp("chain")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(write_chain(folder / "blue", "Nguyễn Văn An"), tenant="blue")
        index.ingest(write_chain(folder / "nobody", "Trần Thị Bình"))
    return folder / "index"


@pytest.fixture
def index(chain: Path, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[MultimodalIndex]:
    copy = shutil.copytree(chain, tmp_path / "index", ignore=shutil.ignore_patterns("*.lock"))
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as opened:
        yield opened


@pytest.fixture
def up(index: MultimodalIndex) -> Iterator[RunningServer]:
    with running(index) as server:
        yield server


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> "Gate":
    """Builds read a page at a time, and each waits for the gate, which is open at first."""
    monkeypatch.setattr(graph_build, "_READ", 1)
    held = Gate()
    read = Extraction.read

    def waiting(self: Extraction, pages: Any) -> Any:
        held.pages += len(pages)
        held.reached.set()
        assert held.open.wait(20)
        return read(self, pages)

    monkeypatch.setattr(Extraction, "read", waiting)
    return held


class WordByWord(TransformComponent):
    """A third party's extractor that a server knows nothing of."""

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        for node in nodes:
            words = node.get_content().split()[:5]
            node.metadata[KG_NODES_KEY] = [EntityNode(name=word, label="word") for word in words]
        return nodes


class Gate:
    """What holds a build up, and how many pages came to it."""

    def __init__(self) -> None:
        self.open, self.reached, self.pages = threading.Event(), threading.Event(), 0
        self.open.set()

    def close(self) -> None:
        self.open.clear()
        self.reached.clear()


def graph(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.get("/api/graph", **more)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def graph_when(client: httpx.Client, holds: Callable[[dict[str, Any]], bool], **more: Any) -> dict[str, Any]:
    """The graph as soon as something holds of it."""
    until = time.monotonic() + 30
    while not holds(said := graph(client, **more)):
        assert time.monotonic() < until, said
        time.sleep(0.02)
    return said


def whole(said: dict[str, Any]) -> bool:
    return said["state"] == "built" and not said["stale"]


def built(client: httpx.Client, **more: Any) -> dict[str, Any]:
    """Ask for the graph, and wait for it."""
    answer = client.post("/api/graph", **more)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] in ("waiting", "building")
    return graph_when(client, whole, **more)


def found(server: RunningServer) -> list[tuple[str, int, bool]]:
    return [(hit["name"], hit["page"], bool(hit["path"])) for hit in server.search(ASKED, mode="graph")]


def test_a_graph_is_built_while_the_server_serves(up: RunningServer) -> None:
    none = graph(up.client)
    assert (none["state"], none["ready"], none["pages"], none["stale"]) == ("none", False, 0, 6)
    assert none["entities"] is none["built"] is none["progress"] is none["reason"] is None
    said = built(up.client)
    assert (said["ready"], said["pages"], said["stale"], said["reason"]) == (True, 6, 0, None)
    facts = up.index.graph_info()
    assert said["built"] == facts["built"] and said["relations"] == sum(facts["relations"].values())
    kinds = {"document", "page", "figure"}
    assert said["entities"] == sum(n for label, n in facts["nodes"].items() if label not in kinds) > 0
    assert up.client.get("/api/info").json()["graph"] is True
    assert ("register.pdf", 1, True) in found(up)
    assert "vipylo_graphs_waiting 0.0" in up.client.get("/metrics").text


def test_uploads_enter_the_graph_and_deleted_documents_leave_it(up: RunningServer) -> None:
    built(up.client)
    before = graph(up.client)
    (file,) = sent_and_read(up.client, ("annex.pdf", pdf("XK-204/7 annex: handed over on 5 May 2024")))
    after = graph_when(up.client, lambda said: said["pages"] == 7 and whole(said))
    assert after["relations"] > before["relations"] and after["built"] >= before["built"]
    assert ("annex.pdf", 1, True) in found(up)
    assert up.client.delete(f"/api/documents/{file['document']}").status_code == 204
    assert graph(up.client)["pages"] == 6  # at once, not with the next build
    back = graph_when(up.client, whole)
    assert (back["entities"], back["relations"]) == (before["entities"], before["relations"])
    assert "annex.pdf" not in {name for name, _, _ in found(up)}


def test_searches_go_on_while_a_graph_is_made_and_brought_up_to_date(up: RunningServer, gate: Gate) -> None:
    """In every mode, by several callers, over HTTP; in mode graph along the graph that there was."""
    gate.close()
    up.client.post("/api/graph")
    assert gate.reached.wait(20)
    said = graph(up.client)
    assert (said["state"], said["ready"], said["progress"]["phase"]) == ("building", False, "read")
    assert said["progress"]["total"] == 6
    assert up.search(ASKED)
    assert up.client.post("/api/search", data={"text": ASKED, "mode": "graph"}).status_code == 422
    again = up.client.post("/api/graph")
    assert (again.status_code, again.json()["state"]) == (202, "building")
    gate.open.set()
    graph_when(up.client, whole)

    failed: list[str] = []
    stop = threading.Event()

    def search(mode: str) -> None:
        with httpx.Client(base_url=up.url, timeout=60) as client:
            while not stop.is_set():
                answer = client.post("/api/search", data={"text": ASKED, "mode": mode})
                if answer.status_code != 200 or not answer.json()["hits"]:
                    failed.append(answer.text)

    searching = [threading.Thread(target=search, args=[mode]) for mode in ("graph", "graph", "hybrid")]
    for thread in searching:
        thread.start()
    gate.close()
    sent_and_read(up.client, ("annex.pdf", pdf("XK-204/7 annex", "second page")))
    assert gate.reached.wait(20)
    said = graph(up.client)
    assert (said["state"], said["ready"], said["pages"], said["stale"]) == ("building", True, 6, 2)
    assert ("register.pdf", 1, True) in found(up)
    gate.open.set()
    graph_when(up.client, lambda said: said["pages"] == 8 and whole(said))
    stop.set()
    for thread in searching:
        thread.join(30)
    assert not failed
    assert ("annex.pdf", 1, True) in found(up)


def test_uploads_and_deletions_do_not_wait_for_a_build(up: RunningServer, gate: Gate) -> None:
    gate.close()
    up.client.post("/api/graph")
    assert gate.reached.wait(20)
    upload = send(up.client, ("annex.pdf", pdf("XK-204/7 annex"))).json()["id"]
    leaving = document_id(up.index, "register.pdf")
    deleting: list[int] = []
    thread = threading.Thread(
        target=lambda: deleting.append(httpx.delete(f"{up.url}/api/documents/{leaving}", timeout=60).status_code)
    )
    thread.start()
    gate.open.set()  # one page, and the build steps aside
    thread.join(30)
    assert deleting == [204]
    wait_until_done(up.client, upload)
    said = graph_when(up.client, whole)
    assert said["pages"] == 5
    assert gate.pages <= 7  # no page was read twice
    assert {name for name, _, _ in found(up)} == {"lease.pdf", "annex.pdf", *(f"filler{n}.pdf" for n in range(3))}


def test_a_server_that_ends_within_a_build_leaves_a_graph_that_the_next_one_completes(
    index: MultimodalIndex, gate: Gate, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    gate.close()
    with running(index) as first:
        first.client.post("/api/graph")
        assert gate.reached.wait(20)
        threading.Timer(0.3, gate.open.set).start()  # while the server stops
    read = gate.pages
    assert 0 < read < 6
    assert not (index.directory / "graph" / "facts.json").exists()
    with running(index) as second:  # nobody has to ask again
        said = graph_when(second.client, whole)
        assert (said["pages"], gate.pages) == (6, 6)
        assert ("register.pdf", 1, True) in found(second)
    mine = content(index.graph.store), vector_content(index.graph.vectors)
    index.close()
    copy = shutil.copytree(index.directory, tmp_path / "copy", ignore=shutil.ignore_patterns("graph", "*.lock"))
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as fresh:
        fresh.build_graph()
        assert_same(mine, (content(fresh.graph.store), vector_content(fresh.graph.vectors)))


def test_a_build_that_ends_while_it_embeds_has_kept_what_it_made(
    index: MultimodalIndex, tiny_embedder: ColPaLiQwenEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vipylo_rag.graph import vectors

    monkeypatch.setattr(vectors, "_BATCH", 2)
    held = HeldEmbedder(tiny_embedder)
    held.gate.set()
    index.embed_with(held)

    def stop(report: Any) -> None:
        if report.phase == "embed" and report.done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.build_graph(progress=stop)
    first = [text for call in held.calls for text in call]
    index.build_graph()
    texts = [text for call in held.calls for text in call]
    assert len(first) == 2 and len(set(texts)) == len(texts) > 2


def test_a_graph_is_a_tenants_own(index: MultimodalIndex) -> None:
    with running(index, keys=TENANT_KEYS) as up:
        assert up.client.get("/api/graph").status_code == up.client.post("/api/graph").status_code == 401
        assert built(up.client, headers=key("blue"))["pages"] == 6
        assert graph(up.client, headers=key("green"))["state"] == "none"
        # Who has no documents yet may ask too: what is uploaded then enters.
        assert built(up.client, headers=key("green"))["pages"] == 0
        sent_and_read(up.client, ("a.md", b"# Annex XK-204/7"), headers=key("green"))
        said = graph_when(up.client, lambda said: said["pages"] == 1 and whole(said), headers=key("green"))
        assert said["entities"] >= 1
        assert graph(up.client, headers=key("blue"))["pages"] == 6


def test_a_server_told_so_builds_graphs_unasked(index: MultimodalIndex) -> None:
    with running(index, ServerOptions(graphs=True), keys={**TENANT_KEYS, "": "nobody-key-0123456789"}) as up:
        nobody = {"Authorization": "Bearer nobody-key-0123456789"}
        for headers in (key("blue"), nobody):
            assert graph_when(up.client, whole, headers=headers)["pages"] == 6
        assert graph(up.client, headers=key("green"))["state"] == "none"
        sent_and_read(up.client, ("a.md", b"# Annex XK-204/7"), headers=key("green"))
        assert graph_when(up.client, whole, headers=key("green"))["pages"] == 1


def test_what_cannot_be_built_is_told(index: MultimodalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(index, ServerOptions(writable=False)) as only_reads:
        answer = only_reads.client.post("/api/graph")
        assert answer.status_code == 403 and "vipylo graph build" in answer.json()["detail"]
    index.build_graph(WordByWord())
    with running(index, ServerOptions(writable=False)) as only_reads:
        said = graph(only_reads.client)  # nobody built here, and it is counted all the same
        assert said["state"] == "built" and said["relations"] > 0
    with running(index) as up:
        answer = up.client.post("/api/graph")
        assert answer.status_code == 422
        assert "made by WordByWord, which this server does not have" in answer.json()["detail"]
        assert graph(up.client)["state"] == "built"
        sent_and_read(up.client, ("a.md", b"# Annex XK-204/7"))
        said = graph_when(up.client, lambda said: said["reason"] is not None and said["state"] == "built")
        assert (said["stale"], said["ready"]) == (1, True) and "WordByWord" in said["reason"]


def test_a_fault_of_ours_ends_no_writer(up: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **more: Any) -> None:
        raise RuntimeError(f"a fault in {up.index.directory}")

    with monkeypatch.context() as broken:
        broken.setattr(up.index, "build_graph", fails)
        up.client.post("/api/graph")
        said = graph_when(up.client, lambda said: said["reason"] is not None)
        assert (said["state"], said["reason"]) == ("none", "the server failed: its log says why")
        assert sent_and_read(up.client, ("b.md", b"# Other"))[0]["state"] == "done"
    assert built(up.client)["reason"] is None


def test_what_is_away_is_waited_for(index: MultimodalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    from connectors.errors import StoreUnavailableError
    from vipylo_rag.server import graphs

    monkeypatch.setattr(graphs, "RETRY_SECONDS", (0.05,))
    real, calls = index.build_graph, []

    def away_at_first(*args: Any, **more: Any) -> Any:
        calls.append(args)
        if len(calls) < 3:
            raise StoreUnavailableError("http://10.0.0.1:6333 does not answer")
        return real(*args, **more)

    monkeypatch.setattr(index, "build_graph", away_at_first)
    uploads = Uploads(index, ServerOptions())
    uploads.start()
    try:
        uploads.build_graph("")
        until = time.monotonic() + 20
        while (said := uploads.graphs.shown("")).state != "built":
            assert said.reason is None or "does not answer; it is tried again in a moment" in said.reason
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        uploads.stop()
    assert len(calls) == 3


def test_searches_do_not_wait_while_the_graph_follows_a_deletion(
    index: MultimodalIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vipylo_rag.graph import upkeep

    index.build_graph()
    follow, reached, gate = upkeep.follow, threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        reached.set()
        assert gate.wait(20)
        return follow(*args)

    monkeypatch.setattr(upkeep, "follow", slow)
    deleting = threading.Thread(target=index.delete, args=["register.pdf"])
    deleting.start()
    try:
        assert reached.wait(20)
        found: list[Any] = []
        searching = threading.Thread(target=lambda: found.extend(index.search(ASKED, mode="graph")), daemon=True)
        searching.start()
        searching.join(20)
        assert found and "register.pdf" not in {hit.name for hit in found}  # gone already
    finally:
        gate.set()
        deleting.join(30)
    assert index.graph_info()["pages"] == 4
