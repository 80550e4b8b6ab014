"""`python -m trainer.starter.pairs --texts DIR --out DIR`: texts -> training and evaluation JSONL of all five tasks.

Pages and crops are rendered beside the JSONL. It is what any user's own data would look like to the trainer.
"""

import argparse
import json
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from embedder.errors import InputError
from trainer.starter.corpus import LANGUAGES, Corpus, Document, Pair, read_corpus
from trainer.starter.layouts import KINDS
from trainer.starter.pictures import degrade, tint
from trainer.starter.render import CELL, Fonts, Page, cut, lay_out, lay_out_special
from trainer.starter.samples import span_of

logger = logging.getLogger(__name__)

SHARES = {"text_pair": 0.34, "instr": 0.22, "ocr": 0.24, "vqa_single": 0.14, "vqa_multi": 0.06}
_PAIR_KINDS = {"parallel": 0.7, "scored": 0.3}
_LANGUAGES = {"vi": 0.45, "en": 0.3, "zh": 0.25}
_READ = {
    "vi": ("Đọc chữ trong ảnh.", "Trong ảnh viết gì?"),
    "en": ("Read the text in the image.", "What does the image say?"),
    "zh": ("读出图中的文字。", "图中写了什么？"),
}
_SECOND = {"vi": "Còn ảnh thứ hai?", "en": "And the second image?", "zh": "第二张图呢？"}
_COUNT = {
    "vi": ("Có mấy ảnh?", "Hai ảnh."),
    "en": ("How many images are there?", "Two."),
    "zh": ("有几张图？", "两张。"),
}
_SIZES = ((224, 224), (224, 336), (336, 336), (448, 336), (504, 364))  # height, width in pixels

Line = dict[str, Any]


