"""Building the graph: what comes of pages, and that later builds come to what one from nothing gives."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from llama_index.core.graph_stores import SimplePropertyGraphStore
from llama_index.core.graph_stores.types import KG_NODES_KEY, KG_RELATIONS_KEY, EntityNode, PropertyGraphStore, Relation
from llama_index.core.schema import BaseNode, TransformComponent
from qdrant_client import QdrantClient

from connectors.errors import LLMError
from connectors.page import page_id
from connectors.stores.protocol import VectorStore
from connectors.stores.server import ServerStore
from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.graph.conftest import write_scan
from tests.vipylo_rag.graph.graph_state import (
    DIM,
    HashEmbedder,
    assert_same,
    content,
    put_page,
    unit,
    vector_content,
)
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph import near
from vipylo_rag.graph.build import GraphBuild, GraphParts
from vipylo_rag.graph.elements import document_id, entity_id
from vipylo_rag.graph.local_store import LocalGraphStore
from vipylo_rag.graph.readings import Readings

WORDS = ["alpha", "beta", "gamma", "delta", "HD-1", "HD-2", "Mai", "Lan"]


class WordExtractor(TransformComponent):
    """Codes have a "-", names a capital, all else is a term; each name is related to each code of its page."""

    def __call__(self, nodes: Sequence[BaseNode], **options: Any) -> Sequence[BaseNode]:
        for node in nodes:
            words = node.get_content().split()
            if "crash" in words:
                raise RuntimeError("the extractor broke")
            if "offline" in words:
                raise LLMError("the model is away")
            found = {word: words.count(word) for word in words}
            kinds = {word: "code" if "-" in word else "name" if word.istitle() else "term" for word in found}
            node.metadata[KG_NODES_KEY] = [
                EntityNode(
                    name=word,
                    label=kinds[word],
                    properties={"surface": word, "count": count, "context": node.get_content()},
                )
                for word, count in found.items()
            ]
            node.metadata[KG_RELATIONS_KEY] = [
                Relation(label="SIGNED", source_id=name, target_id=code, properties={"words": len(words)})
                for name in found
                for code in found
                if kinds[name] == "name" and kinds[code] == "code"
            ]
        return nodes


class Bench:
    """A page store, and a graph that is built of it again and again."""

    def __init__(self, folder: Path, store: PropertyGraphStore | None = None, pages: VectorStore | None = None) -> None:
        self.pages = pages or memory()
        self.vectors = memory()
        self.store = store if store is not None else LocalGraphStore()
        self.readings = Readings.open(Path(tempfile.mkdtemp(dir=folder)) / "readings.sqlite")
        self.parts = GraphParts(self.readings, self.store, self.vectors, self.pages, folder, None)

    def build(self, tenant: str = "", extractor: TransformComponent | None = None) -> Any:
        return GraphBuild(self.parts, extractor or WordExtractor(), HashEmbedder(), None).run(tenant)

    def state(self) -> Any:
        return content(self.store), vector_content(self.vectors)

    def close(self) -> None:
        self.readings.close()
        self.vectors.close()


def memory() -> VectorStore:
    return ServerStore.over(QdrantClient(":memory:"), DIM)


def labels_of(graph: Any, label: str) -> set[tuple[str, str]]:
    return {(source, target) for source, said, target in content(graph.store)[1] if said == label}


# What comes of documents


def test_documents_pages_figures_and_entities_are_linked(graph_index: MultimodalIndex, graph_documents: Path) -> None:
    graph = graph_index.graph
    nodes, relations = content(graph.store)
    kinds = {said[1] for said in nodes.values()}
    assert {"document", "page", "figure", "code", "amount"} <= kinds
    pages = {point.id: point for point in graph_index.pages()}
    assert {id_ for id_, said in nodes.items() if said[1] == "page"} == pages.keys()
    for id_, point in pages.items():
        said = nodes[id_][2]
        assert (said["source"], said["page"], said["sha256"]) == (
            point.payload["source"],
            point.payload["page"],
            point.payload["content_sha256"],
        )
        assert (document_id("", point.payload["source"]), "HAS_PAGE", id_) in relations
    contract = str(graph_documents / "contract.pdf")
    assert (page_id(contract, 1), "NEXT", page_id(contract, 2)) in relations
    code = entity_id("", "HD-2024-0193")
    assert nodes[code][2] == {"tenant": "", "name": "HD-2024-0193", "pages": 2}
    assert {key[0] for key in relations if key[2] == code} == {page_id(contract, 1), page_id(contract, 2)}
    assert nodes[entity_id("", "Công ty TNHH Sao Mai")][1] == "name"
    assert graph.facts.pages == len(pages) and graph.facts.url is None


def test_a_query_enters_by_words_and_by_picture(graph_index: MultimodalIndex, graph_documents: Path) -> None:
    graph = graph_index.graph
    assert graph.nearest(None, "HD-2024-0193")[0][0] == entity_id("", "HD-2024-0193")
    picture = page_id(str(graph_documents / "red.png"), 1)
    figures = [other for source, other in labels_of(graph, "HAS_FIGURE") if source == picture]
    vector = graph_index.store.get([picture], with_vectors=True)[0].vector
    assert graph.nearest(vector, None)[0][0] == figures[0]
    assert graph.nearest(None, "HD-2024-0193", tenant="other") == []
    node = graph.nodes([*figures, "nobody"])
    assert node.keys() == set(figures) and node[figures[0]].properties["box"] == [0.0, 0.0, 1.0, 1.0]
    assert {relation.label for _, relation, _ in graph.triplets(figures)} == {"HAS_FIGURE"}
    assert graph.nodes([]) == {} and graph.triplets([]) == []


def test_neighbours_are_near_and_mutual(graph_index: MultimodalIndex) -> None:
    vectors = {point.id: point.vector for point in graph_index.store.scroll(with_vectors=True)}
    found = content(graph_index.graph.store)[1]
    edges = {key: said["cosine"] for key, said in found.items() if key[1] == "NEAR"}
    for (one, _, other), cosine in edges.items():
        assert one < other and cosine == pytest.approx(float(vectors[one] @ vectors[other]), abs=1e-4)
        assert cosine >= near.NEAREST
    ranks = {
        id_: {
            other
            for other in sorted(vectors, key=lambda o: -float(vectors[id_] @ vectors[o]))[1 : near.NEIGHBOURS + 1]
            if float(vectors[id_] @ vectors[other]) >= near.NEAREST
        }
        for id_ in vectors
    }
    expected = {(a, b) for a in vectors for b in ranks[a] if a < b and a in ranks[b]}
    assert {(one, other) for one, _, other in edges} == expected


# Later builds


def test_an_unchanged_index_is_not_read_again(graph_index: MultimodalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (graph_index.directory / "graph" / "graph.json").read_bytes()

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("embedded again")

    monkeypatch.setattr(type(graph_index.embedder), "encode_rows", refuse)
    report = graph_index.build_graph()
    assert (report.read, report.embedded, report.dropped) == (0, 0, 0)
    assert report.unchanged == report.pages == 6
    assert (graph_index.directory / "graph" / "graph.json").read_bytes() == before


def test_a_changed_document_is_read_again(graph_index: MultimodalIndex, tmp_path: Path, graph_documents: Path) -> None:
    """What its page said is gone from the graph when the ingest ends; what it says now comes with the next build."""
    documents = shutil.copytree(graph_documents, tmp_path / "documents")
    graph_index.ingest(documents)
    graph_index.build_graph()
    write_pdf(documents / "invoice.pdf", ["Hóa đơn. Mã: INV-777-2024. Người bán: Công ty TNHH Sao Mai."])
    graph_index.ingest(documents)
    amount = entity_id("", "12,500,000 vnd")
    assert graph_index.graph.nodes([amount])[amount].properties["pages"] == 3  # of both contracts and the old invoice
    report = graph_index.build_graph()
    assert (report.read, report.unchanged) == (1, 11)
    assert graph_index.graph.nearest(None, "INV-777-2024")[0][0] == entity_id("", "INV-777-2024")


def test_another_extractor_reads_all_pages_again(graph_index: MultimodalIndex) -> None:
    report = graph_index.build_graph(WordExtractor())
    assert report.read == report.pages
    assert entity_id("", "HD-2024-0193.") in graph_index.graph.nodes([entity_id("", "HD-2024-0193.")])
    assert "heading" not in report.nodes and report.nodes["page"] == 6
    assert graph_index.graph.facts.tenants[""].extractor.startswith("WordExtractor")


def test_tenants_do_not_meet(graph_index: MultimodalIndex, graph_documents: Path) -> None:
    mine = content(graph_index.graph.store)
    graph_index.ingest(graph_documents / "contract.pdf", tenant="other")
    report = graph_index.build_graph(tenant="other")
    assert report.pages == 2
    theirs = entity_id("other", "HD-2024-0193")
    nodes, relations = content(graph_index.graph.store)
    assert nodes[theirs][2] == {"tenant": "other", "name": "HD-2024-0193", "pages": 2}
    tenants = {id_: said[2]["tenant"] for id_, said in nodes.items()}
    assert all(tenants[source] == tenants[target] for source, _, target in relations)
    assert {id_ for id_, tenant in tenants.items() if tenant == ""} == mine[0].keys()
    assert [id_ for id_, _ in graph_index.graph.nearest(None, "HD-2024-0193", "other", top_k=1)] == [theirs]
    assert set(graph_index.graph.facts.tenants) == {"", "other"}


def test_a_bad_page_costs_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    put_page(bench.pages, "good.txt", 1, "Mai HD-1")
    put_page(bench.pages, "bad.txt", 1, "crash Mai HD-1")
    put_page(bench.pages, "odd.txt", 1, "Unembeddable")
    report = bench.build(extractor=_lower_case_unembeddable())
    assert [(f.source, f.page) for f in report.failures] == [("bad.txt", 1), ("odd.txt", 1)]
    assert "the extractor broke" in report.failures[0].reason
    nodes, _ = content(bench.store)
    assert page_id("bad.txt", 1) in nodes and nodes[entity_id("", "Mai")][2]["pages"] == 1
    put_page(bench.pages, "bad.txt", 1, "Mai HD-1")
    report = bench.build()
    assert (report.read, report.nodes["code"]) == (1, 1)
    bench.close()


def _lower_case_unembeddable() -> TransformComponent:
    class Lowering(WordExtractor):
        def __call__(self, nodes: Sequence[BaseNode], **options: Any) -> Sequence[BaseNode]:
            for node in super().__call__(nodes):
                for entity in node.metadata[KG_NODES_KEY]:
                    entity.properties["context"] = entity.properties["context"].lower()
            return nodes

    return Lowering()


def test_a_model_that_is_away_ends_the_build_and_the_next_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(40):
        put_page(bench.pages, "a.txt", number + 1, f"Mai HD-{number}")
    last = max(page.id for page in bench.pages.scroll())
    number = next(p.payload["page"] for p in bench.pages.scroll() if p.id == last)
    put_page(bench.pages, "a.txt", number, "offline")
    with pytest.raises(LLMError):
        bench.build()
    assert content(bench.store) == ({}, {})
    put_page(bench.pages, "a.txt", number, "Mai")
    report = bench.build()
    assert (report.read, report.unchanged) == (8, 32)  # the first portion was kept
    bench.close()


def test_what_a_model_says_cannot_pass_for_pages(tmp_path: Path) -> None:
    """Labels of ours, relations of ours, ids of ours, and endless names."""
    target = page_id("a.txt", 1)

    class Liar(TransformComponent):
        def __call__(self, nodes: Sequence[BaseNode], **options: Any) -> Sequence[BaseNode]:
            for node in nodes:
                names = [target, "fine", "x" * 5000, " \n", "half \ud800"]
                node.metadata[KG_NODES_KEY] = [EntityNode(name=name, label="page") for name in names]
                node.metadata[KG_RELATIONS_KEY] = [
                    Relation(label="next", source_id="fine", target_id="x" * 5000, properties={"deep": {"a": 1}}),
                    Relation(label="OWNS", source_id="fine", target_id=target),
                ]
            return nodes

    bench = Bench(tmp_path)
    put_page(bench.pages, "a.txt", 1, "fine")
    bench.build(extractor=Liar())
    nodes, relations = content(bench.store)
    assert nodes[target][:2] == ("ChunkNode", "page")
    assert {said[1] for id_, said in nodes.items()} == {"document", "page", "entity"}
    assert max(len(id_) for id_ in nodes) <= 200
    assert {key[1] for key in relations} == {"HAS_PAGE", "MENTIONS", "SAID_NEXT"}
    bench.close()


# Any history comes to what one build from nothing gives

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
pages = st.tuples(st.sampled_from(["a.txt", "b.txt", "c.txt"]), st.integers(1, 4), st.sampled_from(["", "t"]))
histories = st.lists(
    st.lists(st.tuples(pages, st.one_of(st.none(), texts)), min_size=1, max_size=8), min_size=1, max_size=4
)


@pytest.mark.parametrize("make", [LocalGraphStore, SimplePropertyGraphStore])
@given(histories)
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # builds are slow to shrink
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_history_comes_to_what_one_build_gives(
    make: Callable[[], PropertyGraphStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history: Any
) -> None:
    """Pages come, change and go, with a build after each round: nodes, relations, counts of pages, promoted and demoted
    terms, neighbours and vectors are those of a first build of the last state."""
    monkeypatch.setattr(near, "NEIGHBOURS", 2)
    bench = Bench(tmp_path, make())
    for change in history:
        for (source, number, tenant), text in change:
            if text is None:
                bench.pages.delete([page_id(source, number, tenant)])
            else:
                put_page(bench.pages, source, number, text, tenant)
        bench.build()
        bench.build("t")
    fresh = Bench(tmp_path, pages=bench.pages)
    fresh_counts = [fresh.build(), fresh.build("t")]
    assert_same(bench.state(), fresh.state())
    again = [bench.build(), bench.build("t")]
    for mine, theirs in zip(again, fresh_counts, strict=True):
        assert (mine.nodes, mine.relations) == (theirs.nodes, theirs.relations)
        counted = {said[1] for said in content(bench.store)[0].values()}
        assert set(mine.nodes) <= counted
    _check_counts(bench, again)
    bench.close()
    fresh.close()


def _check_counts(bench: Bench, reports: Sequence[Any]) -> None:
    nodes, relations = content(bench.store)
    for label in {said[1] for said in nodes.values()}:
        told = sum(report.nodes.get(label, 0) for report in reports)
        assert told == sum(said[1] == label for said in nodes.values()), label
    for label in {key[1] for key in relations}:
        told = sum(report.relations.get(label, 0) for report in reports)
        assert told == sum(key[1] == label for key in relations), label
    for id_, (_, label, said) in nodes.items():
        if label in ("code", "name", "term"):
            mentions = sum(key[2] == id_ and key[1] == "MENTIONS" for key in relations)
            assert said["pages"] == mentions and (label != "term" or mentions >= 2)


def test_many_pages_near_each_other_are_told_of_a_new_one(tmp_path: Path) -> None:
    """More pages than one search gives back: the lists of those far down in the new page's ranks change as well."""
    bench = Bench(tmp_path)
    for number in range(70):
        put_page(bench.pages, "a.txt", number + 1, f"alpha {number}")
    bench.build()
    put_page(bench.pages, "b.txt", 1, "alpha new")
    assert float(np.dot(unit("alpha new"), unit("alpha 3"))) > 0.2
    bench.build()
    fresh = Bench(tmp_path, pages=bench.pages)
    fresh.build()
    assert_same(bench.state(), fresh.state())
    bench.close()
    fresh.close()


def test_progress_tells_every_phase(graph_index: MultimodalIndex, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    write_scan(tmp_path / "new.png")
    graph_index.ingest(tmp_path / "new.png")
    graph_index.build_graph(progress=lambda report: seen.append((report.phase, report.done, report.total)))
    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == ["read", "neighbours", "write", "embed", ""]
    assert ("read", 7, 7) in seen and ("embed", 1, 1) in seen
    assert all(done <= total for _, done, total in seen)
