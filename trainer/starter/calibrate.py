"""The last step of the recipe: the projection in closed form, from what training pairs agree and differ in.

Between two things that must find each other, differences are noise: kind (image or text), language, length, style.
Whitening by the covariance of these differences (within-pair covariance, as in linear discriminant analysis) takes
them down in proportion. It costs minutes where gradient steps cost hours, and needs no further hyper-parameter search.
"""

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainer.starter.model import DIMENSION, Starter
from trainer.starter.render import CELL
from trainer.starter.samples import Batches, CropBatch, PairBatch, Stage, Texts

ROUTES = (
    ("span", "joint"), ("span", "whole"), ("span", "image"), ("whole", "image"), ("second", "image"),
    ("second", "joint"), ("second", "whole"), ("asked", "joint"),
)  # fmt: skip


@dataclass
class Pooled:
    """Mean states (before any projection) of views of crops, and of text pairs."""

    views: dict[str, list[Tensor]] = field(default_factory=dict)
    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)


@torch.no_grad()
def collect(starter: Starter, batches: Batches, stage: Stage, seconds: float, first: int = 10_000_000) -> Pooled:
    """Mean states of batches that training did not use (numbered from `first`), for about `seconds`."""
    pooled = Pooled()
    began, index = time.monotonic(), first
    with torch.autocast("cpu", torch.bfloat16):
        while not pooled.pairs or time.monotonic() - began < seconds:
            rng = batches.chance(index)
            _add_views(pooled, starter, batches.crop_batch(stage, rng))
            for _ in range(4):
                _add_pairs(pooled, starter, batches.pair_batch(replace(stage, pairs=48), rng))
            index += 1
    return pooled


def closed_form(pooled: Pooled, ridge: float = 1e-4, common: float = 1.0) -> Tensor:
    """Projection weight [1024, hidden]: inverse root of the within-pair covariance, rotated into 1,024 dimensions.

    `ridge` is relative to the mean variance; `common` weighs the mean of all states, which tells nothing apart.
    """
    views = {kind: torch.cat(states).double() for kind, states in pooled.views.items()}
    queries = torch.cat([query for query, _ in pooled.pairs]).double()
    positives = torch.cat([positive for _, positive in pooled.pairs]).double()
    means = [states.mean(dim=0) for kind, states in views.items() if kind != "asked"]
    centre = torch.stack([*means, torch.cat([queries, positives]).mean(dim=0)]).mean(dim=0)
    within = common * torch.outer(centre, centre) + _spread(queries - positives)
    for query, document in ROUTES:
        within += _spread(views[query] - views[document]) / len(ROUTES)
    size = len(centre)
    within = within / (torch.trace(within) / size) + ridge * torch.eye(size, dtype=torch.double)
    values, axes = torch.linalg.eigh(within)
    whitening = axes @ torch.diag(values**-0.5) @ axes.T
    # A fixed random rotation spreads the information over all dimensions: binary vectors and cuts stay meaningful.
    chance = torch.Generator().manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(DIMENSION, size, generator=chance, dtype=torch.double))
    weight: Tensor = rotation @ whitening
    return weight.float()


def _spread(differences: Tensor) -> Tensor:
    return differences.T.matmul(differences) / (2 * len(differences))


def _add_views(pooled: Pooled, starter: Starter, crops: CropBatch) -> None:
    assert crops.second is not None
    kept = len(crops.pixels) - crops.pictures
    grid = (crops.pixels.shape[1] // CELL, crops.pixels.shape[2] // CELL)
    second_grid = (crops.second.shape[1] // CELL, crops.second.shape[2] // CELL)
    cells, again = starter.look(crops.pixels), starter.look(crops.second)
    count = len(crops.pixels)
    nothing = Texts(torch.zeros((count, 0), dtype=torch.long), torch.zeros(count, dtype=torch.long))
    whole, span = crops.whole, crops.span
    views = {
        "image": starter.pool(nothing.ids, nothing.lengths, cells, grid),
        "joint": starter.pool(whole.ids, whole.lengths, cells, grid),
        "second": starter.pool(nothing.ids, nothing.lengths, again, second_grid),
        "whole": starter.pool(whole.ids, whole.lengths),
        "span": starter.pool(span.ids, span.lengths),
        "asked": starter.pool(span.ids, span.lengths, again, second_grid),
    }
    for kind, states in views.items():
        pooled.views.setdefault(kind, []).append(states[:kept].float())


def _add_pairs(pooled: Pooled, starter: Starter, pairs: PairBatch) -> None:
    queries, positives = pairs.queries, pairs.positives
    pooled.pairs.append(
        (
            starter.pool(queries.ids, queries.lengths).float(),
            starter.pool(positives.ids, positives.lengths).float(),
        )
    )
