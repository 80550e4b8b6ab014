"""What any embedder offers: ours, a sentence-transformers model, or a server. Everything above relies on this alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

Task: TypeAlias = Literal["text_pair", "instr", "ocr", "vqa_multi", "vqa_single"]
Precision: TypeAlias = Literal["float32", "int8", "binary"]
Images: TypeAlias = Image.Image | Sequence[Image.Image] | None


@dataclass(frozen=True)
class Sample:
    """One thing to embed: text, images, or both. An `<image>` marker in the text places an image there."""

    text: str = ""
    images: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class EncodedRows:
    """Vectors of many samples, where a bad sample costs its own row and no other.

    Attributes:
        vectors: float32 [n, dim], unit length; rows named in `errors` are NaN.
        errors: row number -> what is wrong with it.
    """

    vectors: npt.NDArray[np.float32]
    errors: dict[int, Exception] = field(default_factory=dict)


@runtime_checkable
class Embedder(Protocol):
    """A model that puts text, images and any mix of both into one space of unit vectors."""

    @property
    def name(self) -> str:
        """What `from_pretrained` was given, for people."""

    @property
    def dim(self) -> int:
        """Length of the vectors."""

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens; longer text is cut, images that do not fit are refused."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of all that decides a vector: weights, prompts and template, pixel budget, token limit."""

    def encode(self, text: Any = None, images: Any = None, *, batch_size: int = 32, **options: Any) -> Any:
        """Vectors [n, dim] in the caller's order; raises `InputError` naming the rows that cannot be embedded."""

    def encode_rows(self, samples: Sequence[Sample], *, batch_size: int = 32) -> EncodedRows:
        """Vectors of all samples that can be embedded; the others are reported row by row instead of raised."""
