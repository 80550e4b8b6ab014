"""What the mean is taken of: every token of a sample as a vector of its own in the embedding space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from embedder.protocol import Sample


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """The projected token states W h_i of a sample.

    Attributes:
        vectors: [N, dim] float32, of any length; their mean has the direction of the sample's vector.
        content: [N]; False for tokens that say nothing of the sample: those that frame images, and its task's prefix.
    """

    vectors: npt.NDArray[np.float32]
    content: npt.NDArray[np.bool_]


@runtime_checkable
class TellsTokens(Protocol):
    """An embedder whose vectors are the mean over tokens, and which gives these. Others pool the last token."""

    def token_vectors(self, samples: Sequence[Sample], *, batch_size: int = 32) -> list[TokenVectors]:
        """The token vectors of each sample, in order; raises `InputError` naming the rows that cannot be embedded."""
