"""Batches of the recipe: crops of rendered pages with what stands in them, and text pairs.

Batch k of a stage depends on (seed, k, progress) alone. Made in a worker process; knows nothing of the network.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from embedder.prefixes import PROMPTS, TASKS
from trainer.starter.corpus import Corpus, Document, Pair
from trainer.starter.layouts import KINDS
from trainer.starter.pictures import degrade, draw_picture, tint
from trainer.starter.render import CELL, SLOTS, Crop, Fonts, Page, cut, draw, lay_out, lay_out_special

BLANK, UNKNOWN = 0, 1
_WORD = re.compile(r"[\u2e80-\u9fff\uff00-\uffef]|[^\s\u2e80-\u9fff\uff00-\uffef]+")
_SENTENCE = re.compile(r"[^.!?。！？；;]+[.!?。！？；;]?")
_LANGUAGE_SHARES = {"vi": 0.45, "en": 0.28, "zh": 0.27}
_PAGE_SHARES = {"vi": 0.4, "en": 0.3, "zh": 0.3}
_SPECIAL_SHARE = 0.12  # of pages: tables, receipts, charts
_SKEWED_SHARE = 0.2  # of crops: up to two and a half degrees, as on a scanner
_EASY_SHARES = {"vi": 0.55, "en": 0.45}


@dataclass(frozen=True)
class Texts:
    """Right-padded token ids [B, L] and lengths [B]."""

    ids: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class PairBatch:
    """Text pairs, row by row."""

    queries: Texts
    positives: Texts


@dataclass(frozen=True)
class CropBatch:
    """Crops with characters (flat slot, index in the character set) and their text as it is read.

    `reading` holds the tokens of each crop in reading order, `under` (flat position in `reading.ids`, flat cell).

    `second`, if there, shows the same things at another scale (perhaps in another size) and worse; `whole` is all text
    of a crop, `span` a part of it. The last `pictures` rows are pictures without text.
    """

    pixels: Tensor
    second: Tensor | None
    characters: Tensor
    reading: Texts
    under: Tensor
    whole: Texts
    span: Texts
    pictures: int


@dataclass(frozen=True)
class Stage:
    """What a batch consists of."""

    name: str
    crops: int  # per batch
    size: tuple[int, int]  # height, width in pixels
    per_page: int
    letter: tuple[float, float]  # text size in pixels
    easy: bool  # few fonts, black on white
    pairs: int = 48  # short text pairs in a batch of pairs; long ones: half as many
    second: tuple[int, int] | None = None  # height, width of a second view; with it, some pictures come along
    whole_pages: bool = False  # a crop is a whole A4 page


class CharacterSet:
    """The characters worth telling apart; the rest share one index, and an empty cell has its own."""

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = list(characters)
        self._index = {ord(char): index + 2 for index, char in enumerate(self.characters)}

    @classmethod
    def of(cls, corpus: Corpus, limit: int) -> "CharacterSet":
        """The `limit` most frequent non-space characters seen at least ten times (each language counts equally)."""
        counts: dict[str, Counter[str]] = {}
        for document in corpus.documents:
            counts.setdefault(document.language, Counter()).update("".join(document.paragraphs))
        shares: Counter[str] = Counter()
        for counter in counts.values():
            total = counter.total()
            shares.update({c: n / total for c, n in counter.items() if n >= 10 and not c.isspace()})
        return cls([char for char, _ in shares.most_common(limit)])

    def __len__(self) -> int:
        return len(self.characters) + 2

    def places(self, char_slots: np.ndarray, slots: int) -> np.ndarray:
        """(slot, index) of every visible character, and (slot, BLANK) for empty slots."""
        seen = [
            (int(slot), self._index.get(int(code), UNKNOWN)) for slot, code in char_slots if not chr(code).isspace()
        ]
        empty = set(range(slots)) - {slot for slot, _ in seen}
        return np.asarray(seen + [(slot, BLANK) for slot in sorted(empty)], np.int64).reshape(-1, 2)


class Batches(IterableDataset):  # type: ignore[type-arg]
    """Endless batches; `progress` (0..1, shared with the training process) chooses the stage."""

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: PreTrainedTokenizerBase,
        characters: CharacterSet,
        fonts: Fonts,
        plan: "Sequence[tuple[float, Stage]]",
        progress: "Synchronized[float]",
        seed: int,
        first: int = 0,
        stride: int = 1,
    ) -> None:
        self.tokenizer = tokenizer
        self.characters = characters
        self.fonts = fonts
        self.plan = plan
        self.progress = progress
        self.seed = seed
        self.first = first
        self.stride = stride
        self.documents = {
            language: [document for document in corpus.documents if document.language == language]
            for language in _LANGUAGE_SHARES
        }
        self._sources: dict[str, dict[str, list[Document]]] = {}
        for language, documents in self.documents.items():
            by_source = self._sources.setdefault(language, {})
            for document in documents:
                by_source.setdefault(document.name.split("#")[0], []).append(document)
        self.pairs: dict[tuple[str, str, str], list[Pair]] = {}
        for pair in corpus.pairs:
            self.pairs.setdefault((pair.kind, pair.query_language, pair.positive_language), []).append(pair)

    def __iter__(self) -> Iterator[CropBatch]:
        index = self.first
        while True:
            yield self.batch(index, self.progress.value)
            index += self.stride

    def batch(self, index: int, progress: float) -> CropBatch:
        """Batch number `index`, of the stage that `progress` lies in."""
        stage = next(stage for until, stage in self.plan if progress < until or until == self.plan[-1][0])
        return self.crop_batch(stage, self.chance(index))

    def chance(self, index: int) -> random.Random:
        """The random numbers of batch `index`."""
        return random.Random(f"{self.seed}-{index}")

    def page(self, rng: random.Random, easy: bool = False, only_a4: bool = False) -> Page:
        """A fresh page from a random place of a random document."""
        shares = _EASY_SHARES if easy else _PAGE_SHARES
        language = rng.choices(list(shares), list(shares.values()))[0]
        sources = self._sources[language]
        # By the square root of its size: a small source is seen more often than its share.
        weights = [sum(len(d.paragraphs) for d in documents) ** 0.5 for documents in sources.values()]
        documents = rng.choices(list(sources.values()), weights)[0]
        paragraphs: list[str] = []
        while sum(map(len, paragraphs)) < 5000:
            document = rng.choice(documents)
            start = rng.randrange(len(document.paragraphs)) if rng.random() < 0.7 else 0
            paragraphs += document.paragraphs[start:]
        fonts = Fonts() if easy else self.fonts
        if not easy and not only_a4 and rng.random() < _SPECIAL_SHARE:
            return lay_out_special(rng.choice(list(KINDS)), paragraphs, language, rng, fonts, self._line_tokens)
        return lay_out(paragraphs, rng, fonts, self._line_tokens, only_a4)

    def crop_batch(self, stage: Stage, rng: random.Random) -> CropBatch:
        """Several disjoint crops of each of a few pages: neighbours share style and topic, so only reading helps."""
        crops: list[tuple[Page, float, float, float]] = []
        count = stage.crops - (max(1, stage.crops // 8) if stage.second else 0)
        height, width = stage.size
        while len(crops) < count:
            page = self.page(rng, stage.easy, stage.whole_pages)
            if len(page.chars) < 40:
                continue
            if stage.whole_pages:
                crops.append((page, 0.0, 0.0, width / page.width))
                continue
            scale = rng.uniform(*stage.letter) / page.text_size
            taken: list[tuple[float, float]] = []
            for _ in range(3 * stage.per_page):
                x, y = page.centres[rng.randrange(len(page.centres))]
                left = float(x) - rng.uniform(0.15, 0.85) * width / scale
                top = float(y) - rng.uniform(0.15, 0.85) * height / scale
                far = all(abs(left - a) * scale >= width or abs(top - b) * scale >= height for a, b in taken)
                if far and len(taken) < stage.per_page and len(crops) < count:
                    taken.append((left, top))
                    crops.append((page, left, top, scale))
        skews = [0.0 if stage.easy or rng.random() > _SKEWED_SHARE else rng.uniform(-2.5, 2.5) for _ in crops]
        drawn = [cut(*crop, width, height, skew) for crop, skew in zip(crops, skews, strict=True)]
        return self._gather(drawn, crops, stage, rng)

    def pair_batch(self, stage: Stage, rng: random.Random) -> PairBatch:
        """Pairs of one kind: translations, questions with passages, or a sentence with the paragraph around it."""
        kind = rng.choices(("parallel", "question", "inside"), (0.4, 0.25, 0.35))[0]
        count = stage.pairs if kind == "parallel" else max(2, stage.pairs // 2)
        rows: list[tuple[str, str]] = []
        # Drawn four times over, then a run of similar lengths is kept: little padding, and length tells nothing.
        if kind == "inside":
            while len(rows) < 4 * count:
                paragraph = self.paragraph(rng)
                rows.append((span_of(paragraph, rng), paragraph))
        else:
            tables = {
                key: table
                for key, table in self.pairs.items()
                if key[0] == kind or (kind, key[0]) == ("parallel", "paraphrase")
            }
            weights = [len(table) ** 0.5 for table in tables.values()]
            while len(rows) < 4 * count:
                pair = rng.choice(rng.choices(list(tables.values()), weights)[0])
                rows.append((pair.query, pair.positive))
        rows.sort(key=lambda row: len(row[1].encode()))
        start = rng.randrange(3 * count + 1)
        rows = rows[start : start + count]
        limit = 64 if kind == "parallel" else 256
        task = {"parallel": "text_pair", "question": "instr", "inside": "ocr"}[kind]
        queries = [_prefixed(query, task, rng) for query, _ in rows]
        positives = [_prefixed(positive, task, rng) for _, positive in rows]
        return PairBatch(self.texts(queries, limit), self.texts(positives, limit))

    def texts(self, texts: Sequence[str], limit: int) -> Texts:
        """Token ids of texts, cut at `limit` tokens; an empty text becomes one pad token."""
        rows = [ids[:limit] or [self.tokenizer.pad_token_id] for ids in self.tokenizer(list(texts)).input_ids]
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.full((len(rows), int(lengths.max())), self.tokenizer.pad_token_id)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
        return Texts(ids, lengths)

    def _gather(
        self, crops: list[Crop], places: list[tuple[Page, float, float, float]], stage: Stage, rng: random.Random
    ) -> CropBatch:
        height, width = crops[0].grey.shape
        cells = (height // CELL) * (width // CELL)
        characters = [
            self.characters.places(crop.char_slots, cells * SLOTS) + np.asarray([index * cells * SLOTS, 0])
            for index, crop in enumerate(crops)
        ]
        reading, under = self._reading(crops, cells)
        pixels = [tint(crop.grey, rng, stage.easy) for crop in crops]
        if not stage.easy:
            pixels = [degrade(image, rng) if rng.random() < 0.25 else image for image in pixels]
        second: list[np.ndarray] = []
        if stage.second:
            second = [self._second_view(place, stage.size, stage.second, rng) for place in places]
        pictures = stage.crops - len(crops)
        for _ in range(pictures):
            one, two = draw_picture(rng, (height, width), stage.second or (height, width))
            pixels.append(one)
            second.append(two)
        whole = [crop.text for crop in crops] + [""] * pictures
        spans = [span_of(text, rng) for text in whole]
        return CropBatch(
            pixels=torch.from_numpy(np.stack(pixels)),
            second=torch.from_numpy(np.stack(second)) if second else None,
            characters=torch.from_numpy(np.concatenate(characters)),
            reading=reading,
            under=under,
            whole=self.texts(whole, 400),
            span=self.texts([_prefixed(span, "ocr", rng) for span in spans], 64),
            pictures=pictures,
        )

    def _reading(self, crops: list[Crop], cells: int) -> tuple[Texts, Tensor]:
        """The tokens of crops as padded rows, and (flat position, flat cell) of each."""
        rows = [crop.token_cells.astype(np.int64) for crop in crops]
        longest = max(1, *(len(row) for row in rows))
        ids = np.full((len(rows), longest), self.tokenizer.pad_token_id, np.int64)
        under = []
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row[:, 1]
            under.append(np.stack([index * longest + np.arange(len(row)), index * cells + row[:, 0]], axis=1))
        lengths = torch.tensor([len(row) for row in rows])
        return Texts(torch.from_numpy(ids), lengths), torch.from_numpy(np.concatenate(under))

    def _second_view(
        self,
        place: tuple[Page, float, float, float],
        first: tuple[int, int],
        size: tuple[int, int],
        rng: random.Random,
    ) -> np.ndarray:
        """The same middle of the page, a little more or less of it, in another size, tint and state."""
        page, left, top, scale = place
        height, width = size
        other = scale * width / first[1] * rng.uniform(0.8, 1.25)
        if size != first:  # a whole page stays whole
            other = scale * width / first[1] * rng.uniform(0.96, 1.02)
        x = left + first[1] / scale / 2 - width / other / 2 + rng.uniform(-0.04, 0.04) * width / other
        y = top + first[0] / scale / 2 - height / other / 2 + rng.uniform(-0.04, 0.04) * height / other
        view = tint(draw(page, x, y, other, width, height), rng, rng.random() < 0.6)
        return degrade(view, rng) if rng.random() < 0.5 else view

    def paragraph(self, rng: random.Random) -> str:
        """One to four consecutive paragraphs of a random document."""
        language = rng.choices(list(_LANGUAGE_SHARES), list(_LANGUAGE_SHARES.values()))[0]
        while True:
            sources = self._sources[language]
            document = rng.choice(rng.choice(list(sources.values())))
            start = rng.randrange(len(document.paragraphs))
            text = " ".join(document.paragraphs[start : start + rng.randint(1, 4)])
            if len(text) > 60:
                return text[:1200]

    def _line_tokens(self, lines: list[str]) -> list[list[tuple[int, int]]]:
        """Tokens of lines as they would be in running text: a line that starts with a word gets its space."""
        if not lines:
            return []
        glued = [" " + line for line in lines]
        encoded = self.tokenizer(glued, return_offsets_mapping=True)
        found: list[list[tuple[int, int]]] = []
        for line, ids, offsets in zip(lines, encoded.input_ids, encoded.offset_mapping, strict=True):
            row: list[tuple[int, int]] = []
            for token, (start, stop) in zip(ids, offsets, strict=True):
                middle = (max(start - 1, 0) + stop - 2) // 2
                if 0 <= middle < len(line) and line[max(start - 1, 0) : stop - 1].strip():
                    row.append((token, middle))
            found.append(row)
        return found


def span_of(text: str, rng: random.Random, most: int = 24) -> str:
    """4 (or fewer, if `most` is) to `most` words (Chinese: characters) in a row of `text`."""
    words = list(_WORD.finditer(text))
    if len(words) < 5:
        return text
    length = min(len(words), rng.randint(min(4, most), most))
    start = rng.randrange(len(words) - length + 1)
    return text[words[start].start() : words[start + length - 1].end()]


def sentence_of(text: str, rng: random.Random) -> str:
    """A sentence of `text` of at least 4 words and at most 40; without one, a run of words."""
    sentences = [part.strip() for part in _SENTENCE.findall(text)]
    fit = [part for part in sentences if 4 <= len(_WORD.findall(part)) <= 40]
    return rng.choice(fit) if fit else span_of(text, rng)


def _prefixed(text: str, task: str, rng: random.Random) -> str:
    """Every third text or so gets a prefix, mostly the fitting one: with or without, the model must work."""
    if not text or rng.random() > 0.3:
        return text
    return PROMPTS[task if rng.random() < 0.7 else rng.choice(TASKS)] + text
