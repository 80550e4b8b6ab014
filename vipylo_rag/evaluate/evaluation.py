"""`evaluate`: how well an index answers the queries of a data set; `score`: how well rankings in files do."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedder.errors import InputError
from vipylo_rag.evaluate.comparison import between_modes, with_earlier
from vipylo_rag.evaluate.corpus import Progress
from vipylo_rag.evaluate.dataset import Dataset
from vipylo_rag.evaluate.figures import DEFAULT_KS, checked_ks, groups
from vipylo_rag.evaluate.result import Difference, Earlier, Evaluation, Measured, QueryResult
from vipylo_rag.evaluate.runs import Run, named_runs, read_rankings
from vipylo_rag.evaluate.searching import Searching, search_queries
from vipylo_rag.evaluate.targets import Targets
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.query import PageMode

if TYPE_CHECKING:
    from vipylo_rag.rerank import Rerank

# The modes in the order in which they are shown; the first is what the others are compared with.
MODES: tuple[PageMode, ...] = ("hybrid", "dense", "lexical", "graph")


def evaluate(
    index: MultimodalIndex,
    dataset: Dataset,
    *,
    modes: Sequence[PageMode] | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    rerank: "Rerank | None" = None,
    candidates: int = 50,
    against: Earlier | None = None,
    tenant: str = "",
    progress: Progress | None = None,
) -> Evaluation:
    """Search an index with the queries of a data set, and measure where the right documents stand.

    The ids in qrels name what is right in the index: a document by its source or, where one alone has it, its file
    name; or a page of it as "name#page". A query that is judged by documents gets a ranking of documents, each at the
    place of its best page. Equal scores stand in the order that the search gives (by the pages' ids), and a right
    document beyond the largest k counts as not found.

    Args:
        index: `corpus_index(dataset)`, or any index that has the documents.
        modes: "hybrid", "dense", "lexical", "graph"; by default all that the index and the queries allow.
        ks: the cuts of nDCG, recall and MRR.
        rerank, candidates: as in `MultimodalIndex.search`; at least as many pages as the largest k are reranked.
        against: an earlier evaluation of the same queries (`Earlier.read`).
        tenant: whose documents are searched.
        progress: called with "search", how many queries are done, and how many there are.

    Example:
        >>> dataset = Dataset.load("xquad-vi")                        # doctest: +SKIP
        >>> with corpus_index(dataset, work="work") as index:         # doctest: +SKIP
        ...     print(evaluate(index, dataset).mean("ndcg@10"))

    Raises:
        InputError: a bad mode or k; an id in qrels that the index does not have; `against` is of other judgements; or
            no query at all can be searched in a mode. DocumentError: a query's picture cannot be read.
        StoreUnavailableError: the store is away.
    """
    begun = time.monotonic()
    cuts = checked_ks(ks)
    chosen = _modes(index, dataset, modes)
    targets = Targets(index, tenant, corpus=dataset.corpus)
    wanted = {query: targets.wanted(given) for query, given in dataset.judgements.items()}
    how = Searching(chosen, max(cuts), tenant, rerank, candidates)
    queries = list(dataset.queries.values())
    tell = progress or (lambda stage, done, total: None)
    rankings = search_queries(index, queries, wanted, targets, how, lambda done: tell("search", done, len(queries)))
    results = tuple(ranking.judged(cuts) for ranking in rankings)
    _check_searched(results, chosen)
    differences = _differences(results, chosen, cuts, against)
    measured = Measured(
        dataset=dataset.name,
        split=dataset.split,
        queries=len(queries),
        unjudged=dataset.unjudged,
        documents=len(index.sources(tenant=tenant)),
        pages=index.ledger.counts(tenant)["pages done"],
        empty=len(dataset.corpus.empty) if dataset.corpus else 0,
        reserved=tuple(sorted(dataset.corpus.reserved)) if dataset.corpus else (),
        embedder=index.manifest.embedder.name,
        fingerprint=index.manifest.embedder.fingerprint,
        depth=how.depth,
        candidates=max(candidates, how.depth) if rerank is not None else None,
        earlier=against.file if against else None,
        seconds=time.monotonic() - begun,
    )
    return Evaluation(measured, chosen, cuts, results, groups(results, chosen, cuts), differences)


def score(
    runs: Sequence[Run], dataset: Dataset, *, ks: Sequence[int] = DEFAULT_KS, against: Earlier | None = None
) -> Evaluation:
    """Measure where the right documents stand in rankings that are there already: nothing is embedded or searched.

    Each run is a mode, called by its tag, or by its file where tags do not tell the runs apart; the others are compared
    with the first. A query that a run does not have found nothing in it, and counts 0.

    Args:
        runs: `Run.read(file)`, one or several.
        dataset: with its corpus, or without (`corpus=False`).
        ks, against: as in `evaluate`.

    Example:
        >>> runs = [Run.read("bm25.run"), Run.read("runs/hybrid.run")]       # doctest: +SKIP
        >>> score(runs, Dataset.load("xquad-vi")).mean("ndcg@10", "hybrid")   # doctest: +SKIP

    Raises:
        InputError: no run, one twice, or one without any of the queries; a bad k; `against` is of other judgements.
    """
    begun = time.monotonic()
    cuts = checked_ks(ks)
    read = [read_rankings(mode, run, dataset, max(cuts)) for mode, run in named_runs(runs).items()]
    results = tuple(ranking.judged(cuts) for rankings, _ in read for ranking in rankings)
    modes = tuple(facts.mode for _, facts in read)
    differences = _differences(results, modes, cuts, against)
    measured = Measured(
        dataset=dataset.name,
        split=dataset.split,
        queries=len(dataset.queries),
        unjudged=dataset.unjudged,
        documents=len(dataset.corpus) if dataset.corpus else None,
        pages=None,
        embedder=None,
        fingerprint=None,
        depth=max(cuts),
        earlier=against.file if against else None,
        runs=tuple(facts for _, facts in read),
        seconds=time.monotonic() - begun,
    )
    return Evaluation(measured, modes, cuts, results, groups(results, modes, cuts), differences)


def _differences(
    results: Sequence[QueryResult], modes: Sequence[str], cuts: Sequence[int], against: Earlier | None
) -> tuple[Difference, ...]:
    found = between_modes(results, modes, cuts)
    return found if against is None else found + with_earlier(results, modes, cuts, against)


def _modes(index: MultimodalIndex, dataset: Dataset, asked: Sequence[PageMode] | None) -> tuple[PageMode, ...]:
    if asked is None:
        words = _words(dataset)
        return tuple(mode for mode in MODES if (mode != "lexical" or words) and (mode != "graph" or _has_graph(index)))
    check_modes(dataset, asked)
    if "graph" in asked:
        _ = index.graph  # raises where there is none, and says how to make it
    return tuple(dict.fromkeys(asked))


def check_modes(dataset: Dataset, modes: Sequence[PageMode]) -> None:
    """Whether a data set can be searched in these modes; before its corpus is embedded, which may take hours.

    Raises:
        InputError: there is no such mode, or none is given, or no query has what a mode compares.
    """
    for mode in modes:
        if mode not in MODES:
            raise InputError(f"mode={mode!r} is none of {', '.join(MODES)}")
    if not modes:
        raise InputError(f"modes is empty: give some of {', '.join(MODES)}")
    if "lexical" in modes and not _words(dataset):
        raise InputError("lexical mode compares words, and no query has any: use dense or hybrid")


def _words(dataset: Dataset) -> bool:
    return any(item.text for item in dataset.queries.values())


def _has_graph(index: MultimodalIndex) -> bool:
    try:
        return index.graph is not None
    except InputError:  # it says how to make one; nobody asked for it
        return False


def _check_searched(results: Sequence[QueryResult], modes: Sequence[PageMode]) -> None:
    """What is wrong with every query of a mode is not the queries' fault.

    Raises:
        InputError: the first query's error.
    """
    for mode in modes:
        errors = [one.error for one in results if one.mode == mode]
        if errors and all(errors):
            raise InputError(f"no query can be searched in {mode} mode: {errors[0]}")
