"""What `vipylo ingest` and `vipylo retry` share: how documents are read, the progress bar, the report."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vipylo_rag.cli.options import print_json

if TYPE_CHECKING:
    from vipylo_rag.report import IngestReport, Progress

SHOWN_FAILURES = 50

StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with code 1 if anything could not be indexed.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, help="Processes that read documents.")]
SecondsOption = Annotated[float, typer.Option("--page-seconds", min=1, help="Longest time to read one page.")]
PasswordOption = Annotated[
    list[str] | None, typer.Option("--password", help="For encrypted PDFs and members of zip files; repeatable.")
]
RendererOption = Annotated[
    str | None, typer.Option("--renderer", help="Draws PDF pages: pymupdf (default, AGPL) or pypdfium2.")
]
OcrOption = Annotated[
    str | None, typer.Option("--ocr", help="Read the text of scans and photos: tesseract, rapidocr or auto.")
]


def loader_options(password: list[str] | None, renderer: str | None, ocr: str | None) -> dict[str, dict[str, Any]]:
    """The loaders' constructor arguments that the options ask for."""
    from embedder.load import given

    chosen = {"pdf": given(password=password or None, renderer=renderer, ocr=ocr), "image": given(ocr=ocr)}
    return {name: dict(arguments) for name, arguments in chosen.items() if arguments}


class ProgressBar:
    """A progress bar over sources, with pages a second; nothing where there is no terminal."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Eta

        self._progress = Progress(
            TextColumn("ingest"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files · {task.fields[pages]} pages · {task.fields[rate]:.1f} pages/s · ETA"),
            Eta(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
            transient=True,
        )
        self._task = self._progress.add_task("ingest", total=None, pages=0, rate=0.0)

    def __enter__(self) -> "Progress":
        self._progress.start()
        return self._update

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _update(self, report: "IngestReport") -> None:
        elapsed = self._progress.tasks[0].elapsed or 0.0
        self._progress.update(
            self._task,
            total=report.found,
            completed=report.settled,
            pages=report.pages_embedded,
            rate=report.pages_embedded / elapsed if elapsed else 0.0,
        )


def print_report(report: "IngestReport", *, as_json: bool) -> None:
    """What a run did, and what is not indexed."""
    from dataclasses import asdict

    if as_json:
        print_json(asdict(report))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    rate = f" ({report.pages_embedded / report.seconds:.1f} pages/s)" if report.pages_embedded else ""
    console.print(
        f"{report.found} files: {report.indexed} indexed, {report.unchanged} unchanged, {report.failed} not indexed"
        + (f", {report.moved} moved" if report.moved else "")
        + (f", {report.copied} copied" if report.copied else "")
        + (f", {report.removed} removed" if report.removed else ""),
        f"— {report.pages_embedded} pages embedded in {report.seconds:.1f} s{rate}",
        highlight=False,
    )
    if report.warnings:
        first = report.warnings[0]
        console.print(
            Text(
                f"{len(report.warnings)} pages are indexed with a warning (`vipylo status` has them), "
                f"as {first.source}, page {first.page}: {first.text}"
            )
        )
    if not report.failures:
        return
    table = Table("not indexed", "page", "tried", "reason", box=box.SIMPLE)
    for failure in report.failures[:SHOWN_FAILURES]:
        tried = f"{failure.attempts}×, not now" if failure.before else f"{failure.attempts}×"
        table.add_row(Text(failure.source, overflow="fold"), str(failure.page or ""), tried, Text(failure.reason))
    console.print(table)
    if len(report.failures) > SHOWN_FAILURES:
        console.print(f"… and {len(report.failures) - SHOWN_FAILURES} more: `vipylo status --failed` lists all")
    if any(failure.before for failure in report.failures):
        console.print("not now: failed before and is unchanged; `vipylo retry --failed` reads it again")
