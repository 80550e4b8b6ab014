"""Running the application: a port of its own, one process, an orderly end."""

import signal
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from embedder.errors import InputError, ViPyloError
from vipylo_rag.server.connection import LimitedConnection
from vipylo_rag.server.options import ServerOptions

# Connections beside those whose requests may wait; more are answered 503. Below the usual limit of open files.
_OTHERS = 128
_END_SECONDS = 10


def listen(options: ServerOptions) -> socket.socket:
    """The socket that the server listens at, taken before anything slow begins.

    Raises:
        InputError: the port is in use, or the host is none of this machine's.
    """
    place = f"{options.host}:{options.port}"
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        reason = "is in use: choose another with --port" if "in use" in str(error) else f"cannot be had ({error})"
        raise InputError(f"{place} {reason}") from error


def url_of(listening: socket.socket) -> str:
    """What to type into a browser."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def run(app: FastAPI, listening: socket.socket, options: ServerOptions, started: Callable[[], None]) -> None:
    """Serve until the process is asked to end (Ctrl-C, SIGTERM); what runs then has some seconds to come to its end.

    Args:
        started: called when requests are taken.

    Raises:
        ViPyloError: the application cannot start.
    """
    server = _Server(
        uvicorn.Config(
            app,
            http=LimitedConnection,
            ws="none",
            log_config=None,
            access_log=False,  # it would log what people ask
            server_header=False,
            limit_concurrency=options.waiting + _OTHERS,
            timeout_graceful_shutdown=_END_SECONDS,
        ),
        started,
    )
    # Uvicorn raises the signal again when it is done: the index is still open then, and closing it comes behind.
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listening])
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if not server.started:
        raise ViPyloError("the server did not start: what is logged above says why")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, told: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._told()
