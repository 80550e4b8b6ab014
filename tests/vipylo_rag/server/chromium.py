"""A headless Chromium for tests of the web page, and a page in it that notices what must not happen."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

WAIT_MS = 15_000
expect.set_options(timeout=WAIT_MS)  # the suite shares its cores


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium; the test is skipped, visibly, where there is none.

    While it runs, this thread has a running event loop: nothing else here may use `asyncio.run`.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine: the web page is not tested (apt install chromium)")
    with sync_playwright() as playwright:
        # A container's user namespaces and its small /dev/shm stop Chromium's sandbox; it only meets our own server.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """What a page did that its reader does not see.

    Attributes:
        complaints: errors in the console and uncaught ones. Chromium writes refused requests there too.
        requests: the addresses that it asked for.
    """

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)

    def foreign(self, url: str) -> list[str]:
        """The addresses that are not the server's at `url`."""
        own = urlsplit(url).netloc
        return [asked for asked in self.requests if urlsplit(asked).scheme != "blob" and urlsplit(asked).netloc != own]


@contextmanager
def visits(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Gives `visit(url, path="/", expected="", **context)`: a page in a fresh context. At the end, no page may have
    complained, but of what contains `expected`, nor asked another server for anything."""
    opened: list[tuple[Any, str, str, Watched]] = []

    def visit(url: str, path: str = "/", *, expected: str = "", **options: Any) -> Page:
        settings = {"locale": "vi-VN", "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
        context = browser.new_context(**{**settings, **options})
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        watched = Watched()
        watched.watch(page)
        opened.append((context, url, expected, watched))
        page.goto(url + path)
        return page

    try:
        yield visit
        for _, url, expected, watched in opened:
            assert not watched.foreign(url)
            bad = [said for said in watched.complaints if not (expected and expected in said)]
            assert not bad, bad
    finally:
        for context, *_ in opened:
            context.close()
