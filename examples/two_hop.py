"""Two-hop questions: write documents, make their graph, ask each question plainly and along the graph, print the table.

python -m examples.two_hop [FOLDER]         # from the root of a checkout; FOLDER is "demo/two-hop" by default
python -m examples.two_hop --samples        # the demo's questions about the sample documents too
python -m examples.two_hop --tune           # how the weights of graph search do on the development questions
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from examples.made_folder import made_anew
from examples.two_hop_asking import DEPTH, FIRST, MODES, Asked, Ranks, ask_all, cell, rank, way
from examples.two_hop_documents import PARTS, Place, write_documents, write_picture_case
from examples.two_hop_weights import samples, tune
from vipylo_rag import MultimodalIndex
from vipylo_rag.query import PageMode

# Pages are small: their words are in the text layer, and pictures of them need no more.
_PIXELS = 60_000
_SAYS = "answer in the first 3, in the first 5, and MRR"


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


def _ask_picture(index: MultimodalIndex, picture: Path) -> tuple[Ranks, str]:
    """A drawing without words leads to the parts list, which has no drawing."""
    parts = Place(PARTS, 1)
    hits = {mode: index.search(images=picture, top_k=DEPTH, mode=mode) for mode in MODES if mode != "lexical"}
    return {mode: rank(listed, parts) for mode, listed in hits.items()}, way(hits["graph"], parts)


def _table(outcome: Outcome, split: str) -> Table:
    title = f"two-hop questions ({split}): {_SAYS}"
    table = Table("language", "questions", *MODES, box=box.SIMPLE, title=title, title_justify="left")
    for language in ("vi", "en", "zh", "all"):
        some = [
            one
            for one in outcome.asked
            if one.case.kind == "two-hop" and one.case.split == split and language in (one.case.group.language, "all")
        ]
        table.add_row(language, str(len(some)), *(cell([one.ranks[mode] for one in some]) for mode in MODES))
    return table


def _one_hop(outcome: Outcome) -> Table:
    title = f"questions that a page answers directly: {_SAYS}"
    table = Table("", "questions", *MODES, box=box.SIMPLE, title=title, title_justify="left")
    for split in ("test", "dev"):
        ranks = [outcome.ranks(mode, kind="one-hop", split=split) for mode in MODES]
        table.add_row(split, str(len(ranks[0])), *map(cell, ranks))
    return table


def _example(outcome: Outcome) -> Text:
    shown = next((one for one in outcome.asked if one.path and (one.ranks["graph"] or 99) <= FIRST), None)
    said = f"{shown.case.question}\n  {shown.path}\n" if shown else ""
    dense, graph = (outcome.picture_ranks[mode] or "–" for mode in ("dense", "graph"))
    return Text(f"{said}[drawing.png]\n  {outcome.picture_path}  (rank {graph}; by vectors alone {dense})")


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
