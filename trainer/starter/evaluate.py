"""`python -m trainer.starter.evaluate CHECKPOINT --texts DIR`: what a starter checkpoint finds on held-out documents.

Everything goes through the public `encode`, on pages that no training batch contained, laid out from documents kept
aside. Prints a Markdown table. Pages are drawn when their turn comes: a thousand of them would not fit into memory.
"""

import argparse
import csv
import io
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from embedder.model import ColPaLiQwenEmbedder
from trainer.metrics import spearman
from trainer.starter.corpus import LANGUAGES, Corpus, clean, language_of, read_corpus
from trainer.starter.render import A4, Fonts, Page, draw, lay_out, text_within
from trainer.starter.samples import sentence_of, span_of

_DOTS = 150  # as users render their pages; the image processor scales them down
_COARSE = 80
# Characters of a page. Held-out text is scarce: full pages would be half as many.
_LENGTHS = {"vi": (500, 900), "en": (700, 1800), "zh": (220, 420)}
_BATCH = 8


@dataclass(frozen=True)
class Row:
    """One line of the table; recall is at 1."""

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
    """A page of a held-out document, its text, and what is asked of it."""

    language: str
    page: Page
    text: str
    query: str

    def sharp(self) -> Image.Image:
        """As rendered from a PDF."""
        return _picture(self.page, _DOTS)

    def coarse(self, rng: random.Random) -> Image.Image:
        """At 80 dpi, with a little noise and JPEG."""
        return _worn(_picture(self.page, _COARSE), rng, noise=10, quality=60)

    def scan(self, rng: random.Random) -> Image.Image:
        """As a scanner gives it: one to two degrees askew, noise, JPEG 40."""
        skew = rng.uniform(1.0, 2.0) * rng.choice((-1, 1))
        return _worn(_picture(self.page, _DOTS, skew), rng, noise=14, quality=40)


def text_pages(corpus: Corpus, count: int, fonts: Fonts) -> list[HeldOutPage]:
    """Up to `count` pages, a third of each language, asked for by a sentence of theirs with strange words around it."""
    pages: list[HeldOutPage] = []
    for language in LANGUAGES:
        rng = random.Random(f"pages-{language}")
        parts = [text for document in corpus.documents if document.language == language for text in document.paragraphs]
        for part in _cut_up(parts, language, rng, math.ceil(count / len(LANGUAGES))):
            page = lay_out(part, rng, fonts, only_a4=True)
            text = text_within(page, 0, 0, page.width, page.height)
            if len(text) < 100:
                continue
            around = rng.choice(parts)
            strange = span_of(around, rng, most=4), span_of(around, rng, most=4)
            query = f"{strange[0]} {sentence_of(text, rng)} {strange[1]}"
            pages.append(HeldOutPage(language, page, text, query))
    random.Random(0).shuffle(pages)
    return pages[:count]


def question_pages(corpus: Corpus, per_language: int, fonts: Fonts) -> list[HeldOutPage]:
    """Pages that hold the passage a held-out question asks for, among other text of the language."""
    pages: list[HeldOutPage] = []
    for language in LANGUAGES:
        rng = random.Random(f"questions-{language}")
        found: dict[str, str] = {}
        for pair in corpus.pairs:
            if pair.kind == "question" and pair.positive_language == language:
                found.setdefault(pair.positive, pair.query)
        chosen = rng.sample(sorted(found.items()), min(per_language, len(found)))
        for passage, question in chosen:
            other = rng.choice(chosen)[0]
            parts = [passage] if other == passage else rng.sample([passage, other[:300]], 2)
            page = lay_out(parts, rng, fonts, only_a4=True)
            text = text_within(page, 0, 0, page.width, page.height)
            pages.append(HeldOutPage(language, page, text, question))
    return pages


