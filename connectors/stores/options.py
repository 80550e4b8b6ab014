"""How a store keeps its vectors: chosen when it is made, the same words for both engines."""

from dataclasses import dataclass
from typing import Literal

from embedder.errors import InputError

Quantization = Literal["none", "int8", "binary"]


@dataclass(frozen=True)
class StoreOptions:
    """Settings of a new store. The defaults are right up to some hundred thousand pages on one machine.

    Attributes:
        quantization: a second, smaller copy of each vector that search reads first: "int8" (a quarter) or "binary"
            (a thirty-second); the best are scored again by the full vectors.
        on_disk: full vectors are read from disk when needed, instead of held in memory.
        shards: parts that a collection is cut into (server only); None: the server's own choice.
        replicas: copies of each shard on different nodes (server only).
        write_consistency: copies that must have a write before it counts as done (server only); more of them survive
            the loss of a node right after it, and writes stop while fewer are up.
    """

    quantization: Quantization = "none"
    on_disk: bool = False
    shards: int | None = None
    replicas: int = 1
    write_consistency: int = 1

    def __post_init__(self) -> None:
        if self.quantization not in ("none", "int8", "binary"):
            raise InputError(f"quantization={self.quantization!r} is none of none, int8, binary")
        if self.shards is not None and self.shards < 1:
            raise InputError(f"shards={self.shards}: a collection has at least 1")
        if self.replicas < 1:
            raise InputError(f"replicas={self.replicas}: there is at least 1 copy")
        if not 1 <= self.write_consistency <= self.replicas:
            raise InputError(
                f"write_consistency={self.write_consistency}: a write can wait for 1 to replicas={self.replicas} copies"
            )
