"""A page graph on a Neo4j server: LlamaIndex's store, with what pages and figures need that it does not keep.

The stock store reads relations between entities only, reports its own base label, writes an entity's id over its name,
and leaves out empty properties. What is written stays what it writes, with the label (and an entity's name as `title`)
beside it as properties; what is read is asked for here.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import neo4j
from llama_index.core.graph_stores.types import ChunkNode, EntityNode, LabelledNode, Relation, Triplet
from llama_index.graph_stores.neo4j import Neo4jPropertyGraphStore

from connectors.errors import StoreError, StoreUnavailableError
from embedder.errors import InputError
from vipylo_rag.settings import Settings

SCHEMES: Final = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
_DATABASE: Final = "neo4j"
_CONNECT_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 30.0

_NODE: Final = "{{id: {0}.id, entity: '__Entity__' IN labels({0}), properties: {0}{{.*, embedding: null}}}}"
_TRIPLET: Final = (
    f"RETURN {_NODE.format('a')} AS source, type(r) AS label, r{{.*}} AS properties, {_NODE.format('b')} AS target"
)


class Neo4jGraphStore(Neo4jPropertyGraphStore):
    """The store of one database. Its errors are ours: `StoreUnavailableError` where the server is away."""

    def __init__(self, url: str, database: str, user: str, password: str) -> None:
        """Connect. The server needs its APOC plugin, as LlamaIndex's store writes with it.

        Raises:
            StoreUnavailableError: the server cannot be reached. StoreError: it refuses, or lacks something.
        """
        self._place = f"the Neo4j server at {url}"
        with self._named():
            # One quick question: the stock constructor's first query is tried again for half a minute.
            with neo4j.GraphDatabase.driver(url, auth=(user, password), connection_timeout=_CONNECT_SECONDS) as driver:
                driver.verify_connectivity()
            super().__init__(
                username=user,
                password=password,
                url=url,
                database=database,
                refresh_schema=False,  # reads the whole database, for prompts that write Cypher
                connection_timeout=_CONNECT_SECONDS,
                max_transaction_retry_time=_RETRY_SECONDS,
            )

    def upsert_nodes(self, nodes: Sequence[LabelledNode]) -> None:
        """Add nodes, or replace the properties of those of the same id."""
        super().upsert_nodes([_outward(node) for node in nodes])

    def get(self, properties: dict[str, Any] | None = None, ids: list[str] | None = None) -> list[LabelledNode]:
        """Nodes that have one of `ids` (None: all) and each of `properties`."""
        where, values = _conditions("a", properties, ids)
        found = self.structured_query(f"MATCH (a:__Node__) WHERE {where} RETURN {_NODE.format('a')} AS node", values)
        return [_inward(row["node"]) for row in found]

    def get_triplets(
        self,
        entity_names: list[str] | None = None,
        relation_names: list[str] | None = None,
        properties: dict[str, Any] | None = None,
        ids: list[str] | None = None,
    ) -> list[Triplet]:
        """Triplets that touch a node of `ids`, of `entity_names`, with each of `properties`, by relations of these
        names; none without a condition."""
        if not (ids or properties or entity_names or relation_names):
            return []
        where, values = _conditions("n", properties, ids)
        if entity_names:
            where, values = f"{where} AND n.id IN $names", {**values, "names": list(entity_names)}
        related = " WHERE type(r) IN $relations" if relation_names else ""
        values["relations"] = list(relation_names or ())
        # From both ends: a relation is found where either is asked for, and once where both are.
        found = self.structured_query(
            f"MATCH (n:__Node__) WHERE {where} MATCH (n)-[r]-(:__Node__){related} WITH DISTINCT r "
            f"WITH startNode(r) AS a, r, endNode(r) AS b {_TRIPLET}",
            values,
        )
        triplets = []
        for row in found:
            source, target = _inward(row["source"]), _inward(row["target"])
            said = row["properties"] or {}
            relation = Relation(label=row["label"], source_id=source.id, target_id=target.id, properties=said)
            triplets.append((source, relation, target))
        return triplets

    def structured_query(self, query: str, param_map: dict[str, Any] | None = None) -> Any:
        """Ask the server in Cypher.

        Raises:
            StoreUnavailableError, StoreError: see the class.
        """
        with self._named():
            return super().structured_query(query, param_map)

    def close(self) -> None:
        """Close the connections, also the one that the stock store keeps open for nobody. Closing twice is allowed."""
        unused = self.__dict__.pop("_async_driver", None)
        if unused is not None:  # in a thread: the caller may be in an event loop
            closing = threading.Thread(target=lambda: asyncio.run(unused.close()))
            closing.start()
            closing.join()
        if "_driver" in self.__dict__:
            super().close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except neo4j.exceptions.AuthError as error:
            raise StoreError(
                f"{self._place} refuses user and password: set VIPYLO_GRAPH_USER and VIPYLO_GRAPH_PASSWORD"
            ) from error
        except (neo4j.exceptions.DriverError, neo4j.exceptions.TransientError) as error:
            if isinstance(error, neo4j.exceptions.ConfigurationError):
                raise StoreError(f"{self._place} cannot be used: {_first_line(error)}") from error
            raise StoreUnavailableError(f"{self._place} cannot be reached: {_first_line(error)}") from error
        except ValueError as error:
            if not str(error).startswith("Cannot resolve address"):  # the driver's word for an unknown host
                raise
            raise StoreUnavailableError(f"{self._place} cannot be reached: {_first_line(error)}") from error
        except neo4j.exceptions.Neo4jError as error:
            hint = ": it needs the APOC plugin" if "apoc." in str(error) else ""
            raise StoreError(f"{self._place} refused a query{hint} ({_first_line(error)})") from error


def open_neo4j(url: str) -> Neo4jGraphStore:
    """The store at `neo4j://host:7687/database`, with user and password from the environment.

    Raises:
        InputError: a URL of something else, or one with a password. StoreError: see `Neo4jGraphStore`.
    """
    if "@" in url:  # before anything else: other errors repeat the URL
        raise InputError(
            "a graph URL must not hold a password (it would be stored): set VIPYLO_GRAPH_USER and "
            "VIPYLO_GRAPH_PASSWORD instead"
        )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"{url} is no valid URL: {error}") from error
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise InputError(f"{url}: a graph server is neo4j://host:7687/database ({', '.join(SCHEMES)})")
    settings = Settings()
    address = urlunsplit((parts.scheme, parts.netloc, "", parts.query, ""))
    database = parts.path.strip("/") or _DATABASE
    if "/" in database or parts.fragment:
        raise InputError(f"{url}: after the host comes the name of one database, as in neo4j://host:7687/pages")
    return Neo4jGraphStore(address, database, settings.graph_user, settings.graph_password or "")


def _conditions(node: str, properties: dict[str, Any] | None, ids: list[str] | None) -> tuple[str, dict[str, Any]]:
    """A WHERE with its parameters: names of properties are parameters too."""
    where, values = [f"{node}.id IS NOT NULL"], dict[str, Any]()
    if ids:
        where.append(f"{node}.id IN $ids")
        values["ids"] = list(ids)
    for number, (name, value) in enumerate((properties or {}).items()):
        where.append(f"{node}[$key_{number}] = $value_{number}")
        values |= {f"key_{number}": name, f"value_{number}": value}
    return " AND ".join(where), values


def _outward(node: LabelledNode) -> LabelledNode:
    said = {**node.properties, "label": node.label}
    if isinstance(node, EntityNode):
        if "name" in said:  # that property is the store's own
            said["title"] = said.pop("name")
        return EntityNode(name=node.name, label=node.label, properties=said)
    return ChunkNode(id_=node.id, text=getattr(node, "text", ""), label=node.label, properties=said)


def _inward(found: dict[str, Any]) -> LabelledNode:
    said = {name: value for name, value in found["properties"].items() if value is not None and name != "id"}
    label = said.pop("label", None)
    if found["entity"]:
        said.pop("name", None)
        if "title" in said:
            said["name"] = said.pop("title")
        return EntityNode(name=found["id"], label=label or "entity", properties=said)
    return ChunkNode(id_=found["id"], text=said.pop("text", ""), label=label or "text_chunk", properties=said)


def _first_line(error: Exception) -> str:
    """The first line, with the next one where it only announces that."""
    first, *further = (str(error) or type(error).__name__).splitlines()
    return (f"{first} {further[0]}" if first.endswith(":") and further else first)[:240]
