"""How many of something may run at a time; one more is refused with the time after which to come again."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from vipylo_rag.server.model_line import OverloadedError, Rate


class Slots:
    """Counts what runs. For one event loop; no thread may use it.

    Args:
        most: how many may run at a time.
        what: their name, in the plural.
        seconds: how long one takes, before any was measured.
    """

    def __init__(self, most: int, what: str, seconds: float) -> None:
        self._most = most
        self._what = what
        self._rate = Rate(first=1 / seconds)
        self.taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot while the block runs.

        Raises:
            OverloadedError: all are taken.
        """
        if self.taken >= self._most:
            raise OverloadedError(f"{self.taken} {self._what} run already: try again later", self._rate.retry_after(1))
        self.taken += 1
        begun = perf_counter()
        try:
            yield
        finally:
            self.taken -= 1
            self._rate.measured(1, perf_counter() - begun)
