"""What pushes the nodes of a drawing apart: each feels all others, far ones group by group (Barnes and Hut, 1986).

The groups are those of a balanced tree: halves of halves of the nodes, each cut across its longer side. So all leaves
have the same size however the nodes are spread, and one step of all nodes is a few operations on arrays.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

_LEAF: Final = 4  # a leaf has so many nodes, or up to twice as many
_WIDE: Final = (
    0.6  # a group is taken as one if it and the leaf that feels it are less wide than this times their distance
)
_SOFT: Final = 0.05  # added to a squared distance: nodes in one place do not fly apart


@dataclass(frozen=True)
class Groups:
    """Who is felt by whom, one by one or as a group; it may be kept for some steps, as nodes move little.

    Attributes:
        nodes: [leaves, size], the nodes of each leaf; to have all of one size, some stand twice.
        once: [leaves, size], 1.0 or, where a node stands for the second time, 0.0.
        leaf, felt: [p], in the order of `leaf`: this leaf feels this node (counted along `nodes`) or, from
            `nodes.size` on, this group of the tree, counted from the root.
        begins: [leaves], where each leaf's part of these begins.
    """

    nodes: Numbers
    once: Floats
    leaf: Numbers
    felt: Numbers
    begins: Numbers

    @classmethod
    def of(cls, places: Floats) -> Self:
        """The groups of nodes ([n, 2]) that stand there."""
        count = len(places)
        depth = max(0, (count // _LEAF).bit_length() - 1)
        leaves = 2**depth
        size = -(-count // leaves)
        nodes = (np.arange(leaves * size, dtype=np.int64) % count)[None]
        once = (np.arange(leaves * size) < count).astype(np.float32)[None]
        for _ in range(depth):
            there = places[nodes]
            wide = np.ptp(there, axis=1)
            across = np.where(wide[:, :1] >= wide[:, 1:], there[:, :, 0], there[:, :, 1])
            order = np.argsort(across, axis=1, kind="stable")
            nodes = np.take_along_axis(nodes, order, axis=1).reshape(2 * len(nodes), -1)
            once = np.take_along_axis(once, order, axis=1).reshape(2 * len(once), -1)
        leaf, felt = _felt(places[nodes], depth)
        order = np.argsort(leaf, kind="stable")
        leaf, felt = leaf[order], felt[order]
        return cls(nodes, once, leaf, felt, np.searchsorted(leaf, np.arange(leaves)))

    def pushes(self, places: Floats, mass: Floats) -> Floats:
        """[n, 2]: the sum over all others of the masses' product by the distance, away from them.

        Args:
            places: [n, 2]. mass: [n].
        """
        x, y = places[self.nodes, 0], places[self.nodes, 1]
        heavy = mass[self.nodes] * self.once
        weights = np.maximum(_groups(heavy), 1e-9)  # a leaf may have nothing but nodes that stand twice
        with_x, with_y, with_mass = (
            np.concatenate([alone.ravel(), gathered])[self.felt][:, None]
            for alone, gathered in (
                (x, _groups(x * heavy) / weights),
                (y, _groups(y * heavy) / weights),
                (heavy, weights),
            )
        )
        away_x, away_y = x[self.leaf] - with_x, y[self.leaf] - with_y
        share = with_mass / (away_x**2 + away_y**2 + _SOFT)
        force = np.zeros_like(places)
        for axis, away in enumerate((away_x, away_y)):
            pushed = np.add.reduceat(share * away, self.begins, axis=0) * heavy
            force[:, axis] = np.bincount(self.nodes.ravel(), pushed.ravel(), len(places))
        return force


def _groups(of_nodes: Floats) -> Floats:
    """[2 * leaves - 1]: a sum of [leaves, size] for each group of the tree, the root's first."""
    levels = [of_nodes.sum(axis=1)]
    while len(levels[-1]) > 1:
        levels.append(levels[-1].reshape(-1, 2).sum(axis=1))
    return np.concatenate(levels[::-1])


def _felt(there: Floats, depth: int) -> tuple[Numbers, Numbers]:
    """Groups.leaf and Groups.felt, in no order; `there`: [leaves, size, 2], the places of the leaves' nodes."""
    leaves, size, _ = there.shape
    low, high = [there.min(axis=1)], [there.max(axis=1)]
    for _ in range(depth):
        low.append(low[-1].reshape(-1, 2, 2).min(axis=1))
        high.append(high[-1].reshape(-1, 2, 2).max(axis=1))
    centre = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    reach = [np.sqrt(((b - a) ** 2).sum(axis=1)) / 2 for a, b in zip(low, high, strict=True)]
    leaf, group = np.arange(leaves), np.zeros(leaves, dtype=np.int64)
    found: list[tuple[Numbers, Numbers]] = []
    for level in range(depth, -1, -1):
        between = np.sqrt(((centre[0][leaf] - centre[level][group]) ** 2).sum(axis=1))
        far = reach[0][leaf] + reach[level][group] < _WIDE * between
        first = leaves * size + 2 ** (depth - level) - 1
        found.append((leaf[far], first + group[far]))
        leaf, group = leaf[~far], group[~far]
        if level:
            leaf, group = leaf.repeat(2), (2 * group[:, None] + np.arange(2)).ravel()
    found.append((leaf.repeat(size), (size * group[:, None] + np.arange(size)).ravel()))
    return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])


def near_pairs(places: Floats, reach: float) -> tuple[Numbers, Numbers]:
    """The pairs of nodes ([n, 2]) in the same or neighbouring squares of a grid of side `reach`, each once: all that
    are nearer than `reach`, and some that are not."""
    square = np.floor((places - places.min(axis=0)) / reach).astype(np.int64)
    row = int(square[:, 0].max()) + 3  # with an empty square at the end, so that a row's last has no neighbour
    key = square[:, 1] * row + square[:, 0]
    order = np.argsort(key, kind="stable")
    key = key[order]
    here = np.arange(len(key), dtype=np.int64)
    # Of the squares around, those that come later: the rest of this one with the next, and the three below.
    runs = [(here + 1, np.searchsorted(key, key + 1, "right"))]
    runs.append((np.searchsorted(key, key + row - 1), np.searchsorted(key, key + row + 1, "right")))
    pairs = []
    for begin, end in runs:
        many = end - begin
        nth = np.arange(many.sum()) - (np.cumsum(many) - many).repeat(many)
        pairs.append((order[here.repeat(many)], order[begin.repeat(many) + nth]))
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
