"""200 searches at the same time: all answered, or refused with the time to come again; memory stays bounded."""

import asyncio
import os
import time
from typing import Any

import httpx
import psutil
import pytest

from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex
from vipylo_rag.server.options import ServerOptions

AT_ONCE = 200


async def ask_all(url: str, texts: list[str]) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=len(texts), max_keepalive_connections=len(texts))
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        return list(await asyncio.gather(*(client.get("/api/search", params={"text": text}) for text in texts)))


def texts(turn: int) -> list[str]:
    return [f"hợp đồng thuê nhà số {turn} {number}" for number in range(AT_ONCE)]


@pytest.mark.slow
def test_200_at_once_are_all_answered_with_their_own_hits(server: RunningServer) -> None:
    begun = time.perf_counter()
    alone = {text: server.search(text) for text in texts(0)[:20]}
    single = (time.perf_counter() - begun) / len(alone)
    begun = time.perf_counter()
    answers = asyncio.run(ask_all(server.url, texts(0)))
    seconds = time.perf_counter() - begun
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    for text, answer in zip(texts(0), answers, strict=True):
        said = answer.json()
        assert said["text"] == text
        if text in alone:
            assert [hit["id"] for hit in said["hits"]] == [hit["id"] for hit in alone[text]]
    # The client shares this interpreter and its cores. One after the other would take 200 times a single search.
    assert seconds < AT_ONCE * single * 1.5


@pytest.mark.slow
def test_memory_does_not_grow_with_rounds(server: RunningServer) -> None:
    process = psutil.Process(os.getpid())
    for turn in range(2):  # caches that are bounded, arenas, threads
        asyncio.run(ask_all(server.url, texts(turn)))
    before = process.memory_info().rss
    for turn in range(2, 6):
        asyncio.run(ask_all(server.url, texts(turn)))
    assert process.memory_info().rss - before < 60e6


def test_more_than_may_wait_are_refused_with_a_time(filled: MultimodalIndex) -> None:
    with running(filled, ServerOptions(writable=False, waiting=10)) as server:
        answers = asyncio.run(ask_all(server.url, texts(0)))
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = [answer for answer in answers if answer.status_code == 429]
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        assert all("searches wait already" in answer.json()["detail"] for answer in refused)
        assert server.state.searches.waiting == 0
        said: Any = server.client.get("/api/search", params={"text": "hợp đồng"})
        assert said.status_code == 200
