"""A cache of vectors that knows the model, the role (query or document) and the content, images included."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

from embedder.pixels import load_rgb
from embedder.protocol import Sample

Role = Literal["query", "document"]
COLLECTION: Final = "vipylo_embeddings"

# Where `BaseEmbedding` looks up raw texts, whatever they are for and whichever model is asked (FACTS 8).
_STOCK_COLLECTION: Final = "embeddings"


class EmbeddingCache(BaseKVStore):
    """Stands before a key-value store in `BaseEmbedding.embeddings_cache`: the stock code's own entries, keyed by raw
    text, are neither written nor read; `vectors` keeps ours.

    Args:
        store: any LlamaIndex key-value store.
    """

    def __init__(self, store: BaseKVStore) -> None:
        self.store = store

    def vectors(
        self,
        samples: Sequence[Sample],
        fingerprint: str,
        role: Role,
        embed: Callable[[list[int]], list[Embedding]],
    ) -> list[Embedding]:
        """The vectors of `samples`, in order; `embed` gets the rows that are not in the cache, each content once."""
        keys = [_key(sample, fingerprint, role) for sample in samples]
        known = {key: found["vector"] for key in set(keys) if (found := self.store.get(key, COLLECTION)) is not None}
        missing = {key: row for row, key in enumerate(keys) if key not in known}
        rows = sorted(missing.values())
        for row, vector in zip(rows, embed(rows) if rows else [], strict=True):
            known[keys[row]] = vector
            self.store.put(keys[row], {"vector": vector}, COLLECTION)
        return [known[key] for key in keys]

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """What the store holds, except the stock code's raw-text entries."""
        return None if collection == _STOCK_COLLECTION else self.store.get(key, collection)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """See `get`."""
        return None if collection == _STOCK_COLLECTION else await self.store.aget(key, collection)

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Pass on, except the stock code's raw-text entries."""
        if collection != _STOCK_COLLECTION:
            self.store.put(key, val, collection)

    async def aput(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """See `put`."""
        if collection != _STOCK_COLLECTION:
            await self.store.aput(key, val, collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Pass on."""
        return self.store.get_all(collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Pass on."""
        return await self.store.aget_all(collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Pass on."""
        return self.store.delete(key, collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Pass on."""
        return await self.store.adelete(key, collection)


def _key(sample: Sample, fingerprint: str, role: Role) -> str:
    digest = hashlib.sha256(sample.text.encode("utf-8", "surrogatepass"))
    for image in sample.images:
        shown = load_rgb(image)
        digest.update(f"\x00{shown.width}x{shown.height}\x00".encode())
        digest.update(shown.tobytes())
    return f"{fingerprint}:{role}:{digest.hexdigest()}"
