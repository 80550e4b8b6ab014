"""`vipylo graph build`, `info` and `show`, as commands."""

import json
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from embedder import ColPaLiQwenEmbedder
from vipylo_rag import MultimodalIndex
from vipylo_rag.cli import app, main


@pytest.fixture
def location(graph_index: MultimodalIndex) -> str:
    """The index's folder, with nobody holding it open."""
    graph_index.close()
    return str(graph_index.directory)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["graph", *words], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_build_info_and_show(location: str, tmp_path: Path) -> None:
    code, said = run("build", "--index", location)
    assert code == 0 and "6 pages: 6 unchanged; 0 entities and figures embedded" in said
    assert "HAS_PAGE" in said and "MENTIONS" in said
    code, said = run("info", "--index", location)
    assert code == 0 and "RuleExtractor" in said and "6 of 6 in the index" in said and "12.500.000 đồng" in said
    code, said = run("show", "--index", location, "--out", str(tmp_path / "graph.html"))
    assert code == 0 and "relations on the page" in said
    assert "HD-2024-0193" in (tmp_path / "graph.html").read_text(encoding="utf-8")


def test_json(location: str) -> None:
    built = json.loads(run("build", "--index", location, "--json")[1])
    assert (built["pages"], built["unchanged"], built["failures"]) == (6, 6, [])
    facts = json.loads(run("info", "--index", location, "--json")[1])
    assert facts["nodes"] == built["nodes"] and facts["outdated"] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("info", "--tenant", "nobody"), "tenant 'nobody' has no graph: make it with `vipylo graph build"),
        (("build", "--extractor", "nonsense"), "no extractor named 'nonsense'"),
        (("build", "--extractor", "llm"), "needs a language model"),
        (("build", "--url", "http://host"), "a graph server is neo4j://"),
        (("build", "--url", ""), "the graph's URL is empty"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    location: str,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("VIPYLO_LLM", raising=False)
    monkeypatch.setattr(sys, "argv", ["vipylo", "graph", *words, "--index", location])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert said in told and told.startswith("error: ") and len(told.splitlines()) == 1


@pytest.fixture
def driver_log() -> Iterator[None]:
    """The driver's logger as it is in a new process, before and after."""
    logging.getLogger("neo4j").setLevel(logging.NOTSET)
    yield
    logging.getLogger("neo4j").setLevel(logging.NOTSET)


@pytest.mark.parametrize("scheme", ["neo4j", "bolt"])
def test_a_neo4j_server_that_is_down_is_one_line(
    location: str,
    scheme: str,
    driver_log: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The driver logs some of what it raises; with --verbose both are shown."""
    pytest.importorskip("neo4j")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"{scheme}://127.0.0.1:{port}"
    monkeypatch.setattr(sys, "argv", ["vipylo", "graph", "build", "--url", url, "--index", location])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: the Neo4j server at {url} cannot be reached: ") and told.count("\n") == 1
    assert not told.strip().endswith(":")
    assert [record.message for record in caplog.records if record.name.startswith("neo4j")] == []


def test_a_hostile_page_cannot_write_on_the_terminal(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    (tmp_path / "note.md").write_text(
        "# Mã HD-1\x1b[31m-2024-77\n\nCông ty TNHH [bold]Sao[/bold] Mai", encoding="utf-8"
    )
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as index:
        index.ingest(tmp_path / "note.md")
        index.build_graph()
    code, said = run("info", "--index", str(tmp_path / "index"))
    assert code == 0 and "\x1b[31m-2024" not in said