def ranked(queries: Tensor, documents: Tensor, task: str, language: str, chosen: Tensor | None = None) -> Row:
    """Query i's only right document is document i; `chosen` queries count, all documents compete.

    Ties and NaN count against the model: one that says the same of everything must not look perfect.
    """
    index = torch.arange(len(queries)) if chosen is None else chosen
    scores = queries.float()[index] @ documents.float().T
    ranks = (~(scores < scores.gather(1, index[:, None]))).sum(dim=1)
    gain = torch.where(ranks <= 10, 1 / torch.log2(ranks + 1.0), torch.zeros(len(ranks)))
    return Row(task, language, len(documents), float(gain.mean()), float((ranks == 1).float().mean()))


def evaluate_pages(
    embedder: ColPaLiQwenEmbedder, pages: Sequence[HeldOutPage], scans: int, others: int
) -> Iterator[Row]:
    """Text and page images, both ways, all languages in one pool; scans and coarse copies of the first pages."""
    images = _embed_images(embedder, [page.sharp for page in pages], "pages")
    queries = _embed_texts(embedder, [page.query for page in pages])
    texts = _embed_texts(embedder, [page.text for page in pages])
    yield from _by_language("text -> page image", queries, images, pages)
    yield from _by_language("page image -> its text", images, texts, pages)
    yield from _by_language("text -> page text", queries, texts, pages)
    rng = random.Random(1)
    if scans:
        worn = _embed_images(embedder, [partial(page.scan, rng) for page in pages[:scans]], "scans")
        yield ranked(queries[:scans], images[:scans], "text -> page image, the pages of the next line", "all")
        yield ranked(queries[:scans], worn, "text -> page image as a scan", "all")
    if others:
        coarse = _embed_images(embedder, [partial(page.coarse, rng) for page in pages[:others]], "coarse copies")
        yield ranked(coarse, images[:others], "page image at 80 dpi, worn -> page image", "all")
        joint = _embed_images(
            embedder, [page.sharp for page in pages[:others]], "pages with text", [page.text for page in pages[:others]]
        )
        yield ranked(queries[:others], joint, "text -> page image + text", "all")


def evaluate_questions(embedder: ColPaLiQwenEmbedder, pages: Sequence[HeldOutPage]) -> Iterator[Row]:
    """Questions and the pages that answer them."""
    images = _embed_images(embedder, [page.sharp for page in pages], "answer pages")
    queries = _embed_texts(embedder, [page.query for page in pages])
    yield from _by_language("question -> page image", queries, images, pages)


def evaluate_texts(embedder: ColPaLiQwenEmbedder, corpus: Corpus, limit: int) -> Iterator[Row]:
    """Translations both ways, and questions -> passages."""
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
        queries = _embed_texts(embedder, [query for _, query in items])
        documents = _embed_texts(embedder, [document for document, _ in items])
        if kind == "parallel":
            yield ranked(queries, documents, "text -> its translation", f"{first} -> {second}")
            yield ranked(documents, queries, "text -> its translation", f"{second} -> {first}")
        else:
            yield ranked(queries, documents, "question -> passage", first)


def evaluate_similarity(embedder: ColPaLiQwenEmbedder, file: Path) -> tuple[str, float]:
    """(language, Spearman's rho) on `sentence1, sentence2, score` rows, as STS-B has them."""
    with file.open(encoding="utf-8", newline="") as opened:
        rows = [(clean(one), clean(two), float(score)) for one, two, score in csv.reader(opened)]
    first = _embed_texts(embedder, [row[0] for row in rows])
    second = _embed_texts(embedder, [row[1] for row in rows])
    rho = spearman((first * second).sum(dim=1).numpy(), np.asarray([row[2] for row in rows]))
    return language_of(" ".join(row[0] for row in rows[:50])), float(rho)


