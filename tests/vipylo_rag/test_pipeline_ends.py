"""Pipelines come to an end: stopped by who uses them, cut short by a cluster, and within their bounds of pixels."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.loaders.pool import DocumentEnd, PageRead
from vipylo_rag import MultimodalIndex
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.distributed import ClusterError, _outcomes
from vipylo_rag.pipeline import BATCH_PAGES, BATCH_PIXELS, in_batches
from vipylo_rag.report import IngestReport


def page(source: str, number: int, size: tuple[int, int] | None = None) -> PageRead:
    return PageRead(source, number, "pdf", "text", None, size, "0" * 64)


def stored(source: str, number: int) -> dict[str, Any]:
    return {"what": "stored", "seconds": 0.5, **vars(page(source, number))}


def end(source: str, pages: int) -> dict[str, Any]:
    return {"what": "DocumentEnd", "source": source, "error": None, "pages": pages}


@pytest.fixture
def books(index: MultimodalIndex) -> Bookkeeping:
    return Bookkeeping(
        index.ledger, index.store, index.assets, IngestReport(), tenant="", how="", reread=False, retry=False
    )


def run(blocks: list[list[dict[str, Any]]], books: Bookkeeping, sources: set[str]) -> Iterator[Any]:
    return _outcomes(iter(blocks), books, sources)


def test_a_document_ends_after_its_last_page_whatever_the_order(books: Bookkeeping) -> None:
    blocks = [[end("a", 2), stored("a", 2)], [end("b", 0)], [stored("a", 1)]]
    outcomes = run(blocks, books, {"a", "b"})
    said = [one.source if isinstance(one, DocumentEnd) else [p.number for p in one.stored] for one in outcomes]
    assert said == [[2], [], "b", [1], "a"]


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [[stored("a", 1)]],  # its end never came
        [[stored("a", 1), end("a", 2)]],  # a page never came
        [[stored("a", 1), stored("a", 1), end("a", 1)]],  # a page came twice
    ],
)
def test_a_cluster_that_loses_something_is_not_done(books: Bookkeeping, blocks: list[list[dict[str, Any]]]) -> None:
    with pytest.raises(ClusterError, match=r"without 1 document, such as a: .*--resume --ray"):
        list(run([*blocks, [end("b", 0)]], books, {"a", "b"}))


@given(st.lists(st.one_of(st.none(), st.integers(1, BATCH_PIXELS * 2)), max_size=60))
def test_batches_hold_few_pages_and_few_pixels(pixels: list[int | None]) -> None:
    pages = [page("a", number, size and (size, 1)) for number, size in enumerate(pixels, start=1)]
    batches = list(in_batches(pages))
    assert [one for batch in batches for one in batch] == pages
    for batch in batches:
        assert 1 <= len(batch) <= BATCH_PAGES
        assert sum(one.size[0] for one in batch[:-1] if one.size) < BATCH_PIXELS


def test_a_run_that_its_caller_breaks_off_leaves_no_process(index: MultimodalIndex, documents: Path) -> None:
    def breaks_off(report: IngestReport) -> None:
        if report.pages_embedded:
            raise RuntimeError("enough")

    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(RuntimeError, match="enough") as kept:  # as a notebook keeps the last error, with its frames
        index.ingest(documents, progress=breaks_off)
    assert kept.traceback
    assert {child for child in psutil.Process().children(recursive=True) if child.status() != "zombie"} <= before
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("embed")]
