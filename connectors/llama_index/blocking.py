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
    running: SimpleQueue[asyncio.Task[None]] = SimpleQueue()

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
        running.put(task)
        await asyncio.wait([task])

    # Made here, where it raises if no more files can be opened; in the thread nobody would hear of it.
    loop = asyncio.new_event_loop()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=work, name="vipylo-stream", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = arrived.get()()
            except _Ended:
                return
            yield item
    finally:
        task = running.get()
        with suppress(RuntimeError):  # the loop has just closed: all is done
            loop.call_soon_threadsafe(task.cancel)
        thread.join()


class _Ended(Exception):
    """The stream gave all it had."""


def _given(item: T) -> T:
    return item


def _raised(error: BaseException) -> NoReturn:
    raise error
