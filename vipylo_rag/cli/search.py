"""`vipylo search`: the best pages for a text, an image, or both."""

import shutil
import sys
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vipylo_rag.cli.options import (
    DEFAULT_INDEX,
    CandidatesOption,
    DeviceOption,
    EmbedderOption,
    IndexOption,
    JsonOption,
    RerankOption,
    TenantOption,
    asked_embedder,
    asked_rerank,
    open_index,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.stores.filters import Filter
    from vipylo_rag.graph.elements import PathStep
    from vipylo_rag.query import PageMode
    from vipylo_rag.search import Hit

_SHOWN_WORDS = 5


def search(
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image: Annotated[list[Path] | None, typer.Option("--image", help="An image to look for; repeatable.")] = None,
    index: IndexOption = DEFAULT_INDEX,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many pages.")] = 10,
    mode: Annotated[
        str,
        typer.Option("--mode", help="hybrid, dense (vectors), lexical (words), or graph: hybrid, and on along links."),
    ] = "hybrid",
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Filter, as kind=pdf, page<=3, name!=a.pdf; repeatable.")
    ] = None,
    save_pages: Annotated[
        Path | None, typer.Option("--save-pages", help="Write the page images to this folder.")
    ] = None,
    why: Annotated[
        Path | None,
        typer.Option("--why", help="Explain: draw each page with its heat map into this folder, name its words."),
    ] = None,
    rerank: RerankOption = None,
    candidates: CandidatesOption = 50,
    tenant: TenantOption = "",
    embedder: EmbedderOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search by text, by image, or by both together as one query.

    Mode graph needs a page graph (`vipylo graph build`). It also finds pages that only a name, a code or a date that
    they share leads to, and says by which path.
    """
    from connectors.stores.filters import parse_filter_text

    reordering = asked_rerank(rerank)
    with open_index(index, asked_embedder(embedder), device) as opened:
        filter_: Filter | None = parse_filter_text(where or [], opened.fields(tenant))
        chosen: PageMode = mode  # type: ignore[assignment]  # search names the modes there are
        hits = opened.search(
            text,
            list(image or []),
            top_k=top_k,
            where=filter_,
            mode=chosen,
            rerank=reordering,
            candidates=candidates,
            tenant=tenant,
        )
        reasons = explain(hits, why) if why is not None else []
    if save_pages is not None:
        written = save(hits, save_pages)
        print(f"{written} of {len(hits)} pages written to {save_pages} (the others have no image)", file=sys.stderr)
    if why is not None:
        print(f"{len(reasons)} pages with heat maps written to {why}", file=sys.stderr)
    _print_json(hits, text, reasons) if as_json else _print(hits, text, reasons)


@dataclass(frozen=True)
class Reason:
    """Why a hit was found, in short: its heat map's file, and its strongest words with what they add to the cosine."""

    picture: Path
    score: float
    words: list[tuple[str, float]]


def save(hits: "list[Hit]", folder: Path) -> int:
    """Copy the hits' page images to a folder, numbered by rank; returns how many had one."""
    _make(folder, "--save-pages")
    for rank, hit in enumerate(hits, start=1):
        if hit.image_path is not None:
            shutil.copyfile(hit.image_path, _numbered(folder, rank, hit, hit.image_path.suffix))
    return sum(hit.image_path is not None for hit in hits)


def explain(hits: "list[Hit]", folder: Path) -> list[Reason]:
    """Draw each hit's page with its heat map into a folder, numbered by rank."""
    from vipylo_rag.heat_map import strongest, totals

    _make(folder, "--why")
    reasons = []
    for rank, hit in enumerate(hits, start=1):
        found = hit.explain()
        target = _numbered(folder, rank, hit, ".png")
        found.save(target)
        reasons.append(Reason(target, found.score, totals(strongest(found.words))[:_SHOWN_WORDS]))
    return reasons


def _make(folder: Path, option: str) -> None:
    from embedder.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option} {folder}: cannot be made: {error.strerror}") from error


def _numbered(folder: Path, rank: int, hit: "Hit", suffix: str) -> Path:
    return folder / f"{rank:02d}-{Path(hit.name).stem}-p{hit.page}{suffix}"


def _print(hits: "list[Hit]", text: str | None, reasons: list[Reason]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vipylo_rag.passages import quoted

    if not hits:
        Console().print("nothing found: no page passes the filter, or the index is empty (see `vipylo info`)")
        return
    table = Table("score", "source", "page", "snippet", box=box.SIMPLE)
    if reasons:
        table.add_column("strongest words")
    for hit, reason in zip_longest(hits, reasons):
        row: list[str | Text] = [
            f"{hit.score:.4f}",
            Text(quoted(hit.name)),  # a file name may hold what steers a terminal
            str(hit.page),
            Text.assemble(hit.snippet(text) or f"({hit.kind})", (f"\n{way(hit.path)}" if hit.path else "", "italic")),
        ]
        if reason is not None:
            said = "\n".join(f"{word} {share:+.3f}" for word, share in reason.words)
            row.append(Text(f"{said or '(none: the picture)'}\ncosine {reason.score:.3f}"))
        table.add_row(*row)
    Console().print(table)


def way(path: "Sequence[PathStep]") -> str:
    """A path in words, such as "via SC-2041 (code) from report.pdf, page 3"; "" where there is none."""
    from vipylo_rag.graph.elements import NEXT, PAGE
    from vipylo_rag.passages import quoted

    if not path:
        return ""
    names = [
        quoted(step.name) if step.label == PAGE else f"{quoted(step.name)} ({quoted(step.label)})" for step in path
    ]
    if path[0].label != PAGE:
        return f"via {', '.join(names[:-1])}"
    if len(path) == 2:
        return f"{'next to' if path[1].relation == NEXT else 'alike:'} {names[0]}"
    return f"via {', '.join(names[1:-1])} from {names[0]}"


def _print_json(hits: "list[Hit]", text: str | None, reasons: list[Reason]) -> None:
    import json

    rows: list[dict[str, Any]] = [
        {
            "score": hit.score,
            "source": hit.source,
            "page": hit.page,
            "kind": hit.kind,
            "snippet": hit.snippet(text),
            "image": str(hit.image_path) if hit.image_path else None,
            "metadata": hit.metadata,
            "path": [asdict(step) for step in hit.path],
        }
        for hit in hits
    ]
    for row, reason in zip(rows, reasons, strict=False):
        words = [{"text": word, "share": share} for word, share in reason.words]
        row["why"] = {"cosine": reason.score, "picture": str(reason.picture), "words": words}
    print(json.dumps(rows, ensure_ascii=False, indent=2))
