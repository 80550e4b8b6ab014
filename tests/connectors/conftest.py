"""Fixtures of the stores' tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.stores.edge import EdgeStore
from connectors.stores.protocol import VectorStore
from tests.connectors.qdrant_rest import QdrantRest
from tests.connectors.store_engines import DIM, ENGINES, drop, make_store


@pytest.fixture
def qdrant() -> Iterator[QdrantRest]:
    """A server of the test's own, to be given faults."""
    with QdrantRest() as server:
        yield server


@pytest.fixture(scope="session")
def qdrant_url() -> Iterator[str]:
    """A server without faults for all tests, each of which makes a collection of its own."""
    with QdrantRest() as server:
        yield server.url


@pytest.fixture(scope="module")
def empty_edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making an Edge store takes a dozen disk syncs, copying one takes none."""
    path = tmp_path_factory.mktemp("empty") / "store"
    EdgeStore.open(path, DIM).close()
    return path


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path, empty_edge: Path, qdrant_url: str) -> Iterator[VectorStore]:
    if request.param == "edge":
        shutil.copytree(empty_edge, tmp_path / "store")
    opened = make_store(request.param, tmp_path, qdrant_url)
    yield opened
    drop(opened)


@pytest.fixture(scope="module", params=ENGINES)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, qdrant_url: str
) -> Iterator[VectorStore]:
    """One store for many hypothesis examples, each of which cleans up."""
    opened = make_store(request.param, tmp_path_factory.mktemp("shared"), qdrant_url)
    yield opened
    drop(opened)
