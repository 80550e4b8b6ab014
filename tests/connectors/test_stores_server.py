"""The server store's own promises: errors that name the URL and nothing secret, requests below the limit."""

import uuid
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from connectors.errors import StoreError
from connectors.stores import server
from connectors.stores.open import open_store
from connectors.stores.points import EncodedPoint, batches
from connectors.stores.protocol import Point
from connectors.stores.server import ServerStore, without_credentials
from embedder.errors import PluginError

DIM = 8


def point(number: int, **payload: object) -> Point:
    vector = np.random.default_rng(number).normal(size=DIM).astype(np.float32)
    return Point(str(uuid.UUID(int=number)), vector, "hóa đơn", payload)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_no_server_is_one_line_without_secrets() -> None:
    with pytest.raises(StoreError) as raised:
        open_store("http://user:secret@127.0.0.1:1/?token=secret", DIM, api_key="secret")
    said = str(raised.value)
    assert "http://127.0.0.1:1/" in said
    assert "is it running" in said
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host:6333/path?api_key=k#f", "https://host:6333/path"),
        ("http://localhost:6333", "http://localhost:6333"),
    ],
)
def test_credentials_are_cut_from_urls(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_unknown_engine_names_those_there_are() -> None:
    with pytest.raises(PluginError, match=r"no store named 'redis'.*edge, server"):
        open_store("redis://localhost", DIM)


def test_collections_are_apart_and_open_again() -> None:
    client = QdrantClient(":memory:")
    one, other = (ServerStore.over(client, DIM, collection=name) for name in ("one", "other"))
    one.upsert([point(1)])
    assert other.count() == 0
    assert ServerStore.over(client, DIM, collection="one").count() == 1


def test_other_dim_and_foreign_collections_are_refused() -> None:
    client = QdrantClient(":memory:")
    ServerStore.over(client, DIM, collection="ours")
    with pytest.raises(StoreError, match="'ours' at the given client holds 8-d vectors, 9-d were asked for"):
        ServerStore.over(client, 9, collection="ours")
    client.create_collection("theirs", vectors_config=models.VectorParams(size=DIM, distance=models.Distance.DOT))
    with pytest.raises(StoreError, match="was not made by this package"):
        ServerStore.over(client, DIM, collection="theirs")


def test_collection_is_made_as_the_server_needs_it() -> None:
    client = QdrantClient(":memory:")
    ServerStore.over(client, DIM)
    params = client.get_collection("vipylo").config.params
    assert params.vectors["page"].distance == models.Distance.COSINE
    assert params.sparse_vectors["bm25"].modifier == models.Modifier.IDF


def encoded(number: int, size: int) -> EncodedPoint:
    return EncodedPoint(str(uuid.UUID(int=number)), [0.5] * DIM, None, {"text": "x" * size})


def test_batches_keep_order_and_both_limits() -> None:
    points = [encoded(n, 1000) for n in range(10)]
    made = list(batches(points, max_points=4, max_bytes=3 * 1400))
    assert [len(batch) for batch in made] == [3, 3, 3, 1]
    assert [p for batch in made for p in batch] == points
    assert [len(batch) for batch in batches(points, max_points=4, max_bytes=10**6)] == [4, 4, 2]


def test_real_requests_stay_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate is an upper bound of what the client really sends."""
    dim = 1024
    vector = np.random.default_rng(0).normal(size=dim).astype(np.float32)
    texts = ("战国无双" * 300, "hóa đơn \u0001 " * 500, "plain")
    points = [
        server.encode_point(Point(str(uuid.UUID(int=n)), vector, text, {"text": text}), dim)
        for n, text in enumerate(texts)
    ]
    for one in points:
        sent = len(server._point_struct(one).model_dump_json().encode())
        [batch] = batches([one], 1, 10**9)
        assert batch == [one]
        with pytest.raises(StoreError, match="keep large values out of the payload"):
            list(batches([one], 1, sent - 1))


def test_interrupted_backup_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("connection lost")

    store = ServerStore.over(QdrantClient(":memory:"), DIM)
    store.upsert([point(1)])
    monkeypatch.setattr(store._client, "scroll", broken)
    with pytest.raises(StoreError, match="connection lost"):
        store.backup(tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
