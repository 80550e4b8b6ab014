"""What the server counts, for Prometheus: requests by route and status, how long they took, and what waits."""

import logging
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vipylo_rag.server.errors import PROBLEMS
from vipylo_rag.server.state import ServerState, state_of

router = APIRouter(tags=["server"])

NO_ROUTE = "none"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

logger = logging.getLogger(__name__)


class Metrics:
    """The counters of one server, in a registry of their own: several servers of one process do not mix.

    Attributes:
        registry: parts of the server may put collectors of their own here.
        requests: by method, route (its template, not the path: ids would make a series each) and status.
        seconds: from the request's head to the end of the answer, by route.
        model_samples: how many samples the model embedded at a time. model_seconds: how long it worked, in all.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vipylo_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "vipylo_request_seconds", "Time to the answer's end.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.model_samples = Histogram(
            "vipylo_model_batch_samples", "Samples embedded at a time.", buckets=_SAMPLES, registry=self.registry
        )
        self.model_seconds = Counter("vipylo_model_seconds", "Time the model worked.", registry=self.registry)

    def gauge(self, name: str, says: str, value: Callable[[], float]) -> None:
        """Show what `value` gives at the moment that metrics are read, such as the length of a queue."""
        Gauge(f"vipylo_{name}", says, registry=self.registry).set_function(value)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def embedded(self, samples: int, seconds: float) -> None:
        """Note a batch that the model embedded."""
        self.model_samples.observe(samples)
        self.model_seconds.inc(seconds)


class CountingLayer:
    """Counts every request when its answer has ended, and logs it: never what was asked for, which is private."""

    def __init__(self, app: ASGIApp, counts: Metrics) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._counts.count(method, route, status, seconds)
            logger.info("%s %s %d %.0f ms", method, route, status, 1000 * seconds)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **PROBLEMS},
)
def metrics(state: Annotated[ServerState, Depends(state_of)]) -> Response:
    """What the server counts, in Prometheus' text format."""
    return Response(generate_latest(state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
