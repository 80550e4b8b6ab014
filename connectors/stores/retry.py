"""Asks a Qdrant server, and asks again where only the moment was wrong: for a bounded time, and never after a refusal.

For requests that may be repeated, which all of the store's may: upserts and deletes by id or filter, and reads.
"""

import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from connectors.errors import StoreError, StoreUnavailableError

_logger = logging.getLogger(__name__)

_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 15.0
_TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})
# A server that has never answered is more likely a wrong URL than one that restarts: no reason to wait for minutes.
_UNHEARD_SECONDS: Final = 3.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Failure:
    """What went wrong, said for people; `heard`: the server answered at all; `wait`: seconds that it asked for."""

    said: str
    transient: bool
    heard: bool = True
    wait: float = 0.0


class PatientClient:
    """One server's answers, with its failures named. Threads may share it.

    Args:
        server: how errors and the log call it, as in "the Qdrant server at http://host:6333"; nothing secret.
        seconds: how long one request is tried: no attempt begins later than this after the first. 0: one attempt.
    """

    def __init__(self, server: str, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._heard = False

    def ask(self, action: str, request: Callable[[], Answer]) -> Answer:
        """What `request` returns; it is called until it does not fail transiently.

        Raises:
            StoreUnavailableError: the server was away, or could not answer, for the whole time.
            StoreError: it refused, and would refuse again.
        """
        began = time.monotonic()
        wait = _FIRST_WAIT
        while True:
            try:
                answer = request()
            except Exception as error:
                failure = _understood(error, self._server)
                if failure is None:
                    raise
                self._heard = self._heard or failure.heard
                if not failure.transient:
                    raise StoreError(f"{action}: {failure.said}") from error
                tried = time.monotonic() - began
                patience = self._seconds if self._heard else min(self._seconds, _UNHEARD_SECONDS)
                pause = max(failure.wait, wait * random.uniform(0.5, 1.0))
                if tried + pause > patience:
                    asked = f" (it asked to wait {failure.wait:.0f} s)" if failure.wait else ""
                    raise StoreUnavailableError(f"{action}: {failure.said}; tried for {tried:.0f} s{asked}") from error
                _logger.warning(
                    "%s: %s; trying again in %.1f s (%.0f of %.0f s gone)", action, failure.said, pause, tried, patience
                )
            else:
                self._heard = True
                return answer
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT)


def _understood(error: Exception, server: str) -> _Failure | None:
    """None for our own errors and for what is no failure of a store."""
    from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

    match error:
        case StoreError():
            return None
        case ResponseHandlingException():
            said = f"no answer from {server} ({error.source}); is it running, and the URL right?"
            return _Failure(said, _is_transport(error.source), heard=False)
        case UnexpectedResponse(status_code=401 | 403 as status):
            return _Failure(f"{server} refused the API key ({status})", transient=False)
        case UnexpectedResponse():
            answer = (error.content or b"").decode("utf-8", "replace")[:300].replace("\n", " ")
            said = f"{server} failed: {error.status_code} {answer}"
            return _Failure(said, error.status_code in _TRANSIENT, wait=_retry_after(error.headers or {}))
        case ResourceExhaustedResponse():
            return _Failure(f"{server} is busy: 429 {error}", transient=True, wait=float(error.retry_after_s))
        case QdrantException():  # a 429 whose Retry-After is a date, which the client cannot read
            return _Failure(f"{server} is busy: {error}", transient=True)
        case ApiException() | ValueError() | RuntimeError() | AssertionError():  # the client's own checks
            return _Failure(f"{server}: {error}", transient=False)
    return None


def _is_transport(source: Exception) -> bool:
    """Whether the connection failed, rather than what was sent over it, or a certificate that stays as it is."""
    import httpx

    cause: BaseException | None = source
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return False
        cause = cause.__cause__ or cause.__context__
    return isinstance(source, httpx.TimeoutException | httpx.NetworkError | httpx.RemoteProtocolError)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds; 0 where there is none, or a date."""
    value = headers.get("retry-after", "")
    return float(value) if value.isdigit() else 0.0
