"""Reader processes: what a page that crashes, hangs or wants too much memory costs; nothing is left running."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pymupdf
import pytest

from connectors.loaders.base import content_digest
from connectors.loaders.pdf import PDFLoader
from connectors.loaders.pool import Document, DocumentEnd, PageLost, PageRead, ReaderPool, ReadEvent
from connectors.loaders.words import load_words
from connectors.page import Page

# A file says in JSON how many pages it has and what happens at them (page 0: when it is opened).
SCRIPTED = """
import json, os, subprocess, time
from pathlib import Path
from connectors.loaders.base import Loader

class ScriptedLoader(Loader):
    suffixes = (".script",)
    kind = "script"

    def read(self, path, source, first):
        script = json.loads(path.read_text())
        with Path(str(path) + ".opened").open("a") as log:
            log.write(f"{first}\\n")
        self.meet(script, 0, path)
        for number in range(first, script["pages"] + 1):
            self.meet(script, number, path)
            odd = {"made": object()} if number in script.get("odd", ()) else {}
            yield self.make_page(source, number, f"page {number}", metadata=odd)

    def meet(self, script, number, path):
        if number in script.get("once", ()):
            mark = Path(f"{path}.{number}")
            if not mark.exists():
                mark.touch()
                os._exit(9)
        if number in script.get("exit", ()):
            os._exit(9)
        if number in script.get("crash", ()):
            os.abort()
        if number in script.get("hang", ()):
            time.sleep(600)
        if number in script.get("brood", ()):
            child = subprocess.Popen(["sleep", "600"])
            Path(str(path) + ".pid").write_text(str(child.pid))
            time.sleep(600)
        if number in script.get("greedy", ()):
            bytearray(10 << 30)
"""


@pytest.fixture(autouse=True)
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader above, installed where reader processes find it."""
    site = tmp_path / "site"
    info = site / "scripted-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "scripted.py").write_text(SCRIPTED)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vipylo_rag.loaders]\nscript = scripted:ScriptedLoader\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))


def script(folder: Path, pages: int, **script: list[int]) -> Document:
    path = folder / "a.script"
    path.write_text(json.dumps({"pages": pages, **script}))
    return Document(path, "a.script")


def read(folder: Path, *documents: Document, **options: Any) -> list[ReadEvent]:
    return list(ReaderPool(folder / "assets", **options).read(documents))


def numbers(events: list[ReadEvent]) -> list[int]:
    return [event.number for event in events if isinstance(event, PageRead)]


def lost(events: list[ReadEvent]) -> dict[int, str]:
    return {event.number: event.reason for event in events if isinstance(event, PageLost)}


@pytest.mark.slow
def test_pages_that_crash_here_and_there_cost_themselves(tmp_path: Path) -> None:
    """Also more of them than the limit for pages in a row."""
    bad = [2, 3, 9, 20, 21, 40]
    events = read(tmp_path, script(tmp_path, 60, crash=bad))
    assert lost(events) == dict.fromkeys(bad, "the reader process crashed (SIGABRT)")
    assert numbers(events) == [number for number in range(1, 61) if number not in bad]
    assert events[-1] == DocumentEnd("a.script", None)


@pytest.mark.slow
def test_many_bad_pages_in_a_row_give_the_document_up(tmp_path: Path) -> None:
    good = script(tmp_path, 2)
    other = tmp_path / "b.script"
    other.write_text(json.dumps({"pages": 90, "exit": list(range(3, 90))}))
    events = read(tmp_path, Document(other, "b.script"), good)
    assert numbers(events) == [1, 2, 1, 2]
    assert sorted(lost(events)) == [3, 4, 5, 6, 7]
    ends = {event.source: event.error for event in events if isinstance(event, DocumentEnd)}
    assert ends == {"b.script": "given up at page 7: the reader process crashed", "a.script": None}


@pytest.mark.slow
def test_a_first_page_that_kills_is_not_the_document(tmp_path: Path) -> None:
    events = read(tmp_path, script(tmp_path, 5, exit=[1, 2]))
    assert (sorted(lost(events)), numbers(events)) == ([1, 2], [3, 4, 5])
    only = read(tmp_path, script(tmp_path, 1, exit=[1]))
    assert only == [DocumentEnd("a.script", "the reader process crashed")]


def test_a_document_that_kills_when_opened_loses_no_pages_that_nobody_knows(tmp_path: Path) -> None:
    events = read(tmp_path, script(tmp_path, 5, exit=[0]))
    assert events == [DocumentEnd("a.script", "the reader process crashed")]


def test_metadata_that_are_no_json_are_no_crash(tmp_path: Path) -> None:
    *_, end = read(tmp_path, script(tmp_path, 3, odd=[2]))
    assert isinstance(end, DocumentEnd) and end.error is not None and "not JSON serializable" in end.error


