"""Find files that are the same page again: saved smaller, compressed, marked, or scanned, among pages that look alike.

The folder holds forms of one layout filled in for different people, so that a page's neighbour is not its copy. A
cosine that tells copies is chosen on half of the pages; on the other half it is measured beside a comparison of the
pictures themselves.
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
from vipylo_rag.map_layout import compare
from vipylo_rag.near_duplicates import PageText, Twins, find_twins

Same = npt.NDArray[np.bool_]
# A small picture shows the embedder less than its large copy does: all are brought to one size first.
SIDE: Final = 700


@dataclass(frozen=True)
class Measured:
    """Of the pairs that are called copies: the share that are; of all copies: the share found, also of a page and its
    copy for each way to copy; and how many of the pairs of different pages of one form are called copies."""

    precision: float
    recall: float
    by_copy: dict[str, float]
    one_form: int
    one_form_of: int


class Files:
    """The files as pages that are compared: they have no text."""

    def __init__(self, files: Sequence[Copy]) -> None:
        self._files = files

    def text(self, row: int) -> PageText:
        """Nothing is known."""
        return PageText("")

    def picture(self, row: int) -> Image.Image:
        """The file's picture."""
        return Image.open(self._files[row].path).convert("RGB")


def embed(embedder: ColPaLiQwenEmbedder, files: Sequence[Copy]) -> npt.NDArray[np.float32]:
    """Vectors of the files' pictures, [n, dim]."""
    pictures = [ImageOps.contain(Image.open(one.path).convert("RGB"), (SIDE, SIDE)) for one in files]
    return np.asarray(embedder.encode(images=pictures, batch_size=8, convert_to="numpy"))


def twins(vectors: npt.NDArray[np.float32], files: Sequence[Copy]) -> Twins:
    """The files' groups, as `vipylo map` finds them."""
    return find_twins(compare(vectors), [""] * len(files), Files(files))


def together(group: npt.NDArray[np.int32]) -> Same:
    """Whether two rows are in one group, [n, n]."""
    return np.asarray((group[:, None] == group) & (group >= 0))


def chosen_cosine(vectors: npt.NDArray[np.float32], files: Sequence[Copy], half: int) -> float:
    """The cosine with the best F1 on the pairs within the even (`half` 0) or odd (1) pages."""
    rows, first, second, same = _pairs(files, half)
    cosines = (vectors[rows] @ vectors[rows].T)[first, second]
    order = np.argsort(-cosines)
    f1 = 2 * np.cumsum(same[order]) / (np.arange(1, len(order) + 1) + same.sum())
    best = int(np.argmax(f1))
    # Between the last pair taken and the first left out, so that it is no number of one pair.
    return float(cosines[order[[best, min(best + 1, len(order) - 1)]]].mean())


def measure(called: Same, files: Sequence[Copy], half: int) -> Measured:
    """Judge the pairs that are called copies, [n, n], within the even (`half` 0) or odd (1) pages."""
    rows, first, second, same = _pairs(files, half)
    found = called[np.ix_(rows, rows)][first, second]
    ways = [{files[rows[a]].how, files[rows[b]].how} for a, b in zip(first, second, strict=True)]
    layout = np.array([files[row].layout for row in rows])
    one_form = (layout[first] == layout[second]) & ~same
    return Measured(
        precision=float(same[found].mean()) if found.any() else 1.0,
        recall=float(found[same].mean()),
        by_copy={how: float(found[same & [way == {"", how} for way in ways]].mean()) for how in COPIES},
        one_form=int(found[one_form].sum()),
        one_form_of=int(one_form.sum()),
    )


def _pairs(files: Sequence[Copy], half: int) -> tuple[list[int], npt.NDArray[np.intp], npt.NDArray[np.intp], Same]:
    """The rows of a half, the places in them of each pair, and whether a pair is of one page."""
    rows = [row for row, one in enumerate(files) if one.page % 2 == half]
    first, second = np.triu_indices(len(rows), 1)
    page = np.array([files[row].page for row in rows])
    return rows, first, second, page[first] == page[second]


def main() -> None:
    """Write the folder, measure, print, and write `groups.html`."""
    start = given("near_duplicates", __doc__.splitlines()[0])
    files = write_folder(start.folder / "files")
    vectors = embed(start.embedder, files)
    cosine, found = chosen_cosine(vectors, files, half=0), twins(vectors, files)
    ways = {
        f"cosine {cosine:.3f}": measure(vectors @ vectors.T >= cosine, files, half=1),
        "compared": measure(together(found.group), files, half=1),
    }
    table = [
        (name, *(f"{share:.0%}" for share in (m.precision, m.recall, *m.by_copy.values())), str(m.one_form))
        for name, m in ways.items()
    ]
    forms = ways["compared"].one_form_of
    title = f"{len(files)} files, {len(files) // 5} pages; forms: of {forms} pairs of other people's, called copies"
    show_table(title, ("", "right", "found", *COPIES, "forms"), table)
    rows = []
    for number in range(found.group.max() + 1):
        group = [files[row] for row in np.flatnonzero(found.group == number)]
        shown = [Pictured(Image.open(one.path), one.path.name, one.page == group[0].page) for one in group[:10]]
        layouts = ", ".join(sorted({one.layout for one in group}))
        rows.append(Row(f"{len(group)} files", f"{len({one.page for one in group})} pages: {layouts}", shown))
    print(f"{len(rows)} groups of files; {found.compared} pairs were compared, {found.left} left out")
    lead = "Files that are the same page by their pictures; framed: of the same page as the first."
    write_rows(start.folder / "groups.html", "The same page again", lead, rows)
    print(f"pictures: {start.folder / 'groups.html'}")


if __name__ == "__main__":
    main()
