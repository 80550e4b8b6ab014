"""Ingest over many machines: Ray Data takes files to pages to vectors on a server; the books stay where the run began.

The rows that travel are small: names, texts and digests as JSON. Pictures are files in the index's asset folder, which
all machines share; vectors go from the embedding process straight to the server.
"""

import dataclasses
import json
import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.loaders.pool import Document, DocumentEnd, PageLost, PageRead, ReaderPool
from embedder.errors import InputError, PluginError, ViPyloError
from embedder.load import given, load_embedder
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.cluster import Cluster
from vipylo_rag.embedding import Embedded, EmbeddingStation
from vipylo_rag.ingest_options import IngestOptions
from vipylo_rag.manifest import Manifest
from vipylo_rag.opening import Access
from vipylo_rag.pipeline import BATCH_PAGES, Outcome, in_batches
from vipylo_rag.report import IngestReport
from vipylo_rag.stored_page import page_digest, page_point

# A reading task gets so many documents: one child process reads them all.
_DOCUMENTS_AT_ONCE = 16
# Pages leave a reading task in blocks of about so many bytes, long before a long document is read to its end.
_BLOCK_BYTES = 64 * 1024
# What Ray holds of rows on a machine that it is started on. Rows are small.
_OBJECT_STORE_BYTES = 256 * 2**20

Row = dict[str, Any]
Batch = dict[str, Any]


class ClusterError(ViPyloError):
    """The cluster failed: a machine or process of it, or Ray itself. What is stored is stored: run again."""


@dataclass(frozen=True)
class Site:
    """What a process of the cluster needs to know of the index. Sent to it, so it holds no open files."""

    directory: Path
    manifest: Manifest
    access: Access
    options: IngestOptions


