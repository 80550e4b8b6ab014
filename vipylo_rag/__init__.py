"""ViPylo RAG: one index for text, images and any mix of both. Import from here; experts import from the rooms."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.errors import DocumentError, FilterError, LLMError, StoreError, StoreUnavailableError
    from connectors.llama_index.embedding import ViPyloEmbedding
    from connectors.llama_index.retriever import ViPyloRetriever
    from connectors.llama_index.vector_store import ViPyloVectorStore
    from connectors.stores.options import StoreOptions
    from embedder.errors import CheckpointError, InputError, ViPyloError
    from embedder.model import ColPaLiQwenEmbedder
    from vipylo_rag.answer import Answer, Citation
    from vipylo_rag.cluster import Cluster
    from vipylo_rag.errors import IndexDirectoryError
    from vipylo_rag.index import MultimodalIndex
    from vipylo_rag.llm import load_llm
    from vipylo_rag.map import write_map
    from vipylo_rag.report import IngestReport
    from vipylo_rag.search import Hit
    from vipylo_rag.transfer import import_index

__all__ = [
    "Answer",
    "CheckpointError",
    "Citation",
    "Cluster",
    "ColPaLiQwenEmbedder",
    "DocumentError",
    "FilterError",
    "Hit",
    "IndexDirectoryError",
    "IngestReport",
    "InputError",
    "LLMError",
    "MultimodalIndex",
    "StoreError",
    "StoreOptions",
    "StoreUnavailableError",
    "ViPyloEmbedding",
    "ViPyloError",
    "ViPyloRetriever",
    "ViPyloVectorStore",
    "import_index",
    "load_llm",
    "write_map",
]

# Where each name lives. Imported when first used: torch alone takes seconds, and `vipylo --help` needs none of it.
_HOMES = {
    "Answer": "vipylo_rag.answer",
    "CheckpointError": "embedder.errors",
    "Citation": "vipylo_rag.answer",
    "Cluster": "vipylo_rag.cluster",
    "ColPaLiQwenEmbedder": "embedder.model",
    "DocumentError": "connectors.errors",
    "FilterError": "connectors.errors",
    "Hit": "vipylo_rag.search",
    "IndexDirectoryError": "vipylo_rag.errors",
    "IngestReport": "vipylo_rag.report",
    "InputError": "embedder.errors",
    "LLMError": "connectors.errors",
    "MultimodalIndex": "vipylo_rag.index",
    "StoreError": "connectors.errors",
    "StoreOptions": "connectors.stores.options",
    "StoreUnavailableError": "connectors.errors",
    "ViPyloEmbedding": "connectors.llama_index.embedding",
    "ViPyloError": "embedder.errors",
    "ViPyloRetriever": "connectors.llama_index.retriever",
    "ViPyloVectorStore": "connectors.llama_index.vector_store",
    "import_index": "vipylo_rag.transfer",
    "load_llm": "vipylo_rag.llm",
    "write_map": "vipylo_rag.map",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
