"""`vipylo info`: what an index is and holds."""

from typing import Annotated, Any

import typer

from vipylo_rag.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, open_index


def info(
    index: IndexOption = DEFAULT_INDEX,
    failed: Annotated[bool, typer.Option("--failed", help="List what could not be indexed, with reasons.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an index is and holds: embedder, store, documents, pages, and what could not be indexed."""
    with open_index(index) as opened:
        facts: dict[str, Any] = opened.info()
        if failed:
            facts["failed"] = [
                {"source": row.source, "page": None, "reason": row.reason}
                for row in opened.ledger.sources()
                if row.state == "failed"
            ] + [{"source": row.source, "page": row.page, "reason": row.reason} for row in opened.ledger.failed_pages()]
    if as_json:
        import json

        print(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    _print(facts)


def _print(facts: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    embedder = facts["embedder"]
    rows = {
        "index": facts["directory"],
        "embedder": f"{embedder['name']} ({embedder['dim']}-d, {embedder['fingerprint'][:12]})",
        "store": facts["store"],
        "documents": f"{facts['sources done']} indexed, {facts['sources failed']} failed, "
        f"{facts['sources pending']} not finished",
        "pages": f"{facts['points']} searchable, {facts['pages failed']} failed",
        "kinds": ", ".join(f"{kind}: {count}" for kind, count in facts["kinds"].items()) or "none",
        "page images": f"{facts['asset_bytes'] / 1e6:.1f} MB",
    }
    if run := facts["unfinished_run"]:
        rows["run"] = f"{_unfinished_run(run)}: at work, or stopped; then `vipylo ingest --resume` goes on"
    if coming := facts["unfinished_reindex"]:
        rows["reindexing"] = (
            f"to {coming['embedder']}: at work, or stopped; then the same `vipylo reindex` goes on, and "
            "`vipylo gc --abandon` gives it up"
        )
    table = Table(box=box.SIMPLE, show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(str(value), overflow="fold"))
    console = Console()
    console.print(table)
    if "failed" in facts:
        lost = Table("not indexed", "page", "reason", box=box.SIMPLE)
        for row in facts["failed"]:
            lost.add_row(Text(row["source"], overflow="fold"), str(row["page"] or ""), Text(row["reason"]))
        console.print(lost if facts["failed"] else "everything was indexed")


def _unfinished_run(run: dict[str, Any]) -> str:
    from datetime import datetime

    first, *others = run["paths"]
    more = f" and {len(others)} more" if others else ""
    whose = f" (tenant {run['tenant']})" if run["tenant"] else ""
    return f"ingest of {first}{more}{whose}, begun {datetime.fromtimestamp(run['started']):%Y-%m-%d %H:%M}"
