"""ViPylo RAG: one index for text, images and any mix of both. Import from here; experts import from the rooms."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.errors import DocumentError, FilterError, StoreError, StoreUnavailableError
    from connectors.llama_index.embedding import ViPyloEmbedding
    from connectors.llama_index.retriever import ViPyloRetriever
    from connectors.llama_index.vector_store import ViPyloVectorStore
    from connectors.stores.options import StoreOptions
    from embedder.errors import CheckpointError, InputError, ViPyloError
    from embedder.model import ColPaLiQwenEmbedder
    from vipylo_rag.cluster import Cluster
    from vipylo_rag.errors import IndexDirectoryError
    from vipylo_rag.index import MultimodalIndex
    from vipylo_rag.report import IngestReport
    from vipylo_rag.search import Hit
    from vipylo_rag.transfer import import_index

__all__ = [
    "CheckpointError",
    "Cluster",
    "ColPaLiQwenEmbedder",
    "DocumentError",
    "FilterError",
    "Hit",
    "IndexDirectoryError",
    "IngestReport",
    "InputError",
    "MultimodalIndex",
    "StoreError",
    "StoreOptions",
    "StoreUnavailableError",
    "ViPyloEmbedding",
    "ViPyloError",
    "ViPyloRetriever",
    "ViPyloVectorStore",
    "import_index",
]

# Where each name lives. Imported when first used: torch alone takes seconds, and `vipylo --help` needs none of it.
_HOMES = {
    "CheckpointError": "embedder.errors",
    "Cluster": "vipylo_rag.cluster",
    "ColPaLiQwenEmbedder": "embedder.model",
    "DocumentError": "connectors.errors",
    "FilterError": "connectors.errors",
    "Hit": "vipylo_rag.search",
    "IndexDirectoryError": "vipylo_rag.errors",
    "IngestReport": "vipylo_rag.report",
    "InputError": "embedder.errors",
    "MultimodalIndex": "vipylo_rag.index",
    "StoreError": "connectors.errors",
    "StoreOptions": "connectors.stores.options",
    "StoreUnavailableError": "connectors.errors",
    "ViPyloEmbedding": "connectors.llama_index.embedding",
    "ViPyloError": "embedder.errors",
    "ViPyloRetriever": "connectors.llama_index.retriever",
    "ViPyloVectorStore": "connectors.llama_index.vector_store",
    "import_index": "vipylo_rag.transfer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
