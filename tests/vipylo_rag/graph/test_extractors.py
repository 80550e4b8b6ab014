"""Extractors by name, what identifies them, and a language model's relations over real HTTP."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.graph_stores.types import KG_NODES_KEY, KG_RELATIONS_KEY
from llama_index.core.llms import MockLLM
from llama_index.core.schema import BaseNode, MediaResource, Node, TransformComponent

from connectors.errors import LLMError
from embedder.errors import InputError, PluginError
from tests.llm_server import Asked, LLMServer, Reply
from vipylo_rag.graph.extractors import extractor_identity, load_extractor
from vipylo_rag.graph.llm_extractor import LanguageModelExtractor, read_relations
from vipylo_rag.graph.rules import RuleExtractor
from vipylo_rag.llm import load_llm

TEXT = "Ông Nguyễn Văn An của Công ty TNHH Minh Long ký hợp đồng HD-2024/017 ngày 5 tháng 3 năm 2024."
GOOD = [
    {
        "head": "Nguyễn Văn An",
        "head_type": "Person",
        "relation": "works for",
        "tail": "Công ty TNHH Minh Long",
        "tail_type": "Legal Org",
    },
    {"head": "Nguyễn Văn An", "relation": "SIGNED ON", "tail": "ngày 5 tháng 3 năm 2024", "tail_type": "DATE"},
]


@pytest.fixture
def server() -> Iterator[LLMServer]:
    with LLMServer().running() as running:
        yield running


def page(text: str = TEXT) -> Node:
    return Node(text_resource=MediaResource(text=text), metadata={"source": "secret/place.pdf"})


def found(node: BaseNode) -> tuple[dict[str, str], set[tuple[str, str, str]]]:
    """Labels by name, and relations between entities."""
    said = {(r.source_id, r.label, r.target_id) for r in node.metadata[KG_RELATIONS_KEY] if r.label != "MENTIONS"}
    return {one.name: one.label for one in node.metadata[KG_NODES_KEY]}, said


class Other(TransformComponent):
    """A third party's extractor."""

    depth: int = 1
    api_key: str = "sk-1"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[BaseNode]:
        return list(nodes)


def test_names_and_instances() -> None:
    assert isinstance(load_extractor(), RuleExtractor)
    assert isinstance(load_extractor("rules"), RuleExtractor)
    assert isinstance(load_extractor(None, MockLLM()), LanguageModelExtractor)
    other = Other()
    assert load_extractor(other) is other
    with pytest.raises(PluginError, match=r"no extractor named 'magic'.*rules"):
        load_extractor("magic")
    with pytest.raises(InputError, match="needs a language model"):
        load_extractor("llm")
    with pytest.raises(InputError, match="takes no language model"):
        load_extractor("rules", MockLLM())


def test_the_identity_changes_with_what_is_found_and_with_nothing_else(server: LLMServer) -> None:
    assert extractor_identity(RuleExtractor()) == extractor_identity(load_extractor("rules"))
    assert extractor_identity(RuleExtractor()) != extractor_identity(RuleExtractor(labels=("date",)))
    assert extractor_identity(Other()) == extractor_identity(Other(api_key="sk-2"))
    assert extractor_identity(Other()) != extractor_identity(Other(depth=2))
    first = extractor_identity(LanguageModelExtractor(load_llm(server.url, "a", "key-1")))
    assert first == extractor_identity(LanguageModelExtractor(load_llm(server.url, "a", "key-2"), num_workers=1))
    assert first != extractor_identity(LanguageModelExtractor(load_llm(server.url, "b", "key-1")))
    assert first != extractor_identity(LanguageModelExtractor(load_llm(server.url, "a"), max_triplets_per_chunk=3))


