"""Errors of the application: an index that cannot be used as asked."""

from embedder.errors import ViPyloError


class IndexDirectoryError(ViPyloError):
    """An index directory is missing, damaged, or of another embedder; the text names it and the way out."""


class BeingWrittenError(IndexDirectoryError):
    """Another process is writing the index: it is to be waited for."""


class RerankError(ViPyloError):
    """A reranker failed, or gave back something else than the hits that it was given; the text names it."""
