"""The one filter language of all stores: five small frozen types, and parsers from dicts and command-line words.

A field is a top-level payload key. A payload list passes when any of its elements passes. Equality is strict by type
(`1`, `True` and "1" are three different values), ranges compare numbers, and a missing field passes nothing but `Not`.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from connectors.errors import FilterError

Scalar = str | int | bool
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class AnyOf:
    """`field` equals one of `values`. Fractions cannot be compared exactly: use `Range`."""

    field: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        _check_field(self.field)
        for value in self.values:
            _check_scalar(self.field, value)


@dataclass(frozen=True)
class Range:
    """`field` is a number within all the bounds given (at least one)."""

    field: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None

    def __post_init__(self) -> None:
        _check_field(self.field)
        bounds = [b for b in (self.gte, self.gt, self.lte, self.lt) if b is not None]
        if not bounds:
            raise FilterError(f"Range on {self.field!r} has no bound; give one of gte, gt, lte, lt")
        for bound in bounds:
            _check_number(self.field, bound)


@dataclass(frozen=True)
class Exists:
    """`field` is there, and is neither null nor an empty list."""

    field: str

    def __post_init__(self) -> None:
        _check_field(self.field)


@dataclass(frozen=True)
class And:
    """Every part passes; no parts pass everything."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True)
