"""Does reranking by tokens help? nDCG@10 and recall@1 before and after, on retrieval data that you bring.

    python benchmarks/rerank.py vi=faq_beir/ zh=cmrc2018_dev.json --out rerank.json

Data as for `lexical.py`: a SQuAD-format JSON file or a BEIR directory. Each passage is a page of its own in an index;
each query is searched for in dense and in hybrid mode, and the first 50 hits are put into a new order by every variant.
Half of the queries (`dev`) chooses among variants, the other half (`test`) says what the chosen one is worth, with a
95 % interval of the difference (paired bootstrap). `--scans N` adds N generated pages without a text layer
(`explain.py`), where every token is a patch of a picture.
"""

import argparse
import hashlib
import json
import math
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from explain import write_pages
from lexical import Dataset, read_dataset
from rich.console import Console
from rich.table import Table

from connectors.page import page_id
from connectors.payload import page_payload
from connectors.stores.protocol import Point
from embedder import ColPaLiQwenEmbedder
from embedder.token_vectors import TokenVectors
from trainer.metrics import ndcg_at_k, recall_at_k
from vipylo_rag import MultimodalIndex
from vipylo_rag.search import Hit
from vipylo_rag.stored_page import page_sample
from vipylo_rag.token_rerank import TokenRerank, content, late_interaction, standardised, unit

CANDIDATES = 50
MODES = ("dense", "hybrid")
Scores = npt.NDArray[np.float64]
TokenScore = Callable[[TokenVectors, "PageTokens"], float]


@dataclass(frozen=True)
class Questions:
    """An index, and what is asked of it: query texts by id, and the gains of the right pages' ids."""

    name: str
    index: MultimodalIndex
    texts: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Measurement:
    """One variant on one half of a data set's queries; `first` is the order of the search itself.

    `gain` is the mean difference of nDCG@10 to it, `low` and `high` its 95 % interval.
    """

    data: str
    mode: str
    half: str
    queries: int
    variant: str
    ndcg: float
    recall: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Cost:
    """Seconds a query that `TokenRerank` takes: with pages embedded anew, and kept."""

    data: str
    pages: str
    new: float
    kept: float


