"""The example scripts as a stranger runs them, against a real server or on the starter."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import pytest
from PIL import Image

from embedder import ColPaLiQwenEmbedder
from examples import finetune_and_reindex, ingest_to_server, openai_client
from tests.vipylo_rag.conftest import tiny_embedder as tiny_embedder  # a fixture
from tests.vipylo_rag.conftest import write_documents
from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex

KEY = "a-key-0123456789abcdef"
EXAMPLES = Path(ingest_to_server.__file__).parent


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[RunningServer]:
    """A server that asks for a key before an empty index."""
    folder = tmp_path_factory.mktemp("served")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index, running(index, keys={"": KEY}) as up:
        yield up


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIPYLO_SERVER_KEY", KEY)


@pytest.mark.parametrize("script", [ingest_to_server, openai_client, finetune_and_reindex])
def test_help_says_how_it_is_run(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(["--help"])
    name = script.__name__.rpartition(".")[2]
    assert ended.value.code == 0 and name in capsys.readouterr().out


def test_no_script_has_150_lines_of_code() -> None:
    # The folders beside them hold the sample documents' words and drawings, and the checkpoint.
    counted = {
        str(path.relative_to(EXAMPLES)): code_lines(path.read_text(encoding="utf-8"))
        for path in [*EXAMPLES.glob("*.py"), *(EXAMPLES / "screenshots").glob("*.py")]
    }
    assert len(counted) > 15
    assert {name: lines for name, lines in counted.items() if lines >= 150} == {}


def code_lines(source: str) -> int:
    """Lines that are neither blank nor a comment nor a docstring."""
    said = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    code = [line for number, line in enumerate(source.splitlines(), 1) if number not in said and line.strip()]
    return sum(not line.lstrip().startswith("#") for line in code)


def test_a_folder_is_ingested_once_and_searched(
    served: RunningServer, key: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = write_documents(tmp_path / "documents")
    (documents / "sub" / "note.md").write_text("# Khác\n\nmột ghi chú khác cùng tên", encoding="utf-8")
    asked = [str(documents), "--url", served.url, "--search", "hợp đồng thuê nhà", "--out", str(tmp_path / "found")]
    assert ingest_to_server.main([*asked, "--picture", str(documents / "sub" / "red.png"), "--top-k", "3"]) == 1
    said = capsys.readouterr().out
    assert "8 files: 0 there already, 8 to send, 0 too large" in said
    assert "not indexed: broken.pdf: is no readable PDF" in said and "not indexed: thing.xyz: no loader" in said
    assert "\nhợp đồng thuê nhà\n  1. " in said and "doc0.pdf" in said
    names = sorted(source.source.rpartition("/")[2] for source in served.index.sources())
    assert names == sorted([*(file.name for file in documents.iterdir() if file.is_file()), "note (2).md", "red.png"])
    sheet = (tmp_path / "found" / "found.html").read_text(encoding="utf-8")
    pictures = [file for file in (tmp_path / "found").iterdir() if file.suffix != ".html"]
    assert len(pictures) == sheet.count("<img") == 6
    assert all(Image.open(picture).size[0] > 100 for picture in pictures)

    (documents / "more.md").write_text("# Mới\n\nthêm một tờ", encoding="utf-8")
    assert ingest_to_server.main(asked[:3]) == 1
    said = capsys.readouterr().out
    assert "9 files: 8 there already, 1 to send" in said and "not indexed: broken.pdf" in said
    shutil.rmtree(documents / "sub")
    for gone in ("broken.pdf", "thing.xyz"):
        (documents / gone).unlink()
    assert ingest_to_server.main(asked[:3]) == 0
    assert "0 to send" in capsys.readouterr().out


def test_a_busy_server_is_asked_again_with_the_whole_file() -> None:
    sent: list[bytes] = []

    def answer(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request.read() if not sent else b"".join(request.stream))  # type: ignore[arg-type]
        if len(sent) == 2:
            raise httpx.ReadError("lost")
        return httpx.Response(429 if len(sent) == 1 else 202, headers={"Retry-After": "0"}, json={})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.HTTPTransport, "handle_request", answer)
        patch.setattr(ingest_to_server.time, "sleep", lambda seconds: None)
        with httpx.Client(base_url="http://server", transport=ingest_to_server.Patient()) as client:
            file = EXAMPLES / "openai_client.py"
            with file.open("rb") as opened:
                assert client.post("/api/documents", files={"files": opened}).status_code == 202
    assert len(sent) == 3 and sent[0] == sent[1] == sent[2] and file.read_bytes() in sent[0]


def test_uploads_are_cut_where_the_server_asks_for_it(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(5)]
    for file, size in zip(files, (40, 50, 30, 90, 10), strict=True):
        file.write_bytes(bytes(size))
    sizes = [[file.stat().st_size for file in batch] for batch in ingest_to_server.batches(files, 100)]
    assert sizes == [[40, 50], [30], [90, 10]]
    assert [len(batch) for batch in ingest_to_server.batches(files, 1000, 2)] == [2, 2, 1]
    assert ingest_to_server.batches([], 100) == []


def test_a_wrong_key_and_no_server_are_one_line(
    served: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIPYLO_SERVER_KEY", "wrong-key-0123456789")
    file = tmp_path / "note.md"
    file.write_text("x")
    for main, first in ((ingest_to_server.main, [str(file)]), (openai_client.main, ["--text", "x"])):
        for url in (served.url, "http://127.0.0.1:9"):
            assert main([*first, "--url", url, "--out", str(tmp_path / "out")]) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1 and url in said


def test_embeddings_are_the_same_by_openai_and_by_hand(served: RunningServer, tmp_path: Path) -> None:
    """As a program of its own, in a folder of its own: nothing of the repository is needed beside the file."""
    script = shutil.copy(EXAMPLES / "openai_client.py", tmp_path)
    done = subprocess.run(
        [sys.executable, script, "--url", served.url],
        cwd=tmp_path,
        env={"VIPYLO_SERVER_KEY": KEY, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (difference,) = re.findall(r"by httpx the same: largest difference (\S+)", done.stdout)
    assert float(difference) < 1e-6  # requests that run beside others share batches, whose sums are rounded otherwise
    rows = [line.split()[1:9] for line in done.stdout.splitlines() if line.strip()[:1].isdigit() and "." in line]
    assert len(rows) == 8 and np.allclose(np.diag(np.array(rows, dtype=float)), 1, atol=0.01)
    sheet = (tmp_path / "cosines.html").read_text(encoding="utf-8")
    assert sheet.count('<img src="data:image/') == 8 and "Bên thuê đặt cọc" in sheet


@pytest.mark.slow
def test_the_finetuned_model_knows_the_nicknames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finetune_and_reindex.main([str(tmp_path / "work"), "--steps", "8", "--learning-rate", "2e-3"]) == 0
    said = capsys.readouterr().out
    ranks = [line.split()[:2] for line in said.partition("rank of the right page\n")[2].splitlines()[:8]]
    before, after = (np.array([int(rank[side]) for rank in ranks]) for side in (0, 1))
    assert (after == 1).sum() >= 6 and after.mean() < before.mean() - 1
    assert "searches were answered meanwhile, by the old vectors" in said
    manifest = json.loads((tmp_path / "work" / "index" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["embedder"]["name"] == str(tmp_path / "work" / "trained" / "checkpoint")
    assert (tmp_path / "work" / "pages.html").read_text(encoding="utf-8").count("class='right'") >= 12
    with pytest.raises(SystemExit):
        finetune_and_reindex.main([str(tmp_path / "work")])
    assert "is not empty" in capsys.readouterr().err
