"""Find files that are the same page again: saved smaller, compressed, marked, or scanned, among pages that look alike.

The folder holds forms of one layout filled in for different people, so that a page's neighbour is not its copy. The
cosine that tells copies is chosen on half of the pages and measured on the other half.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from embedder import ColPaLiQwenEmbedder
from examples.applications.command import given, show_table
from examples.applications.copies import COPIES, Copy, write_folder
from examples.applications.rows import Pictured, Row, write_rows
from vipylo_rag.map import DUPLICATES
from vipylo_rag.map_layout import compare

# A small picture shows the embedder less than its large copy does: all are brought to one size first.
SIDE: Final = 700


@dataclass(frozen=True)
class Measured:
    """At a threshold, on the pairs of some pages: precision, also without pairs of pages of one layout; recall, also of
    a page and its copy for each way to copy."""

    threshold: float
    precision: float
    precision_unlike: float
    recall: float
    by_copy: dict[str, float]


def embed(embedder: ColPaLiQwenEmbedder, files: Sequence[Copy]) -> npt.NDArray[np.float32]:
    """Vectors of the files' pictures, [n, dim]."""
    pictures = [ImageOps.contain(Image.open(one.path).convert("RGB"), (SIDE, SIDE)) for one in files]
    return np.asarray(embedder.encode(images=pictures, batch_size=8, convert_to="numpy"))


def measure(vectors: npt.NDArray[np.float32], files: Sequence[Copy], threshold: float | None, half: int) -> Measured:
    """Judge the pairs within the even (`half` 0) or odd (1) pages; None takes the threshold with the best F1 there."""
    rows = [row for row, one in enumerate(files) if one.page % 2 == half]
    scores = vectors[rows] @ vectors[rows].T
    first, second = np.triu_indices(len(rows), 1)
    pair = scores[first, second]
    same = np.array([files[rows[a]].page == files[rows[b]].page for a, b in zip(first, second, strict=True)])
    if threshold is None:
        order = np.argsort(-pair)
        hits = np.cumsum(same[order])
        f1 = 2 * hits / (np.arange(1, len(pair) + 1) + same.sum())
        best = int(np.argmax(f1))
        # Between the last pair taken and the first left out, so that it is no number of one pair.
        threshold = float((pair[order[best]] + pair[order[min(best + 1, len(pair) - 1)]]) / 2)
    found = pair >= threshold
    way = [{files[rows[a]].how, files[rows[b]].how} for a, b in zip(first, second, strict=True)]
    by_copy = {how: float(found[[same[i] and way[i] == {"", how} for i in range(len(way))]].mean()) for how in COPIES}
    layout = np.array([files[rows[a]].layout == files[rows[b]].layout for a, b in zip(first, second, strict=True)])
    return Measured(
        threshold,
        precision=float(same[found].mean()) if found.any() else 1.0,
        precision_unlike=float(same[unlike].mean()) if (unlike := found & (same | ~layout)).any() else 1.0,
        recall=float(found[same].mean()),
        by_copy=by_copy,
    )


def main() -> None:
    """Write the folder, measure, print, and write `groups.html`."""
    start = given("near_duplicates", __doc__.splitlines()[0])
    files = write_folder(start.folder / "files")
    vectors = embed(start.embedder, files)
    chosen = measure(vectors, files, None, half=0)
    ways = {
        "chosen here": chosen,
        "other half": measure(vectors, files, chosen.threshold, half=1),
        "same, by `map`": measure(vectors, files, DUPLICATES, half=1),
    }
    table = [
        (
            f"{name}, cosine {m.threshold:.3f}",
            *(f"{share:.0%}" for share in (m.precision, m.precision_unlike, m.recall, *m.by_copy.values())),
        )
        for name, m in ways.items()
    ]
    head = ("measured on", "precision", "of unlike", "recall", *COPIES)
    show_table(f"{len(files)} files, {len(files) // 5} pages (of unlike: pairs of one form left out)", head, table)
    alike = compare(vectors, chosen.threshold)
    groups = [[files[row] for row in np.flatnonzero(alike.group == number)] for number in range(alike.group.max() + 1)]
    rows = []
    for group in groups:
        shown = [Pictured(Image.open(one.path), one.path.name, one.page == group[0].page) for one in group[:10]]
        layouts = ", ".join(sorted({one.layout for one in group}))
        rows.append(Row(f"{len(group)} files", f"{len({one.page for one in group})} pages: {layouts}", shown))
    pure = sum(len({one.layout for one in group}) == 1 for group in groups)
    print(f"{len(groups)} groups of files, {pure} of them of one form or one notice alone")
    lead = f"Files that hang together at cosine {chosen.threshold:.3f}; framed: of the same page as the first."
    write_rows(start.folder / "groups.html", "The same page again", lead, rows)
    print(f"pictures: {start.folder / 'groups.html'}")


if __name__ == "__main__":
    main()
