"""`python -m trainer.starter.evaluate CHECKPOINT --texts DIR`: what a starter checkpoint finds on held-out documents.

Everything goes through the public `encode`, on pages that no training batch contained. Prints a Markdown table.
"""

import argparse
import io
import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from embedder.model import ColPaLiQwenEmbedder
from trainer.starter.corpus import LANGUAGES, Corpus, read_corpus
from trainer.starter.render import A4, Fonts, Page, draw, lay_out, text_within
from trainer.starter.samples import span_of

_DOTS = 150  # as users render their pages; the image processor scales them down
_COARSE = 80


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    task: str
    language: str
    candidates: int
    ndcg: float
    recall: float

    @property
    def random_ndcg(self) -> float:
        """nDCG@10 of a random order."""
        return sum(1 / math.log2(rank + 1) for rank in range(1, min(10, self.candidates) + 1)) / self.candidates

    def markdown(self) -> str:
        """The row as Markdown."""
        return (
            f"| {self.task} | {self.language} | {self.candidates} | {self.ndcg:.3f} | {self.recall:.3f} "
            f"| {self.random_ndcg:.3f} | {1 / self.candidates:.3f} |"
        )


@dataclass(frozen=True)
class HeldOutPage:
    """A page of a held-out document: sharp and coarse pictures, its text, and a few words of it."""

    language: str
    sharp: Image.Image
    coarse: Image.Image
    text: str
    words: str


def held_out_pages(corpus: Corpus, per_language: int, fonts: Fonts) -> list[HeldOutPage]:
    """A4 pages laid out from held-out documents, each from its own part of them."""
    pages: list[HeldOutPage] = []
    for language in LANGUAGES:
        rng = random.Random(f"pages-{language}")
        parts = [text for document in corpus.documents if document.language == language for text in document.paragraphs]
        taken, here = 0, 0
        while here < len(parts) and taken < per_language:
            part: list[str] = []
            while here < len(parts) and sum(map(len, part)) < (1400 if language == "zh" else 3000):
                part.append(parts[here])
                here += 1
            page = lay_out(part, rng, fonts, only_a4=True)
            if len(page.chars) > 200:
                pages.append(_held_out_page(page, language, rng))
                taken += 1
    return pages


def ranked(queries: Tensor, documents: Tensor, task: str, language: str) -> Row:
    """Query i's only right document is document i."""
    scores = queries.float() @ documents.float().T
    ranks = (scores > scores.diagonal().unsqueeze(1)).sum(dim=1) + 1
    gain = torch.where(ranks <= 10, 1 / torch.log2(ranks + 1.0), torch.zeros(len(ranks)))
    return Row(task, language, len(documents), float(gain.mean()), float((ranks == 1).float().mean()))


def evaluate_pages(embedder: ColPaLiQwenEmbedder, pages: Sequence[HeldOutPage]) -> list[Row]:
    """Retrieval between pages and words of them, each language apart and all together."""
    texts, words = [page.text for page in pages], [page.words for page in pages]
    blank = [""] * len(pages)
    sharp, coarse = [page.sharp for page in pages], [page.coarse for page in pages]
    vectors = {
        "image": torch.as_tensor(embedder.encode(text=blank, images=sharp)),
        "coarse": torch.as_tensor(embedder.encode(text=blank, images=coarse)),
        "joint": torch.as_tensor(embedder.encode(text=texts, images=sharp)),
        "text": torch.as_tensor(embedder.encode(text=texts)),
        "words": torch.as_tensor(embedder.encode(text=words)),
        "asked": torch.as_tensor(embedder.encode(text=words, images=coarse)),
    }
    tasks = (
        ("some words -> page image", "words", "image"),
        ("some words -> page image + text", "words", "joint"),
        ("some words -> page text", "words", "text"),
        ("page image -> its text", "image", "text"),
        ("page text -> its image", "text", "image"),
        ("page image at 80 dpi, worn -> page image", "coarse", "image"),
        ("page image at 80 dpi, worn -> page image + text", "coarse", "joint"),
        ("coarse image + some words -> page image + text", "asked", "joint"),
    )
    rows: list[Row] = []
    for task, query, document in tasks:
        for language in (*LANGUAGES, "all"):
            index = torch.tensor([i for i, page in enumerate(pages) if language in (page.language, "all")])
            rows.append(ranked(vectors[query][index], vectors[document][index], task, language))
    pool = torch.cat([vectors["joint"], vectors["image"], vectors["text"]])
    rows.append(mixed_pool(vectors["words"], pool, len(pages), "some words -> image, text and joint vectors mixed"))
    return rows


