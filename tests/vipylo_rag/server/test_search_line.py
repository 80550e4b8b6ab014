"""Searches of many callers run together; each gets its own hits or error, and waiting is bounded."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.errors import StoreError
from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.vipylo_rag.server.held_embedder import HeldEmbedder
from vipylo_rag import MultimodalIndex
from vipylo_rag.query import SearchRequest
from vipylo_rag.server.model_line import OverloadedError, StoppedError
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.search_line import SearchLine

TEXTS = ["hợp đồng thuê nhà", "labour contract", "发票", "biên bản", "nothing at all"]


@pytest.fixture
def held(tiny_embedder: ColPaLiQwenEmbedder) -> HeldEmbedder:
    return HeldEmbedder(tiny_embedder)


@pytest.fixture
def asked(filled_directory: Path, tmp_path: Path, held: HeldEmbedder) -> Iterator[MultimodalIndex]:
    copy = shutil.copytree(filled_directory, tmp_path / "filled")
    with MultimodalIndex.open(copy, embedder=held) as opened:
        yield opened


@pytest.fixture
def line(asked: MultimodalIndex, held: HeldEmbedder) -> Iterator[SearchLine]:
    opened = SearchLine(asked, ServerOptions(waiting=6))
    yield opened
    held.gate.set()
    opened.stop()


async def occupied(line: SearchLine, held: HeldEmbedder) -> "asyncio.Task[object]":
    """Keep the line busy until the gate opens."""
    task = asyncio.create_task(line.search(SearchRequest("first")))
    assert await asyncio.to_thread(held.entered.acquire, timeout=10)
    return task


def test_searches_that_come_together_are_embedded_as_one_and_found_as_alone(
    line: SearchLine, held: HeldEmbedder, asked: MultimodalIndex
) -> None:
    async def scenario() -> list[object]:
        first = await occupied(line, held)
        tasks = [asyncio.create_task(line.search(SearchRequest(text, top_k=3))) for text in TEXTS]
        await asyncio.sleep(0.01)
        assert line.waiting == len(TEXTS)
        held.gate.set()
        await first
        return list(await asyncio.gather(*tasks))

    found = asyncio.run(scenario())
    assert held.calls == [["first"], TEXTS]
    assert found == [asked.search(text, top_k=3) for text in TEXTS]


def test_each_caller_gets_its_own_error(line: SearchLine, held: HeldEmbedder) -> None:
    async def scenario() -> list[object]:
        first = await occupied(line, held)
        requests = [SearchRequest("hợp đồng"), SearchRequest(""), SearchRequest("a", where={"no such field": 1})]
        tasks = [asyncio.create_task(line.search(request)) for request in requests]
        await asyncio.sleep(0.01)
        held.gate.set()
        await first
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    hits, empty, unknown = asyncio.run(scenario())
    assert isinstance(hits, list) and hits
    assert isinstance(empty, InputError) and "empty" in str(empty)
    assert isinstance(unknown, ValueError) and "no such field" in str(unknown)


def test_a_fault_of_one_search_is_not_the_others(line: SearchLine, held: HeldEmbedder) -> None:
    async def scenario() -> list[object]:
        first = await occupied(line, held)
        tasks = [asyncio.create_task(line.search(SearchRequest(text))) for text in ("hợp đồng", "break", "发票")]
        await asyncio.sleep(0.01)
        held.gate.set()
        await first
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    before, broken, after = asyncio.run(scenario())
    assert isinstance(before, list) and isinstance(after, list)
    assert isinstance(broken, RuntimeError)


def test_waiting_is_bounded_and_cancelled_searches_are_not_done(line: SearchLine, held: HeldEmbedder) -> None:
    async def scenario() -> None:
        first = await occupied(line, held)
        tasks = [asyncio.create_task(line.search(SearchRequest(f"q{number}"))) for number in range(6)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError, match="6 searches wait") as refused:
            await line.search(SearchRequest("one too many"))
        assert 1 <= refused.value.retry_after <= 60
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        held.gate.set()
        await asyncio.gather(first, tasks[0])

    asyncio.run(scenario())
    assert held.calls == [["first"], ["q0"]]


def test_a_store_that_fails_is_told_to_the_caller(line: SearchLine, held: HeldEmbedder, asked: MultimodalIndex) -> None:
    held.gate.set()
    asked.store.close()
    with pytest.raises(StoreError, match="closed"):
        asyncio.run(line.search(SearchRequest("hợp đồng")))


def test_stop_refuses_what_waits_and_what_comes(line: SearchLine, held: HeldEmbedder) -> None:
    async def scenario() -> None:
        first = await occupied(line, held)
        waiting = asyncio.create_task(line.search(SearchRequest("q")))
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(asyncio.to_thread(line.stop))
        with pytest.raises(StoppedError):
            await waiting
        held.gate.set()
        await stopping
        assert await first
        with pytest.raises(StoppedError):
            await line.search(SearchRequest("late"))

    asyncio.run(scenario())


def test_a_caller_whose_loop_is_gone_stops_nobody(line: SearchLine, held: HeldEmbedder) -> None:
    async def leaves() -> None:
        await occupied(line, held)

    asyncio.run(leaves())  # ends, with its loop, while the search runs
    held.gate.set()
    assert asyncio.run(line.search(SearchRequest("hợp đồng")))
