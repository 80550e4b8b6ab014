"""Search along a graph: what is reached, in which order, by which path, and what never is."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.graph_stores.types import ChunkNode, EntityNode

from connectors.stores.edge import EdgeStore
from connectors.stores.filters import AnyOf, Exists, Filter, Not
from tests.vipylo_rag.graph.hand_made import DIM, HandMade, names, ways
from vipylo_rag.graph.elements import MENTIONS, PAGE, entity_id
from vipylo_rag.graph.spreading import MENTIONS_READ, both, specificity


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    with EdgeStore.open(tmp_path_factory.mktemp("pages") / "store", DIM) as store:
        yield store


@pytest.fixture
def made(store: EdgeStore) -> HandMade:
    if store.count():
        store.delete(where=Exists("tenant"))
    assert not store.count()
    return HandMade(store)


def two_hop(made: HandMade, *, fillers: int = 12, tenant: str = "") -> dict[str, str]:
    """An incident that the question finds, its repair that it does not, and incidents that are alike."""
    pages = {
        "incident": made.page("incident.pdf", "oil leak at the east compressor SC-2041", tenant=tenant),
        "repair": made.page("repair.pdf", "new gasket fitted, SC-2041", tenant=tenant),
    }
    for number in range(fillers):
        name = f"filler{number:02d}.pdf"
        pages[name] = made.page(name, f"oil leak at the pump P-{number}", tenant=tenant)
        made.entity(f"P-{number}", [pages[name]], tenant=tenant)
    made.entity("SC-2041", [pages["incident"], pages["repair"]], tenant=tenant)
    return pages


def test_a_linked_page_comes_before_the_fillers_and_says_its_path(made: HandMade) -> None:
    pages = two_hop(made)
    found = made.search("oil leak east compressor", top_k=5)
    assert names(found)[0] == "incident.pdf" and "repair.pdf" in names(found)[:3]
    (repair,) = [one for one in found if one.point.id == pages["repair"]]
    assert [(s.label, s.name, s.relation, s.page_id) for s in repair.path] == [
        ("page", "incident.pdf, page 1", "", pages["incident"]),
        ("code", "SC-2041", MENTIONS, ""),
        ("page", "repair.pdf, page 1", MENTIONS, pages["repair"]),
    ]
    assert found[0].path == ()
    scores = [one.point.score for one in found]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] <= scores[0] <= 1


def test_an_entity_leads_to_other_documents_first_and_within_one_where_it_leads_nowhere_else(made: HandMade) -> None:
    """The pages of a log name its codes all over; what was done about one stands elsewhere, or nowhere else."""
    incident = made.page("log.pdf", "oil leak at the east compressor SC-2041")
    annex = made.page("log.pdf", "gasket 12 mm, SC-2041", number=9)
    repair = made.page("repair.pdf", "new gasket fitted, SC-2041")
    made.entity("SC-2041", [incident, annex, repair])
    for number in range(12):
        made.page(f"filler{number:02d}.pdf", f"oil leak at the pump P-{number}")

    def scores(where: Filter | None = None) -> dict[str, float]:
        return {one.point.id: one.point.score for one in made.search("oil leak east compressor", where=where, top_k=20)}

    everywhere = scores()
    assert next(iter(everywhere)) == incident and everywhere[repair] > 2 * everywhere[annex] > 0
    for where in (AnyOf("source", ("log.pdf",)), Not(AnyOf("source", ("repair.pdf",)))):
        assert repair not in scores(where) and scores(where)[annex] > 2 * everywhere[annex]
    made.pages.delete([repair])
    made.graph.delete(ids=[repair])
    assert scores()[annex] > 2 * everywhere[annex]


def test_what_no_link_leads_to_is_in_the_order_of_the_direct_search(made: HandMade) -> None:
    for number in range(30):
        made.page(f"{number:02d}.pdf", "oil leak " + "and more " * number)
    made.store_all()
    direct = [point.id for point in made.pages.search(None, "oil leak", top_k=30)]
    assert [one.point.id for one in made.search("oil leak", top_k=30)] == direct


def test_pages_that_are_not_in_the_graph_are_found_directly(made: HandMade) -> None:
    pages = two_hop(made, fillers=2)
    made.graph.delete(ids=[pages["incident"]])
    found = made.search("oil leak east compressor")
    assert names(found)[0] == "incident.pdf" and "repair.pdf" not in names(found)


def test_pages_that_left_the_index_are_neither_found_nor_walked_over(made: HandMade) -> None:
    pages = two_hop(made)
    gone = made.page("gone.pdf", "", stored=False)
    beyond = made.page("beyond.pdf", "nothing of it")
    made.entity("SC-9", [pages["incident"], gone])
    made.entity("SC-10", [gone, beyond])
    assert {"gone.pdf", "beyond.pdf"}.isdisjoint(names(made.search("oil leak east compressor", top_k=50)))


def test_two_page_hops_and_no_more(made: HandMade) -> None:
    pages = two_hop(made, fillers=3)
    third, fourth = made.page("third.pdf", "delivery"), made.page("fourth.pdf", "payment")
    made.entity("DN-3", [pages["repair"], third])
    made.entity("INV-4", [third, fourth])
    found = made.search("oil leak east compressor", top_k=50)
    assert ways(found)["third.pdf"] == [
        "incident.pdf, page 1",
        "SC-2041",
        "repair.pdf, page 1",
        "DN-3",
        "third.pdf, page 1",
    ]
    assert "fourth.pdf" not in names(found)


def test_the_next_page_an_alike_page_and_a_figure_lead_on(made: HandMade) -> None:
    pages = two_hop(made, fillers=3)
    after = made.page("incident.pdf", "continued", number=2)
    alike, unlike = made.page("alike.pdf", "same"), made.page("unlike.pdf", "other")
    shown = made.page("shown.pdf", "drawing")
    figure = made.figure(shown, caption="the gasket")
    made.next(pages["incident"], after)
    made.near(pages["incident"], alike, 0.9)
    made.near(pages["incident"], unlike, -0.5)
    made.entries = [(figure, 0.5)]
    found = {one.point.id: one for one in made.search("oil leak east compressor", top_k=50)}
    assert [step.relation for step in found[after].path] == ["", "NEXT"]
    assert [step.relation for step in found[alike].path] == ["", "NEAR"]
    assert [(s.label, s.name) for s in found[shown].path] == [("figure", "the gasket"), ("page", "shown.pdf, page 1")]
    assert unlike not in found
    assert found[after].point.score > found[alike].point.score


def test_relations_of_a_language_model_lead_from_entity_to_entity(made: HandMade) -> None:
    pages = two_hop(made, fillers=3)
    plant = made.page("plant.pdf", "a page about the supplier")
    supplier = made.entity("Bergmann", [plant], label="SUPPLIER")
    made.link(entity_id("", "SC-2041"), "MADE_BY", supplier, page_id=pages["incident"])
    found = made.search("oil leak east compressor", top_k=50)
    assert ways(found)["plant.pdf"] == ["incident.pdf, page 1", "SC-2041", "Bergmann", "plant.pdf, page 1"]
    relations = [s.relation for one in found if one.point.id == plant for s in one.path]
    assert relations == ["", MENTIONS, "MADE_BY", MENTIONS]


def test_an_entity_nearest_to_the_query_leads_in(made: HandMade) -> None:
    two_hop(made, fillers=3)
    made.entries = [(entity_id("", "SC-2041"), 0.4)]
    found = made.search("hello")
    assert ways(found) == {
        "incident.pdf": ["SC-2041", "incident.pdf, page 1"],
        "repair.pdf": ["SC-2041", "repair.pdf, page 1"],
    }


def test_a_rare_entity_leads_before_a_common_one_and_a_code_before_a_date(made: HandMade) -> None:
    start = made.page("start.pdf", "the question's words")
    ends = {name: made.page(f"{name}.pdf", name) for name in ("rare", "common", "date")}
    crowd = [made.page(f"crowd{n}.pdf", f"crowd {n}") for n in range(20)]
    made.entity("R-1", [start, ends["rare"]])
    made.entity("C-1", [start, ends["common"], *crowd])
    made.entity("2026-01-02", [start, ends["date"]], label="date")
    order = names(made.search("question's words", top_k=30))
    assert order[:3] == ["start.pdf", "rare.pdf", "date.pdf"] and order.index("common.pdf") > 2


def test_several_links_speak_louder_than_one(made: HandMade) -> None:
    start = made.page("start.pdf", "the question's words")
    once, twice = made.page("once.pdf", "one"), made.page("twice.pdf", "two")
    for number in range(10):
        made.page(f"other{number}.pdf", "unrelated")
    for name, pages in {"A-1": [start, twice], "A-2": [start, twice], "A-3": [start, once]}.items():
        made.entity(name, pages)
    assert names(made.search("question's words"))[:3] == ["start.pdf", "twice.pdf", "once.pdf"]


def test_the_filter_restricts_the_pages_found_those_on_the_way_and_those_relations_were_read_on(made: HandMade) -> None:
    pages = two_hop(made, fillers=3)
    third = made.page("third.pdf", "delivery")
    plant = made.page("plant.pdf", "a page about the supplier")
    made.entity("DN-3", [pages["repair"], third])
    supplier = made.entity("Bergmann", [plant], label="SUPPLIER")
    made.link(entity_id("", "SC-2041"), "MADE_BY", supplier, page_id=pages["repair"])
    everything = set(names(made.search("oil leak east compressor", top_k=50)))
    assert {"repair.pdf", "third.pdf", "plant.pdf"} <= everything
    for left_out, unreached in {
        "incident.pdf": {"repair.pdf", "third.pdf", "plant.pdf"},
        "repair.pdf": {"third.pdf", "plant.pdf"},
        "third.pdf": set[str](),
    }.items():
        found = made.search("oil leak east compressor", top_k=50, where=Not(AnyOf("name", (left_out,))))
        assert set(names(found)) == everything - unreached - {left_out}
        assert all(left_out not in step for steps in ways(found).values() for step in steps)


def test_a_filter_that_few_pass_still_finds_them(made: HandMade) -> None:
    """However many reached pages fail it."""
    start = made.page("start.pdf", "question", colour="red")
    crowd = [made.page(f"crowd{n:03d}.pdf", "x") for n in range(180)]
    for page in crowd:
        made.entity(f"C-{page[:8]}", [start, page])
    end = made.page("end.pdf", "y", colour="red")
    made.entity("2026-05-05", [start, end], label="heading")
    found = made.search("question", where=AnyOf("colour", ("red",)), top_k=50)
    assert names(found) == ["start.pdf", "end.pdf"]


class TestTenants:
    """Nobody's graph leads to anybody else's pages, whatever is written into it."""

    def test_the_same_entity_of_two_tenants_is_two(self, made: HandMade) -> None:
        for tenant in ("ann", "bob", ""):
            two_hop(made, tenant=tenant)
        for tenant in ("ann", "bob", ""):
            found = made.search("oil leak east compressor", tenant=tenant, top_k=100)
            assert {one.point.payload["tenant"] for one in found} == {tenant}
            assert "repair.pdf" in names(found)[:3]

    def test_forged_links_and_nodes_lead_nowhere(self, made: HandMade) -> None:
        pages = two_hop(made, fillers=3, tenant="ann")
        secret = made.page("secret.pdf", "salaries", tenant="bob")
        other = made.page("other.pdf", "more salaries", tenant="bob")
        clean = [(one.point.id, one.point.score) for one in made.search("oil leak", tenant="ann", top_k=50)]
        # A link from ann's entity to bob's page; and bob's page that says it is ann's.
        made.link(secret, MENTIONS, entity_id("ann", "SC-2041"))
        lying = {"tenant": "ann", "source": "other.pdf", "name": "other.pdf", "page": 1, "kind": "pdf"}
        made.graph.upsert_nodes([ChunkNode(id_=other, text="", label=PAGE, properties=lying)])
        made.link(other, MENTIONS, entity_id("ann", "SC-2041"))
        made.next(pages["incident"], other)
        made.near(pages["incident"], secret, 1.0)
        # Bob's entity that says it is ann's, by its property or by its id alone, as an entry and as a link.
        by_id = EntityNode(name=entity_id("ann", "payroll"), label="code", properties={"tenant": "bob", "pages": 2})
        by_word = EntityNode(name=entity_id("bob", "payroll"), label="code", properties={"tenant": "ann", "pages": 2})
        made.graph.upsert_nodes([by_id, by_word])
        for forged in (by_id.id, by_word.id):
            made.link(secret, MENTIONS, forged)
            made.link(pages["repair"], MENTIONS, forged)
            made.link(entity_id("ann", "SC-2041"), "PAID", forged, page_id=pages["incident"])
        made.entries = [(by_id.id, 9.0), (by_word.id, 9.0), (secret, 9.0), (other, 9.0), (made.figure(other), 9.0)]
        found = made.search("oil leak", tenant="ann", top_k=50)
        assert [(one.point.id, one.point.score) for one in found] == clean
        assert "payroll" not in str(ways(found)) and "salaries" not in str(found)

    def test_no_relation_read_on_anothers_page_is_walked(self, made: HandMade) -> None:
        two_hop(made, fillers=3, tenant="ann")
        secret = made.page("secret.pdf", "salaries", tenant="bob")
        mine = made.page("mine.pdf", "hers, but unlinked", tenant="ann")
        plain = made.entity("Bergmann", [mine], tenant="ann", label="SUPPLIER")
        made.link(entity_id("ann", "SC-2041"), "MADE_BY", plain, page_id=secret)
        assert "mine.pdf" not in names(made.search("oil leak", tenant="ann", top_k=50))


@pytest.mark.parametrize("said", [None, 0, -5, "many", True, 1e308, float("nan"), [2], {"a": 1}])
def test_properties_of_a_wrong_kind_break_nothing(made: HandMade, said: object) -> None:
    pages = two_hop(made, fillers=3)
    made.entity("X-1", [pages["incident"], pages["repair"]], said=said if said is not None else {})
    made.link(pages["incident"], "NEAR", pages["repair"], cosine="near")
    made.link(pages["incident"], MENTIONS, "no tenant, no name")
    made.link("not a page", MENTIONS, entity_id("", "SC-2041"))
    no_uuid = {"tenant": "", "name": "x", "page": 1}
    made.graph.upsert_nodes([ChunkNode(id_="not a page", text="", label=PAGE, properties=no_uuid)])
    found = made.search("oil leak east compressor")
    assert names(found)[0] == "incident.pdf" and "repair.pdf" in names(found)


def test_a_hub_costs_no_time_and_drowns_nothing(made: HandMade) -> None:
    """A company that every page names, asked for by its name."""
    pages = two_hop(made)
    crowd = [made.page(f"crowd{n:04d}.pdf", "letter of Northwind") for n in range(MENTIONS_READ // 10)]
    hub = made.entity("Northwind", [*pages.values(), *crowd], label="name", said=MENTIONS_READ + 1)
    made.entries = [(hub, 0.4), (entity_id("", "SC-2041"), 0.1)]
    found = made.search("oil leak east compressor Northwind", top_k=10)
    assert "repair.pdf" in names(found)[:3]
    read = made.asked["triplets"]
    assert read < 200, f"{read} triplets were read: the hub's {len(crowd)} among them"


def test_the_same_search_gives_the_same_list_whatever_the_order_of_the_graph(made: HandMade) -> None:
    start = made.page("start.pdf", "question")
    ends = [made.page(f"end{n}.pdf", "x") for n in range(8)]
    for number in range(8):
        made.entity(f"E-{number}", [start, ends[number], ends[(number + 3) % 8]])
    first = made.search("question", top_k=20)
    assert len({round(one.point.score, 12) for one in first[1:]}) == 1, "these are tied"
    assert [one.point.id for one in first[1:]] == sorted(ends)
    honest = made.graph.get_triplets
    for seed in range(5):
        order = np.random.default_rng(seed)

        def shuffled(*args: object, order: np.random.Generator = order, **kwargs: object) -> list[object]:
            found = honest(*args, **kwargs)  # type: ignore[arg-type]
            return [found[place] for place in order.permutation(len(found))]

        made.graph.get_triplets = shuffled  # type: ignore[assignment, method-assign]
        assert made.search("question", top_k=20) == first


def test_top_k_counts_what_comes_back(made: HandMade) -> None:
    two_hop(made)
    everything = made.search("oil leak east compressor", top_k=50)
    assert len(everything) == 14
    assert made.search("oil leak east compressor", top_k=3) == everything[:3]


@given(st.lists(st.floats(0, 1), max_size=6), st.floats(0, 1))
def test_evidence_adds_up_and_never_past_one(activations: list[float], more: float) -> None:
    assert max(activations, default=0.0) - 1e-12 <= both(activations) <= 1
    assert both([*activations, more]) >= both(activations) - 1e-12
    assert both(activations) == both(activations[::-1])


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_specificity_falls_from_one_to_nothing(pages: int, total: int) -> None:
    assert 0 <= specificity(pages, total) <= 1
    assert specificity(1, total) == 1 and specificity(total + 1, total) == 0
    assert specificity(pages + 1, total) <= specificity(pages, total)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from(["c", "NEXT", "NEAR"])), max_size=25))
def test_on_any_graph_paths_are_real_and_scores_are_sound(made: HandMade, links: list[tuple[int, int, str]]) -> None:
    made = HandMade(made.pages)  # the same pages each time, and another graph
    ids = [made.page(f"{n}.pdf", "question" if n < 3 else f"other {n}") for n in range(12)]
    for number, (first, second, kind) in enumerate(links):
        if kind == "c":
            made.entity(f"E-{number}", sorted({ids[first], ids[second]}))
        elif first != second:
            made.link(ids[first], kind, ids[second], cosine=0.8)
    edges = {(subject.id, other.id) for subject, _, other in made.graph.get_triplets(ids=ids)} if links else set()
    found = made.search("question", top_k=12)
    assert len({one.point.id for one in found}) == len(found)
    for one in found:
        assert 0 < one.point.score <= 1
        if one.path:
            assert one.path[-1].node == one.point.id and one.path[0].page_id in ids[:3]
            assert len({step.node for step in one.path}) == len(one.path)
            for here, there in zip(one.path, one.path[1:], strict=False):
                assert (here.node, there.node) in edges or (there.node, here.node) in edges
    order = [(-one.point.score, one.point.id) for one in found]
    assert order == sorted(order)
