"""Runs that somebody ends from outside, and those that read the first pages only."""

import threading
import time
from pathlib import Path

import pytest

from tests.vipylo_rag.conftest import write_pdf
from vipylo_rag import MultimodalIndex


class _EnoughError(Exception):
    pass


def test_a_stopped_run_ends_soon_and_the_next_goes_on(index: MultimodalIndex, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    write_pdf(tmp_path / "documents" / "a.pdf", ["one", "two"])
    asked = threading.Event()

    def stop() -> None:
        if asked.is_set():
            raise _EnoughError
        if index.ledger.unfinished_run():
            asked.set()

    begun = time.monotonic()
    with pytest.raises(_EnoughError):
        index.ingest(tmp_path / "documents", stop=stop)
    assert time.monotonic() - begun < 30
    assert index.ledger.counts()["pages done"] == index.store.count() == 0
    assert index.resume().indexed == 1
    assert index.store.count() == 2


def test_what_is_with_the_model_when_a_run_is_stopped_is_noted(
    index: MultimodalIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_pdf(tmp_path / "long.pdf", [f"page {number}" for number in range(40)])
    with_model, stopped = threading.Event(), threading.Event()
    real = type(index.embedder).encode_rows

    def slow(self: object, samples: object) -> object:
        with_model.set()
        stopped.wait(30)
        return real(self, samples)  # type: ignore[arg-type]

    def stop() -> None:
        if with_model.is_set():
            stopped.set()
            raise _EnoughError

    monkeypatch.setattr(type(index.embedder), "encode_rows", slow)
    with pytest.raises(_EnoughError):
        index.ingest(source, stop=stop)
    assert index.ledger.counts()["pages done"] == index.store.count() == 16
    assert index.resume().pages_embedded == 24


def test_only_the_first_pages_are_read_until_more_are_asked_for(index: MultimodalIndex, tmp_path: Path) -> None:
    source = write_pdf(tmp_path / "long.pdf", [f"page {number}" for number in range(5)])
    report = index.ingest(source, most_pages=2)
    assert (report.indexed, report.pages_embedded) == (1, 2)
    assert [(f.page, f.reason) for f in report.failures] == [
        (3, "is not read: only the first 2 pages of a document are")
    ]
    assert index.ingest(source, most_pages=2).unchanged == 1
    again = index.ingest(source)
    assert (again.pages_unchanged, again.pages_embedded, again.failures) == (2, 3, [])


def test_a_document_that_is_just_short_enough_is_read_whole(index: MultimodalIndex, tmp_path: Path) -> None:
    report = index.ingest(write_pdf(tmp_path / "a.pdf", ["one", "two"]), most_pages=2)
    assert (report.pages_embedded, report.failures) == (2, [])
