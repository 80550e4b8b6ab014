"""Our filters in Qdrant's terms. Edge and client have the same types under different names: a `Dialect` tells them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connectors.stores.filters import And, AnyOf, Exists, Filter, Not, Or, Range
from connectors.stores.points import INDEXED_FIELDS, TENANT


@dataclass(frozen=True)
class Dialect:
    """One engine's constructors: `types` has Filter, FieldCondition, MatchValue and MatchAny."""

    types: Any
    range: Callable[..., Any]
    boolean: Callable[[bool], Any]


def edge_dialect() -> Dialect:
    """Qdrant Edge. Its `MatchValue(True)` means the integer 1 (bool is an int); a numpy bool reaches it as a bool."""
    import numpy as np
    import qdrant_edge as edge

    return Dialect(edge, edge.RangeFloat, np.bool_)


def client_dialect() -> Dialect:
    """qdrant-client's REST models."""
    from qdrant_client import models

    return Dialect(models, models.Range, bool)


def to_engine(where: Filter | None, dialect: Dialect) -> Any:
    """The engine's own filter object; None for no filter."""
    return None if where is None else _filter(where, dialect)


def corpus_of(where: Filter | None) -> Filter | None:
    """The points among which a search counts how rare a word is: those of the tenants that the filter holds to; None
    for all, where it holds to none.

    Counting reads the postings of a tenant once more (5 ms for 100,000 pages), so engines leave it out while the store
    has one tenant, where it would change nothing.
    """
    match where:
        case AnyOf(field) if field == TENANT:
            return where
        case And(parts):
            held = tuple(corpus for part in parts if (corpus := corpus_of(part)) is not None)
            return And(held) if held else None
    return None


def json_path(field: str) -> str:
    """A top-level key as Qdrant's path syntax, where bare dots and brackets would mean nesting."""
    return field if field.isascii() and field.replace("_", "").isalnum() else f'"{field}"'


def _filter(where: Filter, dialect: Dialect) -> Any:
    types = dialect.types
    match where:
        case And(parts):
            return types.Filter(must=[_filter(part, dialect) for part in parts])
        case Or(parts=()):
            return types.Filter(must_not=[types.Filter()])  # an empty `should` would pass everything
        case Or(parts):
            return types.Filter(should=[_filter(part, dialect) for part in parts])
        case Not(part):
            return types.Filter(must_not=[_filter(part, dialect)])
        case Exists(field):
            return types.Filter(must_not=[types.FieldCondition(key=json_path(field), is_empty=True)])
        case AnyOf(values=()):
            return _filter(Or(()), dialect)
        case AnyOf():
            return types.Filter(should=_any_of(where, dialect))
        case Range():
            return types.Filter(must=[_range(where, dialect)])


def _any_of(where: AnyOf, dialect: Dialect) -> list[Any]:
    """One condition per value type: `MatchAny` takes strings only or integers only."""
    key, types = json_path(where.field), dialect.types
    groups: list[list[Any]] = [
        [value for value in where.values if isinstance(value, str)],
        [value for value in where.values if isinstance(value, int) and not isinstance(value, bool)],
    ]
    conditions = [types.FieldCondition(key=key, match=types.MatchAny(any=group)) for group in groups if group]
    for value in {value for value in where.values if isinstance(value, bool)}:
        conditions.append(types.FieldCondition(key=key, match=types.MatchValue(value=dialect.boolean(value))))
    return conditions


def _range(where: Range, dialect: Dialect) -> Any:
    bounds = {"gte": where.gte, "gt": where.gt, "lte": where.lte, "lt": where.lt}
    if INDEXED_FIELDS.get(where.field) == "integer":
        bounds = _whole(where)
    given = {name: float(bound) for name, bound in bounds.items() if bound is not None}
    # An integer index looks at one bound of each side only (Edge 0.9): the tighter one is enough.
    if "lt" in given and "lte" in given:
        del given["lte" if given["lt"] <= given["lte"] else "lt"]
    if "gt" in given and "gte" in given:
        del given["gte" if given["gt"] >= given["gte"] else "gt"]
    return dialect.types.FieldCondition(key=json_path(where.field), range=dialect.range(**given))


def _whole(where: Range) -> dict[str, float | None]:
    """The same bounds between integers: an integer index cuts the fraction off (gte 2.5 would let 2 pass)."""
    round_up = {"gte": where.gte, "lt": where.lt}
    round_down = {"gt": where.gt, "lte": where.lte}
    return {
        **{name: _rounded(bound, math.ceil) for name, bound in round_up.items()},
        **{name: _rounded(bound, math.floor) for name, bound in round_down.items()},
    }


def _rounded(bound: float | None, how: Callable[[float], int]) -> float | None:
    return bound if bound is None or math.isinf(bound) else how(bound)
