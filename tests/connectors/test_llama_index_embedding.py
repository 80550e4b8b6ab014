"""ViPyloEmbedding inside stock LlamaIndex: text queries, and nodes whose text and image are embedded together."""

import asyncio
import base64
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.schema import ImageNode, MediaResource, Node, QueryBundle
from PIL import Image

from connectors.llama_index.embedding import ViPyloEmbedding
from embedder import InputError


@pytest.fixture
def embedding(tiny_checkpoint: Path) -> ViPyloEmbedding:
    return ViPyloEmbedding(model_name=str(tiny_checkpoint), device="cpu", embed_batch_size=2)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = []
    for name in ("red", "green", "blue"):
        paths.append(tmp_path / f"{name}.png")
        Image.new("RGB", (90, 60), name).save(paths[-1])
    return paths


def test_settings_with_a_stock_index_and_query_engine(embedding: ViPyloEmbedding, monkeypatch) -> None:
    monkeypatch.setattr(Settings, "_embed_model", None)
    monkeypatch.setattr(Settings, "_llm", None)
    Settings.embed_model = embedding
    Settings.llm = MockLLM()
    texts = ["hợp đồng lao động", "hóa đơn tiền điện", "biên bản họp"]
    index = VectorStoreIndex.from_documents([Document(text=text) for text in texts])
    best = index.as_retriever(similarity_top_k=1).retrieve("hóa đơn tiền điện")[0]
    assert best.node.get_content() == "hóa đơn tiền điện"
    assert best.score == pytest.approx(1.0, abs=1e-4)
    response = index.as_query_engine(similarity_top_k=1).query("biên bản họp")
    assert response.source_nodes[0].node.get_content() == "biên bản họp"
    assert "biên bản họp" in str(response)


def test_a_node_is_embedded_jointly(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    nodes = [
        Node(text_resource=MediaResource(text="đỏ"), image_resource=MediaResource(path=pictures[0])),
        Node(text_resource=MediaResource(text="đỏ"), image_resource=MediaResource(path=pictures[1])),
        Node(text_resource=MediaResource(text="xanh"), image_resource=MediaResource(path=pictures[0])),
        Node(text_resource=MediaResource(text="đỏ")),
        Node(text_resource=MediaResource(text=""), image_resource=MediaResource(path=pictures[0])),
    ]
    vectors = np.array([node.embedding for node in embedding(nodes)])
    cosines = vectors @ vectors.T - 2 * np.eye(len(nodes))
    assert cosines.max() < 0.9999, "text, image and both must all count"
    expected = embedding.embedder.encode(text=["đỏ"], images=[Image.open(pictures[0])], convert_to="numpy")
    assert np.abs(vectors[0] - expected[0]).max() < 1e-5


def test_an_ingestion_pipeline_tells_images_apart(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    from connectors.loaders.image import ImageLoader

    nodes = [node for path in pictures for node in ImageLoader(image_dir=path.parent / "pages").load_data(path)]
    done = IngestionPipeline(transformations=[embedding]).run(nodes=nodes)
    assert len({tuple(np.round(node.embedding, 4)) for node in done}) == 3


def test_old_image_nodes_and_base64(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    buffer = io.BytesIO()
    Image.open(pictures[2]).save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    nodes = embedding([ImageNode(image_path=str(pictures[2])), ImageNode(image=data)])
    assert np.allclose(nodes[0].embedding, nodes[1].embedding, atol=1e-6)


def test_query_bundles_carry_text_and_image(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    nodes = embedding(
        [Node(text_resource=MediaResource(text=""), image_resource=MediaResource(path=p)) for p in pictures]
    )
    for node in nodes:
        node.metadata["file"] = "x"  # stock indexes drop nodes without any content
    index = VectorStoreIndex(nodes=nodes, embed_model=embedding)
    bundle = embedding.query_bundle(image=pictures[1])
    assert isinstance(bundle, QueryBundle)
    best = index.as_retriever(similarity_top_k=1).retrieve(bundle)[0]
    assert best.node.node_id == nodes[1].node_id and best.score == pytest.approx(1.0, abs=1e-4)
    mixed = embedding.query_bundle("đỏ", Image.open(pictures[0])).embedding
    assert not np.allclose(mixed, embedding.query_bundle("đỏ").embedding, atol=1e-3)


def test_images_and_async(embedding: ViPyloEmbedding, pictures: list[Path]) -> None:
    batch = embedding.get_image_embedding_batch([str(path) for path in pictures])
    assert np.allclose(batch[0], embedding.get_image_embedding(str(pictures[0])), atol=1e-5)
    later = asyncio.run(embedding.aget_image_embedding_batch([str(path) for path in pictures]))
    assert np.allclose(batch, later, atol=1e-5)
    texts = asyncio.run(embedding.aget_text_embedding_batch(["a", "b", "c"]))
    assert np.allclose(texts, embedding.get_text_embedding_batch(["a", "b", "c"]), atol=1e-5)
    nodes = [Node(text_resource=MediaResource(text="a")), Node(text_resource=MediaResource(text="b"))]
    asyncio.run(embedding.acall(nodes))
    assert np.allclose([node.embedding for node in nodes], texts[:2], atol=1e-5)


def test_pickle_leaves_the_model_behind(embedding: ViPyloEmbedding) -> None:
    vector = embedding.get_text_embedding("xin chào")
    state = pickle.dumps(embedding)
    assert len(state) < 10_000
    assert np.allclose(pickle.loads(state).get_text_embedding("xin chào"), vector, atol=1e-6)
    assert embedding._embedder is not None


def test_bad_nodes_are_named(embedding: ViPyloEmbedding, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    nodes = [Node(id_="bad-one", text_resource=MediaResource(text=""))]
    with pytest.raises(InputError, match="node bad-one: the sample is empty"):
        embedding(nodes)
    with pytest.raises(Exception, match=r"cut\.png"):
        embedding([Node(image_resource=MediaResource(path=tmp_path / "cut.png"))])
