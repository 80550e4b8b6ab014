"""What graph search's weights do on the development questions, and what a graph does to the demo's questions."""

from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from examples.sample_documents import QUERIES, build, queries_folder
from examples.two_hop_asking import DEPTH, Ranks, cell, rank
from examples.two_hop_documents import Place, cases
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph.search import graph_search
from vipylo_rag.graph.spreading import Weights
from vipylo_rag.query import PageMode, Query, query_vectors
from vipylo_rag.tenants import for_tenant


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
                hits = index.search(query.text, image, top_k=DEPTH, mode=mode)
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
        **{f"within = {value}": replace(usual, within=value) for value in (1.0, 0.5, 0.1, 0.0)},
        **{f"entry = {value}": replace(usual, entry=value) for value in (0.0, 0.15, 0.6)},
        **{f"entity_fan = {value}": replace(usual, entity_fan=value) for value in (0.0, 0.5, 1.0)},
        **{f"focus = {value}": replace(usual, focus=value) for value in (0.0, 0.3, 0.9)},
        **{f"next = {value}": replace(usual, next=value) for value in (0.0, 0.3)},
        **{f"near = {value}": replace(usual, near=value) for value in (0.0, 0.3)},
        "entities alone": replace(usual, next=0.0, near=0.0),
    }
    table = Table("weights", "two-hop", "one-hop", box=box.SIMPLE, title="development questions")
    with MultimodalIndex.open(folder / "index", create=False) as index:
        asked = [case for case in cases() if case.split == "dev"]
        queries = [Query.of(case.question, None, DEPTH, "graph") for case in asked]
        vectors = query_vectors(queries, lambda: index.embedder)
        for name, weights in {"as they are": usual, **changed}.items():
            ranks: dict[str, list[int | None]] = {"two-hop": [], "one-hop": []}
            for case, query, vector in zip(asked, queries, vectors, strict=True):
                if isinstance(vector, Exception):
                    raise vector
                listed = graph_search(index.graph, index.store, query, vector, for_tenant(""), "", weights)
                places = [Place(one.point.payload["name"], one.point.payload["page"]) for one in listed]
                ranks[case.kind].append(places.index(case.answer) + 1 if case.answer in places else None)
            table.add_row(name, cell(ranks["two-hop"]), cell(ranks["one-hop"]))
    console.print(table)
