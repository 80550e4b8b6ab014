"""Normalised patch rows as the bytes they came from: a quarter of the memory between loader and model, nothing lost."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from embedder.pixels import PixelBudget


@dataclass(frozen=True)
class PixelBytes:
    """How `embedder.pixels.patches` turned 8-bit channels into numbers: value = byte * scale - shift.

    A step's pages are gigabytes as float32, and every worker holds several steps ahead. `restore` repeats the two
    operations of `patches` in float32, so the numbers are the same to the last bit.

    Attributes:
        scale, shift: per channel (red, green, blue).
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    @classmethod
    def of(cls, budget: PixelBudget) -> "PixelBytes":
        """For the normalisation of an image processor."""
        std = np.asarray(budget.std, dtype=np.float32)
        scale, shift = (1.0 / 255.0) / std, np.asarray(budget.mean, dtype=np.float32) / std
        return cls(tuple(scale.tolist()), tuple(shift.tolist()))

    def reduce(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Patch rows as bytes. float32 [n, 3 * patch_size²] -> uint8, same shape."""
        scale, shift = (np.asarray(part, dtype=np.float32)[:, None] for part in (self.scale, self.shift))
        channels = rows.reshape(len(rows), len(self.scale), -1)
        levels: npt.NDArray[np.uint8] = np.rint((channels + shift) / scale).astype(np.uint8)
        return levels.reshape(rows.shape)

    def restore(self, rows: Tensor) -> Tensor:
        """Patch rows of these bytes, on the same device. uint8 [n, 3 * patch_size²] -> float32, same shape."""
        scale, shift = (torch.tensor(part, device=rows.device)[:, None] for part in (self.scale, self.shift))
        channels = rows.view(len(rows), len(self.scale), -1).to(torch.float32)
        return (channels.mul_(scale).sub_(shift)).view(rows.shape)
