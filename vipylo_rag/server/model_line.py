"""One model for many callers: what they bring at the same time is embedded together, small calls before large ones."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from connectors.stores.protocol import Vector
from embedder.errors import InputError, ViPyloError
from embedder.protocol import Embedder, EncodedRows, Sample
from vipylo_rag.embedding import joined

# A call of so many tokens is a question that somebody waits for; a larger one is bulk and goes in slices.
QUICK_TOKENS = 4096
# Merged questions; more only make the first of them wait for the last.
MERGED_TOKENS = 8192
# A picture's tokens are known to the model alone; a page of A4 has about so many.
IMAGE_TOKENS = 1000
_CHARACTERS_PER_TOKEN = 2.5  # rather too many tokens than too few, in any of the three languages
_TEMPLATE_TOKENS = 8
_MERGED_ROWS = 64  # of one batch of the model
_LONGEST_RETRY = 60

T = TypeVar("T")
Observer: TypeAlias = Callable[[int, float], None]


class OverloadedError(ViPyloError):
    """Too much waits already. `retry_after`: whole seconds after which it should be less."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoppedError(OverloadedError):
    """The server is going down; what waited is not done any more."""

    def __init__(self) -> None:
        super().__init__("the server is stopping: ask again when it is back", 5)


def estimated_tokens(text: str, images: int) -> int:
    """About how many tokens a sample has, without asking the model."""
    return _TEMPLATE_TOKENS + math.ceil(len(text) / _CHARACTERS_PER_TOKEN) + IMAGE_TOKENS * images


@dataclass(eq=False)
class _Call:
    """Samples of one caller. `begun` rows of them were given to the model; `done` are those of a large call."""

    samples: Sequence[Sample]
    tokens: list[int]
    answer: "Future[EncodedRows]"
    begun: int = 0
    done: list[EncodedRows] = field(default_factory=list)

    @property
    def left(self) -> int:
        return sum(self.tokens[self.begun :])


@dataclass(eq=False)
class _Errand(Generic[T]):
    """Something else that needs the model for itself."""

    work: Callable[[], T]
    answer: "Future[T]"
    left: int = IMAGE_TOKENS


_Waiting: TypeAlias = _Call | _Errand[Any]


class Rate:
    """Work per second, as measured lately; it says when to come again."""

    def __init__(self, first: float) -> None:
        self.per_second = first

    def measured(self, work: float, seconds: float) -> None:
        """Take in a piece of work; large pieces count more than small ones, whose overheads say little."""
        weight = min(0.5, seconds)
        self.per_second += weight * (work / max(seconds, 1e-6) - self.per_second)

    def retry_after(self, work: float) -> int:
        """Whole seconds that so much work takes, from 1 to 60."""
        return min(_LONGEST_RETRY, max(1, math.ceil(work / max(self.per_second, 1e-6))))


