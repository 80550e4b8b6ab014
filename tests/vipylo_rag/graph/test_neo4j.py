"""A graph on a Neo4j server. No server runs here: LlamaIndex's real store and the real driver's front are used, over a
driver that answers from a table of nodes and relations and notes every query. What Neo4j itself makes of the queries is
not tested."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import neo4j
import pytest
from llama_index.core.graph_stores.types import ChunkNode, EntityNode, Relation

from connectors.errors import StoreError, StoreUnavailableError
from embedder.errors import InputError
from tests.vipylo_rag.graph.graph_state import content
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph import page_graph
from vipylo_rag.graph.neo4j_store import Neo4jGraphStore, open_neo4j


class Server:
    """What the queries of the store would find in Neo4j, and the queries themselves."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.opened: list[tuple[str, dict[str, Any]]] = []
        self.databases: set[str] = set()
        self.nodes: dict[str, dict[str, Any]] = {}
        self.entities: set[str] = set()
        self.relations: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.closed = 0
        self.error: Exception | None = None

    def driver(self, url: str, **options: Any) -> "Driver":
        self.opened.append((url, options))
        return Driver(self)

    def answer(self, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        self.seen.append((query, values))
        if self.error is not None:
            raise self.error
        if "dbms.components" in query:
            return [{"versions": ["5.26.0"]}]
        if "MERGE (c:__Node__" in query and "SET c.text" in query:
            for row in values["data"]:
                self._merge(row["id"], {**row["properties"], "text": row["text"]})
        elif "MERGE (e:__Node__" in query:
            for row in values["data"]:
                self._merge(row["id"], {**row["properties"], "name": row["name"]})
                self.entities.add(row["id"])
        elif "apoc.merge.relationship" in query:
            for row in values["data"]:
                key = (row["source_id"], row["label"], row["target_id"])
                assert {key[0], key[2]} <= self.nodes.keys(), "a relation without its ends"
                self.relations.setdefault(key, row["properties"])  # as Neo4j: what is there keeps its properties
        elif "DETACH DELETE" in query:
            for id_ in values["ids"]:
                self.nodes.pop(id_, None)
                self.entities.discard(id_)
            self.relations = {k: v for k, v in self.relations.items() if not {k[0], k[2]} & set(values["ids"])}
        elif "startNode(r)" in query:
            wanted = set(values["ids"])
            return [
                {"source": self._node(a), "label": label, "properties": said, "target": self._node(b)}
                for (a, label, b), said in self.relations.items()
                if {a, b} & wanted
            ]
        elif "AS node" in query:
            return [self._node(id_, "node") for id_ in self.nodes if "ids" not in values or id_ in values["ids"]]
        return []

    def _merge(self, id_: str, said: dict[str, Any]) -> None:
        for value in said.values():  # what Neo4j can keep in a property
            flat = value if isinstance(value, list) else [value]
            assert all(isinstance(one, str | int | float | bool) for one in flat), said
            assert len({type(one) for one in flat}) <= 1, said
        self.nodes[id_] = {**self.nodes.get(id_, {}), **said, "id": id_}

    def _node(self, id_: str, name: str | None = None) -> dict[str, Any]:
        node = {"id": id_, "entity": id_ in self.entities, "properties": {**self.nodes[id_], "embedding": None}}
        return node if name is None else {name: node}


class Driver:
    def __init__(self, server: Server) -> None:
        self.server = server

    def verify_connectivity(self) -> None:
        return None

    def execute_query(self, query: Any, database_: str, parameters_: dict[str, Any]) -> Any:
        assert isinstance(query, neo4j.Query)
        self.server.databases.add(database_)
        rows = self.server.answer(query.text, parameters_)
        return [SimpleNamespace(data=lambda row=row: row) for row in rows], None, None

    def close(self) -> None:
        self.server.closed += 1

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncDriver:
    def __init__(self, server: Server) -> None:
        self.server = server

    async def close(self) -> None:
        self.server.closed += 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setattr(neo4j.GraphDatabase, "driver", made.driver)
    monkeypatch.setattr(neo4j.AsyncGraphDatabase, "driver", lambda url, **_: AsyncDriver(made))
    monkeypatch.setenv("VIPYLO_GRAPH_USER", "linh")
    monkeypatch.setenv("VIPYLO_GRAPH_PASSWORD", "geheim")
    yield made


def test_nodes_and_relations_come_back_as_they_were_given(server: Server) -> None:
    """Labels, an entity's name, empty texts and zeros: what the stock store changes or leaves out."""
    store = open_neo4j("neo4j+s://graph.example:7687/pages")
    page = ChunkNode(id_="p1", text="", label="page", properties={"tenant": "", "page": 0, "box": [0.0, 0.5]})
    entity = EntityNode(name="t\x1fsao mai", label="name", properties={"tenant": "t", "name": "Sao Mai", "pages": 2})
    store.upsert_nodes([page, entity])
    store.upsert_relations([Relation(label="MENTIONS", source_id="p1", target_id=entity.id, properties={"count": 0})])
    assert store.get(ids=["p1"])[0] == page
    assert store.get(ids=[entity.id])[0] == entity
    (triplet,) = store.get_triplets(ids=["p1"])
    assert (triplet[0], triplet[1].properties, triplet[2]) == (page, {"count": 0}, entity)
    assert store.get_triplets() == []
    assert server.opened[0][0] == "neo4j+s://graph.example:7687" and server.databases == {"pages"}
    assert {options["auth"] for _, options in server.opened} == {("linh", "geheim")}
    store.close()
    store.close()
    assert server.closed == 3  # the first question's, the store's, and the one it keeps for nobody


def test_values_are_parameters_and_never_part_of_a_query(server: Server) -> None:
    store = open_neo4j("neo4j://localhost")
    evil = "x'}) DETACH DELETE n //`"
    store.get(properties={evil: evil}, ids=[evil])
    store.get_triplets(entity_names=[evil], relation_names=[evil], properties={evil: evil}, ids=[evil])
    store.upsert_nodes([EntityNode(name=evil, label=evil, properties={"name": evil})])
    store.upsert_relations([])
    store.delete(ids=[evil])
    assert not any(evil in query for query, _ in server.seen)
    assert sum(evil in str(values) for _, values in server.seen) == 4
    assert server.databases == {"neo4j"}


def test_an_index_keeps_its_graph_there(
    graph_index: MultimodalIndex, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved to the server, followed there by deletes, copied back into a backup, and moved home again."""
    local = content(graph_index.graph.store)
    monkeypatch.setenv("VIPYLO_GRAPH_PASSWORD", "geheim")
    report = graph_index.build_graph(url="neo4j://graph:7687/pages")
    assert report.read == 0 and report.embedded == 0
    assert isinstance(graph_index.graph.store, Neo4jGraphStore)
    assert content(graph_index.graph.store) == local
    folder = graph_index.directory / "graph"
    assert not (folder / "graph.json").exists()
    assert b"geheim" not in b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    assert graph_index.search("HD-2024-0193", mode="graph")
    graph_index.delete("contract.pdf")
    assert not any("contract" in str(said) for said in server.nodes.values())
    graph_index.backup(graph_index.directory.parent / "copy")
    assert (graph_index.directory.parent / "copy" / "graph" / "graph.json").exists()
    remaining = content(graph_index.graph.store)
    graph_index.build_graph(url="local")
    assert content(graph_index.graph.store)[0] == remaining[0]
    assert not server.nodes and not server.relations


def test_a_server_that_is_away_is_told_in_one_line(graph_index: MultimodalIndex) -> None:
    """The real driver, against a port where nobody listens; the graph stays as it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(StoreUnavailableError) as told:
        graph_index.build_graph(url=f"bolt://127.0.0.1:{port}")
    assert str(told.value).startswith(f"the Neo4j server at bolt://127.0.0.1:{port} cannot be reached: ")
    assert "\n" not in str(told.value)
    assert graph_index.graph.nodes([node.id for node in graph_index.graph.store.get()])
    assert graph_index.build_graph().read == 0


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (neo4j.exceptions.AuthError("no"), StoreError, "set VIPYLO_GRAPH_USER and VIPYLO_GRAPH_PASSWORD"),
        (neo4j.exceptions.ServiceUnavailable("gone\nfar"), StoreUnavailableError, "cannot be reached: gone"),
        (neo4j.exceptions.ClientError("no procedure `apoc.merge.node`"), StoreError, "it needs the APOC plugin"),
    ],
)
def test_refusals_say_what_to_do(server: Server, error: Exception, kind: type[Exception], said: str) -> None:
    store = open_neo4j("neo4j://localhost")
    server.error = error
    with pytest.raises(kind, match=said):
        store.get(ids=["a"])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://localhost:7687", "neo4j://host:7687/database"),
        ("neo4j://", "neo4j://host:7687/database"),
        ("neo4j://user:secret@host", "must not hold a password"),
        ("neo4j://host:port", "no valid URL"),
        ("neo4j://host/a/b/c", "the name of one database"),
        ("neo4j://host/pages#old", "the name of one database"),
    ],
)
def test_bad_addresses(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_neo4j(url)


def test_without_the_extra_the_error_names_it(graph_index: MultimodalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "vipylo_rag.graph.neo4j_store", None)
    with pytest.raises(InputError, match=r'pip install "vipylo-rag\[neo4j\]"'):
        page_graph.open_graph_store(graph_index.directory, "neo4j://host")
