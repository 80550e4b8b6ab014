"""`vipylo ask` and `index.ask` on a real index: found by a search, answered over HTTP or quoted."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.llm_server import LLMServer, Reply
from tests.vipylo_rag.command_line import PROGRAM, vipylo
from tests.vipylo_rag.conftest import write_pdf
from vipylo_rag import ColPaLiQwenEmbedder, MultimodalIndex

TEXTS = ["Tiền đặt cọc là 29.000.000 đồng.", "New brake pads are 2.2 mm thick.", "反渗透膜的更换周期是二十四个月。"]


@pytest.fixture(scope="module")
def asked_index(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Path:
    """An index of three pages, which tests only read."""
    folder = tmp_path_factory.mktemp("asked")
    write_pdf(folder / "three.pdf", TEXTS)
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(folder / "three.pdf")
    return folder / "index"


@pytest.fixture
def server() -> Iterator[LLMServer]:
    with LLMServer().running() as running:
        yield running


def ask(index: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return vipylo("ask", *arguments, "--index", index, **settings)


def command(index: Path, *arguments: str) -> list[str]:
    """The command for what only a process of its own shows."""
    return [str(PROGRAM), "ask", *arguments, "--index", str(index)]


def test_index_ask_with_and_without_a_model(
    asked_index: Path, tiny_embedder: ColPaLiQwenEmbedder, server: LLMServer, tmp_path: Path
) -> None:
    from vipylo_rag.llm import load_llm

    server.answer = lambda asked: Reply((f"Dày 2.2 mm [{_number_of(asked.blocks, '2.2 mm')}].",))
    with MultimodalIndex.open(asked_index, embedder=tiny_embedder, create=False) as index:
        quoted = index.ask("How thick are new brake pads?")
        assert quoted.citations[0].hit.page == 2 and not quoted.generated
        assert [box.text for box in quoted.citations[0].boxes] == TEXTS[1].split()
        picture = next(hit.image_path for hit in quoted.pages if hit.image_path)
        answer = index.ask("Má phanh dày bao nhiêu?", picture, llm=load_llm(server.url), top_k=3, where={"kind": "pdf"})
        assert answer.generated and answer.citations[0].hit.page == 2 and len(answer.pages) == 3
        assert "2.2 mm" in answer.citations[0].quote, "a claim in another language than its page"
        assert len(server.asked[0].pictures) == 4
        assert not index.ask("Brake pads?", where={"page": {"gt": 9}}).found
        assert index.ask("Brake pads?", tenant="other").pages == ()


def test_the_command_quotes_without_a_model(asked_index: Path) -> None:
    done = ask(asked_index, "Tiền đặt cọc là bao nhiêu?", VIPYLO_LLM="")
    assert done.returncode == 0, done.stderr
    first, *_ = done.stdout.splitlines()
    assert first.startswith("Chưa cấu hình mô hình ngôn ngữ")
    assert done.stdout.count("“Tiền đặt cọc là 29.000.000 đồng.” [1]") == done.stdout.count("29.000.000") == 1
    assert "[1] three.pdf, page 1\n    6 words, " in done.stdout


def test_the_command_streams_a_model_and_prints_json(asked_index: Path, server: LLMServer) -> None:
    server.says("Là 29.000.000 ", "đồng [1].")
    settings = {"VIPYLO_LLM": server.url, "VIPYLO_LLM_KEY": "secret-of-the-test"}
    done = ask(asked_index, "Tiền đặt cọc là bao nhiêu?", "--json", "-k", "1", "--where", "page=1", **settings)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["answer"] == "Là 29.000.000 đồng [1]." and said["model"] == "test-vl" and said["found"]
    (citation,) = said["citations"]
    assert (citation["page"], citation["quote"]) == (1, TEXTS[0]) and len(citation["boxes"]) == 6
    assert server.asked[0].headers["Authorization"] == "Bearer secret-of-the-test"
    assert "secret-of-the-test" not in done.stdout + done.stderr


def test_the_models_name_stands_on_a_line_of_its_own(asked_index: Path, server: LLMServer) -> None:
    server.says("Là 29.000.000 đồng [1].")
    arguments = command(asked_index, "Tiền đặt cọc là bao nhiêu?", "--llm", server.url)
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "answered by test-vl"


def test_bad_input_is_one_line(asked_index: Path) -> None:
    done = ask(asked_index, "what?", "--llm", "nowhere")
    assert done.returncode == 2 and "give the http:// URL" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_is_clean_and_hangs_up(asked_index: Path, server: LLMServer) -> None:
    server.says("word ", endless=True, wait=0.02)
    arguments = command(asked_index, "How thick?", "--llm", server.url)
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # what a shell starts in the background ignores Ctrl-C, and so does all that it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.read(5) == "word "
        process.send_signal(signal.SIGINT)
        at = time.monotonic()
        said, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130 and said.endswith("\n") and errors == ""
    assert server.asked[0].hung_up.wait(5) and server.asked[0].hung_up_at - at < 2


def _number_of(blocks: dict[int, str], words: str) -> int:
    return next(number for number, text in blocks.items() if words in text)
