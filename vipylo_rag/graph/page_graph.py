"""An open page graph: its nodes and relations, and the vectors by which a query enters it."""

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llama_index.core.graph_stores.types import LabelledNode, PropertyGraphStore, Triplet

from connectors.page import PAGE_NAMESPACE
from connectors.stores.filters import AnyOf
from connectors.stores.protocol import Vector, VectorStore
from embedder.errors import InputError
from vipylo_rag.graph.elements import is_point_id
from vipylo_rag.graph.facts import GraphFacts
from vipylo_rag.graph.graph_vectors import GraphVectors
from vipylo_rag.graph.local_store import LocalGraphStore
from vipylo_rag.manifest import Manifest
from vipylo_rag.places import GRAPH

GRAPH_FILE: Final = "graph.json"
_IDS: Final = 1000  # of a question to the store: some send them over the network


def vector_id(node_id: str) -> str:
    """The id of a node's point among the vectors: its own where it is a UUID, as figures' are."""
    if is_point_id(node_id):
        return node_id
    return str(uuid.uuid5(PAGE_NAMESPACE, f"\x00node\x00{node_id}"))


@dataclass(frozen=True)
class PageGraph:
    """The graph of an index's pages (see `vipylo_rag.graph.elements` for what is in it), open until `close`.

    Attributes:
        store: the nodes and relations, as any LlamaIndex program takes them.
        vectors: a point for each entity and figure; payload node (its id), label, name, tenant, and of figures page_id.
        facts: what made it, and of how many pages.
    """

    store: PropertyGraphStore
    vectors: VectorStore
    facts: GraphFacts

    def nodes(self, ids: Collection[str]) -> dict[str, LabelledNode]:
        """The nodes of these ids, by id; unknown ones are left out."""
        return {node.id: node for some in _asked(ids) for node in self.store.get(ids=some)}

    def triplets(self, ids: Collection[str]) -> list[Triplet]:
        """Every triplet that touches one of these nodes, in either direction, each once."""
        found: dict[tuple[str, str, str], Triplet] = {}
        for some in _asked(ids):
            for source, relation, target in self.store.get_triplets(ids=some):
                found[relation.source_id, relation.label, relation.target_id] = (source, relation, target)
        return list(found.values())

    def nearest(
        self, vector: Vector | None, words: str | None, tenant: str = "", top_k: int = 20
    ) -> list[tuple[str, float]]:
        """The entities and figures of a tenant that a query means: ids of nodes with their scores, best first.

        Args:
            vector: of the query, [dim] float32, of the index's embedder; None compares words only.
            words: of the query; None or "" compares vectors only. With both, the score is the fused rank's (RRF).
        """
        found = self.vectors.search(vector, words or None, top_k=top_k, where=AnyOf("tenant", (tenant,)))
        return [(str(point.payload["node"]), point.score) for point in found]

    def close(self) -> None:
        """Release the vectors, and the connection of a server's graph. Closing twice is allowed."""
        self.vectors.close()
        close_graph_store(self.store)


def close_graph_store(store: PropertyGraphStore) -> None:
    """Close a store that has something to close; LlamaIndex's protocol does not ask for it."""
    close = getattr(store, "close", None)
    if callable(close):
        close()


def _asked(ids: Collection[str]) -> Iterator[list[str]]:
    """Ids in portions, none of them empty: to a store, no ids mean all nodes."""
    wanted = list(dict.fromkeys(ids))
    return (wanted[start : start + _IDS] for start in range(0, len(wanted), _IDS))


def open_graph(directory: Path, manifest: Manifest, vectors: GraphVectors) -> PageGraph:
    """The graph of an index.

    Raises:
        InputError: there is none. IndexDirectoryError: it is damaged, or of another embedder than the index.
        StoreError: its server cannot be reached.
    """
    facts = GraphFacts.read(directory)
    facts.check_embedder(manifest.embedder, directory)
    store = open_graph_store(directory, facts.url)
    try:
        return PageGraph(store, vectors.open(manifest), facts)
    except BaseException:
        close_graph_store(store)
        raise


def open_graph_store(directory: Path, url: str | None) -> PropertyGraphStore:
    """Where nodes and relations are: the file in the index directory, or a Neo4j server.

    Raises:
        IndexDirectoryError: the file is missing or damaged.
        StoreError, PluginError, InputError: the server's store cannot be used.
    """
    if url:
        try:
            from vipylo_rag.graph.neo4j_store import open_neo4j
        except ImportError as error:
            raise InputError('a graph on a Neo4j server needs an extra: pip install "vipylo-rag[neo4j]"') from error
        return open_neo4j(url)
    return LocalGraphStore.from_persist_path(directory / GRAPH / GRAPH_FILE)
