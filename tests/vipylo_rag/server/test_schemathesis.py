"""Anything that the OpenAPI document allows, and much that it does not: no answer is a 5xx, each is as documented."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.vipylo_rag.server.conftest import RunningServer, running
from vipylo_rag import MultimodalIndex
from vipylo_rag.server.app import ROUTERS

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 40


@pytest.fixture(scope="module")
def poked(
    filled_directory: Path, tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Any
) -> Iterator[RunningServer]:
    """A server that may be filled with nonsense."""
    copy = shutil.copytree(filled_directory, tmp_path_factory.mktemp("poked") / "index")
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as index, running(index) as up:
        yield up


@pytest.fixture(scope="module")
def document(poked: RunningServer) -> BaseSchema:
    """The OpenAPI document as the running server gives it."""
    return schemathesis.openapi.from_url(f"{poked.url}/openapi.json")


def operations() -> list[tuple[str, str]]:
    """Method and path of all that the server's parts document."""
    app = FastAPI()
    for part in ROUTERS:
        app.include_router(part.router)
    return [(method, path) for path, methods in app.openapi()["paths"].items() for method in methods]


@pytest.mark.parametrize(("method", "path"), operations())
def test_no_answer_is_a_failure_of_the_server(
    poked: RunningServer, document: BaseSchema, method: str, path: str
) -> None:
    operation = document[path][method.upper()]
    modes = [operation.as_strategy(GenerationMode.POSITIVE)]
    if operation.body or list(operation.iter_parameters()):
        modes.append(operation.as_strategy(GenerationMode.NEGATIVE))
    if path.startswith("/api/pages/{id}"):  # what is made up is never there
        page = poked.index.pages()[0].id
        modes += [operation.as_strategy(mode, path_parameters={"id": page}) for mode in GenerationMode]

    @given(case=st.one_of(modes))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    holds()


def test_every_operation_is_in_the_document(poked: RunningServer) -> None:
    paths = poked.client.get("/openapi.json").json()["paths"]
    asked = {(method, path) for path, operations in paths.items() for method in operations}
    assert {
        ("post", "/api/search"),
        ("get", "/api/search"),
        ("post", "/api/ask"),
        ("post", "/api/documents"),
        ("delete", "/api/documents/{id}"),
        ("get", "/api/graph"),
        ("post", "/api/graph"),
        ("post", "/api/pages/{id}/explain"),
        ("post", "/v1/embeddings"),
        ("post", "/api/session"),
        ("get", "/metrics"),
    } <= asked
