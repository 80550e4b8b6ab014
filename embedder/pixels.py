"""Images to Qwen2-VL patch rows: size planning before decoding, resizing, normalisation, patch order."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from embedder.errors import InputError
from embedder.exif import TURNS, orientation

MAX_ASPECT_RATIO = 200

# Patch rows of one image, float32 [rows * columns, 3 * patch_size²], and its patch grid (rows, columns).
PatchRows: TypeAlias = tuple[npt.NDArray[np.float32], tuple[int, int]]


@dataclass(frozen=True)
class PixelBudget:
    """How images are cut into patches; the part of the image processor's settings that decides the numbers.

    Attributes:
        min_pixels, max_pixels: an image is scaled to lie between them (its aspect ratio kept).
        patch_size, merge_size: a patch is `patch_size`² pixels; `merge_size`² patches become one token.
        mean, std: per channel, on the 0..1 scale.
    """

    min_pixels: int
    max_pixels: int
    patch_size: int
    merge_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: int

    @classmethod
    def of(cls, image_processor: Any) -> "PixelBudget":
        """Read from a transformers Qwen2-VL image processor (either backend)."""
        size = image_processor.size
        return cls(
            min_pixels=size["shortest_edge"],
            max_pixels=size["longest_edge"],
            patch_size=image_processor.patch_size,
            merge_size=image_processor.merge_size,
            mean=tuple(image_processor.image_mean),
            std=tuple(image_processor.image_std),
            resample=int(image_processor.resample),
        )

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Patch rows and columns of an image of this size, without looking at its pixels.

        Raises:
            InputError: one side is more than 200 times the other (Qwen2-VL's limit), or a side is 0.
        """
        if min(width, height) < 1:
            raise InputError(f"the image is empty ({width}x{height} pixels)")
        if max(width, height) / min(width, height) > MAX_ASPECT_RATIO:
            raise InputError(f"the image is {width}x{height} pixels: one side may be at most 200 times the other")
        tall, wide = smart_resize(height, width, self.patch_size * self.merge_size, self.min_pixels, self.max_pixels)
        return tall // self.patch_size, wide // self.patch_size

    def tokens(self, width: int, height: int) -> int:
        """Tokens that an image of this size takes in the sequence (its merged patches)."""
        rows, columns = self.grid(width, height)
        return rows * columns // self.merge_size**2


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after EXIF orientation, read from the header alone."""
    return (image.height, image.width) if orientation(image) in (5, 6, 7, 8) else image.size


def load_rgb(image: Image.Image) -> Image.Image:
    """Decode and turn to RGB: EXIF orientation applied, transparency put on white, 16-bit grey scaled down.

    Raises:
        InputError: the image cannot be decoded (truncated, broken).
    """
    turn = TURNS.get(orientation(image))
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, IndexError ...
        name = getattr(image, "filename", "") or "image"
        raise InputError(f"{name} cannot be decoded: {error}") from error
    upright = image if turn is None else image.transpose(turn)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        # Pillow's own conversion clips to 255: every 16-bit scan would turn white.
        grey = np.asarray(upright, dtype=np.float32)
        peak = 65535.0 if grey.max(initial=0) > 255 else 255.0
        upright = Image.fromarray((grey * (255.0 / peak)).clip(0, 255).astype(np.uint8))
    if upright.has_transparency_data:
        layered = upright.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return upright.convert("RGB")


def patches(image: Image.Image, budget: PixelBudget) -> PatchRows:
    """Patch rows of one image, in the order Qwen2-VL merges them.

    Each row is one patch, [channels * patch_size²], without the repeat over `temporal_patch_size` that the stock
    processor makes for still images: the model folds the two weight slices into one instead (half the memory).

    Returns:
        float32 [rows * columns, 3 * patch_size²] and (rows, columns) of the patch grid.
    """
    patch, merge = budget.patch_size, budget.merge_size
    rgb = load_rgb(image)
    rows, columns = budget.grid(*rgb.size)
    # reducing_gap: a box filter down to 3x the target first. Twice as fast on large scans, below 1/255 apart.
    resized = rgb.resize((columns * patch, rows * patch), Image.Resampling(budget.resample), reducing_gap=3.0)
    std = np.asarray(budget.std, dtype=np.float32)
    scale = (1.0 / 255.0) / std
    shift = np.asarray(budget.mean, dtype=np.float32) / std
    pixels_HWC = np.asarray(resized, dtype=np.float32) * scale - shift
    cells = pixels_HWC.reshape(rows // merge, merge, patch, columns // merge, merge, patch, 3)
    ordered = cells.transpose(0, 3, 1, 4, 6, 2, 5)  # block row, block column, row, column, channel, y, x
    return np.ascontiguousarray(ordered).reshape(rows * columns, 3 * patch * patch), (rows, columns)
