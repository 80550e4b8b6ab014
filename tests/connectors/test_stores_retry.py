"""A server that is away, busy or broken: what is asked again, for how long, and what is said in the end."""

import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from connectors.errors import StoreError, StoreUnavailableError
from connectors.stores import server as server_module
from connectors.stores.filters import AnyOf
from connectors.stores.open import open_store
from connectors.stores.protocol import Point
from connectors.stores.retry import _is_transport
from connectors.stores.server import ServerStore
from tests.connectors.qdrant_rest import Fault, QdrantRest, order
from tests.connectors.store_engines import DIM, point, sample, uid, unit

ROOT = Path(__file__).parents[2]


def open_at(server: QdrantRest, **given: Any) -> ServerStore:
    store = ServerStore.open(server.url, DIM, **given)
    server.seen.clear()
    return store


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429),
        Fault(status=500),
        Fault(status=502),
        Fault(status=503),
        Fault(status=504),
        Fault(reset=True),
        Fault(cut=True),
        Fault(slow=1.5),
    ],
    ids=str,
)
def test_transient_failures_are_tried_again(qdrant: QdrantRest, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    store = open_at(qdrant, timeout=1)
    qdrant.fail(fault)
    with caplog.at_level(logging.WARNING, "connectors.stores.retry"):
        assert store.upsert(sample(10)) == 10
    assert store.count() == 10
    assert [seen.path.rpartition("/")[2] for seen in qdrant.seen] == ["points", "points", "count"]
    [record] = caplog.records
    assert qdrant.url in record.getMessage()
    assert "upsert" in record.getMessage()
    assert "trying again in" in record.getMessage()


@pytest.mark.parametrize(
    ("action", "path"),
    [
        (lambda store: store.search(unit(1), "hóa đơn"), "query"),
        (lambda store: list(store.scroll()), "scroll"),
        (lambda store: store.count(), "count"),
        (lambda store: store.facet("source"), "facet"),
        (lambda store: store.delete([uid(1), uid(2)]), "delete"),
        (lambda store: store.delete(where=AnyOf("source", ("1.pdf",))), "delete"),
    ],
)
@pytest.mark.parametrize("fault", [{"status": 503}, {"cut": True}], ids=str)
def test_every_operation_may_be_repeated(qdrant: QdrantRest, action: Any, path: str, fault: dict[str, Any]) -> None:
    """Also where the first attempt was done, and only its answer lost."""
    calm, stormy = (open_at(qdrant, collection=name) for name in ("calm", "stormy"))
    for store in (calm, stormy):
        store.upsert(sample(10))
    qdrant.fail(Fault(path=path, **fault))
    assert action(stormy) == action(calm)
    assert list(stormy.scroll()) == list(calm.scroll())


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("fault", [{"reset": True}, {"cut": True}], ids=str)
def test_making_a_collection_may_be_repeated(qdrant: QdrantRest, before: int, fault: dict[str, Any]) -> None:
    """Is it there, make it, what is it, two of its indexes: any of these may fail, done or not done."""
    qdrant.fail(Fault(), times=before)
    qdrant.fail(Fault(**fault))
    store = ServerStore.open(qdrant.url, DIM)
    assert qdrant.unmet == 0
    store.upsert(sample(3))
    assert store.count() == 3


@pytest.mark.parametrize("retry_after", ["1", "Wed, 21 Oct 2026 07:28:00 GMT"])
@pytest.mark.parametrize("status", [429, 503])
def test_server_says_how_long_to_wait(qdrant: QdrantRest, status: int, retry_after: str) -> None:
    store = open_at(qdrant)
    qdrant.fail(Fault(status=status, retry_after=retry_after))
    began = time.monotonic()
    assert store.count() == 0
    assert (time.monotonic() - began >= 1) == (retry_after == "1")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_refusals_are_not_tried_again(qdrant: QdrantRest, status: int) -> None:
    store = open_at(qdrant)
    qdrant.fail(Fault(status=status))
    with pytest.raises(StoreError) as raised:
        store.upsert([point(1)])
    assert not isinstance(raised.value, StoreUnavailableError)
    assert str(status) in str(raised.value)
    assert qdrant.url in str(raised.value)
    assert len(qdrant.seen) == 1


def test_wrong_api_key_is_said_so() -> None:
    with QdrantRest(api_key="right") as server:
        with pytest.warns(UserWarning, match="insecure"), pytest.raises(StoreError, match="refused the API key") as no:
            ServerStore.open(server.url, DIM, api_key="wrong")
        assert "wrong" not in str(no.value)
        assert len(server.seen) == 1
        with pytest.warns(UserWarning, match="insecure"):
            assert open_store(server.url, DIM, api_key="right").count() == 0


def test_gives_up_after_its_time_and_says_which_server_and_how_long(qdrant: QdrantRest) -> None:
    store = open_at(qdrant, retry_seconds=1.0)
    qdrant.fail(Fault(status=503), times=100)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"503 .*; tried for \d s") as raised:
        store.search(unit(1))
    assert time.monotonic() - began < 3
    assert qdrant.url in str(raised.value)
    assert len(qdrant.seen) > 2


