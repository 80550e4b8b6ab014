"""Numbered behaviours of LlamaIndex 0.14.25 around indexes and answers: the stock part does wrong, ours does right.

Each test takes one input through both. If a newer LlamaIndex does right too, its half fails here: then drop that half.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import PropertyGraphIndex, StorageContext, VectorStoreIndex
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.graph_stores.types import KG_NODES_KEY, KG_RELATIONS_KEY, TRIPLET_SOURCE_KEY, EntityNode
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import CitationQueryEngine, SimpleMultiModalQueryEngine
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    MediaResource,
    Node,
    NodeWithScore,
    TextNode,
    TransformComponent,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore

from connectors.llama_index import SplitDocuments, ViPyloEmbedding, ViPyloRetriever, ViPyloVectorStore
from connectors.page import page_id
from tests.connectors.llama_index_parts import (
    LengthEmbedding,
    RuleLLM,
    pdf_pages,
    picture_pages,
    write_pdf,
    write_pictures,
)


@pytest.fixture
def embedding(tiny_checkpoint: Path) -> ViPyloEmbedding:
    return ViPyloEmbedding(model_name=str(tiny_checkpoint), device="cpu")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ViPyloVectorStore]:
    with ViPyloVectorStore(location=str(tmp_path / "nodes")) as opened:
        yield opened


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return write_pictures(tmp_path)


def vectors_of(store: ViPyloVectorStore) -> dict[str, Any]:
    return {str(point.payload["node_id"]): point.vector for point in store.client.scroll(with_vectors=True)}


def test_03_nodes_with_only_an_image_are_indexed(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [Node(image_resource=MediaResource(path=path)) for path in pictures]
    stock = SimpleVectorStore()
    VectorStoreIndex(
        nodes, embed_model=LengthEmbedding(), storage_context=StorageContext.from_defaults(vector_store=stock)
    )
    assert not stock.data.embedding_dict and "skipping them" in capsys.readouterr().out
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    index.insert_nodes(embedding(nodes))
    found = index.as_retriever(similarity_top_k=1).retrieve(embedding.query_bundle(image=pictures[1]))
    assert found[0].node_id == nodes[1].node_id and len(vectors_of(store)) == 3


def test_04_one_index_holds_text_images_and_both(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, pictures: list[Path]
) -> None:
    nodes = [
        TextNode(id_="text", text="chữ"),
        Node(id_="both", text_resource=MediaResource(text="đỏ"), image_resource=MediaResource(path=pictures[0])),
        ImageNode(id_="image and text", text="xanh", image_path=str(pictures[1])),
        ImageNode(id_="image", image_path=str(pictures[2])),
    ]
    context = StorageContext.from_defaults(vector_store=SimpleVectorStore(), image_store=SimpleVectorStore())
    MultiModalVectorStoreIndex(nodes, storage_context=context, embed_model=embedding, image_embed_model=embedding)
    kept = [set(stock.data.embedding_dict) for stock in context.vector_stores.values()]
    assert kept == [{"text", "image and text"}, {"image and text"}], "two are dropped, one is in both stores"

    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    index.insert_nodes(embedding(nodes))
    assert set(vectors_of(store)) == {node.node_id for node in nodes}
    retriever = index.as_retriever(similarity_top_k=4)
    assert retriever.retrieve("chữ")[0].node_id == "text"
    assert retriever.retrieve(embedding.query_bundle("đỏ", pictures[0]))[0].node_id == "both"
    by_image = retriever.retrieve(embedding.query_bundle(image=pictures[2]))
    assert by_image[0].node_id == "image" and len(by_image) == 4


class Subjects(TransformComponent):
    """A graph extractor by rule: a page says who is in it."""

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        for node in nodes:
            node.metadata[KG_NODES_KEY] = [EntityNode(name=word) for word in node.get_content().split()]
            node.metadata[KG_RELATIONS_KEY] = []
        return nodes


@pytest.mark.filterwarnings("ignore:coroutine 'arun_transformations' was never awaited")
def test_09_a_graph_leaves_the_vectors_of_pages_alone(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, tmp_path: Path
) -> None:
    pages = pdf_pages(write_pdf(tmp_path / "a.pdf", ["Mai Nam", "Lan"]))
    for page in pages:
        page.embedding = [9.0, 9.0]
    with ViPyloVectorStore(location=str(tmp_path / "stock"), dim=3) as entities:
        stock = {"kg_extractors": [Subjects()], "embed_model": LengthEmbedding(), "vector_store": entities}
        PropertyGraphIndex([page.model_copy() for page in pages], use_async=False, **stock)
        given = [page.model_copy() for page in pages]
        PropertyGraphIndex(given, use_async=False, **stock)
        assert all(len(node.embedding) == 3 for node in given), "a page's own vector is gone"

        async def within_a_loop() -> None:
            PropertyGraphIndex([page.model_copy() for page in pages], use_async=True, **stock)

        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            asyncio.run(within_a_loop())

    store.add(embedding(pages))
    before = vectors_of(store)
    with ViPyloVectorStore(location=str(tmp_path / "entities")) as entities:

        async def graph() -> PropertyGraphIndex:
            copies = [page.model_copy(deep=True) for page in pages]
            parts = {"kg_extractors": [Subjects()], "embed_model": embedding, "vector_store": entities}
            return PropertyGraphIndex(copies, use_async=False, **parts)

        asyncio.run(graph())
        after = vectors_of(store)
        assert all(np.array_equal(before[id_], after[id_]) for id_ in before)
        found = ViPyloRetriever(entities, embedding, similarity_top_k=1).retrieve("Lan")[0]
        page = store.get_nodes([found.metadata[TRIPLET_SOURCE_KEY]])[0]
        assert (page.metadata["page"], page.image_resource.path.is_file()) == (2, True)


def test_10_evaluation_of_pages(store: ViPyloVectorStore, embedding: ViPyloEmbedding, tmp_path: Path) -> None:
    pages = embedding(pdf_pages(write_pdf(tmp_path / "a.pdf", ["hóa đơn", "hợp đồng"])))
    store.add(pages)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    expected = [page_id(str(tmp_path / "a.pdf"), 2)]
    metrics = ["hit_rate", "mrr"]
    stock = RetrieverEvaluator.from_metric_names(metrics, retriever=index.as_retriever(similarity_top_k=2))
    with pytest.raises(ValueError, match="must be a TextNode"):
        stock.evaluate("hợp đồng", expected_ids=expected)
    ours = RetrieverEvaluator.from_metric_names(metrics, retriever=ViPyloRetriever(store, embedding, mode="lexical"))
    result = ours.evaluate("hợp đồng", expected_ids=expected)
    assert result.metric_vals_dict == {"hit_rate": 1.0, "mrr": 1.0} and result.retrieved_texts == ["hợp đồng"]


def test_11_a_page_shows_its_text_and_its_image(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, tmp_path: Path
) -> None:
    page = pdf_pages(write_pdf(tmp_path / "a.pdf", ["hóa đơn"]))[0]
    stock = ImageNode(text=page.get_content(), image_path=str(page.image_resource.path))
    assert [block.block_type for block in stock.get_content_blocks()] == ["image"], "its text is lost"
    store.add(embedding([page]))
    blocks = store.get_nodes()[0].get_content_blocks()
    assert [block.block_type for block in blocks] == ["text", "image"] and blocks[0].text == "hóa đơn"


def test_12_pages_go_where_documents_are_split(pictures: list[Path]) -> None:
    documents: list[BaseNode] = [Document(text="Một câu dài. " * 60), *picture_pages(pictures)]
    splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0)
    with pytest.raises(ValueError, match="Unknown document type"):
        splitter(documents)
    done = SplitDocuments(splitter=splitter)(documents)
    assert list(done[-3:]) == documents[1:] and len(done) > 5
    assert all(node.ref_doc_id == documents[0].node_id for node in done[:-3])


def upserts(store: Any, embed: Any, strategy: DocstoreStrategy) -> IngestionPipeline:
    return IngestionPipeline(
        transformations=[embed],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
        disable_cache=True,
    )


def test_14_a_document_that_is_gone_leaves_no_points(store: ViPyloVectorStore, embedding: ViPyloEmbedding) -> None:
    documents = [Document(id_="d1", text="một"), Document(id_="d2", text="hai ba")]
    simple = SimpleVectorStore()
    stock = upserts(simple, LengthEmbedding(), DocstoreStrategy.UPSERTS_AND_DELETE)
    ours = upserts(store, embedding, DocstoreStrategy.UPSERTS_AND_DELETE)
    for pipeline in (stock, ours):
        pipeline.run(documents=[document.model_copy(deep=True) for document in documents])
        pipeline.run(documents=[documents[0].model_copy(deep=True)])
        assert set(pipeline.docstore.docs) == {"d1"}
    assert set(simple.data.embedding_dict) == {"d1", "d2"}, "an orphan"
    assert set(vectors_of(store)) == {"d1"}


def test_14_the_old_version_stays_until_the_new_one_is_in(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, tmp_path: Path
) -> None:
    class Breaks(TransformComponent):
        def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
            raise RuntimeError("the model is away")

    path = write_pdf(tmp_path / "a.pdf", ["cũ"])
    simple = SimpleVectorStore()
    stock = upserts(simple, LengthEmbedding(), DocstoreStrategy.UPSERTS)
    ours = upserts(store, embedding, DocstoreStrategy.UPSERTS)
    split = [SplitDocuments(), LengthEmbedding()]  # the parts get the document as their SOURCE
    stock.transformations = split
    stock.run(documents=[Document(id_="d", text="cũ")])
    ours.run(nodes=pdf_pages(path))
    write_pdf(path, ["mới"])
    for pipeline, given in (
        (stock, {"documents": [Document(id_="d", text="mới")]}),
        (ours, {"nodes": pdf_pages(path)}),
    ):
        pipeline.transformations = [Breaks()]
        with pytest.raises(RuntimeError, match="away"):
            pipeline.run(**given)
    assert not simple.data.embedding_dict, "nothing is left of it"
    assert [node.get_content() for node in store.get_nodes()] == ["cũ"]
    ours.transformations = [embedding]
    ours.run(nodes=pdf_pages(path))
    assert [node.get_content() for node in store.get_nodes()] == ["mới"]


def test_18_citations_name_source_and_page(
    store: ViPyloVectorStore, embedding: ViPyloEmbedding, tmp_path: Path
) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["hóa đơn tiền điện", "hợp đồng thuê nhà"])
    store.add(embedding(pdf_pages(path)))
    retriever = ViPyloRetriever(store, embedding, similarity_top_k=1)
    llm = RuleLLM()
    with pytest.warns(DeprecationWarning, match="SimpleMultiModalQueryEngine is deprecated"):
        SimpleMultiModalQueryEngine(retriever, multi_modal_llm=llm)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    engine = CitationQueryEngine.from_args(index, llm=llm, retriever=retriever, multimodal=True)
    response = engine.query("hợp đồng thuê nhà")
    cited: NodeWithScore = response.source_nodes[0]
    known = {node.node_id for node in store.get_nodes()}
    assert cited.node_id not in known, "stock: a new node with a new id"
    again = page_id(cited.metadata["source"], cited.metadata["page"])
    assert again in known and store.get_nodes([again])[0].get_content() == "hợp đồng thuê nhà"
    assert "image" in llm.blocks() and "text" in llm.blocks()
