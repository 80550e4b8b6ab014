"""The passages of a page, how well each fits a question or a claim, and where it stands on the page's picture."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise

from connectors.page import WordBox
from vipylo_rag.alignment import places
from vipylo_rag.wanted import NOTHING, Wanted

# A passage is some neighbouring sentences: a heading alone answers nothing, nor does one cell of a table.
PASSAGE_LENGTH = 280
# Of two passages that say as much, the shorter one: so much of the fit is the room it takes worth.
_LENGTH_COST = 0.15
_LEAST_LENGTH = 160
_LEAST_AFTER = 40
_AS_GOOD = 0.8

# What is said beside a thing that is wanted counts so much more: in its sentence or in so many before it, as a label
# and its value are two lines of a form. Chosen on the questions marked "dev" in benchmarks/answer_fields.yaml.
_WANTED = 0.7
_BESIDE = 2

# Ends of sentences: a stop before a blank (not in "3.5" or "65.000"), a Chinese stop anywhere, a line's end.
_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^\Wa-z_]|[\"'“‘(\[])|(?<=[。！？；])[”’」』）]*\s*|(?<!\s)[^\S\n]*+\n\s*+"
)
_NUMBERING = re.compile(r"\W*(?:\d{1,3}(?:\.\d+)*|[A-Za-z]|[ivxIVX]{1,4})[.)]$")
_CJK = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_CJK}]+|[^\W{_CJK}_]+")
# What steers a terminal, or turns the direction of a text round; a tab and a line's end are blanks.
_CONTROL = re.compile("[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]")
_CJK_RUN = re.compile(rf"[{_CJK}]")


@dataclass(frozen=True)
class Span:
    """A part of a text: text[start:end]."""

    start: int
    end: int


def sentences(text: str) -> list[Span]:
    """The sentences of a text in Vietnamese, English or Chinese, in order; headings and a table's cells are some too.

    A page's lines are broken where the paper ends: only a line much shorter than the others ends a sentence.
    """
    lengths = sorted(len(line) for line in text.splitlines() if line.strip()) or [0]
    full = 0.7 * lengths[min(len(lengths) - 1, int(0.8 * len(lengths)))]
    spans: list[Span] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        line_end = "\n" in end.group() and end.group().count("\n") < 2 and text[end.start() - 1] not in ".!?…。！？；"
        if line_end and end.start() - (text.rfind("\n", 0, end.start()) + 1) >= full:
            continue
        if _NUMBERING.match(text[start : end.start()].strip()) and "\n" not in end.group():
            continue
        closed = end.group().rstrip()
        spans.append(Span(start, end.start() + len(closed)))
        start = end.end()
    spans.append(Span(start, len(text)))
    pieces = (piece for span in spans for piece in _pieces(text, span))
    return [piece for piece in pieces if piece.start < piece.end]


def _pieces(text: str, span: Span) -> list[Span]:
    """A sentence, trimmed; one that is too long to quote (a list without stops), in groups of its lines."""
    if span.end - span.start <= PASSAGE_LENGTH:
        return [_trimmed(text, span)]
    pieces, start = [], span.start
    for line in re.finditer(r"\S.{0,200}(?:\n|\s|$|(?<=.{200}))", text[span.start : span.end]):
        end = span.start + line.end()
        if end - start > PASSAGE_LENGTH / 2:
            pieces.append(_trimmed(text, Span(start, end)))
            start = end
    return [*pieces, _trimmed(text, Span(start, span.end))]


def _trimmed(text: str, span: Span) -> Span:
    part = text[span.start : span.end]
    return Span(span.start + len(part) - len(part.lstrip()), span.end - (len(part) - len(part.rstrip())))


def terms(text: str) -> list[str]:
    """The words of a text as they are compared: NFC and folded, English ones without endings, of Chinese the pairs of
    characters. Vietnamese tone and vowel marks stay: they make another word."""
    found: list[str] = []
    for word in _WORDS.findall(unicodedata.normalize("NFC", text).casefold()):
        if _CJK_RUN.match(word):
            found += [word[i : i + 2] for i in range(len(word) - 1)] or [word]
        else:
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    if not word.isascii() or not word.isalpha() or len(word) < 4:
        return word
    for ending, instead in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)] + instead
    return word


@dataclass(frozen=True)
class Weights:
    """How much each word tells: one that stands in few of the passages tells more; one in none of them, the most."""

    rarity: Mapping[str, float]
    unseen: float

    @classmethod
    def of(cls, said: Iterable[Sequence[str]]) -> "Weights":
        """Weights from the words of the sentences that are compared."""
        counts: Counter[str] = Counter()
        total = 0
        for words in said:
            counts.update(set(words))
            total += 1
        rarity = {term: math.log(1 + (total - n + 0.5) / (n + 0.5)) for term, n in counts.items()}
        return cls(rarity, math.log(1 + (total + 0.5) / 0.5))

    def __getitem__(self, term: str) -> float:
        return self.rarity.get(term, self.unseen)


class Asked:
    """What passages are compared with: the telling words of a question or a claim, in order."""

    def __init__(self, words: Sequence[str], weights: Weights, idle: Container[str] = ()) -> None:
        """`idle` are words that tell nothing; between two telling words they do not part them."""
        self._idle = idle
        self._weight = {word: weights[word] for word in words if word not in idle}
        told = [word for word in words if word in self._weight]
        self._pairs = {(a, b): 0.25 * (weights[a] + weights[b]) for a, b in pairwise(told) if a != b}
        self._possible = sum(self._weight.values()) + sum(self._pairs.values())

    def without(self, said: Iterable[str], still: float = 0.0) -> "Asked":
        """The same question, of which some words are answered: they count `still` of what they did."""
        rest = copy(self)
        said = frozenset(said)
        rest._weight = {word: weight * still if word in said else weight for word, weight in self._weight.items()}
        rest._pairs = {pair: weight * still if said & {*pair} else weight for pair, weight in self._pairs.items()}
        return rest

    def told(self, said: Sequence[str]) -> list[str]:
        """`said` without idle words."""
        return [word for word in said if word not in self._idle]

    def fit(self, told: Sequence[str]) -> float:
        """The share of what is asked that telling words say, 0 to 1, by weight; pairs that stand together add."""
        if not self._possible:
            return 0.0
        got = sum(self._weight.get(word, 0.0) for word in set(told))
        got += sum(self._pairs.get(pair, 0.0) for pair in set(pairwise(told)))
        return got / self._possible


@dataclass(frozen=True)
class Passage:
    """Some neighbouring sentences of a text.

    Attributes:
        text: which of the texts that were compared, from 0.
        fit: the share of what is asked that they say.
    """

    text: int
    span: Span
    fit: float


@dataclass(frozen=True)
class _Text:
    """A text that is compared with a question: its sentences, the telling words of each, and which have a thing that is
    wanted."""

    spans: Sequence[Span]
    told: Sequence[Sequence[str]]
    holds: Sequence[bool]

    @classmethod
    def of(
        cls, text: str, spans: Sequence[Span], said: Sequence[Sequence[str]], asked: Asked, wanted: Wanted = NOTHING
    ) -> "_Text":
        holds = [wanted.is_in(text[one.start : one.end]) for one in spans]
        return cls(spans, [asked.told(words) for words in said], holds)

    def best(self, number: int, asked: Asked, taken: Sequence[Span] = ()) -> tuple[Passage | None, float]:
        """The passage of this text, which is the `number`-th, that is worth most, and its worth."""
        beside = [self._beside(place, asked) if held else () for place, held in enumerate(self.holds)]
        best, best_worth = None, 0.0
        for first, span in enumerate(self.spans):
            words: list[str] = []
            near = 0.0
            for last in range(first, len(self.spans)):
                end = self.spans[last].end
                length = end - span.start
                if last > first and length > PASSAGE_LENGTH:
                    break
                if any(span.start < one.end and one.start < end for one in taken):
                    break
                words += self.told[last]
                if beside[last]:
                    near = max(near, beside[last][min(last - first, _BESIDE)])
                fit = asked.fit(words)
                worth = (fit + _WANTED * near) * (1 - _LENGTH_COST * length / PASSAGE_LENGTH)
                if worth > best_worth:
                    best, best_worth = Passage(number, Span(span.start, end), fit), worth
        return best, best_worth

    def _beside(self, place: int, asked: Asked) -> tuple[float, ...]:
        """What is said beside a thing: the fit of its sentence, with one sentence before it, with two, …"""
        starts = (max(0, place - before) for before in range(_BESIDE + 1))
        return tuple(asked.fit([word for words in self.told[start : place + 1] for word in words]) for start in starts)


class Passages:
    """Texts in sentences, ready to be compared with what is asked."""

    def __init__(self, texts: Sequence[str], running: Container[str] = ()) -> None:
        """`running` are lines that every page of a document repeats: they are left out."""
        self._texts = ["".join(_blank_if(line, running) for line in text.splitlines(keepends=True)) for text in texts]
        self._spans = [sentences(text) for text in self._texts]
        self._said = [
            [terms(text[one.start : one.end]) for one in spans]
            for text, spans in zip(self._texts, self._spans, strict=True)
        ]
        self.weights = Weights.of(said for one in self._said for said in one)

    def best(
        self,
        asked: Asked,
        most: int = 1,
        least: float = 0.0,
        *,
        lengthen: bool = False,
        wanted: Wanted = NOTHING,
    ) -> list[Passage]:
        """The passages that say most of what is asked in least room; each further one, most of what is then still open.

        Of two that say as much, that one is better which has a thing that is wanted beside what it says, or whose text
        says more of what is asked elsewhere: a form has its owner's name on top, and the amount below.

        Args:
            lengthen: with what follows them: after a heading or the first cell of a row comes what it announces.
            least: share of what is asked that the second and later ones must add, unless they fit nearly as well and
                hold a thing that is wanted.
            wanted: the kinds of things that answer.
        """
        texts = [_Text.of(*said, asked, wanted) for said in zip(self._texts, self._spans, self._said, strict=True)]
        whole = [asked.fit([word for words in text.told for word in words]) for text in texts]
        found: list[Passage] = []
        rest, open_ = asked, asked
        for _ in range(most):
            passage, worth = None, 0.0
            for number, compared in enumerate(texts):
                one, of_text = compared.best(number, rest, [other.span for other in found if other.text == number])
                if one and of_text * (1 + whole[number]) > worth:
                    passage, worth = one, of_text * (1 + whole[number])
            if passage is None:
                break
            if lengthen:
                passage = self._lengthened(passage, found)
            text = self._text(passage)
            told = asked.told(terms(text))
            fit = asked.fit(told)
            as_good = found and fit >= _AS_GOOD * found[0].fit and (not wanted.kinds or wanted.is_in(text))
            if found and open_.fit(told) < least and not as_good:
                break
            found.append(replace(passage, fit=fit))
            rest, open_ = rest.without(told, still=0.25), open_.without(told)
        return found

    def fit(self, asked: Asked) -> float:
        """The share of what is asked that the passage says which says most of it, with what follows a heading."""
        texts = [_Text.of(*said, asked) for said in zip(self._texts, self._spans, self._said, strict=True)]
        passages = [passage for number, text in enumerate(texts) if (passage := text.best(number, asked)[0])]
        best = max(passages, key=lambda one: one.fit, default=None)
        return asked.fit(asked.told(terms(self._text(self._lengthened(best, ()))))) if best else 0.0

    def _text(self, passage: Passage) -> str:
        return self._texts[passage.text][passage.span.start : passage.span.end]

    def _lengthened(self, passage: Passage, found: Sequence[Passage]) -> Passage:
        start, end = passage.span.start, passage.span.end
        stop = min(
            (one.span.start for one in found if one.text == passage.text and one.span.start >= end), default=None
        )
        for span in self._spans[passage.text]:
            short = end - start < _LEAST_LENGTH or end - passage.span.end < _LEAST_AFTER
            if span.start >= end and short and (stop is None or span.end <= stop):
                end = span.end
        return replace(passage, span=Span(start, end))


def _blank_if(line: str, running: Container[str]) -> str:
    """Lines' ends in place of a running head: it says nothing, parts what is around it, and places stay."""
    return "\n" * len(line) if line.strip() in running else line


def quoted(text: str) -> str:
    """A passage on one line, as it is shown; Chinese lines that the paper's edge broke join without a blank."""
    text = _CONTROL.sub(" ", text)
    return " ".join(re.sub(rf"(?<=[{_CJK}，；：、]{{10}})[ ]*\n(?=[{_CJK}])", "", text).split())


def boxes_of(text: str, spans: Sequence[Span], words: Sequence[WordBox]) -> tuple[WordBox, ...]:
    """The boxes of some passages' words on their page, in the page's order; without those that no box shows."""
    found = zip(places(text, words), words, strict=True)
    return tuple(
        box for at, box in found if at is not None and any(at[0] < one.end and one.start < at[1] for one in spans)
    )
