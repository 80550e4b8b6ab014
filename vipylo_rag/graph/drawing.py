"""How a graph is drawn: which of its nodes, which edges are strong, and where the nodes stand. Knows only numbers."""

import heapq
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from vipylo_rag.graph.coarser import Level
from vipylo_rag.graph.repulsion import Groups, near_pairs

Edges = npt.NDArray[np.int64]  # [m, 2]
Weights = npt.NDArray[np.float64]  # [m]
Places = npt.NDArray[np.float32]  # [n, 2]

STRONGEST: Final = 2
_STEPS: Final = 220
_KEPT: Final = 4  # steps that groups of nodes are kept for
_PUSH: Final = 0.12
_GRAVITY: Final = 0.02
_ROOM: Final = 2.6  # times the nodes' own size
_BETWEEN: Final = 6.0  # at least this much, where it can be had in
_ROUNDS: Final = 60  # of pushing aside
_HEAT: Final = 0.25  # how far a node may go in the first step, by the graph's extent
_INSIDE: Final = 0.3  # how far from its place in the coarser graph a node begins
_GOLDEN: Final = np.pi * (3 - 5**0.5)


def best_connected(count: int, edges: Edges, most: int) -> npt.NDArray[np.int64]:
    """The numbers of at most `most` of `count` nodes, in order: those that are left when, again and again, the node
    with the fewest neighbours among the rest goes. So what stays hangs together."""
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for a, b in edges.tolist():
        if a != b:
            neighbours[a].add(b)
            neighbours[b].add(a)
    degree = [len(near) for near in neighbours]
    waiting = [(degree[node], -node, node) for node in range(count)]  # of equal ones the last goes first
    heapq.heapify(waiting)
    kept = [True] * count
    left = count
    while left > most:
        counted, _, node = heapq.heappop(waiting)
        if not kept[node] or counted != degree[node]:
            continue
        kept[node] = False
        left -= 1
        for other in neighbours[node]:
            if kept[other]:
                degree[other] -= 1
                heapq.heappush(waiting, (degree[other], -other, other))
    return np.flatnonzero(kept)


def strong(count: int, edges: Edges, weights: Weights, each: int = STRONGEST) -> npt.NDArray[np.bool_]:
    """[m]: whether an edge is among the `each` heaviest of one of its ends: drawn alone, these show the structure,
    where all of them would be a tangle."""
    taken = np.zeros(count, dtype=int)
    found = np.zeros(len(edges), dtype=bool)
    for number in np.argsort(-weights, kind="stable"):
        a, b = edges[number]
        if taken[a] < each or taken[b] < each:
            found[number] = True
            taken[a] += 1
            taken[b] += 1
    return found


def laid_out(
    count: int,
    edges: Edges,
    weights: Weights,
    radii: Weights,
    *,
    steps: int = _STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> Places:
    """[n, 2], in the unit of `radii`, around 0: linked nodes near each other, none on top of another.

    Force-directed: pushed apart by 1/distance, drawn together by the logarithm of it, so that what hangs together
    stands together (LinLog, Noack 2007); a coarser graph first, and the coarsest from a spiral in the nodes' order, so
    that it is the same each time. The time grows with n log n + m.

    Args:
        weights: how strongly each edge pulls. radii: [n], how much room each node takes.
        steps: for each of the graphs. progress: called with how many steps are done, and of how many.
    """
    if not count:
        return np.zeros((0, 2), dtype=np.float32)
    ends = edges.T if len(edges) else np.zeros((2, 0), dtype=np.int64)
    pull = weights.astype(np.float32)
    mass = np.sqrt(1.0 + np.bincount(ends.ravel(), np.tile(pull, 2), count)).astype(np.float32)
    levels = Level.all(ends, pull, mass)
    told = progress or (lambda done, total: None)
    places = np.zeros((1, 2), dtype=np.float32)
    for number, level in enumerate(levels):
        held = len(level.mass)
        beside = _spiral(held)
        places = places[level.inside] + beside * (_INSIDE / held**0.5) if number else beside
        heat = _HEAT * held**0.5
        for step in range(steps):
            if step % _KEPT == 0:
                groups = Groups.of(places)
            force = _force(places, level, groups)
            length = np.sqrt((force**2).sum(axis=1, keepdims=True)) + 1e-9
            places += force / length * np.minimum(length, heat * (1 - step / steps) ** 1.5 + 0.005)
            told(number * steps + step + 1, len(levels) * steps)
    return _apart(places - places.mean(axis=0), radii.astype(np.float32))


def _spiral(count: int) -> Places:
    """So many places around 0, all with as much room."""
    turn = np.arange(count) * _GOLDEN
    places: Places = np.sqrt(np.arange(count) + 0.5)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return places.astype(np.float32)


def _force(places: Places, level: Level, groups: Groups) -> Places:
    force = _PUSH * groups.pushes(places, level.mass)
    along = places[level.ends[1]] - places[level.ends[0]]
    distance = np.sqrt((along**2).sum(axis=1, keepdims=True)) + 1e-6
    drawn = level.pull[:, None] * along * np.log1p(distance) / distance
    for axis in (0, 1):
        force[:, axis] += np.bincount(level.ends[0], drawn[:, axis], len(places))
        force[:, axis] -= np.bincount(level.ends[1], drawn[:, axis], len(places))
    return force - _GRAVITY * level.mass[:, None] * places  # what hangs on nothing must not fly away


def _apart(places: Places, radii: npt.NDArray[np.float32]) -> Places:
    """The places, scaled to the nodes' size, with what overlaps pushed aside."""
    side = float(np.sqrt((np.pi * (_ROOM * radii) ** 2).sum()))
    extent = float(np.quantile(np.abs(places), 0.95))  # a few far ones must not press all others together
    places = places * (side / 2 / max(extent, 1e-6))
    for _ in range(_ROUNDS):
        a, b = near_pairs(places, 2 * float(radii.max()) + _BETWEEN)
        away = places[a] - places[b]
        distance = np.sqrt((away**2).sum(axis=1)) + 1e-3
        lacking = radii[a] + radii[b] + _BETWEEN - distance
        close = lacking > 0
        if not close.any():
            break
        aside = (0.4 * lacking / distance)[close, None] * away[close]
        for axis in (0, 1):
            places[:, axis] += np.bincount(a[close], aside[:, axis], len(places))
            places[:, axis] -= np.bincount(b[close], aside[:, axis], len(places))
    return places
