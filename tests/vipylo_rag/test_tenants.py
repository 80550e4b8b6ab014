"""Tenants never meet: whatever several of them do with the same names and contents, each sees its own pages alone."""

from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from connectors.errors import FilterError
from connectors.loaders.pool import PageRead
from embedder import InputError
from embedder.protocol import EncodedRows
from vipylo_rag import MultimodalIndex
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.ingest import gone_sources
from vipylo_rag.report import IngestReport
from vipylo_rag.sources import FileFacts
from vipylo_rag.tenants import check_tenant

TENANTS = ["", "an", "bình"]
CONTENTS = ["mèo đen", "chó trắng", "cá vàng"]


class Letters:
    """A real embedder without a model: vectors of letter counts. Many operations in a test need many vectors."""

    name, dim, max_tokens, fingerprint = "letters", 32, 1000, "letters"

    def encode(self, text: Any = None, images: Any = None, *, batch_size: int = 32, **options: Any) -> Any:
        raise NotImplementedError

    def encode_rows(self, samples: Any, *, batch_size: int = 32) -> EncodedRows:
        vectors = np.full((len(samples), self.dim), 0.01, dtype=np.float32)
        for row, sample in enumerate(samples):
            for letter in sample.text:
                vectors[row, ord(letter) % self.dim] += 1
        return EncodedRows(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def put(index: MultimodalIndex, tenant: str, path: Path, content: str) -> None:
    """What a run does with one file, without the reader processes: the same rules, the same books."""
    path.write_text(content, encoding="utf-8")
    report = IngestReport()
    books = Bookkeeping(index.ledger, index.store, index.assets, report, tenant=tenant, how="test")
    books.finish_moves()
    decision = books.decide(str(path), FileFacts(content, len(content)))
    if decision.settled:
        books.settle(decision)
    elif decision.other is None or not books.take_over(decision):
        books.begin(decision)
        pages = [
            PageRead(str(path), number, "text", word, None, None, f"{content}{number}", {"mood": tenant or "none"})
            for number, word in enumerate(content.split(), start=1)
        ]
        wanted = [page for page in pages if books.wants(page)]
        if wanted:
            from embedder.protocol import Sample

            rows = index.embedder.encode_rows([Sample(page.text) for page in wanted])
            index.store.upsert(books.point(page, rows.vectors[row]) for row, page in enumerate(wanted))
            books.stored(wanted, 0.1)
        books.close(str(path))
    books.flush()
    books.sweep()


def prune(index: MultimodalIndex, tenant: str, folder: Path) -> None:
    books = Bookkeeping(index.ledger, index.store, index.assets, IngestReport(), tenant=tenant, how="test")
    for source in gone_sources(index.ledger, tenant, sorted(folder.iterdir()), [folder]):
        books.remove(source)


OPERATION = st.tuples(
    st.sampled_from(["put", "put", "put", "rename", "delete", "prune", "unlink"]),
    st.sampled_from(TENANTS),
    st.sampled_from(["a.txt", "b.txt", "c.txt"]),
    st.sampled_from(CONTENTS),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATION, min_size=3, max_size=14))
def test_no_operation_of_one_tenant_shows_or_touches_another(
    operations: list[tuple[str, str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tenants") / "files"
    folder.mkdir()
    with MultimodalIndex.open(folder.parent / "index", embedder=Letters()) as index:
        for action, tenant, name, content in operations:
            others = {t: everything(index, t) for t in TENANTS if t != tenant}
            path = folder / name
            match action:
                case "put":
                    put(index, tenant, path, content)
                    texts = [p.payload["text"] for p in index.pages({"source": str(path)}, tenant=tenant)]
                    assert sorted(texts) == sorted(content.split())
                case "rename" if path.exists():
                    text = path.read_text(encoding="utf-8")
                    path.rename(folder / "moved.txt")
                    put(index, tenant, folder / "moved.txt", text)
                case "unlink":
                    path.unlink(missing_ok=True)
                case "delete" if index.ledger.source(str(path), tenant):
                    index.delete(str(path), tenant=tenant)
                    assert index.pages({"source": str(path)}, tenant=tenant) == []
                case "prune":
                    prune(index, tenant, folder)
            assert {t: everything(index, t) for t in TENANTS if t != tenant} == others
            for each in TENANTS:
                check_own(index, each)
        assert index.store.count() == sum(len(index.pages(tenant=t)) for t in TENANTS)


def everything(index: MultimodalIndex, tenant: str) -> Any:
    rows = {row.source: (row.state, row.sha256) for row in index.sources(tenant=tenant)}
    return rows, {page.id: dict(page.payload) for page in index.pages(tenant=tenant)}


def check_own(index: MultimodalIndex, tenant: str) -> None:
    own = {page.id for page in index.pages(tenant=tenant)}
    assert all(page.payload["tenant"] == tenant for page in index.pages(tenant=tenant))
    for mode in ("dense", "lexical", "hybrid"):
        found = index.search("mèo trắng vàng", mode=mode, top_k=100, tenant=tenant)  # type: ignore[arg-type]
        assert {hit.id for hit in found} <= own
        if mode == "dense":
            assert len(found) == len(own)
    names = Counter(page.payload["name"] for page in index.pages(tenant=tenant))
    assert index.facet("name", tenant=tenant) == dict(names)
    assert index.ledger.counts(tenant)["pages done"] == len(own)


def test_a_filter_cannot_reach_over(index: MultimodalIndex, documents: Path) -> None:
    index.ingest(documents / "note.md", tenant="an")
    for where in ({"tenant": "an"}, {"any": [{"tenant": "an"}, {"kind": "text"}]}, {"not": {"tenant": "bình"}}):
        with pytest.raises(FilterError, match="unknown filter field 'tenant'"):
            index.search("họp", where=where, mode="lexical", tenant="bình")
    assert index.search("họp", where={"not": {"kind": "pdf"}}, mode="lexical", tenant="bình") == []
    assert index.search("họp", mode="lexical") == [] and len(index.search("họp", mode="lexical", tenant="an")) == 1
    with pytest.raises(InputError, match="is not in this index"):
        index.delete(documents / "note.md", tenant="bình")


def test_equal_documents_of_two_tenants_share_pictures_until_both_are_gone(
    index: MultimodalIndex, documents: Path
) -> None:
    path = documents / "doc0.pdf"
    for tenant in ("an", "bình"):
        report = index.ingest(path, tenant=tenant)
        assert (report.indexed, report.copied, report.moved) == (1, 0, 0)  # whose content is known elsewhere is no news
    index.delete(path, tenant="an")
    assert all(hit.image is not None for hit in index.search("thuê nhà", mode="lexical", tenant="bình"))
    index.delete(path, tenant="bình")
    assert [file for file in index.assets.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("name", ["a\nb", "x" * 129, " an", "an ", "\ud800", "a\x00b"])
def test_bad_tenant_names_are_refused(index: MultimodalIndex, name: str) -> None:
    with pytest.raises(InputError, match="tenant"):
        check_tenant(name)
    with pytest.raises(InputError, match="tenant"):
        index.search("x", tenant=name)
