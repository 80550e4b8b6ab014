"""Searches of many callers: what waits at the same time is searched together, with its queries embedded as one."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vipylo_rag.query import SearchRequest
from vipylo_rag.search import Hit
from vipylo_rag.server.model_line import QUICK_TOKENS, Observer, OverloadedError, Rate, StoppedError, estimated_tokens

if TYPE_CHECKING:
    from vipylo_rag.index import MultimodalIndex
    from vipylo_rag.server.options import ServerOptions

Found: TypeAlias = list[Hit] | BaseException


@dataclass(eq=False)
class _Asked:
    """A request and who waits for its hits."""

    request: SearchRequest
    answer: "asyncio.Future[list[Hit]]"
    tokens: int


class SearchLine:
    """Takes searches from an event loop, and gives them to the index from a thread of its own.

    A lone search starts at once; those that come while it runs are searched together after it, so that one thread and
    few calls of the model serve any number of callers.

    Args:
        observe: called with the number of searches and the seconds of each turn.
    """

    def __init__(self, index: "MultimodalIndex", options: "ServerOptions", *, observe: Observer | None = None) -> None:
        self._index = index
        self._most = options.waiting
        self._observe = observe
        self._rate = Rate(first=20.0)
        self._changed = threading.Condition()
        self._asked: deque[_Asked] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="search", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many searches wait for their turn."""
        return len(self._asked)

    async def search(self, request: SearchRequest) -> list[Hit]:
        """The hits of a search. One whose caller is cancelled while it waits is not done.

        Raises:
            OverloadedError: too many wait. Else as `MultimodalIndex.search`.
        """
        answer: asyncio.Future[list[Hit]] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._stopped:
                raise StoppedError
            waiting = len(self._asked)
            if waiting >= self._most:
                raise OverloadedError(
                    f"{waiting} searches wait already: try again later", self._rate.retry_after(waiting)
                )
            self._asked.append(_Asked(request, answer, _tokens(request)))
            self._changed.notify()
        return await answer

    def stop(self) -> None:
        """Refuse what waits and what comes, and return when no search runs. Stopping twice is allowed."""
        with self._changed:
            self._stopped = True
            left = list(self._asked)
            self._asked.clear()
            self._changed.notify()
        for asked in left:
            _tell(asked, StoppedError())
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._asked)
                if self._stopped:
                    return
                taken = self._taken()
            wanted = [asked for asked in taken if not asked.answer.cancelled()]
            if wanted:
                self._search(wanted)

    def _taken(self) -> list[_Asked]:
        """As many as are still a small call to the model."""
        taken = [self._asked.popleft()]
        tokens = taken[0].tokens
        while self._asked and (tokens := tokens + self._asked[0].tokens) <= QUICK_TOKENS:
            taken.append(self._asked.popleft())
        return taken

    def _search(self, wanted: Sequence[_Asked]) -> None:
        begun = time.perf_counter()
        told: set[int] = set()

        def tell(row: int, found: Found) -> None:
            told.add(row)
            _tell(wanted[row], found)

        try:
            self._index.search_each([asked.request for asked in wanted], tell)
        except BaseException as error:  # no refusal, a fault: only whose request meets it alone gets it
            left = [asked for row, asked in enumerate(wanted) if row not in told]
            if len(wanted) == 1:
                _tell(wanted[0], error)
            else:
                for asked in left:
                    self._search([asked])
            return
        seconds = time.perf_counter() - begun
        self._rate.measured(len(wanted), seconds)
        if self._observe is not None:
            self._observe(len(wanted), seconds)


def _tokens(request: SearchRequest) -> int:
    images = request.images
    if isinstance(images, Sequence) and not isinstance(images, str):
        return estimated_tokens(request.text or "", len(images))
    return estimated_tokens(request.text or "", int(images is not None))


def _tell(asked: _Asked, found: Found) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        asked.answer.get_loop().call_soon_threadsafe(_settle, asked.answer, found)


def _settle(answer: "asyncio.Future[list[Hit]]", found: Found) -> None:
    if answer.done():  # the caller has gone
        return
    if isinstance(found, BaseException):
        answer.set_exception(found)
    else:
        answer.set_result(found)
