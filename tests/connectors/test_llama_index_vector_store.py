"""ViPyloVectorStore on both engines: any node comes back whole, filters, modes, tenants, the pages of an index."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from PIL import Image
from qdrant_client import QdrantClient

from connectors.errors import FilterError, StoreError
from connectors.llama_index import ViPyloVectorStore
from connectors.llama_index.stored_nodes import node_of, payload_of, point_id_of
from connectors.page import page_id, source_id
from connectors.payload import asset_path, page_payload
from connectors.stores.edge import EdgeStore
from connectors.stores.protocol import Point
from connectors.stores.server import ServerStore
from embedder import InputError

DIM = 8


def vector(seed: int) -> list[float]:
    drawn = np.random.default_rng(seed).normal(size=DIM)
    return (drawn / np.linalg.norm(drawn)).tolist()


def text_node(id_: str, text: str = "văn bản", seed: int = 0, **metadata: object) -> TextNode:
    return TextNode(id_=id_, text=text, metadata=metadata, embedding=vector(seed))


@pytest.fixture(params=["edge", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ViPyloVectorStore]:
    if request.param == "edge":
        with ViPyloVectorStore(location=str(tmp_path / "nodes"), dim=DIM) as opened:
            yield opened
    else:
        with ServerStore.over(QdrantClient(":memory:"), DIM) as server:
            yield ViPyloVectorStore.over(server, assets=tmp_path / "assets")


def picture(path: Path, colour: str = "red") -> Path:
    Image.new("RGB", (60, 40), colour).save(path)
    return path


def where(key: str, operator: FilterOperator, value: object = None) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


def kinds_of_nodes(folder: Path) -> list[BaseNode]:
    red = picture(folder / "red.png")
    relations = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", metadata={"b": 1, "a": "x"}, hash="h"),
        NodeRelationship.NEXT: RelatedNodeInfo(node_id="n2", metadata={"other": 1}),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
    }
    shared = {"metadata": {"b": 1, "a": "x"}, "relationships": relations, "excluded_llm_metadata_keys": ["b"]}
    return [
        TextNode(id_="t", text="chữ", start_char_idx=3, end_char_idx=6, text_template="{content}", **shared),
        Node(id_="n", text_resource=MediaResource(text="chữ"), image_resource=MediaResource(path=red), **shared),
        Node(id_="only", image_resource=MediaResource(data=red.read_bytes(), mimetype="image/png")),
        Node(id_="sound", audio_resource=MediaResource(data=b"RIFF\x00\xffWAVE", mimetype="audio/wav")),
        ImageNode(id_="i", text="chữ", image_path=str(red), **shared),
        ImageNode(id_="b", text="chữ", image=base64.b64encode(red.read_bytes()).decode()),
        IndexNode(id_="x", text="chữ", index_id="elsewhere", obj=TextNode(text="bên trong"), **shared),
        Document(id_="d", text="chữ", **shared),
        ImageDocument(id_="p", text="chữ", image_path=str(red)),
        TextNode(
            id_="u", metadata={"text": "mine", "tenant": "t", "metadata.text": 2, "z": None, "list": [1, "a"], "f": 1.0}
        ),
    ]


def test_any_node_comes_back_whole(store: ViPyloVectorStore, tmp_path: Path) -> None:
    nodes = kinds_of_nodes(tmp_path)
    before = [node.model_copy(deep=True) for node in nodes]
    for number, node in enumerate(nodes):
        node.embedding = vector(number)
    assert store.add(nodes) == [node.node_id for node in nodes]
    found = store.get_nodes([node.node_id for node in nodes])
    for old, new in zip(before, found, strict=True):
        assert type(new) is type(old)
        left_out = {"image_resource", "audio_resource", "image_path", "image", "image_mimetype", "embedding"}
        assert new.model_dump(exclude=left_out) == old.model_dump(exclude=left_out)
        assert list(new.metadata) == list(old.metadata)
        assert new.get_content(metadata_mode=MetadataMode.ALL) == old.get_content(metadata_mode=MetadataMode.ALL)
    red = (tmp_path / "red.png").read_bytes()
    by_id = {node.node_id: node for node in found}
    shown = [by_id["n"].image_resource.path, by_id["only"].image_resource.path, by_id["p"].image_resource.path]
    shown += [Path(by_id["i"].image_path), Path(by_id["b"].image_path)]
    assert {path.read_bytes() for path in shown} == {red}
    assert by_id["only"].image_resource.mimetype == "image/png"
    assert by_id["sound"].audio_resource.path.read_bytes() == b"RIFF\x00\xffWAVE"
    assert len([path for path in store.asset_folder.rglob("*") if path.is_file()]) == 2, "one picture, one sound"


def test_what_a_picture_was_stays_when_the_file_changes(store: ViPyloVectorStore, tmp_path: Path) -> None:
    path = picture(tmp_path / "now.png", "red")
    store.add([Node(id_="n", image_resource=MediaResource(path=path), embedding=vector(0))])
    picture(path, "blue")
    kept = store.get_nodes(["n"])[0].image_resource.path
    assert Image.open(kept).getpixel((0, 0)) == (255, 0, 0)
    store.add([store.get_nodes(["n"])[0].model_copy(update={"embedding": vector(1)})])
    assert store.get_nodes(["n"])[0].image_resource.path == kept, "a file of the assets is not copied again"


def test_a_payload_cannot_name_a_file_outside(tmp_path: Path) -> None:
    node = TextNode(id_="n", text="x")
    payload = payload_of(node, "", tmp_path)
    for outside in ("../secret.png", "/etc/passwd", "ab/../../secret.png"):
        with pytest.raises(StoreError, match="outside the asset folder"):
            asset_path(tmp_path / "assets", outside)
        with pytest.raises(StoreError, match="outside the asset folder"):
            node_of({**payload, "asset": outside}, tmp_path / "assets")
    with pytest.raises(StoreError, match="neither a page nor a node"):
        node_of({"text": "x"}, tmp_path)


OPERATORS: list[tuple[FilterOperator, object]] = [
    *((operator, value) for operator in (FilterOperator.EQ, FilterOperator.NE) for value in (1, 2.0, 2.5, "a", 0, "b")),
    *(
        (operator, value)
        for operator in (FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE)
        for value in (1, 1.5)
    ),
    *(
        (operator, value)
        for operator in (FilterOperator.IN, FilterOperator.NIN)
        for value in ([1, 3], ["a", "c"], [2.5])
    ),
    (FilterOperator.IS_EMPTY, None),
]
VALUES: list[object] = [1, 2, 3, 2.5, 1.0, "a", "b", "", None, [], ..., True, False]


def test_filters_mean_what_llama_index_means(store: ViPyloVectorStore) -> None:
    metadata = {f"n{row}": {} if value is ... else {"key": value} for row, value in enumerate(VALUES)}
    store.add([text_node(id_, **fields) for id_, fields in metadata.items()])
    for operator, value in OPERATORS:
        asked = where("key", operator, value)
        ordered = operator in (FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE)
        stock = build_metadata_filter_fn(metadata.__getitem__, asked)

        # Python orders True and 1, and refuses "a" > 1: an order is between numbers.
        tested = [id_ for id_, fields in metadata.items() if not ordered or type(fields.get("key")) in (int, float)]
        found = {node.node_id for node in store.get_nodes(filters=asked)}
        assert found == {id_ for id_ in tested if stock(id_)}, (operator, value)


def test_lists_and_nested_conditions(store: ViPyloVectorStore) -> None:
    store.add(
        [
            text_node("one", tags=["a", "b"], year=2023),
            text_node("two", tags=["b", "c"], year=2024),
            text_node("three", tags=["d"], year=2024),
        ]
    )

    def ids(filters: MetadataFilters) -> set[str]:
        return {node.node_id for node in store.get_nodes(filters=filters)}

    assert ids(where("tags", FilterOperator.CONTAINS, "b")) == {"one", "two"}
    assert ids(where("tags", FilterOperator.ANY, ["a", "c"])) == {"one", "two"}
    assert ids(where("tags", FilterOperator.ALL, ["a", "b"])) == {"one"}
    late, b = where("year", FilterOperator.EQ, 2024), where("tags", FilterOperator.CONTAINS, "b")
    assert ids(MetadataFilters(filters=[late, b])) == {"two"}
    assert ids(MetadataFilters(filters=[late, b], condition=FilterCondition.OR)) == {"one", "two", "three"}
    neither = MetadataFilters(filters=[late, b], condition=FilterCondition.NOT)
    assert ids(neither) == set()
    deep = MetadataFilters(filters=[late, MetadataFilters(filters=[b], condition=FilterCondition.NOT)])
    assert ids(deep) == {"three"}
    assert ids(MetadataFilters(filters=[])) == {"one", "two", "three"}


def test_what_filters_cannot_say_is_refused(store: ViPyloVectorStore) -> None:
    store.add([text_node("one", name="abc")])
    for operator, value, said in [
        (FilterOperator.TEXT_MATCH, "b", "text_match.*looks inside a text"),
        (FilterOperator.TEXT_MATCH_INSENSITIVE, "b", "text_match_insensitive"),
        (FilterOperator.GT, "b", "compares with a number"),
        (FilterOperator.EQ, ["a"], "takes one value"),
        (FilterOperator.EQ, None, "needs a value"),
    ]:
        with pytest.raises(FilterError, match=said):
            store.get_nodes(filters=where("name", operator, value))


def filled(store: ViPyloVectorStore) -> None:
    store.add(
        [
            text_node("d1", "hóa đơn tiền điện", 1, year=2023),
            text_node("d2", "hợp đồng thuê nhà", 2, year=2024),
            text_node("d3", "biên bản họp", 3, year=2024),
        ]
    )


def asked(
    mode: VectorStoreQueryMode, seed: int | None = 2, text: str | None = "hóa đơn", **more: object
) -> VectorStoreQuery:
    embedding = None if seed is None else vector(seed)
    return VectorStoreQuery(query_embedding=embedding, query_str=text, mode=mode, similarity_top_k=2, **more)


def test_query_modes(store: ViPyloVectorStore) -> None:
    filled(store)
    modes = VectorStoreQueryMode
    assert store.query(asked(modes.DEFAULT)).ids[0] == "d2"
    assert store.query(asked(modes.DEFAULT)).similarities[0] == pytest.approx(1, abs=1e-5)
    assert store.query(asked(modes.SPARSE, None)).ids == ["d1"]
    assert store.query(asked(modes.TEXT_SEARCH, None)).ids == ["d1"]
    assert set(store.query(asked(modes.HYBRID)).ids) == {"d1", "d2"}
    assert store.query(asked(modes.HYBRID, alpha=0)).ids == ["d1"]
    assert store.query(asked(modes.HYBRID, alpha=1)).ids[0] == "d2"
    assert store.query(asked(modes.HYBRID, alpha=0.9)).ids[0] == "d2"
    assert store.query(asked(modes.HYBRID, alpha=0.3)).ids[0] == "d1"
    assert len(store.query(asked(modes.HYBRID, hybrid_top_k=1)).ids) == 1
    late = where("year", FilterOperator.EQ, 2024)
    assert set(store.query(asked(modes.DEFAULT, 1, filters=late)).ids) == {"d2", "d3"}
    assert asyncio.run(store.aquery(asked(modes.HYBRID, alpha=0))).ids == ["d1"]


def test_mmr_prefers_variety(store: ViPyloVectorStore) -> None:
    near = np.array(vector(5))
    twin = near + 0.01 * np.array(vector(6))
    other = near + 0.8 * np.array(vector(7))
    for id_, embedding in (("a", near), ("b", twin), ("c", other)):
        store.add([TextNode(id_=id_, text=id_, embedding=(embedding / np.linalg.norm(embedding)).tolist())])
    mode = VectorStoreQueryMode.MMR
    assert set(store.query(asked(mode, 5)).ids) == {"a", "c"}
    assert store.query(asked(mode, 5, mmr_threshold=1.0)).ids == ["a", "b"]


def test_nothing_to_compare_with_is_refused(store: ViPyloVectorStore) -> None:
    filled(store)
    modes = VectorStoreQueryMode
    for query in (asked(modes.DEFAULT, None), asked(modes.HYBRID, None), asked(modes.MMR, None)):
        with pytest.raises(InputError, match="compares vectors, and the query has none"):
            store.query(query)
    with pytest.raises(InputError, match="compares words"):
        store.query(asked(modes.SPARSE, text=" "))
    with pytest.raises(InputError, match="'svm' is not there; known: default"):
        store.query(asked(modes.SVM))
    with pytest.raises(InputError, match="alpha is 2"):
        store.query(asked(modes.HYBRID, alpha=2))
    with pytest.raises(InputError, match="node bare has no embedding"):
        store.add([TextNode(id_="bare", text="x")])


def test_delete_by_document_by_id_and_by_filter(store: ViPyloVectorStore) -> None:
    parts = [text_node(f"p{row}", seed=row, row=row) for row in range(4)]
    for part in parts[:2]:
        part.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id="doc")
    store.add(parts)
    store.delete("nobody")
    assert len(store.get_nodes()) == 4
    assert set(store.query(asked(VectorStoreQueryMode.DEFAULT, doc_ids=["doc"])).ids) == {"p0", "p1"}
    store.delete("doc")
    assert {node.node_id for node in store.get_nodes()} == {"p2", "p3"}
    store.delete("p2")  # its own document
    assert {node.node_id for node in store.get_nodes()} == {"p3"}
    store.delete_nodes(["p3"], where("row", FilterOperator.EQ, 0))
    assert len(store.get_nodes()) == 1
    with pytest.raises(InputError, match="clear"):
        store.delete_nodes()
    asyncio.run(store.adelete_nodes(["p3"]))
    assert store.get_nodes() == []
    asyncio.run(store.async_add(parts))
    asyncio.run(store.adelete("doc"))
    assert len(asyncio.run(store.aget_nodes())) == 2
    asyncio.run(store.aclear())
    assert store.get_nodes() == []


def test_the_lists_of_stock_indexes_hide_no_text(store: ViPyloVectorStore, tmp_path: Path) -> None:
    """`VectorStoreIndex.as_retriever` names the ImageNodes it keeps in every query."""
    filled(store)
    store.add([ImageNode(id_="i", text="ảnh", image_path=str(picture(tmp_path / "a.png")), embedding=vector(9))])
    mode = VectorStoreQueryMode.DEFAULT
    assert store.query(asked(mode, node_ids=["i"])).ids[0] == "d2"
    assert set(store.query(asked(mode, node_ids=["d1", "i"])).ids) == {"d1", "i"}
    assert store.query(asked(mode, node_ids=["unknown"])).ids == []
    meant = where("node_id", FilterOperator.IN, ["i"])
    assert store.query(asked(mode, filters=meant)).ids == ["i"]


def test_tenants_share_ids_and_see_only_their_own(tmp_path: Path) -> None:
    with EdgeStore.open(tmp_path / "store", DIM) as engine:
        tenants = {name: ViPyloVectorStore.over(engine, tenant=name) for name in ("", "a", "b")}
        same = str(page_id("x", 1))
        for name, store in tenants.items():
            store.add([text_node(same, f"của {name}", 1)])
        assert engine.count() == 3
        for name, store in tenants.items():
            assert [node.get_content() for node in store.get_nodes([same])] == [f"của {name}"]
            assert store.query(asked(VectorStoreQueryMode.DEFAULT)).nodes[0].get_content() == f"của {name}"
        tenants["a"].clear()
        tenants["b"].delete(same)
        assert [node.get_content() for node in tenants[""].get_nodes()] == ["của "]
    assert point_id_of("x", "a") != point_id_of("x", "b")
    assert point_id_of(same.upper(), "") != point_id_of(same, "")


class PagesIndex:
    """What `MultimodalIndex` offers to `of_index`."""

    def __init__(self, store: EdgeStore, assets: Path) -> None:
        self.store = store
        self.assets = assets


def test_pages_of_an_index(tmp_path: Path) -> None:
    (tmp_path / "assets" / "ab").mkdir(parents=True)
    picture(tmp_path / "assets" / "ab" / "one.png")
    with EdgeStore.open(tmp_path / "store", DIM) as engine:
        for tenant in ("", "other"):
            engine.upsert(
                Point(
                    id=page_id(name, number, tenant),
                    vector=np.array(vector(number)),
                    text=f"trang {number}",
                    payload=page_payload(
                        source=name,
                        number=number,
                        kind="pdf",
                        text=f"trang {number}",
                        content_sha256=f"{name}{number}",
                        tenant=tenant,
                        asset="ab/one.png",
                        metadata={"title": "T"},
                    ),
                )
                for name in ("a.pdf", "b.pdf")
                for number in (1, 2)
            )
        store = ViPyloVectorStore.of_index(PagesIndex(engine, tmp_path / "assets"), tenant="other")
        best = store.query(asked(VectorStoreQueryMode.DEFAULT, 2, filters=where("source", FilterOperator.EQ, "b.pdf")))
        node = best.nodes[0]
        assert (node.node_id, node.metadata["page"]) == (page_id("b.pdf", 2, "other"), 2)
        assert node.image_resource.path == tmp_path / "assets" / "ab" / "one.png"
        assert node.ref_doc_id == source_id("b.pdf", "other") and node.metadata["title"] == "T"
        assert [found.node_id for found in store.get_nodes([node.node_id, "x"])] == [node.node_id]
        one = store.query(asked(VectorStoreQueryMode.DEFAULT, doc_ids=[source_id("a.pdf", "other")]))
        assert {found.metadata["source"] for found in one.nodes} == {"a.pdf"}
        assert len(store.query(asked(VectorStoreQueryMode.MMR)).nodes) == 2
        for refused in (lambda: store.add([text_node("n")]), store.clear, lambda: store.delete(node.ref_doc_id)):
            with pytest.raises(StoreError, match="ledger"):
                refused()
        store.close()
        assert engine.count() == 8


def test_places(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="of_index"):
        ViPyloVectorStore(location=str(tmp_path / "index")).get_nodes()
    place = str(tmp_path / "nodes")
    with ViPyloVectorStore(location=place, dim=DIM) as store:
        filled(store)
        with pytest.raises(StoreError, match="open in another process"):
            ViPyloVectorStore(location=place, dim=DIM).get_nodes()
    with ViPyloVectorStore(location=place, dim=DIM) as again:
        assert len(again.get_nodes()) == 3
    with ServerStore.over(QdrantClient(":memory:"), DIM) as server:
        bare = ViPyloVectorStore.over(server)
        with pytest.raises(InputError, match="assets=FOLDER"):
            bare.add([Node(image_resource=MediaResource(path=picture(tmp_path / "a.png")), embedding=vector(0))])
        with pytest.raises(InputError, match=r"gone\.png cannot be read"):
            ViPyloVectorStore.over(server, assets=tmp_path).add(
                [Node(image_resource=MediaResource(path=tmp_path / "gone.png"), embedding=vector(0))]
            )
    hidden = ViPyloVectorStore(location="http://host", api_key="secret")
    assert "secret" not in repr(hidden) + str(hidden.to_dict())
