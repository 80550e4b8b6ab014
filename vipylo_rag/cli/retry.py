"""`vipylo retry`: read again what failed."""

from pathlib import Path
from typing import Annotated

import typer

from vipylo_rag.cli.options import DEFAULT_INDEX, DeviceOption, IndexOption, JsonOption, TenantOption, open_index
from vipylo_rag.cli.reading import (
    OcrOption,
    PasswordOption,
    ProgressBar,
    RendererOption,
    SecondsOption,
    StrictOption,
    WorkersOption,
    loader_options,
    print_report,
)


def retry(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Only what lies at and below these.", metavar="PATH…")
    ] = None,
    index: IndexOption = DEFAULT_INDEX,
    failed: Annotated[bool, typer.Option("--failed", help="Everything that failed.")] = False,
    device: DeviceOption = None,
    tenant: TenantOption = "",
    strict: StrictOption = False,
    workers: WorkersOption = None,
    page_seconds: SecondsOption = 30.0,
    password: PasswordOption = None,
    renderer: RendererOption = None,
    ocr: OcrOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read again the files and pages that failed, though nothing about them changed."""
    from embedder.errors import InputError

    if not failed and not paths:
        raise InputError("say what to read again: --failed for all that failed, or PATH for what failed there")
    with open_index(index, None, device) as opened:
        with ProgressBar(quiet=as_json) as progress:
            report = opened.retry(
                list(paths or []),
                tenant=tenant,
                workers=workers,
                page_seconds=page_seconds,
                loader_options=loader_options(password, renderer, ocr),
                progress=progress,
            )
        print_report(report, as_json=as_json)
    if strict and report.failures:
        raise typer.Exit(1)
