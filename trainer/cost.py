"""What a Qwen2-VL embedder costs, from its configuration alone: parameters, FLOPs, and bytes kept for backward.

Every formula is derived in docs/training.md and checked against the real modules in tests/trainer/test_cost.py.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from trainer.errors import ConfigError

Attention: TypeAlias = Literal["sdpa", "eager", "flash_attention_2"]


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters by part. `language` is layers and final norm, without the token embeddings."""

    vision: int
    language: int
    embeddings: int
    projection: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.vision + self.language + self.embeddings + self.projection


@dataclass(frozen=True)
class Work:
    """What forwards go through; adds up over forwards.

    Attributes:
        rows: sequences.
        tokens: tokens of all rows, padding included.
        pairs: sum over rows of padded length squared.
        patches: image patches (four to a visual token).
        patch_pairs: sum over images of patches squared.
    """

    rows: float = 0
    tokens: float = 0
    pairs: float = 0
    patches: float = 0
    patch_pairs: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, factor: float) -> "Work":
        return Work(*(getattr(self, f.name) * factor for f in fields(self)))


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of matrix products; a multiply-add counts as two.

    `vision` and `text` are the linear layers of the towers; attention is counted whole, also where a causal kernel
    skips half of it.
    """

    patch_embedding: float
    vision: float
    vision_attention: float
    text: float
    text_attention: float
    projection: float

    @property
    def total(self) -> float:
        """All of them."""
        return float(sum(getattr(self, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Trained:
    """Which parts learn. LoRA adapters belong to the language model's layers and leave these themselves frozen."""

    vision: bool = True
    language: bool = True
    embeddings: bool = True
    adapters: bool = False

    @property
    def through_text(self) -> bool:
        """Whether gradients run back through the language model's layers."""
        return self.vision or self.language or self.embeddings or self.adapters


_ALL_TRAINED = Trained()


@dataclass(frozen=True)
class StepFlops:
    """What training on some work takes, by pass.

    Attributes:
        cached: GradCache's first forward, without graph; 0 where one pass is enough.
        forward, backward: of the pass with graph.
        recomputed: layers computed again by gradient checkpointing. A layer's last product is not: nothing needs it.
    """

    cached: float
    forward: float
    recomputed: float
    backward: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.cached + self.forward + self.recomputed + self.backward


@dataclass(frozen=True)
class Widths:
    """Bytes per number while training.

    Attributes:
        compute: inputs and outputs of matrix products.
        residual: the text model's hidden states between layers. Autocast over float32 weights leaves them in float32.
        vision_norm: inputs of the vision tower's norms; autocast raises them to float32 on a GPU.
    """

    compute: int
    residual: int
    vision_norm: int

    @classmethod
    def of(cls, precision: Literal["bf16", "fp32"], sharded: bool) -> "Widths":
        """`sharded`: FSDP and ZeRO-3 gather weights as bfloat16, so that the residual stream is bfloat16 too."""
        return cls(4, 4, 4) if precision == "fp32" else cls(2, 2 if sharded else 4, 4)


@dataclass(frozen=True)
class Activations:
    """Bytes kept for backward.

    Attributes:
        vision_layer, text_layer: all that one layer keeps.
        vision_input, text_input: a layer's input alone: what gradient checkpointing keeps.
        vision_ends, text_ends: outside the layers: patch embedding, merger; final norm, pooling.
        vision_gradients, text_gradients: gradients in flight while a layer's backward runs.
        depth, layers: how many layers the vision tower and the language model have.
    """

    vision_layer: float
    text_layer: float
    vision_input: float
    text_input: float
    vision_ends: float
    text_ends: float
    vision_gradients: float
    text_gradients: float
    depth: int
    layers: int

    def kept(self, checkpointing: bool) -> float:
        """After the forward."""
        vision, text = (self.vision_input, self.text_input) if checkpointing else (self.vision_layer, self.text_layer)
        return self.depth * vision + self.layers * text + self.vision_ends + self.text_ends

    def peak(self, checkpointing: bool, copies: float = 0.0) -> float:
        """Most at any moment: the end of the forward, or a layer's backward in either tower.

        Args:
            copies: bytes of autocast's bfloat16 copies of the weights. Layers keep theirs for backward; checkpointed
                ones do not, and then all are dropped when the forward ends.
        """
        kept = self.kept(checkpointing)
        text = self.text_gradients + (self.text_layer if checkpointing else copies)
        vision = self.vision_gradients + (self.vision_layer if checkpointing else copies)
        # The text model's backward comes first: when the vision tower's turn comes, what it kept is gone.
        gone = self.layers * (self.text_input if checkpointing else self.text_layer) + self.text_ends
        return kept + max(copies, text, vision - gone)


