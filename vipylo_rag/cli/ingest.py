"""`vipylo ingest`: bring an index up to date with files and folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vipylo_rag.cli.options import (
    DEFAULT_INDEX,
    DeviceOption,
    EmbedderOption,
    IndexOption,
    JsonOption,
    asked_embedder,
    open_index,
)

if TYPE_CHECKING:
    from vipylo_rag.ingest import IngestReport, Progress

SHOWN_FAILURES = 50


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: PDF, images, DICOM, text.", metavar="PATH…")],
    index: IndexOption = DEFAULT_INDEX,
    embedder: EmbedderOption = None,
    device: DeviceOption = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents that are gone from the folders.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 1 if anything could not be indexed.")
    ] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes that read documents.")] = None,
    page_seconds: Annotated[float, typer.Option("--page-seconds", min=1, help="Longest time to read one page.")] = 30.0,
    password: Annotated[list[str] | None, typer.Option("--password", help="For encrypted PDFs; repeatable.")] = None,
    renderer: Annotated[
        str | None, typer.Option("--renderer", help="Draws PDF pages: pymupdf (default, AGPL) or pypdfium2.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Index files and folders. Unchanged files are skipped; files that cannot be read are listed with the reason."""
    from connectors.loaders.registry import check_loader_options
    from embedder.load import given
    from vipylo_rag.ingest import find_files

    # Before an index is made: a wrong path or option leaves nothing behind.
    loader_options = {"pdf": given(password=password or None, renderer=renderer)}
    total = len(find_files(paths))
    check_loader_options(loader_options)
    with open_index(index, asked_embedder(embedder), device, create=True) as opened:
        from rich.console import Console

        console = Console(stderr=True)
        with _bar(console, total, quiet=as_json) as progress:
            report = opened.ingest(
                list(paths),
                prune=prune,
                workers=workers,
                page_seconds=page_seconds,
                loader_options=loader_options,
                progress=progress,
            )
        _print_json(report) if as_json else _print(report)
    if strict and report.failures:
        raise typer.Exit(1)


class _bar:
    """A progress bar over sources, with pages a second; nothing where there is no terminal."""

    def __init__(self, console: object, total: int, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Eta

        self._progress = Progress(
            TextColumn("ingest"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files · {task.fields[pages]} pages · {task.fields[rate]:.1f} pages/s · ETA"),
            Eta(),
            TimeElapsedColumn(),
            console=console,  # type: ignore[arg-type]
            disable=quiet,
            transient=True,
        )
        self._task = self._progress.add_task("ingest", total=total, pages=0, rate=0.0)

    def __enter__(self) -> "Progress":
        self._progress.start()
        return self._update

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _update(self, report: "IngestReport") -> None:
        elapsed = self._progress.tasks[0].elapsed or 0.0
        self._progress.update(
            self._task,
            completed=report.indexed + report.unchanged + report.failed,
            pages=report.pages_embedded,
            rate=report.pages_embedded / elapsed if elapsed else 0.0,
        )


def _print(report: "IngestReport") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    rate = f" ({report.pages_embedded / report.seconds:.1f} pages/s)" if report.pages_embedded else ""
    console.print(
        f"{report.found} files: {report.indexed} indexed, {report.unchanged} unchanged, {report.failed} not indexed"
        + (f", {report.removed} removed" if report.removed else ""),
        f"— {report.pages_embedded} pages embedded in {report.seconds:.1f} s{rate}",
        highlight=False,
    )
    if not report.failures:
        return
    table = Table("not indexed", "page", "reason", box=box.SIMPLE)
    for failure in report.failures[:SHOWN_FAILURES]:
        table.add_row(Text(failure.source, overflow="fold"), str(failure.page or ""), Text(failure.reason))
    console.print(table)
    if len(report.failures) > SHOWN_FAILURES:
        console.print(f"… and {len(report.failures) - SHOWN_FAILURES} more: `vipylo info --failed` lists all")


def _print_json(report: "IngestReport") -> None:
    import json
    from dataclasses import asdict

    print(json.dumps(asdict(report), ensure_ascii=False, indent=2))