class Or:
    """At least one part passes; no parts pass nothing."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True)
class Not:
    """The part does not pass."""

    part: "Filter"


Filter: TypeAlias = AnyOf | Range | Exists | And | Or | Not

_RANGE_OPERATORS = ("gte", "gt", "lte", "lt")
_OPERATORS = ("in", "not", "exists", *_RANGE_OPERATORS)
_LOGICAL = ("all", "any", "not")


def parse_filter(
    where: "Mapping[str, Any] | Filter | None", known_fields: Collection[str] | None = None
) -> Filter | None:
    """The friendly dict form as a `Filter`; a `Filter` or None passes through (its fields are checked too).

    >>> parse_filter({"kind": "pdf", "page": {"gte": 3, "lte": 5}})
    And(parts=(AnyOf(field='kind', values=('pdf',)), Range(field='page', gte=3, gt=None, lte=5, lt=None)))
    >>> parse_filter({"source": {"not": ["a.pdf", "b.pdf"]}})
    Not(part=AnyOf(field='source', values=('a.pdf', 'b.pdf')))
    >>> parse_filter({"any": [{"kind": "image"}, {"page": {"lt": 2}}]})
    Or(parts=(AnyOf(field='kind', values=('image',)), Range(field='page', gte=None, gt=None, lte=None, lt=2)))

    Args:
        where: field -> value, list of values, or operators `in`, `not`, `exists`, `gte`, `gt`, `lte`, `lt`; entries are
            ANDed. The keys `all`, `any` (lists of such dicts) and `not` (one dict) combine.
        known_fields: the fields that may be named; None allows any.

    Raises:
        FilterError: an unknown field or operator, or a value of the wrong type; the text names it and the known ones.
    """
    if where is None:
        return None
    if isinstance(where, AnyOf | Range | Exists | And | Or | Not):
        _check_known(where, known_fields)
        return where
    if not isinstance(where, Mapping):
        raise FilterError(f"a filter is a dict like {{'kind': 'pdf'}}, not {type(where).__name__}")
    if not where:
        return None
    parsed = _parse_mapping(where)
    _check_known(parsed, known_fields)
    return parsed


def fields_of(where: Filter) -> set[str]:
    """Every field that the filter names."""
    match where:
        case And(parts) | Or(parts):
            return set().union(*(fields_of(part) for part in parts))
        case Not(part):
            return fields_of(part)
    return {where.field}


def _check_known(where: Filter, known_fields: Collection[str] | None) -> None:
    if known_fields is None:
        return
    for field in sorted(fields_of(where) - set(known_fields)):
        raise FilterError(f"unknown filter field {field!r}; known fields: {', '.join(sorted(known_fields))}")


def _parse_mapping(where: Mapping[str, Any]) -> Filter:
    parts = [_parse_entry(key, value) for key, value in where.items()]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _parse_entry(key: str, value: Any) -> Filter:
    if key in ("all", "any"):
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
            raise FilterError(f"filter key {key!r} takes a list of filters, not {type(value).__name__}")
        parts = tuple(_parse_part(key, part) for part in value)
        return And(parts) if key == "all" else Or(parts)
    if key == "not":
        return Not(_parse_part(key, value))
    if isinstance(value, Mapping):
        return _parse_operators(key, value)
    return AnyOf(key, _values(key, value))


def _parse_part(key: str, part: Any) -> Filter:
    if isinstance(part, AnyOf | Range | Exists | And | Or | Not):
        return part
    if not isinstance(part, Mapping):
        raise FilterError(f"filter key {key!r} combines filters, not {type(part).__name__} values")
    return _parse_mapping(part)


def _parse_operators(field: str, operators: Mapping[str, Any]) -> Filter:
    for name in operators:
        if name not in _OPERATORS:
            raise FilterError(f"unknown operator {name!r} on field {field!r}; known: {', '.join(_OPERATORS)}")
    if not operators:
        raise FilterError(f"field {field!r} has no operator; known: {', '.join(_OPERATORS)}")
    parts: list[Filter] = []
    bounds = {name: value for name, value in operators.items() if name in _RANGE_OPERATORS}
    if bounds:
        for bound in bounds.values():
            _check_number(field, bound)
        parts.append(Range(field, **bounds))
    if "in" in operators:
        parts.append(AnyOf(field, _list_values(field, operators["in"])))
    if "not" in operators:
        denied = operators["not"]
        inner = _parse_operators(field, denied) if isinstance(denied, Mapping) else AnyOf(field, _values(field, denied))
        parts.append(Not(inner))
    if "exists" in operators:
        parts.append(_parse_exists(field, operators["exists"]))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _parse_exists(field: str, wanted: Any) -> Filter:
    if not isinstance(wanted, bool):
        raise FilterError(f"operator 'exists' on field {field!r} takes True or False, not {wanted!r}")
    return Exists(field) if wanted else Not(Exists(field))


def _values(field: str, value: Any) -> tuple[Scalar, ...]:
    return _list_values(field, value) if isinstance(value, list | tuple | set | frozenset) else (value,)


def _list_values(field: str, values: Any) -> tuple[Scalar, ...]:
    if not isinstance(values, list | tuple | set | frozenset):
        raise FilterError(f"operator 'in' on field {field!r} takes a list, not {values!r}")
    return tuple(values)


# Longest operators first, so that ">=" is not read as ">" and a value "=3".
_WORD = re.compile(r"\s*(?P<field>[^=<>!]+?)\s*(?P<operator>>=|<=|!=|=|>|<)(?P<value>.*)", re.DOTALL)
_WORD_RANGES = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def parse_filter_text(words: Sequence[str], known_fields: Collection[str] | None = None) -> Filter | None:
    """Command-line words as a filter: `kind=pdf`, `page>=3`, `source!=x.pdf`.

    Words are ANDed; several `=` on one field mean any of these values. A value that reads as an integer or as
    true/false matches both the typed value and the text, as the command line cannot tell them apart.

    Raises:
        FilterError: a word without an operator, an unknown field, or a range with no number.
    """
    equal: dict[str, list[Scalar]] = {}
    parts: list[Filter] = []
    for word in words:
        found = _WORD.fullmatch(word)
        if found is None:
            raise FilterError(f"cannot read the filter {word!r}; write field=value, with =, !=, >=, >, <= or <")
        field, operator, value = found["field"], found["operator"], found["value"].strip()
        if operator == "=":
            equal.setdefault(field, []).extend(_guesses(value))
        elif operator == "!=":
            parts.append(Not(AnyOf(field, _guesses(value))))
        else:
            parts.append(Range(field, **{_WORD_RANGES[operator]: _number(word, value)}))
    parts = [AnyOf(field, tuple(values)) for field, values in equal.items()] + parts
    if not parts:
        return None
    return parse_filter(parts[0] if len(parts) == 1 else And(tuple(parts)), known_fields)


def _guesses(value: str) -> tuple[Scalar, ...]:
    if value in ("true", "false"):
        return (value, value == "true")
    if re.fullmatch(r"-?[0-9]+", value) and int(value) in _INT64:
        return (value, int(value))
    return (value,)


def _number(word: str, value: str) -> float:
    try:
        return int(value) if re.fullmatch(r"-?[0-9]+", value) else float(value)
    except ValueError:
        raise FilterError(f"the filter {word!r} compares with {value!r}, which is no number") from None


def matches(where: Filter | None, payload: Mapping[str, Any]) -> bool:
    """Whether a payload passes: the meaning of the types above, in plain Python. Stores must agree with it."""
    match where:
        case None:
            return True
        case And(parts):
            return all(matches(part, payload) for part in parts)
        case Or(parts):
            return any(matches(part, payload) for part in parts)
        case Not(part):
            return not matches(part, payload)
        case Exists(field):
            return payload.get(field) not in (None, [])
        case AnyOf(field, values):
            return _any_element(payload, field, lambda v: any(type(v) is type(w) and v == w for w in values))
        case Range():
            return _any_element(payload, where.field, lambda v: _within(where, v))


def _any_element(payload: Mapping[str, Any], field: str, test: Callable[[Any], bool]) -> bool:
    value = payload.get(field)
    return any(test(element) for element in (value if isinstance(value, list | tuple) else [value]))


def _within(bounds: Range, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        (bounds.gte is None or value >= bounds.gte)
        and (bounds.gt is None or value > bounds.gt)
        and (bounds.lte is None or value <= bounds.lte)
        and (bounds.lt is None or value < bounds.lt)
    )


def _check_field(field: Any) -> None:
    if not isinstance(field, str) or not field or '"' in field:
        raise FilterError(f"a filter field is a non-empty name without double quotes, not {field!r}")
    if field in _LOGICAL:
        raise FilterError(f"{field!r} combines filters and cannot be a field name")


def _check_scalar(field: str, value: Any) -> None:
    if isinstance(value, float):
        _wrong_value(field, value, "compare fractions with gte and lte")
    if value is None:
        _wrong_value(field, value, "use {'exists': False} for pages without the field")
    if not isinstance(value, str | int):
        _wrong_value(field, value, "use a str, an int or a bool")
    if isinstance(value, int) and value not in _INT64:
        _wrong_value(field, value, "integers have 64 bits")


def _check_number(field: str, bound: Any) -> None:
    if isinstance(bound, bool) or not isinstance(bound, int | float) or math.isnan(bound):
        _wrong_value(field, bound, "a range compares with a number")


def _wrong_value(field: str, value: Any, way_out: str) -> NoReturn:
    raise FilterError(f"field {field!r} cannot be compared with {value!r} ({type(value).__name__}): {way_out}")
