"""A graph and a store of pages that a test fills by hand, node by node."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_index.core.graph_stores.types import ChunkNode, EntityNode, LabelledNode, Relation, Triplet

from connectors.page import page_id
from connectors.payload import page_payload
from connectors.stores.edge import EdgeStore
from connectors.stores.filters import Filter
from connectors.stores.protocol import Point, Vector
from vipylo_rag.graph.elements import FIGURE, HAS_FIGURE, MENTIONS, NEAR, NEXT, PAGE, entity_id, figure_id
from vipylo_rag.graph.local_store import LocalGraphStore
from vipylo_rag.graph.search import Found, graph_search
from vipylo_rag.graph.spreading import Weights
from vipylo_rag.query import Query
from vipylo_rag.tenants import for_tenant

DIM = 16


class HandMade:
    """What `graph_search` is given. Pages are told by file name and number; vectors are random unless given."""

    def __init__(self, store: EdgeStore) -> None:
        self.pages = store
        self.graph = LocalGraphStore()
        self.entries: list[tuple[str, float]] = []
        self.asked: Counter[str] = Counter()  # how many triplets each kind of call gave
        self._unstored: list[Point] = []  # all at once: each upsert waits for the disk
        self._random = np.random.default_rng(0)

    def page(self, name: str, text: str, *, number: int = 1, tenant: str = "", stored: bool = True, **more: Any) -> str:
        """A page of the index and of the graph; with stored=False one that has left the index."""
        id_ = page_id(name, number, tenant)
        payload = page_payload(
            source=name, number=number, kind="pdf", text=text, content_sha256="0" * 64, tenant=tenant, metadata=more
        )
        if stored:
            self._unstored.append(Point(id_, self.vector(), text, payload))
        said = {"tenant": tenant, "source": name, "name": name, "page": number, "kind": "pdf"}
        self.graph.upsert_nodes([ChunkNode(id_=id_, text="", label=PAGE, properties=said)])
        return id_

    def vector(self) -> Vector:
        """A random direction."""
        return self._random.normal(size=DIM).astype(np.float32)

    def entity(
        self, name: str, pages: Sequence[str], *, label: str = "code", tenant: str = "", said: Any = None
    ) -> str:
        """An entity that these pages mention; `said` is how many it says there are."""
        id_ = entity_id(tenant, name)
        properties = {"tenant": tenant, "name": name, "pages": len(pages) if said is None else said}
        self.graph.upsert_nodes([EntityNode(name=id_, label=label, properties=properties)])
        for page in pages:
            self.link(page, MENTIONS, id_, count=1, surface=name)
        return id_

    def figure(self, page: str, *, tenant: str = "", caption: str = "") -> str:
        """A figure on a page."""
        id_ = figure_id(page, 1)
        said = {"tenant": tenant, "page_id": page, "number": 1, "box": [0, 0, 1, 1], "caption": caption}
        self.graph.upsert_nodes([ChunkNode(id_=id_, text=caption, label=FIGURE, properties=said)])
        self.link(page, HAS_FIGURE, id_)
        return id_

    def next(self, first: str, second: str) -> None:
        """One page after another."""
        self.link(first, NEXT, second)

    def near(self, first: str, second: str, cosine: float) -> None:
        """Two pages that are alike."""
        self.link(first, NEAR, second, cosine=cosine)

    def link(self, source: str, label: str, target: str, **properties: Any) -> None:
        """Any relation."""
        self.graph.upsert_relations([Relation(label=label, source_id=source, target_id=target, properties=properties)])

    def store_all(self) -> None:
        """Put the pages made so far into the index."""
        self.pages.upsert(self._unstored)
        self._unstored = []

    # What a search asks of a graph.

    def nodes(self, ids: Sequence[str]) -> dict[str, LabelledNode]:
        return {node.id: node for node in self.graph.get(ids=list(ids))} if ids else {}

    def triplets(self, ids: Sequence[str]) -> list[Triplet]:
        found = self.graph.get_triplets(ids=list(ids))
        self.asked["triplets"] += len(found)
        return found

    def nearest(self, vector: Any, words: str | None, tenant: str, top_k: int) -> list[tuple[str, float]]:
        return self.entries[:top_k]

    def search(
        self,
        text: str | None,
        *,
        top_k: int = 10,
        where: Filter | None = None,
        tenant: str = "",
        vector: Vector | None = None,
        weights: Weights | None = None,
    ) -> list[Found]:
        """A search by words, as a lexical one would find the pages; with a vector, by that too."""
        self.store_all()
        query = Query(text or "", (), "graph", top_k)
        return graph_search(self, self.pages, query, vector, for_tenant(tenant, where), tenant, weights)


def names(found: Sequence[Found]) -> list[str]:
    """The files found, best first."""
    return [one.point.payload["name"] for one in found]


def ways(found: Sequence[Found]) -> dict[str, list[str]]:
    """By which steps each file was reached."""
    return {one.point.payload["name"]: [step.name for step in one.path] for one in found}