class ModelLine:
    """An `Embedder` around another that any number of threads may call; a thread of its own works the model.

    A lone caller waits for nobody: the model takes what waits as soon as it is free. Small calls that wait together
    become one. Large ones (ingest) are cut into slices of about `slice_seconds`, at least one sample, and slices and
    small calls take turns: a question waits for one slice at most, and bulk work goes on under any load of questions.

    Args:
        embedder: the model.
        waiting: how many small calls, and how many awaited ones, may wait; more are refused.
        slice_seconds: how long a slice of a large call may keep others waiting.
        observe: called with the number of samples and the seconds of each piece of work given to the model.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        waiting: int = 512,
        slice_seconds: float = 0.1,
        observe: Observer | None = None,
    ) -> None:
        self.embedder = embedder
        self._most = waiting
        self._slice_seconds = slice_seconds
        self._observe = observe
        self._rate = Rate(first=1000.0)
        self._changed = threading.Condition()
        self._quick: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The model's."""
        return self.embedder.name

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.embedder.dim

    @property
    def max_tokens(self) -> int:
        """The model's longest input."""
        return self.embedder.max_tokens

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self.embedder.fingerprint

    @property
    def waiting(self) -> int:
        """How many calls wait, or are worked on in slices."""
        return len(self._quick) + len(self._bulk)

    def encode(self, text: Any = None, images: Any = None, *, batch_size: int = 32, **options: Any) -> Any:
        """As the model's `encode`, in its turn and in one piece; `encode_rows` of many samples is cut into slices."""

        def work() -> Any:
            return self.embedder.encode(text, images, batch_size=batch_size, **options)

        return self._wait(self._put(_Errand(work, Future()), self._bulk, refuse=False))

    def encode_rows(self, samples: Sequence[Sample], *, batch_size: int = 32) -> EncodedRows:
        """Vectors of all samples that can be embedded; the others are reported row by row. Blocks until then.

        The batches are the line's, not of `batch_size`. A large call is never refused: its thread waits, and an ingest
        must not fail because people ask.

        Raises:
            OverloadedError: too many small calls wait. Whatever the model raises.
        """
        if not samples:
            return self.embedder.encode_rows(samples)
        call = _call(samples)
        quick = call.left <= QUICK_TOKENS
        rows: EncodedRows = self._wait(self._put(call, self._quick if quick else self._bulk, refuse=quick))
        return rows

    async def encode_rows_async(self, samples: Sequence[Sample]) -> EncodedRows:
        """`encode_rows` without a thread of the caller's. If the caller is cancelled, the rest is not done.

        Raises:
            OverloadedError: too many calls wait. Whatever the model raises.
        """
        import asyncio

        call = _call(samples)
        lane = self._quick if call.left <= QUICK_TOKENS else self._bulk
        rows: EncodedRows = await asyncio.wrap_future(self._put(call, lane, refuse=True))
        return rows

    def tokens(self, samples: Sequence[Sample]) -> list[int]:
        """How many tokens each sample has, its template's included: 0 for one that cannot be embedded. An estimate for
        a model that does not tell. Needs no turn."""
        told = getattr(self.embedder, "token_counts", None)
        if told is None:
            return [estimated_tokens(sample.text, len(sample.images)) for sample in samples]
        counts: list[int] = told(samples)
        return counts

    def explain(self, sample: Sample, vector: Vector) -> Any:
        """The model's `explain`, in its turn. See `embedder.explain`.

        Raises:
            InputError: this model cannot explain.
        """
        explain = getattr(self.embedder, "explain", None)
        if explain is None:
            raise InputError(f"the embedder {self.name!r} cannot explain its scores: use one of ours")
        return self._wait(self._put(_Errand(lambda: explain(sample, vector), Future()), self._quick, refuse=True))

    def stop(self) -> None:
        """Refuse what waits and what comes, and return when the model is free. Stopping twice is allowed."""
        with self._changed:
            self._stopped = True
            left = [*self._quick, *self._bulk]
            self._quick.clear()
            self._bulk.clear()
            self._changed.notify_all()
        for waiting in left:
            _fail(waiting.answer, StoppedError())
        self._thread.join()

    def _put(self, waiting: "_Call | _Errand[T]", lane: deque[_Waiting], *, refuse: bool) -> "Future[Any]":
        with self._changed:
            if self._stopped:
                raise StoppedError
            if refuse and len(lane) >= self._most:
                left = sum(one.left for one in [*self._quick, *self._bulk])
                raise OverloadedError(
                    f"{len(lane)} calls wait for the model already: try again later", self._rate.retry_after(left)
                )
            lane.append(waiting)
            self._changed.notify()
        return waiting.answer

    def _wait(self, answer: "Future[T]") -> T:
        try:
            return answer.result()
        except BaseException:
            answer.cancel()  # the caller was interrupted: nobody wants the rest
            raise

    def _work(self) -> None:
        bulk_is_next = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._quick or self._bulk)
                if self._stopped:
                    return
                from_bulk = bool(self._bulk) and (bulk_is_next or not self._quick)
                taken = [self._bulk.popleft()] if from_bulk else self._taken()
            wanted = [one for one in taken if not one.answer.cancelled()]
            bulk_is_next = not from_bulk
            if not wanted:
                continue
            if isinstance(wanted[0], _Errand):
                self._run(wanted[0])
            elif from_bulk:
                self._slice(wanted[0])
            else:
                self._merged([one for one in wanted if isinstance(one, _Call)])

    def _taken(self) -> list[_Waiting]:
        """One errand, or the calls that are embedded together."""
        taken, tokens = [self._quick.popleft()], 0
        while isinstance(taken[-1], _Call) and self._quick and isinstance(self._quick[0], _Call):
            tokens += taken[-1].left
            if tokens + self._quick[0].left > MERGED_TOKENS:
                break
            taken.append(self._quick.popleft())
        return taken

    def _run(self, errand: _Errand[Any]) -> None:
        try:
            result = self._timed(1, errand.left, errand.work)
        except BaseException as error:
            _fail(errand.answer, error)
        else:
            _give(errand.answer, result)

    def _merged(self, calls: Sequence[_Call]) -> None:
        samples = [sample for call in calls for sample in call.samples]
        try:
            rows = self._encoded(samples, sum(call.left for call in calls))
        except BaseException as error:
            if len(calls) == 1:
                _fail(calls[0].answer, error)
            else:  # a third party's model may fail for all because of one: the others are not to blame
                for call in calls:
                    self._merged([call])
            return
        start = 0
        for call in calls:
            stop = start + len(call.samples)
            errors = {row - start: error for row, error in rows.errors.items() if start <= row < stop}
            _give(call.answer, EncodedRows(rows.vectors[start:stop], errors))
            start = stop

    def _slice(self, call: _Call) -> None:
        """Embed a part of a large call; what is left goes behind the others."""
        start, tokens = call.begun, 0
        room = self._rate.per_second * self._slice_seconds
        while call.begun < len(call.samples) and (call.begun == start or tokens + call.tokens[call.begun] <= room):
            tokens += call.tokens[call.begun]
            call.begun += 1
        try:
            call.done.append(self._encoded(call.samples[start : call.begun], tokens))
        except BaseException as error:
            _fail(call.answer, error)
            return
        if call.begun == len(call.samples):
            _give(call.answer, joined(call.done))
            return
        with self._changed:
            if not self._stopped:
                self._bulk.append(call)
                return
        _fail(call.answer, StoppedError())

    def _encoded(self, samples: Sequence[Sample], tokens: int) -> EncodedRows:
        return self._timed(
            len(samples), tokens, lambda: self.embedder.encode_rows(samples, batch_size=min(len(samples), _MERGED_ROWS))
        )

    def _timed(self, samples: int, tokens: int, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - begun
        self._rate.measured(tokens, seconds)
        if self._observe is not None:
            self._observe(samples, seconds)
        return result


def _call(samples: Sequence[Sample]) -> _Call:
    return _Call(samples, [estimated_tokens(sample.text, len(sample.images)) for sample in samples], Future())


# The caller may have gone at any moment: then nobody takes the answer.
def _give(answer: "Future[T]", result: T) -> None:
    with suppress(InvalidStateError):
        answer.set_result(result)


def _fail(answer: "Future[Any]", error: BaseException) -> None:
    with suppress(InvalidStateError):
        answer.set_exception(error)