def test_a_page_gets_a_second_try_when_others_were_read_before(tmp_path: Path) -> None:
    """What broke the process may have been an earlier page, or the machine."""
    events = read(tmp_path, script(tmp_path, 6, once=[4]))
    assert numbers(events) == [1, 2, 3, 4, 5, 6] and lost(events) == {}
    assert (tmp_path / "a.script.opened").read_text().split() == ["1", "4"]  # and none was read twice


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_a_page_that_wants_too_much_memory_costs_itself(tmp_path: Path) -> None:
    events = read(tmp_path, script(tmp_path, 4, greedy=[2]), memory_bytes=2 * 2**30)
    assert lost(events) == {2: "needs more than the 2 GB of memory that a reader may take"}
    assert numbers(events) == [1, 3, 4]


def test_time_lost_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = read(tmp_path, script(tmp_path, 60, hang=[10, 50]), page_seconds=1)
    assert lost(events) == dict.fromkeys([10, 50], "took longer than 1 s") and len(numbers(events)) == 58
    monkeypatch.setattr("connectors.loaders.pool._LOST_LIMITS", 1)
    events = read(tmp_path, script(tmp_path, 60, hang=list(range(10, 60, 2))), page_seconds=1)
    assert events[-1] == DocumentEnd("a.script", "given up at page 12: took longer than 1 s")
    assert sorted(lost(events)) == [10, 12]


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
def test_what_a_reader_started_ends_with_it(tmp_path: Path) -> None:
    events = read(tmp_path, script(tmp_path, 2, brood=[2]), page_seconds=1)
    assert lost(events) == {2: "took longer than 1 s"} and numbers(events) == [1]
    assert gone(int((tmp_path / "a.script.pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children of a killed parent on Linux only")
def test_readers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    document = script(tmp_path, 3, hang=[2])
    program = (
        "import sys; from pathlib import Path; from connectors.loaders.pool import *\n"
        "for event in ReaderPool(Path(sys.argv[1])).read([Document(Path(sys.argv[2]), 'a')]): print(event, flush=True)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, tmp_path, document.path], stdout=subprocess.PIPE)
    with closing(parent.stdout or open(os.devnull, "rb")) as output:  # noqa: PTH123
        assert b"page 1" in output.readline()
        (child,) = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone(child.pid)


def gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def write_pdf(path: Path, *texts: str) -> Path:
    with pymupdf.open() as document:
        for text in texts:
            document.new_page(width=300, height=200).insert_htmlbox(pymupdf.Rect(20, 20, 280, 180), text)
        document.save(path)
    return path


def test_words_lie_beside_the_pictures(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", "Quốc hội Việt Nam", "", "Quốc hội Việt Nam")
    first, empty, third = (event for event in read(tmp_path, Document(path, "a.pdf")) if isinstance(event, PageRead))
    assert first.words is not None and empty.words is None and third.words == first.words
    stored = tmp_path / "assets" / first.words
    assert first.words == f"{stored.parent.name}/{stored.name}" and first.words.endswith(".words.json")
    page = next(PDFLoader().pages(path))
    assert isinstance(page, Page) and page.image is not None
    words = load_words(stored)
    assert [word.text for word in words] == ["Quốc", "hội", "Việt", "Nam"] == [word.text for word in page.words]
    for read_back, word in zip(words, page.words, strict=True):
        assert (read_back.x0, read_back.y1) == pytest.approx((word.x0, word.y1), abs=1e-5)
    assert first.asset is not None and Path(first.asset).stem == content_digest(page.image, "")
    assert first.content_sha256 == content_digest(page.image, page.text)


def test_a_reader_starts_without_heavy_libraries(tmp_path: Path) -> None:
    """LlamaIndex (a second) and PyMuPDF's layout models (90 MB) are not needed to read a PDF."""
    path = write_pdf(tmp_path / "a.pdf", "words")
    code = (
        "import io, json, sys; from connectors.loaders import worker\n"
        "worker._spare_unused_imports()\n"
        f"request = json.dumps(dict(path={str(path)!r}, source='a', first=1, assets={str(tmp_path / 'assets')!r}))\n"
        "answers = io.StringIO(); worker.serve(io.StringIO('{}\\n' + request + '\\n'), answers)\n"
        "assert '\"page\"' in answers.getvalue(), answers.getvalue()\n"
        "heavy = [n for n in ('llama_index', 'torch', 'onnxruntime', 'pymupdf.layout') if n in sys.modules]\n"
        "assert not heavy, heavy"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-500:]


def documents(folder: Path, opened: list[int]) -> Iterator[Document]:
    for number in range(50):
        opened.append(number)
        yield Document(write_pdf(folder / f"{number}.pdf", "word"), f"{number}.pdf")


def test_documents_are_asked_for_as_they_are_needed(tmp_path: Path) -> None:
    opened: list[int] = []
    with closing(ReaderPool(tmp_path / "assets").read(documents(tmp_path, opened))) as events:  # type: ignore[type-var]
        assert isinstance(next(events), PageRead)
        assert len(opened) <= 4
