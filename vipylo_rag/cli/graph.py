"""`vipylo graph`: make the page graph of an index, say what is in it, and draw it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vipylo_rag.cli.counting import Bars
from vipylo_rag.cli.options import (
    DEFAULT_INDEX,
    DeviceOption,
    IndexOption,
    JsonOption,
    TenantOption,
    open_index,
    print_json,
)

if TYPE_CHECKING:
    from llama_index.core.llms import LLM
    from rich.table import Table

    from vipylo_rag.graph.report import GraphReport

_SHOWN = 20
_THINGS = {"read": "pages", "neighbours": "pages", "write": "nodes", "embed": "nodes"}
_DRAWING = {"read": "nodes", "lay out": "steps", "pictures": "pictures", "write": ""}

graph = typer.Typer(
    name="graph",
    help="The page graph: documents, pages, figures and entities, for `vipylo search --mode graph`.",
    no_args_is_help=True,
)


@graph.command()
def build(
    index: IndexOption = DEFAULT_INDEX,
    extractor: Annotated[
        str | None,
        typer.Option(
            "--extractor",
            help="What finds entities: rules (no model), llm, or an installed one's name. Left out: llm with --llm, "
            "else rules.",
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            help="URL of an OpenAI-style server, or directory of a Qwen2-VL checkpoint. (env: VIPYLO_LLM, where the "
            "extractor is llm) A server's key is read from VIPYLO_LLM_KEY.",
        ),
    ] = None,
    llm_model: Annotated[
        str | None, typer.Option("--llm-model", help="The model's name on the server. (env: VIPYLO_LLM_MODEL)")
    ] = None,
    tenant: TenantOption = "",
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            help="neo4j://host:7687/database keeps the graph from now on (VIPYLO_GRAPH_USER, VIPYLO_GRAPH_PASSWORD); "
            "local: a file in the index. Left out: where it is.",
        ),
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the page graph, or bring it up to date: only new and changed pages are read.

    Stopped or killed, the same command goes on where it was.
    """
    with open_index(index, None, device) as opened, Bars(_THINGS, quiet=as_json) as bars:
        report = opened.build_graph(
            extractor,
            llm=_llm(extractor, llm, llm_model, device),
            tenant=tenant,
            url=url,
            progress=lambda report: bars.show(report.phase, report.done, report.total),
        )
    if as_json:
        from dataclasses import asdict

        print_json({key: value for key, value in asdict(report).items() if key not in ("phase", "done", "total")})
    else:
        _print_build(report)


@graph.command()
def info(index: IndexOption = DEFAULT_INDEX, tenant: TenantOption = "", as_json: JsonOption = False) -> None:
    """Show what the page graph holds, what made it, and whether the index has changed since."""
    with open_index(index) as opened:
        facts = opened.graph_info(tenant=tenant)
    print_json(facts) if as_json else _print_info(facts)


@graph.command()
def show(
    index: IndexOption = DEFAULT_INDEX,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file; such a page that is there is replaced.")] = (
        Path("graph.html")
    ),
    tenant: TenantOption = "",
    limit: Annotated[
        int | None, typer.Option("--limit", help="At most so many nodes; of more, those that are connected best.")
    ] = None,
    picture_mb: Annotated[
        int | None, typer.Option("--picture-mb", min=0, help="All small pictures together. 0: none.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Left out: the name of the index's folder.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Draw the page graph: one HTML file, to be looked at in any browser without a network."""
    from embedder.load import given
    from vipylo_rag.graph.show import write_graph

    picture_bytes = None if picture_mb is None else picture_mb * 2**20
    asked = given(limit=limit, picture_bytes=picture_bytes, title=title)
    with open_index(index) as opened, Bars(_DRAWING) as bars:
        report = write_graph(opened, out, tenant=tenant, progress=bars.show, **asked)
    shown = f"{report.nodes} nodes"
    if report.nodes < report.held:
        shown = f"the {report.nodes} best connected of {report.held} nodes (--limit)"
    print(f"{shown} and {report.edges} relations on the page {report.file} ({report.bytes / 1e6:.1f} MB)")
    if report.unreadable:
        print(f"{report.unreadable} page images are missing or damaged; `vipylo gc` tells more")
    print("who gets the file sees the beginnings of the texts, and the pictures")
    if open_:
        import webbrowser

        webbrowser.open(report.file.resolve().as_uri())


def _llm(extractor: str | None, spec: str | None, model: str | None, device: str | None) -> "LLM | None":
    """The model that was asked for. One that only the environment names is not: reading all pages with it costs."""
    from vipylo_rag.settings import Settings

    settings = Settings()
    chosen = spec or (settings.llm if extractor == "llm" else None)
    if not chosen:
        return None
    from vipylo_rag.llm import load_llm

    return load_llm(chosen, model or settings.llm_model, settings.llm_key, device=device or settings.device)


def _print_build(report: "GraphReport") -> None:
    from rich.console import Console

    from vipylo_rag.passages import quoted

    done = [(report.read, "read"), (report.unchanged, "unchanged"), (report.dropped, "gone")]
    said = ", ".join(f"{count} {what}" for count, what in done if count) or "nothing to do"
    print(f"{report.pages} pages: {said}; {report.embedded} entities and figures embedded, in {report.seconds:.1f} s")
    Console().print(_table(report.nodes, report.relations))
    for failure in report.failures[:_SHOWN]:
        place = f"{failure.source} page {failure.page}" if failure.page else failure.source
        print(f"bad: {quoted(place)}: {quoted(failure.reason)}")
    if len(report.failures) > _SHOWN:
        print(f"… and {len(report.failures) - _SHOWN} more (--json shows all)")


def _print_info(facts: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = {
        "graph": facts["place"],
        "made": f"{facts['built']}, by {facts['extractor']}",
        "embedder": facts["embedder"],
        "size": f"{facts['bytes'] / 1e6:.1f} MB, without vectors",
        "pages": f"{facts['pages']} of {facts['index_pages']} in the index",
    }
    if facts["outdated"]:
        rows["outdated"] = f"{facts['outdated']}: `vipylo graph build` brings it up to date"
    if facts["failed_pages"]:
        rows["not read"] = f"{facts['failed_pages']} pages: `vipylo graph build` tries them again and says why"
    table = Table(box=box.SIMPLE, show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(str(value), overflow="fold"))
    console = Console()
    console.print(table)
    console.print(_table(facts["nodes"], facts["relations"]))
    if facts["hubs"]:
        hubs = Table("on most pages", "label", "pages", box=box.SIMPLE)
        for hub in facts["hubs"]:
            hubs.add_row(Text(hub["name"], overflow="fold"), Text(hub["label"]), str(hub["pages"]))
        console.print(hubs)


def _table(nodes: dict[str, int], relations: dict[str, int]) -> "Table":
    from itertools import zip_longest

    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("nodes", "", "relations", "", box=box.SIMPLE)
    for columns in (1, 3):
        table.columns[columns].justify = "right"
    for node, relation in zip_longest(nodes.items(), relations.items(), fillvalue=("", "")):
        table.add_row(Text(node[0]), str(node[1]), Text(relation[0]), str(relation[1]))
    return table