def test_no_time_means_one_attempt(qdrant: QdrantRest) -> None:
    store = open_at(qdrant, retry_seconds=0)
    qdrant.fail(Fault(status=503))
    with pytest.raises(StoreUnavailableError):
        store.count()
    assert len(qdrant.seen) == 1


def test_does_not_wait_for_what_it_would_not_see(qdrant: QdrantRest) -> None:
    store = open_at(qdrant, retry_seconds=10)
    qdrant.fail(Fault(status=429, retry_after="60"))
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="it asked to wait 60 s"):
        store.count()
    assert time.monotonic() - began < 1


def test_server_that_restarts_is_waited_for() -> None:
    with QdrantRest() as first:
        store, held, port = open_at(first), first.collections, first.port
    again = threading.Event()

    def restart() -> None:
        time.sleep(0.7)
        with QdrantRest(port) as second:
            second.collections = held
            again.wait(20)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        assert store.upsert(sample(5)) == 5
        assert store.count() == 5
    finally:
        again.set()
        thread.join()


def test_address_that_never_answered_is_given_up_soon() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="is it running, and the URL right"):
            ServerStore.open(f"http://127.0.0.1:{reserved.getsockname()[1]}", DIM, retry_seconds=600)
        assert 1 < time.monotonic() - began < 8


def test_certificates_do_not_heal() -> None:
    refused, down = httpx.ConnectError("certificate verify failed"), httpx.ConnectError("connection refused")
    refused.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    assert not _is_transport(refused)
    assert _is_transport(down)
    assert not _is_transport(httpx.UnsupportedProtocol("ftp"))
    assert not _is_transport(ValueError("not JSON"))


def test_what_is_no_qdrant_server_is_not_asked_again(qdrant: QdrantRest) -> None:
    with pytest.raises(StoreError, match="404") as raised:
        ServerStore.open(f"{qdrant.url}/elsewhere", DIM)
    assert not isinstance(raised.value, StoreUnavailableError)


@pytest.mark.parametrize(
    ("text", "count"),
    [("战国无双" * 2500, 250), ('hóa đơn "\\" \u0001 ' * 600, 520), ("x", 700)],
    ids=["zh", "vi", "x"],
)
def test_requests_fit_the_server(qdrant: QdrantRest, text: str, count: int) -> None:
    """Real vectors and pages of text: no request is above the server's limit, none is needlessly small."""
    vectors = np.random.default_rng(0).normal(size=(count, 1024)).astype(np.float32)
    store = ServerStore.open(qdrant.url, 1024)
    qdrant.seen.clear()
    assert store.upsert(Point(uid(n), vectors[n], text, {"text": text, "page": n}) for n in range(count)) == count
    sizes = [seen.size for seen in qdrant.seen]
    assert len(sizes) > 1
    assert server_module._REQUEST_BYTES / 4 < sizes[0] == max(sizes) <= server_module._REQUEST_BYTES


def test_request_above_the_limit_is_refused_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with QdrantRest(body_limit=10_000) as server:
        store = open_at(server)
        with pytest.raises(StoreError, match=r"413 .*larger than allowed"):
            store.upsert([point(1, note="x" * 20_000)])
        assert len(server.seen) == 1


def test_other_processes_share_the_server() -> None:
    """What distributed tests use: the server by URL, faults ordered from outside."""
    command = [sys.executable, "-m", "tests.connectors.qdrant_rest", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        one, other = ServerStore.open(url, DIM), ServerStore.open(url, DIM)
        order(url, Fault(status=503), Fault(reset=True))
        assert one.upsert(sample(5)) == 5
        assert other.count() == 5
        process.communicate(timeout=10)  # closes its input: the server ends
    assert process.returncode == 0
