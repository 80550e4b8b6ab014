"""Two-hop questions: write documents, make their graph, ask each question plainly and along the graph, print the table.

python -m examples.two_hop [FOLDER]         # from the root of a checkout; FOLDER is "demo/two-hop" by default
python -m examples.two_hop --samples        # the demo's questions about the sample documents too
python -m examples.two_hop --tune           # how the weights of graph search do on the development questions
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.stores.lexical import document_vector, query_vector
from examples.made_folder import made_anew
from examples.sample_documents import QUERIES, build, queries_folder
from examples.two_hop_documents import PARTS, Case, Place, cases, write_documents, write_picture_case
from vipylo_rag import Hit, MultimodalIndex
from vipylo_rag.graph.search import graph_search
from vipylo_rag.graph.spreading import Weights
from vipylo_rag.query import PageMode, Query, SearchRequest, query_vectors
from vipylo_rag.tenants import for_tenant

MODES: tuple[PageMode, ...] = ("hybrid", "dense", "lexical", "graph")
FIRST = 5
_DEPTH = 50
# Pages are small: their words are in the text layer, and pictures of them need no more.
_PIXELS = 60_000

Ranks = Mapping[PageMode, int | None]


@dataclass(frozen=True)
class Asked:
    """A question with the rank of the page that answers it by mode, from 1; None where it is not in the first 50."""

    case: Case
    ranks: Ranks
    path: str


@dataclass(frozen=True)
class Outcome:
    """All that was asked, and by which path the question that is a picture led to the other document."""

    asked: list[Asked]
    pages: int
    picture_ranks: Ranks
    picture_path: str

    def ranks(self, mode: PageMode, *, kind: str = "two-hop", split: str = "test") -> list[int | None]:
        """The ranks of some questions' answers."""
        return [one.ranks[mode] for one in self.asked if (one.case.kind, one.case.split) == (kind, split)]


def found(ranks: Sequence[int | None]) -> int:
    """How many answers are in the first 5."""
    return sum(rank is not None and rank <= FIRST for rank in ranks)


def reciprocal(ranks: Sequence[int | None]) -> float:
    """The mean reciprocal rank."""
    return sum(1 / rank for rank in ranks if rank) / len(ranks) if ranks else 0.0


def run(folder: Path, console: Console) -> Outcome:
    """Write, ingest, link and ask; prints the tables."""
    begun = time.monotonic()
    documents, picture = made_anew(folder) / "documents", folder / "drawing.png"
    pages = write_documents(documents) + write_picture_case(documents, picture)
    with MultimodalIndex.open(folder / "index") as index:
        index.ingest(documents, loader_options={"pdf": {"max_pixels": _PIXELS}})
        ingested = time.monotonic()
        graph = index.build_graph()
        console.print(
            f"{pages} pages ingested in {ingested - begun:.0f} s; a graph of {sum(graph.nodes.values())} nodes and "
            f"{sum(graph.relations.values())} relations made in {graph.seconds:.0f} s"
        )
        asked = ask_all(index)
        outcome = Outcome(asked, pages, *_ask_picture(index, picture))
    console.print(
        *(_table(outcome, split) for split in ("test", "dev")), _one_hop(outcome), _example(outcome), sep="\n"
    )
    console.print(f"{time.monotonic() - begun:.0f} s in all", highlight=False)
    return outcome


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
    listed = index.search_many([SearchRequest(question, top_k=_DEPTH, mode=mode) for question in questions])
    hits = []
    for one in listed:
        if isinstance(one, Exception):
            raise one
        hits.append(one)
    return hits


def _ask_picture(index: MultimodalIndex, picture: Path) -> tuple[Ranks, str]:
    """A drawing without words leads to the parts list, which has no drawing."""
    parts = Place(PARTS, 1)
    hits = {mode: index.search(images=picture, top_k=_DEPTH, mode=mode) for mode in MODES if mode != "lexical"}
    return {mode: rank(listed, parts) for mode, listed in hits.items()}, way(hits["graph"], parts)


def _table(outcome: Outcome, split: str) -> Table:
    title = f"two-hop questions ({split}): answer in the first {FIRST}, and mean reciprocal rank"
    table = Table("language", "questions", *MODES, box=box.SIMPLE, title=title, title_justify="left")
    for language in ("vi", "en", "zh", "all"):
        some = [
            one
            for one in outcome.asked
            if one.case.kind == "two-hop" and one.case.split == split and language in (one.case.group.language, "all")
        ]
        table.add_row(language, str(len(some)), *(_cell([one.ranks[mode] for one in some]) for mode in MODES))
    return table


