"""LangChain over our stores: text and pictures in one collection, its own retriever, filters, async."""

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import TextNode
from PIL import Image

from connectors.errors import FilterError
from connectors.llama_index import ViPyloEmbedding, ViPyloVectorStore
from embedder import InputError
from embedder.errors import PluginError

pytest.importorskip("langchain_core")
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from connectors.langchain import ViPyloEmbeddings, ViPyloLangChainStore

TEXTS = ["hóa đơn tiền điện", "hợp đồng thuê nhà", "biên bản họp"]


@pytest.fixture(scope="module")
def embedding(tiny_checkpoint: Path) -> ViPyloEmbeddings:
    return ViPyloEmbeddings(str(tiny_checkpoint), device="cpu")


@pytest.fixture
def store(tmp_path: Path, embedding: ViPyloEmbeddings) -> Iterator[ViPyloLangChainStore]:
    with ViPyloVectorStore(location=str(tmp_path / "nodes")) as opened:
        metadatas = [{"year": 2022 + row} for row in range(3)]
        yield ViPyloLangChainStore.from_texts(TEXTS, embedding, metadatas, ids=["a", "b", "c"], store=opened)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.png" for name in ("red", "green")]
    for path in paths:
        Image.new("RGB", (90, 60), path.stem).save(path)
    return paths


def test_embeddings(embedding: ViPyloEmbeddings, pictures: list[Path]) -> None:
    assert np.allclose(embedding.embed_documents(TEXTS)[1], embedding.embed_query(TEXTS[1]), atol=1e-5)
    images = embedding.embed_images([str(path) for path in pictures])
    assert not np.allclose(images[0], images[1], atol=1e-2)
    assert np.allclose(images[0], embedding.embed_mixed_query(image=pictures[0]), atol=1e-5)

    async def later() -> tuple[list, list, list]:
        paths = [str(path) for path in pictures]
        return (
            await embedding.aembed_documents(TEXTS),
            await embedding.aembed_query(TEXTS[0]),
            await embedding.aembed_images(paths),
        )

    texts, query, again = asyncio.run(later())
    assert np.allclose(texts[0], query, atol=1e-5) and np.allclose(again, images, atol=1e-5)


def test_search_modes_and_filters(store: ViPyloLangChainStore) -> None:
    assert [found.id for found in store.similarity_search("hợp đồng", k=1)] == ["b"]
    document, score = store.similarity_search_with_score(TEXTS[2], k=1, mode="dense")[0]
    assert (document.page_content, document.metadata) == (TEXTS[2], {"year": 2024})
    assert score == pytest.approx(1, abs=1e-4)
    assert [found.id for found in store.similarity_search("họp", mode="lexical")] == ["c"]
    late = store.similarity_search(TEXTS[0], filter={"year": {"gte": 2023}})
    assert {found.id for found in late} == {"b", "c"}
    vector = store.embeddings.embed_query(TEXTS[0])
    assert store.similarity_search_by_vector(vector, k=1)[0].id == "a"
    with pytest.raises(FilterError, match="unknown operator"):
        store.similarity_search("x", filter={"year": {"like": 2023}})
    with pytest.raises(InputError, match="relevance scores need mode='dense'"):
        store.similarity_search_with_relevance_scores("x")
    store.mode = "dense"
    assert store.similarity_search_with_relevance_scores(TEXTS[0], k=1)[0][1] == pytest.approx(1, abs=1e-4)


def test_pictures_in_the_same_collection(store: ViPyloLangChainStore, pictures: list[Path]) -> None:
    store.add_images(pictures, [{"year": 2030}, {"year": 2031}], ids=["red", "green"])
    best, score = store.similarity_search_by_image(pictures[1], k=1)[0]
    assert best.id == "green" and score == pytest.approx(1, abs=1e-4)
    assert best.metadata["year"] == 2031
    kept = Path(best.metadata["image_path"])
    assert kept.read_bytes() == pictures[1].read_bytes() and kept != pictures[1]
    both = Document(page_content="xe đỏ", metadata={"image_path": str(pictures[0])})
    mixed = store.add_documents([both])[0]
    assert store.similarity_search_by_image(pictures[0], "xe đỏ", k=1)[0][0].id == mixed
    assert asyncio.run(store.asimilarity_search_by_image(pictures[0], k=1))[0][0].id == "red"
    assert store.similarity_search("xe", mode="lexical")[0].id == mixed


