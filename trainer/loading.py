"""Samples to what one optimizer step needs: token sequences, decoded images, chunks that fit into memory, keys."""

import hashlib
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from embedder.batching import plan_batches
from embedder.errors import InputError
from embedder.inputs import Tokenization, TokenSequence, collate
from embedder.pixels import PatchRows, patches, upright_size
from embedder.prefixes import PROMPTS, with_prefix, without_prefix
from embedder.protocol import Sample
from trainer.data import Side, TrainSample
from trainer.errors import DataError
from trainer.pixel_bytes import PixelBytes

# Patch rows of one image, uint8 [rows * columns, 3 * patch_size²], and its patch grid (rows, columns).
BytePatches: TypeAlias = tuple[npt.NDArray[np.uint8], tuple[int, int]]

QUERY, POSITIVE, NEGATIVE = 0, 1, 2


@dataclass
class Chunk:
    """What one forward pass embeds; on the CPU until it is its turn.

    Attributes:
        inputs: what `embedder.inputs.collate` gives: input_ids, attention_mask, mm_token_type_ids [rows, L], and with
            images pixel_values and image_grid_thw. pixel_values may be bytes, which `to` turns into numbers.
        kinds: int64 [rows], QUERY, POSITIVE or NEGATIVE.
        rows: int64 [rows], the step's row of a query or positive, or the number of a negative among the step's.
        pixels: how bytes in pixel_values become numbers; None where they are numbers already.
    """

    inputs: dict[str, Tensor]
    kinds: Tensor
    rows: Tensor
    pixels: PixelBytes | None = None

    def to(self, device: str | torch.device) -> "Chunk":
        """A copy on a device, ready for the model (pixel_values float32)."""
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        if self.pixels is not None and "pixel_values" in inputs:
            inputs["pixel_values"] = self.pixels.restore(inputs["pixel_values"])
        return Chunk(inputs, self.kinds.to(device), self.rows.to(device))


@dataclass
class StepBatch:
    """All samples of one optimizer step on one rank: B rows, M explicit negatives.

    Attributes:
        chunks: every side of every sample once, longest first; none if no sample is good.
        owner: int64 [M], the row each negative belongs to.
        tasks: int64 [B], index into `task_names`.
        scores: float32 [B].
        query_keys, positive_keys: int64 [B]; negative_keys: int64 [M]. Equal content has equal keys.
        groups: int64 [B]; equal for samples of one group, of the line's own where it has none.
        tokens: real tokens of all chunks.
        bad: messages of the samples that were left out, "FILE:LINE: field: reason".
    """

    chunks: list[Chunk]
    owner: Tensor
    tasks: Tensor
    scores: Tensor
    query_keys: Tensor
    positive_keys: Tensor
    negative_keys: Tensor
    groups: Tensor
    task_names: tuple[str, ...]
    tokens: int
    bad: tuple[str, ...]


@dataclass
class _OpenedImage:
    name: str
    image: ImageFile
    digest: bytes
    tokens: int
    place: str


@dataclass
class _LoadedSide:
    sequence: TokenSequence
    decoded: list[BytePatches]
    key: int


