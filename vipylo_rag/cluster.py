"""Which machines share an ingest. Known to the command line and the index without Ray being installed."""

from dataclasses import dataclass

from embedder.errors import InputError


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and how much of it an ingest takes.

    All its machines see the documents and the index's directory under the same paths (a shared file system), and have
    this package installed.

    Attributes:
        address: "auto" or "host:port" of a running cluster; None: Ray is started on this machine, and stopped after.
        readers: how many processes read documents (a CPU each).
        embedders: how many processes hold the model (a CPU each).
        gpus: GPUs that each embedder holds; 0 for none.
    """

    address: str | None = None
    readers: int = 1
    embedders: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.readers < 1 or self.embedders < 1:
            raise InputError(f"readers={self.readers}, embedders={self.embedders}: there is at least one of each")
        if self.gpus < 0:
            raise InputError(f"gpus={self.gpus}: cannot be negative")
