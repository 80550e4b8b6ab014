"""Why a sample and a vector are as near as they are: what each image patch and each word adds to their cosine.

The vector of a sample is the mean of its token states h_i, projected by W and brought to unit length. All of that is
linear but the length, so the cosine with a unit vector v is a sum over the N tokens, exactly:

    cos = sum_i share_i,    share_i = v · (W h_i) / (N |W mean(h)|)

One forward pass, no gradients, no approximation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from embedder.errors import InputError
from embedder.inputs import IMAGE_PAD, Tokenization, collate, decode
from embedder.pooling import cut_and_normalize
from embedder.prefixes import IMAGE_MARKER
from embedder.protocol import Sample

if TYPE_CHECKING:
    from embedder.model import ColPaLiQwenEmbedder

Floats: TypeAlias = npt.NDArray[np.float64]
Span: TypeAlias = tuple[int, int]

# A character of no language, in place of each of a text's: where they stand in the template is where the text does.
_STAND_IN = "\ue000"


@dataclass(frozen=True)
class TokenShare:
    """What one token of the text adds: the characters `start` to `end` (exclusive) of the sample's text.

    Tokens that are parts of one character (of an emoji, say) all have that character's span.
    """

    start: int
    end: int
    share: float


@dataclass(frozen=True, eq=False)
class SampleExplanation:
    """What a sample's parts add to its cosine with a vector: `images`, `tokens` and `other` sum to `score`.

    Attributes:
        score: the cosine.
        images: for each image, in the sample's order, the shares of its merged patches [rows, columns]: a grid over the
            whole upright image, row 0 at the top.
        tokens: the text's tokens in their order, without those that were cut because they did not fit.
        other: the sum over all else: the tokens that frame images, and the chat template's.
        vector: the sample's own unit vector [dim], as `encode` gives it.
    """

    score: float
    images: tuple[Floats, ...]
    tokens: tuple[TokenShare, ...]
    other: float
    vector: npt.NDArray[np.float32]

    @property
    def picture_share(self) -> float:
        """Sum over all images."""
        return float(sum(grid.sum() for grid in self.images))

    @property
    def text_share(self) -> float:
        """Sum over the whole text."""
        return sum(token.share for token in self.tokens)

    def over(self, text: str, spans: Sequence[Span]) -> list[float]:
        """What parts of the sample's text add, such as its words. A token that belongs to several is split among its
        characters; white space counts for none.

        Args:
            text: the sample's text.
            spans: (start, end) of each part, end exclusive; apart from each other and in order.

        Example:
            >>> why.over("red car", [(0, 3), (4, 7)])      # doctest: +SKIP
            [0.31, 0.12]
        """
        owner = np.full(len(text) + 1, -1)
        for number, (start, end) in enumerate(spans):
            owner[start:end] = number
        sums = [0.0] * len(spans)
        for token in self.tokens:
            places = [place for place in range(token.start, token.end) if not text[place].isspace()]
            for place in places:
                if owner[place] >= 0:
                    sums[owner[place]] += token.share / len(places)
        return sums


@runtime_checkable
class Explains(Protocol):
    """An embedder that can say why. Those that pool the last token cannot."""

    def explain(self, sample: Sample, vector: npt.ArrayLike) -> SampleExplanation:
        """What each part of a sample adds to its cosine with `vector`; see `embedder.explain.explain`."""


def explain(embedder: "ColPaLiQwenEmbedder", sample: Sample, vector: npt.ArrayLike) -> SampleExplanation:
    """What each image patch and each token of a sample adds to its cosine with a vector.

    It works from either side: a page with a query's vector, or a query with a page's.

    Args:
        sample: text, images, or both.
        vector: [dim], or [d] with d < dim, which compares the first d components (Matryoshka); of any length but 0.

    Raises:
        InputError: the sample cannot be embedded, or the vector is of another model's size, zero or not finite.
    """
    target = _unit(vector, embedder.dim)
    tokenization = Tokenization(embedder.processor, embedder.max_tokens, embedder.max_images)
    sequence = tokenization.sequence(sample)
    decoded = decode(sequence, tokenization.budget)
    batch = collate([sequence], [decoded], embedder.processor.tokenizer)
    with torch.inference_mode():
        batch = {key: tensor.to(embedder.device) for key, tensor in batch.items()}
        states_LD = embedder.token_states(batch)
        projected = embedder.pool(states_LD, batch["attention_mask"]).to("cpu", torch.float32)
        unit = cut_and_normalize(projected)[0].numpy()
        cut = projected[0, : len(target)].numpy().astype(np.float64)
        # v · (W h) = (v W) · h: one vector instead of a projection of every token.
        weight = embedder.projection.weight[: len(target)].to("cpu", torch.float32).numpy().astype(np.float64)
        states = states_LD[0].to("cpu", torch.float32).numpy()
    length = float(np.linalg.norm(cut))
    shares_L = states @ (target @ weight) / (len(states) * length)
    merge = tokenization.budget.merge_size
    grids = [(rows // merge, columns // merge) for _, (rows, columns) in decoded]
    spans = _spans(tokenization, sample)
    pads = np.asarray(sequence.ids) == embedder.processor.tokenizer.convert_tokens_to_ids(IMAGE_PAD)
    return SampleExplanation(
        score=float(cut @ target) / length,
        images=tuple(_grids(shares_L[pads], grids)),
        tokens=tuple(
            TokenShare(*span, float(share)) for span, share in zip(spans, shares_L, strict=True) if span is not None
        ),
        other=float(sum(s for s, span, pad in zip(shares_L, spans, pads, strict=True) if span is None and not pad)),
        vector=unit,
    )


def _unit(vector: npt.ArrayLike, dim: int) -> Floats:
    target = np.asarray(vector, dtype=np.float64)
    if target.ndim != 1 or not 1 <= len(target) <= dim:
        raise InputError(f"the vector has the shape {target.shape}: this embedder compares [{dim}], or its beginning")
    length = float(np.linalg.norm(target))
    if not np.isfinite(length) or length == 0:
        raise InputError("the vector has no direction: it is zero, or not finite")
    return target / length


def _grids(shares: Floats, grids: Sequence[Span]) -> Iterator[Floats]:
    start = 0
    for rows, columns in grids:
        yield shares[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns


def _spans(tokenization: Tokenization, sample: Sample) -> list[Span | None]:
    """For every token of the sample's sequence, the characters of its text that it stands for; None for no text."""
    inert = tokenization.inert(sample.text)
    templated = tokenization.templated(inert, len(sample.images))
    places = _places(tokenization, inert, templated, len(sample.images))
    said = _said(sample.text, inert)
    coded: Any = tokenization.processor.tokenizer(templated, add_special_tokens=False, return_offsets_mapping=True)
    spans: list[Span | None] = []
    for start, end in coded["offset_mapping"]:
        characters = [said[places[place]] for place in range(start, end) if place in places]
        spans.append((min(characters), max(characters) + 1) if characters else None)
    origins, _ = tokenization.origins(coded["input_ids"], sample.images)
    return [spans[origin] for origin in origins]


def _places(tokenization: Tokenization, text: str, templated: str, images: int) -> dict[int, int]:
    """Which characters of a templated text are the text's, and which of it; the others are the template's own.

    Raises:
        InputError: the template does more than put the text somewhere.
    """
    marked = text.split(IMAGE_MARKER)
    blank = tokenization.templated(IMAGE_MARKER.join(_STAND_IN * len(part) for part in marked), images)
    own = [place for place, character in enumerate(blank) if character == _STAND_IN]
    characters, start = list[int](), 0
    for part in marked:
        characters.extend(range(start, start + len(part)))
        start += len(part) + len(IMAGE_MARKER)
    if len(blank) != len(templated) or [templated[p] for p in own] != [text[c] for c in characters]:
        raise InputError("this checkpoint's chat template changes the text: a score cannot be shared among its words")
    return dict(zip(own, characters, strict=True))


def _said(text: str, inert: str) -> list[int]:
    """For every character of an inert text, which of the caller's it is; the spaces put into control tokens are the
    character's behind them."""
    said, place = [], 0
    for character in inert:
        said.append(place)
        place += place < len(text) and text[place] == character
    return said
