"""How long the samples of a run are, in tokens and patches: read from the training file, or assumed and said so."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from embedder.checkpoint import PLAIN_QWEN_MAX_PIXELS
from embedder.errors import InputError
from embedder.inputs import Tokenization
from embedder.model import MAX_IMAGES
from embedder.pixels import PixelBudget, upright_size
from embedder.prefixes import without_prefix
from embedder.processor import build_processor, default_chat_template
from embedder.protocol import Sample
from trainer.architectures import place_of
from trainer.config import TrainConfig
from trainer.data import JsonlSamples, Side, TrainSample
from trainer.errors import DataError

logger = logging.getLogger(__name__)

LINES_READ = 512
BYTES_PER_TOKEN = 4  # of UTF-8, about what byte-level BPE of 150k entries needs in English, Vietnamese and Chinese
_VISION_MARKS = 2  # <|vision_start|> and <|vision_end|> around an image
_SMALLEST_IMAGE = 56 * 56  # Qwen2-VL's own lower limit in pixels

# Six samples of ten have one picture on the query's side, an A4 page of 620x870 pixels.
ASSUMED_VISUAL, ASSUMED_QUERY, ASSUMED_POSITIVE, ASSUMED_PICTURES = 700, 48, 96, (6, 10)


@dataclass(frozen=True)
class RowLength:
    """One side of a sample: its text tokens, and the patches of each of its images."""

    text: int
    patches: tuple[int, ...] = ()

    def visual(self, merge: int) -> int:
        """Its visual tokens."""
        return sum(self.patches) // merge

    def tokens(self, merge: int) -> int:
        """All its tokens."""
        return self.text + self.visual(merge)


SampleLengths: TypeAlias = tuple[RowLength, ...]  # query, positive, negatives


@dataclass(frozen=True)
class Lengths:
    """Samples as they are in a run, and where the numbers come from, in words."""

    samples: tuple[SampleLengths, ...]
    notes: tuple[str, ...]


def assumed(config: TrainConfig, merge: int = 4) -> Lengths:
    """What is taken where there is no training file: scanned pages and texts, within the run's pixel limit."""
    pictured, of = ASSUMED_PICTURES
    limit = PixelBudget.of(_image_processor(config))
    visual = min(ASSUMED_VISUAL, limit.max_pixels // (limit.patch_size**2 * merge))
    page = RowLength(ASSUMED_QUERY, (visual * merge,))
    positive = RowLength(ASSUMED_POSITIVE)
    samples = ((page, positive),) * pictured + ((RowLength(ASSUMED_QUERY), positive),) * (of - pictured)
    note = (
        f"no training file: {pictured} of {of} samples have one image of {visual} visual tokens, "
        f"queries {ASSUMED_QUERY} and positives {ASSUMED_POSITIVE} text tokens"
    )
    return Lengths(samples, (note,))


def given(visual: int, text: int, merge: int = 4) -> Lengths:
    """All samples alike: one image of `visual` tokens (none if 0), and text, a third of it in the query."""
    query = RowLength(max(1, text // 3), (visual * merge,) if visual else ())
    note = f"tokens of a sample as given: {visual} visual, {text} text"
    return Lengths(((query, RowLength(max(1, text - text // 3))),), (note,))


def measured(config: TrainConfig, samples: JsonlSamples) -> Lengths:
    """Lengths of some lines spread over a training file; of images only the headers are read.

    Raises:
        DataError: none of these lines can be read.
    """
    tokenization = _tokenization(config)
    budget = tokenization.budget if tokenization else PixelBudget.of(_image_processor(config))
    rows = np.unique(np.linspace(0, len(samples) - 1, LINES_READ).astype(np.int64))
    found: list[SampleLengths] = []
    bad: list[str] = []
    for entry in samples.__getitems__(rows.tolist()):
        try:
            if isinstance(entry, DataError):
                raise entry
            found.append(_sample_lengths(entry, tokenization, budget, config.model.max_tokens))
        except (InputError, OSError) as error:
            bad.append(str(error))
    if not found:
        raise DataError(f"{samples.path}: none of {len(rows)} lines can be read, such as: {bad[0]}")
    how = "its tokenizer" if tokenization else f"{BYTES_PER_TOKEN} bytes of UTF-8 a token (no tokenizer here)"
    notes = [f"tokens of a sample: measured on {len(found)} of {len(samples):,} lines of {samples.path.name}, by {how}"]
    if bad:
        notes.append(f"{len(bad)} of {len(rows)} lines cannot be read, such as: {bad[0]}")
    return Lengths(tuple(found), tuple(notes))


def _sample_lengths(
    sample: TrainSample, tokenization: Tokenization | None, budget: PixelBudget, max_tokens: int
) -> SampleLengths:
    query = Side(f"<{sample.task}> {without_prefix(sample.query.text)}", sample.query.images)
    sides = (query, sample.positive, *sample.negatives)
    return tuple(_row_length(side, tokenization, budget, max_tokens) for side in sides)


def _row_length(side: Side, tokenization: Tokenization | None, budget: PixelBudget, max_tokens: int) -> RowLength:
    images = [Image.open(path) for path in side.images]
    try:
        sizes = [budget.grid(*upright_size(image)) for image in images]
        patches = tuple(rows * columns for rows, columns in sizes)
        visual = sum(patches) // budget.merge_size**2
        if tokenization:
            text = len(tokenization.sequence(Sample(side.text, tuple(images))).ids) - visual
        else:
            text = _VISION_MARKS * len(patches) + -(-len(side.text.encode()) // BYTES_PER_TOKEN)
        return RowLength(max(1, min(text, max_tokens - visual)), patches)
    finally:
        for image in images:
            image.close()


def _tokenization(config: TrainConfig) -> Tokenization | None:
    """How the checkpoint counts tokens, if its tokenizer is on this machine; its weights are not touched."""
    from transformers import AutoTokenizer

    place = place_of(config.model.checkpoint)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers, tokenizers and the hub client raise many kinds
        logger.info("no tokenizer of %s here: %s", place, error)
        return None
    processor = build_processor(_image_processor(config), tokenizer, default_chat_template())
    return Tokenization(processor, config.model.max_tokens, MAX_IMAGES)


def _image_processor(config: TrainConfig) -> Any:
    """With the pixel budget that training will use: the configuration's, a checkpoint of ours', or a plain Qwen's."""
    from transformers import Qwen2VLImageProcessorPil

    size = {"shortest_edge": _SMALLEST_IMAGE, "longest_edge": PLAIN_QWEN_MAX_PIXELS}
    place = Path(place_of(config.model.checkpoint))
    if (place / "modules.json").is_file():
        size = dict(Qwen2VLImageProcessorPil.from_pretrained(str(place), local_files_only=True).size)
    return Qwen2VLImageProcessorPil(
        size={
            "shortest_edge": config.model.min_pixels or size["shortest_edge"],
            "longest_edge": config.model.max_pixels or size["longest_edge"],
        }
    )


def mean_tokens(samples: Sequence[SampleLengths], merge: int) -> tuple[float, float]:
    """Mean visual and text tokens of a sample."""
    visual = sum(row.visual(merge) for sample in samples for row in sample)
    text = sum(row.text for sample in samples for row in sample)
    return visual / len(samples), text / len(samples)