def test_names_and_relations_of_a_model_beside_the_rules(server: LLMServer) -> None:
    server.says("```json\n", json.dumps(GOOD, ensure_ascii=False), "\n```")
    node = page()
    assert load_extractor("llm", load_llm(server.url))([node]) == [node]
    entities, relations = found(node)
    assert entities["Nguyễn Văn An"] == "person" and entities["Công ty TNHH Minh Long"] == "legal_org"
    assert entities["2024-03-05"] == "date" and entities["HD-2024/017"] == "code"
    assert relations == {
        ("Nguyễn Văn An", "WORKS_FOR", "Công ty TNHH Minh Long"),
        ("Nguyễn Văn An", "SIGNED_ON", "2024-03-05"),
    }
    person = next(one for one in node.metadata[KG_NODES_KEY] if one.name == "Nguyễn Văn An")
    assert person.properties == {"surface": "Nguyễn Văn An", "count": 1, "context": TEXT}
    assert TEXT in server.asked[0].user and "secret/place.pdf" not in server.asked[0].user


def test_it_works_within_a_running_loop_as_in_a_notebook(server: LLMServer) -> None:
    server.says(json.dumps(GOOD))
    extractor = load_extractor("llm", load_llm(server.url))

    async def cell() -> list[BaseNode]:
        return list(extractor([page()]))

    assert found(asyncio.run(cell())[0])[1]


def test_a_garbage_answer_costs_that_pages_relations_alone(server: LLMServer) -> None:
    def answer(asked: Asked) -> Reply:
        if "trang hỏng" in asked.user:
            return Reply(("I am sorry, I cannot ", "{do} that [1, 2"))
        return Reply((json.dumps(GOOD),))

    server.answer = answer
    nodes = [page(), page("Đây là trang hỏng, số HD-2024/018."), page()]
    load_extractor("llm", load_llm(server.url))(nodes)
    assert [bool(found(node)[1]) for node in nodes] == [True, False, True]
    assert "HD-2024/018" in found(nodes[1])[0]


def test_a_refused_page_keeps_what_rules_find_and_all_refused_is_an_error(server: LLMServer) -> None:
    server.answer = lambda asked: Reply(status=400) if "PX-999" in asked.user else Reply((json.dumps(GOOD),))
    extractor = load_extractor("llm", load_llm(server.url))
    nodes = [page("Mã PX-999 bị chặn."), page()]
    extractor(nodes)
    assert "PX-999" in found(nodes[0])[0] and found(nodes[1])[1]
    with pytest.raises(LLMError, match="refused the question"):
        extractor([page("Mã PX-999"), page("PX-999 nữa")])


def test_a_model_that_is_away_or_dies_is_an_error(server: LLMServer) -> None:
    extractor = load_extractor("llm", load_llm(server.url))
    server.says("[{", "}", breaks_after=1)
    with pytest.raises(LLMError, match=r"broke off|before it was complete"):
        extractor([page()])
    server.replies = [Reply(status=401)]
    with pytest.raises(LLMError, match="refuses the key"):
        extractor([page()])


def test_a_page_without_text_asks_nothing(server: LLMServer) -> None:
    nodes = [page(""), page("   \n")]
    load_extractor("llm", load_llm(server.url))(nodes)
    assert not server.asked and [found(node) for node in nodes] == [({}, set())] * 2


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (json.dumps(GOOD), 2),
        (json.dumps({"relations": GOOD}), 2),
        (json.dumps(GOOD)[:-40], 1),
        ("<think>[{...}]</think>" + json.dumps(GOOD), 2),
        ("[]", 0),
        ("", 0),
        ("nothing", 0),
        ('[{"head": ["a"], "relation": "r", "tail": "b"}, {"head": "a", "relation": "r", "tail": 7}]', 1),
        ('[{"head": "a", "relation": "r", "tail": "A"}]', 0),
        ('{"a":' * 5000, 0),
    ],
)
def test_answers_are_read_as_far_as_they_go(answer: str, count: int) -> None:
    assert len(read_relations(answer)) == count


def test_types_and_relations_of_a_model_have_one_form() -> None:
    ((head, relation, tail),) = read_relations(
        '{"head": "A\\u202eb", "head_type": "page", "relation": "is - part of!", "tail": "Ha\\u0300 No\\u0323\\u0302i"}'
    )
    assert (head.name, head.label, relation.label, tail.name) == ("A b", "entity", "IS_PART_OF", "Hà Nội")
