"""Does the heat map point at what was asked? On generated pages, the place of the queried sentence against the rest.

    python benchmarks/explain.py --pages 100 --out explain.json

Each page is a PDF of a few sentences of one language at random places (`explain_sentences.txt`), ingested as any
document. The query is one of its sentences. A page counts where the sentence's place has more heat per area than the
rest of the page. Both kinds of pages are measured: with a text layer, and as scans (the same pages, as pictures alone).
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pymupdf
from rich.console import Console
from rich.table import Table

from connectors.page import WordBox
from embedder.explain import Floats
from vipylo_rag import MultimodalIndex
from vipylo_rag.explain import PageExplanation, sum_in

SENTENCES = Path(__file__).parent / "explain_sentences.txt"
SIZE = (210.0, 297.0)  # points: A6; with its letters, as large on the picture as 12 pt on A4 become
KINDS = ("with text layer", "scanned")


@dataclass(frozen=True)
class Pages:
    """A PDF of pages, and for each page its language, where its sentences stand, and which of them is asked for."""

    pdf: Path
    languages: list[str]
    places: list[list[WordBox]]
    asked: list[int]


@dataclass(frozen=True)
class Measurement:
    """Of `pages` pages, how often the asked sentence's place has more heat per area than the rest of the page.

    `heat`: picture and words together, as drawn; `picture`: the picture's patches alone. `heat_first` and
    `picture_first`: how often it has more than the place of any other sentence, which is harder, as paper has no heat.
    `lead`: the median of what it has more than the rest, in units of the page's mean absolute heat per area.
    """

    kind: str
    language: str
    pages: int
    heat: int
    heat_first: int
    picture: int
    picture_first: int
    lead: float
    seconds_a_page: float


def sentences() -> dict[str, list[str]]:
    """The sentences of each language."""
    found: dict[str, list[str]] = {}
    for line in SENTENCES.read_text(encoding="utf-8").splitlines():
        language, sentence = line.split("\t")
        found.setdefault(language, []).append(sentence)
    return found


def write_pages(
    folder: Path, pages: int, rows: int, seed: int, *, size: tuple[float, float] = SIZE, scanned: bool = False
) -> Pages:
    """Pages of `rows` different sentences each, in bands of the page, moved about and broken into lines at random."""
    random_ = random.Random(seed)
    known = sentences()
    languages, asked, places = [], [], []
    width, height = size
    with pymupdf.open() as document:
        for number in range(pages):
            language = list(known)[number % len(known)]
            page = document.new_page(width=width, height=height)
            band = (height - 16) / rows
            own = []
            for row, sentence in enumerate(random_.sample(known[language], rows)):
                wide = random_.uniform(0.35, 0.6) * width
                left = random_.uniform(10, width - 10 - wide)
                rect = pymupdf.Rect(left, 8 + row * band, left + wide, 8 + (row + 1) * band)
                style = f"font-family: 'Droid Sans Fallback'; font-size: {random_.choice([7, 8, 9])}px; margin: 0"
                spare, _ = page.insert_htmlbox(rect, f'<p style="{style}">{sentence}</p>')
                bottom = rect.y1 - max(0.0, spare)
                own.append(WordBox(sentence, rect.x0 / width, rect.y0 / height, rect.x1 / width, bottom / height))
            languages.append(language)
            places.append(own)
            asked.append(random_.randrange(rows))
        target = folder / "pages.pdf"
        # Every box brings its own copy of the font, of 3.5 MB.
        (_pictures(document) if scanned else document).save(target, garbage=4, deflate=True)
    return Pages(target, languages, places, asked)


def _pictures(document: pymupdf.Document) -> pymupdf.Document:
    """The same pages as a scanner leaves them: no text layer."""
    pictures = pymupdf.open()
    for page in document:
        pixels = page.get_pixmap(dpi=150)
        pictures.new_page(width=page.rect.width, height=page.rect.height).insert_image(page.rect, pixmap=pixels)
    return pictures


def explanations(index: MultimodalIndex, made: Pages) -> Iterator[PageExplanation]:
    """Why each page is near to the sentence of its own that is asked for, in the pages' order."""
    index.ingest(made.pdf)
    stored = sorted(index.pages(), key=lambda point: point.payload["page"])
    for point, places, asked in zip(stored, made.places, made.asked, strict=True):
        yield index.page(point.id).explain(places[asked].text)


def density(grid: Floats, place: WordBox) -> float:
    """Heat per area at a place; the page as a whole has the area 1."""
    return sum_in(grid, place) / ((place.x1 - place.x0) * (place.y1 - place.y0))


def lead(grid: Floats, place: WordBox) -> float:
    """What a place has more heat per area than the rest of the page, in units of the page's mean absolute heat."""
    area = (place.x1 - place.x0) * (place.y1 - place.y0)
    outside = (float(grid.sum()) - sum_in(grid, place)) / (1 - area)
    return (density(grid, place) - outside) / float(np.abs(grid).sum())


def is_first(grid: Floats, places: list[WordBox], asked: int) -> bool:
    """Whether the place that is asked for has more heat per area than the others."""
    return int(np.argmax([density(grid, place) for place in places])) == asked


def measure(index: MultimodalIndex, made: Pages, kind: str) -> list[Measurement]:
    """One row a language, and one of all."""
    begun = time.perf_counter()
    found = []
    for why, places, asked in zip(explanations(index, made), made.places, made.asked, strict=True):
        assert why.heat is not None and why.picture is not None
        grids = (why.heat, why.picture)
        found.append([*(lead(grid, places[asked]) for grid in grids), *(is_first(g, places, asked) for g in grids)])
    seconds = (time.perf_counter() - begun) / len(found)
    rows = []
    for language in [*dict.fromkeys(made.languages), "all"]:
        own = np.array([row for row, one in zip(found, made.languages, strict=True) if language in (one, "all")])
        heat, picture, heat_first, picture_first = (own > 0).sum(axis=0).tolist()
        median = float(np.median(own[:, 0]))
        rows.append(Measurement(kind, language, len(own), heat, heat_first, picture, picture_first, median, seconds))
    return rows


def table(rows: list[Measurement]) -> Table:
    """One row a measurement."""
    shown = Table("pages", "language", "n", "heat", "heat first", "picture", "picture first", "lead", "s a page")
    for row in rows:
        counts = (row.pages, row.heat, row.heat_first, row.picture, row.picture_first)
        cells = (*counts, f"{row.lead:+.1f}", f"{row.seconds_a_page:.2f}")
        shown.add_row(row.kind, row.language, *map(str, cells))
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Measure pages with and without a text layer, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--sentences", type=int, default=6, help="on each page")
    parser.add_argument("--embedder", default="starter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    options = parser.parse_args(arguments)
    rows: list[Measurement] = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind in KINDS:
            folder = Path(scratch) / kind
            folder.mkdir()
            made = write_pages(folder, options.pages, options.sentences, options.seed, scanned=kind == "scanned")
            with MultimodalIndex.open(folder / "index", embedder=options.embedder) as index:
                rows += measure(index, made, kind)
    Console(width=120).print(table(rows))
    if options.out:
        options.out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
