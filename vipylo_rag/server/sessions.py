"""Sessions: a browser gives its key once and gets a cookie that holds no key."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request, Response
from pydantic import Field

from vipylo_rag.server.errors import PROBLEMS, problem
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.schemas import Schema

COOKIE = "vipylo_session"
SECONDS = 12 * 3600
# Of one tenant; the oldest ends for a new one, so that nobody can end another tenant's.
MOST = 100

router = APIRouter(tags=["session"])


class Sessions:
    """The open sessions of a server, in memory: they end with it. Held by digest, for at most `SECONDS`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[str, OrderedDict[bytes, float]] = {}
        self._tenants: dict[bytes, str] = {}

    def begin(self, tenant: str) -> str:
        """A new session's id."""
        id_ = secrets.token_urlsafe(32)
        digest = _digest(id_)
        mine = self._ends.setdefault(tenant, OrderedDict())
        while len(mine) >= MOST:
            self._forget(next(iter(mine)))
        mine[digest] = self._clock() + SECONDS
        self._tenants[digest] = tenant
        return id_

    def tenant_of(self, id_: str) -> str | None:
        """Whose session this is; None if it ended, or never was."""
        digest = _digest(id_)
        tenant = self._tenants.get(digest)
        if tenant is not None and self._ends[tenant][digest] <= self._clock():
            self._forget(digest)
            return None
        return tenant

    def end(self, id_: str) -> None:
        """End a session; one that is not there is no error."""
        self._forget(_digest(id_))

    def __len__(self) -> int:
        return len(self._tenants)

    def _forget(self, digest: bytes) -> None:
        tenant = self._tenants.pop(digest, None)
        if tenant is not None:
            del self._ends[tenant][digest]


@dataclass(frozen=True)
class Doors:
    """Who may come in: the keys, and the sessions that were opened with one."""

    keys: Keys
    sessions: Sessions = field(default_factory=Sessions)


class Login(Schema):
    """What opens a session."""

    key: str = Field(max_length=1024)


async def doors_of(request: Request) -> Doors:
    """The server's doors, as a FastAPI dependency."""
    doors: Doors = request.app.state.doors
    return doors


@router.post("/api/session", status_code=204, responses=PROBLEMS)
async def begin(
    login: Annotated[Login, Body()], request: Request, doors: Annotated[Doors, Depends(doors_of)]
) -> Response:
    """Open a session: the answer's cookie stands for the key from then on."""
    if not doors.keys:
        return problem(409, "this server asks for no key")
    tenant = doors.keys.tenant_of(login.key)
    if tenant is None:
        return problem(401, "this key is none of the server's: ask who runs it")
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        doors.sessions.begin(tenant),
        max_age=SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.delete("/api/session", status_code=204, responses=PROBLEMS)
async def end(request: Request, doors: Annotated[Doors, Depends(doors_of)]) -> Response:
    """End the caller's session."""
    doors.sessions.end(request.cookies.get(COOKIE, ""))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


def _digest(id_: str) -> bytes:
    return hashlib.sha256(id_.encode("utf-8", "surrogatepass")).digest()
