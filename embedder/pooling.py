"""From token states to one unit vector: masked mean, projection, optional Matryoshka cut, L2."""

import torch
from torch import Tensor


def masked_mean(states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean over the real tokens of each row, in float32: [B, L, D], [B, L] -> [B, D].

    Padding is excluded, so the padding side does not matter. Every real token counts the same, text or image.
    """
    weights = mask_BL.to(torch.float32).unsqueeze(-1)
    # where() and not only a product: padding states may be NaN under some attention kernels, and NaN * 0 is NaN.
    states = torch.where(weights > 0, states_BLD.to(torch.float32), 0.0)
    return states.sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def cut_and_normalize(vectors_BD: Tensor, dim: int | None = None, normalize: bool = True) -> Tensor:
    """The first `dim` components (all by default), then unit length unless `normalize` is False. [B, D] -> [B, dim]."""
    cut = vectors_BD if dim is None else vectors_BD[:, :dim]
    return torch.nn.functional.normalize(cut, dim=-1) if normalize else cut


def quantize(vectors_BD: Tensor, precision: str) -> Tensor:
    """Unit float vectors as "float32", "int8" (round(127 x), scale 1/127) or "binary" (sign bits packed to uint8).

    int8 keeps one fixed scale for all vectors, so that vectors from different calls stay comparable.
    Returns [B, D] float32, [B, D] int8 or [B, ceil(D / 8)] uint8 (most significant bit first, as numpy.packbits).
    """
    if precision == "float32":
        return vectors_BD
    if precision == "int8":
        return (vectors_BD * 127.0).round().clamp(-127, 127).to(torch.int8)
    bits = (vectors_BD > 0).to(torch.uint8)
    padded = torch.nn.functional.pad(bits, (0, -bits.shape[1] % 8))
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=bits.device)
    return (padded.view(bits.shape[0], -1, 8) * weights).sum(dim=-1).to(torch.uint8)
