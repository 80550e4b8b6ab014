"""Sides of samples to vectors with a finished embedder: images opened when their turn comes, closed right after."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from embedder.errors import InputError
from embedder.model import ColPaLiQwenEmbedder
from embedder.prefixes import without_prefix
from embedder.protocol import EncodedRows, Sample
from trainer.data import JsonlSamples, Side, TrainSample
from trainer.errors import DataError
from trainer.gather import world_size
from trainer.loading import content_key, query_text

logger = logging.getLogger(__name__)

# Texts that are sorted by length together, in batches: more waste less padding.
TEXT_BATCHES = 8
_READ_AT_ONCE = 256


@dataclass(frozen=True)
class SideVectors:
    """Vectors of sides.

    Attributes:
        vectors: [n, D] on the CPU, unit length; rows named in `errors` are zero.
        errors: row -> why it could not be embedded.
    """

    vectors: Tensor
    errors: dict[int, str]


def prefixed(side: Side, task: str, prefixes: bool = True) -> Side:
    """A query as the model sees it in training: with its task's prefix, or in ablations without any.

    Raises:
        InputError: the text starts with another task's prefix.
    """
    return Side(query_text(side.text, task) if prefixes else without_prefix(side.text), side.images)


def side_key(side: Side) -> int:
    """63-bit key of a side's content, as training has it: equal for equal text and equal image files.

    Raises:
        InputError: an image file cannot be read.
    """
    return content_key(side.text, [_file_digest(path) for path in side.images])


@lru_cache(maxsize=1 << 16)
def _file_digest(path: Path) -> bytes:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError as error:
        raise InputError(f"image {path.name} cannot be read: {error.strerror or error}") from error


def read_samples(samples: JsonlSamples, rows: Iterable[int]) -> Iterator[tuple[int, TrainSample | DataError]]:
    """Samples by number, or what is wrong with them, read some hundred at a time."""
    waiting = list(islice(numbers := iter(rows), _READ_AT_ONCE))
    while waiting:
        yield from zip(waiting, samples.__getitems__(waiting), strict=True)
        waiting = list(islice(numbers, _READ_AT_ONCE))


def embed_sides(
    embedder: ColPaLiQwenEmbedder,
    sides: Iterable[Side],
    count: int,
    *,
    batch_size: int = 32,
    dtype: torch.dtype = torch.float32,
    label: str = "embed",
    show_progress: bool = True,
) -> SideVectors:
    """Embed `count` sides, read from an iterable piece by piece; a bad one costs its own row and no other.

    At most `batch_size` images, of which a decoded page is some megabytes, are in memory at once.
    """
    vectors = torch.zeros(count, embedder.dim, dtype=dtype)
    errors: dict[int, str] = {}
    was_training = embedder.training
    embedder.eval()
    try:
        with tqdm(total=count, desc=label, unit="side", disable=not show_progress, delay=1.0) as bar:
            start = 0
            for piece in _pieces(sides, batch_size):
                _embed_piece(embedder, piece, start, batch_size, vectors, errors)
                start += len(piece)
                bar.update(len(piece))
    finally:
        embedder.train(was_training)
    return SideVectors(vectors, errors)


def _pieces(sides: Iterable[Side], batch_size: int) -> Iterator[list[Side]]:
    piece: list[Side] = []
    images = 0
    for side in sides:
        if piece and (len(piece) >= TEXT_BATCHES * batch_size or images + len(side.images) > batch_size):
            yield piece
            piece, images = [], 0
        piece.append(side)
        images += len(side.images)
    if piece:
        yield piece


def _embed_piece(
    embedder: ColPaLiQwenEmbedder,
    piece: list[Side],
    start: int,
    batch_size: int,
    vectors: Tensor,
    errors: dict[int, str],
) -> None:
    rows: list[int] = []
    samples: list[Sample] = []
    with ExitStack() as opened:
        for row, side in enumerate(piece, start=start):
            try:
                samples.append(Sample(side.text, tuple(_open(path, opened) for path in side.images)))
                rows.append(row)
            except InputError as error:
                errors[row] = str(error)
        encoded = _encode(embedder, samples, batch_size)
    for number, reason in encoded.errors.items():
        errors[rows[number]] = str(reason) or type(reason).__name__
    good = [number for number in range(len(rows)) if number not in encoded.errors]
    vectors[[rows[number] for number in good]] = torch.from_numpy(encoded.vectors)[good].to(vectors.dtype)


def _encode(embedder: ColPaLiQwenEmbedder, samples: list[Sample], batch_size: int) -> EncodedRows:
    """As `encode_rows`; what a strange file makes Pillow or the model raise costs its own row too.

    With several ranks such an error is raised instead: a rank that alone ran out of memory and tried again would call
    the model more often than the others, which FSDP and ZeRO-3 answer by waiting for ever.
    """
    if not samples:
        return EncodedRows(np.empty((0, embedder.dim), dtype=np.float32))
    try:
        return embedder.encode_rows(samples, batch_size=batch_size)
    except Exception as error:
        if world_size() > 1 and not isinstance(error, InputError):
            raise
        if len(samples) == 1:
            return EncodedRows(np.zeros((1, embedder.dim), dtype=np.float32), {0: error})
        logger.warning("a batch of %d failed (%s): its samples are embedded one by one", len(samples), error)
    single = [_encode(embedder, [sample], 1) for sample in samples]
    found = {row: one.errors[0] for row, one in enumerate(single) if one.errors}
    if len(found) == len(samples):  # not the samples' fault
        raise found[0]
    return EncodedRows(np.concatenate([one.vectors for one in single]), found)


def _open(path: Path, opened: ExitStack) -> Image.Image:
    try:
        return opened.enter_context(Image.open(path))
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, DecompressionBombError ...
        raise InputError(f"image {path.name} cannot be opened: {error}") from error
