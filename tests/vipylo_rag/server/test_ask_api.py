"""Questions over HTTP: the answer streams as the language model says it, and ends when its reader leaves."""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedder import ColPaLiQwenEmbedder
from tests.llm_server import LLMServer
from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex
from vipylo_rag.llm import load_llm
from vipylo_rag.server.options import ServerOptions

QUESTION = {"question": "Tiền đặt cọc là mấy tháng?", "top_k": "2"}
Event = tuple[str, dict[str, Any], float]


@pytest.fixture
def llm() -> Iterator[LLMServer]:
    with LLMServer().running() as up:
        yield up


@pytest.fixture(scope="module")
def asked_index(
    filled_directory: Path, tiny_embedder: ColPaLiQwenEmbedder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MultimodalIndex]:
    copy = shutil.copytree(filled_directory, tmp_path_factory.mktemp("asked") / "index")
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as index:
        yield index


@pytest.fixture
def answering(asked_index: MultimodalIndex, llm: LLMServer) -> Iterator[RunningServer]:
    options = ServerOptions(writable=False, answers=2, answer_seconds=5)
    with running(asked_index, options, llm=load_llm(llm.url, next_seconds=1.0)) as up:
        yield up


def events(answer: httpx.Response) -> Iterator[Event]:
    """The events of a stream with the time when each came."""
    assert answer.status_code == 200, answer.read()
    assert answer.headers["content-type"].startswith("text/event-stream")
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:]), time.monotonic()


def stream(server: RunningServer, **fields: str) -> Any:
    return server.client.stream("POST", "/api/ask", data={**QUESTION, **fields})


