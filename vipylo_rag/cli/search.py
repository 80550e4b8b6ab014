"""`vipylo search`: the best pages for a text, an image, or both."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vipylo_rag.cli.options import (
    DEFAULT_INDEX,
    DeviceOption,
    EmbedderOption,
    IndexOption,
    JsonOption,
    TenantOption,
    asked_embedder,
    open_index,
)

if TYPE_CHECKING:
    from connectors.stores.filters import Filter
    from connectors.stores.protocol import SearchMode
    from vipylo_rag.search import Hit


def search(
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image: Annotated[list[Path] | None, typer.Option("--image", help="An image to look for; repeatable.")] = None,
    index: IndexOption = DEFAULT_INDEX,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many pages.")] = 10,
    mode: Annotated[str, typer.Option("--mode", help="hybrid, dense (vectors) or lexical (words).")] = "hybrid",
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Filter, as kind=pdf, page<=3, name!=a.pdf; repeatable.")
    ] = None,
    save_pages: Annotated[
        Path | None, typer.Option("--save-pages", help="Write the page images to this folder.")
    ] = None,
    tenant: TenantOption = "",
    embedder: EmbedderOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search by text, by image, or by both together as one query."""
    from connectors.stores.filters import parse_filter_text

    with open_index(index, asked_embedder(embedder), device) as opened:
        filter_: Filter | None = parse_filter_text(where or [], opened.fields(tenant))
        chosen: SearchMode = mode  # type: ignore[assignment]  # search names the modes there are
        hits = opened.search(text, list(image or []), top_k=top_k, where=filter_, mode=chosen, tenant=tenant)
    if save_pages is not None:
        written = save(hits, save_pages)
        print(f"{written} of {len(hits)} pages written to {save_pages} (the others have no image)", file=sys.stderr)
    _print_json(hits, text) if as_json else _print(hits, text)


def save(hits: "list[Hit]", folder: Path) -> int:
    """Copy the hits' page images to a folder, numbered by rank; returns how many had one."""
    from embedder.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--save-pages {folder}: cannot be made: {error.strerror}") from error
    for rank, hit in enumerate(hits, start=1):
        if hit.image_path is not None:
            target = folder / f"{rank:02d}-{Path(hit.name).stem}-p{hit.page}{hit.image_path.suffix}"
            shutil.copyfile(hit.image_path, target)
    return sum(hit.image_path is not None for hit in hits)


def _print(hits: "list[Hit]", text: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not hits:
        Console().print("nothing found: no page passes the filter, or the index is empty (see `vipylo info`)")
        return
    table = Table("score", "source", "page", "snippet", box=box.SIMPLE)
    for hit in hits:
        table.add_row(f"{hit.score:.4f}", Text(hit.name), str(hit.page), Text(hit.snippet(text) or f"({hit.kind})"))
    Console().print(table)


def _print_json(hits: "list[Hit]", text: str | None) -> None:
    import json

    rows = [
        {
            "score": hit.score,
            "source": hit.source,
            "page": hit.page,
            "kind": hit.kind,
            "snippet": hit.snippet(text),
            "image": str(hit.image_path) if hit.image_path else None,
            "metadata": hit.metadata,
        }
        for hit in hits
    ]
    print(json.dumps(rows, ensure_ascii=False, indent=2))
