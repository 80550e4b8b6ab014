"""Fixtures for tests of the web page: one browser for all of them, and pages that are watched."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.vipylo_rag.server.chromium import chromium, visits
from tests.vipylo_rag.server.conftest import RunningServer


# Of this package alone: the browser's event loop must be gone when other tests of the worker use theirs.
@pytest.fixture(scope="package")
def browser(server: RunningServer) -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages; see `visits`."""
    with visits(browser) as opened:
        yield opened
