"""A data set as BEIR lays it out, with pictures: corpus.jsonl, queries.jsonl and qrels in one folder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedder.errors import InputError
from vipylo_rag.evaluate.dataset_lines import Item, Judgement, read_items, read_judgements

DEFAULT_SPLIT = "test"


@dataclass(frozen=True)
class Corpus:
    """The documents of a data set: read from the file each time they are gone through, so that memory stays small.

    Attributes:
        ids: of the documents that have text or a picture.
        empty: of those that have neither, as public data sets hold some: they are not embedded, so never found.
    """

    file: Path
    ids: frozenset[str]
    empty: frozenset[str] = frozenset()

    @classmethod
    def of(cls, file: Path) -> "Corpus":
        """A corpus that was read once to its end.

        Raises:
            InputError: a line of it is no document; see `read_items`.
        """
        full: set[str] = set()
        empty: set[str] = set()
        for item in read_items(file, empty=True):
            (empty if item.empty else full).add(item.id)
        if not full:
            raise InputError(f"{file}: is empty" if not empty else f"{file}: no document has a text or a picture")
        return cls(file, frozenset(full), frozenset(empty))

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
        unjudged: how many queries of the file have no right document in this split, and are left out.
        corpus: None where the documents are those of an index.
    """

    folder: Path
    split: str
    queries: Mapping[str, Item]
    judgements: Mapping[str, tuple[Judgement, ...]]
    unjudged: int = 0
    corpus: Corpus | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @classmethod
    def load(cls, folder: str | Path, *, split: str | None = None, corpus: bool = True) -> "Dataset":
        """Read and check a data set; pictures are looked for, not opened.

        Args:
            split: which qrels/SPLIT.tsv; by default qrels/test.tsv or qrels.tsv.
            corpus: False leaves corpus.jsonl unread: the ids in qrels are those of an index (see `evaluate`).

        Raises:
            InputError: something in it is wrong; names file, line and field.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder with queries.jsonl and qrels/test.tsv")
        file = _qrels_file(folder, split)
        documents = Corpus.of(folder / "corpus.jsonl") if corpus else None
        asked = {item.id: item for item in read_items(folder / "queries.jsonl")}
        judged: dict[str, list[Judgement]] = {}
        for query, judgement in read_judgements(file):
            if query not in asked:
                raise InputError(f"{judgement.place}: queries.jsonl has no query {query!r}")
            if documents is not None and not documents.has(judgement.document):
                raise InputError(f"{judgement.place}: corpus.jsonl has no document {judgement.document!r}")
            judged.setdefault(query, []).append(judgement)
        right = {query for query, given in judged.items() if any(one.grade > 0 for one in given)}
        if not right:
            raise InputError(f"{file}: no query has a right document (a score above 0): there is nothing to measure")
        queries = {query: item for query, item in asked.items() if query in right}
        return cls(
            folder,
            file.stem if file.parent.name == "qrels" else "qrels",
            queries,
            {query: tuple(judged[query]) for query in queries},
            len(asked) - len(queries),
            documents,
        )


def _qrels_file(folder: Path, split: str | None) -> Path:
    """The file of a split.

    Raises:
        InputError: there is none; names those that are there.
    """
    if split is not None and Path(split).name != split:
        raise InputError(f"split={split!r} is no name of a file in {folder / 'qrels'}")
    named = folder / "qrels" / f"{split or DEFAULT_SPLIT}.tsv"
    if named.is_file():
        return named
    if split is None and (folder / "qrels.tsv").is_file():
        return folder / "qrels.tsv"
    there = sorted(file.stem for file in (folder / "qrels").glob("*.tsv"))
    way_out = f"there are the splits {', '.join(there)}" if there else "write it: query-id, corpus-id, score"
    raise InputError(f"{named}: is not there; {way_out}")
