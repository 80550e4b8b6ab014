"""The API for people: a page made from the OpenAPI document, without scripts and without the internet."""

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

_FORM = "Body_"  # FastAPI's names for forms


@router.get("/docs")
async def docs(request: Request) -> Response:
    """All operations, for people."""
    return Response("".join(_page(request.app.openapi())), media_type="text/html; charset=utf-8")


@router.get("/docs.css")
async def style() -> Response:
    """How they look."""
    return Response((files("vipylo_rag.server") / "docs.css").read_bytes(), media_type="text/css; charset=utf-8")


def _page(document: dict[str, Any]) -> Iterator[str]:
    info, schemas = document["info"], document.get("components", {}).get("schemas", {})
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(info["title"])}: API</title><link rel="stylesheet" href="/docs.css"></head><body><main>'
        f"<h1>{escape(info['title'])}: API</h1><p>{escape(info.get('description', ''))} For programs: "
        '<a href="/openapi.json">openapi.json</a>. Where keys are set, send <code>Authorization: Bearer KEY</code>.</p>'
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(method, path, operation, schemas)
    yield "<h2>Objects</h2>"
    for name, schema in schemas.items():
        if not name.startswith(_FORM):
            yield from _schema(name, schema)
    yield "</main></body></html>"


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield f'<section><h3><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h3>'
    yield f"<p>{escape(operation.get('description', operation.get('summary', '')))}</p>"
    rows = [
        (one["name"], one["in"], one["schema"], one.get("description", ""), one.get("required", False))
        for one in operation.get("parameters", [])
    ]
    yield from _table(rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        form = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
        if form.get("title", "").startswith(_FORM):  # made for this operation alone: its fields are shown here
            yield f"<p>Body, <code>{escape(kind)}</code>:</p>"
            yield from _table(_fields(form))
        else:
            yield f"<p>Body, <code>{escape(kind)}</code>: {_type(content.get('schema', {}))}</p>"
    answers = operation["responses"].items()
    good = [f"{status}: {_answer(answer)}" for status, answer in answers if int(status) < 400]
    bad = [
        f'<abbr title="{escape(answer["description"])}">{status}</abbr>'
        for status, answer in answers
        if int(status) >= 400
    ]
    yield f"<p>Gives {'; '.join(good)}.{' Errors: ' + ', '.join(bad) + '.' if bad else ''}</p></section>"


def _answer(answer: dict[str, Any]) -> str:
    types = [_type(content["schema"]) for content in answer.get("content", {}).values() if content.get("schema")]
    return " or ".join(types) or escape(answer["description"].rstrip("."))


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>'
    yield from _table(_fields(schema))
    yield "</section>"


def _fields(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], str, bool]]:
    required = schema.get("required", [])
    fields = schema.get("properties", {}).items()
    return [(name, "", of, of.get("description", ""), name in required) for name, of in fields]


def _table(rows: list[tuple[str, str, dict[str, Any], str, bool]]) -> Iterator[str]:
    if not rows:
        return
    yield "<table>"
    for name, place, schema, says, required in rows:
        default = f" = {schema['default']!r}" if schema.get("default") not in (None, "", []) else ""
        where = f" <small>{escape(place)}</small>" if place else ""
        yield (
            f"<tr><td><code>{escape(name)}</code>{'' if required else '?'}{where}</td>"
            f"<td>{_type(schema)}{escape(default)}</td><td>{escape(says)}</td></tr>"
        )
    yield "</table>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_type(one) for one in schema[several])
    if "enum" in schema:
        return escape(" | ".join(str(one) for one in schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("contentMediaType") or schema.get("format") == "binary":
        return "file"
    return escape(str(schema.get("const", schema.get("type", "anything"))))
