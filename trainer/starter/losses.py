"""The recipe's losses, computed from scores and unit vectors only."""

import torch
from torch import Tensor
from torch.nn import functional as F


def bag_cross_entropy(scores_NV: Tensor, places_M2: Tensor) -> Tensor:
    """Cross-entropy against the bag of things in each row: `places` holds (row, column) of every thing.

    A row's things share its weight, so full cells count no more than sparse ones. Rows without things do not count.
    """
    rows, columns = places_M2.unbind(1)
    counts = torch.bincount(rows, minlength=scores_NV.shape[0]).clamp(min=1)
    log_probs = scores_NV.float() - scores_NV.float().logsumexp(dim=-1, keepdim=True)
    used = (torch.bincount(rows, minlength=scores_NV.shape[0]) > 0).sum().clamp(min=1)
    return -(log_probs[rows, columns] / counts[rows]).sum() / used


def bag_recall(scores_NV: Tensor, places_M2: Tensor) -> float:
    """Share of each row's distinct things that stand among its as many best scores."""
    distinct = torch.unique(places_M2, dim=0)
    counts = torch.bincount(distinct[:, 0], minlength=scores_NV.shape[0])
    order = scores_NV.argsort(dim=-1, descending=True)[:, : int(counts.max())]
    rank = torch.full_like(scores_NV, order.shape[1], dtype=torch.long)
    rank.scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
    hit = rank[distinct[:, 0], distinct[:, 1]] < counts[distinct[:, 0]]
    return float(hit.float().mean())


def info_nce(queries: Tensor, documents: Tensor, temperature: float, groups: Tensor | None = None) -> Tensor:
    """Symmetric in-batch InfoNCE; two rows of the same group are not each other's negatives."""
    scores = queries @ documents.T / temperature
    if groups is not None:
        same = (groups[:, None] == groups[None, :]) & ~torch.eye(len(groups), dtype=torch.bool)
        scores = scores.masked_fill(same, float("-inf"))
    target = torch.arange(len(scores))
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


def cell_info_nce(cells_ND: Tensor, words_MD: Tensor, under_M2: Tensor, ids_M: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE between cells and the tokens under them: what is seen at a place is what is read there.

    `under` holds (row of `words`, row of `cells`) for every token, `ids` its token. A cell's text is the mean of its
    tokens' vectors; cells over the same tokens are not each other's negatives.
    """
    words, cells = under_M2.unbind(1)
    used, place = torch.unique(cells, return_inverse=True)
    texts = torch.zeros(len(used), words_MD.shape[1], dtype=torch.float32).index_add(0, place, words_MD[words].float())
    # Sums of pseudo-random 62-bit numbers, one a token: equal for equal bags, hardly ever otherwise.
    mixed = (ids_M * 0x9E3779B97F4A7C1 ^ (ids_M + 1) * 0x2545F4914F6CDD1) & ((1 << 61) - 1)
    bags = torch.zeros(len(used), dtype=torch.int64).index_add(0, place, mixed)
    return info_nce(F.normalize(cells_ND[used].float(), dim=-1), F.normalize(texts, dim=-1), temperature, bags)


def cell_error(cells_ND: Tensor, words_MD: Tensor, under_M2: Tensor) -> Tensor:
    """Squared error between each cell and the sum of the vectors under it, relative to these sums' energy.

    Empty cells are to give zero: in a page's mean there are hundreds of them. `words` are only a target here.
    """
    words, cells = under_M2.unbind(1)
    sums = torch.zeros_like(cells_ND, dtype=torch.float32).index_add(0, cells, words_MD.detach()[words].float())
    return (cells_ND.float() - sums).square().sum() / sums.square().sum().clamp(min=1e-6)
