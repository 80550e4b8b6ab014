"""What the network begins with: a token's embedding is a code of its letters, layers add nothing yet.

Drawn at random and trained for minutes, the causal layers drown what a token is: mean states found the page text of a
sentence half as often as a bag of plain embeddings did (RESULTS.md). So tokens start as codes from which a mean still
tells which words it is made of: random vectors of their letter n-grams, weighted by rarity and whitened. Letters that
two tokens share make their codes alike, which is what a vision tower can read. Layers start as identity and learn what
to add. A constant part of every state keeps the final norm from making all tokens equally loud.
"""

import math
import random
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from trainer.starter.corpus import Corpus
from trainer.starter.model import DIMENSION, Starter
from trainer.starter.render import CELL
from trainer.starter.samples import Batches, CropBatch, Stage, span_of

_CONSTANT = 3.0  # length of the constant part, where codes have length 1 on average
_DOCUMENTS = 4000
_PAIRS = 700


def letter_codes(tokenizer: PreTrainedTokenizerBase, dim: int) -> Tensor:
    """[vocabulary, dim]: mean of random vectors of each token's letter pairs and triples; zero for special tokens."""
    special = set(tokenizer.all_special_ids)
    grams: dict[str, Tensor] = {}
    codes = torch.zeros(len(tokenizer), dim)
    for token in range(len(tokenizer)):
        text = "" if token in special else tokenizer.decode([token]).strip().lower()
        found = [text[i : i + size] for size in (2, 3) for i in range(len(text) - size + 1)] or [text] * bool(text)
        for gram in found:
            if gram not in grams:
                chance = np.random.default_rng(zlib.crc32(gram.encode()))
                grams[gram] = torch.from_numpy(chance.standard_normal(dim)).float()
            codes[token] += grams[gram] / math.sqrt(len(found))
    return codes


def rarity(tokenizer: PreTrainedTokenizerBase, corpus: Corpus) -> Tensor:
    """[vocabulary]: inverse document frequency, ln((N + 1) / (n + 1))."""
    documents = random.Random(0).sample(corpus.documents, min(_DOCUMENTS, len(corpus.documents)))
    seen: Counter[int] = Counter()
    for document in documents:
        seen.update(set(tokenizer(" ".join(document.paragraphs)[:1500]).input_ids))
    counts = torch.tensor([seen.get(token, 0) for token in range(len(tokenizer))], dtype=torch.float32)
    return torch.log((len(documents) + 1) / (counts + 1))


def whitened(codes: Tensor, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], ridge: float = 0.1) -> Tensor:
    """Codes in which the bag of a few words differs from the bag of their whole text alike in all directions.

    `texts` are paragraphs; mean length 1, centred on what all bags share.
    """
    rng = random.Random(0)
    pairs = [(_bag(codes, tokenizer, span_of(text, rng)), _bag(codes, tokenizer, text)) for text in texts]
    few, whole = (torch.stack(side).double() for side in zip(*pairs, strict=True))
    centre = torch.cat([few, whole]).mean(dim=0)
    within = (few - whole).T @ (few - whole)
    within = within / (torch.trace(within) / len(within)) + ridge * torch.eye(len(within), dtype=torch.double)
    values, axes = torch.linalg.eigh(within)
    result = ((codes.double() - centre) @ (axes @ torch.diag(values**-0.5) @ axes.T)).float()
    result[codes.abs().sum(dim=1) == 0] = 0.0
    scaled: Tensor = result / result.norm(dim=1).mean()
    return scaled


@torch.no_grad()
def lay_in(starter: Starter, codes: Tensor) -> None:
    """Make the network a bag of codes: embeddings with a constant part, layers that add nothing, a projection without
    the constant part."""
    hidden = codes.shape[1]
    constant = torch.full((hidden,), hidden**-0.5)
    language = starter.model.language_model
    language.embed_tokens.weight.copy_(codes - (codes @ constant)[:, None] * constant + _CONSTANT * constant)
    for layer in language.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    language.norm.weight.fill_(1.0)
    chance = torch.Generator().manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(DIMENSION, hidden, generator=chance))
    starter.projection.weight.copy_(rotation @ (torch.eye(hidden) - torch.outer(constant, constant)))


@torch.no_grad()
def fit_merger(starter: Starter, batches: Batches, stage: Stage, count: int, ridge: float = 1e-3) -> float:
    """Set the vision tower's last layer so that a cell gives the codes of the tokens under it, by least squares.

    Returns:
        Share of the codes' energy that it explains, on the batches it was fitted to.
    """
    last = starter.model.visual.merger.mlp[-1]
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().flatten(0, -2).float()))
    wanted: list[Tensor] = []
    codes, constant = starter.codes(), starter.constant()
    for number in range(count):
        crops = batches.crop_batch(stage, batches.chance(20_000_000 + number))
        with torch.autocast("cpu", torch.bfloat16):
            starter.look(crops.pixels)
        wanted.append(_codes_under(crops, codes))
    hook.remove()
    inputs = torch.cat(seen).double()
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.double)], dim=1)
    targets = torch.cat(wanted).double()
    gram = inputs.T @ inputs
    gram += ridge * torch.trace(gram) / len(gram) * torch.eye(len(gram), dtype=torch.double)
    solution = torch.linalg.solve(gram, inputs.T @ targets)
    last.weight.copy_(solution[:-1].T.float())
    last.bias.copy_(solution[-1].float() + constant)
    error = (inputs @ solution - targets).square().sum() / targets.square().sum()
    return 1 - float(error)


def start_texts(batches: Batches) -> list[str]:
    """Paragraphs to whiten on."""
    rng = random.Random(1)
    return [batches.paragraph(rng) for _ in range(_PAIRS)]


def _codes_under(crops: CropBatch, codes: Tensor) -> Tensor:
    """Sum of the codes of the tokens under each cell, [cells of all crops, hidden]."""
    cells = crops.pixels.shape[0] * (crops.pixels.shape[1] // CELL) * (crops.pixels.shape[2] // CELL)
    tokens = crops.reading.ids.flatten()[crops.under[:, 0]]
    return torch.zeros(cells, codes.shape[1]).index_add(0, crops.under[:, 1], codes[tokens])


def _bag(codes: Tensor, tokenizer: PreTrainedTokenizerBase, text: str) -> Tensor:
    ids = tokenizer(text).input_ids or [tokenizer.pad_token_id]
    return F.embedding(torch.tensor(ids), codes).mean(dim=0)
