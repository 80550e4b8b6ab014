"""Errors of the outside world: documents that cannot be read, stores that cannot be used."""

from embedder.errors import ViPyloError


class DocumentError(ViPyloError):
    """One document (or one page of it) cannot be read; the text says which and why, and what to do about it."""


class StoreError(ViPyloError):
    """A vector store cannot be opened, is in use elsewhere, or refused an operation."""


class StoreUnavailableError(StoreError):
    """A store did not answer, or said that it cannot now: nothing is wrong with what it was asked. Try again later."""


class StoreInUseError(StoreError):
    """A store is open in another process, and one process can have it at a time: nothing is wrong with its files."""


class FilterError(StoreError, ValueError):
    """A filter names an unknown field or operator, or compares with a value of the wrong type."""


class LLMError(ViPyloError):
    """A language model cannot be reached, refused a question, or broke off in its answer; the text says which."""
