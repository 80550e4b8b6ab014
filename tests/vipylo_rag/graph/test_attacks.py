"""What others may do to a graph: damage its vectors, forge its file, build it in another process, kill it while it
moves; and what one tenant must not hear of another."""

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import neo4j
import pytest

from connectors.errors import StoreInUseError, StoreUnavailableError
from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.connectors.qdrant_rest import QdrantRest
from tests.vipylo_rag.graph.graph_state import HashEmbedder, assert_same, content, put_page, vector_content
from tests.vipylo_rag.graph.test_neo4j import AsyncDriver, Server
from vipylo_rag import MultimodalIndex
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.graph.build import GraphBuild
from vipylo_rag.graph.neo4j_store import open_neo4j
from vipylo_rag.graph.projection import remove_nodes
from vipylo_rag.graph.readings import READINGS, Readings
from vipylo_rag.graph.show import write_graph

PAGES = ("Hợp đồng HD-2024-0193 của Công ty TNHH Sao Mai.", "Công ty TNHH Sao Mai và Ông Nguyễn Văn Bình.")


def opened(folder: Path) -> MultimodalIndex:
    return MultimodalIndex.open(folder, embedder=HashEmbedder())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of two pages, which mention the same company, with its graph; `small` gives each test a copy."""
    folder = tmp_path_factory.mktemp("made") / "index"
    with opened(folder) as index:
        for number, text in enumerate(PAGES, start=1):
            put_page(index.store, "a.txt", number, text)
        index.build_graph()
    return folder


@pytest.fixture
def small(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "small"))


@pytest.fixture
def neo4j_server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(neo4j.GraphDatabase, "driver", made.driver)
    monkeypatch.setattr(neo4j.AsyncGraphDatabase, "driver", lambda url, **_: AsyncDriver(made))
    return made


# Damage


def test_damaged_vectors_are_told_and_made_anew(
    graph_index: MultimodalIndex, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    expected = content(graph_index.graph.store), vector_content(graph_index.graph.vectors)
    directory = graph_index.directory
    graph_index.close()
    for file in (directory / "graph" / "vectors").rglob("*"):
        if file.is_file():
            file.write_bytes(b"nonsense")
    with MultimodalIndex.open(directory, embedder=tiny_embedder) as index:
        assert index.search("hợp đồng")
        with pytest.raises(IndexDirectoryError, match="vectors is damaged: `vipylo graph build` makes it anew"):
            index.search("hợp đồng", mode="graph")
        index.backup(tmp_path / "copy")
        assert "the copy has no page graph" in caplog.text
        report = index.build_graph()
        assert report.read == 0 and report.embedded == len(expected[1])
        assert_same(expected, (content(index.graph.store), vector_content(index.graph.vectors)))


def test_a_document_leaves_an_index_whose_graph_vectors_are_damaged(
    graph_index: MultimodalIndex, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    directory = graph_index.directory
    graph_index.close()
    (directory / "graph" / "vectors" / "edge_config.json").write_text("{")
    with MultimodalIndex.open(directory, embedder=tiny_embedder) as index:
        assert index.delete("contract.pdf") == 2
        assert not any("contract" in str(said) for said in content(index.graph.store)[0].values())
        assert index.build_graph().embedded


def test_vectors_in_use_elsewhere_are_not_taken_for_damaged(small: Path) -> None:
    from connectors.stores.open import open_store

    with (
        open_store(small / "graph" / "vectors", 16),
        opened(small) as index,
        pytest.raises(StoreInUseError, match="open in another process"),
    ):
        index.build_graph()
    with opened(small) as index:
        assert index.build_graph().embedded == 0


def _forged(said: dict[str, Any], what: str) -> dict[str, Any]:
    for node in said["nodes"]:
        properties = node["properties"]
        match what:
            case "numbers":
                properties["pages"] = properties["page"] = 10**400
            case "types":
                properties |= {"pages": "many", "page": ["1"], "name": ["x"]}
            case "labels":
                node["label"] = "page"
            case "nothing":
                node["properties"] = {"tenant": ""}
    for relation in said["relations"]:
        relation[3] = {"count": "x", "cosine": 10**400, "surface": 3} if what in ("types", "numbers") else relation[3]
    return said


@pytest.mark.parametrize("what", ["numbers", "types", "labels", "nothing"])
def test_a_forged_graph_is_searched_and_drawn_all_the_same(small: Path, tmp_path: Path, what: str) -> None:
    file = small / "graph" / "graph.json"
    file.write_text(json.dumps(_forged(json.loads(file.read_text()), what)))
    with opened(small) as index:
        assert {hit.id for hit in index.search("HD-2024-0193", mode="graph")} == {page.id for page in index.pages()}
        assert write_graph(index, tmp_path / "graph.html").nodes == 6


# Tenants


def test_what_waits_or_fails_is_told_to_its_own_tenant(tmp_path: Path) -> None:
    with opened(tmp_path / "index") as index:
        put_page(index.store, "mine.txt", 1, PAGES[0])
        put_page(index.store, "theirs.txt", 1, "Hợp đồng HD-2024-7777 unembeddable.", tenant="other")
        theirs = index.build_graph(tenant="other")
        assert [failure.source for failure in theirs.failures] == ["theirs.txt"]
        mine = index.build_graph()
        assert not mine.failures
        assert index.graph_info()["outdated"] == ""
        assert index.graph_info(tenant="other")["outdated"] == "1 nodes wait for their vectors"


# Other processes


def test_a_graph_that_another_process_built_is_seen(tmp_path: Path) -> None:
    """Where a Qdrant server has the vectors, a running `vipylo serve` does not hinder a build."""
    with QdrantRest() as qdrant:
        url = f"{qdrant.url}/pages"

        def at_server() -> MultimodalIndex:
            return MultimodalIndex.open(url, embedder=HashEmbedder(), directory=tmp_path / "index")

        with at_server() as serving:
            put_page(serving.store, "a.txt", 1, PAGES[0])
            serving.build_graph()
            assert len(serving.graph.nodes([page.id for page in serving.pages()])) == 1
            with at_server() as building:
                put_page(building.store, "a.txt", 2, PAGES[1])
                building.build_graph()
            assert serving.graph is serving.graph
            assert len(serving.graph.nodes([page.id for page in serving.pages()])) == 2


# Servers


def test_a_move_to_a_server_that_is_killed_leaves_the_graph(
    small: Path,
    neo4j_server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(small) as index:
        expected = content(index.graph.store)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, opened(small) as index:
        patch.setattr(GraphBuild, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            index.build_graph(url="neo4j://one")
    with opened(small) as index:
        assert content(index.graph.store) == expected
        assert index.search("HD-2024-0193", mode="graph")
        index.store.delete([next(iter(index.pages())).id])
        index.collect()  # what the killed move began, the next change completes
        assert index.graph.facts.url == "neo4j://one"
        assert not (small / "graph" / "graph.json").exists()


def test_a_graph_that_moves_to_another_server_leaves_the_first(
    small: Path,
    neo4j_server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = {"neo4j://one": neo4j_server, "neo4j://two": Server()}
    monkeypatch.setattr(neo4j.GraphDatabase, "driver", lambda url, **said: servers[url].driver(url, **said))
    with opened(small) as index:
        expected = content(index.graph.store)
        index.build_graph(url="neo4j://one")
        assert neo4j_server.nodes
        index.build_graph(url="neo4j://two")
        assert content(index.graph.store) == expected
        assert not neo4j_server.nodes and servers["neo4j://two"].nodes


def test_leaving_a_server_can_be_killed(small: Path, neo4j_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken from the server is known, and written again if the graph stays there."""
    with opened(small) as index:
        index.build_graph(url="neo4j://one")
        expected = content(index.graph.store)
    with monkeypatch.context() as patch, opened(small) as index:
        real = remove_nodes

        def killed(*said: Any) -> None:
            real(*said)
            raise KeyboardInterrupt

        patch.setattr("vipylo_rag.graph.upkeep.remove_nodes", killed)
        with pytest.raises(KeyboardInterrupt):
            index.build_graph(url="local")
    assert not neo4j_server.nodes
    with opened(small) as index:
        index.build_graph()
        assert content(index.graph.store) == expected


@pytest.mark.parametrize("url", ["http://me:sesame@host", "neo4j://:sesame@host", "sesame@host", "neo4j://sesame@:x"])
def test_no_error_repeats_a_password(url: str) -> None:
    with pytest.raises(InputError, match="must not hold a password") as told:
        open_neo4j(url)
    assert "sesame" not in str(told.value)


def test_a_host_that_nobody_knows_is_told(small: Path) -> None:
    with opened(small) as index, pytest.raises(StoreUnavailableError, match="cannot be reached"):
        index.build_graph(url="neo4j://no-such-host.invalid")
    with opened(small) as index:
        with closing(Readings.open(small / "graph" / READINGS)) as readings:
            assert not readings.fact("url")
        assert index.build_graph().read == 0
