"""The rerank stage: callables and LlamaIndex postprocessors, in every kind of search and answer; what they do wrong."""

import asyncio
import dataclasses
import json
import pickle
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.postprocessor import LLMRerank, LongContextReorder, SimilarityPostprocessor
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from PIL import Image

from connectors.errors import LLMError
from connectors.page import source_id
from embedder.errors import InputError
from tests.llm_server import LLMServer, Reply
from vipylo_rag import MultimodalIndex
from vipylo_rag.answer import AskedPages
from vipylo_rag.cli import main
from vipylo_rag.errors import RerankError
from vipylo_rag.graph.elements import PathStep
from vipylo_rag.llm import load_llm
from vipylo_rag.query import Query, SearchRequest
from vipylo_rag.rerank import load_rerank, node_of, reranked
from vipylo_rag.search import Hit


def backwards(hits: list[Hit]) -> list[Hit]:
    return hits[::-1]


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


@pytest.fixture(scope="module")
def shared(filled_directory: Path, tiny_embedder: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A filled index that these tests leave as it is."""
    copy = shutil.copytree(filled_directory, tmp_path_factory.mktemp("rerank") / "index")
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as opened:
        yield opened


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_a_callable_orders_drops_and_rescores(shared: MultimodalIndex, mode: Any) -> None:
    given: list[Hit] = []

    def some_backwards(hits: list[Hit]) -> list[Hit]:
        given[:] = hits
        return hits[4:1:-1]

    found = shared.search("số", top_k=9, mode=mode, rerank=some_backwards, candidates=9)
    assert len(given) > 5 and found == [given[4], given[3], given[2]]

    def scored(hits: list[Hit]) -> list[Hit]:
        return [dataclasses.replace(hit, score=np.float32(rank)) for rank, hit in enumerate(hits)]

    found = shared.search("số", top_k=2, mode=mode, rerank=scored)
    assert [hit.score for hit in found] == [0.0, 1.0] and all(type(hit.score) is float for hit in found)
    assert [hit.asked.query.words for hit in found if hit.asked and hit.asked.query] == ["số", "số"]


@pytest.mark.parametrize(("top_k", "candidates", "given"), [(2, 5, 5), (5, 2, 5), (3, 50, 11)])
def test_the_reranker_gets_the_candidates_and_the_caller_top_k(
    shared: MultimodalIndex, top_k: int, candidates: int, given: int
) -> None:
    seen: list[int] = []

    def count(hits: list[Hit]) -> list[Hit]:
        seen.append(len(hits))
        hits.clear()  # its own list
        return []

    assert shared.search("số", mode="dense", top_k=top_k, candidates=candidates, rerank=count) == []
    found = shared.search("số", mode="dense", top_k=top_k, candidates=candidates, rerank=backwards)
    assert (seen, len(found)) == ([given], top_k)


def foreign(hits: list[Hit]) -> list[Hit]:
    return [dataclasses.replace(hits[0], id="another")]


def twice(hits: list[Hit]) -> list[Hit]:
    return [*hits, hits[0]]


def wrong_thing(hits: list[Hit]) -> Any:
    return [hit.id for hit in hits]


def in_place(hits: list[Hit]) -> Any:
    hits.sort(key=lambda hit: hit.page)


def not_a_number(hits: list[Hit]) -> Any:
    return [dataclasses.replace(hits[0], score=float("nan"))]


def raises(hits: list[Hit]) -> Any:
    raise KeyError("year")


@pytest.mark.parametrize(
    ("rerank", "message"),
    [
        (foreign, r"the reranker foreign gave back a hit that it was not given: \S+, page \d"),
        (twice, r"the reranker twice gave back a hit twice: \S+, page \d"),
        (wrong_thing, "the reranker wrong_thing gave back a str among the hits"),
        (in_place, "the reranker in_place gave back nothing: it must return the hits"),
        (not_a_number, r"the reranker not_a_number gave \S+, page \d, the score nan"),
        (lambda hits: "hits", "lambda> gave back a str instead of hits"),
        (lambda hits: 7, "lambda> gave back a int instead of hits"),
        (raises, r"the reranker raises failed \(KeyError: 'year'\)"),
    ],
)
def test_what_a_reranker_does_wrong_is_named(shared: MultimodalIndex, rerank: Any, message: str) -> None:
    with pytest.raises(RerankError, match=message):
        shared.search("số", mode="dense", rerank=rerank)


def test_one_bad_reranker_costs_its_own_row(shared: MultimodalIndex) -> None:
    good, bad, other = shared.search_many(
        [SearchRequest("số"), SearchRequest("số", rerank=raises), SearchRequest("số", rerank=backwards, top_k=11)]
    )
    assert isinstance(bad, RerankError) and isinstance(bad.__cause__, KeyError)
    assert isinstance(good, list) and isinstance(other, list) and set(ids(good)) <= set(ids(other))


def test_errors_of_ours_come_through(shared: MultimodalIndex) -> None:
    def refuse(hits: list[Hit]) -> list[Hit]:
        raise LLMError("no model today")

    with pytest.raises(LLMError, match="no model today"):
        shared.search("số", mode="dense", rerank=refuse)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rerank": "tokens"}, "rerank='tokens' is neither a callable"),
        ({"rerank": backwards, "candidates": 0}, "candidates=0"),
    ],
)
def test_bad_arguments_are_named(shared: MultimodalIndex, arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shared.search("số", mode="dense", **arguments)
    with pytest.raises(InputError, match="there is no reranker 'magic': there is tokens"):
        load_rerank("magic")


def test_without_hits_nobody_is_asked(shared: MultimodalIndex) -> None:
    assert shared.search("số", mode="dense", where={"name": "nowhere.pdf"}, rerank=raises) == []


def test_a_reranker_may_ask_the_index_while_a_writer_waits(shared: MultimodalIndex) -> None:
    def asks(hits: list[Hit]) -> list[Hit]:
        entered = threading.Event()

        def write() -> None:
            with shared.turnstile.alone():
                entered.set()

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        assert entered.wait(10), "the writer waits for the reranker"
        writer.join()
        return [dataclasses.replace(hit, score=shared.page(hit.id).page) for hit in hits]

    assert all(hit.score == hit.page for hit in shared.search("số", mode="dense", rerank=asks))


def test_graph_hits_keep_their_path(shared: MultimodalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    path = (PathStep("page", "a", "", "n1", "n1"), PathStep("page", "b", "NEXT", "n2", "n2"))
    hits = [dataclasses.replace(hit, path=path) for hit in shared.search("số", mode="dense", top_k=4)]
    monkeypatch.setattr(shared, "_by_graph", lambda prepared, vector: list(hits))
    for rerank in (backwards, LongContextReorder()):
        found = shared.search("số", mode="graph", rerank=rerank, top_k=3)  # type: ignore[arg-type]
        assert len(found) == 3 and all(hit.path == path for hit in found)


class Sees(BaseNodePostprocessor):
    """Runs a test's function."""

    function: Callable[[list[NodeWithScore], QueryBundle], list[NodeWithScore]]

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle is not None
        return self.function(nodes, query_bundle)


def test_a_postprocessor_gets_whole_pages_and_the_query(shared: MultimodalIndex) -> None:
    bundles: list[QueryBundle] = []

    def look(nodes: list[NodeWithScore], bundle: QueryBundle) -> list[NodeWithScore]:
        bundles.append(bundle)
        assert bundle.query_str == "số" and bundle.image_path is not None
        with Image.open(bundle.image_path) as picture:
            assert picture.size == (60, 50) and picture.getpixel((5, 5)) == (255, 0, 0)
        for node in nodes:
            (hit,) = (hit for hit in plain if hit.id == node.node.node_id)
            assert node.score == hit.score and node.node.get_content() == hit.text
            assert (node.node.metadata["source"], node.node.metadata["page"]) == (hit.source, hit.page)
            assert node.node.metadata["content_sha256"] == hit.metadata["content_sha256"]
            resource = node.node.image_resource  # type: ignore[attr-defined]
            assert (resource.path if resource else None) == hit.image_path
        return nodes

    picture = Image.new("CMYK", (60, 50), (0, 255, 255, 0))
    plain = shared.search("số", picture, mode="dense", top_k=11)
    assert any(hit.image_path and hit.text for hit in plain)
    assert ids(shared.search("số", picture, mode="dense", top_k=11, rerank=Sees(function=look))) == ids(plain)
    assert not Path(str(bundles[0].image_path)).exists()


def test_a_tenants_pages_are_nodes_of_the_tenants_documents(shared: MultimodalIndex) -> None:
    (hit,) = shared.search("số", mode="dense", top_k=1)
    assert node_of(hit, "one").source_node.node_id == source_id(hit.source, "one")  # type: ignore[union-attr]
    assert node_of(hit, "one").node_id == hit.id


def test_stock_postprocessors(shared: MultimodalIndex) -> None:
    plain = shared.search("số", top_k=9, mode="dense")
    cut = SimilarityPostprocessor(similarity_cutoff=plain[3].score)
    assert ids(shared.search("số", top_k=9, mode="dense", rerank=cut, candidates=9)) == ids(plain)[:4]
    found = shared.search("số", top_k=9, mode="dense", rerank=LongContextReorder(), candidates=9)
    assert set(ids(found)) == set(ids(plain)) and ids(found)[-1] in ids(plain)[:2] and ids(found) != ids(plain)
    assert {hit.id: hit.score for hit in found} == {hit.id: hit.score for hit in plain}


def test_new_doubled_and_unscored_nodes(shared: MultimodalIndex) -> None:
    plain = shared.search("số", mode="dense", top_k=3)

    def split(nodes: list[NodeWithScore], bundle: QueryBundle) -> list[NodeWithScore]:
        made = [TextNode(text=node.node.get_content()[:3], metadata=dict(node.node.metadata)) for node in nodes]
        parts = [
            NodeWithScore(node=made[1], score=5),
            NodeWithScore(node=made[0]),
            NodeWithScore(node=made[1], score=9),
        ]
        return [*parts, nodes[1]]

    found = shared.search("số", mode="dense", top_k=3, candidates=3, rerank=Sees(function=split))
    assert [(hit.id, hit.score) for hit in found] == [(plain[1].id, 5.0), (plain[0].id, plain[0].score)]
    for metadata in ({}, {"source": [], "page": 1}, {"source": "elsewhere.pdf", "page": 1}):
        stranger = NodeWithScore(node=TextNode(text="a text\nof nobody", metadata=metadata))
        with pytest.raises(RerankError, match=r"Sees gave back a node of no page .*'a text of nobody'"):
            shared.search("số", mode="dense", rerank=Sees(function=lambda nodes, bundle, one=stranger: [one]))


def test_a_postprocessor_that_fails_is_named(shared: MultimodalIndex) -> None:
    with pytest.raises(RerankError, match=r"the reranker Sees failed \(AttributeError: .*'no_such'"):
        shared.search("số", mode="dense", rerank=Sees(function=lambda nodes, bundle: nodes.no_such))  # type: ignore[attr-defined]


def whole_answer(text: str) -> Reply:
    """An answer that is not streamed, as rerankers ask for it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    said = {"id": "1", "object": "chat.completion", "created": 0, "model": "test-vl", "choices": [choice]}
    return Reply(body=json.dumps(said).encode())


def test_a_language_model_reorders(shared: MultimodalIndex) -> None:
    with LLMServer().running() as server:
        server.replies = [whole_answer("Doc: 3, Relevance: 9\nDoc: 1, Relevance: 4\n")]
        rerank = LLMRerank(llm=load_llm(server.url), choice_batch_size=5, top_n=4)
        plain = shared.search("số", mode="dense", top_k=5)
        found = shared.search("số", mode="dense", top_k=5, candidates=5, rerank=rerank)
        assert [(hit.id, hit.score) for hit in found] == [(plain[2].id, 9.0), (plain[0].id, 4.0)]
        asked = str(server.asked[0].body)
        assert "số" in asked and all(hit.text.strip()[:10] in asked for hit in plain if hit.text)
        server.replies = [whole_answer("no idea")]
        assert shared.search("số", mode="dense", top_k=5, candidates=5, rerank=rerank) == []
        server.replies = [Reply(status=401)]
        with pytest.raises(RerankError, match=r"the reranker LLMRerank failed \(AuthenticationError: .*401"):
            shared.search("số", mode="dense", top_k=5, candidates=5, rerank=rerank)


def test_answers_are_made_from_the_reranked_pages(shared: MultimodalIndex) -> None:
    last = ids(shared.search("số", mode="dense", top_k=11))[::-1][:2]
    options: dict[str, Any] = {"top_k": 2, "candidates": 11, "mode": "dense", "rerank": backwards}
    assert ids(list(shared.ask("số", **options).pages)) == last
    (asked,) = (event for event in shared.ask_stream("số", **options) if isinstance(event, AskedPages))
    assert ids(list(asked.pages)) == last

    async def awaited() -> list[str]:
        events = [event async for event in shared.ask_astream("số", **options)]
        return [id_ for event in events if isinstance(event, AskedPages) for id_ in ids(list(event.pages))]

    assert asyncio.run(awaited()) == last
    with pytest.raises(RerankError, match="raises failed"):
        shared.ask("số", rerank=raises)


def test_of_a_copy_only_the_score_is_taken(shared: MultimodalIndex) -> None:
    """Another process gives back hits that have forgotten their query; nobody gives a page another text."""

    def copies(hits: list[Hit]) -> list[Hit]:
        sent = [pickle.loads(pickle.dumps(hit)) for hit in hits]
        return [dataclasses.replace(hit, score=2.0, text="forged", source="elsewhere") for hit in sent]

    plain = shared.search("hợp đồng", top_k=3, candidates=3, rerank=lambda hits: hits)
    found = shared.search("hợp đồng", top_k=3, candidates=3, rerank=copies)
    assert [(hit.id, hit.source, hit.text) for hit in found] == [(hit.id, hit.source, hit.text) for hit in plain]
    assert all(hit.score == 2.0 and hit.asked is not None and hit.asked.query is not None for hit in found)


def test_reranked_alone(shared: MultimodalIndex) -> None:
    hits = shared.search("số", mode="dense", top_k=3)
    assert reranked(backwards, Query.of("số", None, 3, "dense"), hits) == hits[::-1]
    assert reranked(raises, Query.of("số", None, 3, "dense"), []) == []


@pytest.mark.parametrize("command", ["search", "ask"])
def test_the_command_line(
    command: str, filled: MultimodalIndex, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = str(filled.directory)
    filled.close()

    def run(*options: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vipylo", command, "hợp đồng thuê nhà", "--index", directory, *options])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    code, out, _ = run("--rerank", "tokens", "--json", "-k", "3")
    assert code == 0 and "doc0.pdf" in out
    for options, message in (
        (("--rerank", "magic"), "error: there is no reranker 'magic': there is tokens\n"),
        (("--rerank", "tokens", "--candidates", "0"), "error: candidates=0: give the reranker at least 1 hit\n"),
    ):
        assert run(*options) == (2, "", message)
