"""The graph keeps in step with its index: what leaves the index leaves it; damage, copies, servers."""

import json
import logging
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from connectors.page import page_id
from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.connectors.qdrant_rest import QdrantRest
from tests.tiny_qwen import write_tiny_checkpoint
from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.graph.conftest import write_linked_documents
from tests.vipylo_rag.graph.graph_state import assert_same, content, file_text, vector_content
from vipylo_rag import MultimodalIndex
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.graph.elements import entity_id

SECRET = "HD-2024-0193"


def vectors_of(index: MultimodalIndex) -> set[str]:
    return set(vector_content(index.graph.vectors))


def test_without_a_graph_the_error_names_the_command(filled: MultimodalIndex) -> None:
    with pytest.raises(InputError, match="there is no graph: make it with `vipylo graph build"):
        _ = filled.graph
    with pytest.raises(InputError, match="vipylo graph build"):
        filled.search("hợp đồng", mode="graph")
    with pytest.raises(InputError, match="vipylo graph build"):
        filled.graph_info()
    filled.delete("doc0.pdf")  # there is nothing to follow
    assert not (filled.directory / "graph").exists()


def test_a_deleted_document_leaves_at_once(graph_index: MultimodalIndex, graph_documents: Path) -> None:
    """From the open graph, the files, the readings and the vectors; names that others share are counted down."""
    folder = graph_index.directory / "graph"
    amount = entity_id("", "12,500,000 vnd")
    assert graph_index.graph.nodes([amount])[amount].properties["pages"] == 2
    assert SECRET.encode() in file_text(folder)
    graph_index.delete("contract.pdf")
    nodes, relations = content(graph_index.graph.store)
    assert not any("contract.pdf" in json.dumps(said) or SECRET in json.dumps(said) for said in nodes.values())
    assert nodes[amount][2]["pages"] == 1
    assert page_id(str(graph_documents / "contract.pdf"), 1) not in nodes
    assert all(source in nodes and target in nodes for source, _, target in relations)
    assert SECRET.encode() not in file_text(folder) and b"contract.pdf" not in file_text(folder)
    assert not any(SECRET in str(said) for said in vector_content(graph_index.graph.vectors).values())
    assert not graph_index.graph.nearest(None, SECRET)
    assert graph_index.graph.facts.pages == 4
    # Its sentence was in the vector of the amount too: that waits for the next build.
    assert amount not in vectors_of(graph_index)
    assert "1 nodes wait" in graph_index.graph_info()["outdated"] or graph_index.graph_info()["outdated"]
    graph_index.build_graph()
    assert amount in vectors_of(graph_index) and not graph_index.graph_info()["outdated"]


