"""A lock for what is opened when first used, in objects that are pickled and copied."""

import threading
from types import TracebackType
from typing import Final, Self


class OpeningLock:
    """Held by one thread at a time, which may take it again. A copy, pickled or not, is another lock, and free."""

    def __init__(self) -> None:
        self._lock: Final = threading.RLock()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()