class StepCollator:
    """Turns a step's samples into a `StepBatch`; the `collate_fn` of a `DataLoader`, so workers do it ahead.

    Images become numbers in the way `encode` does it. Each file is read once: its bytes give the header, the key and
    the pixels. An image that would not fit is refused by its header. A sample of which any side cannot be loaded is
    left out whole, and said in `StepBatch.bad`; nothing is raised for it.

    Args:
        processor: of the checkpoint that is trained.
        max_tokens: longest sequence; longer text is cut.
        max_images: most images on one side.
        per_chunk: most samples' worth of rows in a chunk: `2 * per_chunk` rows.
        token_budget: most tokens in a chunk, padding included; a longer row is a chunk of its own.
        task_names: what `StepBatch.tasks` indexes.
        prefixes: put the task's prefix in front of the query's text; False takes it away (for ablations).
    """

    def __init__(
        self,
        processor: Any,
        max_tokens: int,
        max_images: int,
        per_chunk: int,
        token_budget: int,
        task_names: Sequence[str],
        prefixes: bool = True,
    ) -> None:
        self._tokenization = Tokenization(processor, max_tokens, max_images)
        self._pixels = PixelBytes.of(self._tokenization.budget)
        self._per_chunk = per_chunk
        self._token_budget = token_budget
        self._task_names = tuple(task_names)
        self._prefixes = prefixes

    def __call__(self, samples: Sequence[TrainSample | DataError]) -> StepBatch:
        """Samples, or the errors that stand in their place, as one step."""
        good: list[tuple[TrainSample, list[_LoadedSide]]] = []
        bad: list[str] = []
        for sample in samples:
            if isinstance(sample, DataError):
                bad.append(str(sample))
                continue
            try:
                good.append((sample, self._load(sample)))
            except DataError as error:
                bad.append(str(error))
        owner = [row for row, (sample, _) in enumerate(good) for _ in sample.negatives]
        return StepBatch(
            chunks=self._chunks([sides for _, sides in good]),
            owner=_int64(owner),
            tasks=_int64([self._task_names.index(sample.task) for sample, _ in good]),
            scores=torch.tensor([sample.score for sample, _ in good], dtype=torch.float32),
            query_keys=_int64([sides[0].key for _, sides in good]),
            positive_keys=_int64([sides[1].key for _, sides in good]),
            negative_keys=_int64([side.key for _, sides in good for side in sides[2:]]),
            groups=_int64([group_key(sample) for sample, _ in good]),
            task_names=self._task_names,
            tokens=sum(len(side.sequence.ids) for _, sides in good for side in sides),
            bad=tuple(bad),
        )

    def _load(self, sample: TrainSample) -> list[_LoadedSide]:
        """Query, positive and negatives of a sample."""
        if sample.task not in self._task_names:
            raise DataError(
                f"{sample.place}: task: unknown task {sample.task!r} (known: {', '.join(self._task_names)})"
            )
        sides = (sample.query, sample.positive, *sample.negatives)
        fields = ["query", "positive", *(f"negatives[{number}]" for number in range(len(sample.negatives)))]
        texts = [side.text for side in sides]
        try:
            texts[0] = query_text(texts[0], sample.task) if self._prefixes else without_prefix(texts[0])
        except InputError as error:
            raise DataError(f"{sample.place}: query.text: {error}") from error
        return [
            self._load_side(text, side, f"{sample.place}: {field}")
            for field, text, side in zip(fields, texts, sides, strict=True)
        ]

    def _load_side(self, text: str, side: Side, place: str) -> _LoadedSide:
        opened = [self._open(path, f"{place}.images[{number}]") for number, path in enumerate(side.images)]
        try:
            sequence = self._tokenization.sequence(Sample(text, tuple(file.image for file in opened)))
        except InputError as error:
            raise DataError(f"{place}: {error}") from error
        return _LoadedSide(
            TokenSequence(sequence.ids, (), sequence.cut),  # lets go of the files' bytes
            [self._decode(file) for file in opened],
            content_key(text, [file.digest for file in opened]),
        )

    def _open(self, path: Path, place: str) -> _OpenedImage:
        """An image as far as its header; the file is closed again."""
        try:
            content = path.read_bytes()
            image = Image.open(io.BytesIO(content))
        except UnidentifiedImageError as error:
            raise DataError(f"{place}: {path.name} is no image that can be read") from error
        except Exception as error:  # no such file, a bomb, or what a broken header makes Pillow raise
            raise DataError(f"{place}: {path.name} cannot be opened: {error}") from error
        image.filename = path.name  # for the messages of the embedder
        try:
            tokens = self._tokenization.budget.tokens(*upright_size(image))
        except InputError as error:
            raise DataError(f"{place}: {path.name}: {error}") from error
        return _OpenedImage(path.name, image, hashlib.blake2b(content, digest_size=16).digest(), tokens, place)

    def _decode(self, file: _OpenedImage) -> BytePatches:
        budget = self._tokenization.budget
        try:
            rows, grid = patches(file.image, budget)
        except InputError as error:
            raise DataError(f"{file.place}: {error}") from error
        except Exception as error:  # whatever a file makes Pillow raise, it costs this sample and no other
            raise DataError(f"{file.place}: {file.name} cannot be converted: {error}") from error
        if grid[0] * grid[1] // budget.merge_size**2 != file.tokens:
            raise DataError(f"{file.place}: {file.name} is not of the size its header says")
        return self._pixels.reduce(rows), grid

    def _chunks(self, samples: Sequence[Sequence[_LoadedSide]]) -> list[Chunk]:
        """Rows of similar length together, bounded by the budgets; the plan looks at lengths alone."""
        sides: list[_LoadedSide] = []
        places: list[tuple[int, int]] = []
        negatives = 0
        for row, (query, positive, *others) in enumerate(samples):
            sides += [query, positive, *others]
            places += [(QUERY, row), (POSITIVE, row)]
            places += [(NEGATIVE, negatives + number) for number in range(len(others))]
            negatives += len(others)
        lengths = [len(side.sequence.ids) for side in sides]
        tokenizer = self._tokenization.processor.tokenizer
        chunks: list[Chunk] = []
        for plan in plan_batches(lengths, 2 * self._per_chunk, self._token_budget):
            chosen = [sides[place] for place in plan]
            # `collate` only joins the patch rows: bytes do as well as numbers.
            decoded = cast("list[list[PatchRows]]", [side.decoded for side in chosen])
            inputs = collate([side.sequence for side in chosen], decoded, tokenizer)
            for side in chosen:  # a step's pixels are gigabytes: not twice
                side.decoded = []
            kinds, rows = zip(*(places[place] for place in plan), strict=True)
            chunks.append(Chunk(inputs, _int64(kinds), _int64(rows), self._pixels))
        return chunks


def query_text(text: str, task: str) -> str:
    """A query's text as `encode(task=...)` makes it. A task that a user added has no prefix unless the text brings it.

    Raises:
        InputError: the text starts with another task's prefix.
    """
    return with_prefix(text, task) if task in PROMPTS else text


def content_key(text: str, image_digests: Sequence[bytes]) -> int:
    """63-bit key of a side's content: equal for equal text and equal image files, whatever these are called.

    Case, white space, Unicode form and a task prefix make no difference: "Yes" is no negative of "yes".
    """
    spelled = unicodedata.normalize("NFC", " ".join(without_prefix(text).split())).casefold()
    return _key(b"content", spelled.encode("utf-8", "surrogatepass"), *image_digests)


def group_key(sample: TrainSample) -> int:
    """63-bit key of a sample's group; without one, of its line, so that it shares it with itself alone."""
    if sample.group is None:
        return _key(b"line", str(sample.line).encode())
    return _key(b"group", sample.group.encode())


def _key(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "little") >> 1


def _int64(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
