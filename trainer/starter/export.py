"""A finished run -> the checkpoint directory that `embedder` and sentence-transformers load."""

from pathlib import Path

import torch
from transformers import Qwen2VLImageProcessorPil

from embedder.checkpoint import save_checkpoint
from trainer.starter.model import MERGE, PATCH, Starter
from trainer.starter.render import CELL

MAX_CELLS = 1000  # an A4 page at about 740 x 1040 pixels: letters of 12 points are 15 pixels tall
MAX_TOKENS = 8192


def image_processor() -> Qwen2VLImageProcessorPil:
    """The pixel budget and patch layout that the starter was trained for."""
    return Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4 * CELL * CELL, "longest_edge": MAX_CELLS * CELL * CELL},
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=2,
    )


def export(starter: Starter, tokenizer: object, folder: Path) -> None:
    """Write model and projection in bf16 with everything that loads them; training's own heads stay behind."""
    save_checkpoint(
        folder,
        starter.model,
        starter.projection,
        tokenizer,
        image_processor(),
        max_tokens=MAX_TOKENS,
        dtype=torch.bfloat16,
    )
