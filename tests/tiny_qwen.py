"""Tiny random Qwen2-VL models: the real architecture, tokenizer and file layout, loaded in milliseconds."""

from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen2VLConfig, Qwen2VLImageProcessorPil, Qwen2VLModel

from embedder.checkpoint import fresh_projection, save_checkpoint
from embedder.prefixes import PREFIX_TOKENS

QWEN_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip


def tiny_tokenizer(prefixes: bool = True) -> Qwen2Tokenizer:
    """A byte-level tokenizer with Qwen2's special tokens (and our prefixes unless it should look like Qwen's own)."""
    vocab = {symbol: number for number, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], model_max_length=512)
    extra = [*QWEN_TOKENS, *(PREFIX_TOKENS if prefixes else ())]
    tokenizer.add_special_tokens({"additional_special_tokens": extra})
    return tokenizer


def tiny_config(tokenizer: Qwen2Tokenizer, vocab_size: int = 300) -> Qwen2VLConfig:
    """Two vision layers, two text layers, hidden size 32."""
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in
           ("image_pad", "video_pad", "vision_start", "vision_end", "endoftext")}  # fmt: skip
    return Qwen2VLConfig(
        vision_config={
            "depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2, "patch_size": 14,
            "hidden_act": "gelu_pytorch_tanh",
        },
        text_config={
            "vocab_size": vocab_size, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
            "bos_token_id": ids["endoftext"], "eos_token_id": ids["endoftext"], "pad_token_id": ids["endoftext"],
        },
        image_token_id=ids["image_pad"], video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"], vision_end_token_id=ids["vision_end"],
    )  # fmt: skip


def tiny_model(config: Qwen2VLConfig, seed: int = 0) -> Qwen2VLModel:
    """Random weights, large enough that inputs, order and positions show in the output."""
    torch.manual_seed(seed)
    model = Qwen2VLModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.15)
    return model


def tiny_image_processor(max_pixels: int = 112 * 112) -> Qwen2VLImageProcessorPil:
    """The stock image processor with a small pixel budget."""
    return Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": max_pixels})


def write_tiny_checkpoint(directory: Path, seed: int = 0, dim: int = 1024) -> Path:
    """A float32 checkpoint in our own layout."""
    tokenizer = tiny_tokenizer()
    config = tiny_config(tokenizer)
    save_checkpoint(
        directory,
        tiny_model(config, seed),
        fresh_projection(32, dim, seed),
        tokenizer,
        tiny_image_processor(),
        max_tokens=512,
        dtype=torch.float32,
    )
    return directory
