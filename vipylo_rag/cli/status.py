"""`vipylo status`: how each document stands, also while an ingest is at work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vipylo_rag.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, TenantOption, look_into, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vipylo_rag.ledger import PageRow
    from vipylo_rag.status import SourceStatus


def status(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders; default: all documents.", metavar="PATH…")
    ] = None,
    index: IndexOption = DEFAULT_INDEX,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed, whole or in part.")] = False,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show state, pages, attempts, seconds and reasons of each document. No model is loaded."""
    from dataclasses import asdict

    from vipylo_rag.status import statuses
    from vipylo_rag.tenants import check_tenant

    with look_into(index) as ledger:
        found = list(statuses(ledger, check_tenant(tenant), list(paths or [])))
    listed = [each for each in found if each.failed] if failed else found
    if as_json:
        print_json([asdict(each) for each in listed])
        return
    _print(listed, found)


def _print(listed: "list[SourceStatus]", found: "list[SourceStatus]") -> None:
    """A table of `listed`, and below it the totals of all that was found, listed or not."""
    from collections import Counter

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("document", "state", "pages", "tried", "read s", "embed s", "reason", box=box.SIMPLE)
    for each in listed:
        row = each.row
        pages = f"{each.pages.done}" + (f" + {each.pages.failed} failed" if each.pages.failed else "")
        reasons = [row.reason] if row.reason else []
        reasons += [f"page {page.page}: {page.reason}" for page in each.failed_pages]
        reasons += _warnings(each.warned_pages)
        table.add_row(
            Text(row.source, overflow="fold"),
            row.state,
            pages,
            f"{row.attempts}×",
            _seconds(row.read_seconds),
            _seconds(row.embed_seconds),
            Text("\n".join(reasons)),
        )
    if listed:
        console.print(table)
    states = Counter(each.row.state for each in found)
    pages_done, pages_failed = sum(s.pages.done for s in found), sum(s.pages.failed for s in found)
    console.print(
        f"{len(found)} documents: {states['done']} done, {states['failed']} failed, {states['pending']} not finished — "
        f"{pages_done} pages searchable, {pages_failed} failed",
        highlight=False,
    )


def _warnings(pages: "Sequence[PageRow]") -> list[str]:
    """One line for each kind of warning, with the pages that carry it."""
    by_text: dict[str, list[int]] = {}
    for page in pages:
        by_text.setdefault(page.reason or "", []).append(page.page)
    return [
        f"warning, page {numbers[0]}{f' and {len(numbers) - 1} more' if len(numbers) > 1 else ''}: {text}"
        for text, numbers in by_text.items()
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
