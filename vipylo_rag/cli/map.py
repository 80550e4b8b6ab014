"""`vipylo map`: all pages of an index on one 2-D map, as one HTML file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vipylo_rag.cli.counting import Bars
from vipylo_rag.cli.options import DEFAULT_INDEX, IndexOption, TenantOption, open_index

if TYPE_CHECKING:
    from vipylo_rag.map import MapReport
    from vipylo_rag.map_layout import Method


_THINGS = {"read": "pages", "compare": "pages", "match": "pairs", "lay out": "", "pictures": "pictures", "write": ""}


def map_(
    index: IndexOption = DEFAULT_INDEX,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file; a map that is there is replaced.")] = Path(
        "map.html"
    ),
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only these pages, as kind=pdf, page<=3; repeatable.")
    ] = None,
    tenant: TenantOption = "",
    method: Annotated[str, typer.Option("--method", help="auto, umap (extra: map) or pca.")] = "auto",
    limit: Annotated[int, typer.Option("--limit", help="At most so many pages; of more, a random sample.")] = 50_000,
    duplicates: Annotated[
        float,
        typer.Option("--duplicates", help="Pages with at least this cosine are compared for near-duplicates."),
    ] = 0.85,
    pairs: Annotated[
        int, typer.Option("--pairs", min=0, help="At most so many pairs are compared for near-duplicates.")
    ] = 3_000,
    picture_mb: Annotated[int, typer.Option("--picture-mb", min=0, help="All small pictures together. 0: none.")] = 24,
    title: Annotated[str | None, typer.Option("--title", help="Left out: the name of the index's folder.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Draw a map of all pages: one HTML file with small pictures, which shows what is alike and what is there twice."""
    from connectors.stores.filters import parse_filter_text
    from vipylo_rag.map import write_map

    chosen: Method = method  # type: ignore[assignment]  # write_map names the methods there are
    with open_index(index) as opened, Bars(_THINGS) as bars:
        report = write_map(
            opened,
            out,
            where=parse_filter_text(where or [], opened.fields(tenant)),
            tenant=tenant,
            method=chosen,
            limit=limit,
            duplicates=duplicates,
            most_pairs=pairs,
            picture_bytes=picture_mb * 2**20,
            title=title,
            progress=bars.show,
        )
    _print(report)
    if open_:
        import webbrowser

        webbrowser.open(report.file.resolve().as_uri())


def _print(report: "MapReport") -> None:
    layout = report.layout
    shown = f"{report.pages} pages"
    if report.pages < report.held:
        shown = f"a random sample of {report.pages} of {report.held} pages (--limit)"
    print(f"{shown} of {report.documents} documents on the map {report.file} ({report.bytes / 1e6:.1f} MB)")
    reasons = {"asked": "", "missing": "UMAP is not installed: pip install 'vipylo-rag[map]'; ", "few": "few pages; "}
    if layout.held is None:
        print("laid out by UMAP")
    else:
        print(f"laid out by PCA ({reasons[layout.why]}the two axes hold {layout.held:.0%} of the variance)")
    pairs, groups = _counted(report.pairs, "pair"), _counted(report.groups, "group")
    looked = f"{_counted(report.compared, 'pair')} compared"
    print(f"near-duplicates: {pairs} in {groups} ({looked})" if report.pairs else f"near-duplicates: none ({looked})")
    if report.uncompared:
        print(f"{_counted(report.uncompared, 'pair')} more may be near-duplicates and were not compared (--pairs)")
    print(f"{_counted(report.pictures, 'picture')} of up to {report.side} px" if report.pictures else "no pictures")
    if report.left_out and report.pictures:
        print(f"{report.left_out} more would be too many bytes (--picture-mb)")
    if report.unreadable:
        print(f"{report.unreadable} page images are missing or damaged; `vipylo gc` tells more")
    print("who gets the file sees the beginnings of the texts, and the pictures")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