def test_mmr_prefers_variety(store: ViPyloLangChainStore) -> None:
    store.add_texts([TEXTS[0] + "."], [{"year": 2022}], ids=["twin"])
    alike = [found.id for found in store.max_marginal_relevance_search(TEXTS[0], k=2, lambda_mult=1)]
    assert alike == ["a", "twin"]
    varied = [found.id for found in store.max_marginal_relevance_search(TEXTS[0], k=2, lambda_mult=0.1)]
    assert varied[0] == "a" and varied[1] in ("b", "c")
    vector = store.embeddings.embed_query(TEXTS[0])
    assert [found.id for found in store.max_marginal_relevance_search_by_vector(vector, 2, lambda_mult=0.1)] == varied
    picked = store.max_marginal_relevance_search(TEXTS[0], k=2, fetch_k=2, lambda_mult=0.1)
    assert [found.id for found in picked] == ["a", "twin"], "picked among the two nearest"
    late = {"k": 2, "filter": {"year": 2024}, "lambda_mult": 0.1}
    retriever = store.as_retriever(search_type="mmr", search_kwargs=late)
    assert [found.id for found in asyncio.run(retriever.ainvoke(TEXTS[0]))] == ["c"]
    with pytest.raises(InputError, match="goes from 0"):
        store.max_marginal_relevance_search(TEXTS[0], lambda_mult=2)


def test_only_a_store_s_own_media_are_a_picture(store: ViPyloLangChainStore, pictures: list[Path]) -> None:
    node = TextNode(id_="forged", text="x", metadata={"image_path": str(pictures[0])}, embedding=[1.0] * 1024)
    store.store.add([node])
    assert "image_path" not in store.get_by_ids(["forged"])[0].metadata


def test_get_delete_and_replace(store: ViPyloLangChainStore) -> None:
    assert [found.page_content for found in store.get_by_ids(["c", "x", "a"])] == [TEXTS[2], TEXTS[0]]
    store.add_texts(["khác"], ids=["a"])
    assert store.get_by_ids(["a"])[0].page_content == "khác"
    assert store.delete(["a"]) and store.get_by_ids(["a"]) == []
    assert asyncio.run(store.aget_by_ids(["b"]))[0].id == "b"
    assert asyncio.run(store.adelete()) and store.get_by_ids(["b", "c"]) == []
    with pytest.raises(InputError, match="1 metadatas for 2 documents"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(InputError, match="the sample is empty"):
        store.add_texts([""])


def test_as_retriever_in_a_chain(store: ViPyloLangChainStore) -> None:
    retriever = store.as_retriever(search_kwargs={"k": 1, "filter": {"year": 2023}})
    chain = retriever | RunnableLambda(lambda found: found[0].page_content)
    assert chain.invoke("hợp đồng") == TEXTS[1]
    assert asyncio.run(chain.ainvoke("hóa đơn")) == TEXTS[1]
    later = asyncio.run(store.aadd_texts(["thêm vào sau"], ids=["late"]))
    assert later == ["late"]


def test_llama_index_finds_what_langchain_put_in(store: ViPyloLangChainStore) -> None:
    nodes = store.store.get_nodes(["a"])
    assert nodes[0].get_content() == TEXTS[0] and nodes[0].metadata == {"year": 2022}
    assert isinstance(store.embeddings.model, ViPyloEmbedding)


def test_without_langchain_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.documents", None)
    monkeypatch.delitem(sys.modules, "connectors.langchain")
    with pytest.raises(PluginError, match=r'pip install "vipylo-rag\[langchain\]"'):
        importlib.import_module("connectors.langchain")
