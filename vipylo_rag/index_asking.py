"""Asking an index a question: the pages that a search finds, and the answer made from them."""

from vipylo_rag.index_reading import IndexReading


class IndexAsking(IndexReading):
    """What answers questions from an index."""
