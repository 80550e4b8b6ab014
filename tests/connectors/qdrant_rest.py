"""A real HTTP server that speaks the part of Qdrant's REST API that `ServerStore` uses, over qdrant-client's in-memory
engine, and that fails on demand: for tests of what a network does, in one process or many.

    python -m tests.connectors.qdrant_rest --port 0         # prints its URL; ends with its standard input

Faults can be ordered from other processes too: POST a JSON list of `Fault` fields to `/_faults`.
"""

import argparse
import json
import re
import socket
import struct
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from qdrant_client import QdrantClient, models

BODY_LIMIT = 32 * 1024 * 1024  # the server's default
_KEPT_BODY = 65536


@dataclass(frozen=True)
class Fault:
    """What becomes of one request. Exactly one of status, reset, cut and slow is meant.

    Attributes:
        status: answer with this HTTP status, the operation not done.
        retry_after: with `status`: the header's value.
        reset: close the connection without an answer, the operation not done.
        cut: do the operation, then close the connection in the middle of the answer's body.
        slow: do the operation, answer after so many seconds.
        path: only requests whose path contains this; others pass.
    """

    status: int | None = None
    retry_after: str | None = None
    reset: bool = False
    cut: bool = False
    slow: float = 0.0
    path: str = ""


@dataclass(frozen=True)
class Seen:
    """One request that arrived; `body` is kept of small ones only."""

    method: str
    path: str
    size: int
    body: bytes


