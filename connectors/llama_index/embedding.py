"""ViPyloEmbedding: our embedders as a LlamaIndex embedding model that sees a node's text and image together."""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr, model_validator
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.schema import BaseNode, ImageType, MetadataMode, QueryBundle
from PIL import Image

from connectors.llama_index.embedding_cache import EmbeddingCache, Role
from connectors.llama_index.media import open_picture, picture_of
from connectors.llama_index.opening_lock import OpeningLock
from embedder.errors import InputError
from embedder.load import load_embedder
from embedder.prefixes import IMAGE_MARKER, literal
from embedder.protocol import Embedder, Sample

_dispatcher = get_dispatcher(__name__)


class ViPyloEmbedding(MultiModalEmbedding):
    """Text, images, or both together as vectors of one space, for any LlamaIndex program.

    The stock `BaseEmbedding.__call__` embeds a node's text alone: every image node gets the vector of "" (FACTS 1).
    This one embeds a node's text and image jointly. Stock indexes ask for the text only when a node has no embedding
    yet: give them `embed_model(nodes)`, or run an `IngestionPipeline` with this as a transformation.

    Example:
        >>> from llama_index.core import Settings                      # doctest: +SKIP
        >>> Settings.embed_model = ViPyloEmbedding()

    Args:
        model_name: "starter", a checkpoint directory, a hub id, or "KIND:NAME" (see `embedder.load.load_embedder`).
        device: "cpu", "cuda", ...; by default a GPU where there is one.
        embed_batch_size: most nodes in one batch.
        embeddings_cache: a LlamaIndex key-value store. Entries are keyed by the model's fingerprint, by role (query or
            document) and by content (an image's pixels); see `EmbeddingCache`.
    """

    model_name: str = Field(default="starter", description="Checkpoint: starter, a directory, a hub id, or KIND:NAME")
    device: str | None = Field(default=None, description="Where the model runs; a GPU where there is one by default")
    embed_batch_size: int = Field(default=16, description="Most nodes in one batch", gt=0, le=2048)

    # Loaded when first used and never pickled: a worker process loads its own from model_name.
    _embedder: Embedder | None = PrivateAttr(default=None)
    _loading: OpeningLock = PrivateAttr(default_factory=OpeningLock)

    @model_validator(mode="after")
    def _use_our_keys(self) -> Self:
        if self.embeddings_cache is not None and not isinstance(self.embeddings_cache, EmbeddingCache):
            self.embeddings_cache = EmbeddingCache(self.embeddings_cache)
        return self

    @classmethod
    def over(cls, embedder: Embedder, **fields: Any) -> Self:
        """This, around an embedder that is loaded already, such as `MultimodalIndex.embedder`."""
        made = cls(model_name=embedder.name, **fields)
        made._embedder = embedder
        return made

    @classmethod
    def class_name(cls) -> str:
        """Name used in serialised pipelines."""
        return "ViPyloEmbedding"

    @property
    def embedder(self) -> Embedder:
        """The model itself."""
        with self._loading:  # the async methods come from several threads, and memory may hold one model
            if self._embedder is None:
                options = {} if self.device is None else {"device": self.device}
                self._embedder = load_embedder(self.model_name, **options)
            return self._embedder

    def __getstate__(self) -> dict[str, Any]:
        """Without the model: it is loaded again from its name."""
        with self._loading:
            loaded, self._embedder = self._embedder, None
            try:
                return super().__getstate__()
            finally:
                self._embedder = loaded

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Set every node's embedding, from its text and image together.

        Raises:
            InputError: a node has neither text nor image, or an image that is not here; names the node.
            DocumentError: a node's image cannot be read; names the file.
        """
        for start in range(0, len(nodes), self.embed_batch_size):
            batch = nodes[start : start + self.embed_batch_size]
            names = [f"node {node.node_id}" for node in batch]
            texts = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in batch]
            pictures = [picture_of(node) for node in batch]
            samples = [_document(text, picture) for text, picture in zip(texts, pictures, strict=True)]
            model = self.to_payload()
            _dispatcher.event(EmbeddingStartEvent(model_dict=model))
            with self.callback_manager.event(CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: model}) as event:
                if self.rate_limiter is not None:
                    self.rate_limiter.acquire()
                vectors = self._embed(samples, names, "document")
                event.on_end(payload={EventPayload.CHUNKS: texts, EventPayload.EMBEDDINGS: vectors})
            _dispatcher.event(EmbeddingEndEvent(chunks=texts, embeddings=vectors))
            for node, vector in zip(batch, vectors, strict=True):
                node.embedding = vector
        return nodes

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """`__call__` in a thread."""
        return await asyncio.to_thread(self.__call__, nodes, **kwargs)

    def query_bundle(self, text: str = "", image: Image.Image | str | Path | None = None) -> QueryBundle:
        """A query of text, image or both with its embedding set: stock retrievers use that embedding as it is.

        Raises:
            InputError: neither text nor image. DocumentError: the image cannot be read.
        """
        images = () if image is None else (open_picture(image),)
        vector = self._embed([Sample(_asked(text, images), images)], ["query"], "query")[0]
        return QueryBundle(query_str=text, embedding=vector)

    def _embed(self, samples: Sequence[Sample], names: Sequence[str], role: Role) -> list[Embedding]:
        def embed(rows: list[int]) -> list[Embedding]:
            found = self.embedder.encode_rows([samples[row] for row in rows], batch_size=self.embed_batch_size)
            for row, error in sorted(found.errors.items()):
                raise InputError(f"{names[rows[row]]}: {error}") from error
            return cast(list[Embedding], found.vectors.tolist())

        if isinstance(self.embeddings_cache, EmbeddingCache):
            return self.embeddings_cache.vectors(samples, self.embedder.fingerprint, role, embed)
        return embed(list(range(len(samples))))

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed([_document(text) for text in texts], _numbered("text", texts), "document")

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([Sample(_asked(query, ()))], ["query"], "query")[0]

    def _get_image_embeddings(self, img_file_paths: list[ImageType]) -> list[Embedding]:
        _dispatcher.event(EmbeddingStartEvent(model_dict=self.to_payload()))
        names = _numbered("image", img_file_paths)
        pictures = [open_picture(image, name) for image, name in zip(img_file_paths, names, strict=True)]
        vectors = self._embed([_document("", picture) for picture in pictures], names, "document")
        chunks = [
            name if isinstance(image, io.BytesIO) else str(image)
            for image, name in zip(img_file_paths, names, strict=True)
        ]
        _dispatcher.event(EmbeddingEndEvent(chunks=chunks, embeddings=vectors))
        return vectors

    def _get_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return self._get_image_embeddings([img_file_path])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    async def _aget_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)

    async def _aget_image_embeddings(self, img_file_paths: list[ImageType]) -> list[Embedding]:
        return await asyncio.to_thread(self._get_image_embeddings, img_file_paths)


def _numbered(what: str, entries: Sequence[Any]) -> list[str]:
    return [f"{what} {row}" for row in range(len(entries))]


def _asked(text: str, images: tuple[Image.Image, ...]) -> str:
    """A query's text: with more markers than images, "<image>" is a word that is asked for."""
    return text if text.count(IMAGE_MARKER) <= len(images) else literal(text)


def _document(text: str, picture: Image.Image | None = None) -> Sample:
    """A document's sample: what its text says about markers and prefixes is data."""
    return Sample(literal(text), () if picture is None else (picture,))
