"""Many callers share one model: merged, small calls first, bounded, each with its own errors."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from embedder.protocol import Embedder, EncodedRows, Sample
from tests.vipylo_rag.server.held_embedder import HeldEmbedder
from vipylo_rag.server.model_line import ModelLine, OverloadedError, StoppedError


@pytest.fixture
def held(tiny_embedder: ColPaLiQwenEmbedder) -> HeldEmbedder:
    return HeldEmbedder(tiny_embedder)


@pytest.fixture
def line(held: HeldEmbedder) -> Iterator[ModelLine]:
    with_line = ModelLine(held, waiting=4, slice_seconds=0.0)
    yield with_line
    held.gate.set()
    with_line.stop()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def pages(count: int) -> list[Sample]:
    """Bulk work: small pictures, each counted as a page."""
    return [Sample(f"page {number}", (Image.new("RGB", (28, 28)),)) for number in range(count)]


def put(line: ModelLine, threads: ThreadPoolExecutor, samples: Sequence[Sample]) -> Future[EncodedRows]:
    """Call from a thread, and return when the call waits in the line."""
    before = line.waiting
    answer = threads.submit(line.encode_rows, samples)
    until = time.monotonic() + 10
    while line.waiting == before and not answer.done():
        assert time.monotonic() < until
        time.sleep(0.001)
    return answer


def occupy(line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor) -> Future[EncodedRows]:
    """Keep the model busy until the gate opens."""
    answer = threads.submit(line.encode_rows, [Sample("first")])
    assert held.entered.acquire(timeout=10)
    return answer


def test_is_an_embedder_with_the_models_vectors(line: ModelLine, held: HeldEmbedder) -> None:
    held.gate.set()
    assert isinstance(line, Embedder)
    assert (line.name, line.dim, line.fingerprint) == (held.name, held.dim, held.fingerprint)
    samples = [Sample("xin chào"), Sample("hello"), *pages(2)]
    assert np.abs(line.encode_rows(samples).vectors - held.encode_rows(samples).vectors).max() < 1e-5
    assert line.encode_rows([]).vectors.shape == (0, line.dim)
    assert line.encode(text=["a", "b"], dim=16).shape == (2, 16)


def test_callers_that_wait_together_become_one_call(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    answers = [occupy(line, held, threads)] + [put(line, threads, [Sample(f"q{number}")]) for number in range(4)]
    held.gate.set()
    rows = [answer.result(20) for answer in answers]
    assert held.calls == [["first"], ["q0", "q1", "q2", "q3"]]
    assert held.most_at_once == 1
    for number, row in enumerate(rows[1:]):
        assert np.abs(row.vectors - held.encode_rows([Sample(f"q{number}")]).vectors).max() < 1e-5


def test_a_bad_sample_costs_its_own_row_in_a_merged_call(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    occupy(line, held, threads)
    good = put(line, threads, [Sample("good")])
    mixed = put(line, threads, [Sample("fine"), Sample(""), Sample("fine too")])
    held.gate.set()
    assert good.result(20).errors == {}
    assert list(mixed.result(20).errors) == [1]
    assert "empty" in str(mixed.result().errors[1])
    assert np.isfinite(mixed.result().vectors[[0, 2]]).all()


def test_a_model_that_raises_fails_only_those_it_raises_for(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    occupy(line, held, threads)
    answers = [put(line, threads, [Sample(text)]) for text in ("one", "break", "two")]
    held.gate.set()
    assert len(answers[0].result(20).vectors) == len(answers[2].result(20).vectors) == 1
    with pytest.raises(RuntimeError, match="the model is broken"):
        answers[1].result(20)
    with pytest.raises(RuntimeError, match="the model is broken"):
        line.encode_rows([*pages(5), Sample("break")])
    assert len(line.encode_rows([Sample("after")]).vectors) == 1


def test_a_question_waits_for_one_slice_of_bulk_work_and_bulk_goes_on(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    bulk = threads.submit(line.encode_rows, pages(6))
    assert held.entered.acquire(timeout=10)  # the first page is with the model
    question = put(line, threads, [Sample("question")])
    held.gate.set()
    question.result(20)
    found = bulk.result(20)
    assert held.calls == [["page 0"], ["question"], *[[f"page {number}"] for number in range(1, 6)]]
    assert np.abs(found.vectors - held.encode_rows(pages(6)).vectors).max() < 1e-5


def test_bulk_is_not_starved_by_questions_without_end(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    line = ModelLine(tiny_embedder, slice_seconds=0.0)
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            line.encode_rows([Sample("question")])

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        try:
            assert np.isfinite(line.encode_rows(pages(8)).vectors).all()
        finally:
            stop.set()
        assert all(answer.result(20) is None for answer in asking)
    line.stop()


def test_slices_grow_with_the_models_speed(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    seen: list[int] = []
    line = ModelLine(tiny_embedder, slice_seconds=30.0, observe=lambda samples, _: seen.append(samples))
    rows = line.encode_rows(pages(40))
    line.stop()
    assert len(rows.vectors) == sum(seen) == 40
    assert max(seen) > 8


def test_errors_of_a_sliced_call_keep_their_rows(line: ModelLine, held: HeldEmbedder) -> None:
    held.gate.set()
    rows = line.encode_rows([*pages(5), Sample(""), *pages(2), Sample("")])
    assert sorted(rows.errors) == [5, 8]
    assert np.isfinite(np.delete(rows.vectors, [5, 8], axis=0)).all()


def test_too_many_questions_are_refused_and_bulk_from_a_thread_is_not(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    waiting = [occupy(line, held, threads)] + [put(line, threads, [Sample(f"q{number}")]) for number in range(4)]
    with pytest.raises(OverloadedError, match="4 calls wait") as refused:
        line.encode_rows([Sample("one too many")])
    assert 1 <= refused.value.retry_after <= 60
    waiting += [put(line, threads, pages(5)) for _ in range(6)]
    held.gate.set()
    assert all(isinstance(answer.result(30), EncodedRows) for answer in waiting)


def test_awaited_calls_are_bounded_cancelled_and_answered(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    async def scenario() -> None:
        occupy(line, held, threads)
        waiting = [asyncio.create_task(line.encode_rows_async(pages(5))) for _ in range(4)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError):
            await line.encode_rows_async(pages(5))
        for task in waiting[:3]:
            task.cancel()
        await asyncio.gather(*waiting[:3], return_exceptions=True)
        held.gate.set()
        assert len((await asyncio.wait_for(waiting[3], 20)).vectors) == 5

    asyncio.run(scenario())
    assert held.calls == [["first"], *[[f"page {number}"] for number in range(5)]]


def test_a_call_cancelled_half_way_gives_the_model_back(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(line.encode_rows_async(pages(50)))
        await asyncio.to_thread(held.entered.acquire, timeout=10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        held.gate.set()

    asyncio.run(scenario())
    line.encode_rows([Sample("next")])
    line.encode_rows([Sample("and next")])
    assert [call for call in held.calls if call[0].startswith("page")] == [["page 0"]]


def test_stop_refuses_what_waits_and_what_comes(
    line: ModelLine, held: HeldEmbedder, threads: ThreadPoolExecutor
) -> None:
    first = occupy(line, held, threads)
    waiting = [put(line, threads, [Sample("q")]), put(line, threads, pages(5))]
    stopping = threads.submit(line.stop)
    for answer in waiting:
        with pytest.raises(StoppedError, match="stopping"):
            answer.result(20)
    assert not stopping.done()  # the model is not free yet
    held.gate.set()
    stopping.result(20)
    assert len(first.result(20).vectors) == 1
    with pytest.raises(StoppedError):
        line.encode_rows([Sample("late")])
    line.stop()


def test_a_model_that_cannot_explain_says_so(line: ModelLine) -> None:
    with pytest.raises(InputError, match="cannot explain"):
        line.explain(Sample("a"), np.zeros(line.dim, np.float32))


def test_explains_in_its_turn(tiny_embedder: ColPaLiQwenEmbedder) -> None:
    line = ModelLine(tiny_embedder)
    vector = line.encode_rows([Sample("hợp đồng")]).vectors[0]
    found = line.explain(Sample("hợp đồng"), vector)
    line.stop()
    assert found.score == pytest.approx(1.0, abs=1e-4)
