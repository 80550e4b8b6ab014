"""Text and images to model inputs: arguments to samples, samples to token sequences, sequences to a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from embedder.errors import InputError
from embedder.pixels import PatchRows, PixelBudget, patches, upright_size
from embedder.prefixes import IMAGE_MARKER, without_prefix
from embedder.protocol import Sample

IMAGE_PAD = "<|image_pad|>"
VISION_TOKENS = ("<|vision_start|>", IMAGE_PAD, "<|vision_end|>")


def samples_from(text: Any, images: Any) -> list[Sample]:
    """The arguments of `encode` as one list of samples.

    A single string is one sample (with one image or a list of images); a list of strings is one sample each, and
    `images[i]` is None, one image, or a list of images. Without text, each entry of `images` is a sample.

    Raises:
        InputError: lengths differ, or something is neither text nor a PIL image; names the row.
    """
    if text is None and images is None:
        raise InputError("nothing to encode: give text=, images=, or both")
    if isinstance(text, str):
        return [Sample(text, _image_tuple(images[0] if _is_nested(images) else images, 0))]
    if isinstance(images, Image.Image):
        images = [images]
    if text is None:
        return [Sample("", _image_tuple(entry, row)) for row, entry in enumerate(images)]
    texts = list(text)
    entries = [None] * len(texts) if images is None else list(images)
    if len(entries) != len(texts):
        raise InputError(f"{len(texts)} texts but {len(entries)} entries in images: use None where a text has no image")
    for row, entry in enumerate(texts):
        if not isinstance(entry, str):
            raise InputError(f"row {row}: text is a {type(entry).__name__}, not a string")
    return [
        Sample(entry, _image_tuple(images, row)) for row, (entry, images) in enumerate(zip(texts, entries, strict=True))
    ]


def _is_nested(images: Any) -> bool:
    return isinstance(images, (list, tuple)) and len(images) == 1 and isinstance(images[0], (list, tuple))


def _image_tuple(entry: Any, row: int) -> tuple[Image.Image, ...]:
    found = () if entry is None else (entry,) if isinstance(entry, Image.Image) else entry
    if not isinstance(found, (list, tuple)):
        raise InputError(f"row {row}: an image is a PIL image, a list of them or None, not a {type(entry).__name__}")
    for image in found:
        if not isinstance(image, Image.Image):
            raise InputError(
                f"row {row}: an image is a {type(image).__name__}, not a PIL image (open it with PIL first)"
            )
    return tuple(found)


@dataclass(frozen=True)
class TokenSequence:
    """A sample as tokens, before any image was decoded.

    Attributes:
        ids: token ids with every image pad already repeated to its image's token count.
        images: the images in the order of their pads.
        cut: how many text tokens were dropped to fit the token limit.
    """

    ids: list[int]
    images: tuple[Image.Image, ...]
    cut: int


class Tokenization:
    """Samples to token sequences for one processor: template, image pads, truncation. Decodes no image."""

    def __init__(self, processor: Any, max_tokens: int, max_images: int) -> None:
        self.processor = processor
        self.max_tokens = max_tokens
        self.max_images = max_images
        self.budget = PixelBudget.of(processor.image_processor)
        tokenizer = processor.tokenizer
        self._pad_id: int = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
        self._vision_ids = frozenset(tokenizer.convert_tokens_to_ids(list(VISION_TOKENS)))
        self._control = [token for token in tokenizer.get_added_vocab() if token.startswith("<|")]

    def sequence(self, sample: Sample) -> TokenSequence:
        """One sample as tokens.

        Raises:
            InputError: the sample is empty, has too many images or markers, or its images alone exceed the limit.
        """
        self._check(sample)
        text = self.templated(self.inert(sample.text), len(sample.images))
        ids = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        origins, cut = self.origins(ids, sample.images)
        return TokenSequence([ids[origin] for origin in origins], sample.images, cut)

    def inert(self, text: str) -> str:
        """A caller's text, whose control tokens became words: they must not forge image pads or end tokens."""
        for token in self._control:
            if token in text:
                text = text.replace(token, token.replace("<|", "< |", 1))
        return text

    def templated(self, text: str, images: int) -> str:
        """What the tokenizer gets: a text and so many images, in the chat template."""
        content = [{"type": "image"}] * images + [{"type": "text", "text": text}]
        templated: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=False
        )
        return templated

    def origins(self, ids: Sequence[int], images: Sequence[Image.Image]) -> tuple[list[int], int]:
        """What becomes of the tokens of a templated text: for each of the sequence, where in `ids` it comes from, and
        how many were dropped. An image's pad is repeated for each of its tokens; text is dropped from the end.

        Raises:
            InputError: the images alone exceed the limit.
        """
        counts = iter([self.budget.tokens(*upright_size(image)) for image in images])
        origins: list[int] = []
        for origin, token in enumerate(ids):
            origins.extend([origin] * (next(counts) if token == self._pad_id else 1))
        excess = len(origins) - self.max_tokens
        if excess <= 0:
            return origins, 0
        vision = sum(ids[origin] in self._vision_ids for origin in origins)
        if vision > self.max_tokens:
            raise InputError(
                f"its images take {vision} tokens, the limit is {self.max_tokens}: "
                "lower max_pixels or send fewer images"
            )
        kept: list[int] = []
        left = excess
        for origin in reversed(origins):
            if left > 0 and ids[origin] not in self._vision_ids:
                left -= 1
            else:
                kept.append(origin)
        return kept[::-1], excess

    def _check(self, sample: Sample) -> None:
        if not sample.images and not without_prefix(sample.text).strip():
            raise InputError("the sample is empty: it has neither text nor an image")
        if len(sample.images) > self.max_images:
            raise InputError(f"{len(sample.images)} images, but this checkpoint allows {self.max_images} in one sample")
        markers = sample.text.count(IMAGE_MARKER)
        if markers > len(sample.images):
            raise InputError(
                f"{markers} {IMAGE_MARKER} markers but {len(sample.images)} images "
                "(text that is data, not markup, goes through embedder.prefixes.literal first)"
            )


