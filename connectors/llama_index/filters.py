"""LlamaIndex `MetadataFilters` in our filter language."""

from dataclasses import replace
from typing import Any, Final

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from connectors.errors import FilterError
from connectors.llama_index.stored_nodes import DOCUMENT_ID, NODE_ID, field_of
from connectors.stores.filters import And, AnyOf, Exists, Filter, Not, Or, Range

_BOUNDS: Final = {
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
}
_NO_TEXT: Final = (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE)
_EXACT_FLOATS: Final = 2**53


def to_filter(filters: MetadataFilters) -> Filter:
    """The same condition over payload fields, nested ones included.

    It means what LlamaIndex's own in-memory filter means: a missing field passes `!=` and `nin` only; 1 equals 1.0 and
    True (`MetadataFilter` takes no booleans: ask for 1 or 0). Of a list in the metadata, any element may pass. The keys
    "node_id" and "ref_doc_id" mean the ids of a node and of its document.

    Raises:
        FilterError: a substring match, an order between texts, or a value that the operator cannot take; names them.
    """
    parts = tuple(to_filter(part) if isinstance(part, MetadataFilters) else _one(part) for part in filters.filters)
    if not parts:
        return And(())
    if filters.condition == FilterCondition.OR:
        return Or(parts)
    if filters.condition == FilterCondition.NOT:
        return Not(Or(parts))
    return parts[0] if len(parts) == 1 else And(parts)


def on_metadata(where: Filter) -> Filter:
    """A filter of ours over metadata keys, as one over the payload fields that hold them."""
    match where:
        case And(parts):
            return And(tuple(on_metadata(part) for part in parts))
        case Or(parts):
            return Or(tuple(on_metadata(part) for part in parts))
        case Not(part):
            return Not(on_metadata(part))
    return replace(where, field=_field(where.field))


def _one(part: MetadataFilter) -> Filter:
    field, operator = _field(part.key), part.operator
    if operator in _NO_TEXT:
        raise FilterError(
            f"filter on {part.key!r}: {operator.value!r} looks inside a text, which filters cannot; ask for words with "
            "the query mode text_search or hybrid"
        )
    if operator == FilterOperator.IS_EMPTY:
        return Or((Not(Exists(field)), AnyOf(field, ("",))))
    if part.value is None:
        raise FilterError(f"filter on {part.key!r}: {operator.value!r} needs a value; use is_empty for missing ones")
    if operator in _BOUNDS:
        return Range(field, **{_BOUNDS[operator]: _single(part)})
    if operator in (FilterOperator.EQ, FilterOperator.CONTAINS):
        return _equal(field, _single(part))
    if operator == FilterOperator.NE:
        return Not(_equal(field, _single(part)))
    several = part.value if isinstance(part.value, list) else [part.value]
    equal = tuple(_equal(field, value) for value in several)
    if operator == FilterOperator.ALL:
        return And(equal)
    return Not(Or(equal)) if operator == FilterOperator.NIN else Or(equal)


def _field(key: str) -> str:
    """Metadata, or one of the two ids that every node has."""
    return key if key in (NODE_ID, DOCUMENT_ID) else field_of(key)


def _single(part: MetadataFilter) -> Any:
    if isinstance(part.value, list):
        raise FilterError(f"filter on {part.key!r}: {part.operator.value!r} takes one value; use in, nin, any or all")
    return part.value


def _equal(field: str, value: str | int | float) -> Filter:
    if isinstance(value, str):
        return AnyOf(field, (value,))
    if isinstance(value, float) and (not value.is_integer() or abs(value) > _EXACT_FLOATS):
        return Range(field, gte=value, lte=value)
    whole = int(value)
    same: tuple[str | int | bool, ...] = (whole, bool(whole)) if whole in (0, 1) else (whole,)
    if abs(whole) > _EXACT_FLOATS:  # a range compares as floats, where neighbours of this size are one
        return AnyOf(field, same)
    return Or((AnyOf(field, same), Range(field, gte=whole, lte=whole)))
