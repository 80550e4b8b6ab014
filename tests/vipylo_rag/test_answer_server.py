"""Answers by a language model over real HTTP: what it is asked, what becomes of its words, servers that fail."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from PIL import Image

from connectors.errors import LLMError
from embedder.errors import InputError
from tests.llm_server import LLMServer, Reply
from tests.vipylo_rag.answer_pages import BRAKES, DEPOSIT, page, pages
from vipylo_rag.answer import Answer, Answered, AnswerEvent, AnswerToken, AskedPages, answer_astream, answer_stream
from vipylo_rag.llm import load_llm
from vipylo_rag.search import Hit

QUESTION = "Tiền đặt cọc là bao nhiêu?"


@pytest.fixture
def server() -> Iterator[LLMServer]:
    with LLMServer().running() as running:
        yield running


@pytest.fixture
def hits(tmp_path: Path) -> list[Hit]:
    return pages(tmp_path)


def asked(server: LLMServer, hits: list[Hit], question: str = QUESTION, *, sync: bool = True) -> Answer:
    llm = load_llm(server.url)
    if sync:
        events = list(answer_stream(question, (), hits, llm))
    else:

        async def gather() -> list[AnswerEvent]:
            return [event async for event in answer_astream(question, (), hits, llm)]

        events = asyncio.run(gather())
    assert isinstance(events[0], AskedPages) and events[0].pages == tuple(hits)
    assert isinstance(events[-1], Answered)
    answer = events[-1].answer
    assert "".join(event.text for event in events[1:-1] if isinstance(event, AnswerToken)) == answer.text
    return answer


@pytest.mark.parametrize("sync", [True, False])
def test_an_answer_cites_the_words_that_it_rests_on(server: LLMServer, hits: list[Hit], sync: bool) -> None:
    server.says("Tiền đặt cọc là 29.000.000", " đồng [", "1]. Má phanh dày 2.2 mm [2", ", 9].")
    answer = asked(server, hits, sync=sync)
    assert answer.text == "Tiền đặt cọc là 29.000.000 đồng [1]. Má phanh dày 2.2 mm [2]."
    assert (answer.found, answer.generated, answer.language, answer.model) == (True, True, "vi", "test-vl")
    first, second = answer.citations
    assert (first.number, first.hit, first.quote) == (1, hits[0], "Tiền đặt cọc là 29.000.000 đồng.")
    assert " ".join(box.text for box in first.boxes) == "Tiền đặt cọc là 29.000.000 đồng."
    assert all(box.y0 == 1 / 50 for box in first.boxes), "the heading has the same words"
    assert (second.number, second.quote) == (2, "New brake pads are 2.2 mm thick.")
    assert [box.text for box in second.boxes] == ["New", "brake", "pads", "are", "2.2", "mm", "thick."]


def test_the_model_sees_pages_in_blocks_with_pictures(server: LLMServer, hits: list[Hit], tmp_path: Path) -> None:
    server.says("Có [1].")
    llm = load_llm(server.url)
    list(answer_stream(QUESTION, (hits[0].image, hits[1].image), hits, llm))  # type: ignore[arg-type]
    (request,) = server.asked
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]
    assert len(request.pictures) == 3 + 2
    assert all(uri.startswith("data:image/jpeg;base64,/9j/") for uri in request.pictures)
    assert sorted(request.blocks) == [1, 2, 3]
    assert DEPOSIT in request.blocks[1] and "<picture>" in request.blocks[1] and "a.pdf" in request.blocks[1]
    assert request.user.rstrip().endswith(QUESTION)
    assert request.body["model"] == "test-vl" and request.body["stream"] is True
    assert llm.metadata.context_window == 16_384


@pytest.mark.parametrize("sync", [True, False])
def test_not_found_is_said_in_the_questions_language(server: LLMServer, hits: list[Hit], sync: bool) -> None:
    server.says("[[NOT", "_FOUND", "]]")
    told = {"vi": "Không tìm thấy trong tài liệu.", "en": "Not found in the documents.", "zh": "在文档中没有找到。"}
    questions = {"vi": "Ai viết truyện Kiều?", "en": "Who wrote it?", "zh": "红楼梦的作者是谁？"}
    for language, question in questions.items():
        answer = asked(server, hits, question, sync=sync)
        assert (answer.language, answer.text, answer.found) == (language, told[language], False)
        assert answer.citations == () and answer.pages == tuple(hits)
        assert told[language] != question and "NOT_FOUND" not in answer.text


def test_an_answer_without_citation_says_so(server: LLMServer, hits: list[Hit]) -> None:
    server.says("Paris is the capital [7].")
    answer = asked(server, hits, "What is the capital?")
    assert answer.text.startswith("Paris is the capital.\n\n(This answer names no page")
    assert answer.citations == () and answer.found


@pytest.mark.parametrize("sync", [True, False])
def test_an_answer_for_which_there_was_no_room_says_so(server: LLMServer, hits: list[Hit], sync: bool) -> None:
    server.says("Là 29.000.000 đồng [1]. Hoàn trả [", reason="length")
    answer = asked(server, hits, sync=sync)
    assert answer.text == "Là 29.000.000 đồng [1]. Hoàn trả …\n\n(Câu trả lời bị cắt ở đây vì quá dài.)"
    assert [citation.number for citation in answer.citations] == [1]


def test_thoughts_are_no_answer(server: LLMServer, hits: list[Hit]) -> None:
    server.says("<think>The pages say [1]", reason="length")
    with pytest.raises(LLMError, match="thoughts alone"):
        asked(server, hits)


@pytest.mark.parametrize("sync", [True, False])
def test_a_lost_or_damaged_picture_leaves_the_page_s_text(server: LLMServer, hits: list[Hit], sync: bool) -> None:
    assert hits[0].image_path and hits[1].image_path
    hits[0].image_path.unlink()
    hits[1].image_path.write_bytes(b"no picture")
    server.says("Là 29.000.000 đồng [1].")
    assert asked(server, hits, sync=sync).citations[0].hit is hits[0]
    (request,) = server.asked
    assert len(request.pictures) == 1 and "<picture>" in request.blocks[3]
    assert DEPOSIT in request.blocks[1] and "(Hình của trang không được đưa ra.)" in request.blocks[1]


def test_a_model_without_eyes_knows_that_the_question_has_pictures(server: LLMServer, hits: list[Hit]) -> None:
    server.replies = [Reply(status=400, body=b'{"error": {"message": "no images"}}'), Reply(("Có [1].",))]
    list(answer_stream(QUESTION, (Image.new("RGB", (60, 60), "red"),), hits, load_llm(server.url)))
    first, second = server.asked
    told = "(Câu hỏi có hình ảnh đi kèm, nhưng không thể cho bạn xem.)"
    assert told not in first.user and told in second.user


def test_no_pages_ask_no_model(server: LLMServer) -> None:
    answer = asked(server, [])
    assert not answer.found and not answer.generated and server.asked == []


def test_a_model_without_eyes_gets_the_texts(server: LLMServer, hits: list[Hit]) -> None:
    refusals = [
        Reply(status=400, body=b'{"error": {"message": "test-vl is not a multimodal model"}}'),
        Reply(status=500, headers=(("x-should-retry", "false"),), body=b'{"error": {"message": "no image input"}}'),
    ]
    for refusal in refusals:
        server.asked.clear()
        server.replies = [refusal, Reply(("Có [1].",))]
        assert asked(server, hits).text == "Có [1]."
        first, second = server.asked
        assert len(first.pictures) == 3 and second.pictures == []
        assert DEPOSIT in second.blocks[1]


@pytest.mark.parametrize("sync", [True, False])
def test_an_overloaded_server_is_asked_again_when_it_says(server: LLMServer, hits: list[Hit], sync: bool) -> None:
    server.replies = [Reply(status=429, headers=(("Retry-After", "1"),)), Reply(("Có [1].",))]
    assert asked(server, hits, sync=sync).text == "Có [1]."
    first, second = server.asked
    assert 0.95 < second.at - first.at < 5


def test_errors_of_the_server_name_the_way_out(server: LLMServer, hits: list[Hit]) -> None:
    cases = [
        (Reply(status=500, headers=(("retry-after-ms", "1"),)), 4, r"failed \(500: scripted 500\)"),
        (Reply(status=429, headers=(("retry-after-ms", "1"),)), 4, "overloaded .*try again later"),
        (Reply(status=401), 1, "VIPYLO_LLM_KEY"),
        (Reply(status=404), 1, "check the address and the model's name"),
        (Reply(status=200, body=b"<html>hello</html>"), 1, "is it an OpenAI-style server"),
        (Reply(()), 1, "gave no answer, or thoughts"),
    ]
    for reply, tries, told in cases:
        server.asked.clear()
        server.replies = [reply]
        with pytest.raises(LLMError, match=told):
            asked(server, hits)
        assert len(server.asked) == tries, told


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("reply", [Reply(("One ", "two "), breaks_after=1), Reply(("One ",), finished=False)])
def test_no_retry_once_tokens_have_come(server: LLMServer, hits: list[Hit], reply: Reply, sync: bool) -> None:
    server.replies = [reply]
    with pytest.raises(LLMError, match=r"broke off in the middle|before it was complete"):
        asked(server, hits, sync=sync)
    assert len(server.asked) == 1


def test_waits_are_bounded(server: LLMServer, hits: list[Hit]) -> None:
    llm = load_llm(server.url, first_seconds=0.5, next_seconds=0.3)
    begun = time.monotonic()
    server.says("late", first_wait=20)
    with pytest.raises(LLMError, match=r"no token within 0.5 s"):
        list(answer_stream(QUESTION, (), hits, llm))
    server.says("one", "two", wait=20)
    with pytest.raises(LLMError, match=r"nothing came for 0.3 s"):
        list(answer_stream(QUESTION, (), hits, llm))
    assert time.monotonic() - begun < 8
    assert all(request.hung_up.wait(2) for request in server.asked)
    nobody = load_llm("http://127.0.0.1:9/v1", "x")
    nobody.max_retries = 0  # type: ignore[attr-defined]
    with pytest.raises(LLMError, match="cannot be reached"):
        list(answer_stream(QUESTION, (), hits, nobody))


def test_closing_hangs_up_at_once(server: LLMServer, hits: list[Hit]) -> None:
    server.says("word ", endless=True, wait=0.02)
    before = threading.active_count()
    llm = load_llm(server.url)
    with closing(answer_stream(QUESTION, (), hits, llm)) as events:
        for event in events:
            if isinstance(event, AnswerToken):
                break
        at = time.monotonic()
    assert server.asked[0].hung_up.wait(2) and server.asked[0].hung_up_at - at < 0.5
    _wait_for(lambda: threading.active_count() <= before)


def test_cancelling_hangs_up_at_once(server: LLMServer, hits: list[Hit]) -> None:
    server.says("word ", endless=True, wait=0.02)
    llm = load_llm(server.url)
    times = []

    async def consume(heard: asyncio.Event) -> None:
        async with aclosing(answer_astream(QUESTION, (), hits, llm)) as events:
            async for event in events:
                if isinstance(event, AnswerToken):
                    heard.set()

    async def main() -> None:
        heard = asyncio.Event()
        task = asyncio.create_task(consume(heard))
        await asyncio.wait_for(heard.wait(), 20)
        times.append(time.monotonic())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        times.append(time.monotonic())

    asyncio.run(main())
    assert server.asked[0].hung_up.wait(2) and server.asked[0].hung_up_at - times[0] < 0.5
    assert times[1] - times[0] < 1


def test_cancelling_while_the_server_thinks(server: LLMServer, hits: list[Hit]) -> None:
    server.says("late", first_wait=30)
    llm = load_llm(server.url)

    async def main() -> None:
        async def consume() -> None:
            async for _ in answer_astream(QUESTION, (), hits, llm):
                pass

        task = asyncio.create_task(consume())
        while not server.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begun = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - begun < 10
    assert server.asked[0].hung_up.wait(2)


def test_tokens_come_as_they_are_sent(server: LLMServer, hits: list[Hit]) -> None:
    server.says("One ", "two ", "three [1].", wait=0.3)
    got = []
    for event in answer_stream(QUESTION, (), hits, load_llm(server.url)):
        if isinstance(event, AnswerToken):
            got.append(time.monotonic())
    sent = server.asked[0].sent
    assert got[0] - sent[0] < 0.25 and got[1] - sent[1] < 0.25


def test_one_model_serves_several_event_loops(server: LLMServer, hits: list[Hit]) -> None:
    server.says("Có [1].")
    llm = load_llm(server.url)

    async def gather() -> int:
        return len([event async for event in answer_astream(QUESTION, (), hits, llm)])

    async def within_a_loop() -> int:
        return len(list(answer_stream(QUESTION, (), hits, llm)))

    assert {asyncio.run(gather()), asyncio.run(gather()), asyncio.run(within_a_loop())} == {3}


def test_where_no_file_can_be_opened_it_is_told() -> None:
    program = """import resource