def test_after_a_delete_a_build_comes_to_what_a_fresh_one_gives(
    graph_index: MultimodalIndex, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    graph_index.delete("invoice.pdf")
    graph_index.build_graph()
    mine = content(graph_index.graph.store), vector_content(graph_index.graph.vectors)
    graph_index.close()
    shutil.rmtree(graph_index.directory / "graph")
    with MultimodalIndex.open(graph_index.directory, embedder=tiny_embedder) as again:
        again.build_graph()
        assert_same(mine, (content(again.graph.store), vector_content(again.graph.vectors)))


def test_pruned_and_changed_documents_leave_when_the_ingest_ends(
    tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    documents = write_linked_documents(tmp_path / "documents")
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as index:
        index.ingest(documents)
        index.build_graph()
        (documents / "invoice.pdf").unlink()
        write_pdf(documents / "contract.pdf", ["Nothing of that."])
        index.ingest(documents, prune=True)
        nodes, _ = content(index.graph.store)
        assert SECRET.encode() not in file_text(index.directory / "graph")
        assert {said[2]["name"] for said in nodes.values() if said[1] == "document"} == {"report.pdf", "red.png"}
        assert index.graph_info()["outdated"].startswith("1 pages have come or gone")
        index.build_graph()
        assert {said[2]["name"] for said in content(index.graph.store)[0].values() if said[1] == "document"} == {
            "contract.pdf",
            "report.pdf",
            "red.png",
        }


def test_gc_takes_pages_that_the_store_lost(graph_index: MultimodalIndex, graph_documents: Path) -> None:
    lost = page_id(str(graph_documents / "invoice.pdf"), 1)
    graph_index.store.delete([lost])
    graph_index.collect(dry_run=True)
    assert graph_index.graph.nodes([lost])
    graph_index.collect()
    assert not graph_index.graph.nodes([lost])


def test_an_open_graph_serves_while_it_is_replaced(graph_index: MultimodalIndex, tmp_path: Path) -> None:
    """Searches in other threads go on during builds and deletes, and none of them fails."""
    failures: list[BaseException] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                graph_index.search("hợp đồng Sao Mai", mode="graph", top_k=3)
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    graph_index.ingest(write_pdf(tmp_path / "more.pdf", ["Hợp đồng HD-2024-0193 của Công ty TNHH Sao Mai."]))
    graph_index.build_graph()
    graph_index.delete("contract.pdf")
    graph_index.build_graph()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert graph_index.graph.nearest(None, SECRET)[0][0] == entity_id("", SECRET)


# Damage


@pytest.mark.parametrize("part", ["graph.json", "facts.json", "readings.sqlite"])
def test_a_damaged_graph_hinders_nothing_else_and_is_made_anew(
    graph_index: MultimodalIndex, tiny_embedder: ColPaLiQwenEmbedder, part: str
) -> None:
    expected = content(graph_index.graph.store), vector_content(graph_index.graph.vectors)
    directory = graph_index.directory
    graph_index.close()
    (directory / "graph" / part).write_bytes(b"nonsense" * 100)
    with MultimodalIndex.open(directory, embedder=tiny_embedder) as index:
        assert index.search("hợp đồng")
        if part != "readings.sqlite":
            with pytest.raises(IndexDirectoryError, match=f"{part} is damaged.*vipylo graph build"):
                _ = index.graph
        report = index.build_graph()
        assert bool(report.read) == (part == "readings.sqlite")  # else what was read is still known
        assert_same(expected, (content(index.graph.store), vector_content(index.graph.vectors)))


@pytest.mark.parametrize("part", ["graph.json", "readings.sqlite"])
def test_a_document_leaves_a_damaged_graph_too(
    graph_index: MultimodalIndex, tiny_embedder: ColPaLiQwenEmbedder, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = graph_index.directory
    graph_index.close()
    damaged = directory / "graph" / part
    damaged.write_bytes(damaged.read_bytes()[:3000] if part == "graph.json" else b"nonsense" * 100)
    with MultimodalIndex.open(directory, embedder=tiny_embedder) as index, caplog.at_level(logging.WARNING):
        index.delete("contract.pdf")
        assert "damaged" in caplog.text
        assert index.search("hóa đơn")
        if part == "graph.json":
            assert SECRET.encode() not in file_text(directory / "graph")
            assert len([n for n in index.graph.store.get() if n.label == "page"]) == 4
        else:
            assert not (directory / "graph").exists()


def test_a_graph_of_another_version_is_told(graph_index: MultimodalIndex, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    directory = graph_index.directory
    graph_index.close()
    facts = directory / "graph" / "facts.json"
    facts.write_text(facts.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with (
        MultimodalIndex.open(directory, embedder=tiny_embedder) as index,
        pytest.raises(IndexDirectoryError, match="another version"),
    ):
        _ = index.graph


def test_another_embedder_refuses_the_graph_until_it_is_built(graph_index: MultimodalIndex, tmp_path: Path) -> None:
    graph_index.graph.nearest(None, SECRET)
    other = ColPaLiQwenEmbedder.from_pretrained(write_tiny_checkpoint(tmp_path / "two", 2, 256), device="cpu")
    graph_index.reindex(other)
    with pytest.raises(IndexDirectoryError, match=r"`vipylo graph build --index .*brings it up to date"):
        _ = graph_index.graph
    assert "another embedder" in graph_index.graph_info()["outdated"]
    graph_index.delete("report.pdf")  # the old vectors may go, the graph stays refused
    report = graph_index.build_graph()
    assert report.read == 0 and report.embedded > 0
    assert graph_index.graph.vectors.dim == 256
    assert graph_index.search("Sao Mai", mode="graph")


# Copies


def test_a_backup_has_the_graph_and_goes_its_own_way(
    graph_index: MultimodalIndex, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    graph_index.backup(tmp_path / "copy")
    expected = content(graph_index.graph.store), vector_content(graph_index.graph.vectors)
    graph_index.delete("contract.pdf")
    with MultimodalIndex.open(tmp_path / "copy", embedder=tiny_embedder) as copy:
        assert expected == (content(copy.graph.store), vector_content(copy.graph.vectors))
        assert copy.build_graph().read == 0
        assert copy.search(SECRET, mode="graph")


def test_a_backup_of_a_damaged_graph_has_none(
    graph_index: MultimodalIndex, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    (graph_index.directory / "graph" / "facts.json").write_text("{")
    graph_index.backup(tmp_path / "copy")
    assert "the copy has no page graph" in caplog.text
    with MultimodalIndex.open(tmp_path / "copy", embedder=tiny_embedder) as copy, pytest.raises(InputError):
        _ = copy.graph


def test_a_killed_creation_with_a_graph_folder_is_no_obstacle(
    tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    (tmp_path / "index" / "graph").mkdir(parents=True)
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as index:
        assert index.info()["points"] == 0


# A server


def test_on_a_server_the_vectors_are_a_collection_beside_the_pages(
    tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    documents = write_linked_documents(tmp_path / "documents")
    with QdrantRest() as server:
        url = f"{server.url}/pages"
        with MultimodalIndex.open(url, embedder=tiny_embedder, directory=tmp_path / "index") as index:
            index.ingest(documents)
            index.build_graph()
            assert index.graph.nearest(None, SECRET)[0][0] == entity_id("", SECRET)
        assert {c.name for c in server.collections.names("", b"").collections} == {"pages", "pages-graph"}
        assert not (tmp_path / "index" / "graph" / "vectors").exists()
        with MultimodalIndex.open(url, embedder=tiny_embedder, directory=tmp_path / "index") as index:
            assert index.build_graph().embedded == 0
            other = ColPaLiQwenEmbedder.from_pretrained(write_tiny_checkpoint(tmp_path / "two", 2, 256), device="cpu")
            index.reindex(other)
            assert index.build_graph().read == 0
            assert index.graph.vectors.dim == 256
            index.backup(tmp_path / "copy")
        with MultimodalIndex.open(tmp_path / "copy", embedder=other) as copy:
            assert copy.graph.nearest(None, SECRET)[0][0] == entity_id("", SECRET)


def test_what_a_model_read_is_not_thrown_away_by_leaving_out_an_argument(graph_index: MultimodalIndex) -> None:
    with sqlite3.connect(graph_index.directory / "graph" / "readings.sqlite") as db:
        db.execute("UPDATE meta SET value = 'LanguageModelExtractor-1' WHERE key = 'extractor of '")
    facts = graph_index.directory / "graph" / "facts.json"
    said: dict[str, Any] = json.loads(facts.read_text())
    said["tenants"][""]["extractor"] = "LanguageModelExtractor-1"
    facts.write_text(json.dumps(said))
    with pytest.raises(InputError, match="made by LanguageModelExtractor: give the same"):
        graph_index.build_graph()
    assert graph_index.build_graph("rules").read == 6
