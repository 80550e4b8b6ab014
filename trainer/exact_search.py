"""Exact search over vectors in blocks: no matrix of all queries by all documents ever exists."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Scores of one block of queries by one block of documents: 1,024 x 8,192 float32 are 32 MiB.
QUERY_BLOCK = 1024
DOCUMENT_BLOCK = 8192

# Cosines closer than this are a tie: the same product rounds differently in blocks of different shapes.
TIE = 1e-6


def ranks_of_right(
    queries_QD: Tensor,
    documents_ND: Tensor,
    right: Sequence[Sequence[int]],
    *,
    device: torch.device | None = None,
    query_block: int = QUERY_BLOCK,
    document_block: int = DOCUMENT_BLOCK,
) -> list[npt.NDArray[np.int64]]:
    """1-based ranks of each query's right documents among all documents, by falling inner product.

    A wrong document with the same score stands before a right one, and so does one whose score is NaN: a model that
    gives one vector for everything, or NaN, must not look perfect.

    Args:
        queries_QD, documents_ND: float32 vectors of one length.
        right: of each query, the rows of its right documents, each once.
        device: where the products are computed; by default where the queries are.

    Returns:
        Per query the ranks in the order of `right`; each query's ranks are all different.
    """
    place = device or queries_QD.device
    found: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(queries_QD), query_block):
        block_BD = queries_QD[start : start + query_block].to(place, torch.float32)
        wanted = right[start : start + len(block_BD)]
        found.extend(_ranks_of_block(block_BD, documents_ND, wanted, document_block))
    return found


def _ranks_of_block(
    queries_BD: Tensor, documents_ND: Tensor, right: Sequence[Sequence[int]], document_block: int
) -> list[npt.NDArray[np.int64]]:
    place = queries_BD.device
    counts = [len(rows) for rows in right]
    widest = max(counts, default=0)
    if widest == 0:
        return [np.empty(0, dtype=np.int64) for _ in right]
    pairs = _Pairs.of(right)
    own_P = _pair_scores(queries_BD, documents_ND, pairs)
    score_BR = torch.full((len(right), widest), torch.inf, device=place)  # unused places: no score reaches them
    score_BR[pairs.row.to(place), pairs.column.to(place)] = own_P.nan_to_num(nan=-torch.inf)
    sorted_BR, order_BR = score_BR.sort(dim=1)
    limit_BR = sorted_BR - TIE
    # reached[b, j]: wrong documents whose score reaches exactly the j lowest limits of query b.
    reached = torch.zeros(len(right), widest + 1, dtype=torch.int64, device=place)
    for start in range(0, len(documents_ND), document_block):
        score_BN = _scores(queries_BD, documents_ND, start, document_block)
        here = pairs.within(start, start + score_BN.shape[1])
        level_BN = torch.searchsorted(limit_BR, score_BN, right=True)  # NaN sorts last: it reaches every limit
        counted = torch.ones_like(level_BN)
        counted[here.row.to(place), (here.document - start).to(place)] = 0
        reached.scatter_add_(1, level_BN, counted)
    ahead_BR = reached.flip(1).cumsum(1).flip(1)[:, 1:]
    # Of the right documents, the ones with a higher score stand before: their number falls along the ascending order.
    total_B1 = torch.tensor(counts, device=place).unsqueeze(1)
    rank_BR = ahead_BR + total_B1 - torch.arange(widest, device=place)
    ranks = torch.empty_like(rank_BR).scatter_(1, order_BR, rank_BR).cpu().numpy()
    return [ranks[row, :count] for row, count in enumerate(counts)]


@dataclass(frozen=True)
class Nearest:
    """The best documents of each query.

    Attributes:
        scores: float32 [Q, k], falling; -inf where fewer than k documents were allowed.
        rows: int64 [Q, k], rows of the documents.
        above: int64 [Q], documents that were left out by the ceiling alone.
    """

    scores: Tensor
    rows: Tensor
    above: Tensor


def nearest(
    queries_BD: Tensor,
    documents_ND: Tensor,
    k: int,
    *,
    ceiling: Tensor | None = None,
    excluded: Sequence[Sequence[int]] | None = None,
    document_block: int = DOCUMENT_BLOCK,
) -> Nearest:
    """The k documents of highest inner product with each of one block of queries.

    Args:
        queries_BD: float32; the products are computed on its device, in float32.
        documents_ND: float16 or float32, on any device; moved over block by block.
        ceiling: [B]; documents that score higher are left out.
        excluded: of each query, rows of documents that are left out whatever they score.
    """
    place = queries_BD.device
    k = min(k, len(documents_ND))
    best = torch.full((len(queries_BD), k), -torch.inf, device=place)
    rows = torch.zeros((len(queries_BD), k), dtype=torch.int64, device=place)
    above = torch.zeros(len(queries_BD), dtype=torch.int64, device=place)
    pairs = _Pairs.of(excluded if excluded is not None else [])
    for start in range(0, len(documents_ND), document_block):
        score_BN = _scores(queries_BD, documents_ND, start, document_block).nan_to_num(nan=-torch.inf)
        here = pairs.within(start, start + score_BN.shape[1])
        score_BN[here.row.to(place), (here.document - start).to(place)] = -torch.inf
        if ceiling is not None:
            high_BN = score_BN > ceiling.to(place).unsqueeze(1)
            above += high_BN.sum(dim=1)
            score_BN.masked_fill_(high_BN, -torch.inf)
        top, column = score_BN.topk(min(k, score_BN.shape[1]), dim=1)
        merged = torch.cat([best, top], dim=1)
        best, chosen = merged.topk(k, dim=1)
        rows = torch.cat([rows, column + start], dim=1).gather(1, chosen)
    return Nearest(best.cpu(), rows.cpu(), above.cpu())


@dataclass(frozen=True)
class _Pairs:
    """(query of the block, document) pairs, flat, by rising document; `column` is the place in the query's own list."""

    row: Tensor
    document: Tensor
    column: Tensor

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> "_Pairs":
        count = [len(documents) for documents in lists]
        document = torch.tensor([number for documents in lists for number in documents], dtype=torch.int64)
        column = torch.tensor([place for size in count for place in range(size)], dtype=torch.int64)
        row = torch.repeat_interleave(torch.arange(len(lists)), torch.tensor(count, dtype=torch.int64))
        document, order = document.sort()
        return cls(row[order], document, column[order])

    def within(self, start: int, end: int) -> "_Pairs":
        first, last = torch.searchsorted(self.document, torch.tensor([start, end])).tolist()
        return _Pairs(self.row[first:last], self.document[first:last], self.column[first:last])


def _scores(queries_BD: Tensor, documents_ND: Tensor, start: int, size: int) -> Tensor:
    block_ND = documents_ND[start : start + size].to(queries_BD.device, torch.float32)
    return queries_BD @ block_ND.T


def _pair_scores(queries_BD: Tensor, documents_ND: Tensor, pairs: _Pairs, at_once: int = 8192) -> Tensor:
    place = queries_BD.device
    parts: list[Tensor] = []
    for start in range(0, len(pairs.row), at_once):
        rows, documents = pairs.row[start : start + at_once], pairs.document[start : start + at_once]
        vectors = documents_ND[documents.to(documents_ND.device)].to(place, torch.float32)
        parts.append((queries_BD[rows.to(place)] * vectors).sum(dim=1))
    return torch.cat(parts)