from connectors.llama_index.blocking import blocking
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
list(blocking(None))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "Too many open files" in done.stderr


def test_a_server_is_known_by_its_models(server: LLMServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-someone-else")
    llm = load_llm(server.url.removesuffix("/v1"))
    assert llm.metadata.model_name == "test-vl"
    server.says("ok [1]")
    hit = Hit(id="1", score=1, source="a", page=1, kind="text", text="ok", image_path=None)
    list(answer_stream("ok?", (), [hit], llm))
    assert "sk-of-someone-else" not in str(server.asked[0].headers)
    server.models = [{"id": "one"}, {"id": "two"}]
    with pytest.raises(InputError, match=r"2 models \(one, two\): say which"):
        load_llm(server.url)
    assert load_llm(server.url, "two").metadata.model_name == "two"
    with pytest.raises(LLMError, match="no language model answers"):
        load_llm("http://127.0.0.1:9")
    with pytest.raises(InputError, match="give the http:// URL"):
        load_llm("nowhere")


def test_an_empty_question_and_an_unknown_language_are_refused(hits: list[Hit]) -> None:
    with pytest.raises(InputError, match="the question is empty"):
        list(answer_stream("  ", (), hits, None))
    with pytest.raises(InputError, match="none of vi, en, zh"):
        list(answer_stream("what?", (), hits, None, language="fr"))  # type: ignore[arg-type]


def test_long_pages_keep_the_sentences_that_are_asked_for(server: LLMServer, tmp_path: Path) -> None:
    filler = "\n".join(f"Line {number} tells of other things altogether." for number in range(3000))
    long = page(f"{filler}\n{BRAKES}\n{filler}", tmp_path, picture=False)
    server.says("2.2 mm [1].")
    answer = asked(server, [long], "How thick are new brake pads?")
    assert "New brake pads are 2.2 mm thick." in server.asked[0].blocks[1]
    assert len(server.asked[0].user) < 15_000
    assert answer.citations[0].quote == "New brake pads are 2.2 mm thick."


def _wait_for(done: "object", seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)
