"""LangChain: our embedders as `Embeddings`, our stores as a `VectorStore`, for text and pictures in one collection.

Points are the same as LlamaIndex's (`connectors.llama_index`): what one put in, the other finds.
"""

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from llama_index.core.schema import BaseNode, MediaResource, Node
from PIL import Image

from connectors.llama_index.embedding import ViPyloEmbedding
from connectors.llama_index.media import resource_of
from connectors.llama_index.vector_store import ViPyloVectorStore
from connectors.stores.filters import Filter, parse_filter
from connectors.stores.protocol import SearchMode
from embedder.errors import InputError, PluginError

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore
except ImportError as error:
    raise PluginError('LangChain is not installed: pip install "vipylo-rag[langchain]"') from error

# Metadata of a document that has a picture: the path of its file.
IMAGE_PATH: Final = "image_path"

Picture = Image.Image | str | Path
Where = Mapping[str, Any] | Filter


class ViPyloEmbeddings(Embeddings):
    """Text and images as vectors of one space.

    Args:
        model: a checkpoint's name (see `embedder.load.load_embedder`), or our LlamaIndex embedding.
        fields: of `ViPyloEmbedding`, such as device= or embeddings_cache=.
    """

    def __init__(self, model: str | ViPyloEmbedding = "starter", **fields: Any) -> None:
        self.model = ViPyloEmbedding(model_name=model, **fields) if isinstance(model, str) else model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors [n, dim] of texts. Raises InputError for an empty one."""
        return self.model.get_text_embedding_batch(texts)

    def embed_query(self, text: str) -> list[float]:
        """The vector [dim] of a question."""
        return self.model.get_query_embedding(text)

    def embed_images(self, images: Sequence[str]) -> list[list[float]]:
        """Vectors [n, dim] of image files."""
        return self.model.get_image_embedding_batch(list(images))

    def embed_mixed_query(self, text: str = "", image: Picture | None = None) -> list[float]:
        """The vector [dim] of a question with a picture, or of a picture alone."""
        return _vector(self.model.query_bundle(text, image).embedding)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents` in threads."""
        return await self.model.aget_text_embedding_batch(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query` in a thread."""
        return await self.model.aget_query_embedding(text)

    async def aembed_images(self, images: Sequence[str]) -> list[list[float]]:
        """`embed_images` in threads."""
        return await self.model.aget_image_embedding_batch(list(images))


class ViPyloLangChainStore(VectorStore):
    """Documents and pictures over any of our stores, searched by vectors, words, or both.

    A document with `metadata["image_path"]` is embedded from its text and that picture together; the picture is copied
    below the store's asset folder, and found documents name the copy.

    Example:
        >>> store = ViPyloLangChainStore(ViPyloVectorStore(location="my-nodes"), ViPyloEmbeddings())  # doctest: +SKIP
        >>> store.add_images(["photo.jpg"])
        >>> store.similarity_search("một con tàu", filter={"year": {"gte": 2020}})

    Args:
        store: where points are; `ViPyloVectorStore.of_index` searches an index of pages.
        embedding: the model.
        mode: how `similarity_search` compares: "hybrid", "dense" or "lexical".
    """

    def __init__(self, store: ViPyloVectorStore, embedding: ViPyloEmbeddings, *, mode: SearchMode = "hybrid") -> None:
        if mode not in ("hybrid", "dense", "lexical"):
            raise InputError(f"mode={mode!r} is none of hybrid, dense, lexical")
        self.store = store
        self.mode: SearchMode = mode
        self._embedding = embedding

    @property
    def embeddings(self) -> ViPyloEmbeddings:
        """The model."""
        return self._embedding

    @classmethod
    def from_texts(  # type: ignore[override]  # only our model sees pictures
        cls,
        texts: list[str],
        embedding: ViPyloEmbeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        store: ViPyloVectorStore,
        mode: SearchMode = "hybrid",
        **kwargs: Any,
    ) -> Self:
        """A store with these texts in it. `store` says where."""
        made = cls(store, embedding, mode=mode)
        made.add_texts(texts, metadatas, ids=ids)
        return made

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add or (by id) replace texts; returns their ids.

        Raises:
            InputError: the lists are of different lengths, or a document has neither text nor picture.
        """
        contents = list(texts)
        documents = [
            Document(page_content=text, metadata=metadata)
            for text, metadata in _paired(contents, "metadatas", metadatas, {})
        ]
        return self.add_documents(documents, ids=ids)

    def add_documents(self, documents: list[Document], *, ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        """Add or (by id) replace documents; returns their ids. See `add_texts`."""
        given = [document.id for document in documents] if ids is None else ids
        nodes = [_node(document, id_) for document, id_ in _paired(documents, "ids", given, None)]
        return self.store.add(self._embedding.model(nodes))

    def add_images(
        self,
        images: Sequence[str | Path],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        texts: list[str] | None = None,
        ids: list[str] | None = None,
    ) -> list[str]:
        """Add picture files, with a text to each if there is one; returns their ids. See `add_texts`."""
        paths = [{IMAGE_PATH: str(image)} for image in images]
        merged = [{**metadata, **path} for path, metadata in _paired(paths, "metadatas", metadatas, {})]
        written = [text for _, text in _paired(paths, "texts", texts, "")]
        return self.add_texts(written, merged, ids=ids)

    def similarity_search(
        self, query: str, k: int = 4, filter: Where | None = None, mode: SearchMode | None = None, **kwargs: Any
    ) -> list[Document]:
        """The best documents for a text.

        Args:
            query: what to look for.
            k: how many documents at most.
            filter: on metadata, as {"kind": "pdf", "page": {"lte": 3}} (see `connectors.stores.filters.parse_filter`).
            mode: instead of the store's.

        Raises:
            FilterError: an unknown operator, or a value of the wrong type.
        """
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, mode)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Where | None = None, mode: SearchMode | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search` with scores: cosine (dense), BM25 (lexical) or fused ranks (hybrid); more is better."""
        chosen = mode or self.mode
        vector = None if chosen == "lexical" else self._embedding.embed_query(query)
        return self._found(vector, query, k, filter, chosen)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Where | None = None, **kwargs: Any
    ) -> list[Document]:
        """The nearest documents to a vector."""
        return [document for document, _ in self._found(embedding, None, k, filter, "dense")]

    def similarity_search_by_image(
        self, image: Picture, query: str = "", k: int = 4, filter: Where | None = None
    ) -> list[tuple[Document, float]]:
        """The nearest documents, with cosine scores, to a picture, or to a picture and a text as one question."""
        return self._found(self._embedding.embed_mixed_query(query, image), None, k, filter, "dense")

    async def asimilarity_search_by_image(
        self, image: Picture, query: str = "", k: int = 4, filter: Where | None = None
    ) -> list[tuple[Document, float]]:
        """`similarity_search_by_image` in a thread."""
        return await asyncio.to_thread(self.similarity_search_by_image, image, query, k, filter)

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Documents like the query and unlike each other: `k` of the `fetch_k` nearest, compared by vectors.

        Args:
            query: what to look for.
            k: how many documents at most.
            fetch_k: how many to pick them from.
            lambda_mult: from 0 (variety alone) to 1 (likeness to the query alone).
            filter: see `similarity_search`.

        Raises:
            InputError: `lambda_mult` is outside 0 and 1. FilterError: see `similarity_search`.
        """
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search` for a vector."""
        vector, where = np.asarray(embedding, dtype=np.float32), parse_filter(filter)
        found = self.store.search_varied(vector, top_k=k, pool=fetch_k, likeness=lambda_mult, where=where)
        return [_document(node) for node, _ in found]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete by ids; without, all documents (as LangChain has it)."""
        if ids is None:
            self.store.clear()
        else:
            self.store.delete_nodes(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id; unknown ids are left out."""
        return [_document(node) for node in self.store.get_nodes(list(ids))]

    def _found(
        self, vector: list[float] | None, text: str | None, k: int, filter: Where | None, mode: SearchMode
    ) -> list[tuple[Document, float]]:
        array = None if vector is None else np.asarray(vector, dtype=np.float32)
        found = self.store.search(array, text, top_k=k, where=parse_filter(filter), mode=mode)
        return [(_document(node), score) for node, score in found]

    def _select_relevance_score_fn(self) -> Any:
        # Between 0 and 1, as LangChain asks; only cosines can be turned into that.
        if self.mode != "dense":
            raise InputError(f"relevance scores need mode='dense', this store's is {self.mode!r}")
        return _relevance


def _relevance(cosine: float) -> float:
    return (1.0 + cosine) / 2.0


def _paired(first: Sequence[Any], name: str, second: Sequence[Any] | None, default: Any) -> list[tuple[Any, Any]]:
    if second is not None and len(second) != len(first):
        raise InputError(f"{len(second)} {name} for {len(first)} documents")
    return [(entry, default if second is None else second[row]) for row, entry in enumerate(first)]


def _node(document: Document, id_: str | None) -> Node:
    metadata = dict(document.metadata)
    path = metadata.pop(IMAGE_PATH, None)
    made: dict[str, Any] = {"metadata": metadata, "excluded_embed_metadata_keys": sorted(metadata)}
    return Node(
        id_=id_ or str(uuid.uuid4()),
        text_resource=MediaResource(text=document.page_content),
        image_resource=MediaResource(path=Path(path)) if path else None,
        **made,
    )


def _document(node: BaseNode) -> Document:
    resource = resource_of(node)
    # Metadata are what a writer of the store says: only its own media are the picture, which `_node` would open.
    metadata = {key: value for key, value in node.metadata.items() if key != IMAGE_PATH}
    if resource is not None and resource.path is not None:
        metadata[IMAGE_PATH] = str(resource.path)
    return Document(id=node.node_id, page_content=node.get_content(), metadata=metadata)


def _vector(embedding: list[float] | None) -> list[float]:
    assert embedding is not None  # query_bundle sets it
    return embedding
