"""Search by a picture that words refine: "this scan, but with a fracture". Which way of asking finds it?

Drawn radiographs with captions are the collection. Each query is a picture of whole bones that is not in it, and words
that ask for the same bones with something else. Right is that a picture of these bones with it comes before each
picture of these bones without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedder import ColPaLiQwenEmbedder
from examples.applications.command import against_chance, given, show_table
from examples.applications.drawn import BONES, FINDINGS, radiograph
from examples.applications.rows import Pictured, Row, write_rows

Vectors = npt.NDArray[np.float32]
CAPTIONS = {
    "normal": "Radiograph of the {bone}: bones are whole, normal.",
    "fracture": "Radiograph of the {bone}: fracture of the shaft.",
    "plate and screws": "Radiograph of the {bone}: held by a plate and screws.",
}
ASKED = {"fracture": "this scan, but with a fracture", "plate and screws": "this scan, but with a plate and screws"}
WEIGHTS = (0.5, 1.0, 2.0)
BY_CHANCE = 1 / (len(BONES) * len(FINDINGS))


@dataclass(frozen=True)
class Found:
    """Of one way to keep entries and one to ask: shares of queries where the target comes before all unrefined ones,
    where the first entry of all is a target, and where it is of the same bones; `order` holds the rankings."""

    refined: float
    right: float
    same_bone: float
    order: npt.NDArray[np.intp]

    @property
    def shares(self) -> tuple[float, float, float]:
        """As they are printed."""
        return self.refined, self.same_bone, self.right


def unit(vectors: Vectors) -> Vectors:
    """The vectors at length 1: what a sum needs before it is compared."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def measure(embedder: ColPaLiQwenEmbedder, copies: int = 3, seed: int = 1) -> Mapping[tuple[str, str], Found]:
    """All ways to keep an entry with all ways to ask; `copies` entries of each bone and finding."""
    entries = list(product(BONES, FINDINGS, range(copies)))
    queries = list(product(BONES, ASKED, range(copies)))
    pictures = [radiograph(bone, finding, seed + row) for row, (bone, finding, _) in enumerate(entries)]
    captions = [CAPTIONS[finding].format(bone=bone) for bone, finding, _ in entries]
    shown = [radiograph(bone, "normal", seed + 1000 + row) for row, (bone, _, _) in enumerate(queries)]
    words = [ASKED[finding] for _, finding, _ in queries]

    def encode(text: list[str] | None, images: list[object] | None = None) -> Vectors:
        return np.asarray(embedder.encode(text, images, batch_size=16, convert_to="numpy"), dtype=np.float32)

    entry_image, entry_text = encode(None, [*pictures]), encode(captions)
    image, text = encode(None, [*shown]), encode(words)
    kept = {
        "picture alone": entry_image,
        "mixed sample": encode(captions, [*pictures]),
        "sum of both": unit(entry_image + entry_text),
    }
    asked = {"picture alone": image, "words alone": text, "mixed sample": encode(words, [*shown])}
    asked |= {f"picture + {weight:g} x words": unit(image + weight * text) for weight in WEIGHTS}
    # Moved by the difference of two texts: from what the picture is said to show to what is asked for.
    moved = text - encode(["this scan, normal, bones are whole"])
    asked |= {f"picture + {weight:g} x (asked - normal)": unit(image + weight * moved) for weight in WEIGHTS}
    truth = [
        (
            [row for row, (b, f, _) in enumerate(entries) if (b, f) == (bone, finding)],
            [row for row, (b, f, _) in enumerate(entries) if (b, f) == (bone, "normal")],
            [row for row, (b, _, _) in enumerate(entries) if b == bone],
        )
        for bone, finding, _ in queries
    ]
    return {(k, a): _found(query @ entry.T, truth) for (k, entry), (a, query) in product(kept.items(), asked.items())}


def _found(scores: Vectors, truth: list[tuple[list[int], list[int], list[int]]]) -> Found:
    best = [(max(row[t]), max(row[n])) for row, (t, n, _) in zip(scores, truth, strict=True)]
    order = np.argsort(-scores, axis=1, kind="stable")
    return Found(
        refined=float(np.mean([target > normal for target, normal in best])),
        right=float(np.mean([row[0] in t for row, (t, _, _) in zip(order, truth, strict=True)])),
        same_bone=float(np.mean([row[0] in b for row, (_, _, b) in zip(order, truth, strict=True)])),
        order=order,
    )


def write_sheet(path: Path, lead: str, found: Found, copies: int = 3, seed: int = 1) -> None:
    """The first six entries for each kind of query."""
    entries, queries = list(product(BONES, FINDINGS, range(copies))), list(product(BONES, ASKED, range(copies)))
    rows = []
    for row, (bone, finding, copy) in enumerate(queries):
        best = [entries[place] + (int(place),) for place in found.order[row][:6]]
        shown = [Pictured(radiograph(b, f, seed + at), f"{b}, {f}", (b, f) == (bone, finding)) for b, f, _, at in best]
        if copy == 0:
            rows.append(Row(ASKED[finding], bone, shown, radiograph(bone, "normal", seed + 1000 + row)))
    write_rows(path, "Search by a picture that words refine", lead, rows)


def main() -> None:
    """Measure, print, and write `found.html`."""
    start = given("visual_search", __doc__.splitlines()[0])
    found = measure(start.embedder)
    tried = len(BONES) * len(ASKED) * 3
    ways = list(dict.fromkeys(kept for kept, _ in found))
    table = [
        (asked, *(" ".join(f"{100 * share:3.0f}" for share in found[kept, asked].shares) for kept in ways))
        for asked in dict.fromkeys(asked for _, asked in found)
    ]
    show_table(
        f"{tried} queries; % where what is asked for comes before the unrefined (chance 50), the first is of the "
        f"same bones (25), the first is both ({100 * BY_CHANCE:.0f})",
        ("query | entries as:", *ways),
        table,
    )
    kept, asked = max(found, key=lambda way: (found[way].right, found[way].refined))
    again = measure(start.embedder, seed=5001)[kept, asked]
    refined = against_chance(round(again.refined * tried), tried, 0.5)
    right = against_chance(round(again.right * tried), tried, BY_CHANCE)
    print(f"chosen: entries as {kept}, query {asked!r}")
    print(
        f"on new pictures: asked for before unrefined {refined}, first is right {right}  (↑ above chance, = at chance)"
    )
    best = found[kept, asked]
    write_sheet(start.folder / "found.html", f"Entries: {kept}; query: {asked}. Framed: as asked.", best)
    print(f"pictures: {start.folder / 'found.html'}")


if __name__ == "__main__":
    main()