class DistributedPipeline:
    """A `Pipeline` over a Ray cluster, for an index whose vectors are on a server.

    Documents that archives hold are all unpacked into the index's work folder before the first is read.

    Raises:
        InputError: the index's vectors are in its own directory, which one process can open. PluginError: no Ray.
    """

    def __init__(
        self, directory: Path, manifest: Manifest, access: Access, cluster: Cluster, options: IngestOptions
    ) -> None:
        if manifest.store.url is None:
            raise InputError(
                f"{directory} keeps its vectors itself, for one process at a time: a cluster needs an index on a "
                "Qdrant server (--index http://host:6333/collection)"
            )
        self._ray = _import_ray()
        self._site = Site(directory.resolve(), manifest, access, options)
        self._cluster = cluster

    def run(self, documents: Iterator[Document], books: Bookkeeping) -> Iterator[Outcome]:
        """See `Pipeline.run`. Raises also ClusterError: the cluster failed."""
        rows = [
            {
                # Absolute, and not resolved: a link's name tells the kind of file where its target's does not.
                "path": str(document.path.absolute()),
                "source": document.source,
                "known": json.dumps(books.digests(document.source)),
            }
            for document in documents
        ]
        if rows:
            with self._running(), _our_errors():
                yield from _outcomes(self._events(rows), books, {row["source"] for row in rows})

    def _events(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """The events of all documents, a block at a time."""
        blocks = max(1, (len(rows) + _DOCUMENTS_AT_ONCE - 1) // _DOCUMENTS_AT_ONCE)
        read = self._ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            ReadDocuments,
            fn_constructor_args=(self._site,),
            batch_size=_DOCUMENTS_AT_ONCE,
            num_cpus=1,
            compute=self._ray.data.ActorPoolStrategy(size=self._cluster.readers),
        )
        embedded = read.map_batches(
            EmbedPages,
            fn_constructor_args=(self._site,),
            batch_size=BATCH_PAGES,
            num_cpus=1,
            num_gpus=self._cluster.gpus or None,
            compute=self._ray.data.ActorPoolStrategy(size=self._cluster.embedders),
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="ray\\.data")  # fewer blocks than actors, old names of its own
            for block in embedded.iter_batches(batch_size=None, batch_format="numpy"):
                yield [json.loads(event) for event in block["event"]]

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Ray up, and its data library quiet and quick to pass on small rows; as it was afterwards."""
        ours = not self._ray.is_initialized()
        if ours:
            self._ray.init(**_how_to_start(self._cluster))
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # else its reports of progress are the user's
        context = self._ray.data.DataContext.get_current()
        wanted = {
            "target_max_block_size": _BLOCK_BYTES,
            "enable_progress_bars": False,
            "print_on_execution_start": False,
            "raise_original_map_exception": True,  # else only its text arrives here
        }
        before = {name: getattr(context, name) for name in wanted}
        try:
            for name, value in wanted.items():
                setattr(context, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(context, name, value)
            if ours:
                self._ray.shutdown()


class ReadDocuments:
    """Runs in the cluster: documents to events of pages, through a reader process of its own."""

    def __init__(self, site: Site) -> None:
        options = site.options
        self._pool = ReaderPool(
            site.directory / "assets",
            page_seconds=options.page_seconds,
            loader_options=options.loader_options,
            most_pages=options.most_pages,
        )

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        """One row an event; `what` says which. A document's end says how many of its pages are on their way."""
        rows = zip(batch["path"], batch["source"], batch["known"], strict=True)
        documents = {source: (Document(Path(path), source), _digests(known)) for path, source, known in rows}
        pages: Counter[str] = Counter()
        for event in self._pool.read(document for document, _ in documents.values()):
            row = {"what": type(event).__name__, **dataclasses.asdict(event)}
            if isinstance(event, PageRead):
                pages[event.source] += 1
                if documents[event.source][1].get(event.number) == page_digest(event):
                    row["what"] = "kept"
            elif isinstance(event, DocumentEnd):
                row["pages"] = pages[event.source]
            yield {"event": [json.dumps(row)]}


class EmbedPages:
    """Runs in the cluster: pages to vectors in the store. Other events pass."""

    def __init__(self, site: Site) -> None:
        record = site.manifest.embedder
        embedder = load_embedder(record.name, **given(device=site.access.device))
        site.manifest.check_embedder(embedder, site.directory)
        tenant = site.options.tenant
        self._report = IngestReport()
        self._station = EmbeddingStation(
            embedder,
            site.access.store(site.directory, site.manifest.store, record.dim),
            site.directory / "assets",
            lambda page, vector: page_point(page, vector, tenant),
            self._report,
        )

    def __call__(self, batch: Batch) -> Batch:
        """The same events; each page with its seconds, or with the reason why it is lost."""
        rows = [json.loads(event) for event in batch["event"]]
        pages = {_key(row): row for row in rows if row["what"] == "PageRead"}
        for together in in_batches(_page(row) for row in pages.values()):
            embedded = self._station.work(together)
            for page in embedded.stored:
                share = embedded.seconds / len(together)
                pages[page.source, page.number] |= {"what": "stored", "seconds": share}
            for page, reason in embedded.lost:
                pages[page.source, page.number] |= {"what": "lost", "reason": reason}
        return {"event": [json.dumps(row) for row in rows]}


def _outcomes(blocks: Iterator[list[Row]], books: Bookkeeping, sources: set[str]) -> Iterator[Outcome]:
    """Events as outcomes, each document's end after the last of its pages: these come from many processes.

    Raises:
        ClusterError: one of the sources did not come to its end, as what a process did got lost or came twice.
    """
    out: Counter[str] = Counter()
    missing = set(sources)
    ends: dict[str, Row] = {}
    for rows in blocks:
        embedded = Embedded()
        for row in rows:
            match row["what"]:
                case "stored":
                    embedded.stored.append(_page(row))
                    embedded.seconds += row["seconds"]
                case "lost":
                    embedded.lost.append((_page(row), row["reason"]))
                case "kept":
                    books.wants(_page(row))
                case "PageLost":
                    yield PageLost(row["source"], row["number"], row["reason"])
                case "DocumentEnd":
                    ends[row["source"]] = row
        out.update(row["source"] for row in rows if row["what"] in ("stored", "lost", "kept"))
        yield embedded
        for source in [source for source, end in ends.items() if out[source] == end["pages"]]:
            missing.discard(source)
            yield DocumentEnd(source, ends.pop(source)["error"])
            del out[source]
    if missing:
        documents = "1 document" if len(missing) == 1 else f"{len(missing)} documents"
        raise ClusterError(
            f"the cluster came to its end without {documents}, such as {min(missing)}: go on with "
            "`vipylo ingest --resume --ray`"
        )


def _page(row: Mapping[str, Any]) -> PageRead:
    values = {field.name: row[field.name] for field in dataclasses.fields(PageRead)}
    return PageRead(**{**values, "size": tuple(row["size"]) if row["size"] else None})


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["source"], row["number"]


def _digests(known: str) -> dict[int, str]:
    return {int(number): digest for number, digest in json.loads(known).items()}


def _how_to_start(cluster: Cluster) -> dict[str, Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its own log files still have all
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address is not None:
        return {"address": cluster.address, **quiet}
    # A process may wait on a socket while another computes: fewer cores than processes must not keep it from starting.
    cpus = max(os.cpu_count() or 1, cluster.readers + cluster.embedders)
    return {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES, **quiet}


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise PluginError("ingest over a cluster needs Ray: pip install 'vipylo-rag[ray]'") from error
    return ray


@contextmanager
def _our_errors() -> Iterator[None]:
    """An error of ours that was raised in a process of the cluster is raised here; any other as a ClusterError."""
    try:
        yield
    except ViPyloError as error:
        raise _plain(error) from None
    except Exception as error:
        if ours := _found(error):
            raise ours from error
        text = " ".join(str(error).split())
        raise ClusterError(
            f"the cluster failed ({type(error).__name__}: {text[:300]}); go on with `vipylo ingest --resume --ray`"
        ) from error


def _found(error: BaseException) -> ViPyloError | None:
    """The error of ours among an error's causes."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, ViPyloError):
            return _plain(each)
        further = (each.__cause__, each.__context__, getattr(each, "cause", None))
        waiting += [cause for cause in further if isinstance(cause, BaseException)]
    return None


def _plain(error: ViPyloError) -> ViPyloError:
    """Ray's errors are of the cause's type too, but their text is a traceback: the cause itself."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, ViPyloError) else error
