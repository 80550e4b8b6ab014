"""Text to BM25 sparse vectors: one code path for every engine, so that their lexical results agree.

We split text ourselves and let Qdrant's `Bm25` do stemming, term weights and hashing: its own tokenizers either leave
a Chinese sentence whole or lose Vietnamese (`benchmarks/lexical.py` compares; the table is in docs/benchmarks.md).
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

_AVERAGE_LENGTH: Final = 384.0  # tokens of a usual document; fixed, as vectors are computed one page at a time


@dataclass(frozen=True)
class SparseVector:
    """A sparse vector; `indices` are hashes of tokens (uint32), `values` their weights."""

    indices: list[int]
    values: list[float]


# Scripts written without spaces: Han, kana, bopomofo; Thai, Lao, Myanmar, Khmer.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Python's \w leaves out combining marks, which would cut Hindi, Hebrew or Arabic words at their vowels.
_MARKS = r"\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0dff"
_RUN = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>(?:(?![{_UNSPACED}])[^\W_]|[{_MARKS}])+)")
_ACCENTED = re.compile(r"[\u00df-\u024f\u1e00-\u1eff]")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))

# Vietnamese writes the tone of oa, oe, uy on either vowel ("hoà" or "hòa"): both become the second.
_TONES = {
    unicodedata.normalize("NFC", vowels + tone): unicodedata.normalize("NFC", vowels[0] + tone + vowels[1])
    for vowels in ("oa", "oe", "uy")
    for tone in "\u0300\u0301\u0303\u0309\u0323"
}
_TONE = re.compile("|".join(_TONES))


def tokens(text: str) -> list[str]:
    """The tokens of a query: words in lower case, runs of an unspaced script as overlapping character pairs (a run of
    one as itself), and pairs of neighbouring words where one is accented, since most Vietnamese words are two
    syllables written apart."""
    found: list[str] = []
    previous: str | None = None
    for run in _RUN.finditer(normalise(text)):
        if (word := run["word"]) is not None:
            found.append(word)
            if previous is not None and _ACCENTED.search(f"{previous}{word}"):
                found.append(f"{previous}_{word}")
        else:
            found.extend(_character_pairs(run[0]))
        previous = word
    return found


def document_tokens(text: str) -> list[str]:
    """The tokens of a document: those of a query, and every character of an unspaced run, so that one finds it too."""
    runs = (run["unspaced"] or "" for run in _RUN.finditer(normalise(text)))
    return tokens(text) + [character for run in runs if len(run) > 1 for character in run]


def _character_pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def normalise(text: str) -> str:
    """One spelling for what readers take as the same text: NFKC (also ligatures and full-width forms), case folded,
    invisible characters out, Vietnamese tone marks in one place."""
    folded = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).casefold()
    return _TONE.sub(lambda found: _TONES[found[0]], folded)


def document_vector(text: str) -> SparseVector:
    """The stored side: BM25 term weights (the engine adds IDF when searching). Empty for a text without words."""
    return _as_vector(_bm25().embed_document(" ".join(document_tokens(text))))


def query_vector(text: str) -> SparseVector | None:
    """The query side: each distinct token with weight 1; None for a text without words."""
    words = tokens(text)
    return _as_vector(_bm25().embed_query(" ".join(words))) if words else None


def _as_vector(sparse: Any) -> SparseVector:
    return SparseVector(list(sparse.indices), list(sparse.values))


@lru_cache(maxsize=1)
def _bm25() -> Any:
    import qdrant_edge as edge

    return edge.Bm25(
        edge.Bm25Config(
            tokenizer=edge.TokenizerType.Whitespace,
            lowercase=False,
            stopwords=edge.StopwordsSet(languages=set(), custom=set()),
            # It gains 1 % on English and moves nothing in Vietnamese and Chinese; stop words are left to IDF.
            stemmer=edge.SnowballParams(edge.SnowballLanguage.English),
            avg_len=_AVERAGE_LENGTH,
        )
    )
