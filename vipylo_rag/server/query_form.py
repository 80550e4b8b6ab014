"""The fields of a query as they come over HTTP, checked before they go to the index."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from connectors.errors import FilterError
from embedder.errors import InputError, ViPyloError
from vipylo_rag.graph.facts import GraphFacts
from vipylo_rag.index_reading import IndexReading
from vipylo_rag.server.catalogue import Catalogue
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.schemas import Mode

_DEEPEST = 20
_LONGEST_FILTER = 100_000
_DOCUMENT = "document"


def checked_text(text: str, options: ServerOptions) -> str:
    """A query's text.

    Raises:
        InputError: it is too long, or holds what is no character.
    """
    if len(text) > options.text_characters:
        raise InputError(f"the text has {len(text)} characters: send {options.text_characters} at most")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the text holds half a character (at position {error.start}): send UTF-8") from None
    return text


def checked_top_k(top_k: int, options: ServerOptions) -> int:
    """How many hits are asked for.

    Raises:
        InputError: more than the server gives.
    """
    if top_k > options.top_k:
        raise InputError(f"top_k={str(top_k)[:20]} is too many: ask for {options.top_k} at most")
    return top_k


def has_graph(index: IndexReading, tenant: str) -> bool:
    """Whether a tenant's pages are in a page graph that fits the index: without that, mode graph finds nothing."""
    try:
        facts = GraphFacts.read(index.directory)
        facts.check_embedder(index.manifest.embedder, index.directory)
    except ViPyloError:
        return False
    return tenant in facts.tenants


def checked_mode(mode: Mode, options: ServerOptions, index: IndexReading, tenant: str) -> Mode:
    """How a query is searched for. Reads a file in mode graph: not for the loop.

    Raises:
        InputError: there is no graph to go along.
    """
    if mode == "graph" and not has_graph(index, tenant):
        way = (
            "have it built (on the web page, or POST api/graph)"
            if options.writable
            else "ask who runs the server for `vipylo graph build`"
        )
        raise InputError(
            f"mode graph needs a page graph of your documents, and there is none that fits them: {way}, or search with "
            "mode hybrid"
        )
    return mode


def filter_of(where: str, documents: Catalogue, tenant: str) -> Mapping[str, Any] | None:
    """A filter that came as JSON, its documents' ids turned into sources. Looks into the ledger: not for the loop.

    Raises:
        FilterError: it is no JSON object, is too long, is nested too deep, or holds numbers or text that cannot be.
    """
    if not where.strip():
        return None
    if len(where) > _LONGEST_FILTER:
        raise FilterError(f"the filter has {len(where)} characters: send {_LONGEST_FILTER} at most")
    try:
        said = json.loads(where, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise FilterError(f'where is no JSON ({reason}): send an object like {{"kind": "pdf"}}') from None
    if said is None:
        return None
    if not isinstance(said, dict):
        raise FilterError('where is no JSON object: send one like {"kind": "pdf"}')
    translated: dict[str, Any] = _translated(said, documents, tenant, 0)
    return translated or None


def _translated(said: Any, documents: Catalogue, tenant: str, depth: int) -> Any:
    _check_depth(depth)
    if isinstance(said, dict):
        if _DOCUMENT in said and "source" in said:
            raise FilterError("a filter names document or source, not both: combine them with `all`")
        return dict(_entry(key, value, documents, tenant, depth + 1) for key, value in said.items())
    if isinstance(said, list):
        return [_translated(one, documents, tenant, depth + 1) for one in said]
    return _scalar(said)


def _entry(key: str, value: Any, documents: Catalogue, tenant: str, depth: int) -> tuple[str, Any]:
    if key == _DOCUMENT:
        return "source", _sources(value, documents, tenant, depth)
    return _scalar(key), _translated(value, documents, tenant, depth)


def _sources(value: Any, documents: Catalogue, tenant: str, depth: int) -> Any:
    """A document's id, a list of ids, or operators over them, with sources in their place; unknown ids find nothing."""
    _check_depth(depth)
    if isinstance(value, str):
        source = documents.source(value, tenant)
        return [] if source is None else [source]
    if isinstance(value, list):
        return [source for one in value for source in _sources(one, documents, tenant, depth + 1)]
    if isinstance(value, dict) and set(value) <= {"in", "not"}:
        return {operator: _sources(asked, documents, tenant, depth + 1) for operator, asked in value.items()}
    raise FilterError("document in a filter is an id, or a list of ids")


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST:
        raise FilterError(f"the filter is nested more than {_DEEPEST} deep: write it flatter")


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FilterError("the filter holds half a character: send UTF-8") from None
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        raise FilterError("the filter holds an integer of more than 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise FilterError("the filter holds a number that is too large")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