@dataclass(frozen=True, eq=False)
class PageTokens:
    """What the variants need of a page: its tokens, at length 1 too, and the directions of 32 in a row."""

    tokens: npt.NDArray[np.float32]
    units: npt.NDArray[np.float32]
    windows: npt.NDArray[np.float32]
    length: float

    @classmethod
    def of(cls, page: TokenVectors, width: int = 32) -> "PageTokens":
        vectors = content(page)
        if len(vectors) > width:
            sums = np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), vectors.cumsum(axis=0)])
            windows = (sums[width:] - sums[:-width])[:: width // 4]
        else:
            windows = vectors.mean(axis=0, keepdims=True)
        return cls(vectors, unit(vectors), unit(windows), float(np.linalg.norm(page.vectors.mean(axis=0))))


def max_share(query: TokenVectors, page: PageTokens) -> float:
    """The largest share of a token in the cosine, times their number: the mean, replaced by its largest part."""
    return float((page.tokens @ _direction(query)).max()) / page.length


def max_cosine(query: TokenVectors, page: PageTokens) -> float:
    """The largest cosine of a token with the query as a whole."""
    return float((page.units @ _direction(query)).max())


def best_window(query: TokenVectors, page: PageTokens) -> float:
    """The largest cosine of the query with the mean of 32 tokens in a row."""
    return float((page.windows @ _direction(query)).max())


def unweighted(query: TokenVectors, page: PageTokens) -> float:
    """Late interaction in which every token of the query counts the same."""
    return late_interaction(TokenVectors(unit(query.vectors), query.content), page.units)


def weighted(query: TokenVectors, page: PageTokens) -> float:
    """Late interaction as `TokenRerank` has it."""
    return late_interaction(query, page.units)


TOKEN_SCORES: Mapping[str, TokenScore] = {
    "max share": max_share,
    "max cosine": max_cosine,
    "best 32 tokens": best_window,
    "late interaction, equal": unweighted,
    "late interaction": weighted,
}
WEIGHTS = (0.25, 0.5, 0.75, 1.0)


def _direction(query: TokenVectors) -> npt.NDArray[np.float32]:
    mean: npt.NDArray[np.float32] = query.vectors.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


@contextmanager
def passages(dataset: Dataset, embedder: ColPaLiQwenEmbedder) -> Iterator[Questions]:
    """The passages of a data set as pages of an index."""
    with tempfile.TemporaryDirectory() as folder, MultimodalIndex.open(folder, embedder=embedder) as index:
        names, texts = list(dataset.documents), list(dataset.documents.values())
        rows = embedder.encode_rows([page_sample(text, None) for text in texts])
        points = [
            Point(
                page_id(name, 1),
                vector,
                text,
                page_payload(
                    source=name,
                    number=1,
                    kind="text",
                    text=text,
                    content_sha256=hashlib.sha256(text.encode()).hexdigest(),
                ),
            )
            for name, text, vector in zip(names, texts, rows.vectors, strict=True)
            if np.isfinite(vector).all()  # an empty passage has no vector
        ]
        index.store.upsert(points)
        relevant = {
            query: {page_id(name, 1): gain for name, gain in gains.items() if gain > 0}
            for query, gains in dataset.relevant.items()
        }
        yield Questions(dataset.name, index, dataset.queries, relevant)


@contextmanager
def scans(count: int, embedder: ColPaLiQwenEmbedder, seed: int = 0) -> Iterator[Questions]:
    """Generated pages of six sentences without a text layer; right is every page that shows the sentence asked for."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_pages(Path(folder), count, 6, seed, scanned=True)
        with MultimodalIndex.open(Path(folder) / "index", embedder=embedder) as index:
            index.ingest(made.pdf)
            pages = sorted(index.pages(), key=lambda point: point.payload["page"])
            texts = {f"q{row}": made.places[row][asked].text for row, asked in enumerate(made.asked)}
            relevant = {
                query: {
                    point.id: 1.0
                    for point, boxes in zip(pages, made.places, strict=True)
                    if text in [box.text for box in boxes]
                }
                for query, text in texts.items()
            }
            yield Questions("scans", index, texts, relevant)


def figures(order: Sequence[str], right: Mapping[str, float]) -> tuple[float, float]:
    """nDCG@10 and recall@1 of one query."""
    places = {id_: rank for rank, id_ in enumerate(order, start=1)}
    ranks = [places.get(id_, math.inf) for id_ in right]
    return ndcg_at_k(ranks, 10, list(right.values())), recall_at_k(ranks, 1)


def variants(query: TokenVectors, pages: Sequence[PageTokens], first: Scores) -> dict[str, Scores]:
    """The scores of the candidates under every variant, by its name."""
    found: dict[str, Scores] = {"first": first}
    for name, score in TOKEN_SCORES.items():
        alone = np.array([score(query, page) for page in pages])
        for weight in WEIGHTS:
            mixed = weight * standardised(alone) + (1 - weight) * standardised(first)
            found[f"{name}, weight {weight:g}"] = mixed
    return found


def measure(asked: Questions, embedder: ColPaLiQwenEmbedder, mode: str, limit: int) -> list[Measurement]:
    """Every variant on both halves of the queries."""
    kept: dict[str, PageTokens] = {}
    rows: dict[str, dict[str, list[tuple[float, float]]]] = {"dev": {}, "test": {}}
    for name in list(asked.texts)[:limit]:
        hits = asked.index.search(asked.texts[name], top_k=CANDIDATES, mode=mode)
        (query,) = embedder.token_vectors([page_sample(asked.texts[name], None)])
        _embed(hits, embedder, kept)
        scores = variants(query, [kept[hit.id] for hit in hits], np.array([hit.score for hit in hits]))
        half = rows["test" if zlib.crc32(name.encode()) % 2 else "dev"]
        for variant, found in scores.items():
            order = [hits[place].id for place in np.argsort(-found, kind="stable")]
            half.setdefault(variant, []).append(figures(order, asked.relevant[name]))
    return [
        _measurement(asked.name, mode, half, variant, np.array(found), np.array(variants_["first"]))
        for half, variants_ in rows.items()
        for variant, found in variants_.items()
    ]


def _embed(hits: Sequence[Hit], embedder: ColPaLiQwenEmbedder, kept: dict[str, PageTokens]) -> None:
    new = [hit for hit in hits if hit.id not in kept]
    samples = [page_sample(hit.text, None if hit.text.strip() else hit.image) for hit in new]
    kept.update(
        (hit.id, PageTokens.of(tokens)) for hit, tokens in zip(new, embedder.token_vectors(samples), strict=True)
    )


def _measurement(data: str, mode: str, half: str, variant: str, found: Scores, first: Scores) -> Measurement:
    difference = found[:, 0] - first[:, 0]
    random = np.random.default_rng(0)
    means = difference[random.integers(0, len(difference), (2000, len(difference)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    ndcg, recall = found.mean(axis=0)
    return Measurement(
        data,
        mode,
        half,
        len(found),
        variant,
        float(ndcg),
        float(recall),
        float(difference.mean()),
        float(low),
        float(high),
    )


def cost(asked: Questions, queries: int = 20) -> Cost:
    """What `TokenRerank` itself takes."""
    rerank = TokenRerank()
    hits = [asked.index.search(text, top_k=CANDIDATES, mode="dense") for text in list(asked.texts.values())[:queries]]
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        for found in hits:
            rerank(found)
        seconds.append((time.perf_counter() - begun) / len(hits))
    return Cost(asked.name, "text" if hits[0][0].text.strip() else "pictures", seconds[0], seconds[1])


def chosen(measured: Sequence[Measurement]) -> str:
    """The variant with the best mean nDCG@10 over data and modes on the dev half."""
    sums: dict[str, float] = {}
    for one in measured:
        if one.half == "dev":
            sums[one.variant] = sums.get(one.variant, 0.0) + one.ndcg
    return max(sums, key=lambda variant: sums[variant])


def table(measured: Sequence[Measurement], best: str) -> Table:
    """The test half: the first order, each score alone, and the chosen variant."""
    shown = Table("data", "candidates", "n", "variant", "nDCG@10", "recall@1", "gain", "95 %", title="test half")
    alone = {f"{name}, weight 1" for name in TOKEN_SCORES}
    for one in measured:
        if one.half == "test" and (one.variant in alone | {"first", best}):
            name = one.variant + (" (chosen)" if one.variant == best else "")
            interval = "" if one.variant == "first" else f"{one.low:+.3f} to {one.high:+.3f}"
            gain = "" if one.variant == "first" else f"{one.gain:+.3f}"
            shown.add_row(
                one.data, one.mode, str(one.queries), name, f"{one.ndcg:.3f}", f"{one.recall:.3f}", gain, interval
            )
    return shown


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", metavar="NAME=PATH")
    parser.add_argument("--scans", type=int, default=0, metavar="N", help="add so many generated pages without text")
    parser.add_argument("--embedder", default="starter", help="a checkpoint of ours")
    parser.add_argument("--queries", type=int, default=300, help="queries of each data set, at most")
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    options = parser.parse_args(arguments)
    if not options.data and not options.scans:
        parser.error("give NAME=PATH of some data, or --scans")
    embedder = ColPaLiQwenEmbedder.from_pretrained(options.embedder)
    opened = [passages(dataset, embedder) for dataset in map(read_dataset, options.data)]
    if options.scans:
        opened.append(scans(options.scans, embedder))
    measured: list[Measurement] = []
    costs: list[Cost] = []
    for source in opened:
        with source as asked:
            costs.append(cost(asked))
            for mode in MODES if costs[-1].pages == "text" else MODES[:1]:
                measured += measure(asked, embedder, mode, options.queries)
                print(f"measured: {asked.name}, {mode}", file=sys.stderr)
    best = chosen(measured)
    console = Console(width=130)
    console.print(table(measured, best))
    for one in costs:
        console.print(f"{one.data} ({one.pages}): {one.new:.3f} s a query, {one.kept:.3f} s with its pages kept")
    if options.out:
        report = {"chosen": best, "measurements": [asdict(m) for m in measured], "costs": [asdict(c) for c in costs]}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
