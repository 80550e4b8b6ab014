"""`vipylo gc`: remove what an index holds for nothing."""

from typing import TYPE_CHECKING, Annotated

import typer

from vipylo_rag.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, open_index

if TYPE_CHECKING:
    from vipylo_rag.collect import Collected

_SHOWN = 20


def gc(
    index: IndexOption = DEFAULT_INDEX,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Also give up a reindexing that was stopped half-way.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove images without a page, what killed runs left, and replaced vectors; find pages that are not whole."""
    with open_index(index) as opened:
        found = opened.collect(dry_run=dry_run, abandon=abandon)
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    else:
        _print(found)


def _print(found: "Collected") -> None:
    would = "would be " if found.dry_run else ""
    print(
        f"{len(found.assets)} files without a page and {len(found.scraps)} leftovers {would}removed "
        f"({found.freed_bytes / 1e6:.1f} MB)"
    )
    for scrap in found.scraps:
        print(f"  {scrap}")
    for pages, what in ((found.lost, "vector or image is missing"), (found.unknown, "not in the ledger")):
        for _, source, page in pages[:_SHOWN]:
            print(f"  {source} page {page}: {what}")
        if len(pages) > _SHOWN:
            print(f"  … and {len(pages) - _SHOWN} more")
    if found.lost or found.unknown:
        print(
            f"{len(found.lost) + len(found.unknown)} pages are not whole: the next `vipylo ingest` of them heals that"
        )
    if found.unfinished is not None:
        print(
            f"a reindexing to {found.unfinished} is half done: finish it with `vipylo reindex`, or give it up with "
            "`vipylo gc --abandon`"
        )