def main() -> None:
    """Measure a checkpoint and print the table of its model card."""
    parser = argparse.ArgumentParser(prog="python -m trainer.starter.evaluate", description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--texts", type=Path, required=True, help="the folder that training read")
    parser.add_argument("--pages", type=int, default=1000, help="pages, a third of each language")
    parser.add_argument("--questions", type=int, default=200, help="question pages of each language")
    parser.add_argument("--scans", type=int, default=300, help="how many of the pages are scanned, too")
    parser.add_argument("--others", type=int, default=150, help="how many are embedded coarsely and with their text")
    parser.add_argument("--pairs", type=int, default=1000, help="text pairs of each kind")
    parser.add_argument("--similarity", type=Path, action="append", default=[], help="STS-B dev file (repeatable)")
    parser.add_argument("--max-pixels", type=int, help="another pixel budget than the checkpoint's")
    parser.add_argument("--bf16", action="store_true", help="embed in bfloat16: faster where the processor has it")
    parser.add_argument("--fonts", type=Path, action="append", default=[], help="folder with .ttf files (repeatable)")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    embedder = ColPaLiQwenEmbedder.from_pretrained(
        options.checkpoint, max_pixels=options.max_pixels, dtype=torch.bfloat16 if options.bf16 else torch.float32
    )
    _, held = read_corpus(options.texts).split()
    fonts = Fonts.find(options.fonts)
    began = time.monotonic()
    print("| task | language | candidates | nDCG@10 | recall@1 | random nDCG@10 | random recall@1 |")
    print("|---|---|---|---|---|---|---|", flush=True)
    sources: list[Iterator[Row]] = [evaluate_texts(embedder, held, options.pairs)]
    if options.pages:
        pages = text_pages(held, options.pages, fonts)
        sources.append(evaluate_pages(embedder, pages, options.scans, options.others))
    if options.questions:
        sources.append(evaluate_questions(embedder, question_pages(held, options.questions, fonts)))
    for rows in sources:
        for row in rows:
            print(row.markdown(), flush=True)
    for file in options.similarity:
        language, rho = evaluate_similarity(embedder, file)
        print(f"\nSpearman's rho on {file.name} ({language}): {rho:.3f}")
    print(f"\n{time.monotonic() - began:.0f} s")


def _by_language(task: str, queries: Tensor, documents: Tensor, pages: Sequence[HeldOutPage]) -> Iterator[Row]:
    yield ranked(queries, documents, task, "all")
    for language in LANGUAGES:
        index = torch.tensor([number for number, page in enumerate(pages) if page.language == language])
        if len(index):
            yield ranked(queries, documents, task, language, index)


def _cut_up(parts: list[str], language: str, rng: random.Random, count: int) -> Iterator[list[str]]:
    """Consecutive paragraphs, as many as a page takes; no text is on two pages."""
    here, taken = 0, 0
    while here < len(parts) and taken < count:
        wanted = rng.randint(*_LENGTHS[language])
        part: list[str] = []
        while here < len(parts) and sum(map(len, part)) < wanted:
            part.append(parts[here][: 2 * wanted])
            here += 1
        taken += 1
        yield part


def _embed_texts(embedder: ColPaLiQwenEmbedder, texts: Sequence[str]) -> Tensor:
    return torch.as_tensor(embedder.encode(text=list(texts)))


def _embed_images(
    embedder: ColPaLiQwenEmbedder,
    drawn: Sequence[Callable[[], Image.Image]],
    label: str,
    texts: Sequence[str] | None = None,
) -> Tensor:
    found: list[Tensor] = []
    for start in tqdm(range(0, len(drawn), _BATCH), desc=label):
        images = [draw_one() for draw_one in drawn[start : start + _BATCH]]
        words = [""] * len(images) if texts is None else list(texts[start : start + _BATCH])
        found.append(torch.as_tensor(embedder.encode(text=words, images=images)))
    return torch.cat(found)


def _picture(page: Page, dots: int, skew: float = 0.0) -> Image.Image:
    scale = dots / 72
    return Image.fromarray(draw(page, 0, 0, scale, round(A4[0] * scale), round(A4[1] * scale), skew)).convert("RGB")


def _worn(image: Image.Image, rng: random.Random, noise: int, quality: int) -> Image.Image:
    grain = np.random.default_rng(rng.getrandbits(32)).integers(-noise, noise + 1, (image.height, image.width, 1))
    pixels = np.clip(np.asarray(image).astype(np.int16) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


if __name__ == "__main__":
    main()
