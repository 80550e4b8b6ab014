"""Public texts on disk -> documents (for pages) and text pairs (for the text tower), split by document.

Reads only a folder of plain files; knows nothing of pages, tokens or models. File kinds, told apart by their content:

- `.tsv` with a header that names two of the columns en, vi, zh: parallel pairs (column `file`, if any: the document)
- `.jsonl`, `.jsonl.gz`: objects with two of the keys en, vi, zh (parallel), or with `q` and `a` (question -> passage)
- `.json` in SQuAD layout: question -> passage
- `.csv` without header, `sentence1, sentence2, score 0-5`: scored pairs; rows of score 4 or more are paraphrases too
- `NAME.src.txt` beside `NAME.tgt.txt`: long message and its short question, line by line ("_" joins syllables)
- any other `.txt`: paragraphs of one text
"""

import csv
import gzip
import itertools
import json
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

LANGUAGES = ("vi", "en", "zh")
# Files that describe data, and data that others measure with: never read.
SKIPPED = (
    "SOURCE.txt", "LICEN*", "README*", "_about.txt", "benchmark_*", "evidence_groups*", "review_records*", "split_*",
    "acrDrAid*", "faq_test*", "*-dev.csv", "pubmedqa*", "vqa_rad*",
)  # fmt: skip
_HELD_OUT_SHARE = 20  # one document in so many is kept for evaluation
_CHUNK = 40  # rows (or paragraphs) of a long file without inner documents that count as one document
_CJK = re.compile(r"[\u3400-\u9fff]")
_VIETNAMESE = re.compile(r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)


