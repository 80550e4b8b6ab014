"""What the readers of archive formats give: one entry after the other, its content in pieces that are never large."""

from collections.abc import Iterator
from dataclasses import dataclass, field

CHUNK = 1 << 18


class DamagedArchiveError(Exception):
    """An archive, or one member of it, cannot be read on; the text is the reason."""


@dataclass(frozen=True)
class ArchiveEntry:
    """A file in an archive.

    Attributes:
        name: as the archive says it, decoded; not yet safe.
        chunks: its content, at most `CHUNK` bytes at a time, read when asked for; any exception means damage.
        size: the bytes it says it holds; None where it does not.
        packed: the bytes it takes in the archive; None where that is not known.
        problem: why it cannot be taken out at all; None where it can.
    """

    name: str
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    size: int | None = None
    packed: int | None = None
    problem: str | None = None
