"""Numbered behaviours of LlamaIndex 0.14.25 around embeddings: what the stock part does wrong, ours does right.

Each test takes one input through both. If a newer LlamaIndex does right too, its half fails here: then drop that half.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import ImageNode, MediaResource, Node, QueryBundle, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from PIL import Image

from connectors.llama_index import ViPyloEmbedding, ViPyloRetriever, ViPyloVectorStore
from embedder import InputError
from tests.connectors.llama_index_parts import LengthEmbedding, picture_pages, write_pictures


@pytest.fixture
def embedding(tiny_checkpoint: Path) -> ViPyloEmbedding:
    return ViPyloEmbedding(model_name=str(tiny_checkpoint), device="cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return write_pictures(tmp_path)


def distinct(nodes: Any) -> int:
    return len({tuple(np.round(node.embedding, 4)) for node in nodes})


def test_01_a_pipeline_embeds_images_not_the_empty_text(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    def nodes() -> list[ImageNode]:
        return [ImageNode(image_path=str(path)) for path in pictures]

    assert distinct(IngestionPipeline(transformations=[LengthEmbedding()]).run(nodes=nodes())) == 1
    assert distinct(IngestionPipeline(transformations=[embedding], disable_cache=True).run(nodes=nodes())) == 3


def test_02_the_pipeline_cache_tells_images_apart(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    stock = IngestionPipeline(transformations=[LengthEmbedding()])
    red, blue = (Node(image_resource=MediaResource(path=path)) for path in (pictures[0], pictures[2]))
    stock.run(nodes=[red])
    assert stock.run(nodes=[blue])[0].image_resource.path == pictures[0], "it was given the blue one"
    ours = IngestionPipeline(transformations=[embedding])
    first, second = (ours.run(nodes=picture_pages([path]))[0] for path in (pictures[0], pictures[2]))
    assert second.metadata["source"] == str(pictures[2])
    assert not np.allclose(first.embedding, second.embedding, atol=1e-3)


def test_06_a_changed_file_changes_its_hash(pictures: list[Path]) -> None:
    stock = Node(image_resource=MediaResource(path=pictures[0]))
    before, ours_before = stock.hash, picture_pages(pictures[:1])[0].hash
    Image.new("RGB", (90, 60), "yellow").save(pictures[0])
    assert Node(image_resource=MediaResource(path=pictures[0])).hash == before
    assert picture_pages(pictures[:1])[0].hash != ours_before
    assert ImageNode(image_path="a", metadata={"page": 1}).hash == ImageNode(image_path="a", metadata={"page": 2}).hash
    pages = [Node(image_resource=MediaResource(path="a"), metadata={"page": number}) for number in (1, 2)]
    assert pages[0].hash != pages[1].hash


def test_07_the_picture_of_a_query_counts(embedding: ViPyloEmbedding, pictures: list[Path], tmp_path: Path) -> None:
    nodes = embedding(picture_pages(pictures))
    store = ViPyloVectorStore(location=str(tmp_path / "nodes"))
    store.add(nodes)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)

    def ids(retriever: Any, bundle: QueryBundle) -> list[str]:
        return [found.node_id for found in retriever.retrieve(bundle)]

    stock = index.as_retriever(similarity_top_k=3)
    asked = [QueryBundle("hình", image_path=str(path)) for path in pictures]
    assert len({tuple(ids(stock, bundle)) for bundle in asked}) == 1, "the picture makes no difference"
    ours = ViPyloRetriever(store, embedding, similarity_top_k=3, mode="dense")
    for path, node in zip(pictures, nodes, strict=True):
        assert ids(ours, QueryBundle("", image_path=str(path)))[0] == node.node_id
    mixed = ours.retrieve(QueryBundle("hình", image_path=str(pictures[1])))[0].score
    assert mixed != pytest.approx(ours.retrieve(QueryBundle("", image_path=str(pictures[1])))[0].score, abs=1e-4)
    # The stock retriever with our store: refused, where the stock store gives any nodes with score 1.
    with pytest.raises(InputError, match="query_bundle"):
        stock.retrieve(QueryBundle("", image_path=str(pictures[0])))
    assert ids(stock, embedding.query_bundle(image=pictures[2]))[0] == nodes[2].node_id
    store.close()


def test_07_stock_an_image_alone_gives_scroll_order(pictures: list[Path]) -> None:
    qdrant = pytest.importorskip("llama_index.vector_stores.qdrant", reason="the stock Qdrant store is not installed")
    from qdrant_client import QdrantClient

    store = qdrant.QdrantVectorStore("c", client=QdrantClient(":memory:"))
    store.add([TextNode(text=text, embedding=[1.0, 0.0, 0.0]) for text in "abc"])
    index = VectorStoreIndex.from_vector_store(store, embed_model=LengthEmbedding())
    found = index.as_retriever(similarity_top_k=3).retrieve(QueryBundle("", image_path=str(pictures[0])))
    assert [node.score for node in found] == [1.0, 1.0, 1.0]


def test_08_the_cache_knows_model_role_and_image(
    embedding: ViPyloEmbedding, tiny_checkpoint: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    stock = LengthEmbedding(embeddings_cache=SimpleKVStore())
    assert stock.get_text_embedding("câu hỏi") == stock.get_query_embedding("câu hỏi") == [1.0, 7.0, 0.0]
    assert LengthEmbedding().get_query_embedding("câu hỏi") == [1.0, 7.0, 1.0], "the query has another vector"

    from tests.tiny_qwen import write_tiny_checkpoint

    cache = SimpleKVStore()
    other = str(write_tiny_checkpoint(tmp_path / "other", seed=1))
    first, second = (
        ViPyloEmbedding(model_name=name, device="cpu", embeddings_cache=cache) for name in (str(tiny_checkpoint), other)
    )
    vectors = [model.get_text_embedding("câu hỏi") for model in (first, second)]
    assert not np.allclose(*vectors, atol=1e-3)
    for model in (first, second):
        model.get_query_embedding("câu hỏi")
        model.get_text_embedding_batch(["câu hỏi", "khác"])
        model(picture_pages(pictures))
        model.get_image_embedding_batch([str(pictures[0])])
    # Of each model: two documents, one query, three pictures; nothing by raw text.
    assert len(cache.get_all("vipylo_embeddings")) == 12 and not cache.get_all("embeddings")
    assert first.get_text_embedding("câu hỏi") == vectors[0]


def test_08_what_is_in_the_cache_is_not_embedded_again(tiny_checkpoint: Path, pictures: list[Path]) -> None:
    cache = SimpleKVStore()
    model = ViPyloEmbedding(model_name=str(tiny_checkpoint), device="cpu", embeddings_cache=cache)
    vectors = [node.embedding for node in model([*picture_pages(pictures), *picture_pages(pictures[:1])])]
    marked = {"vector": [0.0] * 1024}
    for key in cache.get_all("vipylo_embeddings"):
        cache.put(key, marked, "vipylo_embeddings")
    again = ViPyloEmbedding(model_name=str(tiny_checkpoint), device="cpu", embeddings_cache=cache)
    assert (
        vectors[0] == vectors[3] and [node.embedding for node in again(picture_pages(pictures))] == [[0.0] * 1024] * 3
    )
    assert again.query_bundle(image=pictures[0]).embedding != [0.0] * 1024, "a query is no document"


class SessionEmbedding(BaseEmbedding):
    """A stock embedding around an ONNX session, as LlamaIndex's own of ONNX models: such a session has no pickle."""

    _session: Any = PrivateAttr()

    def __init__(self, file: str, **fields: Any) -> None:
        import onnxruntime

        super().__init__(model_name=file, **fields)
        self._session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def _get_text_embedding(self, text: str) -> list[float]:
        letters = np.zeros((3, 4, 5), dtype=np.float32)
        letters.flat[[ord(letter) % letters.size for letter in text]] += 1
        return self._session.run(None, {self._session.get_inputs()[0].name: letters})[0].ravel().tolist()

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def test_19_a_worker_process_has_the_model(embedding: ViPyloEmbedding) -> None:
    examples = pytest.importorskip("onnxruntime.datasets", reason="the stock half needs onnxruntime")
    stock = SessionEmbedding(examples.get_example("sigmoid.onnx"))
    assert max(stock.get_text_embedding("chữ")) > 0.7
    with pytest.raises(AttributeError, match="_session"):
        pickle.loads(pickle.dumps(stock)).get_text_embedding("chữ")
    vector = ViPyloEmbedding.over(embedding.embedder).get_text_embedding("chữ")
    sent = pickle.loads(pickle.dumps(ViPyloEmbedding.over(embedding.embedder, device="cpu")))
    assert np.allclose(sent.get_text_embedding("chữ"), vector, atol=1e-6)


@pytest.mark.slow
def test_19_a_pipeline_with_two_workers(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    done = IngestionPipeline(transformations=[embedding]).run(nodes=picture_pages(pictures), num_workers=2)
    expected = {node.node_id: node.embedding for node in embedding(picture_pages(pictures))}
    assert {node.node_id for node in done} == set(expected)
    for node in done:
        assert np.allclose(node.embedding, expected[node.node_id], atol=1e-5)
