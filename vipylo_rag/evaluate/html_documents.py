"""What documents look like on the HTML page: as pages of the index that was searched, or as the corpus has them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from connectors.page import page_id
from embedder.errors import InputError
from vipylo_rag.evaluate.dataset import Corpus, Dataset
from vipylo_rag.evaluate.dataset_lines import Item
from vipylo_rag.evaluate.html_pictures import PictureSheet
from vipylo_rag.evaluate.result import FoundDocument, QueryResult, Right
from vipylo_rag.evaluate.targets import Targets
from vipylo_rag.index import MultimodalIndex


@dataclass(frozen=True)
class Shown:
    """What of a document is shown: its text, and the key of its picture on the sheet."""

    text: str
    picture: str | None


class Documents(Protocol):
    """Where the documents of an evaluation can be looked at; None where one is not there."""

    def right(self, result: QueryResult, one: Right) -> Shown | None:
        """A right document of a query: the page at which it was found, else its first."""

    def found(self, one: FoundDocument) -> Shown | None:
        """A document of a ranking."""

    def draw(self, sheet: PictureSheet, shown: Iterable[Shown]) -> None:
        """Put the pictures on the sheet."""


class IndexDocuments:
    """The pages of the index that was searched."""

    def __init__(self, index: MultimodalIndex, dataset: Dataset, tenant: str) -> None:
        self._index = index
        self._dataset = dataset
        self._tenant = tenant
        self._targets = Targets(index, tenant, corpus=dataset.corpus)

    def right(self, result: QueryResult, one: Right) -> Shown | None:
        for found in result.found:
            if found.id == one.id:
                return self.found(found)
        wanted = self._targets.wanted(self._dataset.judgements[result.query])
        target = next(target for target, id_ in wanted.ids.items() if id_ == one.id)
        number = self._targets.first_page(target)
        return self._page(page_id(target.source, number, self._tenant)) if number is not None else None

    def found(self, one: FoundDocument) -> Shown | None:
        return self._page(one.page_id) if one.page_id is not None else None

    def draw(self, sheet: PictureSheet, shown: Iterable[Shown]) -> None:
        sheet.add_assets(self._index.assets, [one.picture for one in shown if one.picture])

    def _page(self, id_: str) -> Shown | None:
        try:
            page = self._index.page(id_, tenant=self._tenant)
        except InputError:  # removed since
            return None
        asset = page.image_path.relative_to(self._index.assets).as_posix() if page.image_path else None
        return Shown(page.text, asset)


class CorpusDocuments:
    """The documents of a data set's corpus, of which the first picture is shown; without a corpus, none.

    Args:
        ids: of those that will be looked at: the corpus is read once for them.

    Raises:
        InputError: the corpus has become unreadable.
    """

    def __init__(self, corpus: Corpus | None, ids: Collection[str]) -> None:
        left = set(ids) & corpus.ids if corpus is not None else set()
        self._items: dict[str, Item] = {}
        for item in corpus if corpus is not None and left else ():
            if item.id in left:
                self._items[item.id] = item
                left.discard(item.id)
                if not left:
                    break

    def right(self, result: QueryResult, one: Right) -> Shown | None:
        return self._shown(one.id)

    def found(self, one: FoundDocument) -> Shown | None:
        return self._shown(one.id)

    def draw(self, sheet: PictureSheet, shown: Iterable[Shown]) -> None:
        keys = {one.picture for one in shown}
        sheet.add_files([path for item in self._items.values() for path in item.images[:1] if str(path) in keys])

    def _shown(self, id_: str) -> Shown | None:
        item = self._items.get(id_)
        if item is None:
            return None
        return Shown(item.text, str(item.images[0]) if item.images else None)


def documents_of(
    place: MultimodalIndex | Corpus | None,
    dataset: Dataset,
    results: Sequence[QueryResult],
    most_found: int,
    tenant: str,
) -> Documents:
    """What shows the right documents of these results, and the first `most_found` of their rankings."""
    if isinstance(place, MultimodalIndex):
        return IndexDocuments(place, dataset, tenant)
    ids = {one.id for result in results for one in result.right}
    return CorpusDocuments(place, ids | {one.id for result in results for one in result.found[:most_found]})
