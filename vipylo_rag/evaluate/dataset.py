"""A data set as BEIR lays it out, with pictures: corpus.jsonl, queries.jsonl (or gzipped) and qrels in one folder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from connectors.payload import RESERVED_FIELDS
from embedder.errors import InputError
from vipylo_rag.evaluate.dataset_files import PACKED
from vipylo_rag.evaluate.dataset_judgements import Judgement, WrittenJudgement, qrels_file, read_judgements
from vipylo_rag.evaluate.dataset_lines import Item, read_items
from vipylo_rag.evaluate.trec_ids import meant, unescaped

_CORPUS: Final = "corpus.jsonl"
_QUERIES: Final = "queries.jsonl"
# What a page of an index says of itself: a document cannot set it.
_RESERVED: Final = RESERVED_FIELDS - {"text"}


@dataclass(frozen=True)
class Corpus:
    """The documents of a data set: read from the file each time they are gone through, so that memory stays small.

    Attributes:
        ids: of the documents that have text or a picture.
        empty: of those that have neither, as public data sets hold some: they are not embedded, so never found.
        reserved: fields of documents that are not stored, as an index has its own of these names.
    """

    file: Path
    ids: frozenset[str]
    empty: frozenset[str] = frozenset()
    reserved: frozenset[str] = frozenset()

    @classmethod
    def of(cls, file: Path) -> "Corpus":
        """A corpus that was read once to its end.

        Raises:
            InputError: a line of it is no document; see `read_items`.
        """
        full: set[str] = set()
        empty: set[str] = set()
        reserved: set[str] = set()
        for item in read_items(file, empty=True):
            reserved |= _RESERVED & item.metadata.keys()
            (empty if item.empty else full).add(item.id)
        if not full:
            raise InputError(f"{file}: is empty" if not empty else f"{file}: no document has a text or a picture")
        return cls(file, frozenset(full), frozenset(empty), frozenset(reserved))

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, id_: str) -> bool:
        """Whether a line of the file has this id."""
        return id_ in self.ids or id_ in self.empty

    def __iter__(self) -> Iterator[Item]:
        return (item for item in read_items(self.file, empty=True) if not item.empty)


@dataclass(frozen=True)
class Dataset:
    """Queries with judgements, and the corpus that they are judged in; without one, for an index that is there.

    Attributes:
        queries: by id, those with a right document, in the file's order.
        judgements: of these queries.
        others: ids of the queries that have no right document in this split, and are left out.
        corpus: None where the documents are those of an index.
    """

    folder: Path
    split: str
    queries: Mapping[str, Item]
    judgements: Mapping[str, tuple[Judgement, ...]]
    others: frozenset[str] = frozenset()
    corpus: Corpus | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def unjudged(self) -> int:
        """How many queries are left out."""
        return len(self.others)

    @classmethod
    def load(cls, folder: str | Path, *, split: str | None = None, corpus: bool = True) -> "Dataset":
        """Read and check a data set; pictures are looked for, not opened.

        Args:
            split: which qrels/SPLIT.tsv (TREC's: .txt, .qrels, .trec); by default qrels/test.tsv or qrels.tsv.
            corpus: False leaves corpus.jsonl unread: the ids in qrels are those of an index (see `evaluate`).

        Raises:
            InputError: something in it is wrong; names file, line and field.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder with queries.jsonl and qrels/test.tsv")
        file = qrels_file(folder, split)
        documents = Corpus.of(_plain_or_packed(folder / _CORPUS)) if corpus else None
        asked = {item.id: item for item in read_items(_plain_or_packed(folder / _QUERIES))}
        judged: dict[str, dict[str, Judgement]] = {}
        for written in read_judgements(file, folder):
            query, judgement = _read(written, asked, documents)
            before = judged.setdefault(query, {}).setdefault(judgement.document, judgement)
            if before is not judgement:
                raise InputError(
                    f"{judgement.place}: {judgement.document!r} was judged for {query!r} in line "
                    f"{before.place.rpartition(':')[2]} already"
                )
        right = {query for query, given in judged.items() if any(one.grade > 0 for one in given.values())}
        if not right:
            raise InputError(f"{file}: no query has a right document (a score above 0): there is nothing to measure")
        queries = {query: item for query, item in asked.items() if query in right}
        return cls(
            folder,
            file.stem if file.parent.name == "qrels" else "qrels",
            queries,
            {query: tuple(judged[query].values()) for query in queries},
            frozenset(asked.keys() - queries.keys()),
            documents,
        )


def has_corpus(folder: Path) -> bool:
    """Whether a data set has a corpus of its own."""
    return _plain_or_packed(folder / _CORPUS).exists()


def _plain_or_packed(file: Path) -> Path:
    """The file, or the gzipped one where that alone is there."""
    packed = file.with_name(f"{file.name}{PACKED}")
    return packed if packed.exists() and not file.exists() else file


def _read(written: WrittenJudgement, queries: Mapping[str, Item], documents: Corpus | None) -> tuple[str, Judgement]:
    """A query and its judgement, by the ids that they have in the data set.

    Raises:
        InputError: there is no such query, or no such document in the corpus.
    """
    query, judgement, place = written.query, written.judgement, written.judgement.place
    if written.escaped:
        query = meant(query, queries.__contains__, place) or query
        # Without a corpus nobody knows the documents yet; a name that holds "%20" is rarer than one with a blank.
        known = None if documents is None else meant(judgement.document, documents.has, place)
        document = unescaped(judgement.document) if documents is None else known or judgement.document
        judgement = replace(judgement, document=document)
    if query not in queries:
        raise InputError(f"{place}: {_QUERIES} has no query {query!r}")
    if documents is not None and not documents.has(judgement.document):
        raise InputError(f"{place}: {documents.file.name} has no document {judgement.document!r}")
    return query, judgement
