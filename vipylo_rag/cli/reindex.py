"""`vipylo reindex`: change an index to another embedder, or its store to other options."""

from typing import TYPE_CHECKING, Annotated

import typer

from vipylo_rag.cli.counting import Bar
from vipylo_rag.cli.options import DEFAULT_INDEX, DeviceOption, IndexOption, JsonOption, open_index

if TYPE_CHECKING:
    from connectors.stores.options import StoreOptions
    from vipylo_rag.manifest import StoreRecord
    from vipylo_rag.reindex import ReindexReport


def reindex(
    index: IndexOption = DEFAULT_INDEX,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", help="The new one, as for ingest. Left out: the same, with its vectors copied."),
    ] = None,
    device: DeviceOption = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Pages embedded at a time.")] = 16,
    quantization: Annotated[
        str | None, typer.Option("--quantization", help="Store option: none, int8 or binary. Left out: as now.")
    ] = None,
    on_disk: Annotated[
        bool | None,
        typer.Option("--on-disk/--in-memory", help="Store option: where full vectors are. Left out: as now."),
    ] = None,
    shards: Annotated[int | None, typer.Option("--shards", min=1, help="Store option of a server.")] = None,
    replicas: Annotated[int | None, typer.Option("--replicas", min=1, help="Store option of a server.")] = None,
    skip_failed: Annotated[
        bool, typer.Option("--skip-failed", help="Leave out pages that the new embedder cannot embed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Embed all pages anew, from what the index keeps of them. The old vectors serve until the new ones are complete.

    Stopped or killed, the same command goes on where it was.
    """
    with open_index(index, None, device) as opened, Bar("reindex", "pages", quiet=as_json) as bar:
        report = opened.reindex(
            embedder,
            options=_options(opened.manifest.store, quantization, on_disk, shards, replicas),
            batch_pages=batch,
            skip_failed=skip_failed,
            progress=lambda report: bar.show(report.settled, report.pages),
        )
        name = opened.manifest.embedder.name
    _print_json(report) if as_json else _print(report, name)


def _options(
    store: "StoreRecord", quantization: str | None, on_disk: bool | None, shards: int | None, replicas: int | None
) -> "StoreOptions":
    from dataclasses import replace

    from embedder.load import given

    asked = given(quantization=quantization, on_disk=on_disk, shards=shards, replicas=replicas)
    return replace(store.options, **asked)


def _print(report: "ReindexReport", name: str) -> None:
    done = [(report.embedded, "embedded"), (report.copied, "copied"), (report.kept, "there already")]
    said = ", ".join(f"{count} {what}" for count, what in done if count) or "none to do"
    print(f"{report.pages} pages: {said}, in {report.seconds:.1f} s. The index is now of embedder {name}")
    for failure in report.failures:
        print(f"left out: {failure.source} page {failure.page}: {failure.reason}")


def _print_json(report: "ReindexReport") -> None:
    import json
    from dataclasses import asdict

    print(json.dumps(asdict(report), ensure_ascii=False, indent=2))
