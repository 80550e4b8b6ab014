"""How should text be split for BM25? nDCG@10 of several ways, on retrieval data that you bring.

    python benchmarks/lexical.py zh=cmrc2018_dev.json en=medquad_beir/ --out lexical.json

Each argument is NAME=PATH. PATH is a SQuAD-format JSON file (each question's own paragraph is the one right answer) or
a BEIR directory (corpus.jsonl, queries.jsonl, qrels/*.tsv). Every way runs in Qdrant Edge with IDF on its side, as the
stores of this package do; `ours` is what they ship (`connectors/stores/lexical.py`).
"""

import argparse
import csv
import json
import math
import re
import tempfile
import time
import unicodedata
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from rich.console import Console
from rich.table import Table

from connectors.stores.lexical import document_tokens, tokens

TOP = 10


@dataclass(frozen=True)
class Dataset:
    """Retrieval data: texts by id, queries by id, and the graded right documents of each query."""

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Candidate:
    """One way to split: our part of the work (`str` for none), and the engine's tokenizer after it."""

    name: str
    document: Callable[[str], str | list[str]]
    query: Callable[[str], str | list[str]]
    config: edge.Bm25Config


def joined(split: str | list[str]) -> str:
    """The text that the engine's tokenizer gets."""
    return split if isinstance(split, str) else " ".join(split)


def read_dataset(argument: str) -> Dataset:
    """NAME=PATH as a dataset. Raises SystemExit with the reason where it is none."""
    name, found, path = argument.partition("=")
    if not found or not Path(path).exists():
        raise SystemExit(f"{argument!r}: write NAME=PATH, with PATH a SQuAD JSON file or a BEIR directory that exists")
    return _read_beir(name, Path(path)) if Path(path).is_dir() else _read_squad(name, Path(path))


def _read_squad(name: str, path: Path) -> Dataset:
    documents: dict[str, str] = {}
    queries: dict[str, str] = {}
    relevant: dict[str, dict[str, float]] = {}
    ids: dict[str, str] = {}
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            document = ids.setdefault(paragraph["context"], f"d{len(ids)}")
            documents[document] = paragraph["context"]
            for question in paragraph["qas"]:
                query = f"q{len(queries)}"
                queries[query] = question["question"]
                relevant[query] = {document: 1.0}
    return Dataset(name, documents, queries, relevant)


