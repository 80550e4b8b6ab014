"""`vipylo evaluate`: how well a data set's right documents are found, as a table, JSON, HTML and TREC files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vipylo_rag.cli.counting import Bars
from vipylo_rag.cli.options import (
    CandidatesOption,
    DeviceOption,
    EmbedderOption,
    RerankOption,
    TenantOption,
    asked_embedder,
    asked_rerank,
    open_index,
)

if TYPE_CHECKING:
    from rich.table import Table

    from vipylo_rag.evaluate.corpus import Progress
    from vipylo_rag.evaluate.dataset import Dataset
    from vipylo_rag.evaluate.intervals import Interval
    from vipylo_rag.evaluate.result import Difference, Evaluation, Group
    from vipylo_rag.index import MultimodalIndex
    from vipylo_rag.query import PageMode

_THINGS = {"embed": "documents", "search": "queries", "draw": "pictures"}
# Of recall, so many cuts fit a terminal of 80 columns.
_MOST_CUTS = 4


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The data set: corpus.jsonl, queries.jsonl, qrels/test.tsv.")
    ],
    split: Annotated[str | None, typer.Option("--split", help="Which qrels/NAME.tsv. Left out: test.")] = None,
    index: Annotated[
        str | None,
        typer.Option("--index", "-i", help="Search this index instead of the corpus; qrels then name name#page."),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option("--mode", help="hybrid, dense, lexical, graph; repeatable. Left out: all that apply."),
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", min=1, help="A cut of nDCG, recall, MRR; repeatable. [1, 5, 10, 100]")
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="Keep the corpus's index in this folder, for the next run.")
    ] = None,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Write all figures and each query's ranks to this file.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with charts and the worst queries in pictures.")
    ] = None,
    worst: Annotated[int, typer.Option("--worst", min=0, help="How many of the worst queries the page shows.")] = 12,
    picture_mb: Annotated[int, typer.Option("--picture-mb", min=0, help="All pictures of the page together.")] = 8,
    run_out: Annotated[
        Path | None, typer.Option("--run-out", help="Write rankings and qrels to this folder, as trec_eval reads them.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with what --json wrote before, query by query.")
    ] = None,
    rerank: RerankOption = None,
    candidates: CandidatesOption = 50,
    tenant: TenantOption = "",
    embedder: EmbedderOption = None,
    device: DeviceOption = None,
) -> None:
    """Measure how well the right documents are found: nDCG, recall and MRR with 95 % confidence intervals."""
    from embedder.errors import InputError
    from vipylo_rag.evaluate import Dataset, Earlier, write_html, write_runs
    from vipylo_rag.evaluate import evaluate as measure
    from vipylo_rag.evaluate.evaluation import check_modes
    from vipylo_rag.evaluate.figures import DEFAULT_KS
    from vipylo_rag.evaluate.outputs import check_outputs

    if index is not None and work is not None:
        raise InputError("--work keeps the index of a corpus, and --index is one already: leave one of them out")
    if index is None and tenant:
        raise InputError("--tenant is for --index: a corpus belongs to nobody")
    check_outputs(json_, html, run_out)
    reordering = asked_rerank(rerank)
    earlier = Earlier.read(against) if against is not None else None
    dataset = Dataset.load(folder, split=split, corpus=index is None)
    modes: list[PageMode] | None = mode or None  # type: ignore[assignment]  # checked below
    if modes is not None:
        check_modes(dataset, modes)
    with Bars(_THINGS) as bars, _searched(index, dataset, embedder, device, work, bars.show) as opened:
        result = measure(
            opened,
            dataset,
            modes=modes,
            ks=k or DEFAULT_KS,
            rerank=reordering,
            candidates=candidates,
            against=earlier,
            tenant=tenant,
            progress=bars.show,
        )
        if json_ is not None:
            result.write(json_)
        if run_out is not None:
            write_runs(result, dataset.judgements, run_out)
        if html is not None:
            write_html(
                html, result, dataset, opened, worst=worst, picture_bytes=picture_mb * 2**20, tenant=tenant,
                progress=bars.show,
            )  # fmt: skip
    _print(result)


@contextmanager
def _searched(
    index: str | None,
    dataset: "Dataset",
    embedder: str | None,
    device: str | None,
    work: Path | None,
    progress: "Progress",
) -> "Iterator[MultimodalIndex]":
    """The index that is searched: the one that is there, or the corpus's."""
    embedder = asked_embedder(embedder)
    from vipylo_rag.evaluate import corpus_index
    from vipylo_rag.settings import Settings

    if index is not None:
        with open_index(index, embedder, device) as opened:
            yield opened
        return
    device = device or Settings().device
    with corpus_index(dataset, embedder=embedder, work=work, device=device, progress=progress) as opened:
        yield opened


