"""The ledger: its version, its questions, threads that share it."""

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ledger import LEDGER_VERSION, Ledger, PageRow, SourceRow


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def test_another_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    for version, words in ((LEDGER_VERSION - 1, "an older version"), (LEDGER_VERSION + 1, "upgrade vipylo-rag")):
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA user_version = {version}")
        database.close()
        with pytest.raises(IndexDirectoryError, match=words):
            Ledger(path)


def test_a_ledger_without_version_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    database.execute("CREATE TABLE sources (source TEXT PRIMARY KEY, state TEXT)")
    database.close()
    with pytest.raises(IndexDirectoryError, match="ingest the documents into a new directory"):
        Ledger(tmp_path / "ledger.sqlite")


def test_sources_are_kept_by_tenant(ledger: Ledger) -> None:
    row = SourceRow("", "a.pdf", "11", 5, "done", attempts=2, how="h", archive="z.zip", moved_from="b.pdf")
    ledger.put_source(row)
    ledger.put_source(replace(row, tenant="an", sha256="22", state="failed", reason="bad"))
    found = ledger.source("a.pdf")
    assert found is not None and found.first_seen == found.last_seen > 0
    assert replace(found, first_seen=0.0, last_seen=0.0) == row
    ledger.put_source(replace(row, state="pending"))
    again = ledger.source("a.pdf")
    assert again is not None and again.first_seen == found.first_seen and again.last_seen >= found.last_seen
    assert [r.tenant for r in ledger.sources()] == ["", "an"] and [r.tenant for r in ledger.sources("an")] == ["an"]
    assert ledger.same_content("11", "an") == [] and len(ledger.same_content("22")) == 1
    assert [r.source for r in ledger.members("z.zip")] == ["a.pdf"] and len(ledger.half_moved("")) == 1
    ledger.delete_source("a.pdf", "an")
    assert ledger.tenants() == [""]


def test_all_sources_come_once_however_many(ledger: Ledger) -> None:
    with ledger.transaction():
        for number in range(2500):
            ledger.put_source(SourceRow(f"t{number % 3}", f"{number:04}", "x", 0, "done"))
    assert [(r.tenant, r.source) for r in ledger.sources()] == sorted(
        (f"t{number % 3}", f"{number:04}") for number in range(2500)
    )
    assert len(list(ledger.sources("t1"))) == 833


def test_pages_assets_and_fields(ledger: Ledger) -> None:
    ledger.put_pages(
        [
            PageRow("", "a", 1, "d", "aa/1.jpeg", "done", words="aa/1.words.json", seconds=0.5),
            PageRow("", "a", 2, None, None, "failed", "torn", attempts=3),
            PageRow("an", "a", 1, "d", "aa/1.jpeg", "done"),
        ]
    )
    assert ledger.pages("a")[2].attempts == 3 and ledger.page_counts("a").failed == 1
    assert ledger.assets() == {"aa/1.jpeg", "aa/1.words.json"}
    ledger.delete_pages("a", [1])
    assert ledger.refers_to("aa/1.jpeg") and not ledger.refers_to("aa/1.words.json")
    assert [page.tenant for page in ledger.failed_pages()] == [""] and list(ledger.failed_pages("an")) == []
    assert ledger.counts("an")["pages done"] == 1 and ledger.counts()["pages failed"] == 1
    ledger.add_fields([("mood", "string"), ("mood", "integer")], "an")
    assert ledger.fields("an") == {"mood": frozenset({"string", "integer"})} and ledger.fields("") == {}


def test_an_ended_run_leaves_nothing_of_its_paths_to_resume(ledger: Ledger) -> None:
    first = ledger.begin_run("", ["/a"], {"prune": True})
    other = ledger.begin_run("", ["/b"], {})
    again = ledger.begin_run("", ["/a"], {})
    ledger.end_run(again, {"found": 3})
    found = ledger.unfinished_run()
    assert found is not None and found.id == other and first != other
    ledger.end_run(other, {})
    assert ledger.unfinished_run() is None


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(KeyError), ledger.transaction():
        ledger.put_source(SourceRow("", "a", "1", 0, "done"))
        ledger.put_pages([PageRow("", "a", 1, "d", None, "done")])
        raise KeyError
    assert list(ledger.sources()) == [] and ledger.pages("a") == {}


def test_threads_and_readers_share_it(ledger: Ledger, tmp_path: Path) -> None:
    errors: list[Exception] = []

    def look() -> None:
        try:
            for _ in range(200):
                assert ledger.page_counts("a").done in (0, 10)  # all of a transaction or nothing of it
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        with ledger.transaction():
            ledger.put_pages(PageRow("", "a", n, "d", None, "done") for n in range(10))
        ledger.delete_pages("a", range(10))
    for thread in threads:
        thread.join()
    assert errors == []
    ledger.put_source(SourceRow("", "a", "1", 0, "done"))
    beside = Ledger(tmp_path / "ledger.sqlite", read_only=True)
    assert [row.source for row in beside.sources()] == ["a"]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        beside.put_source(SourceRow("", "b", "1", 0, "done"))
    beside.close()
