"""The demo: build the sample documents, ingest them, ask in words, pictures and both, and show the pages found.

python -m examples.demo [FOLDER]        # from the root of a checkout; FOLDER is "demo" by default
"""

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from examples.contact_sheet import Shown, write_contact_sheet
from examples.made_folder import made_anew
from examples.sample_documents import QUERIES, DemoQuery, build, queries_folder
from vipylo_rag import Hit, MultimodalIndex
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.manifest import is_index

SHOWN_HITS = 6


@dataclass(frozen=True)
class Answered:
    """A query with what each mode found; ranks start at 1, None where the right page did not come at all."""

    query: DemoQuery
    hits: list[Hit]
    hybrid: int | None
    dense: int | None
    lexical: int | None


def own_index(directory: Path) -> MultimodalIndex:
    """The demo's index; one that another version or its starter made is made anew, as it holds nothing but samples."""
    try:
        index = MultimodalIndex.open(directory)
        try:
            _ = index.embedder
        except IndexDirectoryError:
            index.close()
            raise
    except IndexDirectoryError:
        if not is_index(directory):
            raise
        shutil.rmtree(directory)
        index = MultimodalIndex.open(directory)
    return index


def run(folder: Path, console: Console) -> list[Answered]:
    """Build, ingest, search; writes `contact_sheet.html` into `folder` and returns what was found."""
    begun = time.monotonic()
    documents = made_anew(folder / "documents")
    build(documents)
    console.print(f"sample documents written to {documents} ({time.monotonic() - begun:.0f} s)")
    with own_index(folder / "index") as index:
        with console.status("ingest") as status:
            report = index.ingest(
                documents, prune=True, progress=lambda r: status.update(f"ingest: {r.pages_embedded} pages embedded")
            )
        rate = report.pages_embedded / report.seconds
        console.print(
            f"{report.found} files: {report.indexed} indexed, {report.unchanged} unchanged, {report.failed} failed; "
            f"{report.pages_embedded} pages embedded in {report.seconds:.0f} s ({rate:.1f} pages/s)"
        )
        answered = [answer(index, query, queries_folder(documents)) for query in QUERIES]
        sheet = folder / "contact_sheet.html"
        write_contact_sheet(
            sheet, "ViPylo RAG: what the demo found", _lead(index), [_shown(a, documents) for a in answered]
        )
    _print(console, answered)
    console.print(f"pages as pictures: {sheet}  ({time.monotonic() - begun:.0f} s in all)")
    return answered


def answer(index: MultimodalIndex, query: DemoQuery, pictures: Path) -> Answered:
    """Ask one query in all modes."""
    image = pictures / query.image if query.image else None
    hybrid = index.search(query.text, image, top_k=50)
    dense = index.search(query.text, image, top_k=50, mode="dense")
    lexical = index.search(query.text, image, top_k=50, mode="lexical") if query.text else []
    return Answered(query, hybrid, *(rank(hits, query) for hits in (hybrid, dense, lexical)))


def rank(hits: list[Hit], query: DemoQuery) -> int | None:
    """Rank of the first right page, from 1."""
    return next((n for n, hit in enumerate(hits, start=1) if (hit.name, hit.page) in query.expected), None)


def _lead(index: MultimodalIndex) -> str:
    info = index.info()
    return (
        f"{info['points']} pages of {info['sources done']} documents, embedder “{info['embedder']['name']}”, hybrid "
        "mode (vectors and words). The right page is framed; a page is one vector of its image and its text together."
    )


def _shown(answered: Answered, documents: Path) -> Shown:
    query = answered.query
    return Shown(
        title=query.text or "picture alone",
        kind={"text": "words", "image": "picture", "mixed": "picture and words"}[query.kind],
        image=queries_folder(documents) / query.image if query.image else None,
        hits=answered.hits[:SHOWN_HITS],
        expected=frozenset(query.expected),
        note=f"rank: hybrid {answered.hybrid or '–'}, dense only {answered.dense or '–'}, "
        f"words only {answered.lexical or '–'}",
    )


def _print(console: Console, answered: list[Answered]) -> None:
    for a in answered:
        title = a.query.text or f"[picture {a.query.image}]"
        if a.query.kind == "mixed":
            title += f"  + [picture {a.query.image}]"
        table = Table(
            "", "score", "document", "page", "snippet", box=box.SIMPLE, title=Text(title), title_justify="left"
        )
        for number, hit in enumerate(a.hits[:3], start=1):
            mark = "✓" if (hit.name, hit.page) in a.query.expected else ""
            table.add_row(
                f"{number}{mark}", f"{hit.score:.3f}", hit.name, str(hit.page), Text(hit.snippet(a.query.text, 70))
            )
        console.print(table)
    table = Table("query", "kind", "hybrid", "dense only", "words only", box=box.SIMPLE, title="rank of the right page")
    for a in answered:
        table.add_row(a.query.name, a.query.kind, *(str(r or "–") for r in (a.hybrid, a.dense, a.lexical)))
    console.print(table)
    for mode in ("hybrid", "dense"):
        found = sum((getattr(a, mode) or 99) <= 3 for a in answered)
        console.print(f"{mode}: the right page is in the first 3 for {found} of {len(answered)} queries")


def main() -> None:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"), help="where all is written")
    run(parser.parse_args().folder, Console())


if __name__ == "__main__":
    main()