@dataclass(frozen=True)
class Architecture:
    """The sizes of a Qwen2-VL embedder that decide its cost."""

    depth: int
    embed_dim: int
    vision_mlp: int
    vision_heads: int
    patch_numbers: int
    frames: int
    merge: int
    fused_activation: bool
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value: int
    vocabulary: int
    dim: int

    @classmethod
    def of(cls, config: Any, dim: int = 1024) -> "Architecture":
        """From a `Qwen2VLConfig`; `dim` is the width of the projection."""
        vision, text = config.vision_config, config.text_config
        return cls(
            depth=vision.depth,
            embed_dim=vision.embed_dim,
            vision_mlp=int(vision.embed_dim * vision.mlp_ratio),
            vision_heads=vision.num_heads,
            patch_numbers=vision.in_channels * vision.patch_size**2,
            frames=vision.temporal_patch_size,
            merge=vision.spatial_merge_size**2,
            fused_activation=vision.hidden_act != "quick_gelu",
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            intermediate=text.intermediate_size,
            heads=text.num_attention_heads,
            key_value=text.hidden_size // text.num_attention_heads * text.num_key_value_heads,
            vocabulary=text.vocab_size,
            dim=dim,
        )

    def parameters(self) -> Parameters:
        """Weights and biases of every part."""
        e, f, d = self.embed_dim, self.vision_mlp, self.hidden
        merged = self.merge * e
        block = 4 * e * e + 4 * e + 2 * e * f + f + e + 4 * e
        merger = 2 * e + merged * merged + merged + merged * d + d
        biases = d + 2 * self.key_value
        layer = self._layer_matrices() + biases + 2 * d
        return Parameters(
            vision=self.patch_numbers * self.frames * e + self.depth * block + merger,
            language=self.layers * layer + d,
            embeddings=self.vocabulary * d,
            projection=d * self.dim,
        )

    def adapters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of LoRA adapters of this rank on these linear layers of the language model.

        Raises:
            ConfigError: a target is none of the language model's linear layers.
        """
        d, kv, m = self.hidden, self.key_value, self.intermediate
        shapes = {"q_proj": d + d, "k_proj": d + kv, "v_proj": d + kv, "o_proj": d + d,
                  "gate_proj": d + m, "up_proj": d + m, "down_proj": m + d}  # fmt: skip
        if unknown := [name for name in targets if name not in shapes]:
            raise ConfigError(f"model.lora.targets: {', '.join(unknown)} is none of {', '.join(shapes)}")
        return self.layers * rank * sum(shapes[name] for name in targets)

    def _layer_matrices(self) -> int:
        d = self.hidden
        return 2 * d * d + 2 * d * self.key_value + 3 * d * self.intermediate

    def forward(self, work: Work) -> Flops:
        """One forward. Still images skip the repeat over frames (`embedder.patch_embedding`)."""
        e, d = self.embed_dim, self.hidden
        merged = self.merge * e
        block = 4 * e * e + 2 * e * self.vision_mlp
        return Flops(
            patch_embedding=2 * work.patches * self.patch_numbers * e,
            vision=2 * work.patches * (self.depth * block + (merged * merged + merged * d) / self.merge),
            vision_attention=4 * self.depth * e * work.patch_pairs,
            text=2 * work.tokens * self.layers * self._layer_matrices(),
            text_attention=4 * self.layers * d * work.pairs,
            projection=2 * work.rows * d * self.dim,
        )

    def step(
        self,
        work: Work,
        trained: Trained,
        *,
        cached: bool,
        checkpointing: bool,
        attention: Attention,
        adapters: int = 0,
    ) -> StepFlops:
        """Forward and backward over some work.

        A product takes part twice in backward, for its weights and for its input; frozen weights leave out the first,
        and where nothing before it learns, the second. Fused attention computes its scores again in backward (5
        products to the forward's 2).

        Args:
            cached: whether GradCache embeds everything once more, without graph.
            adapters: parameters of LoRA adapters.
        """
        flops = self.forward(work)
        lora = 2 * work.tokens * adapters
        forward = flops.total + lora
        scores = 2 if attention == "eager" else 2.5
        backward = 2 * flops.projection if trained.through_text else flops.projection
        recomputed = 0.0
        if trained.through_text:
            backward += (2 if trained.language else 1) * flops.text + scores * flops.text_attention + 2 * lora
            last = 2 * work.tokens * self.layers * self.hidden * self.intermediate
            recomputed += flops.text + flops.text_attention + lora - last
        if trained.vision:
            backward += flops.patch_embedding + 2 * flops.vision + scores * flops.vision_attention
            merged = self.merge * self.embed_dim
            outside = 2 * work.patches / self.merge * (merged * merged + merged * self.hidden)
            last = 2 * work.patches * self.depth * self.embed_dim * self.vision_mlp
            recomputed += flops.vision + flops.vision_attention - outside - last
        return StepFlops(forward if cached else 0.0, forward, recomputed if checkpointing else 0.0, backward)

    def activations(
        self, work: Work, widths: Widths, attention: Attention, trained: Trained = _ALL_TRAINED
    ) -> Activations:
        """Bytes that one forward with graph keeps. Parts with nothing to learn in and before them keep none.

        Frozen layers that gradients run through are counted like trained ones, which is a little too much.
        """
        c, r, v = widths.compute, widths.residual, widths.vision_norm
        e, f, d, m = self.embed_dim, self.vision_mlp, self.hidden, self.intermediate
        # The fused qkv output stays alive through the view v; rotated q and k are new. Outside FlashAttention images
        # are attended one by one, and the results are joined into a copy.
        attended = c * e * (3 + 2 + (1 if attention == "flash_attention_2" else 2))
        vision_norm = (v + c) * e + 8
        vision_mlp = c * f * (2 if self.fused_activation else 3)
        # A norm keeps its float32 input, its normalised input, and what the linear layers behind it read: autocast
        # casts a float32 input anew for each of them (q, k, v; gate, up).
        norm = (4 + r) * d + 4
        copies = (3 + 2 if r != c else 2) * c * d
        # A padding mask makes SDPA repeat keys and values for all query heads, and keep its own copy of the mask.
        keys = 2 * (self.key_value if attention == "flash_attention_2" else d)
        text = 2 * norm + copies + c * (2 * d + keys) + 4 * c * m
        vision_scores = text_scores = 0.0
        if attention == "eager":
            probabilities = 4 if c == 4 else 4 + c
            vision_scores = probabilities * self.vision_heads * work.patch_pairs
            text_scores = probabilities * self.heads * work.pairs
        else:
            attended += 4 * self.vision_heads
            text += 4 * self.heads
            text_scores = 0 if attention == "flash_attention_2" else c * work.pairs
        vision = 2 * vision_norm + attended + vision_mlp
        ends = c * self.patch_numbers + vision_norm + 2 * c * e + 8 * e // self.vision_heads
        if not trained.vision:
            work, vision_scores = replace(work, patches=0, patch_pairs=0), 0.0
        if not trained.through_text:
            work, text_scores = replace(work, tokens=0, pairs=0), 0.0
        return Activations(
            vision_layer=vision * work.patches + vision_scores,
            text_layer=text * work.tokens + text_scores,
            vision_input=c * e * work.patches,
            text_input=r * d * work.tokens,
            vision_ends=ends * work.patches,
            text_ends=(norm + 2 * r * d // self.heads) * work.tokens,
            vision_gradients=(2 * c * f + 2 * c * e) * work.patches,
            text_gradients=(c * m + 3 * r * d) * work.tokens,
            depth=self.depth,
            layers=self.layers,
        )
