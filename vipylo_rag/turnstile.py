"""A turnstile: many threads pass at a time, or one alone. Searches pass; changing the store they search goes alone."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Turnstile:
    """Passing is cheap and never waits for others that pass. Who passes must not ask to be alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Inside together with others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside when all others have left; who comes meanwhile waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


class _HasTurnstile(Protocol):
    turnstile: Turnstile


S = TypeVar("S", bound=_HasTurnstile)


def passes(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that reads what may be replaced: each call passes its object's turnstile."""

    @functools.wraps(method)
    def passing(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.turnstile.passing():
            return method(self, *args, **kwargs)

    return passing
