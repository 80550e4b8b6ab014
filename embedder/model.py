"""ColPaLiQwenEmbedder: Qwen2-VL as an embedder. Text, images, or both become one unit vector in one space."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import Qwen2VLConfig, Qwen2VLModel

from embedder.batching import plan_batches
from embedder.checkpoint import Checkpoint, fresh_projection, load_checkpoint, resolve, save_checkpoint
from embedder.errors import InputError
from embedder.explain import SampleExplanation, explain
from embedder.inputs import IMAGE_PAD, VISION_TOKENS, Tokenization, TokenSequence, collate, decode, samples_from
from embedder.patch_embedding import fold_patch_embedding
from embedder.pixels import PatchRows, PixelBudget
from embedder.pooling import cut_and_normalize, masked_mean, quantize
from embedder.prefixes import PREFIX_TOKENS, with_prefix
from embedder.processor import StillImageProcessor, tokenizer_rules
from embedder.protocol import EncodedRows, Precision, Sample, Task
from embedder.token_vectors import TokenVectors

logger = logging.getLogger(__name__)

MAX_IMAGES = 5
# Tokens of one batch, padding included. One A4 page is about 1,000; peak memory follows this number.
TOKEN_BUDGET = 8192

Array: TypeAlias = npt.NDArray[Any]
Batch: TypeAlias = tuple[list[int], dict[str, Tensor] | None]


class ColPaLiQwenEmbedder(nn.Module):
    """A Qwen2-VL model, mean pooling over all real tokens, and a linear projection to the embedding space.

    Example:
        >>> embedder = ColPaLiQwenEmbedder.from_pretrained("starter")
        >>> embedder.encode(text=["Xin chào", "Hello"]).shape
        torch.Size([2, 1024])
    """

    def __init__(
        self,
        model: Qwen2VLModel,
        projection: nn.Linear,
        processor: StillImageProcessor | None,
        *,
        prompts: dict[str, str] | None = None,
        max_tokens: int = 8192,
        max_images: int = MAX_IMAGES,
        token_budget: int = TOKEN_BUDGET,
        name: str = "in-memory",
    ) -> None:
        super().__init__()
        self.model = model
        self.projection = projection
        self.prompts = dict(prompts or {})
        self.max_images = max_images
        self.token_budget = token_budget
        self.name = name
        self._max_tokens = max_tokens
        self._processor = processor
        self._fingerprint: str | None = None
        fold_patch_embedding(model.visual)
        self.eval()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "starter",
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        attn_implementation: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        max_tokens: int | None = None,
        token_budget: int = TOKEN_BUDGET,
    ) -> "ColPaLiQwenEmbedder":
        """Load a checkpoint: "starter", a directory, or a hub id.

        Args:
            device: "cpu", "cuda", ...; by default a GPU where there is one.
            dtype: bfloat16 on a GPU and float32 on a CPU by default.
            attn_implementation: "sdpa" (default), "eager" or "flash_attention_2".
            min_pixels, max_pixels: pixel budget of one image; the checkpoint's own by default.
            max_tokens: longest input; the checkpoint's own by default.
            token_budget: tokens of one batch, padding included; bounds peak memory.

        Raises:
            CheckpointError: no such checkpoint, or one that does not fit; the text says what to do.
        """
        place = _usable_device(device)
        parts: Checkpoint = load_checkpoint(
            resolve(name_or_path),
            dtype=dtype or (torch.bfloat16 if place.type == "cuda" else torch.float32),
            attn_implementation=attn_implementation,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            max_tokens=max_tokens,
        )
        embedder = cls(
            parts.model,
            parts.projection,
            parts.processor,
            prompts=parts.prompts,
            max_tokens=parts.max_tokens,
            token_budget=token_budget,
            name=str(name_or_path),
        )
        return embedder.to(place)

    @classmethod
    def from_config(cls, config: Qwen2VLConfig, dim: int = 1024, **options: Any) -> "ColPaLiQwenEmbedder":
        """A randomly initialised embedder of this configuration (for training from scratch, or on the meta device)."""
        return cls(Qwen2VLModel(config), fresh_projection(config.text_config.hidden_size, dim), None, **options)

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write a checkpoint directory that sentence-transformers loads too."""
        save_checkpoint(
            directory,
            self.model,
            self.projection,
            self.processor.tokenizer,
            self.processor.image_processor,
            prompts=self.prompts,
            chat_template=self.processor.chat_template,
            max_tokens=self._max_tokens,
            dtype=dtype,
        )

    @property
    def dim(self) -> int:
        """Length of the vectors before any Matryoshka cut."""
        return int(self.projection.out_features)

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens: longer text is cut, images that do not fit are refused."""
        return self._max_tokens

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.projection.weight.device

    @property
    def processor(self) -> StillImageProcessor:
        """Tokenizer, image processor and chat template. Settable; the next `encode` uses the new one."""
        if self._processor is None:
            raise InputError("this embedder has no processor: set embedder.processor first")
        return self._processor

    @processor.setter
    def processor(self, processor: StillImageProcessor) -> None:
        self._processor = processor
        self._fingerprint = None

    @property
    def fingerprint(self) -> str:
        """Hex digest of what decides a vector: weights (as bfloat16), template, prompts, tokenizer, pixels, limit.

        Computed once, then kept: after training in place, make a new embedder. Equal before saving and after loading.
        """
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for name, tensor in sorted(self.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().data)
            settings = (
                self.processor.chat_template,
                sorted(self.prompts.items()),
                PixelBudget.of(self.processor.image_processor),
                tokenizer_rules(self.processor.tokenizer),
                self._max_tokens,
            )
            digest.update(repr(settings).encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Pooled and projected, not yet normalised: a collated batch -> [B, dim] float32."""
        return self.pool(self.token_states(batch), batch["attention_mask"])

    def token_states(self, batch: dict[str, Tensor]) -> Tensor:
        """Last-layer states of every token, [B, L, hidden]."""
        grids = batch.get("image_grid_thw")
        # Positions are passed explicitly: the model caches rope deltas of the last call on itself.
        positions, _ = self.model.get_rope_index(
            batch["input_ids"], batch["mm_token_type_ids"], grids, attention_mask=batch["attention_mask"]
        )
        output = self.model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            position_ids=positions,
            mm_token_type_ids=batch["mm_token_type_ids"],
            pixel_values=batch.get("pixel_values"),
            image_grid_thw=grids,
            use_cache=False,
        )
        states: Tensor = output.last_hidden_state
        return states

    def pool(self, states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Token states to projected vectors: mean over real tokens, then the projection. [B, L, D] -> [B, dim]."""
        pooled = masked_mean(states_BLD, mask_BL)
        return nn.functional.linear(pooled, self.projection.weight.to(pooled.dtype))

    def encode(
        self,
        text: str | Sequence[str] | None = None,
        images: Image.Image | Sequence[Any] | None = None,
        *,
        task: Task | None = None,
        batch_size: int = 32,
        dim: int | None = None,
        normalize: bool = True,
        convert_to: Literal["torch", "numpy"] = "torch",
        show_progress: bool = False,
        precision: Precision = "float32",
    ) -> Tensor | Array:
        """Embed text, images, or both together.

        Text that does not fit into `max_tokens` is cut at its end (logged); images that do not fit are refused.

        Args:
            text: one string or a list; a sample's text may be "" if it has an image.
            images: one PIL image, or per sample None, an image or a list of up to five.
            task: prefix put in front of every text ("ocr" -> "<ocr> ...").
            batch_size: most samples in one batch; the token budget may make batches smaller.
            dim: keep the first `dim` components and renormalise (Matryoshka).
            normalize: unit length; False gives the raw projection.
            convert_to: "torch" or "numpy".
            show_progress: a progress bar in samples.
            precision: "float32", "int8" or "binary" (packed bits); see `embedder.pooling.quantize`.

        Returns:
            [n, dim] in the caller's order, on the CPU, float32 unless `precision` says otherwise.

        Raises:
            InputError (a ValueError): names the rows that cannot be embedded, and why.
        """
        if dim is not None and not 1 <= dim <= self.dim:
            raise InputError(f"dim={dim}: this checkpoint has 1 to {self.dim} dimensions")
        if precision not in ("float32", "int8", "binary"):
            raise InputError(f"precision={precision!r} is none of float32, int8, binary")
        if precision != "float32" and not normalize:
            raise InputError(f"precision={precision!r} is defined for unit vectors: leave normalize on")
        samples = [_with_task(sample, task, row) for row, sample in enumerate(samples_from(text, images))]
        vectors, errors = self._vectors(samples, batch_size, show_progress)
        if errors:
            raise _rows_error(errors)
        final = quantize(cut_and_normalize(vectors, dim, normalize), precision)
        return final.numpy() if convert_to == "numpy" else final

    def encode_rows(self, samples: Sequence[Sample], *, batch_size: int = 32) -> EncodedRows:
        """Unit vectors of all samples that can be embedded; a bad one costs its own row and no other."""
        vectors, errors = self._vectors(samples, batch_size, show_progress=False)
        return EncodedRows(cut_and_normalize(vectors).numpy(), errors)

    def explain(self, sample: Sample, vector: npt.ArrayLike) -> SampleExplanation:
        """What each image patch and each token of a sample adds to its cosine with `vector`, exactly.

        Example:
            >>> target = embedder.encode(text="red car", convert_to="numpy")[0]        # doctest: +SKIP
            >>> embedder.explain(Sample("a red car", (photo,)), target).images[0]      # doctest: +SKIP

        Raises:
            InputError: the sample cannot be embedded, or the vector does not fit; see `embedder.explain.explain`.
        """
        return explain(self, sample, vector)

    def token_vectors(self, samples: Sequence[Sample], *, batch_size: int = 32) -> list[TokenVectors]:
        """What `encode` takes the mean of: each token of each sample, projected. A page of 1,000 tokens takes 4 MB.

        Raises:
            InputError: names the rows that cannot be embedded, and why.
        """
        errors: dict[int, Exception] = {}
        found: dict[int, TokenVectors] = {}
        tokenizer = self.processor.tokenizer
        framing = tokenizer.convert_tokens_to_ids(
            [token for token in (*VISION_TOKENS, *PREFIX_TOKENS) if token != IMAGE_PAD]
        )
        for rows, batch in self._batches(samples, batch_size, errors):
            if batch is None:
                continue
            with torch.inference_mode():
                states_BLD = self.token_states({key: tensor.to(self.device) for key, tensor in batch.items()})
                projected = nn.functional.linear(states_BLD, self.projection.weight.to(states_BLD.dtype))
            for row, ids, mask, vectors in zip(
                rows,
                batch["input_ids"],
                batch["attention_mask"].bool(),
                projected.to("cpu", torch.float32),
                strict=True,
            ):
                found[row] = TokenVectors(vectors[mask].numpy(), ~np.isin(ids[mask].numpy(), framing))
        if errors:
            raise _rows_error(errors)
        return [found[row] for row in range(len(samples))]

    def token_counts(self, samples: Sequence[Sample]) -> list[int]:
        """How many tokens of each sample the model reads, with its template; 0 for one that cannot be embedded."""
        tokenization = Tokenization(self.processor, self._max_tokens, self.max_images)
        counts = []
        for sample in samples:
            try:
                counts.append(len(tokenization.sequence(sample).ids))
            except InputError:
                counts.append(0)
        return counts

    def _vectors(
        self, samples: Sequence[Sample], batch_size: int, show_progress: bool
    ) -> tuple[Tensor, dict[int, Exception]]:
        from tqdm import tqdm

        errors: dict[int, Exception] = {}
        vectors = torch.full((len(samples), self.dim), torch.nan)
        with tqdm(total=len(samples), disable=not show_progress, unit="sample", desc="encode") as bar:
            for rows, batch in self._batches(samples, batch_size, errors):
                if batch is not None:
                    with torch.inference_mode():
                        output = self({key: tensor.to(self.device) for key, tensor in batch.items()})
                    vectors[rows] = output.to("cpu", torch.float32)
                bar.update(len(rows))
            bar.update(len(errors))
        return vectors, errors

    def _batches(self, samples: Sequence[Sample], batch_size: int, errors: dict[int, Exception]) -> Iterator[Batch]:
        """Collated batches in planned order; the next one's images are decoded while the model works on this one."""
        tokenization = Tokenization(self.processor, self._max_tokens, self.max_images)
        sequences: dict[int, TokenSequence] = {}
        for row, sample in enumerate(samples):
            try:
                sequences[row] = tokenization.sequence(sample)
            except InputError as error:
                errors[row] = error
        cut = sum(sequence.cut > 0 for sequence in sequences.values())
        if cut:
            logger.info("%d of %d texts were cut to %d tokens", cut, len(samples), self._max_tokens)
        rows_left = list(sequences)
        lengths = [len(sequences[row].ids) for row in rows_left]
        plan = [[rows_left[i] for i in batch] for batch in plan_batches(lengths, batch_size, self.token_budget)]

        def prepare(rows: list[int]) -> Batch:
            decoded: dict[int, list[PatchRows]] = {}
            for row in rows:
                try:
                    decoded[row] = decode(sequences[row], tokenization.budget)
                except InputError as error:
                    errors[row] = error
            good = list(decoded)
            if not good:
                return [], None
            chosen = [sequences[row] for row in good]
            return good, collate(chosen, list(decoded.values()), self.processor.tokenizer)

        if len(plan) < 2:  # a thread would have nothing to do ahead of
            yield from map(prepare, plan)
            return
        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead = pool.submit(prepare, plan[0])
            for rows in [*plan[1:], None]:
                ready = ahead.result()
                if rows is not None:
                    ahead = pool.submit(prepare, rows)
                yield ready


def _usable_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or a GPU where there is one; tried with one number, as torch fails late and at length."""
    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return place


def _rows_error(errors: dict[int, Exception]) -> InputError:
    shown = "; ".join(f"row {row}: {error}" for row, error in sorted(errors.items())[:5])
    return InputError(shown + (f"; and {len(errors) - 5} more rows" if len(errors) > 5 else ""))


def _with_task(sample: Sample, task: Task | None, row: int) -> Sample:
    try:
        return Sample(with_prefix(sample.text, task), sample.images)
    except InputError as error:
        raise InputError(f"row {row}: {error}") from error
