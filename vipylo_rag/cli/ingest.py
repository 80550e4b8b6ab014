"""`vipylo ingest`: bring an index up to date with files and folders."""

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
    print_json,
)
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

if TYPE_CHECKING:
    from connectors.stores.options import StoreOptions
    from vipylo_rag.ingest_options import IngestOptions
    from vipylo_rag.status import Whereabouts


_SETTLED = frozenset({"unchanged", "failed before", "gone", "cannot be read"})


def ingest(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files and folders: PDF, office, images, DICOM, text, mail, archives.", metavar="PATH…"),
    ] = None,
    index: IndexOption = DEFAULT_INDEX,
    embedder: EmbedderOption = None,
    device: DeviceOption = None,
    tenant: TenantOption = "",
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents that are gone from the folders.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last run that was stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done with each file.")] = False,
    where: Annotated[
        bool, typer.Option("--where-is", help="Only say where the files, or their content, are in the index.")
    ] = False,
    reread: Annotated[
        bool, typer.Option("--reread", help="Read unchanged files too; only pages that changed are embedded.")
    ] = False,
    strict: StrictOption = False,
    workers: WorkersOption = None,
    page_seconds: SecondsOption = 30.0,
    password: PasswordOption = None,
    renderer: RendererOption = None,
    ocr: OcrOption = None,
    quantization: Annotated[
        str | None, typer.Option("--quantization", help="Of a new index: none, int8 or binary.")
    ] = None,
    on_disk: Annotated[bool, typer.Option("--on-disk", help="Of a new index: full vectors stay on disk.")] = False,
    shards: Annotated[int | None, typer.Option("--shards", help="Of a new index on a server.")] = None,
    replicas: Annotated[int | None, typer.Option("--replicas", help="Of a new index on a server.")] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Over a Ray cluster; --workers and --embedders on it.")] = False,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="auto or HOST:PORT of a running cluster (else one is started).")
    ] = None,
    embedders: Annotated[int, typer.Option("--embedders", min=1, help="With --ray: processes with a model.")] = 1,
    gpus: Annotated[float, typer.Option("--gpus", min=0, help="With --ray: GPUs for each of the embedders.")] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Index files and folders. Unchanged files are skipped; files that cannot be read are listed with the reason."""
    from connectors.loaders.registry import check_loader_options
    from embedder.errors import InputError
    from vipylo_rag.cluster import Cluster
    from vipylo_rag.ingest_options import IngestOptions
    from vipylo_rag.sources import find_files
    from vipylo_rag.tenants import check_tenant

    if resume and (paths or dry_run or where):
        raise InputError("--resume repeats the run that was stopped: it goes without PATH, --dry-run and --where-is")
    if not resume and not paths:
        raise InputError("name the files and folders to ingest, or --resume to go on with a run that was stopped")
    # Before an index is made: a wrong path or option leaves nothing behind.
    chosen = loader_options(password, renderer, ocr)
    store = _store_options(quantization, on_disk, shards, replicas)
    check_loader_options(chosen)
    options = IngestOptions(
        tenant=check_tenant(tenant), prune=prune, reread=reread, page_seconds=page_seconds, loader_options=chosen
    )
    given = list(paths or [])
    if where:
        _print_whereabouts(index, given, tenant, as_json=as_json)
        return
    if dry_run:
        _print_plan(index, given, options, as_json=as_json)
        return
    if given:
        find_files(given)
    cluster = Cluster(ray_address, workers or 1, embedders, gpus) if ray or ray_address else None
    with open_index(index, asked_embedder(embedder), device, create=not resume, options=store) as opened:
        with ProgressBar(quiet=as_json) as progress:
            if resume:
                report = opened.resume(loader_options=chosen, cluster=cluster, progress=progress)
            else:
                report = opened.ingest(
                    given,
                    tenant=tenant,
                    prune=prune,
                    reread=reread,
                    workers=workers,
                    page_seconds=page_seconds,
                    loader_options=chosen,
                    cluster=cluster,
                    progress=progress,
                )
        print_report(report, as_json=as_json)
    if strict and report.failures:
        raise typer.Exit(1)


def _store_options(
    quantization: str | None, on_disk: bool, shards: int | None, replicas: int | None
) -> "StoreOptions | None":
    """The options that were asked for; None where none was."""
    if quantization is None and not on_disk and shards is None and replicas is None:
        return None
    from connectors.stores.options import StoreOptions

    named = quantization or "none"
    return StoreOptions(named, on_disk, shards, replicas or 1)  # type: ignore[arg-type]  # it names those there are


def _print_plan(index: str, paths: list[Path], options: "IngestOptions", *, as_json: bool) -> None:
    from dataclasses import asdict

    from vipylo_rag.cli.options import look_into
    from vipylo_rag.runs import plan

    with look_into(index, missing_is_empty=True) as ledger:
        planned = plan(ledger, paths, options)
    if as_json:
        print_json([asdict(each) for each in planned])
        return
    for each in planned:
        between = {"moved": " from ", "copied": " of "}.get(each.action, ": ")
        print(f"{each.action:>14}  {each.source}" + (f"{between}{each.detail}" if each.detail else ""))
    counts = {each.action: 0 for each in planned}
    for each in planned:
        counts[each.action] += 1
    print(", ".join(f"{count} {action}" for action, count in counts.items()) + " (nothing was done)")
    if held := sum(each.container != "nothing" and each.action not in _SETTLED for each in planned):
        print(f"{held} of these hold other documents (archives, mails), which are counted only when they are ingested")


def _print_whereabouts(index: str, paths: list[Path], tenant: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from vipylo_rag.cli.options import look_into
    from vipylo_rag.sources import find_files
    from vipylo_rag.status import where_is

    with look_into(index) as ledger:
        found = [where_is(ledger, file, tenant) for file in find_files(paths)]
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        print(_whereabouts_line(each))
        for page in each.known.failed_pages if each.known else ():
            print(f"    page {page.page} failed: {page.reason}")
        for twin in each.same_content:
            whose = f" (tenant {twin.tenant})" if twin.tenant != tenant else ""
            print(f"    same content, {twin.state}: {twin.source}{whose}")


def _whereabouts_line(found: "Whereabouts") -> str:
    if found.known is None:
        return f"{found.source}: not in the index under this name"
    row, pages = found.known.row, found.known.pages
    now = "" if found.current else ", of an earlier content"
    reason = f": {row.reason}" if row.reason else ""
    return f"{found.source}: {row.state}, {pages.done} pages{now}{reason}"
