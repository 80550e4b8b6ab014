"""Where pages stand on a map: which are alike, compared exactly and in blocks, and two coordinates for each."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from embedder.errors import InputError

Method = Literal["auto", "umap", "pca"]
Vectors = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

NEIGHBOURS: Final = 50
_UMAP_NEIGHBOURS: Final = 15
SEED: Final = 5
_BLOCK_BYTES: Final = 64 * 2**20
_FEWEST_FOR_UMAP: Final = 20


@dataclass(frozen=True)
class Alike:
    """Which pages are alike, by the cosines of n pages' vectors.

    Attributes:
        neighbours: [n, k] the rows most like each row, best first, itself left out; k is 50, or n - 1 if that is less.
        cosines: [n, k] how like they are.
    """

    neighbours: npt.NDArray[np.int32]
    cosines: Vectors


@dataclass(frozen=True)
class Layout:
    """Two coordinates for each page.

    Attributes:
        places: [n, 2]; only distances mean something.
        method: what made them.
        held: share of the vectors' variance that the two axes show; None for UMAP, whose axes have no such meaning.
        why: "asked"; or why it is not UMAP, which is better at keeping alike pages together: "missing" or "few" pages.
    """

    places: Vectors
    method: Literal["umap", "pca"]
    held: float | None
    why: Literal["asked", "missing", "few"]


def compare(vectors: Vectors, progress: Progress = lambda done, total: None) -> Alike:
    """Compare all pages with all: exact, in blocks of 64 MB, so that n^2 cosines are never held.

    Args:
        vectors: [n, dim], of unit length.
        progress: called with how many rows are compared, and how many there are.
    """
    rows = len(vectors)
    k = min(NEIGHBOURS, rows - 1)
    neighbours, cosines = np.empty((rows, k), dtype=np.int32), np.empty((rows, k), dtype=np.float32)
    step = max(1, _BLOCK_BYTES // (4 * rows))
    for start in range(0, rows, step):
        block = vectors[start : start + step] @ vectors.T
        own = np.arange(len(block))
        block[own, start + own] = -2.0  # itself
        if k:
            best = np.argpartition(block, -k, axis=1)[:, -k:]
            values = np.take_along_axis(block, best, axis=1)
            order = np.lexsort((best, -values), axis=1)
            neighbours[start : start + step] = np.take_along_axis(best, order, axis=1)
            cosines[start : start + step] = np.take_along_axis(values, order, axis=1)
        progress(start + len(block), rows)
    return Alike(neighbours, cosines)


def lay_out(vectors: Vectors, alike: Alike, method: Method) -> Layout:
    """Coordinates by UMAP, or by PCA where UMAP is not installed, not asked for, or has too few pages to learn from.

    The same vectors get the same places on the same machine.

    Args:
        vectors: [n, dim], n at least 1. alike: of `compare`.

    Raises:
        InputError: UMAP is asked for and not installed, or an unknown method.
    """
    if method not in ("auto", "umap", "pca"):
        raise InputError(f"method={method!r} is none of auto, umap, pca")
    places, held = _pca(vectors)
    if method == "pca":
        return Layout(places, "pca", held, "asked")
    if len(vectors) < _FEWEST_FOR_UMAP:
        return Layout(places, "pca", held, "few")
    umap = _umap_class()
    if umap is None:
        if method == "umap":
            raise InputError("UMAP is not installed: pip install 'vipylo-rag[map]', or take method pca")
        return Layout(places, "pca", held, "missing")
    return Layout(_umap(umap, vectors, alike, places), "umap", None, "asked")


def _pca(vectors: Vectors) -> tuple[Vectors, float]:
    """The two main axes [n, 2] and their share of the variance. Reads the vectors in blocks."""
    rows, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((dim, dim))
    for start in range(0, rows, 4096):
        centred = vectors[start : start + 4096] - mean
        scatter += centred.T @ centred
    spread, axes = np.linalg.eigh(scatter)
    main = axes[:, :-3:-1]
    # An axis may point either way: the way its largest part does, so that the same pages give the same map.
    main = main * np.sign(main[np.abs(main).argmax(axis=0), range(main.shape[1])])
    places = np.zeros((rows, 2), dtype=np.float32)
    places[:, : main.shape[1]] = vectors @ main.astype(np.float32) - (mean @ main).astype(np.float32)
    whole = float(spread.sum())
    return places, float(spread[:-3:-1].sum()) / whole if whole > 1e-9 * rows else 1.0


def _umap_class() -> Any:
    try:
        from umap import UMAP
    except ImportError:
        return None
    return UMAP


def _umap(umap: Any, vectors: Vectors, alike: Alike, start: Vectors) -> Vectors:
    """UMAP over the exact neighbours, begun at the PCA, which keeps what is far apart far apart."""
    rows = len(vectors)
    # UMAP counts a page as its own first neighbour.
    others = min(_UMAP_NEIGHBOURS, rows - 1) - 1
    indices = np.hstack([np.arange(rows, dtype=np.int32)[:, None], alike.neighbours[:, :others]])
    distances = np.hstack([np.zeros((rows, 1), dtype=np.float32), (1 - alike.cosines[:, :others]).clip(0)])
    extent = max(float(np.abs(start).max()), 1e-9)
    learner = umap(
        n_neighbors=indices.shape[1],
        min_dist=0.15,
        metric="cosine",
        precomputed_knn=(indices, distances),
        init=(start * (10 / extent)).astype(np.float32),
        random_state=SEED,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*knn_search_index", category=UserWarning)  # only for new pages
        return np.asarray(learner.fit_transform(vectors), dtype=np.float32)
