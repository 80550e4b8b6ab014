"""What the ids in qrels mean in an index: a document as a whole, or one page of it."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal, TypeAlias

from embedder.errors import InputError
from vipylo_rag.evaluate.dataset import Corpus
from vipylo_rag.evaluate.dataset_judgements import Judgement
from vipylo_rag.opened import OpenedIndex
from vipylo_rag.search import Hit
from vipylo_rag.tenants import check_tenant

Unit: TypeAlias = Literal["document", "page"]

_PAGE: Final = re.compile(r"(.+)#([0-9]{1,9})", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """A page of a source, or (page None) the source as a whole."""

    source: str
    page: int | None


@dataclass(frozen=True)
class Wanted:
    """What one query is to find.

    Attributes:
        unit: what its ranking is one of: pages, or documents, each at the place of its best page.
        grades: of the right targets, all above 0.
        ids: of all judged targets, as they are written in qrels.
    """

    unit: Unit
    grades: Mapping[Target, float]
    ids: Mapping[Target, str]

    @property
    def grades_by_id(self) -> dict[str, float]:
        """`grades` by the ids that are written in qrels."""
        return {self.ids[target]: grade for target, grade in self.grades.items()}

    def target(self, hit: Hit) -> Target:
        """What a hit counts as."""
        return Target(hit.source, hit.page if self.unit == "page" else None)


class Targets:
    """The documents of a tenant in an index, found by the ids of qrels.

    Args:
        corpus: what the index was made from: its documents are called by their ids, whole, and those that are empty
            are none of the index's. None: documents may be called by their file names.
    """

    def __init__(self, index: OpenedIndex, tenant: str = "", *, corpus: Corpus | None = None) -> None:
        self._index = index
        self._empty = frozenset[str]() if corpus is None else corpus.empty
        self._tenant = check_tenant(tenant)
        self._sources: set[str] = set()
        self._named: dict[str, list[str]] = defaultdict(list)
        for row in index.sources(tenant=tenant):
            self._sources.add(row.source)
            if corpus is None:
                self._named[PurePosixPath(row.source).name].append(row.source)
        self._pages: dict[str, frozenset[int]] = {}

    def wanted(self, judgements: Sequence[Judgement]) -> Wanted:
        """What a query with these judgements is to find.

        Raises:
            InputError: an id that is none here, or names several documents; one that is judged twice; or a query some
                of whose ids name pages, and some whole documents. The text begins with the judgement's place.
        """
        grades: dict[Target, float] = {}
        ids: dict[Target, str] = {}
        for judgement in judgements:
            target = self._target(judgement)
            if target in ids:
                raise InputError(f"{judgement.place}: {judgement.document!r} and {ids[target]!r} are the same")
            ids[target] = judgement.document
            if judgement.grade > 0:
                grades[target] = judgement.grade
        units = {target.page is None for target in ids}
        if len(units) > 1:
            raise InputError(
                f"{judgements[0].place}: the query's judgements name pages (name#page) and whole documents; keep one"
            )
        return Wanted("document" if units.pop() else "page", grades, ids)

    def id_of(self, target: Target) -> str:
        """The id of a target that is not in qrels: the shortest that names it."""
        name = PurePosixPath(target.source).name
        unique = self._named.get(name) == [target.source] and name not in self._sources
        document = name if unique else target.source
        return document if target.page is None else f"{document}#{target.page}"

    def first_page(self, target: Target) -> int | None:
        """The page of a target, of a document its first one that is indexed; None where none is."""
        return target.page if target.page is not None else min(self.pages(target.source), default=None)

    def pages(self, source: str) -> frozenset[int]:
        """The pages of a source that are indexed."""
        if source not in self._pages:
            rows = self._index.ledger.pages(source, self._tenant)
            self._pages[source] = frozenset(number for number, row in rows.items() if row.state == "done")
        return self._pages[source]

    def _target(self, judgement: Judgement) -> Target:
        written = judgement.document
        if written in self._empty:
            return Target(written, None)
        if (source := self._source(written, judgement)) is not None:
            return self._indexed(Target(source, None), judgement)
        if (parts := _PAGE.fullmatch(written)) and (source := self._source(parts[1], judgement)) is not None:
            return self._indexed(Target(source, int(parts[2])), judgement)
        raise InputError(
            f"{judgement.place}: the index has no document {written!r}: write its name or source, and #page for a page"
        )

    def _indexed(self, target: Target, judgement: Judgement) -> Target:
        pages = self.pages(target.source)
        if not pages:
            raise InputError(f"{judgement.place}: of {judgement.document!r} no page is indexed; see `vipylo status`")
        if target.page is not None and target.page not in pages:
            raise InputError(
                f"{judgement.place}: {judgement.document!r} is not indexed; the document's pages are "
                f"{min(pages)} to {max(pages)}"
            )
        return target

    def _source(self, written: str, judgement: Judgement) -> str | None:
        if written in self._sources:
            return written
        named = self._named.get(written, [])
        if len(named) > 1:
            raise InputError(
                f"{judgement.place}: {written!r} is the name of {len(named)} documents: write it whole, as {named[0]!r}"
            )
        return named[0] if named else None