def decode(sequence: TokenSequence, budget: PixelBudget) -> list[PatchRows]:
    """The patch rows of a sample's images; the one step that reads pixels.

    Raises:
        InputError: an image cannot be decoded.
    """
    return [patches(image, budget) for image in sequence.images]


def collate(
    sequences: Sequence[TokenSequence], decoded: Sequence[list[PatchRows]], tokenizer: Any
) -> dict[str, Tensor]:
    """A padded batch of model inputs from sequences and their decoded images.

    Returns:
        input_ids, attention_mask, mm_token_type_ids: int64 [B, L] (padded on the tokenizer's side);
        with images also pixel_values: float32 [patches of all images, 3 * patch_size²] and
        image_grid_thw: int64 [images, 3], both in the order of the pads.
    """
    pad_id = tokenizer.convert_tokens_to_ids(IMAGE_PAD)
    longest = max(len(sequence.ids) for sequence in sequences)
    ids_BL = torch.full((len(sequences), longest), tokenizer.pad_token_id, dtype=torch.int64)
    mask_BL = torch.zeros_like(ids_BL)
    for row, sequence in enumerate(sequences):
        length = len(sequence.ids)
        span = slice(longest - length, longest) if tokenizer.padding_side == "left" else slice(0, length)
        ids_BL[row, span] = torch.tensor(sequence.ids, dtype=torch.int64)
        mask_BL[row, span] = 1
    batch = {
        "input_ids": ids_BL,
        "attention_mask": mask_BL,
        "mm_token_type_ids": ((ids_BL == pad_id) & (mask_BL == 1)).to(torch.int64),
    }
    images = [image for row in decoded for image in row]
    if images:
        batch["pixel_values"] = torch.from_numpy(np.concatenate([rows for rows, _ in images]))
        batch["image_grid_thw"] = torch.tensor([[1, *grid] for _, grid in images], dtype=torch.int64)
    return batch