def _read_beir(name: str, path: Path) -> Dataset:
    documents = {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in _rows(path / "corpus.jsonl")}
    relevant: dict[str, dict[str, float]] = defaultdict(dict)
    for file in sorted((path / "qrels").glob("*.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                relevant[row["query-id"]][row["corpus-id"]] = float(row["score"])
    queries = {row["_id"]: row["text"] for row in _rows(path / "queries.jsonl") if row["_id"] in relevant}
    return Dataset(name, documents, queries, relevant)


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def candidates() -> list[Candidate]:
    """The ways compared: the engine's own, ours, and ours with one step changed."""
    space, english = edge.TokenizerType.Whitespace, edge.SnowballParams(edge.SnowballLanguage.English)
    shipped = {"stemmer": english, "avg_len": 384.0}
    return [
        Candidate("engine default: words, English", str, str, edge.Bm25Config()),
        Candidate("engine words, no language", str, str, _config(edge.TokenizerType.Word)),
        Candidate("engine multilingual", str, str, _config(edge.TokenizerType.Multilingual)),
        Candidate("ours", document_tokens, tokens, _config(space, **shipped)),
        Candidate("ours, no stemmer", document_tokens, tokens, _config(space, avg_len=384.0)),
        Candidate("ours, no word pairs", _without_pairs, _without_pairs, _config(space, **shipped)),
        Candidate("ours, pairs of all words", _all_pairs, _all_pairs, _config(space, **shipped)),
        Candidate("ours, no single characters", tokens, tokens, _config(space, **shipped)),
        Candidate("ours, no diacritics", _without_diacritics, _without_diacritics, _config(space, **shipped)),
        Candidate("ours, avg_len=256", document_tokens, tokens, _config(space, stemmer=english)),
        Candidate("ours, avg_len=1024", document_tokens, tokens, _config(space, stemmer=english, avg_len=1024.0)),
        Candidate("ours, b=0.4", document_tokens, tokens, _config(space, **shipped, b=0.4)),
        Candidate("ours, k=2", document_tokens, tokens, _config(space, **shipped, k=2.0)),
    ]


def _config(tokenizer: edge.TokenizerType, stemmer: Any = None, **numbers: float) -> edge.Bm25Config:
    nothing = edge.StopwordsSet(languages=set(), custom=set())
    return edge.Bm25Config(tokenizer=tokenizer, stopwords=nothing, stemmer=stemmer or edge.DisabledStemmer(), **numbers)


_UNSPACED_RUN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]{2,}")


def _without_pairs(text: str) -> list[str]:
    return [token for token in tokens(text) if "_" not in token]


def _all_pairs(text: str) -> list[str]:
    single = _without_pairs(text)
    words = [word for word in single if not _UNSPACED_RUN.match(word)]
    return single + [f"{a}_{b}" for a, b in pairwise(words)]


def _without_diacritics(text: str) -> list[str]:
    plain = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return tokens("".join(character for character in plain if not unicodedata.combining(character)))


def evaluate(dataset: Dataset, candidate: Candidate) -> dict[str, float]:
    """Index all documents, run all queries: nDCG@10, and seconds per 1,000 documents and queries."""
    bm25 = edge.Bm25(candidate.config)
    numbers = {document: number for number, document in enumerate(dataset.documents)}
    names = list(numbers)
    with tempfile.TemporaryDirectory() as directory:
        sparse = {"bm25": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
        shard = edge.EdgeShard.create(directory, edge.EdgeConfig(sparse_vectors=sparse))
        started = time.perf_counter()
        for document, text in dataset.documents.items():
            vector = bm25.embed_document(joined(candidate.document(text)))
            point = edge.Point(str(uuid.UUID(int=numbers[document])), {"bm25": vector})
            shard.update(edge.UpdateOperation.upsert_points([point]))
        indexed = time.perf_counter()
        scores = []
        for query, text in dataset.queries.items():
            nearest = edge.Query.Nearest(bm25.embed_query(joined(candidate.query(text))), using="bm25")
            found = shard.query(edge.QueryRequest(limit=TOP, query=nearest))
            scores.append(ndcg([names[point.id.int] for point in found], dataset.relevant[query]))
        searched = time.perf_counter()
        shard.close()
    return {
        "ndcg@10": sum(scores) / len(scores),
        "index_s_per_1000": (indexed - started) / len(dataset.documents) * 1000,
        "query_ms": (searched - indexed) / len(scores) * 1000,
    }


def ndcg(ranking: list[str], relevant: Mapping[str, float]) -> float:
    """nDCG of a ranking of at most `TOP` ids, with linear gain."""
    gains = sum(relevant.get(name, 0.0) / math.log2(rank + 2) for rank, name in enumerate(ranking[:TOP]))
    best = sorted(relevant.values(), reverse=True)[:TOP]
    return gains / sum(gain / math.log2(rank + 2) for rank, gain in enumerate(best))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    options = parser.parse_args(arguments)
    datasets = [read_dataset(argument) for argument in options.data]
    table = Table("nDCG@10", title="Text splitting for BM25")
    for dataset in datasets:
        table.add_column(
            f"{dataset.name}\n{len(dataset.documents)} docs, {len(dataset.queries)} queries", justify="right"
        )
    results: dict[str, dict[str, dict[str, float]]] = {}
    for candidate in candidates():
        results[candidate.name] = {dataset.name: evaluate(dataset, candidate) for dataset in datasets}
        table.add_row(candidate.name, *(f"{row['ndcg@10']:.3f}" for row in results[candidate.name].values()))
    Console(width=140).print(table)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
