"""The corpus of a data set as an index: its documents are embedded, stored and searched as everybody's are."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from connectors.errors import DocumentError
from connectors.loaders.base import clean_text, content_digest, save_image
from connectors.loaders.pool import DocumentEnd, PageLost, PageRead, ReadEvent
from connectors.loaders.registry import first_image
from embedder.errors import InputError
from embedder.protocol import Embedder
from vipylo_rag.bookkeeping import Bookkeeping
from vipylo_rag.embedding import Embedded, EmbeddingStation
from vipylo_rag.evaluate.dataset import Corpus, Dataset
from vipylo_rag.evaluate.dataset_lines import Item
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.ingest import OPTIMIZE_FROM
from vipylo_rag.ledger import SourceRow
from vipylo_rag.opening import writing
from vipylo_rag.pipeline import embedded
from vipylo_rag.report import IngestReport
from vipylo_rag.rules import Action, Decision
from vipylo_rag.sources import FileFacts, file_facts

Progress = Callable[[Literal["embed", "link", "search", "draw"], int, int], None]

_MARK: Final = "vipylo-evaluate.json"
_INDEX: Final = "index"
_SHOWN: Final = 5


@contextmanager
def corpus_index(
    dataset: Dataset,
    *,
    embedder: Embedder | str | None = None,
    work: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Iterator[MultimodalIndex]:
    """An index of a data set's corpus, open while the context lasts: each document is a source named by its id.

    A document is one page of its picture and text, embedded together; one with several pictures has as many pages, each
    with the whole text.

    Args:
        embedder: an embedder or the name of one; by default the one of the work folder's index, else the starter.
        work: a folder to keep the index in. The next run with it embeds only documents that are new or changed, and
            removes those that are gone. None: a temporary one.
        device: where an embedder that is loaded here runs.
        progress: called with "embed", how many documents are done, and how many there are.

    Raises:
        InputError: the data set has no corpus, or `work` is a folder that is something else.
        DocumentError: documents that cannot be read or embedded; all others are kept in `work`.
        IndexDirectoryError: the work folder's index is of another embedder, or in use.
    """
    if dataset.corpus is None:
        raise InputError(f"{dataset.folder}: was loaded without its corpus")
    with _work_folder(work) as folder, MultimodalIndex.open(folder, embedder=embedder, device=device) as index:
        _fill(index, dataset.corpus, progress or (lambda stage, done, total: None))
        yield index


@contextmanager
def _work_folder(work: str | Path | None) -> Iterator[Path]:
    if work is None:
        with tempfile.TemporaryDirectory(prefix="vipylo-evaluate-") as folder:
            yield Path(folder) / _INDEX
        return
    place = Path(work)
    mark = place / _MARK
    # Filling removes what is not in the corpus: it must never happen to somebody's index of documents.
    if not mark.is_file() and place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(f"{place}: is no work folder of `vipylo evaluate`: name a new or an empty one")
    place.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps({"what": "work folder of vipylo evaluate: the index of a corpus"}) + "\n", "utf-8")
    yield place / _INDEX


def _fill(index: MultimodalIndex, corpus: Corpus, progress: Progress) -> None:
    """Bring the index up to date with the corpus.

    Raises:
        DocumentError: documents that are lost; the text names the first.
    """
    with writing(index.directory):
        report = IngestReport()
        books = Bookkeeping(index.ledger, index.store, index.assets, report)
        known = {row.source: row for row in index.sources()}
        reader = _Reader(corpus, index.assets, books, known)
        station = EmbeddingStation(index.embedder, index.store, index.assets, books.point, report)
        for outcome in embedded(reader.events(), station, books):
            match outcome:
                case Embedded():
                    for page, reason in outcome.lost:
                        reader.lost(page.source, reason)
                        books.lost(page.source, page.number, reason, (page.asset, page.words))
                    books.stored(outcome.stored, outcome.seconds)
                case DocumentEnd():
                    books.close(outcome.source, outcome.error)
                    progress("embed", reader.kept + report.indexed + report.failed, len(corpus))
                case PageLost():  # a reader process's; here whole documents are lost
                    raise AssertionError(outcome)
        for source in known.keys() - corpus.ids:
            books.remove(source)
        books.sweep()
        if report.pages_embedded and index.store.count() >= OPTIMIZE_FROM:
            index.store.optimize()
    if reader.reasons:
        first = "; ".join(list(reader.reasons.values())[:_SHOWN])
        raise DocumentError(f"{len(reader.reasons)} of {len(corpus)} documents cannot be embedded: {first}")


class _Reader:
    """Reads the documents that the index does not have as they are now.

    Attributes:
        kept: how many it has.
        reasons: id -> place and reason of each document that is lost.
    """

    def __init__(self, corpus: Corpus, assets: Path, books: Bookkeeping, known: dict[str, SourceRow]) -> None:
        self._corpus = corpus
        self._assets = assets
        self._books = books
        self._known = known
        self._places: dict[str, str] = {}
        self.kept = 0
        self.reasons: dict[str, str] = {}

    def events(self) -> Iterator[ReadEvent]:
        """The pages of what is new or changed, each document's end after its last."""
        for item in self._corpus:
            facts = _facts(item)
            row = self._known.get(item.id)
            if row is not None and row.state == "done" and row.sha256 == facts.sha256:
                self.kept += 1
                continue
            action: Action = "new" if row is None else "unfinished" if row.sha256 == facts.sha256 else "changed"
            self._books.begin(Decision(item.id, facts, action, row))
            self._places[item.id] = item.place
            error = None
            try:
                yield from _pages(item, self._assets)
            except DocumentError as reason:
                error = str(reason)
                self.lost(item.id, error)
            yield DocumentEnd(item.id, error)

    def lost(self, id_: str, reason: str) -> None:
        """A document cannot be used."""
        self.reasons.setdefault(id_, f"{self._places[id_]}: {reason}")


def _pages(item: Item, assets: Path) -> Iterator[PageRead]:
    text = clean_text(item.text)
    metadata = dict(item.metadata) | ({"language": item.language} if item.language else {})
    if not item.images:
        yield PageRead(item.id, 1, "text", text, None, None, content_digest(None, text), metadata)
    for number, path in enumerate(item.images, start=1):
        image = first_image(path)
        asset = save_image(image, assets, "jpeg").relative_to(assets).as_posix()
        yield PageRead(item.id, number, "image", text, asset, image.size, content_digest(image, text), metadata)


def _facts(item: Item) -> FileFacts:
    """What decides whether a document has changed: its text, what its line says, and its pictures' bytes.

    Its id is in it: of two files with equal bytes the books take one that is not on the disk for the other's old name,
    and no document's id is on the disk.
    """
    said = [item.id, item.text, item.language, dict(item.metadata), [file_facts(path).sha256 for path in item.images]]
    content = json.dumps(said, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return FileFacts(hashlib.sha256(content).hexdigest(), len(content))
