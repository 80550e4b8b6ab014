"""Run tasks of MTEB, MIEB or ViDoRe on an embedder, and print a table. Their data come from a hub: it needs a network.

    python benchmarks/mteb_tasks.py --embedder starter --tasks NanoNFCorpusRetrieval VidoreArxivQARetrieval
    python benchmarks/mteb_tasks.py --embedder my-checkpoint --benchmark "MIEB(lite)" --batch-size 8

Results are kept in `--out` as mteb keeps them, by model and weights (its revision is the embedder's fingerprint): what
is there is not run again. Which task prefix stands in front of what: `connectors.mteb_encoder.MtebEncoder`.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mteb
from rich.console import Console
from rich.table import Table

from connectors.mteb_encoder import MtebEncoder
from embedder.load import load_embedder


def run(encoder: MtebEncoder, tasks: Iterable[Any], out: Path, *, batch_size: int = 32, go_on: bool = False) -> Any:
    """mteb's results of the tasks; with `go_on`, a task that fails is left out and told of."""
    return mteb.evaluate(
        encoder,
        tasks,
        cache=mteb.ResultCache(out),
        encode_kwargs={"batch_size": batch_size, "show_progress_bar": True},
        raise_error=not go_on,
        co2_tracker=False,
    )


def rows(results: Any) -> list[tuple[str, str, str, float]]:
    """Task, split, subset and main score of each part that was measured."""
    return [
        (result.task_name, split, part["hf_subset"], float(part["main_score"]))
        for result in results.task_results
        for split, parts in result.scores.items()
        for part in parts
    ]


def table(name: str, found: Sequence[tuple[str, str, str, float]]) -> Table:
    """One row a part, and the mean."""
    shown = Table("task", "split", "subset", "main score", title=name)
    for task, split, subset, score in found:
        shown.add_row(task, split, subset, f"{score:.4f}")
    if len(found) > 1:
        shown.add_row("mean", "", "", f"{sum(row[-1] for row in found) / len(found):.4f}")
    return shown


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", default="starter", help="starter, a checkpoint directory, a hub id, or KIND:NAME")
    parser.add_argument("--tasks", nargs="+", default=[], metavar="NAME", help="names of mteb tasks")
    parser.add_argument("--benchmark", help="a benchmark of mteb, instead of tasks")
    parser.add_argument("--languages", nargs="+", help="of the tasks, as vie eng zho")
    parser.add_argument("--no-prefixes", action="store_true", help="texts as they are")
    parser.add_argument("--dim", type=int, help="compare the first so many components")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--go-on", action="store_true", help="go on after a task that fails")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args(arguments)
    if bool(options.tasks) == bool(options.benchmark):
        parser.error("give --tasks or --benchmark")
    try:
        tasks = (
            mteb.get_benchmark(options.benchmark)
            if options.benchmark
            else mteb.get_tasks(tasks=options.tasks, languages=options.languages)
        )
    except KeyError as error:
        parser.error(str(error.args[0]))
    prompts: dict[str, str] | None = {} if options.no_prefixes else None
    encoder = MtebEncoder(load_embedder(options.embedder), prompts=prompts, dim=options.dim)
    found = run(encoder, tasks, options.out, batch_size=options.batch_size, go_on=options.go_on)
    Console(width=120).print(table(encoder.mteb_model_meta.name, rows(found)))


if __name__ == "__main__":
    main()
