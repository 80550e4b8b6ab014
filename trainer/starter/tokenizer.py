"""The starter's own byte-level BPE: small, trained on the recipe's texts, saved as a stock Qwen2 tokenizer."""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from embedder.prefixes import PREFIX_TOKENS

PAD = "<|endoftext|>"
VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
CONTROL_TOKENS = (PAD, "<|im_start|>", "<|im_end|>", VISION_START, VISION_END, "<|vision_pad|>", IMAGE_PAD, VIDEO_PAD)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """A Qwen2 tokenizer of `vocab_size` ids in all: bytes, merges, control tokens and the five task prefixes.

    Same normaliser (NFC) and pre-tokeniser as Qwen2's, so that files and code meant for it work unchanged.
    """
    added = [*CONTROL_TOKENS, *PREFIX_TOKENS]
    bpe = Tokenizer(BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(added), initial_alphabet=alphabet, show_progress=False, max_token_length=24
    )
    bpe.train_from_iterator(texts, trainer)
    vocab = bpe.get_vocab()
    merges = _merges(bpe)
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        additional_special_tokens=list(CONTROL_TOKENS[1:]),
        model_max_length=32768,
        padding_side="right",
    )
    # Prefixes are ordinary added tokens: skip_special_tokens must not swallow a task.
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in PREFIX_TOKENS])
    return tokenizer


def _merges(bpe: Tokenizer) -> list[tuple[str, str]]:
    import json

    entries = json.loads(bpe.to_str())["model"]["merges"]
    return [tuple(entry) if isinstance(entry, list) else tuple(entry.split(" ", 1)) for entry in entries]
