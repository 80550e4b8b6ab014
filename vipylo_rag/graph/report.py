"""What building a page graph did, and what it is now."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class GraphFailure:
    """A page that could not be read, or one of its figures or entities that could not be embedded, and why."""

    source: str
    page: int | None
    reason: str


@dataclass
class GraphReport:
    """What a build did.

    Attributes:
        pages: how many the tenant has in the index.
        read: new or changed pages that were read.
        unchanged: pages that were read by an earlier build.
        dropped: pages that left the index, and so the graph.
        embedded: entities and figures whose vectors were made.
        nodes, relations: how many of each label the tenant has in the graph now.
        seconds: the whole run.
        failures: pages that could not be read (the next build tries again), and nodes without a vector.
        phase: what is being done: "read", "neighbours", "write", "embed"; "" when all is done.
        done, total: of the phase, in pages or nodes.
    """

    pages: int = 0
    read: int = 0
    unchanged: int = 0
    dropped: int = 0
    embedded: int = 0
    nodes: dict[str, int] = field(default_factory=dict)
    relations: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    failures: list[GraphFailure] = field(default_factory=list)
    phase: str = ""
    done: int = 0
    total: int = 0


GraphProgress = Callable[[GraphReport], None]
