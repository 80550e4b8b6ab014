"""ViPyloEmbedding: our embedders as a LlamaIndex embedding model that sees a node's text and image together."""

import asyncio
import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.schema import BaseNode, ImageType, MetadataMode, QueryBundle
from PIL import Image

from connectors.loaders.registry import first_image
from embedder.errors import InputError
from embedder.load import load_embedder
from embedder.prefixes import IMAGE_MARKER, literal
from embedder.protocol import Embedder, Sample


class ViPyloEmbedding(MultiModalEmbedding):
    """Text, images, or both together as vectors of one space, for any LlamaIndex program.

    The stock `BaseEmbedding.__call__` embeds a node's text alone: every image node gets the vector of "" (FACTS 1).
    This one embeds a node's text and image jointly.

    Example:
        >>> from llama_index.core import Settings                      # doctest: +SKIP
        >>> Settings.embed_model = ViPyloEmbedding()

    Args:
        model_name: "starter", a checkpoint directory, a hub id, or "KIND:NAME" (see `embedder.load.load_embedder`).
        device: "cpu", "cuda", ...; by default a GPU where there is one.
        embed_batch_size: most nodes in one batch.
    """

    model_name: str = Field(default="starter", description="Checkpoint: starter, a directory, a hub id, or KIND:NAME")
    device: str | None = Field(default=None, description="Where the model runs; a GPU where there is one by default")
    embed_batch_size: int = Field(default=16, description="Most nodes in one batch", gt=0, le=2048)

    # Loaded when first used and never pickled: a worker process loads its own from model_name.
    _embedder: Embedder | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """Name used in serialised pipelines."""
        return "ViPyloEmbedding"

    @property
    def embedder(self) -> Embedder:
        """The model itself."""
        if self._embedder is None:
            options = {} if self.device is None else {"device": self.device}
            self._embedder = load_embedder(self.model_name, **options)
        return self._embedder

    def __getstate__(self) -> dict[str, Any]:
        """Without the model: it is loaded again from its name."""
        loaded, self._embedder = self._embedder, None
        try:
            return super().__getstate__()
        finally:
            self._embedder = loaded

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Set every node's embedding, from its text and image together.

        Raises:
            InputError: a node has neither text nor image, or image bytes that cannot be read; names the node.
            DocumentError: a node's image file cannot be read; names the file.
        """
        for start in range(0, len(nodes), self.embed_batch_size):
            batch = nodes[start : start + self.embed_batch_size]
            vectors = self._embed([_sample(node) for node in batch], [f"node {node.node_id}" for node in batch])
            for node, vector in zip(batch, vectors, strict=True):
                node.embedding = vector
        return nodes

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """`__call__` in a thread."""
        return await asyncio.to_thread(self.__call__, nodes, **kwargs)

    def query_bundle(self, text: str = "", image: Image.Image | str | Path | None = None) -> QueryBundle:
        """A query of text, image or both with its embedding set: stock retrievers use that embedding as it is."""
        images = () if image is None else (image if isinstance(image, Image.Image) else _open(image),)
        return QueryBundle(query_str=text, embedding=self._embed([Sample(_asked(text, images), images)], ["query"])[0])

    def _embed(self, samples: Sequence[Sample], names: Sequence[str]) -> list[Embedding]:
        rows = self.embedder.encode_rows(samples, batch_size=self.embed_batch_size)
        for row, error in sorted(rows.errors.items()):
            raise InputError(f"{names[row]}: {error}") from error
        return cast(list[Embedding], rows.vectors.tolist())

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed([Sample(literal(text)) for text in texts], [f"text {row}" for row in range(len(texts))])

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([Sample(_asked(query, ()))], ["query"])[0]

    def _get_image_embeddings(self, img_file_paths: list[ImageType]) -> list[Embedding]:
        samples = [Sample("", (_open(image),)) for image in img_file_paths]
        return self._embed(samples, [f"image {row}" for row in range(len(samples))])

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


def _asked(text: str, images: tuple[Image.Image, ...]) -> str:
    """A query's text: with more markers than images, "<image>" is a word that is asked for."""
    return text if text.count(IMAGE_MARKER) <= len(images) else literal(text)


def _sample(node: BaseNode) -> Sample:
    """A node's text (as LlamaIndex would embed it) and its image, from the new fields or `ImageNode`'s old ones."""
    resource = getattr(node, "image_resource", None)
    path = getattr(resource, "path", None) or getattr(node, "image_path", None)
    data = getattr(resource, "data", None) or getattr(node, "image", None)
    image = _open(path) if path else _open(io.BytesIO(base64.b64decode(data))) if data else None
    text = literal(node.get_content(metadata_mode=MetadataMode.EMBED))
    return Sample(text, () if image is None else (image,))


def _open(image: Any) -> Image.Image:
    """An image from a path (read by the loaders, as at ingest) or from bytes."""
    if not isinstance(image, io.BytesIO):
        return first_image(str(image))
    try:
        return Image.open(image)
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"image bytes cannot be read: {error}") from error
