"""Which rank constant should hybrid search use? nDCG@10 of RRF over real BM25 lists and dense lists of known quality.

    python benchmarks/fusion.py vi=faq_beir/ zh=cmrc2018_dev.json --out fusion.json

Data as for `lexical.py`. The lexical side is what the stores ship. The dense side is made: each document gets a random
unit vector, each query its document's vector plus noise, so that a dense model can be as weak or strong as wanted
(`--noise`); real models err more alike with BM25 than this one, so gains of fusion are smaller in life.
"""

import argparse
import json
import tempfile
import uuid
from pathlib import Path

import numpy as np
import qdrant_edge as edge
from lexical import Dataset, ndcg, read_dataset
from rich.console import Console
from rich.table import Table

from connectors.stores.lexical import SparseVector, document_vector, query_vector

DEPTH = 100  # results each side gives to the fusion, as in the stores
CONSTANTS = (1, 2, 5, 10, 20, 60)
DIM = 64


def lexical_lists(dataset: Dataset) -> list[list[int]]:
    """Per query, the numbers of the documents that BM25 finds."""
    with tempfile.TemporaryDirectory() as directory:
        sparse = {"bm25": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
        shard = edge.EdgeShard.create(directory, edge.EdgeConfig(sparse_vectors=sparse))
        points = [
            edge.Point(str(uuid.UUID(int=number)), {"bm25": _edge_vector(document_vector(text))})
            for number, text in enumerate(dataset.documents.values())
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
        lists = [_search(shard, query_vector(text)) for text in dataset.queries.values()]
        shard.close()
    return lists


def _edge_vector(vector: SparseVector) -> edge.SparseVector:
    return edge.SparseVector(vector.indices, vector.values)


def _search(shard: edge.EdgeShard, vector: SparseVector | None) -> list[int]:
    if vector is None:
        return []
    nearest = edge.Query.Nearest(_edge_vector(vector), using="bm25")
    return [point.id.int for point in shard.query(edge.QueryRequest(limit=DEPTH, query=nearest))]


def dense_lists(dataset: Dataset, noise: float, seed: int = 0) -> list[list[int]]:
    """Per query, the documents nearest to the right one's vector plus noise; some queries are harder than others."""
    random = np.random.default_rng(seed)
    numbers = {document: number for number, document in enumerate(dataset.documents)}
    documents = random.normal(size=(len(numbers), DIM))
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    right = [numbers[next(iter(dataset.relevant[query]))] for query in dataset.queries]
    hardness = noise * np.exp(0.5 * random.normal(size=(len(right), 1)))
    queries = documents[right] + hardness * random.normal(size=(len(right), DIM))
    return [list(np.argsort(-(documents @ query))[:DEPTH]) for query in queries]


def fuse(lists: tuple[list[int], ...], constant: int) -> list[int]:
    """RRF with 0-based ranks, as Qdrant computes it."""
    scores: dict[int, float] = {}
    for ranking in lists:
        for rank, number in enumerate(ranking):
            scores[number] = scores.get(number, 0.0) + 1 / (constant + rank)
    return sorted(scores, key=lambda number: -scores[number])


def mean_ndcg(dataset: Dataset, lists: list[list[int]]) -> float:
    names = list(dataset.documents)
    pairs = zip(lists, dataset.queries, strict=True)
    return float(np.mean([ndcg([names[n] for n in ranking[:10]], dataset.relevant[query]) for ranking, query in pairs]))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--noise", nargs="+", type=float, default=[0.22, 0.32, 0.42, 0.6])
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    options = parser.parse_args(arguments)
    table = Table("data", "lexical", "dense", *(f"k={k}" for k in CONSTANTS), title="nDCG@10 of RRF by rank constant")
    rows = []
    for dataset in map(read_dataset, options.data):
        lexical = lexical_lists(dataset)
        for noise in options.noise:
            dense = dense_lists(dataset, noise)
            fused = {
                k: mean_ndcg(dataset, [fuse(both, k) for both in zip(lexical, dense, strict=True)]) for k in CONSTANTS
            }
            row = {"data": dataset.name, "lexical": mean_ndcg(dataset, lexical), "dense": mean_ndcg(dataset, dense)}
            rows.append({**row, **{f"k={k}": score for k, score in fused.items()}})
            table.add_row(dataset.name, *(f"{score:.3f}" for score in (row["lexical"], row["dense"], *fused.values())))
    Console(width=120).print(table)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
