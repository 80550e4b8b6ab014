"""A query's ranking, wherever it comes from (an index's search, a run file), and where its right documents stand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vipylo_rag.evaluate.dataset_lines import Item
from vipylo_rag.evaluate.figures import figures
from vipylo_rag.evaluate.result import FoundDocument, QueryResult, Right
from vipylo_rag.evaluate.targets import Unit
from vipylo_rag.prompt import language_of


@dataclass(frozen=True)
class Ranking:
    """What a query found in a mode.

    Attributes:
        grades: of its right documents, by their ids, all above 0.
        found: best first, each document once, as far down as is looked at.
        error: why nothing was found, where the query itself was at fault.
    """

    query: Item
    mode: str
    unit: Unit
    grades: Mapping[str, float]
    found: tuple[FoundDocument, ...]
    error: str | None = None

    def judged(self, ks: Sequence[int]) -> QueryResult:
        """Where its right documents stand, and its figures at the cuts `ks`."""
        places = {one.id: (rank, one.score) for rank, one in enumerate(self.found, start=1)}
        right = [Right(id_, grade, *places.get(id_, (None, None))) for id_, grade in self.grades.items()]
        right.sort(key=lambda one: (math.inf if one.rank is None else one.rank, -one.grade, one.id))
        scores = {one.score for one in self.found if one.id in self.grades}
        return QueryResult(
            query=self.query.id,
            mode=self.mode,
            modality=self.query.modality,
            language=self.query.language or (language_of(self.query.text) if self.query.text else None),
            unit=self.unit,
            right=tuple(right),
            found=self.found,
            metrics=figures([one.rank for one in right], [one.grade for one in right], ks),
            tied=any(one.score in scores for one in self.found if one.id not in self.grades),
            error=self.error,
        )