def until(happens: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_pages_then_tokens_then_the_answer(answering: RunningServer, llm: LLMServer) -> None:
    pieces = ("Tiền đặt cọc\r\n", "là hai tháng\n\n", "data: không phải sự kiện [1].")
    llm.says(*pieces)
    with stream(answering) as answer:
        assert answer.headers["cache-control"] == "no-store"
        found = list(events(answer))
    names = [name for name, _, _ in found]
    assert names[0] == "pages" and names[-1] == "done" and set(names[1:-1]) == {"token"}
    pages, done = found[0][1]["pages"], found[-1][1]
    assert [page["rank"] for page in pages] == [1, 2]
    assert done["pages"] == pages
    assert "".join(body["text"] for name, body, _ in found if name == "token") == done["answer"]
    assert all(word in done["answer"] for word in ("Tiền đặt cọc", "hai tháng", "data: không phải sự kiện"))
    assert done["generated"] and done["found"] and done["model"] == "test-vl" and done["language"] == "vi"
    assert [one["number"] for one in done["citations"]] == [1]
    assert done["citations"][0]["page"]["id"] == pages[0]["id"]


def test_the_first_token_comes_within_200_ms_of_being_said(answering: RunningServer, llm: LLMServer) -> None:
    llm.says("Hai ", "tháng ", "tiền ", "nhà ", "[1].", first_wait=0.1, wait=0.1)
    first, every = [], []
    for _ in range(7):
        with stream(answering) as answer:
            came = [at for name, _, at in events(answer) if name == "token"]
        sent = llm.asked[-1].sent
        first.append(came[0] - sent[0])
        every += [at - said for at, said in zip(came[:3], sent[:3], strict=True)]
        assert came[0] < sent[2], "the first token was held back for later ones"
    assert statistics.median(first) < 0.2
    assert statistics.median(every) < 0.2


def test_json_for_who_asks_for_it(answering: RunningServer, llm: LLMServer) -> None:
    llm.says("Two months [1].")
    answer = answering.client.post("/api/ask", data=QUESTION, headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["answer"] == "Two months [1]."
    assert answer.json()["citations"][0]["page"]["page"] >= 1


def test_without_a_model_passages_are_quoted(asked_index: MultimodalIndex) -> None:
    with running(asked_index, ServerOptions(writable=False)) as server, stream(server) as answer:
        name, done, _ = list(events(answer))[-1]
    assert name == "done"
    assert not done["generated"] and done["model"] is None


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_who_leaves_stops_the_model_and_frees_the_place(answering: RunningServer, llm: LLMServer, accept: str) -> None:
    llm.says("word ", wait=0.05, endless=True)
    for _ in range(4):  # twice as many as there are places
        before = len(llm.asked)
        with httpx.Client(base_url=answering.url, timeout=0.5, headers={"Accept": accept}) as client:
            try:
                with client.stream("POST", "/api/ask", data=QUESTION) as answer:
                    for name, _, _ in events(answer):
                        if name == "token":
                            break
            except httpx.ReadTimeout:
                assert accept == "application/json"
        left = time.monotonic()
        [asked] = llm.asked[before:]
        assert asked.hung_up.wait(3), "the model goes on for nobody"
        assert asked.hung_up_at - left < 1
        until(lambda: answering.state.answers.taken == 0, 2)


def test_more_answers_than_places_are_refused(answering: RunningServer, llm: LLMServer) -> None:
    llm.says("word ", wait=0.05, endless=True)
    clients = [httpx.Client(base_url=answering.url, timeout=20) for _ in range(2)]
    streams = [client.stream("POST", "/api/ask", data=QUESTION) for client in clients]
    try:
        reading = [events(one.__enter__()) for one in streams]
        assert [next(one)[0] for one in reading] == ["pages", "pages"]
        refused = answering.client.post("/api/ask", data=QUESTION)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "2 answers run already" in refused.json()["detail"]
    finally:
        for one in streams:  # who lets go of `reading` hangs up
            one.__exit__(None, None, None)
        for client in clients:
            client.close()
    until(lambda: answering.state.answers.taken == 0)
    llm.says("Two months [1].")
    assert answering.client.post("/api/ask", data=QUESTION).status_code == 200


def test_an_answer_that_takes_too_long_is_ended(asked_index: MultimodalIndex, llm: LLMServer) -> None:
    llm.says("word ", wait=0.05, endless=True)
    options = ServerOptions(writable=False, answer_seconds=0.7)
    with running(asked_index, options, llm=load_llm(llm.url)) as server:
        with stream(server) as answer:
            name, body, _ = list(events(answer))[-1]
        assert name == "error" and "longer than 0.7 s" in body["detail"]
        assert llm.asked[-1].hung_up.wait(3)
        whole = server.client.post("/api/ask", data=QUESTION, headers={"Accept": "application/json"})
        assert whole.status_code == 503 and "longer than 0.7 s" in whole.json()["detail"]
        assert llm.asked[-1].hung_up.wait(3)
        until(lambda: server.state.answers.taken == 0)


@pytest.mark.parametrize("how", [{"breaks_after": 2}, {"status": 400, "body": b"no"}])
def test_a_model_that_fails_is_an_error_event_or_status(
    answering: RunningServer, llm: LLMServer, how: dict[str, Any]
) -> None:
    llm.says("one ", "two ", "three ", **how)
    with stream(answering) as answer:
        names = [(name, body) for name, body, _ in events(answer)]
    assert names[0][0] == "pages"
    assert names[-1][0] == "error" and "language model" in names[-1][1]["detail"]
    whole = answering.client.post("/api/ask", data=QUESTION, headers={"Accept": "application/json"})
    assert whole.status_code == 503 and "language model" in whole.json()["detail"]
    assert answering.state.answers.taken == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"question": "  "}, "the question is empty"),
        ({"question": "a" * 8001}, "8000 at most"),
        ({"top_k": "0"}, "top_k"),
        ({"top_k": "101"}, "100 at most"),
        ({"where": '{"no such field": 1}'}, "no such field"),
        ({"language": "fr"}, "language"),
        ({"mode": "magic"}, "mode"),
    ],
)
def test_bad_questions_have_a_status_of_their_own(
    answering: RunningServer, llm: LLMServer, fields: dict[str, str], says: str
) -> None:
    refused = answering.client.post("/api/ask", data={**QUESTION, **fields})
    assert refused.status_code == 422
    assert says in refused.json()["detail"]
    assert not llm.asked and answering.state.answers.taken == 0
