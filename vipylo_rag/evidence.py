"""What an answer rests on: the passages of pages that say what its sentences say, and where they stand."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.errors import DocumentError
from connectors.page import WordBox
from vipylo_rag.citations import Mark, marks
from vipylo_rag.passages import Asked, Passage, Passages, Span, boxes_of, quoted, sentences, terms
from vipylo_rag.prompt import Language, asked_terms, words_in
from vipylo_rag.search import Hit
from vipylo_rag.wanted import Wanted

# Share of a question's telling words that the best passage must say to be offered as an answer. Chosen on the demo's
# documents; benchmarks/answers.py tells how many questions that documents do not answer pass.
LEAST_FIT = 0.36
_MOST_PASSAGES = 3
_LEAST_ADDED = 0.12
# Share of a claim's words that a passage must say to be quoted for it.
_LEAST_SUPPORT = 0.15
_MOST_QUOTES = 4
_LEAST_WORDS = 3
_MARK = re.compile(r"\[\d+\]")
_GAP = " … "


@dataclass(frozen=True)
class Quote:
    """A part of a page, word for word, and where it stands on its picture."""

    text: str
    boxes: tuple[WordBox, ...] = ()

    def joined(self, other: "Quote") -> "Quote":
        """Both, one after the other."""
        return Quote(f"{self.text}{_GAP}{other.text}", self.boxes + other.boxes)


@dataclass(frozen=True)
class QuotedPage:
    """A passage that answers a question: `number` counts the pages from 1."""

    number: int
    quote: Quote


def best_passages(question: str, hits: Sequence[Hit], language: Language) -> list[QuotedPage]:
    """The passages of the pages that fit a question best, best first; none where no page has enough of its words."""
    running = _running_lines(hits)
    passages = Passages([hit.text for hit in hits], running)
    # What a document's title says holds for all of its pages: it need not be said again beside the answer.
    known = {term for line in running for term in terms(line)}
    telling = asked_terms(question, language)
    telling = [term for term in telling if term not in known] or telling
    asked = Asked(telling, passages.weights, words_in(language).idle_words)
    # Whether there is an answer is told by the question's words alone: some figure stands on nearly every page.
    if passages.fit(asked) < LEAST_FIT:
        return []
    found = passages.best(asked, _MOST_PASSAGES, _LEAST_ADDED, lengthen=True, wanted=Wanted.by(question, language))
    return [QuotedPage(one.text + 1, _quote(hits[one.text], [one.span])) for one in found]


def quotes(answer: str, question: str, hits: Sequence[Hit], language: Language) -> dict[int, Quote]:
    """For each number that an answer cites, the passages of that page which say what the answer's sentences say."""
    claims: dict[int, list[str]] = {}
    for mark in marks(answer):
        claims.setdefault(mark.number, []).append(claim_of(answer, mark))
    return {
        number: _supporting(hits[number - 1], list(dict.fromkeys(said)), question, language)
        for number, said in sorted(claims.items())
    }


def claim_of(answer: str, mark: Mark) -> str:
    """What a mark stands behind: its sentence, from the mark before on where that leaves some words; of a mark after a
    sentence's end, that sentence."""
    # Each mark becomes as many blanks, so that places stay; then "It is so. [1]" ends where "so." does.
    text = _MARK.sub(lambda match: " " * len(match[0]), answer)
    before = [span for span in sentences(text) if span.start < mark.start]
    if not before:
        return ""
    sentence = before[-1]
    ends = [other.end for other in marks(answer) if sentence.start < other.end <= mark.start]
    for start in (*reversed(ends), sentence.start):
        part = quoted(text[start : min(sentence.end, mark.start)])
        if len(terms(part)) >= _LEAST_WORDS:
            return part
    return quoted(text[sentence.start : sentence.end])


def _supporting(hit: Hit, claims: Sequence[str], question: str, language: Language) -> Quote:
    idle = words_in(language).idle_words
    passages = Passages([hit.text])
    spans: list[Span] = []
    for claim in claims:
        for said in (claim, f"{claim} {question}"):  # a claim in another language than the page: the question's words
            (best,) = passages.best(Asked(terms(said), passages.weights, idle)) or (Passage(0, Span(0, 0), 0.0),)
            if best.fit >= _LEAST_SUPPORT:
                spans.append(best.span)
                break
    return _quote(hit, _merged(spans)[:_MOST_QUOTES])


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, one.end)):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def _quote(hit: Hit, spans: Sequence[Span]) -> Quote:
    text = _GAP.join(quoted(hit.text[span.start : span.end]) for span in spans)
    try:
        words = hit.words
    except DocumentError:  # the quote is right without its boxes
        words = ()
    return Quote(text, boxes_of(hit.text, spans, words))


def _running_lines(hits: Sequence[Hit]) -> frozenset[str]:
    """The heads and feet that pages of one document repeat: they have its title's words and answer nothing."""
    counts: Counter[tuple[str, str]] = Counter()
    for hit in hits:
        counts.update({(hit.source, line.strip()) for line in hit.text.splitlines()})
    return frozenset(line for (_, line), count in counts.items() if count > 1)
