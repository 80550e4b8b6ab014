"""Runs of ingest as the ledger notes them: begun, ended, resumed, planned ahead, and repeated for what failed."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.errors import DocumentError
from connectors.loaders.archive import contains
from connectors.loaders.registry import check_loader_options
from embedder.errors import InputError
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ingest import Ingest, gone_sources
from vipylo_rag.ingest_options import IngestOptions
from vipylo_rag.ledger import Container, Ledger
from vipylo_rag.opening import Parts
from vipylo_rag.pipeline import Pipeline
from vipylo_rag.report import IngestReport, Progress
from vipylo_rag.rules import Rules
from vipylo_rag.sources import file_facts, find_files, source_name

# Made when a run is sure to begin: it may have to load the model.
MakePipeline = Callable[[IngestOptions], Pipeline]


@dataclass(frozen=True)
class Planned:
    """What a run would do with a source.

    `action` is one of a `Decision`'s, or "gone" (pruned) or "cannot be read"; `detail` is the other source, or the
    reason why it failed. `container` says whether the file holds others: these are counted when they are read.
    """

    source: str
    action: str
    detail: str | None = None
    container: Container = "nothing"


def run(
    parts: Parts, pipeline: MakePipeline, paths: Sequence[Path], options: IngestOptions, progress: Progress | None
) -> IngestReport:
    """Ingest files and folders, and note the run, so that it can be resumed if it does not come to its end.

    Raises:
        DocumentError, InputError, PluginError: as `MultimodalIndex.ingest`, before anything is changed.
    """
    files = find_files(paths)
    check_loader_options(options.loader_options)
    number = parts.ledger.begin_run(options.tenant, [str(path.resolve()) for path in paths], options.to_json())
    return _finish(parts, pipeline, files, paths, options, progress, number)


def retry(
    parts: Parts, pipeline: MakePipeline, paths: Sequence[Path], options: IngestOptions, progress: Progress | None
) -> IngestReport:
    """Read again what failed, all of it or what lies at and below `paths`. See `MultimodalIndex.retry`."""
    check_loader_options(options.loader_options)
    files = failed_files(parts.ledger, options.tenant, paths)
    if not files:
        return IngestReport()
    number = parts.ledger.begin_run(options.tenant, [str(file) for file in files], options.to_json())
    return _finish(parts, pipeline, files, (), options, progress, number)


def _finish(
    parts: Parts,
    pipeline: MakePipeline,
    files: Sequence[Path],
    folders: Sequence[Path],
    options: IngestOptions,
    progress: Progress | None,
    number: int,
) -> IngestReport:
    run = Ingest(pipeline(options), parts.store, parts.ledger, parts.directory, options, progress=progress)
    report = run.run(files, folders)
    counts = {key: value for key, value in dataclasses.asdict(report).items() if key not in ("failures", "warnings")}
    parts.ledger.end_run(number, counts)
    return report


def unfinished(ledger: Ledger, loader_options: Mapping[str, Mapping[str, Any]]) -> tuple[list[Path], IngestOptions]:
    """Paths and options of the last run that was stopped or killed. Passwords, which are not noted, come from
    `loader_options`.

    Raises:
        InputError: there is none. DocumentError: its files are gone.
    """
    found = ledger.unfinished_run()
    if found is None:
        raise InputError("there is no unfinished run to resume: name the files and folders to ingest")
    noted = dict(found.options)
    merged = {name: dict(given) for name, given in noted.pop("loader_options").items()}
    for name, given in loader_options.items():
        merged.setdefault(name, {}).update(given)
    paths = [Path(path) for path in found.paths]
    there = [path for path in paths if path.exists()]
    if not there:
        raise DocumentError(f"{found.paths[0]}: does not exist any more; name the files and folders to ingest")
    return there, IngestOptions(tenant=found.tenant, loader_options=merged, **noted)


def failed_files(ledger: Ledger, tenant: str, paths: Sequence[Path] = ()) -> list[Path]:
    """The files (archives, for members) of the sources that failed whole or in part.

    Raises:
        InputError: one of `paths` is known to have nothing that failed.
    """
    failed = {row.source: row.archive or row.source for row in ledger.sources(tenant) if row.state == "failed"}
    for page in ledger.failed_pages(tenant):
        row = ledger.source(page.source, tenant)
        if row is not None:
            failed[row.source] = row.archive or row.source
    files = {Path(file) for file in failed.values()}
    if not paths:
        return sorted(files)
    chosen: set[Path] = set()
    for path in paths:
        place = Path(source_name(path))
        below = {file for file in files if file.is_relative_to(place)}
        if not below:
            raise InputError(f"{path}: nothing at or below it has failed")
        chosen |= below
    return sorted(chosen)


def plan(ledger: Ledger, paths: Sequence[Path], options: IngestOptions) -> list[Planned]:
    """What `run` would do, file by file. Reads files and ledger, writes nothing; nothing is taken out of archives.

    Raises:
        DocumentError: a path does not exist, or there is no file at all.
    """
    files = find_files(paths)
    rules = Rules(ledger, options.tenant, options.how, reread=options.reread, retry=options.retry)
    planned = []
    first: dict[str, str] = {}
    for file in files:
        source = source_name(file)
        try:
            decision = rules.decide(source, file_facts(file))
        except DocumentError as error:
            planned.append(Planned(source, "cannot be read", str(error)))
            continue
        row, other = decision.row, decision.other
        detail = other.source if other else row.reason if row and decision.action == "failed before" else None
        key = f"{decision.facts.sha256}{file.suffix.lower()}"
        if decision.reads and decision.facts.bytes and key in first:
            planned.append(Planned(source, "copied", first[key], contains(file)))
            continue
        if decision.reads:
            first.setdefault(key, source)
        holds = row.container if row and decision.settled else contains(file)
        planned.append(Planned(source, decision.action, detail, holds))
    if options.prune:
        moved = {each.detail for each in planned if each.action == "moved"}
        gone = gone_sources(ledger, options.tenant, files, paths)
        planned += [Planned(source, "gone") for source in gone if source not in moved]
    return planned


def read_only_ledger(directory: Path) -> Ledger | None:
    """The ledger of an index for looking at, also while another process writes; None where there is no index.

    Raises:
        IndexDirectoryError: it is damaged or of another version.
    """
    path = directory / "ledger.sqlite"
    if not path.is_file():
        if directory.exists() and any(directory.iterdir()):
            raise IndexDirectoryError(f"{directory} exists and is not an index: choose another directory")
        return None
    return Ledger(path, read_only=True)
