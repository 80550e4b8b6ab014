"""Words find pictures, and pictures find words: recall both ways, on pictures the embedder can read and on others.

Sets of pairs: printed notices and what they say; the same asked by other words than those kept beside
the picture, as a page with a text layer has them; coloured things and their captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

from embedder import ColPaLiQwenEmbedder
from examples.applications.command import against_chance, given, show_table
from examples.applications.drawn import COLORS, SHAPES, thing
from examples.applications.notices import notices
from examples.applications.rows import Pictured, Row, write_rows

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pairs:
    """A set: pictures, the words kept beside each ("" for none), and the texts that belong to them; `summed` embeds
    picture and words apart and adds the vectors, where one sample of both is the usual way."""

    name: str
    pictures: Sequence[Image.Image]
    beside: Sequence[str]
    texts: Sequence[str]
    summed: bool = False


@dataclass(frozen=True)
class Recall:
    """Both ways: how many of `pairs` are found first, and in the first five; `order` is of pictures for each text."""

    name: str
    pairs: int
    to_image: tuple[int, int]
    to_text: tuple[int, int]
    order: npt.NDArray[np.intp]


def pair_sets(each: int = 4, seed: int = 7) -> list[Pairs]:
    """The sets; `each` notices of a kind and language."""
    printed = notices(each, seed)
    pictures = [one.picture for one in printed]
    # Asked by where it is from and one sentence; beside the picture stand these two and another: it has more to say.
    asked = [" ".join(one.sentences[:2]) for one in printed]
    layer = [" ".join(one.sentences[:3]) for one in printed]
    things = list(product(COLORS, SHAPES))
    return [
        Pairs("printed, picture alone", pictures, [""] * len(printed), [one.text for one in printed]),
        Pairs("printed, with text layer", pictures, layer, asked),
        Pairs("printed, with text, summed", pictures, layer, asked, summed=True),
        Pairs(
            "coloured things",
            [thing(shape, color, seed + row) for row, (color, shape) in enumerate(things)],
            [""] * len(things),
            [f"a {color} {shape}" for color, shape in things],
        ),
    ]


def measure(embedder: ColPaLiQwenEmbedder, pairs: Pairs) -> Recall:
    """Recall of one set, both ways."""
    beside, pictures = list(pairs.beside), list(pairs.pictures)
    if pairs.summed:
        apart = [embedder.encode(*one, batch_size=16, convert_to="numpy") for one in ((beside, None), (None, pictures))]
        entries = np.asarray(apart[0]) + np.asarray(apart[1])
        entries /= np.linalg.norm(entries, axis=1, keepdims=True)
    else:
        entries = np.asarray(embedder.encode(beside, pictures, batch_size=16, convert_to="numpy"))
    texts = embedder.encode(list(pairs.texts), batch_size=64, convert_to="numpy")
    scores = np.asarray(texts) @ entries.T
    return Recall(
        name=pairs.name,
        pairs=len(pairs.texts),
        to_image=_found(scores),
        to_text=_found(scores.T),
        order=np.argsort(-scores, axis=1, kind="stable"),
    )


def _found(scores: Vectors) -> tuple[int, int]:
    """How many rows have their own column first, and in the first five; of equal scores the own one comes last."""
    own = np.diag(scores)[:, None]
    ranks = (scores >= own).sum(axis=1)
    return int((ranks == 1).sum()), int((ranks <= 5).sum())


def main() -> None:
    """Measure, print, and write `found.html`."""
    start = given("cross_modal_retrieval", __doc__.splitlines()[0])
    table, rows = [], []
    for pairs in pair_sets():
        found = measure(start.embedder, pairs)
        for way, (first, five) in (("text to image", found.to_image), ("image to text", found.to_text)):
            n = found.pairs
            recalls = (against_chance(first, n, 1 / n), against_chance(five, n, 5 / n))
            table.append((f"{pairs.name}: {way}", str(n), *recalls))
        for row in range(3):
            shown = [
                Pictured(pairs.pictures[at], str(place), at == row) for place, at in enumerate(found.order[row][:6], 1)
            ]
            rows.append(Row(pairs.texts[row], pairs.name, shown))
    show_table("recall (↑ above chance, = at chance)", ("set", "pairs", "first", "in first 5"), table)
    lead = "Three texts of each set, with the pictures found for them; their own one is framed."
    write_rows(start.folder / "found.html", "Words find pictures", lead, rows)
    print(f"pictures: {start.folder / 'found.html'}")


if __name__ == "__main__":
    main()
