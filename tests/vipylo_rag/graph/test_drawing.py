"""What of a graph is drawn, and where: the well-connected, the strong, and nothing on top of anything."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vipylo_rag.graph.drawing import best_connected, laid_out, strong


def pairs(*edges: tuple[int, int]) -> np.ndarray:
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


def test_what_is_left_hangs_together() -> None:
    # A clique of four, and a star whose centre has more neighbours than any of them.
    clique = [(a, b) for a in range(4) for b in range(a)]
    star = [(4, leaf) for leaf in range(5, 12)]
    assert best_connected(12, pairs(*clique, *star), 4).tolist() == [0, 1, 2, 3]
    assert best_connected(12, pairs(*clique, *star), 12).tolist() == list(range(12))
    assert best_connected(3, pairs(), 2).tolist() == [0, 1]


def test_an_edge_is_drawn_for_either_of_its_ends() -> None:
    # A hub with five others: each of them has the edge to the hub alone, so all are drawn; between two hubs, the light
    # one is not, as each has heavier ones.
    edges = pairs((0, 2), (0, 3), (1, 4), (1, 5), (0, 1))
    assert strong(6, edges, np.array([1.0, 1.0, 1.0, 1.0, 0.1])).tolist() == [True, True, True, True, False]


@given(st.integers(0, 40), st.data())
@settings(max_examples=25, deadline=None)
def test_nodes_do_not_cover_each_other(count: int, data: st.DataObject) -> None:
    node = st.integers(0, max(0, count - 1))
    edges = pairs(*(data.draw(st.lists(st.tuples(node, node), max_size=60)) if count else []))
    radii = np.array(data.draw(st.lists(st.floats(3, 30), min_size=count, max_size=count)), dtype=np.float64)
    places = laid_out(count, edges, np.ones(len(edges)), radii, steps=40)
    assert places.shape == (count, 2) and np.isfinite(places).all()
    apart = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=-1))
    np.fill_diagonal(apart, np.inf)
    assert (apart > 0.8 * (radii[:, None] + radii[None])).all()


def test_two_groups_stand_apart_and_the_same_each_time() -> None:
    groups = [(a, b) for start in (0, 10) for a in range(start, start + 10) for b in range(start, a)]
    edges = pairs(*groups, (0, 10))
    places = laid_out(20, edges, np.ones(len(edges)), np.full(20, 5.0))
    assert np.array_equal(places, laid_out(20, edges, np.ones(len(edges)), np.full(20, 5.0)))
    centres = places[:10].mean(axis=0), places[10:].mean(axis=0)
    spread = max(float(np.linalg.norm(places[part] - centre, axis=1).mean()) for part, centre in
                 zip((slice(0, 10), slice(10, 20)), centres, strict=True))  # fmt: skip
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
