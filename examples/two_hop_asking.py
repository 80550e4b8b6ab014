"""Ask the two-hop questions of an index in every mode: where the answers stand, and by which path they came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.stores.lexical import document_vector, query_vector
from examples.two_hop_documents import Case, Place, cases
from vipylo_rag import Hit, MultimodalIndex
from vipylo_rag.query import PageMode, SearchRequest

MODES: tuple[PageMode, ...] = ("hybrid", "dense", "lexical", "graph")
FIRST = 5
DEPTH = 50

Ranks = Mapping[PageMode, int | None]


@dataclass(frozen=True)
class Asked:
    """A question with the rank of the page that answers it by mode, from 1; None where it is not in the first 50."""

    case: Case
    ranks: Ranks
    path: str


def found(ranks: Sequence[int | None], first: int = FIRST) -> int:
    """How many answers are in the first few."""
    return sum(rank is not None and rank <= first for rank in ranks)


def reciprocal(ranks: Sequence[int | None]) -> float:
    """The mean reciprocal rank."""
    return sum(1 / rank for rank in ranks if rank) / len(ranks) if ranks else 0.0


def cell(ranks: Sequence[int | None]) -> str:
    """What a table says of some ranks: how many are in the first 3, in the first 5, and the mean reciprocal rank."""
    return f"{found(ranks, 3)}, {found(ranks)}  {reciprocal(ranks):.2f}"


def ask_all(index: MultimodalIndex) -> list[Asked]:
    """Ask every question in all modes.

    Raises:
        ValueError: a two-hop question shares a word with the page that answers it, as BM25 counts words.
    """
    texts = {Place(page.payload["name"], page.payload["page"]): page.payload["text"] for page in index.pages()}
    asked = cases()
    for case in asked:
        if case.kind == "two-hop" and shares_words(case.question, texts[case.answer]):
            raise ValueError(f"{case.question!r} and its answer {case.answer} share a word")
    hits = {mode: _search(index, [case.question for case in asked], mode) for mode in MODES}
    return [
        Asked(case, {mode: rank(hits[mode][row], case.answer) for mode in MODES}, way(hits["graph"][row], case.answer))
        for row, case in enumerate(asked)
    ]


def shares_words(question: str, text: str) -> bool:
    """Whether BM25 could find the text by the question: any token in common, after stemming."""
    asked = query_vector(question)
    return asked is not None and not set(asked.indices).isdisjoint(document_vector(text).indices)


def rank(hits: Sequence[Hit], place: Place) -> int | None:
    """Where a page is in a list, from 1."""
    return next((n for n, hit in enumerate(hits, start=1) if (hit.name, hit.page) == (place.name, place.page)), None)


def way(hits: Sequence[Hit], place: Place) -> str:
    """The path that led to a page, in words; "" where none did."""
    found_at = rank(hits, place)
    return " > ".join(step.name for step in hits[found_at - 1].path) if found_at else ""


def _search(index: MultimodalIndex, questions: Sequence[str], mode: PageMode) -> list[list[Hit]]:
    listed = index.search_many([SearchRequest(question, top_k=DEPTH, mode=mode) for question in questions])
    hits = []
    for one in listed:
        if isinstance(one, Exception):
            raise one
        hits.append(one)
    return hits