class PairWriter:
    """Draws samples from a corpus and writes their pictures; the same seed gives the same samples.

    A task that the corpus has no texts for (no scored or parallel pairs, no questions, no long text) is left out.
    """

    def __init__(
        self, corpus: Corpus, folder: Path, fonts: Fonts, seed: int, shares: Mapping[str, float] = SHARES
    ) -> None:
        self.folder = folder
        self.fonts = fonts
        self.rng = random.Random(seed)
        self.documents = {
            language: [d for d in corpus.documents if d.language == language and sum(map(len, d.paragraphs)) > 300]
            for language in LANGUAGES
        }
        self.pairs: dict[tuple[str, str, str], list[Pair]] = {}
        for pair in corpus.pairs:
            self.pairs.setdefault((pair.kind, pair.query_language, pair.positive_language), []).append(pair)
        kinds = {kind for kind, _, _ in self.pairs}
        self.kinds = {kind: share for kind, share in _PAIR_KINDS.items() if kind in kinds}
        self.languages = {language: share for language, share in _LANGUAGES.items() if self.documents[language]}
        has = {"text_pair": bool(self.kinds), "instr": "question" in kinds}
        pages = bool(self.languages)
        has |= {"ocr": pages, "vqa_single": pages and has["instr"], "vqa_multi": pages}
        wanted = {task: share for task, share in shares.items() if share > 0}
        self.shares = {task: share for task, share in wanted.items() if has[task]}
        self.missing = [task for task in wanted if not has[task]]
        self.written = 0
        self.makers: dict[str, Callable[[], Line]] = {
            "text_pair": self._text_pair,
            "instr": self._instr,
            "ocr": self._ocr,
            "vqa_single": self._vqa_single,
            "vqa_multi": self._vqa_multi,
        }

    def lines(self, count: int) -> Iterator[Line]:
        """`count` samples, tasks mixed by their shares.

        Raises:
            InputError: the corpus has texts for no task.
        """
        if not self.shares:
            raise InputError("no sample can be made: the texts hold no pairs, and no document of over 300 characters")
        if self.missing:
            logger.warning("the texts hold nothing for %s: left out", ", ".join(self.missing))
        tasks = self.rng.choices(list(self.shares), list(self.shares.values()), k=count)
        for task in tasks:
            yield {"task": task, **self.makers[task]()}

    def _text_pair(self) -> Line:
        kind = self.rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        pair = self._pair(kind)
        line = _texts(pair)
        return {**line, "score": pair.score} if kind == "scored" else line

    def _instr(self) -> Line:
        return _texts(self._pair("question"))

    def _ocr(self) -> Line:
        """A picture and its text, asked for in either direction."""
        language, picture, text = self._crop()
        if self.rng.random() < 0.5:
            query = {"text": self.rng.choice(_READ[language]), "images": [picture]}
            return {"query": query, "positive": {"text": text}, "language": language}
        return {"query": {"text": span_of(text, self.rng)}, "positive": {"images": [picture]}, "language": language}

    def _vqa_single(self) -> Line:
        """A question and the page that answers it, or words and the picture that holds them together with its text."""
        question = self._pair("question")
        language = question.positive_language
        if self.rng.random() < 0.6:
            page = lay_out([question.positive], self.rng, self.fonts)
            picture = self._save(page, language, whole=True)[0]
            return {"query": {"text": question.query}, "positive": {"images": [picture]}, "language": language}
        language, picture, text = self._crop()
        positive = {"text": text, "images": [picture]}
        return {"query": {"text": span_of(text, self.rng)}, "positive": positive, "language": language}

    def _vqa_multi(self) -> Line:
        language, first, _ = self._crop()
        _, second, text = self._crop(language)
        count, answer = _COUNT[language]
        turns = [
            {"user": count, "images": [first, second], "assistant": answer},
            {"user": _SECOND[language], "assistant": text},
        ]
        return {"turns": turns, "language": language}

    def _pair(self, kind: str) -> Pair:
        tables = {key: table for key, table in self.pairs.items() if key[0] == kind}
        # By the square root of its size: a small source is seen more often than its share.
        weights = [len(table) ** 0.5 for table in tables.values()]
        return self.rng.choice(self.rng.choices(list(tables.values()), weights)[0])

    def _crop(self, language: str | None = None) -> tuple[str, str, str]:
        """(language, file name, text) of a fresh crop."""
        while True:
            chosen = language or self.rng.choices(list(self.languages), list(self.languages.values()))[0]
            page = self._page(self.rng.choice(self.documents[chosen]))
            if len(page.chars) > 60:
                name, text = self._save(page, chosen, whole=False)
                if len(text) > 20:
                    return chosen, name, text

    def _page(self, document: Document) -> Page:
        start = self.rng.randrange(len(document.paragraphs))
        paragraphs = list(document.paragraphs[start:] + document.paragraphs[:start])
        if self.rng.random() < 0.12:
            kind = self.rng.choice(list(KINDS))
            return lay_out_special(kind, paragraphs, document.language, self.rng, self.fonts)
        return lay_out(paragraphs, self.rng, self.fonts)

    def _save(self, page: Page, language: str, whole: bool) -> tuple[str, str]:
        """Draws a part of a page (its upper part if `whole`) at a legible size, worn now and then."""
        rng = self.rng
        height, width = rng.choice(_SIZES)
        scale = rng.uniform(12, 20) / page.text_size
        if whole:  # as much of the page as holds the passage, up to 36 x 26 cells
            scale = 26 * CELL / page.width
            used = float(page.centres[:, 1].max()) + 20 if len(page.centres) else page.height
            height, width = min(36, int(used * scale) // CELL + 1) * CELL, 26 * CELL
            left = top = 0.0
        else:
            x, y = page.centres[rng.randrange(len(page.centres))]
            left = float(x) - rng.uniform(0.15, 0.85) * width / scale
            top = float(y) - rng.uniform(0.15, 0.85) * height / scale
        crop = cut(page, left, top, scale, width, height, rng.uniform(-2, 2) if rng.random() < 0.15 else 0.0)
        pixels = tint(crop.grey, rng, rng.random() < 0.5)
        pixels = degrade(pixels, rng) if rng.random() < 0.3 else pixels
        name = f"images/{language}-{self.written:06d}.jpg"
        self.written += 1
        Image.fromarray(np.ascontiguousarray(pixels)).save(self.folder / name, quality=92)
        return name, crop.text


def write_pairs(
    corpus: Corpus, path: Path, count: int, fonts: Fonts, seed: int, shares: Mapping[str, float] = SHARES
) -> None:
    """Write `count` samples to a JSONL and their pictures to a folder `images` beside it."""
    (path.parent / "images").mkdir(parents=True, exist_ok=True)
    writer = PairWriter(corpus, path.parent, fonts, seed, shares)
    writer.written = seed * 1_000_000  # two files of one folder share no picture
    with path.open("w", encoding="utf-8") as file:
        for line in tqdm(writer.lines(count), total=count, desc=path.name):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def main() -> None:
    """Write train.jsonl from the training documents and evaluation.jsonl from the held-out ones."""
    parser = argparse.ArgumentParser(prog="python -m trainer.starter.pairs", description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="folder with .txt .tsv .jsonl .json .csv texts")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--samples", type=int, default=20_000, help="training samples")
    parser.add_argument("--held-out", type=int, default=1_000, help="evaluation samples")
    parser.add_argument("--shares", type=float, nargs=len(SHARES), metavar=tuple(SHARES), help="of the tasks")
    parser.add_argument("--fonts", type=Path, action="append", default=[], help="folder with .ttf files (repeatable)")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    train, held = read_corpus(options.texts).split()
    fonts = Fonts.find(options.fonts)
    shares = dict(zip(SHARES, options.shares, strict=True)) if options.shares else SHARES
    write_pairs(train, options.out / "train.jsonl", options.samples, fonts, seed=1, shares=shares)
    write_pairs(held, options.out / "evaluation.jsonl", options.held_out, fonts, seed=2, shares=shares)


def _texts(pair: Pair) -> Line:
    one, two = pair.query_language, pair.positive_language
    language = one if one == two else f"{one}-{two}"
    return {"query": {"text": pair.query}, "positive": {"text": pair.positive}, "language": language}


if __name__ == "__main__":
    main()
