"""Each loss against plain Python, by numeric gradients, and where its value is known in closed form."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainer.reference_objective import cross_entropy
from trainer.losses import cosine_distance, hardest, info_nce, squared_error, triplet


def cosines(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_info_nce_is_cross_entropy_over_what_is_not_excluded(seed: int, temperature: float) -> None:
    scores, own = cosines(5, 8, seed=seed), torch.tensor([0, 1, 2, 7, 2])
    excluded = cosines(5, 8, seed=seed + 50) > 0.2
    found = info_nce(scores, own, temperature, excluded)
    for row in range(5):
        kept = [float(scores[row, own[row]])]
        kept += [float(scores[row, j]) for j in range(8) if j != own[row] and not excluded[row, j]]
        assert float(found[row]) == pytest.approx(cross_entropy(kept, 0, temperature), abs=1e-10)


def test_squared_error_cosine_distance_and_triplet() -> None:
    left, right = cosines(40), cosines(40, seed=1)
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    np.testing.assert_allclose(squared_error(left, right), [(c - s) * (c - s) for c, s in pairs])
    np.testing.assert_allclose(cosine_distance(left), [1 - c for c, _ in pairs])
    expected = [max(0.0, 0.2 - p + n) for p, n in pairs]
    assert 0 < sum(value > 0 for value in expected) < 40, "the margin is met by some and not by others"
    np.testing.assert_allclose(triplet(left, right, 0.2), expected)


def test_hardest_is_the_largest_that_is_not_excluded() -> None:
    scores, excluded = cosines(6, 9), cosines(6, 9, seed=1) > 0.5
    excluded[2] = True
    for row, value in enumerate(hardest(scores, excluded).tolist()):
        kept = [float(scores[row, j]) for j in range(9) if not excluded[row, j]]
        assert value == max(kept, default=-math.inf)
    assert hardest(scores[:, :0], excluded[:, :0]).tolist() == [-math.inf] * 6


def test_gradients() -> None:
    scores, own = cosines(4, 6).requires_grad_(), torch.tensor([0, 1, 2, 3])
    excluded = cosines(4, 6, seed=3) > 0.4
    excluded[3] = True  # nothing left but the own candidate
    other = cosines(4, seed=7).requires_grad_()
    first = cosines(4).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: info_nce(s, own, 0.3, excluded), scores)
    assert torch.autograd.gradcheck(lambda s: hardest(s, excluded)[:3], scores)
    assert torch.autograd.gradcheck(squared_error, (first, other))
    assert torch.autograd.gradcheck(cosine_distance, first)
    assert torch.autograd.gradcheck(lambda p, n: triplet(p, n, 0.2), (first, other))


def test_equal_cosines_give_the_log_of_their_number() -> None:
    found = info_nce(torch.zeros(3, 16), torch.tensor([0, 5, 15]), 0.07)
    np.testing.assert_allclose(found, math.log(16), rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.01, 0.07])
def test_extreme_cosines_stay_finite(temperature: float) -> None:
    scores = torch.tensor([[-1.0, 1.0], [1.0, -1.0]], requires_grad=True)
    found = info_nce(scores, torch.tensor([0, 0]), temperature)
    assert found.tolist() == pytest.approx([2 / temperature, 0.0], abs=1e-5)
    found.sum().backward()
    assert scores.grad is not None and scores.grad.isfinite().all()


def test_a_row_without_candidates_has_neither_loss_nor_gradient() -> None:
    scores = cosines(2, 3).float().requires_grad_()
    everything = torch.ones(2, 3, dtype=torch.bool)
    own = torch.tensor([1, 2])
    loss = info_nce(scores, own, 0.07, everything)
    apart = triplet(torch.zeros(2), hardest(scores, everything), 0.2)
    assert loss.tolist() == apart.tolist() == [0.0, 0.0]
    (loss.sum() + apart.sum()).backward()
    assert scores.grad is not None and not scores.grad.any()


def test_among_equal_negatives_the_gradient_goes_to_one() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.1]], requires_grad=True)
    hardest(scores, torch.zeros(1, 3, dtype=torch.bool)).sum().backward()
    assert scores.grad is not None and sorted(scores.grad[0].tolist()) == [0.0, 0.0, 1.0]
