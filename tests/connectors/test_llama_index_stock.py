"""Our parts inside stock LlamaIndex: directory reader, pipelines with each docstore strategy, query engines, graphs."""

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import Document, PropertyGraphIndex, SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.callbacks.schema import CBEventType
from llama_index.core.indices.property_graph import SimpleLLMPathExtractor, VectorContextRetriever
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.schema import MediaResource, Node, QueryBundle
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from PIL import Image
from qdrant_client import QdrantClient

from connectors.errors import StoreError
from connectors.llama_index import (
    SplitDocuments,
    ViPyloEmbedding,
    ViPyloRetriever,
    ViPyloVectorStore,
    as_documents,
    file_extractor,
)
from connectors.page import page_id, page_node_of
from connectors.stores.server import ServerStore
from embedder import InputError
from tests.connectors.llama_index_parts import RuleLLM, pdf_pages, picture_pages, write_pdf, write_pictures

CONTRACTS = ["hóa đơn tiền điện", "hợp đồng thuê nhà", "biên bản bàn giao"]


@pytest.fixture(scope="module")
def embedding(tiny_checkpoint: Path) -> ViPyloEmbedding:
    return ViPyloEmbedding(model_name=str(tiny_checkpoint), device="cpu")


@pytest.fixture(params=["edge", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ViPyloVectorStore]:
    if request.param == "edge":
        with ViPyloVectorStore(location=str(tmp_path / "nodes")) as opened:
            yield opened
    else:
        with ServerStore.over(QdrantClient(":memory:"), 1024) as server:
            yield ViPyloVectorStore.over(server, assets=tmp_path / "assets")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    write_pictures(folder)
    write_pdf(folder / "contracts.pdf", CONTRACTS)
    (folder / "note.md").write_text("# Ghi chú\n\nhọp ngày 5", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    return folder


@pytest.fixture
def read(documents: Path, tmp_path: Path) -> list[Any]:
    extractor = file_extractor(image_dir=tmp_path / "pages")
    return SimpleDirectoryReader(str(documents), file_extractor=extractor).load_data()


@pytest.fixture
def filled(store: ViPyloVectorStore, read: list[Any], embedding: ViPyloEmbedding) -> ViPyloVectorStore:
    IngestionPipeline(transformations=[embedding], vector_store=store).run(nodes=read)
    return store


def contents(store: ViPyloVectorStore) -> list[str]:
    return sorted(node.get_content() for node in store.get_nodes())


def test_the_directory_reader_uses_our_loaders(
    documents: Path, read: list[Any], embedding: ViPyloEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    by_name = {(Path(node.metadata["source"]).name, node.metadata["page"]): node for node in read}
    expected = {("contracts.pdf", number) for number in (1, 2, 3)}
    expected |= {(f"{name}.png", 1) for name in ("red", "green", "blue")} | {("note.md", 1)}
    assert set(by_name) == expected, "the broken one is left out, and said"
    page = by_name["contracts.pdf", 2]
    assert page.get_content() == CONTRACTS[1] and page.image_resource.path.is_file()
    assert page.node_id == page_id(str(documents / "contracts.pdf"), 2)
    assert page.metadata["file_name"] == "contracts.pdf"
    plain = pdf_pages(documents / "contracts.pdf")[1]
    assert np.allclose(embedding([page])[0].embedding, embedding([plain])[0].embedding), "file facts are not embedded"
    suffixes = file_extractor()
    assert {".pdf", ".png", ".md", ".dcm", ".jpg"} <= set(suffixes)
    assert all(pickle.loads(pickle.dumps(reader)).suffixes for reader in suffixes.values()), "for num_workers="
    named = SimpleDirectoryReader(
        input_files=[documents / "red.png"], file_extractor=file_extractor(), filename_as_id=True
    ).load_data()
    assert named[0].node_id.endswith("red.png_part_0")
    with pytest.raises(InputError, match="unknown loaders: nothing"):
        file_extractor(options={"nothing": {}})


@pytest.mark.parametrize("strategy", DocstoreStrategy)
def test_pipelines_keep_the_store_as_the_folder_is(
    strategy: DocstoreStrategy, store: ViPyloVectorStore, embedding: ViPyloEmbedding, tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    pictures = write_pictures(folder)
    pdf = write_pdf(folder / "a.pdf", CONTRACTS[:2])

    def nodes() -> list[Any]:
        return [*pdf_pages(pdf), *picture_pages(path for path in pictures if path.exists())]

    pipeline = IngestionPipeline(
        transformations=[SplitDocuments(), embedding],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )
    pipeline.run(nodes=nodes(), documents=[Document(id_="d", text="một văn bản")])
    first = sorted([*CONTRACTS[:2], "", "", "", "một văn bản"])
    assert contents(store) == first
    pipeline.run(nodes=nodes(), documents=[Document(id_="d", text="một văn bản")])
    assert contents(store) == first, "nothing is doubled"
    write_pdf(pdf, ["hóa đơn mới", CONTRACTS[1]])
    pictures[0].unlink()
    asyncio.run(pipeline.arun(nodes=nodes(), documents=[Document(id_="d", text="đã sửa")]))
    after = contents(store)
    assert "hóa đơn mới" in after and CONTRACTS[0] not in after, "a changed page is replaced"
    pages = [node for node in store.get_nodes() if node.metadata.get("kind") == "image"]
    assert len(pages) == (2 if strategy == DocstoreStrategy.UPSERTS_AND_DELETE else 3)
    if strategy != DocstoreStrategy.DUPLICATES_ONLY:
        assert "đã sửa" in after and "một văn bản" not in after


class CountingEmbedder:
    """The real embedder, with the number of rows that it embedded."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode_rows(self, samples: Any, **options: Any) -> Any:
        self.rows += len(samples)
        return self.inner.encode_rows(samples, **options)


@pytest.mark.parametrize("strategy", DocstoreStrategy)
def test_a_cache_spares_the_model_unchanged_pages(
    strategy: DocstoreStrategy, tmp_path: Path, embedding: ViPyloEmbedding
) -> None:
    pictures = write_pictures(tmp_path / "d")
    pdf = write_pdf(tmp_path / "d" / "a.pdf", CONTRACTS)
    counting = CountingEmbedder(embedding.embedder)
    cache = SimpleKVStore()
    with ViPyloVectorStore(location=str(tmp_path / "nodes")) as opened:
        pipeline = IngestionPipeline(
            transformations=[SplitDocuments(), ViPyloEmbedding.over(counting, embeddings_cache=cache)],
            vector_store=opened,
            docstore=SimpleDocumentStore(),
            docstore_strategy=strategy,
            disable_cache=True,
        )
        pipeline.run(nodes=[*pdf_pages(pdf), *picture_pages(pictures)])
        assert counting.rows == 6
        pipeline.run(nodes=[*pdf_pages(pdf), *picture_pages(pictures)])
        assert counting.rows == 6, "nothing changed"
        write_pdf(pdf, [CONTRACTS[0], "hóa đơn mới", CONTRACTS[2]])
        pipeline.run(nodes=[*pdf_pages(pdf), *picture_pages(pictures)])
        assert counting.rows == 7, "one page changed"
        assert "hóa đơn mới" in contents(opened) and CONTRACTS[0] in contents(opened)


def test_the_retriever(filled: ViPyloVectorStore, embedding: ViPyloEmbedding, documents: Path) -> None:
    def best(retriever: ViPyloRetriever, query: str | QueryBundle) -> str:
        return str(Path(retriever.retrieve(query)[0].metadata["source"]).name)

    dense = ViPyloRetriever(filled, embedding, mode="dense")
    green = str(documents / "green.png")
    assert best(dense, QueryBundle("", image_path=green)) == "green.png"
    assert best(dense, embedding.query_bundle(image=green)) == "green.png"
    lexical = ViPyloRetriever(filled, embedding, mode="lexical")
    assert lexical.retrieve("thuê nhà")[0].text == CONTRACTS[1]
    hybrid = ViPyloRetriever(filled, embedding, similarity_top_k=3)
    assert CONTRACTS[1] in [found.text for found in hybrid.retrieve("thuê nhà")]
    assert best(hybrid, QueryBundle("", image_path=green)) == "green.png"
    assert ViPyloRetriever(filled, embedding, alpha=0).retrieve("thuê nhà")[0].text == CONTRACTS[1]
    several = QueryBundle("x", image_path=green, custom_embedding_strs=["một", "hai"])
    mean = np.mean([embedding.query_bundle(text, green).embedding for text in ("một", "hai")], axis=0)
    assert np.allclose(dense._embedding(several), mean, atol=1e-6)
    only = MetadataFilters(filters=[MetadataFilter(key="kind", value="image")])
    found = ViPyloRetriever(filled, embedding, filters=only).retrieve("thuê nhà")
    assert {node.metadata["kind"] for node in found} == {"image"} and len(found) == 3
    document = filled.get_nodes([page_id(str(documents / "contracts.pdf"), 1)])[0].ref_doc_id
    assert len(ViPyloRetriever(filled, embedding, doc_ids=[document]).retrieve("x")) == 3
    later = asyncio.run(dense.aretrieve(QueryBundle("", image_path=green)))
    assert [node.node_id for node in later] == [
        node.node_id for node in dense.retrieve(QueryBundle("", image_path=green))
    ]
    for retriever, said in ((dense, "the query is empty"), (lexical, "compares words")):
        with pytest.raises(InputError, match=said):
            retriever.retrieve("")
    with pytest.raises(InputError, match="mode='both'"):
        ViPyloRetriever(filled, embedding, mode="both")  # type: ignore[arg-type]


def test_query_engines_show_pages_to_the_model(filled: ViPyloVectorStore, embedding: ViPyloEmbedding) -> None:
    retriever = ViPyloRetriever(filled, embedding, similarity_top_k=2, mode="lexical")
    llm = RuleLLM()
    response = RetrieverQueryEngine.from_args(retriever, llm=llm, multimodal=True).query("hợp đồng thuê nhà")
    assert str(response) == llm.answer
    assert response.source_nodes[0].node.get_content() == CONTRACTS[1]
    assert llm.blocks().count("image") == len(response.source_nodes)
    shown = " ".join(block.text for message in llm.shown[-1] for block in message.blocks if block.block_type == "text")
    assert CONTRACTS[1] in shown and "content_sha256" not in shown
    index = VectorStoreIndex.from_vector_store(filled, embed_model=embedding)
    for retriever_of in (retriever, index.as_retriever(similarity_top_k=1, vector_store_query_mode="text_search")):
        engine = CitationQueryEngine.from_args(index, llm=llm, retriever=retriever_of, multimodal=True)
        cited = engine.query("hợp đồng thuê nhà").source_nodes
        assert cited[0].node.get_content().startswith("Source 1:") and CONTRACTS[1] in cited[0].node.get_content()
        # Text and image of a page become two sources, each of which says where it is from.
        assert cited[1].node.image_resource.path.is_file()
        assert [source.metadata["page"] for source in cited[:2]] == [2, 2]
        assert "image" in llm.blocks()


@pytest.mark.parametrize("as_page", [True, False])
def test_query_engines_show_several_photos(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, tmp_path: Path, as_page: bool
) -> None:
    """Pages of an index, and users' own nodes, whose pictures are ".jpeg": a name that LlamaIndex knows no type for."""
    nodes = []
    for number, color in enumerate(("red", "green"), start=1):
        path = tmp_path / f"{color}.jpeg"
        Image.new("RGB", (60, 40), color).save(path)
        if as_page:
            page = {"source": "photos", "page": number, "kind": "image"}
            nodes.append(page_node_of(source="photos", number=number, text="", image_path=path, metadata=page))
        else:
            nodes.append(Node(image_resource=MediaResource(path=path), text_resource=MediaResource(text=color)))
    store.add(embedding(nodes))
    retriever = ViPyloRetriever(store, embedding, similarity_top_k=2, mode="dense")
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    llm = RuleLLM()
    for engine in (
        RetrieverQueryEngine.from_args(retriever, llm=llm, multimodal=True),
        CitationQueryEngine.from_args(index, llm=llm, retriever=retriever, multimodal=True),
    ):
        assert str(engine.query("màu gì")) == llm.answer
        assert llm.blocks().count("image") == 2


def test_a_stock_index_inserts_and_deletes(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, read: list[Any]
) -> None:
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    asyncio.run(index.ainsert_nodes(embedding(read)))
    assert len(store.get_nodes()) == len(read)
    contract = next(node for node in read if node.get_content() == CONTRACTS[0])
    index.delete_nodes([contract.node_id])
    assert len(store.get_nodes()) == len(read) - 1
    index.delete_ref_doc(contract.ref_doc_id)
    assert not [node for node in store.get_nodes() if node.metadata["kind"] == "pdf"]
    asyncio.run(index.adelete_ref_doc(next(node.ref_doc_id for node in read if node.metadata["kind"] == "image")))
    assert len([node for node in store.get_nodes() if node.metadata["kind"] == "image"]) == 2
    documents = [Document(text="văn bản thường", id_="plain")]
    made = VectorStoreIndex.from_documents(documents, embed_model=embedding, storage_context=index.storage_context)
    assert made.as_retriever(similarity_top_k=1).retrieve("văn bản thường")[0].text == "văn bản thường"
    made.refresh_ref_docs(documents)


def test_a_graph_finds_pages(
    filled: ViPyloVectorStore, embedding: ViPyloEmbedding, documents: Path, tmp_path: Path
) -> None:
    llm = RuleLLM(answer="(Mai, thuê, Nhà)")
    pages = pdf_pages(documents / "contracts.pdf")[1:2]
    with ViPyloVectorStore(location=str(tmp_path / "entities")) as entities:
        index = PropertyGraphIndex(
            as_documents(pages),
            llm=llm,
            kg_extractors=[SimpleLLMPathExtractor(llm=llm, num_workers=1)],
            embed_model=embedding,
            vector_store=entities,
            use_async=False,
        )
        by_vector = VectorContextRetriever(
            index.property_graph_store,
            vector_store=entities,
            embed_model=embedding,
            include_text=False,
            similarity_top_k=1,
        )
        found = index.as_retriever(sub_retrievers=[by_vector]).retrieve("Mai")
        assert found[0].text == "Mai -> Thuê -> Nhà"
        page = filled.get_nodes([found[0].node.ref_doc_id])[0]
        assert page.get_content() == CONTRACTS[1] and page.image_resource.path.is_file()
        assert filled.get_nodes() and len(entities.get_nodes()) == 2


class Events(BaseEventHandler):
    """Keeps what is reported."""

    seen: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, EmbeddingStartEvent | EmbeddingEndEvent):
            self.seen.append(event)


def test_embedding_is_reported(tiny_checkpoint: Path, tmp_path: Path) -> None:
    handler, debug = Events(), LlamaDebugHandler(print_trace_on_end=False)
    embedding = ViPyloEmbedding(
        model_name=str(tiny_checkpoint), device="cpu", embed_batch_size=2, callback_manager=CallbackManager([debug])
    )
    pictures = write_pictures(tmp_path)
    root = get_dispatcher()
    root.add_event_handler(handler)
    try:
        nodes = embedding(picture_pages(pictures))
        kinds = [type(event) for event in handler.seen]
        assert kinds == [EmbeddingStartEvent, EmbeddingEndEvent] * 2
        assert handler.seen[0].model_dict["model_name"] == str(tiny_checkpoint)
        assert handler.seen[1].embeddings == [node.embedding for node in nodes[:2]]
        assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 2
        handler.seen.clear()
        asyncio.run(embedding.aget_image_embedding_batch([str(path) for path in pictures]))
        embedding.get_query_embedding("x")
        ends = [event for event in handler.seen if isinstance(event, EmbeddingEndEvent)]
        assert sorted(len(event.chunks) for event in ends) == [1, 1, 2] and ends[-1].chunks == ["x"]
        assert {chunk for event in ends[:-1] for chunk in event.chunks} == {str(path) for path in pictures}
    finally:
        root.event_handlers.remove(handler)


def test_images_that_are_not_here_are_named(embedding: ViPyloEmbedding, store: ViPyloVectorStore) -> None:
    remote = Node(id_="r", text_resource=MediaResource(text="x"), image_resource=MediaResource(url="http://h/a.png"))
    with pytest.raises(InputError, match="node r: its image is a URL"):
        embedding([remote])
    remote.embedding = embedding.get_text_embedding("x")
    store.add([remote])
    assert str(store.get_nodes(["r"])[0].image_resource.url) == "http://h/a.png"
    with pytest.raises(StoreError, match="1024"):
        store.add([Node(id_="short", text_resource=MediaResource(text="x"), embedding=[1.0])])
