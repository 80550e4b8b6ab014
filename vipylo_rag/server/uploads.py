"""Uploads: files that were received whole, and how far the writer is with reading them."""

from collections.abc import Sequence
from dataclasses import dataclass

from vipylo_rag.index import MultimodalIndex
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.schemas import Upload


@dataclass(frozen=True)
class ReceivedFile:
    """A file of an upload: its name made harmless, and its number in the folder that it was received in."""

    name: str
    number: int
    bytes: int


class Uploads:
    """Takes files into an index, one upload after the other, and deletes documents: the only writer of a server.

    Args:
        index: open for as long as this runs.
        options: its limits.
    """

    def __init__(self, index: MultimodalIndex, options: ServerOptions) -> None:
        self._index = index
        self._options = options

    def start(self) -> None:
        """Clean what a killed server left, and go on with what it had taken in. Starts the writer's thread."""

    def stop(self) -> None:
        """End the writer's thread; what is not read by then is read after the next start. Twice is allowed."""

    def add(self, files: Sequence[ReceivedFile], tenant: str) -> Upload:
        """Put an upload into the line."""
        raise NotImplementedError

    def get(self, upload: str, tenant: str) -> Upload | None:
        """An upload and how far it is; None where this tenant has no such upload."""
        return None
