"""`vipylo evaluate`: how well a data set's right documents are found, as a table, JSON, HTML and TREC files."""

from collections.abc import Iterator, Mapping
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
    from vipylo_rag.evaluate.corpus import Progress
    from vipylo_rag.evaluate.dataset import Dataset
    from vipylo_rag.evaluate.result import Evaluation
    from vipylo_rag.index import MultimodalIndex
    from vipylo_rag.query import PageMode

_THINGS = {"embed": "documents", "link": "", "search": "queries", "draw": "pictures"}


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The data set: corpus.jsonl, queries.jsonl, qrels/test.tsv.")
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="Which qrels/NAME.tsv (TREC's: .txt). Left out: test.")
    ] = None,
    index: Annotated[
        str | None,
        typer.Option("--index", "-i", help="Search this index instead of the corpus; qrels then name name#page."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Search nothing: measure the rankings of this TREC run file; repeatable."),
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
    from vipylo_rag.evaluate import Dataset, Earlier, Run, score, write_html, write_runs
    from vipylo_rag.evaluate import evaluate as measure
    from vipylo_rag.evaluate.dataset import has_corpus
    from vipylo_rag.evaluate.evaluation import check_modes
    from vipylo_rag.evaluate.figures import DEFAULT_KS
    from vipylo_rag.evaluate.outputs import check_outputs
    from vipylo_rag.evaluate.trec import fractional

    if index is not None and work is not None:
        raise InputError("--work keeps the index of a corpus, and --index is one already: leave one of them out")
    if index is None and tenant:
        raise InputError("--tenant is for --index: a corpus belongs to nobody")
    if run:
        _check_alone({
            "--index": index, "--work": work, "--mode": mode, "--rerank": rerank, "--run-out": run_out,
            "--embedder": embedder, "--device": device,
        })  # fmt: skip
    check_outputs(json_, html, run_out)
    reordering = asked_rerank(rerank)
    earlier = Earlier.read(against) if against is not None else None
    cuts, bytes_ = k or DEFAULT_KS, picture_mb * 2**20
    if run:
        dataset = Dataset.load(folder, split=split, corpus=has_corpus(folder))
        result = score([Run.read(file) for file in run], dataset, ks=cuts, against=earlier)
        if json_ is not None:
            result.write(json_)
        if html is not None:
            with Bars(_THINGS) as bars:
                write_html(
                    html, result, dataset, dataset.corpus, worst=worst, picture_bytes=bytes_, progress=bars.show
                )  # fmt: skip
        _print(result)
        return
    dataset = Dataset.load(folder, split=split, corpus=index is None)
    modes: list[PageMode] | None = mode or None  # type: ignore[assignment]  # checked below
    if modes is not None:
        check_modes(dataset, modes)
    with (
        Bars(_THINGS) as bars,
        _searched(index, dataset, embedder, device, work, bars.show, linked="graph" in (mode or ())) as opened,
    ):
        result = measure(
            opened,
            dataset,
            modes=modes,
            ks=cuts,
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
                html, result, dataset, opened, worst=worst, picture_bytes=bytes_, tenant=tenant, progress=bars.show
            )  # fmt: skip
    _print(result, 0 if run_out is None else fractional(dataset.judgements))


def _check_alone(others: Mapping[str, object]) -> None:
    """Whether only what can be asked of a run is asked."""
    from embedder.errors import InputError

    for option, value in others.items():
        if value:
            raise InputError(f"--run reads rankings that are there, and nothing is searched: leave {option} out")


@contextmanager
def _searched(
    index: str | None,
    dataset: "Dataset",
    embedder: str | None,
    device: str | None,
    work: Path | None,
    progress: "Progress",
    linked: bool,
) -> "Iterator[MultimodalIndex]":
    """The index that is searched: the one that is there, or the corpus's, with a page graph if it is `linked`."""
    embedder = asked_embedder(embedder)
    from vipylo_rag.evaluate import corpus_index
    from vipylo_rag.settings import Settings

    if index is not None:
        with open_index(index, embedder, device) as opened:
            yield opened
        return
    device = device or Settings().device
    with corpus_index(dataset, embedder=embedder, work=work, device=device, progress=progress) as opened:
        if linked:  # the index of a corpus is of this command's making, and so is its graph
            opened.build_graph(progress=lambda report: progress("link", report.done, report.total))
        yield opened


def _print(result: "Evaluation", fractions: int = 0) -> None:
    """Tables and notes; `fractions`: grades in written qrels that trec_eval reads as other numbers."""
    from rich.console import Console
    from rich.text import Text

    from vipylo_rag.cli.evaluate_tables import print_tables
    from vipylo_rag.passages import quoted

    console, measured = Console(), result.measured
    facts = [_counted(measured.queries)]
    if measured.documents is not None:
        pages = f" ({measured.pages:,} pages)" if measured.pages not in (None, measured.documents) else ""
        facts.append(_counted(measured.documents, "document", "documents") + pages)
    if measured.candidates:
        facts.append(f"reranked, {measured.candidates} candidates")
    if measured.embedder is not None:
        facts.append(f"embedder {quoted(measured.embedder)}")
    if measured.runs:
        facts.append(_counted(len(measured.runs), "run", "runs"))
    what = f"{quoted(measured.dataset)} ({quoted(measured.split)})"
    facts.append(f"the first {measured.depth} of each ranking, {measured.seconds:.1f} s")
    console.print(Text(f"{what}: {', '.join(facts)}"))
    print_tables(console, result)
    for note in _notes(result):
        console.print(Text(note))
    if fractions:
        console.print(
            f"{_counted(fractions, 'grade is a fraction', 'grades are fractions')}: trec_eval cuts them to whole "
            "numbers (0.5 counts as 0), so its nDCG of the written files differs",
            highlight=False,
        )


def _notes(result: "Evaluation") -> Iterator[str]:
    """What the figures do not show."""
    from vipylo_rag.passages import quoted

    if result.measured.unjudged:
        yield f"{_counted(result.measured.unjudged)} without a right document in the split: left out"
    if empty := result.measured.empty:
        yield f"{_counted(empty, 'document', 'documents')} without text and picture: never found"
    if reserved := result.measured.reserved:
        names = ", ".join(reserved)
        yield f"the documents' own {names}: not stored, as an index has fields of its own by {_these(len(reserved))}"
    for run in result.measured.runs:
        if run.unknown_queries:
            yield f"{quoted(run.mode)}: {_counted(run.unknown_queries)} that the data set does not have: left out"
        if run.unknown_documents:
            there = _counted(run.unknown_documents, "document", "documents")
            yield f"{quoted(run.mode)}: {there} that the corpus does not have: taken as wrong"
    order = "document name, as trec_eval does" if result.measured.runs else "page id"
    for mode in result.modes:
        own, name = result.of(mode), quoted(mode)
        if len(own) < result.measured.queries:
            yield f"{name}: {_counted(result.measured.queries - len(own))} without words: left out there"
        if tied := sum(one.tied for one in own):
            yield f"{name}: {_counted(tied)} with a right and a wrong document of equal score (ordered by {order})"
        if failed := [one for one in own if one.error]:
            yield f"{name}: {_counted(len(failed))} found nothing: {quoted(failed[0].error or '')}"


def _these(count: int) -> str:
    return "this name" if count == 1 else "these names"


def _counted(count: int, one: str = "query", more: str = "queries") -> str:
    return f"{count:,} {one if count == 1 else more}"
