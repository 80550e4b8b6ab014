"""LlamaIndex: an embedding model, a vector store, a retriever and readers that see text and images together."""

from connectors.llama_index.documents import as_documents
from connectors.llama_index.embedding import ViPyloEmbedding
from connectors.llama_index.readers import file_extractor
from connectors.llama_index.retriever import ViPyloRetriever
from connectors.llama_index.splitting import SplitDocuments
from connectors.llama_index.vector_store import ViPyloVectorStore

__all__ = [
    "SplitDocuments",
    "ViPyloEmbedding",
    "ViPyloRetriever",
    "ViPyloVectorStore",
    "as_documents",
    "file_extractor",
]
