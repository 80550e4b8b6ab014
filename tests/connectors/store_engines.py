"""Every store engine there is to test, and points for them."""

import contextlib
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient

from connectors.errors import StoreError
from connectors.stores.edge import EdgeStore
from connectors.stores.options import StoreOptions
from connectors.stores.protocol import Point, VectorStore
from connectors.stores.server import ServerStore

DIM = 16
REAL_SERVER = os.environ.get("VIPYLO_QDRANT_URL")
ENGINES = ["edge", "memory", "http", *(["server"] if REAL_SERVER else [])]
WORDS = [
    "hóa",
    "đơn",
    "giá",
    "trị",
    "gia",
    "tăng",
    "hợp",
    "đồng",
    "invoice",
    "contract",
    "total",
    "发票",
    "合同",
    "战国无双",
]


def make_store(engine: str, path: Path, url: str, dim: int = DIM, options: StoreOptions | None = None) -> VectorStore:
    """A new store: Qdrant Edge in `path`, qdrant-client in memory, a collection of its own at `url` (engine "http"),
    or one on the real server."""
    if engine == "edge":
        return EdgeStore.open(path / "store", dim, options=options)
    if engine == "memory":
        return ServerStore.over(QdrantClient(":memory:"), dim, options=options)
    address = REAL_SERVER if engine == "server" else url
    assert address
    return ServerStore.open(address, dim, collection=f"vipylo_test_{uuid.uuid4().hex}", options=options)


def drop(store: VectorStore) -> None:
    if isinstance(store, ServerStore):
        with contextlib.suppress(StoreError):  # closed by the test
            store.drop()
    store.close()


def uid(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def point(number: int, text: str = "", **payload: Any) -> Point:
    return Point(uid(number), unit(number), text, payload)


def sample(count: int, seed: int = 0) -> list[Point]:
    """Points whose texts share words and whose payloads share values."""
    random = np.random.default_rng(seed)
    return [
        point(
            number,
            f"{' '.join(random.choice(WORDS, size=random.integers(3, 12)))} số {number}",
            source=f"{number % 5}.pdf",
            kind=("pdf", "image")[number % 2],
            page=number,
        )
        for number in range(count)
    ]
