"""The starter's network: a stock `Qwen2VLModel` of 12M parameters, and a fast path through its own weights.

The fast path serves equally large images without padding or Python loops; tests hold it to the stock forward.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, Qwen2VLConfig, Qwen2VLModel

from embedder.model import ColPaLiQwenEmbedder
from embedder.pooling import cut_and_normalize, masked_mean
from trainer.starter.render import SLOTS
from trainer.starter.tokenizer import IMAGE_PAD, PAD, VIDEO_PAD, VISION_END, VISION_START

DIMENSION = 1024
_SLOT_WIDTH = 96
PATCH, MERGE = 14, 2
MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's, as in every Qwen2-VL image processor
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; the defaults are the shipped ones (24 MB in bf16)."""

    hidden: int = 320
    layers: int = 3
    heads: int = 5
    key_value_heads: int = 1
    intermediate: int = 768
    vision_width: int = 192
    vision_depth: int = 6
    vision_heads: int = 3


def build_model(tokenizer: PreTrainedTokenizerBase, shape: Shape) -> Qwen2VLModel:
    """A fresh model whose special token ids are the tokenizer's."""
    head = shape.hidden // shape.heads
    # Temporal, height, width shares of the rotary half-dimension, in Qwen2-VL's proportion 2 : 3 : 3.
    section = [head // 8, head * 3 // 16, head // 2 - head // 8 - head * 3 // 16]
    pad, start, end, image, video = (
        tokenizer.convert_tokens_to_ids(token) for token in (PAD, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD)
    )
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.hidden,
            "intermediate_size": shape.intermediate,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.key_value_heads,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": section},
            "max_position_embeddings": 32768,
            "bos_token_id": pad,
            "eos_token_id": pad,
            "pad_token_id": pad,
            "use_cache": False,
        },
        vision_config={
            "depth": shape.vision_depth,
            "embed_dim": shape.vision_width,
            "num_heads": shape.vision_heads,
            "hidden_size": shape.hidden,
            "hidden_act": "gelu_pytorch_tanh",
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    model = Qwen2VLModel(config)
    # The library draws every weight with std 0.02, made for wide models. At width 192 the tower then hardly mixes
    # anything: it had not left the unigram level when one drawn by fan-in had (RESULTS.md).
    for weight in model.visual.parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    return model


def patchify(pixels_BHWC: Tensor) -> Tensor:
    """uint8 images -> normalised patches in the order of Qwen2-VL's image processor, without the temporal copy.

    [B, H, W, 3] -> [B, H * W / 196, 588]; the four patches of a merged cell are neighbours.
    """
    batch, height, width, _ = pixels_BHWC.shape
    rows, columns = height // (PATCH * MERGE), width // (PATCH * MERGE)
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    values = (pixels_BHWC.float() / 255 - mean) / std
    values = values.view(batch, rows, MERGE, PATCH, columns, MERGE, PATCH, 3)
    values = values.permute(0, 1, 4, 2, 5, 7, 3, 6)
    return values.reshape(batch, rows * columns * MERGE * MERGE, 3 * PATCH * PATCH)


class Starter(nn.Module):
    """Model and projection, with the heads that only training needs: the characters in each slot of a cell."""

    def __init__(self, model: Qwen2VLModel, characters: int) -> None:
        super().__init__()
        hidden = model.config.text_config.hidden_size
        self.model = model
        self.projection = nn.Linear(hidden, DIMENSION, bias=False)
        self.slots = nn.Linear(hidden, SLOTS * _SLOT_WIDTH)
        self.characters = nn.Linear(_SLOT_WIDTH, characters)

    @classmethod
    def of(cls, embedder: ColPaLiQwenEmbedder) -> "Starter":
        """A finished checkpoint as a network of the recipe, without heads worth anything."""
        starter = cls(embedder.model, characters=1)
        starter.projection = embedder.projection
        return starter.eval()

    def look(self, pixels_BHWC: Tensor) -> Tensor:
        """Merged cells of equally large images: [B, H, W, 3] uint8 -> [B, cells, hidden]."""
        visual = self.model.visual
        # A still image is the same frame twice: one product with the summed weight instead of two.
        weight = visual.patch_embed.proj.weight.sum(dim=2).flatten(1)
        states = F.linear(patchify(pixels_BHWC), weight)
        batch, length, width = states.shape
        cos, sin = self._vision_rotation(pixels_BHWC.shape[1] // PATCH, pixels_BHWC.shape[2] // PATCH, states)
        for block in visual.blocks:
            attention = block.attn
            qkv = attention.qkv(block.norm1(states)).view(batch, length, 3, attention.num_heads, -1)
            query, key, value = qkv.unbind(2)
            query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
            mixed = _attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
            states = states + attention.proj(mixed.transpose(1, 2).reshape(batch, length, width))
            states = states + block.mlp(block.norm2(states))
        merged: Tensor = visual.merger(states)
        return merged.view(batch, length // (MERGE * MERGE), -1)

    def character_scores(self, cells_ND: Tensor, candidates_K: Tensor) -> Tensor:
        """Logits of candidate characters in each slot of each cell, [N * SLOTS, K]."""
        slots = self.slots(F.layer_norm(cells_ND, cells_ND.shape[-1:])).view(-1, _SLOT_WIDTH)
        return F.linear(slots, self.characters.weight[candidates_K], self.characters.bias[candidates_K])

    @torch.no_grad()
    def constant(self) -> Tensor:
        """The part that all states share, as a special token has it and nothing else. [hidden]

        Of a token that stands in no sequence: one that does, such as a picture's end, learns in the last stage, and
        what it learned would count as part of every word's code.
        """
        weight: Tensor = self.model.language_model.embed_tokens.weight
        return weight[self.model.config.video_token_id].clone()

    @torch.no_grad()
    def codes(self) -> Tensor:
        """Embeddings without the constant part. [vocabulary, hidden]"""
        weight: Tensor = self.model.language_model.embed_tokens.weight
        return weight - self.constant()

    def embed(
        self, ids_BL: Tensor, lengths_B: Tensor, cells: Tensor | None = None, grid: tuple[int, int] = (0, 0)
    ) -> Tensor:
        """Unit vectors of right-padded texts, each after its image if `cells` [B, n, hidden] are given."""
        return cut_and_normalize(self.projection(self.pool(ids_BL, lengths_B, cells, grid)).float())

    def pool(
        self, ids_BL: Tensor, lengths_B: Tensor, cells: Tensor | None = None, grid: tuple[int, int] = (0, 0)
    ) -> Tensor:
        """Mean states, before the projection: [B, hidden].

        The sequence is vision start, cells, vision end, text: what the checkpoint's chat template writes.
        """
        states = self.states(ids_BL, cells, grid)
        before = 0 if cells is None else grid[0] * grid[1] + 2
        return masked_mean(states, torch.arange(states.shape[1]) < lengths_B[:, None] + before)

    def states(self, ids_BL: Tensor, cells: Tensor | None = None, grid: tuple[int, int] = (0, 0)) -> Tensor:
        """Last-layer states of such sequences: [B, L, hidden], or [B, 1 + cells + 1 + L, hidden]."""
        language = self.model.language_model
        states = language.embed_tokens(ids_BL)
        batch, length = ids_BL.shape
        positions = torch.arange(length).expand(3, batch, length)
        if cells is not None:
            rows, columns = grid
            config = self.model.config
            ends = torch.tensor([config.vision_start_token_id, config.vision_end_token_id])
            start, end = language.embed_tokens(ends).to(cells.dtype)
            around = (start.expand(batch, 1, -1), cells, end.expand(batch, 1, -1), states.to(cells.dtype))
            states = torch.cat(around, dim=1)
            after = 1 + max(rows, columns)  # text goes on after the longer side of the image
            row = torch.arange(rows).repeat_interleave(columns) + 1
            column = torch.arange(columns).repeat(rows) + 1
            image = torch.stack([torch.ones_like(row), row, column])
            tail = torch.arange(after, after + 1 + length).expand(3, -1)
            positions = torch.cat([torch.zeros(3, 1, dtype=torch.long), image, tail], dim=1)
            positions = positions.unsqueeze(1).expand(3, batch, -1)
        # Padding stands at the right of a causal model: no real token sees it, so no mask is needed.
        last: Tensor = language(inputs_embeds=states, position_ids=positions, use_cache=False).last_hidden_state
        return last

    def _vision_rotation(self, rows: int, columns: int, like: Tensor) -> tuple[Tensor, Tensor]:
        row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        blocks = (rows // MERGE, MERGE, columns // MERGE, MERGE)
        places = [axis.reshape(blocks).transpose(1, 2).flatten() for axis in (row, column)]
        cos, sin = self.model.visual.rotary_pos_emb(like, torch.stack(places, dim=-1))
        return cos.unsqueeze(-2), sin.unsqueeze(-2)


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in the dtype of `states`: [B, N, heads, d] with cos, sin [N, 1, d]."""
    half = states.shape[-1] // 2
    turned = torch.cat((-states[..., half:], states[..., :half]), dim=-1)
    return states * cos.to(states.dtype) + turned * sin.to(states.dtype)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Full attention, [B, heads, N, d]: in training and for short N plain products, twice as fast backward on CPU."""
    batch, heads, length, size = query.shape
    if length > 400 or not query.requires_grad:
        return F.scaled_dot_product_attention(query, key, value)
    flat = (batch * heads, length, size)
    scores = torch.bmm((query * size**-0.5).reshape(flat), key.reshape(flat).transpose(1, 2))
    return torch.bmm(scores.softmax(dim=-1), value.reshape(flat)).view(batch, heads, length, size)