def mixed_pool(queries: Tensor, pool: Tensor, size: int, task: str) -> Row:
    """Best rank of any of a thing's vectors in a pool of several kinds."""
    scores = queries.float() @ pool.float().T
    best = scores.view(len(queries), -1, size).amax(dim=1)
    ranks = (best > best.diagonal().unsqueeze(1)).sum(dim=1) + 1
    gain = torch.where(ranks <= 10, 1 / torch.log2(ranks + 1.0), torch.zeros(len(ranks)))
    return Row(task, "all", size, float(gain.mean()), float((ranks == 1).float().mean()))


def evaluate_texts(embedder: ColPaLiQwenEmbedder, corpus: Corpus, limit: int) -> list[Row]:
    """Translations both ways, and questions -> passages."""
    rows: list[Row] = []
    for kind, first, second in (
        ("parallel", "vi", "en"), ("parallel", "en", "zh"), ("question", "vi", "vi"), ("question", "en", "en"),
        ("question", "zh", "zh"),
    ):  # fmt: skip
        found: dict[str, str] = {}
        for pair in corpus.pairs:
            if (pair.kind, pair.query_language, pair.positive_language) == (kind, first, second):
                found.setdefault(pair.positive, pair.query)
        items = random.Random(0).sample(sorted(found.items()), min(limit, len(found)))
        if len(items) < 2:
            continue
        queries = torch.as_tensor(embedder.encode(text=[query for _, query in items]))
        documents = torch.as_tensor(embedder.encode(text=[document for document, _ in items]))
        if kind == "parallel":
            rows.append(ranked(queries, documents, "text -> its translation", f"{first} -> {second}"))
            rows.append(ranked(documents, queries, "text -> its translation", f"{second} -> {first}"))
        else:
            rows.append(ranked(queries, documents, "question -> passage", first))
    return rows


def main() -> None:
    """Measure a checkpoint and print the table of its model card."""
    parser = argparse.ArgumentParser(prog="python -m trainer.starter.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="the folder that training read")
    parser.add_argument("--pages", type=int, default=70, help="pages of each language")
    parser.add_argument("--pairs", type=int, default=500, help="text pairs of each kind")
    parser.add_argument("--fonts", type=Path, action="append", default=[], help="folder with .ttf files (repeatable)")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    embedder = ColPaLiQwenEmbedder.from_pretrained(options.checkpoint)
    _, held = read_corpus(options.texts).split()
    began = time.monotonic()
    rows = evaluate_texts(embedder, held, options.pairs)
    rows = evaluate_pages(embedder, held_out_pages(held, options.pages, Fonts.find(options.fonts))) + rows
    print("| task | language | candidates | nDCG@10 | recall@1 | random nDCG@10 | random recall@1 |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(row.markdown())
    print(f"\n{time.monotonic() - began:.0f} s")


def _held_out_page(page: Page, language: str, rng: random.Random) -> HeldOutPage:
    text = text_within(page, 0, 0, page.width, page.height)
    return HeldOutPage(language, _picture(page, _DOTS), _worn(_picture(page, _COARSE), rng), text, span_of(text, rng))


def _picture(page: Page, dots: int) -> Image.Image:
    scale = dots / 72
    return Image.fromarray(draw(page, 0, 0, scale, round(A4[0] * scale), round(A4[1] * scale))).convert("RGB")


def _worn(image: Image.Image, rng: random.Random) -> Image.Image:
    """As a scanner would give it back: a little noise and JPEG."""
    noise = np.random.default_rng(rng.getrandbits(32)).integers(-10, 11, (image.height, image.width, 1))
    pixels = np.clip(np.asarray(image).astype(np.int16) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


if __name__ == "__main__":
    main()
