"""An asynchronous stream read by code that has no event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import NoReturn, TypeVar

T = TypeVar("T")


def blocking(stream: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
    """What an asynchronous stream gives, in an event loop of its own in a thread of its own.

    So it works within a running loop too, as in a notebook. Closing this closes the stream and ends the thread.
    """
    arrived: SimpleQueue[Callable[[], T]] = SimpleQueue()
    running: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = SimpleQueue()

    async def pump() -> None:
        source = stream()
        try:
            async for item in source:
                arrived.put(partial(_given, item))
            arrived.put(partial(_raised, _Ended()))
        except BaseException as error:
            arrived.put(partial(_raised, error))
        finally:
            await source.aclose()

    async def main() -> None:
        task = asyncio.create_task(pump())
        running.put((asyncio.get_running_loop(), task))
        await asyncio.wait([task])

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="vipylo-stream", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = arrived.get()()
            except _Ended:
                return
            yield item
    finally:
        loop, task = running.get()
        with suppress(RuntimeError):  # the loop has just closed: all is done
            loop.call_soon_threadsafe(task.cancel)
        thread.join()


class _Ended(Exception):
    """The stream gave all it had."""


def _given(item: T) -> T:
    return item


def _raised(error: BaseException) -> NoReturn:
    raise error