def _one_hop(outcome: Outcome) -> Table:
    title = f"questions that a page answers directly: in the first {FIRST}, and mean reciprocal rank"
    table = Table("", "questions", *MODES, box=box.SIMPLE, title=title, title_justify="left")
    for split in ("test", "dev"):
        ranks = [outcome.ranks(mode, kind="one-hop", split=split) for mode in MODES]
        table.add_row(split, str(len(ranks[0])), *map(_cell, ranks))
    return table


def _cell(ranks: Sequence[int | None]) -> str:
    return f"{found(ranks)}  ({reciprocal(ranks):.2f})"


def _example(outcome: Outcome) -> Text:
    shown = next((one for one in outcome.asked if one.path and (one.ranks["graph"] or 99) <= FIRST), None)
    said = f"{shown.case.question}\n  {shown.path}\n" if shown else ""
    dense, graph = (outcome.picture_ranks[mode] or "–" for mode in ("dense", "graph"))
    return Text(f"{said}[drawing.png]\n  {outcome.picture_path}  (rank {graph}; by vectors alone {dense})")


def samples(folder: Path, console: Console) -> dict[str, Ranks]:
    """The demo's questions about the sample documents: what a graph costs where no second hop is needed."""
    documents = folder / "samples"
    build(documents)
    table = Table("question", "hybrid", "graph", box=box.SIMPLE, title="sample documents: rank of the right page")
    ranks: dict[str, Ranks] = {}
    with MultimodalIndex.open(folder / "samples-index") as index:
        index.ingest(documents)
        index.build_graph()
        for query in QUERIES:
            image = queries_folder(documents) / query.image if query.image else None
            here: dict[PageMode, int | None] = {}
            for mode in ("hybrid", "graph"):
                hits = index.search(query.text, image, top_k=_DEPTH, mode=mode)
                places = [rank(hits, Place(*place)) for place in query.expected]
                here[mode] = min((place for place in places if place), default=None)
            ranks[query.name] = here
            table.add_row(query.name, *(str(here[mode] or "–") for mode in ("hybrid", "graph")))
    console.print(table)
    return ranks


def tune(folder: Path, console: Console) -> None:
    """One weight changed at a time, on the development questions of an index that `run` made."""
    usual = Weights()
    changed = {
        **{f"sharpness = {value}": replace(usual, sharpness=value) for value in (1, 2, 3, 6, 8)},
        **{f"entry = {value}": replace(usual, entry=value) for value in (0.0, 0.15, 0.6)},
        **{f"entity_fan = {value}": replace(usual, entity_fan=value) for value in (0.0, 0.5, 1.0)},
        **{f"focus = {value}": replace(usual, focus=value) for value in (0.0, 0.3, 0.9)},
        **{f"next = {value}": replace(usual, next=value) for value in (0.0, 0.3)},
        **{f"near = {value}": replace(usual, near=value) for value in (0.0, 0.3)},
    }
    table = Table("weights", "two-hop", "one-hop", box=box.SIMPLE, title="development questions")
    with MultimodalIndex.open(folder / "index", create=False) as index:
        asked = [case for case in cases() if case.split == "dev"]
        queries = [Query.of(case.question, None, _DEPTH, "graph") for case in asked]
        vectors = query_vectors(queries, lambda: index.embedder)
        for name, weights in {"as they are": usual, **changed}.items():
            ranks: dict[str, list[int | None]] = {"two-hop": [], "one-hop": []}
            for case, query, vector in zip(asked, queries, vectors, strict=True):
                if isinstance(vector, Exception):
                    raise vector
                listed = graph_search(index.graph, index.store, query, vector, for_tenant(""), "", weights)
                places = [Place(one.point.payload["name"], one.point.payload["page"]) for one in listed]
                ranks[case.kind].append(places.index(case.answer) + 1 if case.answer in places else None)
            table.add_row(name, _cell(ranks["two-hop"]), _cell(ranks["one-hop"]))
    console.print(table)


def main() -> None:
    """Run the example from the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo/two-hop"), help="where all is written")
    parser.add_argument("--samples", action="store_true", help="ask the demo's questions too")
    parser.add_argument("--tune", action="store_true", help="compare weights on the development questions")
    asked = parser.parse_args()
    console = Console()
    run(asked.folder, console)
    if asked.samples:
        samples(asked.folder, console)
    if asked.tune:
        tune(asked.folder, console)


if __name__ == "__main__":
    main()
