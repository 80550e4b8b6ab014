"""The losses: small functions of cosines and scores that return one value per row. They know no task and no batch.

Shape suffixes: R rows, C candidates. Sums and counts are the caller's, so that it can divide by global counts.
"""

import torch
from torch import Tensor


def info_nce(cosines_RC: Tensor, own_R: Tensor, temperature: float, excluded_RC: Tensor | None = None) -> Tensor:
    """Cross-entropy of each row's own candidate among all of its candidates. [R, C] -> [R].

        loss_i = -log( exp(c_i,own / t) / sum over j not excluded of exp(c_ij / t) )

    van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding"; with the other rows'
    positives as candidates: Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply".

    Args:
        cosines_RC: similarity of every row with every candidate.
        own_R: int64, the column of each row's own candidate.
        excluded_RC: bool, candidates that are no negatives of a row; a row's own candidate is never excluded.
            A row with no other candidate left has loss 0.
    """
    logits_RC = cosines_RC / temperature
    own_R1 = own_R.unsqueeze(1)
    if excluded_RC is not None:
        # -inf is safe: the own candidate always stays, so no row is all -inf (logsumexp would give NaN gradients).
        logits_RC = logits_RC.masked_fill(excluded_RC.scatter(1, own_R1, False), -torch.inf)
    return logits_RC.logsumexp(dim=1) - logits_RC.gather(1, own_R1).squeeze(1)


def squared_error(cosines_R: Tensor, scores_R: Tensor) -> Tensor:
    """(cos(q, p) - score)². [R], [R] -> [R].

    Reimers and Gurevych 2019, "Sentence-BERT" (the regression objective).
    """
    return (cosines_R - scores_R).square()


def cosine_distance(cosines_R: Tensor) -> Tensor:
    """1 - cos(q, p). [R] -> [R].

    The positive half of the cosine embedding loss, and the alignment term of Wang and Isola 2020, "Understanding
    Contrastive Representation Learning through Alignment and Uniformity": |q - p|² = 2 (1 - cos) for unit vectors.
    """
    return 1.0 - cosines_R


def triplet(positive_R: Tensor, negative_R: Tensor, margin: float) -> Tensor:
    """max(0, margin - cos(q, p) + cos(q, n)). [R], [R] -> [R]; a row whose negative is -inf (it has none) has loss 0.

    Schroff et al. 2015, "FaceNet: A Unified Embedding for Face Recognition and Clustering", with cosines.
    """
    return (margin - positive_R + negative_R).relu()


def hardest(cosines_RC: Tensor, excluded_RC: Tensor) -> Tensor:
    """The largest cosine among a row's candidates; -inf for a row that has none. [R, C] -> [R].

    Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification" (batch-hard).
    """
    if cosines_RC.shape[1] == 0:
        return cosines_RC.new_full((cosines_RC.shape[0],), -torch.inf)
    # max and not amax: among equals (duplicates) the gradient goes to one, as for one negative that was given.
    return cosines_RC.masked_fill(excluded_RC, -torch.inf).max(dim=1).values