def _print(result: "Evaluation") -> None:
    from rich.console import Console
    from rich.text import Text

    from vipylo_rag.passages import quoted

    console, measured = Console(), result.measured
    what = f"{quoted(measured.dataset)} ({quoted(measured.split)})"
    console.print(
        Text(
            f"{what}: {_counted(measured.queries)}, {_counted(measured.documents, 'document', 'documents')}"
            + (f" ({measured.pages:,} pages)" if measured.pages != measured.documents else "")
            + (f", reranked, {measured.candidates} candidates" if measured.candidates else "")
            + f", embedder {quoted(measured.embedder)}, the first {measured.depth} of each ranking, "
            f"{measured.seconds:.1f} s"
        )
    )
    console.print(_table(result))
    if result.differences:
        console.print(_differences(result.differences))
    for note in _notes(result):
        console.print(Text(note))


def _table(result: "Evaluation") -> "Table":
    from rich import box
    from rich.table import Table

    from vipylo_rag.evaluate.figures import main_k

    cuts, main = result.ks[:_MOST_CUTS], main_k(result.ks)
    several = len(result.groups) > len(result.modes)
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), caption="R: recall; 95 %: of nDCG")
    table.add_column("mode", no_wrap=True, min_width=max(map(len, result.modes)))
    table.add_column("queries", no_wrap=True)
    for name in ("n", f"nDCG@{main}", "95 %", f"MRR@{main}", *(f"R@{k}" for k in cuts)):
        table.add_column(name, justify="right", no_wrap=True)
    for group in result.groups:
        if group.by == "all" and table.row_count and several:
            table.add_section()
        table.add_row(*_row(group, main, cuts))
    return table


def _row(group: "Group", main: int, cuts: Sequence[int]) -> list[str]:
    from rich.markup import escape

    from vipylo_rag.passages import quoted

    ndcg = group.metrics[f"ndcg@{main}"]
    return [
        group.mode if group.by == "all" else "",
        "all" if group.by == "all" else escape(quoted(group.value)[:24]),
        str(group.queries),
        _share(ndcg.mean),
        _range(ndcg),
        _share(group.metrics[f"mrr@{main}"].mean),
        *(_share(group.metrics[f"recall@{k}"].mean) for k in cuts),
    ]


def _share(value: float, sign: str = "") -> str:
    """A share as papers write it, without its leading 0: the table then fits 80 columns."""
    return f"{value:{sign}.3f}".replace("0.", ".", 1)


def _range(interval: "Interval", sign: str = "") -> str:
    if interval.low is None or interval.high is None:
        return "–"
    return f"{_share(interval.low, sign)} {_share(interval.high, sign)}"


def _differences(differences: "Sequence[Difference]") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("difference")
    table.add_column("metric", no_wrap=True)
    for name in ("n", "mean", "95 %", "better", "worse", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in differences:
        found = one.paired
        table.add_row(
            f"{one.mode} − earlier" if one.earlier else f"{one.mode} − {one.than}",
            one.metric.replace("ndcg", "nDCG").replace("mrr", "MRR"),
            str(found.queries),
            _share(found.difference.mean, "+"),
            _range(found.difference, "+"),
            str(found.better),
            str(found.worse),
            "<0.001" if found.p < 0.001 else f"{found.p:.3f}",
        )
    return table


def _notes(result: "Evaluation") -> Iterator[str]:
    """What the figures do not show."""
    if result.measured.unjudged:
        yield f"{_counted(result.measured.unjudged)} without a right document in the split: left out"
    if empty := result.measured.empty:
        yield f"{_counted(empty, 'document', 'documents')} without text and picture: never found"
    for mode in result.modes:
        own = result.of(mode)
        if len(own) < result.measured.queries:
            yield f"{mode}: {_counted(result.measured.queries - len(own))} without words: left out there"
        if tied := sum(one.tied for one in own):
            yield f"{mode}: {_counted(tied)} with a right and a wrong document of equal score (ordered by page id)"
        if failed := [one for one in own if one.error]:
            yield f"{mode}: {_counted(len(failed))} found nothing: {failed[0].error}"


def _counted(count: int, one: str = "query", more: str = "queries") -> str:
    return f"{count:,} {one if count == 1 else more}"
