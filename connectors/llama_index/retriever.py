"""ViPyloRetriever: asks a vector store by text, by image, or by both as one vector; stock retrievers drop the image."""

import asyncio
from typing import Any, Final

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import Embedding, mean_agg
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryMode

from connectors.llama_index.embedding import ViPyloEmbedding
from connectors.llama_index.vector_store import ViPyloVectorStore
from connectors.stores.protocol import SearchMode
from embedder.errors import InputError

_MODES: Final[dict[SearchMode, VectorStoreQueryMode]] = {
    "hybrid": VectorStoreQueryMode.HYBRID,
    "dense": VectorStoreQueryMode.DEFAULT,
    "lexical": VectorStoreQueryMode.SPARSE,
}


class FoundNode(NodeWithScore):
    """A node with its score whose `text` is there for pages too: the stock one raises unless it is a `TextNode`, and
    `RetrieverEvaluator` asks for it."""

    @property
    def text(self) -> str:
        """The node's text without metadata."""
        return self.node.get_content()

    def get_text(self) -> str:
        """See `text`."""
        return self.text


class ViPyloRetriever(BaseRetriever):
    """Finds nodes by text, by image (`QueryBundle(image_path=...)`), by both, or by a given embedding.

    Example:
        >>> retriever = ViPyloRetriever(store, embed_model)            # doctest: +SKIP
        >>> retriever.retrieve(QueryBundle("cùng loại, năm 2024", image_path="invoice.jpg"))

    Args:
        vector_store: where the nodes are.
        embed_model: the model that embedded them.
        similarity_top_k: how many nodes at most.
        mode: "hybrid" fuses vectors and words, "dense" compares vectors, "lexical" words.
        filters: on metadata.
        doc_ids: search these documents only.
        alpha: weight of the vectors in a hybrid search (see `ViPyloVectorStore.query`).

    Raises:
        InputError: another mode. When retrieving: the query is empty, or lexical without text.
    """

    def __init__(
        self,
        vector_store: ViPyloVectorStore,
        embed_model: ViPyloEmbedding,
        *,
        similarity_top_k: int = 10,
        mode: SearchMode = "hybrid",
        filters: MetadataFilters | None = None,
        doc_ids: list[str] | None = None,
        alpha: float | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        if mode not in _MODES:
            raise InputError(f"mode={mode!r} is none of {', '.join(_MODES)}")
        self.vector_store = vector_store
        self.embed_model = embed_model
        self.similarity_top_k = similarity_top_k
        self.mode: SearchMode = mode
        self.filters = filters
        self.doc_ids = doc_ids
        self.alpha = alpha
        super().__init__(callback_manager=callback_manager, object_map=object_map, verbose=verbose)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = VectorStoreQuery(
            query_embedding=None if self.mode == "lexical" else self._embedding(query_bundle),
            query_str=query_bundle.query_str,
            similarity_top_k=self.similarity_top_k,
            mode=_MODES[self.mode],
            filters=self.filters,
            doc_ids=self.doc_ids,
            alpha=self.alpha,
        )
        result = self.vector_store.query(query)
        pairs = zip(result.nodes or [], result.similarities or [], strict=True)
        return [FoundNode(node=node, score=score) for node, score in pairs]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _embedding(self, bundle: QueryBundle) -> Embedding:
        if bundle.embedding is not None:
            return bundle.embedding
        if bundle.image_path is None:
            if not bundle.embedding_strs:
                raise InputError("the query is empty: give a text, an image_path, or an embedding")
            return self.embed_model.get_agg_embedding_from_queries(bundle.embedding_strs)
        texts = bundle.embedding_strs or [""]
        found = [self.embed_model.query_bundle(text, bundle.image_path).embedding for text in texts]
        return mean_agg([vector for vector in found if vector is not None])
