"""The two-hop example as it is run, on the starter: what its table says, and that its questions are what they claim."""

from pathlib import Path

import pytest
from rich.console import Console

from connectors.stores.lexical import document_tokens, tokens
from examples.two_hop import Outcome, run
from examples.two_hop_asking import FIRST, found, shares_words
from examples.two_hop_documents import GROUPS, Case, Group, cases
from examples.two_hop_weights import tune
from vipylo_rag import MultimodalIndex


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-hop") / "made"


@pytest.fixture(scope="module")
def printed() -> Console:
    return Console(record=True, width=150)


@pytest.fixture(scope="module")
def outcome(folder: Path, printed: Console) -> Outcome:
    return run(folder, printed)


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestTable:
    def test_the_graph_finds_at_least_twice_as_many_as_any_plain_search(self, outcome: Outcome) -> None:
        assert outcome.pages >= 150
        for split, questions, least in (("test", 45, 36), ("dev", 18, 14)):
            by_graph = outcome.ranks("graph", split=split)
            assert len(by_graph) == questions
            for mode in ("hybrid", "dense", "lexical"):
                plain = found(outcome.ranks(mode, split=split))
                assert found(by_graph) >= 2 * plain and found(by_graph) >= least, (mode, plain, found(by_graph))
        for language in ("vi", "en", "zh"):
            some = [one.ranks["graph"] for one in outcome.asked if _is_test(one.case, language)]
            assert found(some) >= 11 and found(some, 3) >= 9, f"{language}: {some}"

    def test_questions_that_a_page_answers_directly_lose_little(self, outcome: Outcome) -> None:
        for split in ("test", "dev"):
            plain, by_graph = (outcome.ranks(mode, kind="one-hop", split=split) for mode in ("hybrid", "graph"))
            assert len(plain) + (split == "dev") * 18 >= 30
            assert found(by_graph) >= found(plain) - 1

    def test_found_answers_are_reached_through_the_entity_of_their_case(self, outcome: Outcome) -> None:
        through = [one for one in outcome.asked if one.case.kind == "two-hop" and (one.ranks["graph"] or 99) <= FIRST]
        linked = [one for one in through if _link(one.case.group, one.case.question) in one.path]
        assert len(linked) >= 0.8 * len(through), [(one.case.question, one.path) for one in through]

    def test_no_question_shares_a_word_with_its_answer_but_each_with_the_page_it_describes(
        self, outcome: Outcome, folder: Path
    ) -> None:
        with MultimodalIndex.open(folder / "index", create=False) as index:
            texts = {(page.payload["name"], page.payload["page"]): page.payload["text"] for page in index.pages()}
        for case in cases():
            answer = texts[case.answer.name, case.answer.page]
            shared = set(tokens(case.question)) & set(document_tokens(answer))
            assert (case.kind == "two-hop") == (not shared) == (not shares_words(case.question, answer)), shared
            assert shares_words(case.question, texts[case.asked.name, case.asked.page])

    def test_a_drawing_leads_to_the_parts_list_of_what_it_shows(self, outcome: Outcome) -> None:
        rank, dense = outcome.picture_ranks["graph"], outcome.picture_ranks["dense"]
        assert rank is not None and rank <= FIRST and (dense is None or dense > FIRST)
        assert "KX-7750-B" in outcome.picture_path and outcome.picture_path.endswith("pump-parts.pdf, page 1")

    def test_the_tables_are_printed(self, outcome: Outcome, printed: Console) -> None:
        said = printed.export_text()
        assert "two-hop questions (test)" in said and "two-hop questions (dev)" in said and "s in all" in said
        plain = outcome.ranks("hybrid")
        assert f"45          {found(plain, 3)}, {found(plain)} " in said

    def test_tuning_goes_over_the_development_questions_alone(self, outcome: Outcome, folder: Path) -> None:
        console = Console(record=True, width=100)
        tune(folder, console)
        said = console.export_text()
        as_they_are = next(line for line in said.splitlines() if "as they are" in line).split()
        assert int(as_they_are[4]) == found(outcome.ranks("graph", split="dev"))


def test_the_splits_have_no_template_and_no_entity_in_common() -> None:
    for one in GROUPS:
        for other in GROUPS:
            if one.split != other.split:
                assert one.question != other.question and one.company != other.company
                assert {row.link for row in one.rows}.isdisjoint(row.link for row in other.rows)
    asked = [case for case in cases() if case.kind == "two-hop"]
    assert len(asked) >= 40 and {case.group.language for case in asked} == {"vi", "en", "zh"}
    assert {case.group.linked_by for case in asked} == {"code", "name", "date"}
    assert sum(case.kind == "one-hop" for case in cases()) >= 20


def _is_test(case: Case, language: str) -> bool:
    return (case.kind, case.split, case.group.language) == ("two-hop", "test", language)


def _link(group: Group, question: str) -> str:
    (row,) = [row for row in group.rows if row.asked and group.question.format_map(row.slots) == question]
    return row.link
