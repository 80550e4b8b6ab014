"""A graph, and the same graph ever coarser: what hangs together most is one node there. Laid out from the coarsest on,
a large graph does not get caught in the order that its nodes happen to be in (Walshaw 2003)."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

_FEW: Final = 50  # nodes that need no coarser graph
_TOGETHER: Final = 4  # at most so many become one
_LESS: Final = 0.9  # a coarser graph has at most this share of the nodes, or there is none


@dataclass(frozen=True)
class Level:
    """A graph of n nodes.

    Attributes:
        ends: [2, m], the nodes that each edge links. pull: [m], how strongly.
        mass: [n], how strongly each node pushes others away.
        inside: [n], which node of the next coarser graph each is in; empty in the coarsest.
    """

    ends: npt.NDArray[np.int64]
    pull: npt.NDArray[np.float32]
    mass: npt.NDArray[np.float32]
    inside: npt.NDArray[np.int64]

    @classmethod
    def all(
        cls, ends: npt.NDArray[np.int64], pull: npt.NDArray[np.float32], mass: npt.NDArray[np.float32]
    ) -> list[Self]:
        """The graph and its coarser ones, the coarsest first."""
        found: list[Self] = []
        while True:
            inside = _merged(ends, pull, mass)
            count = int(inside.max(initial=-1)) + 1
            if len(mass) <= _FEW or count > _LESS * len(mass):
                return [cls(ends, pull, mass, inside[:0]), *found[::-1]]
            found.append(cls(ends, pull, mass, inside))
            outer = np.sort(inside[ends], axis=0)
            between = outer[0] != outer[1]
            keys, which = np.unique(outer[0, between] * count + outer[1, between], return_inverse=True)
            pull = np.bincount(which, pull[between], len(keys)).astype(np.float32)
            mass = np.bincount(inside, mass, count).astype(np.float32)
            ends = np.stack([keys // count, keys % count])


def _merged(
    ends: npt.NDArray[np.int64], pull: npt.NDArray[np.float32], mass: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Level.inside: along the edges that pull the most, for what they link, until groups are full."""
    of = list(range(len(mass)))
    size = [1] * len(mass)

    def first(node: int) -> int:
        while of[node] != node:
            of[node] = of[of[node]]
            node = of[node]
        return node

    from_, to = ends.tolist()
    for edge in np.argsort(-pull / np.sqrt(mass[ends[0]] * mass[ends[1]]), kind="stable").tolist():
        a, b = sorted((first(from_[edge]), first(to[edge])))
        if a != b and size[a] + size[b] <= _TOGETHER:
            of[b] = a
            size[a] += size[b]
    return np.unique([first(node) for node in of], return_inverse=True)[1].astype(np.int64)
