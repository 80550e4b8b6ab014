"""Places and neighbours: as by brute force, and the same each time."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedder.errors import InputError
from vipylo_rag import map_layout
from vipylo_rag.map_layout import Vectors, compare, lay_out


def unit(rows: Vectors) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(rows: int, seed: int, dim: int = 24, clusters: int = 4, spread: float = 0.25) -> Vectors:
    """Unit vectors around some centres."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(clusters, dim))
    return unit(centres[chance.integers(0, clusters, rows)] + spread * chance.normal(size=(rows, dim)))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([0.0, 0.05, 0.15, 0.3]),
    block=st.sampled_from([1, 4 * 60, 4 * 60 * 7, 2**20]),
)
def test_neighbours_are_those_of_brute_force(rows: int, seed: int, spread: float, block: int) -> None:
    vectors = clustered(rows, seed, spread=spread)
    cosines = vectors @ vectors.T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_layout, "_BLOCK_BYTES", block)
        alike = compare(vectors)
    np.fill_diagonal(cosines, -2)
    k = min(50, rows - 1)
    best = -np.sort(-cosines, axis=1)[:, :k]
    np.testing.assert_allclose(alike.cosines, best, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosines, alike.neighbours, axis=1), best, atol=1e-6)
    assert not any(row in neighbours for row, neighbours in enumerate(alike.neighbours))


def test_progress_ends_at_the_end() -> None:
    told: list[tuple[int, int]] = []
    compare(clustered(50, 2), lambda done, total: told.append((done, total)))
    assert told[-1] == (50, 50)


def test_pca_is_that_of_the_singular_value_decomposition() -> None:
    vectors = clustered(200, 3)
    layout = lay_out(vectors, compare(vectors), "pca")
    centred = vectors - vectors.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * spread[:2]
    for axis in range(2):
        same = min(np.abs(layout.places[:, axis] - sign * expected[:, axis]).max() for sign in (1, -1))
        assert same < 1e-4
    assert layout.held == pytest.approx((spread[:2] ** 2).sum() / (spread**2).sum(), abs=1e-4)
    assert layout.method == "pca" and layout.why == "asked"


def test_pca_is_the_same_whatever_way_an_axis_could_point() -> None:
    vectors = clustered(120, 4)
    alike = compare(vectors)
    first = lay_out(vectors, alike, "pca").places
    assert np.array_equal(first, lay_out(vectors.copy(), alike, "pca").places)
    backwards = lay_out(vectors[::-1].copy(), compare(vectors[::-1].copy()), "pca").places[::-1]
    np.testing.assert_allclose(first, backwards, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 19])
def test_few_pages_are_laid_out_all_the_same(rows: int) -> None:
    vectors = clustered(rows, 5)
    layout = lay_out(vectors, compare(vectors), "auto")
    assert layout.places.shape == (rows, 2) and np.isfinite(layout.places).all()
    assert (layout.method, layout.why) == ("pca", "few")


def test_equal_pages_have_one_place() -> None:
    vectors = np.repeat(clustered(1, 6), 30, axis=0)
    layout = lay_out(vectors, compare(vectors), "pca")
    assert np.ptp(layout.places, axis=0).max() < 1e-5 and layout.held == 1.0


def test_without_umap_it_is_pca_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)  # as an import sees it that is not installed
    vectors = clustered(40, 7)
    alike = compare(vectors)
    layout = lay_out(vectors, alike, "auto")
    assert (layout.method, layout.why) == ("pca", "missing")
    with pytest.raises(InputError, match=r"vipylo-rag\[map\]"):
        lay_out(vectors, alike, "umap")


@pytest.mark.slow  # numba compiles
def test_umap_is_the_same_each_time_and_keeps_alike_pages_together() -> None:
    pytest.importorskip("umap")
    vectors = clustered(150, 8)
    alike = compare(vectors)
    first, second = (lay_out(vectors, alike, "auto") for _ in range(2))
    assert first.method == "umap" and first.held is None
    assert np.array_equal(first.places, second.places)
    apart = np.linalg.norm(first.places[:, None] - first.places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1)
    kept = np.mean([nearest[row] in alike.neighbours[row, :15] for row in range(150)])
    assert kept > 0.6  # by chance it were 0.1
