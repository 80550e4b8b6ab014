"""Sort a folder of mixed documents into groups that nobody named, and name each by its most typical words.

Notices, coloured things and drawn radiographs: some files are text, some pictures, some pictures with a text layer.
k-means and HDBSCAN (scikit-learn, with extra `map`), compared with the kinds that are known.
"""

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from embedder import ColPaLiQwenEmbedder
from examples.applications.command import given, show_table
from examples.applications.mixed_files import File, mixed_files
from examples.applications.rows import Pictured, Row, write_rows
from vipylo_rag.passages import terms

Labels = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Agreement:
    """How clusters agree with kinds: share of files in a cluster of mostly their kind, and normalised information."""

    clusters: int
    purity: float
    nmi: float
    left_out: int


def embed(embedder: ColPaLiQwenEmbedder, files: Sequence[File]) -> npt.NDArray[np.float32]:
    """A vector of each file: text, picture, or both as one sample."""
    texts, pictures = [one.text for one in files], [one.picture for one in files]
    return np.asarray(embedder.encode(texts, pictures, batch_size=16, convert_to="numpy"))


def cluster(vectors: npt.NDArray[np.float32], count: int, seed: int = 0) -> Mapping[str, Labels]:
    """Clusters by both methods; -1 is what HDBSCAN leaves out. k-means is told how many, HDBSCAN finds out."""
    from sklearn.cluster import HDBSCAN, KMeans

    return {
        "k-means": KMeans(count, n_init=10, random_state=seed).fit_predict(vectors),
        "HDBSCAN": HDBSCAN(min_cluster_size=4, copy=True).fit_predict(vectors),
    }


def agreement(labels: Labels, kinds: Sequence[str]) -> Agreement:
    """Compare clusters with the known kinds; what was left out counts as a cluster each, so that it is no gain."""
    from sklearn.metrics import normalized_mutual_info_score

    own = [int(label) if label >= 0 else -1 - row for row, label in enumerate(labels)]
    most = sum(
        Counter(kind for kind, other in zip(kinds, labels, strict=True) if other == label).most_common(1)[0][1]
        for label in set(labels.tolist()) - {-1}
    )
    nmi = float(normalized_mutual_info_score(list(kinds), own))
    return Agreement(len(set(labels.tolist()) - {-1}), most / len(kinds), nmi, int((labels == -1).sum()))


def names(labels: Labels, texts: Sequence[str], most: int = 4) -> dict[int, str]:
    """Each cluster's most typical words: frequent in it, rare in other clusters (class-based TF-IDF)."""
    said = {label: Counter[str]() for label in set(labels.tolist()) - {-1}}
    for label, text in zip(labels.tolist(), texts, strict=True):
        if label >= 0:
            words = [word for word in terms(text) if not word.isdigit()]
            # Vietnamese words are mostly two syllables: pairs name better than single ones.
            said[label].update(set(f"{a} {b}" for a, b in pairwise(words)))
    seen = Counter(word for counts in said.values() for word in counts)
    typical = {
        label: sorted(counts, key=lambda word: (-counts[word] * math.log(1 + len(said) / seen[word]), word))[:most]
        for label, counts in said.items()
    }
    return {label: ", ".join(words) or "(pictures without words)" for label, words in typical.items()}


def main() -> None:
    """Cluster, print, and write `clusters.html`."""
    start = given("clustering", __doc__.splitlines()[0])
    files = mixed_files()
    kinds = [one.kind for one in files]
    vectors = embed(start.embedder, files)
    try:
        found = cluster(vectors, len(set(kinds)))
    except ImportError:
        sys.exit("scikit-learn is not installed: pip install 'vipylo-rag[map]'")
    random = np.random.default_rng(0).permutation(found["k-means"])
    table = [
        (name, str(a.clusters), f"{a.purity:.0%}", f"{a.nmi:.2f}", str(a.left_out))
        for name, a in ((n, agreement(labels, kinds)) for n, labels in (*found.items(), ("by chance", random)))
    ]
    head = ("method", "clusters", "purity", "NMI", "left out")
    show_table(f"{len(files)} files of {len(set(kinds))} kinds", head, table)
    labels, rows = found["k-means"], []
    for label, name in sorted(names(labels, [one.text for one in files]).items()):
        members = [one for one, other in zip(files, labels, strict=True) if other == label]
        counted = Counter(one.kind for one in members).most_common()
        print(f"{len(members):3} files  {name}:  " + ", ".join(f"{count} {kind}" for kind, count in counted))
        shown = [Pictured(one.shown, one.kind, one.kind == counted[0][0]) for one in members[:12]]
        rows.append(Row(name, f"{len(members)} files", shown))
    write_rows(start.folder / "clusters.html", "A folder in groups", "k-means; framed: the group's main kind.", rows)
    print(f"pictures: {start.folder / 'clusters.html'}")


if __name__ == "__main__":
    main()