@dataclass(frozen=True)
class Document:
    """Paragraphs of one text in one language."""

    name: str
    language: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two texts that must find each other ("parallel", "question", "paraphrase"), or are as alike as `score` says."""

    document: str
    kind: str
    query: str
    positive: str
    query_language: str
    positive_language: str
    score: float = 1.0  # 0 to 1; below 1 only for the kind "scored"


@dataclass
class Corpus:
    """What was read: documents by language order of arrival, and pairs."""

    documents: list[Document] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def split(self) -> tuple["Corpus", "Corpus"]:
        """(training, held out), by document; a held-out text that training also contains is dropped."""
        train, held = Corpus(), Corpus()
        for document in self.documents:
            (held if is_held_out(document.name) else train).documents.append(document)
        for pair in self.pairs:
            (held if is_held_out(pair.document) else train).pairs.append(pair)
        seen = {text for pair in train.pairs for text in (pair.query, pair.positive)}
        held.pairs = [pair for pair in held.pairs if pair.query not in seen and pair.positive not in seen]
        seen = {text for document in train.documents for text in document.paragraphs if len(text) > 60}
        held.documents = [
            Document(document.name, document.language, kept)
            for document in held.documents
            if (kept := tuple(text for text in document.paragraphs if text not in seen))
        ]
        return train, held


def balanced_texts(corpus: Corpus, limit: int = 1_500_000) -> Iterator[str]:
    """Texts for the tokenizer: at most `limit` characters of a source and language, so that none drowns the rest."""
    taken: dict[tuple[str, str], int] = {}
    for document in corpus.documents:
        key = (document.name.partition("#")[0], document.language)
        for text in document.paragraphs:
            if taken.get(key, 0) < limit:
                taken[key] = taken.get(key, 0) + len(text)
                yield text


def is_held_out(document: str) -> bool:
    """Whether this document is kept for evaluation: decided by its name alone, so that every run agrees."""
    return zlib.crc32(document.encode()) % _HELD_OUT_SHARE == 0


def language_of(text: str) -> str:
    """A guess from the letters: enough to tell the three languages apart in a paragraph."""
    if len(_CJK.findall(text)) > 0.15 * len(text):
        return "zh"
    return "vi" if len(_VIETNAMESE.findall(text)) > 0.02 * len(text) else "en"


def clean(text: str) -> str:
    """NFC, no control characters, no heading marks, single spaces."""
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"[\u0000-\u001f\u200b-\u200f\ufeff\u00ad]+", " ", text)
    text = re.sub(r"^(#+|---+|[-*>])\s+|\*\*|`", "", text.strip())
    return re.sub(r"\s+", " ", text).strip()


def read_corpus(folder: Path) -> Corpus:
    """Everything readable under `folder`, in a fixed order."""
    corpus = Corpus()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(fnmatch(path.name, pattern) for pattern in SKIPPED):
            continue
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".tsv":
            _add_parallel(corpus, name, _tsv_rows(path))
        elif path.name.endswith((".jsonl", ".jsonl.gz")):
            _add_json_rows(corpus, name, _json_rows(path))
        elif path.suffix == ".json":
            _add_squad(corpus, name, path)
        elif path.suffix == ".csv":
            _add_paraphrases(corpus, name, path)
        elif path.name.endswith(".src.txt"):
            _add_messages(corpus, name, path)
        elif path.suffix == ".txt" and not path.name.endswith(".tgt.txt"):
            _add_text(corpus, name, path)
    return corpus


def _tsv_rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    raw = path.read_bytes()
    for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines():
        if line.strip():
            yield json.loads(line)


def _add_parallel(corpus: Corpus, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """Pairs of every two languages of a row; the sides of a document also become pages."""
    sides: dict[tuple[str, str], list[str]] = {}
    for index, row in enumerate(rows):
        document = f"{name}#{row.get('file') or index // _CHUNK}"
        # The same file of a book comes as paragraphs and as lines: one document, or its lines would leak.
        if row.get("file"):
            document = f"{name.rpartition('/')[0]}#{row['file']}"
        texts = {key: text for key in LANGUAGES if row.get(key) and (text := clean(str(row[key])))}
        for first, second in itertools.combinations(texts, 2):
            corpus.pairs.append(Pair(document, "parallel", texts[first], texts[second], first, second))
        for key in texts:
            paragraphs = [clean(part) for part in str(row[key]).split("\n")]
            sides.setdefault((document, key), []).extend(part for part in paragraphs if part)
    for (document, language), paragraphs in sides.items():
        corpus.documents.append(Document(document, language, tuple(paragraphs)))


def _add_json_rows(corpus: Corpus, name: str, rows: Iterable[dict[str, Any]]) -> None:
    answers: dict[str, list[str]] = {}
    parallel: list[dict[str, Any]] = []
    for row in rows:
        if "q" in row and "a" in row:
            document = f"{name}#{row.get('file', '')}"
            question, answer = clean(row["q"]), clean(row["a"])
            corpus.pairs.append(Pair(document, "question", question, answer, "en", "en"))
            answers.setdefault(document, []).extend((question, answer))
        elif sum(key in row for key in LANGUAGES) >= 2:
            parallel.append(row)
    for document, paragraphs in answers.items():
        corpus.documents.append(Document(document, "en", tuple(paragraphs)))
    _add_parallel(corpus, name, parallel)


def _add_squad(corpus: Corpus, name: str, path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        return
    for article in content["data"]:
        contexts: list[str] = []
        first = article["paragraphs"][0]
        document = f"{name}#{article.get('title') or article.get('id') or first.get('id')}"
        for paragraph in article["paragraphs"]:
            context = clean(paragraph["context"])
            language = language_of(context)
            contexts.append(context)
            for entry in paragraph["qas"]:
                question = clean(entry["question"])
                corpus.pairs.append(Pair(document, "question", question, context, language, language))
        corpus.documents.append(Document(document, language_of(contexts[0]), tuple(contexts)))


def _add_paraphrases(corpus: Corpus, name: str, path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        for index, row in enumerate(csv.reader(file)):
            if len(row) != 3:
                continue
            first, second, score = clean(row[0]), clean(row[1]), float(row[2])
            language = language_of(first)
            document = f"{name}#{index // _CHUNK}"
            corpus.pairs.append(Pair(document, "scored", first, second, language, language, score / 5))
            if score >= 4.0:
                corpus.pairs.append(Pair(document, "paraphrase", first, second, language, language))


def _add_messages(corpus: Corpus, name: str, path: Path) -> None:
    targets = path.with_name(path.name.replace(".src.txt", ".tgt.txt")).read_text(encoding="utf-8").splitlines()
    for index, (source, target) in enumerate(zip(path.read_text(encoding="utf-8").splitlines(), targets, strict=True)):
        message, question = _joined(source), _joined(target)
        document = f"{name}#{index}"
        corpus.pairs.append(Pair(document, "question", question, message, "vi", "vi"))
        corpus.documents.append(Document(document, "vi", (question, message)))


def _joined(words: str) -> str:
    """Word-segmented Vietnamese ("bác_sĩ . ") as people write it."""
    return re.sub(r"\s+([.,;:?!)])", r"\1", clean(words.replace("_", " ").replace("( ", "(")))


def _add_text(corpus: Corpus, name: str, path: Path) -> None:
    raw = path.read_text(encoding="utf-8", errors="replace")
    paragraphs = [text for part in re.split(r"\n\s*\n", raw) if (text := clean(part))]
    for index in range(0, len(paragraphs), _CHUNK):
        chunk = tuple(paragraphs[index : index + _CHUNK])
        corpus.documents.append(Document(f"{name}#{index // _CHUNK}", language_of(" ".join(chunk)), chunk))
