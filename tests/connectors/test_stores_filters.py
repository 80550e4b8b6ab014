"""The filter language by itself: what each form means, and what each mistake says (engines: test_stores.py)."""

import doctest

import pytest

from connectors.errors import FilterError
from connectors.stores import filters
from connectors.stores.filters import And, AnyOf, Exists, Not, Or, Range, matches, parse_filter, parse_filter_text

KNOWN = ("source", "kind", "page")


def test_docstring_examples_run() -> None:
    assert doctest.testmod(filters).failed == 0


@pytest.mark.parametrize(
    ("where", "passes", "fails"),
    [
        ({"kind": "pdf"}, {"kind": "pdf"}, {"kind": "PDF"}),
        ({"kind": ["pdf", "image"]}, {"kind": "image"}, {}),
        ({"page": {"gte": 3, "lte": 5}}, {"page": 5}, {"page": 6}),
        ({"page": {"gt": 2.5}}, {"page": 3}, {"page": "3"}),
        ({"source": {"in": ["a", "b"]}}, {"source": "b"}, {"source": "c"}),
        ({"source": {"not": "a.pdf"}}, {}, {"source": "a.pdf"}),
        ({"source": {"not": ["a", "b"]}}, {"source": "c"}, {"source": ["c", "b"]}),
        ({"page": {"not": {"lt": 3}}}, {"page": 3}, {"page": 2}),
        ({"tags": "x"}, {"tags": ["y", "x"]}, {"tags": [["x"]]}),
        ({"scan": True}, {"scan": True}, {"scan": 1}),
        ({"page": 1}, {"page": 1}, {"page": True}),
        ({"tenant": {"exists": False}}, {"tenant": None}, {"tenant": "t"}),
        ({"tenant": {"exists": True}}, {"tenant": ""}, {"tenant": []}),
        ({"any": [{"kind": "image"}, {"page": {"lt": 2}}]}, {"page": 1}, {"page": 2, "kind": "pdf"}),
        ({"all": [{"tags": "x"}, {"tags": "y"}]}, {"tags": ["y", "x"]}, {"tags": ["x"]}),
        ({"not": {"kind": "pdf", "page": 1}}, {"kind": "pdf", "page": 2}, {"kind": "pdf", "page": 1}),
        ({"kind": []}, None, {"kind": "pdf"}),
        ({"any": []}, None, {}),
        ({"all": []}, {}, None),
    ],
)
def test_dict_form_means_what_it_says(where: dict, passes: dict | None, fails: dict | None) -> None:
    parsed = parse_filter(where)
    assert passes is None or matches(parsed, passes)
    assert fails is None or not matches(parsed, fails)


def test_empty_filter_is_no_filter() -> None:
    assert parse_filter(None) is parse_filter({}) is parse_filter_text([]) is None
    assert matches(None, {})


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"sauce": "a"}, "unknown filter field 'sauce'; known fields: kind, page, source"),
        (Not(AnyOf("sauce", ("a",))), "unknown filter field 'sauce'"),
        ({"page": {"gte": 3, "ge": 4}}, "unknown operator 'ge' on field 'page'; known: in, not, exists, gte"),
        ({"page": {}}, "has no operator"),
        ({"page": {"gte": "3"}}, "'3' (str): a range compares with a number"),
        ({"page": {"gte": True}}, "True (bool)"),
        ({"page": {"lt": float("nan")}}, "nan (float)"),
        ({"page": 2.5}, "2.5 (float): compare fractions with gte and lte"),
        ({"page": None}, "use {'exists': False}"),
        ({"page": 2**63}, "64 bits"),
        ({"source": {"in": "a.pdf"}}, "takes a list"),
        ({"source": {"exists": "yes"}}, "takes True or False"),
        ({"any": {"kind": "pdf"}}, "takes a list of filters"),
        ({"not": "a.pdf"}, "combines filters"),
        ({'so"urce': "a"}, "without double quotes"),
        ({"source": b"a"}, "use a str, an int or a bool"),
        ("kind=pdf", "a filter is a dict"),
    ],
)
def test_mistakes_are_named(where: object, said: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter(where, KNOWN)  # type: ignore[arg-type]
    assert said in str(raised.value)


def test_types_check_themselves() -> None:
    with pytest.raises(FilterError, match="no bound"):
        Range("page")
    with pytest.raises(FilterError, match="cannot be a field name"):
        Exists("any")


def test_command_line_words() -> None:
    parsed = parse_filter_text(["kind=pdf", "kind = image", "page>=3", "source!=a=b.pdf"], KNOWN)
    assert parsed == And((AnyOf("kind", ("pdf", "image")), Range("page", gte=3), Not(AnyOf("source", ("a=b.pdf",)))))
    assert parse_filter_text(["page<2.5"]) == Range("page", lt=2.5)


def test_command_line_values_match_text_and_type() -> None:
    assert parse_filter_text(["page=-7"]) == AnyOf("page", ("-7", -7))
    assert parse_filter_text(["scan=true"]) == AnyOf("scan", ("true", True))
    assert parse_filter_text(["source=99999999999999999999"]) == AnyOf("source", ("99999999999999999999",))
    assert parse_filter_text(["source="]) == AnyOf("source", ("",))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("kind", "cannot read the filter 'kind'"),
        ("page>x", "'x', which is no number"),
        ("sauce=1", "unknown filter field"),
    ],
)
def test_command_line_mistakes_are_named(word: str, said: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter_text([word], KNOWN)
    assert said in str(raised.value)


def test_nested_parts_may_be_filters() -> None:
    parsed = parse_filter({"any": [AnyOf("kind", ("pdf",)), {"page": 1}]}, KNOWN)
    assert parsed == Or((AnyOf("kind", ("pdf",)), AnyOf("page", (1,))))
