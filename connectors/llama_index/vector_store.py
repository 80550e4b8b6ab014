"""ViPyloVectorStore: our stores as a LlamaIndex vector store, for the pages of an index and for any other nodes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.schema import BaseNode, ImageNode, IndexNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from connectors.errors import StoreError
from connectors.llama_index.filters import on_metadata, to_filter
from connectors.llama_index.opening_lock import OpeningLock
from connectors.llama_index.ranking import ranked, varied
from connectors.llama_index.stored_nodes import (
    DOCUMENT_ID,
    NODE_CLASS,
    NODE_ID,
    node_of,
    payload_of,
    point_id_of,
    text_of,
)
from connectors.page import source_id
from connectors.stores.filters import And, AnyOf, Filter, Not, Or, matches
from connectors.stores.open import checked_store, open_store
from connectors.stores.protocol import Point, ScoredPoint, SearchMode, StoredPoint, Vector, VectorStore
from embedder.errors import InputError

# Nodes that a stock index also keeps itself, and then names in every query (see `_node_ids`).
_KEPT_BY_INDEXES: Final = (ImageNode.class_name(), IndexNode.class_name())
_ALL_SOURCES: Final = 10_000_000


class PageIndex(Protocol):
    """What of an index of pages (`vipylo_rag.MultimodalIndex`) is needed to search it from LlamaIndex."""

    @property
    def store(self) -> VectorStore:
        """Its points."""

    @property
    def assets(self) -> Path:
        """The folder of its page pictures."""


class ViPyloVectorStore(BasePydanticVectorStore):
    """Text, images and both in one collection: dense and lexical search, filters, both engines, sync and async.

    Any node goes in and comes back whole: class, relationships, metadata (once, filterable), media. Pictures given as
    bytes or by path are copied below `assets`, named by content; payloads hold references only.

    `get_nodes`, `query` and `delete` see the nodes of one tenant, and no others.

    Example:
        >>> store = ViPyloVectorStore(location="my-nodes")             # doctest: +SKIP
        >>> index = VectorStoreIndex.from_vector_store(store, embed_model=embed_model)
        >>> index.insert_nodes(embed_model(nodes))

    Args:
        location: a directory (embedded engine), or the URL of a Qdrant server.
        dim: length of the embeddings.
        collection: on a server.
        api_key: of the server.
        tenant: whose nodes these are; "" for nobody in particular.
        assets: the folder of pictures; default: "assets" in the directory. A server needs it for nodes with media.
    """

    stores_text: bool = True
    location: str
    dim: int = Field(default=1024, gt=0)
    collection: str = "vipylo"
    api_key: str | None = Field(default=None, exclude=True, repr=False)
    tenant: str = ""
    assets: str | None = None

    _store: VectorStore | None = PrivateAttr(default=None)
    _belongs_to_index: bool = PrivateAttr(default=False)
    _opening: OpeningLock = PrivateAttr(default_factory=OpeningLock)

    @classmethod
    def of_index(cls, index: PageIndex, tenant: str = "") -> Self:
        """The pages of an open index, to be searched. They are added and deleted by the index, which keeps a ledger of
        them: `add`, `delete` and `clear` refuse here."""
        made = cls(location="(of an index)", dim=index.store.dim, tenant=tenant, assets=str(index.assets))
        made._store, made._belongs_to_index = index.store, True
        return made

    @classmethod
    def over(cls, store: VectorStore, *, tenant: str = "", assets: Path | str | None = None) -> Self:
        """Over a store that is open already, such as a `ServerStore` around a client of one's own.

        Raises:
            PluginError: it is no whole `VectorStore`.
        """
        folder = None if assets is None else str(assets)
        made = cls(location="(an open store)", dim=store.dim, tenant=tenant, assets=folder)
        made._store = checked_store(store)
        return made

    @classmethod
    def class_name(cls) -> str:
        """Name used in serialised components."""
        return "ViPyloVectorStore"

    @property
    def client(self) -> VectorStore:
        """The store itself, opened when first used.

        Raises:
            StoreError: it cannot be opened (see `open_store`), the directory is an index of pages, or this was made
                around an open store and then sent to another process, which has none.
        """
        with self._opening:  # the async methods come from several threads, and a directory is opened once
            if self._store is None:
                self._store = self._opened()
            return self._store

    def _opened(self) -> VectorStore:
        place: str | Path = self.location
        if self.location.startswith("("):
            raise StoreError(f"the store {self.location} was given open and cannot be opened again from a copy of this")
        if self._is_directory:
            if (Path(self.location) / "manifest.json").exists():
                raise StoreError(
                    f"{self.location} is an index of pages: open it with vipylo_rag.MultimodalIndex.open and give "
                    "that to ViPyloVectorStore.of_index"
                )
            place = Path(self.location) / "store"
        return open_store(place, self.dim, collection=self.collection, api_key=self.api_key)

    @property
    def asset_folder(self) -> Path | None:
        """Where pictures are kept; None for a server without `assets`."""
        if self.assets is not None:
            return Path(self.assets)
        return Path(self.location) / "assets" if self._is_directory else None

    @property
    def _is_directory(self) -> bool:
        return "://" not in self.location and not self.location.startswith("(")

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Insert or replace nodes by their ids, which are returned. On disk when it returns.

        Raises:
            InputError: a node has no embedding, or media that cannot be kept. StoreError: see `VectorStore.upsert`.
        """
        self._check_writable("add nodes")
        self.client.upsert([self._point(node) for node in nodes])
        return [node.node_id for node in nodes]

    def _point(self, node: BaseNode) -> Point:
        if not node.embedding:
            raise InputError(
                f"node {node.node_id} has no embedding; call embed_model([node]) first, which sees text and image"
            )
        return Point(
            id=point_id_of(node.node_id, self.tenant),
            vector=np.asarray(node.embedding, dtype=np.float32),
            text=text_of(node),
            payload=payload_of(node, self.tenant, self.asset_folder),
        )

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document. A node without a document is its own, and goes by its own id."""
        self._delete(Or((AnyOf(DOCUMENT_ID, (ref_doc_id,)), AnyOf(NODE_ID, (ref_doc_id,)))))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes by id, by filter, or those that are named by both.

        Raises:
            InputError: neither is given (`clear` deletes all).
        """
        if node_ids is None and filters is None:
            raise InputError("delete_nodes needs node_ids or filters; clear() deletes all nodes")
        ids = None if node_ids is None else AnyOf(NODE_ID, tuple(node_ids))
        self._delete(_all_of(ids, None if filters is None else to_filter(filters)))

    def clear(self) -> None:
        """Delete all nodes of the tenant. Pictures stay in the asset folder: other tenants may show them too."""
        self._delete(And(()))

    def _delete(self, where: Filter) -> None:
        self._check_writable("delete nodes")
        self.client.delete(where=_all_of(self._own, where))

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Nodes by id, by filter, or those that pass both; in the order of `node_ids`, unknown ids left out."""
        where = _all_of(self._own, None if filters is None else to_filter(filters))
        if node_ids is None:
            return [self._node(point) for point in self.client.scroll(where)]
        tenant = "" if self._belongs_to_index else self.tenant  # the ids of pages are their points' own
        points = self.client.get([point_id_of(node_id, tenant) for node_id in node_ids])
        return [self._node(point) for point in points if matches(where, point.payload)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes, best first.

        Modes: `default` compares vectors, `sparse` and `text_search` words (BM25), `hybrid` fuses both ranks, `mmr`
        trades likeness to the query for variety (`mmr_threshold`, 1: likeness alone). `alpha` weighs the ranks of a
        hybrid search, from 0 (words alone) to 1 (vectors alone); without it they are fused in the engine. A hybrid
        search gives `hybrid_top_k` nodes where that is set; each side is read at least 100 deep, so that
        `sparse_top_k` is not needed. Similarities are cosine, BM25 or fused ranks.

        Raises:
            InputError: nothing to compare with in this mode (never any nodes in no order), or another mode.
            FilterError: see `to_filter`.
        """
        found = ranked(self.client, query, self._where(query))
        nodes = [self._node(point) for point in found]
        return VectorStoreQueryResult(
            nodes=nodes, similarities=[point.score for point in found], ids=[node.node_id for node in nodes]
        )

    def search(
        self,
        vector: Vector | None = None,
        text: str | None = None,
        *,
        top_k: int = 10,
        where: Filter | None = None,
        mode: SearchMode = "hybrid",
    ) -> list[tuple[BaseNode, float]]:
        """Nodes with scores; `where` is a filter of ours on metadata. See `connectors.stores.protocol.VectorStore`."""
        own = _all_of(self._own, None if where is None else on_metadata(where))
        found = self.client.search(vector, text, top_k=top_k, where=own, mode=mode)
        return [(self._node(point), point.score) for point in found]

    def search_varied(
        self, vector: Vector, *, top_k: int = 10, pool: int = 40, likeness: float = 0.5, where: Filter | None = None
    ) -> list[tuple[BaseNode, float]]:
        """Nodes with cosines, like the query and unlike each other, picked among the `pool` nearest.

        `likeness` goes from 0 (variety alone) to 1 (likeness to the query alone); `where` is as for `search`.

        Raises:
            InputError: `likeness` is outside 0 and 1.
        """
        own = _all_of(self._own, None if where is None else on_metadata(where))
        found = varied(self.client, vector, top_k=top_k, pool=pool, likeness=likeness, where=own)
        return [(self._node(point), point.score) for point in found]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add` in a thread."""
        return await asyncio.to_thread(self.add, nodes)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete` in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """`delete_nodes` in a thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """`clear` in a thread."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes` in a thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query` in a thread: the same code and so the same answers, on the embedded engine too."""
        return await asyncio.to_thread(self.query, query)

    def close(self) -> None:
        """Close the store, unless it was given open. It opens again when it is used again."""
        with self._opening:
            if self._store is not None and not self.location.startswith("("):
                store, self._store = self._store, None
                store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _own(self) -> Filter:
        return AnyOf("tenant", (self.tenant,))

    def _node(self, point: ScoredPoint | StoredPoint) -> BaseNode:
        return node_of(point.payload, self.asset_folder)

    def _where(self, query: VectorStoreQuery) -> Filter:
        filters = None if query.filters is None else to_filter(query.filters)
        return _all_of(self._own, filters, self._doc_ids(query.doc_ids), self._node_ids(query.node_ids))

    def _doc_ids(self, doc_ids: list[str] | None) -> Filter | None:
        if not doc_ids:
            return None
        if not self._belongs_to_index:
            return AnyOf(DOCUMENT_ID, tuple(doc_ids))
        # An index stores the names of its sources; their ids are computed from them.
        sources = self.client.facet("source", self._own, limit=_ALL_SOURCES)
        return AnyOf("source", tuple(name for name in sources if source_id(name, self.tenant) in doc_ids))

    def _node_ids(self, node_ids: list[str] | None) -> Filter | None:
        """The wish for some nodes, if it is one.

        `VectorStoreIndex.as_retriever` names the `ImageNode`s and `IndexNode`s that it keeps itself in every query;
        taken as a wish, that would hide all text nodes beside them. So a list of only such nodes restricts nothing:
        filter on "node_id" to mean it.
        """
        if not node_ids:
            return None
        if self._belongs_to_index:
            raise InputError("an index of pages is not searched by node_ids; filter on source and page instead")
        named = AnyOf(NODE_ID, tuple(node_ids))
        other = _all_of(self._own, named, Not(AnyOf(NODE_CLASS, _KEPT_BY_INDEXES)))
        return named if self.client.count(other) or not self.client.count(_all_of(self._own, named)) else None

    def _check_writable(self, action: str) -> None:
        if self._belongs_to_index:
            raise StoreError(
                f"cannot {action} past the index that these pages belong to, whose ledger would not know: use its "
                "ingest and delete"
            )


def _all_of(*parts: Filter | None) -> Filter:
    return And(tuple(part for part in parts if part is not None))
