"""How a graph is drawn: which of its nodes, which edges are strong, and where the nodes stand. Knows only numbers."""

import heapq
from typing import Final

import numpy as np
import numpy.typing as npt

Edges = npt.NDArray[np.int64]  # [m, 2]
Weights = npt.NDArray[np.float64]  # [m]
Places = npt.NDArray[np.float32]  # [n, 2]

STRONGEST: Final = 2
_STEPS: Final = 220
_ROWS: Final = 256
_PUSH: Final = 0.12
_GRAVITY: Final = 0.02
_ROOM: Final = 2.6  # times the nodes' own size
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


def laid_out(count: int, edges: Edges, weights: Weights, radii: Weights, *, steps: int = _STEPS) -> Places:
    """[n, 2], in the unit of `radii`, around 0: linked nodes near each other, none on top of another.

    Force-directed: pushed apart by 1/distance, drawn together by the logarithm of it, so that what hangs together
    stands together (LinLog, Noack 2007); from a spiral in the nodes' order, so that it is the same each time.

    Args:
        weights: how strongly each edge pulls. radii: [n], how much room each node takes.
    """
    if not count:
        return np.zeros((0, 2), dtype=np.float32)
    turn = np.arange(count) * _GOLDEN
    spiral = np.sqrt(np.arange(count) + 0.5)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    places: Places = spiral.astype(np.float32)
    ends = edges.T if len(edges) else np.zeros((2, 0), dtype=np.int64)
    pull = weights.astype(np.float32)[:, None]
    mass = np.sqrt(1.0 + np.bincount(ends.ravel(), pull.repeat(2, axis=1).T.ravel(), count)).astype(np.float32)
    heat = 0.25 * float(np.sqrt(count))
    for step in range(steps):
        force = _PUSH * _pushes(places, mass)
        along = places[ends[1]] - places[ends[0]]
        distance = np.sqrt((along**2).sum(axis=1, keepdims=True)) + 1e-6
        drawn = pull * along * np.log1p(distance) / distance
        for axis in (0, 1):
            force[:, axis] += np.bincount(ends[0], drawn[:, axis], count) - np.bincount(ends[1], drawn[:, axis], count)
        force -= _GRAVITY * mass[:, None] * places  # what hangs on nothing must not fly away
        length = np.sqrt((force**2).sum(axis=1, keepdims=True)) + 1e-9
        places += force / length * np.minimum(length, heat * (1 - step / steps) ** 1.5 + 0.005)
    return _apart(places - places.mean(axis=0), radii.astype(np.float32))


def _pushes(places: Places, mass: npt.NDArray[np.float32]) -> Places:
    """What pushes each node away from all the others."""
    force = np.empty_like(places)
    for begin in range(0, len(places), _ROWS):
        away = places[begin : begin + _ROWS, None] - places[None]
        share = mass[None, :, None] / ((away**2).sum(axis=-1, keepdims=True) + 0.05)
        force[begin : begin + _ROWS] = mass[begin : begin + _ROWS, None] * (away * share).sum(axis=1)
    return force


def _apart(places: Places, radii: npt.NDArray[np.float32]) -> Places:
    """The places, scaled to the nodes' size, with what overlaps pushed aside."""
    side = float(np.sqrt((np.pi * (_ROOM * radii) ** 2).sum()))
    extent = float(np.quantile(np.abs(places), 0.95))  # a few far ones must not press all others together
    places = places * (side / 2 / max(extent, 1e-6))
    for _ in range(60):
        moved = False
        for begin in range(0, len(places), _ROWS):
            away = places[begin : begin + _ROWS, None] - places[None]
            distance = np.sqrt((away**2).sum(axis=-1)) + 1e-3
            lacking = radii[begin : begin + _ROWS, None] + radii[None] + 6 - distance
            rows = np.arange(len(lacking))
            lacking[rows, begin + rows] = 0
            lacking = np.maximum(lacking, 0)
            if lacking.any():
                moved = True
                places[begin : begin + _ROWS] += 0.4 * (away / distance[..., None] * lacking[..., None]).sum(axis=1)
        if not moved:
            break
    return places
