"""The local graph store: what it gives, deletes and writes, against a plain model and against the stock store."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.graph_stores import SimplePropertyGraphStore
from llama_index.core.graph_stores.types import ChunkNode, EntityNode, LabelledNode, Relation
from llama_index.core.indices.property_graph import PropertyGraphIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import TextNode

from tests.vipylo_rag.graph.graph_state import content
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.graph.local_store import LocalGraphStore
from vipylo_rag.graph.projection import remove_nodes
from vipylo_rag.graph.rules import RuleExtractor


def page(id_: str, **said: Any) -> ChunkNode:
    return ChunkNode(id_=id_, text="", label="page", properties=said)


def relation(source: str, target: str, label: str = "NEAR", **said: Any) -> Relation:
    return Relation(source_id=source, target_id=target, label=label, properties=said)


def small() -> LocalGraphStore:
    store = LocalGraphStore()
    store.upsert_nodes([page("a", tenant="x"), page("b"), page("c"), EntityNode(name="Sao Mai", label="name")])
    store.upsert_relations([relation("a", "b"), relation("b", "c"), relation("a", "Sao Mai", "MENTIONS", count=2)])
    return store


def labels(store: Any, **asked: Any) -> set[tuple[str, str, str]]:
    return {(one.id, rel.label, other.id) for one, rel, other in store.get_triplets(**asked)}


def test_a_neighbourhood_is_what_touches_the_node() -> None:
    store = small()
    assert labels(store, ids=["a"]) == {("a", "NEAR", "b"), ("a", "MENTIONS", "Sao Mai")}
    assert labels(store, entity_names=["Sao Mai"]) == {("a", "MENTIONS", "Sao Mai")}
    assert labels(store, ids=["b"], relation_names=["NEAR"]) == {("a", "NEAR", "b"), ("b", "NEAR", "c")}
    assert labels(store, properties={"tenant": "x"}) == labels(store, ids=["a"])
    assert labels(store, relation_names=["MENTIONS"]) == {("a", "MENTIONS", "Sao Mai")}
    assert labels(store) == labels(store, ids=["nobody"]) == set()
    assert [node.id for node in store.get(ids=["c", "nobody", "a", "c"])] == ["c", "a"]


def test_deleting_a_node_takes_its_relations_and_nobody_else() -> None:
    """The stock store deletes the other ends too, and leaves relations of theirs behind without ends."""
    store = small()
    store.delete(ids=["a"])
    assert {node.id for node in store.get()} == {"b", "c", "Sao Mai"}
    assert labels(store, ids=["b", "Sao Mai"]) == {("b", "NEAR", "c")}
    stock = SimplePropertyGraphStore()
    stock.upsert_nodes(small().get())
    stock.upsert_relations(list(small().relations()))
    stock.delete(ids=["a"])
    assert {node.id for node in stock.get()} == {"c"}


def test_deleting_relations_leaves_the_nodes() -> None:
    store = small()
    store.delete(relation_names=["NEAR"])
    assert len(store.get()) == 4 and labels(store, ids=["a", "b", "c"]) == {("a", "MENTIONS", "Sao Mai")}


def test_relations_upserted_again_get_their_new_properties() -> None:
    store = small()
    store.upsert_relations([relation("a", "Sao Mai", "MENTIONS", count=5)])
    assert [rel.properties for _, rel, _ in store.get_triplets(ids=["Sao Mai"])] == [{"count": 5}]


def test_names_with_underscores_do_not_meet() -> None:
    """The stock store knows a relation by its parts joined with "_"."""
    store = LocalGraphStore()
    store.upsert_relations([relation("a", "b", "WORKS_AT", since=1), relation("a", "AT_b", "WORKS", since=2)])
    assert sorted(rel.properties["since"] for _, rel, _ in store.get_triplets(ids=["a"])) == [1, 2]


ids = st.sampled_from(["a", "b", "c", "d", "Sao Mai", "x_y"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("node"), ids, st.integers(0, 3)),
        st.tuples(st.just("relation"), ids, ids, st.sampled_from(["NEAR", "NEXT"]), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.lists(ids, min_size=1, max_size=3)),
    ),
    max_size=25,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_any_history_gives_what_a_plain_model_gives(history: list[Any]) -> None:
    """Also after writing and reading; and the stock store agrees where nodes are taken out of it by `remove_nodes`."""
    ours, stock = LocalGraphStore(), SimplePropertyGraphStore()
    nodes: dict[str, int] = {}
    relations: dict[tuple[str, str, str], int] = {}
    for kind, *said in history:
        if kind == "node":
            nodes[said[0]] = said[1]
            made: list[LabelledNode] = [page(said[0], value=said[1])]
            ours.upsert_nodes(made)
            stock.upsert_nodes(made)
        elif kind == "relation":
            source, target, label, value = said
            for end in (source, target):
                if end not in nodes:
                    nodes[end] = -1
                    for store in (ours, stock):
                        store.upsert_nodes([page(end, value=-1)])
            fresh = (source, label, target) not in relations
            relations[source, label, target] = value
            ours.upsert_relations([relation(source, target, label, value=value)])
            if fresh:
                stock.upsert_relations([relation(source, target, label, value=value)])
            else:  # the stock store keeps the first properties
                stock.graph.relations[f"{source}_{label}_{target}"].properties["value"] = value
        else:
            for gone in said[0]:
                nodes.pop(gone, None)
            relations = {key: value for key, value in relations.items() if not {key[0], key[2]} & set(said[0])}
            remove_nodes(ours, said[0])
            remove_nodes(stock, said[0])
    expected = (
        {id_: ("ChunkNode", "page", {"value": value}) for id_, value in nodes.items()},
        {key: {"value": value} for key, value in relations.items()},
    )
    assert content(ours) == expected
    assert content(stock) == expected
    assert content(LocalGraphStore.from_dict(ours.to_dict())) == expected


def test_what_is_written_is_read_and_equal_graphs_are_equal_files(tmp_path: Path) -> None:
    store = small()
    store.upsert_nodes([EntityNode(name="Tên “lạ” \x1f\n", label="name", embedding=[0.5] * 8)])
    store.persist(tmp_path / "deep" / "graph.json")
    written = (tmp_path / "deep" / "graph.json").read_bytes()
    assert b"0.5" not in written and b"embedding" not in written
    read = LocalGraphStore.from_persist_path(tmp_path / "deep" / "graph.json")
    assert content(read) == content(store)
    read.persist(str(tmp_path / "again.json"))
    assert (tmp_path / "again.json").read_bytes() == written
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.json", "deep"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"[]",
        lambda content: content.replace(b'"format": 1', b'"format": 99'),
        lambda content: json.dumps({"format": 1, "nodes": [], "relations": [["a", "NEAR", "b", {}]]}).encode(),
        lambda content: json.dumps({"format": 1, "nodes": [{"chunk": 3}], "relations": []}).encode(),
        lambda content: b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_told_with_the_way_out(tmp_path: Path, damage: Any) -> None:
    file = tmp_path / "graph.json"
    small().persist(file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(IndexDirectoryError, match=r"graph\.json is damaged.*vipylo graph build"):
        LocalGraphStore.from_persist_path(file)
    file.unlink()
    with pytest.raises(IndexDirectoryError, match="missing"):
        LocalGraphStore.from_persist_path(file)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    small().persist(file)
    before, store = file.read_bytes(), small()
    store.upsert_nodes([page("d", bad=object())])
    with pytest.raises(TypeError):
        store.persist(file)
    assert file.read_bytes() == before


def test_llama_index_takes_the_store() -> None:
    """A stock `PropertyGraphIndex` fills it by our rules, and its retriever finds an entity's neighbourhood."""
    store = LocalGraphStore()
    text = "Mã hợp đồng: HD-2024-0193. Bên A: Công ty TNHH Sao Mai."
    index = PropertyGraphIndex(
        nodes=[TextNode(id_="p1", text=text)],
        kg_extractors=[RuleExtractor()],
        property_graph_store=store,
        embed_kg_nodes=False,
        llm=MockLLM(),
    )
    code = next(node for node in store.get() if node.label == "code")
    assert index.property_graph_store is store
    assert any({one.id, other.id} & {code.id} for one, _, other in store.get_rel_map([code], depth=1))
    index.delete_nodes(["p1"])
    assert not store.get(ids=["p1"])