class RefusedRequest(Exception):
    """Answered with an error status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class QdrantRest:
    """The server: listens on loopback from `__enter__` to `__exit__`; `url` is where.

    >>> with QdrantRest() as server:
    ...     server.fail(Fault(status=503), times=2)
    ...     store = ServerStore.open(server.url, 16)
    """

    def __init__(self, port: int = 0, api_key: str | None = None, body_limit: int = BODY_LIMIT) -> None:
        self.seen: list[Seen] = []
        self.api_key = api_key
        self.body_limit = body_limit
        self.collections = Collections()
        self._faults: deque[Fault] = deque()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"rest": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, fault: Fault, times: int = 1) -> None:
        """The next `times` requests that the fault is for meet it; faults are met in the order of their orders."""
        with self._lock:
            self._faults.extend([fault] * times)

    @property
    def unmet(self) -> int:
        """How many ordered faults no request has met."""
        return len(self._faults)

    def next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.path in path:
                    self._faults.remove(fault)
                    return fault
        return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


class Collections:
    """The operations behind the routes, one at a time: the in-memory engine is not made for threads."""

    def __init__(self) -> None:
        self._client = QdrantClient(":memory:")
        self._indexes: dict[str, dict[str, Any]] = {}
        self._params: dict[str, dict[str, Any]] = {}  # what the in-memory engine forgets
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """The `result` of a request.

        Raises:
            RefusedRequest: no such route or collection, or an operation that the engine refuses.
        """
        for wanted, pattern, operation in _ROUTES:
            if wanted == method and (found := re.fullmatch(pattern, path)):
                name = found.groupdict().get("name", "")
                with self._lock:
                    return self._run(operation, name, body)
        raise RefusedRequest(404, f"no route for {method} {path}")

    def _run(self, operation: Callable[..., Any], name: str, body: bytes) -> Any:
        if name and operation not in (Collections.exists, Collections.create, Collections.drop):
            self._check_exists(name)
        try:
            return operation(self, name, body)
        except (ValidationError, ValueError, AssertionError, KeyError) as error:
            raise RefusedRequest(400, f"Wrong input: {error}") from error

    def _check_exists(self, name: str) -> None:
        if not self._client.collection_exists(name):
            raise RefusedRequest(404, f"Not found: Collection `{name}` doesn't exist!")

    def names(self, name: str, body: bytes) -> Any:
        return self._client.get_collections()

    def exists(self, name: str, body: bytes) -> Any:
        return {"exists": self._client.collection_exists(name)}

    def create(self, name: str, body: bytes) -> Any:
        if self._client.collection_exists(name):
            raise RefusedRequest(409, f"Wrong input: Collection `{name}` already exists!")
        asked = models.CreateCollection.model_validate_json(body)
        self._indexes[name] = {}
        self._params[name] = {
            "shard_number": asked.shard_number or 1,
            "replication_factor": asked.replication_factor or 1,
            "write_consistency_factor": asked.write_consistency_factor or 1,
        }
        return self._client.create_collection(
            name, vectors_config=asked.vectors, sparse_vectors_config=asked.sparse_vectors
        )

    def info(self, name: str, body: bytes) -> Any:
        info = self._client.get_collection(name)
        points = info.points_count
        schema = {
            field: models.PayloadIndexInfo(data_type=params["type"], params=params, points=points)
            for field, params in self._indexes[name].items()
        }
        params = info.config.params.model_copy(update=self._params[name])
        config = info.config.model_copy(update={"params": params})
        return info.model_copy(update={"payload_schema": schema, "config": config})

    def update(self, name: str, body: bytes) -> Any:
        models.UpdateCollection.model_validate_json(body)
        return True

    def drop(self, name: str, body: bytes) -> Any:
        self._indexes.pop(name, None)
        return self._client.delete_collection(name)

    def index(self, name: str, body: bytes) -> Any:
        asked = models.CreateFieldIndex.model_validate_json(body)
        schema = to_jsonable_python(asked.field_schema, exclude_none=True)
        self._indexes[name][asked.field_name] = schema if isinstance(schema, dict) else {"type": schema}
        return _DONE

    def upsert(self, name: str, body: bytes) -> Any:
        return self._client.upsert(name, points=models.PointsList.model_validate_json(body).points)

    def delete(self, name: str, body: bytes) -> Any:
        selector: Any = _SELECTOR.validate_json(body)
        return self._client.delete(name, points_selector=selector)

    def retrieve(self, name: str, body: bytes) -> Any:
        asked = models.PointRequest.model_validate_json(body)
        return self._client.retrieve(
            name, asked.ids, with_payload=bool(asked.with_payload), with_vectors=asked.with_vector or False
        )

    def query(self, name: str, body: bytes) -> Any:
        asked = models.QueryRequest.model_validate_json(body)
        # The in-memory engine warns of the other parameters, which do nothing to an exact search.
        words = models.SearchParams(idf=asked.params.idf) if asked.params and asked.params.idf else None
        return self._client.query_points(
            name,
            query=asked.query,
            using=asked.using,
            prefetch=asked.prefetch,
            query_filter=asked.filter,
            search_params=words,
            limit=asked.limit or 10,
            with_payload=bool(asked.with_payload),
            with_vectors=asked.with_vector or False,
        )

    def scroll(self, name: str, body: bytes) -> Any:
        asked = models.ScrollRequest.model_validate_json(body)
        points, offset = self._client.scroll(
            name,
            scroll_filter=asked.filter,
            limit=asked.limit or 10,
            offset=asked.offset,
            with_payload=bool(asked.with_payload),
            with_vectors=asked.with_vector or False,
        )
        return {"points": points, "next_page_offset": offset}

    def count(self, name: str, body: bytes) -> Any:
        asked = models.CountRequest.model_validate_json(body)
        return self._client.count(name, count_filter=asked.filter, exact=bool(asked.exact))

    def facet(self, name: str, body: bytes) -> Any:
        asked = models.FacetRequest.model_validate_json(body)
        return self._client.facet(
            name, key=asked.key, facet_filter=asked.filter, limit=asked.limit or 10, exact=bool(asked.exact)
        )


_DONE = {"operation_id": 0, "status": "completed"}
_SELECTOR: TypeAdapter[Any] = TypeAdapter(models.PointsSelector)
_COLLECTION = r"/collections/(?P<name>[^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "/collections", Collections.names),
    ("GET", f"{_COLLECTION}/exists", Collections.exists),
    ("PUT", _COLLECTION, Collections.create),
    ("GET", _COLLECTION, Collections.info),
    ("PATCH", _COLLECTION, Collections.update),
    ("DELETE", _COLLECTION, Collections.drop),
    ("PUT", f"{_COLLECTION}/index", Collections.index),
    ("PUT", f"{_COLLECTION}/points", Collections.upsert),
    ("POST", f"{_COLLECTION}/points", Collections.retrieve),
    ("POST", f"{_COLLECTION}/points/delete", Collections.delete),
    ("POST", f"{_COLLECTION}/points/query", Collections.query),
    ("POST", f"{_COLLECTION}/points/scroll", Collections.scroll),
    ("POST", f"{_COLLECTION}/points/count", Collections.count),
    ("POST", f"{_COLLECTION}/facet", Collections.facet),
]


class _Handler(BaseHTTPRequestHandler):
    """One connection; `rest` is set by the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rest: QdrantRest

    def _handle(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if path == "/_faults":
            for fields in json.loads(body):
                self.rest.fail(Fault(**fields))
            self._send(200, {"result": True})
            return
        self.rest.seen.append(Seen(self.command, path, len(body), body if len(body) <= _KEPT_BODY else b""))
        fault = self.rest.next_fault(path) or Fault()
        if fault.reset:
            self._hang_up()
        elif fault.status is not None:
            self._send(fault.status, _error("ordered by the test"), retry_after=fault.retry_after)
        else:
            status, answer = self._answer(path, body)
            time.sleep(fault.slow)
            self._send(status, answer, cut=fault.cut)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _handle

    def _answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if self.rest.api_key is not None and self.headers.get("api-key") != self.rest.api_key:
            return 401, _error("Must provide an API key or an Authorization bearer token")
        if len(body) > self.rest.body_limit:
            return 413, _error(f"JSON payload ({len(body)} bytes) is larger than allowed")
        try:
            result = self.rest.collections.answer(self.command, path, body)
        except RefusedRequest as error:
            return error.status, _error(str(error))
        return 200, {"result": to_jsonable_python(result), "status": "ok", "time": 0.0}

    def _send(self, status: int, answer: Any, retry_after: str | None = None, cut: bool = False) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if retry_after is not None:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no FIN
        self.close_connection = True
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # the client hung up, or we did
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        return None


def _error(said: str) -> dict[str, Any]:
    return {"status": {"error": said}, "time": 0.0}


def order(url: str, *faults: Fault) -> None:
    """Order faults of a server in another process."""
    import httpx

    httpx.post(f"{url}/_faults", json=[asdict(fault) for fault in faults]).raise_for_status()


def main() -> None:
    """Serve until standard input ends, which it does when the parent process dies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", message="Payload indexes have no effect")
    with QdrantRest(asked.port, asked.api_key) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
