"""One headless Chromium for all tests of this room, and a page that a violation of its policy fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from server.serving import Served, serving
from starlette.applications import Starlette
from starlette.routing import Mount

from workflow_runtime import Workflow
from workflow_runtime.server import workflow_app

from .relay import Relay

expect.set_options(timeout=60_000)  # a machine that is busy with other things fails nothing

SCREENSHOTS = Path(__file__).parent.parent.parent / "screenshots"  # git-ignored: to be looked at
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """The browser's path. ``make test`` installs it where it may; elsewhere this says what to install."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise RuntimeError("these tests look at pages in a real browser: install the package chromium (make browser)")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield found
        found.close()


class Watched:
    """What a context's pages complained of, and whom they called."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.addresses: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", lambda message: self._said(message.text))
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("dialog", lambda dialog: dialog.accept())

    def _said(self, text: str) -> None:
        if "Content Security Policy" in text or "Content-Security-Policy" in text:
            self.problems.append(text)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """``open_page(**options of a context)``: a page of its own, and at the end: no script failed, no policy was violated,
    nobody but this machine was called."""
    contexts: list[BrowserContext] = []
    watched = Watched()

    def make(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        context.on("page", watched.watch)
        return context.new_page()

    yield make
    for context in contexts:
        context.close()
    assert watched.problems == []
    assert [address for address in watched.addresses if not address.startswith("http://127.0.0.1:")] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    """``served(*workflows)``: a real uvicorn until the test ends. It is made in a thread, as the browser's client has a
    loop in this one."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:

        def make(*workflows: Workflow, **options: Any) -> Served:
            return pool.submit(stack.enter_context, serving(list(workflows), **options)).result()

        yield make


@contextmanager
def mounted(*workflows: Workflow, at: str) -> Iterator[Served]:
    """The app within another one."""
    inner = workflow_app(list(workflows), grace=1.0)
    outer = Starlette(routes=[Mount(at, inner)], lifespan=inner.router.lifespan_context)
    server = Served(outer, inner.state.service)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def mount() -> Iterator[Callable[..., Served]]:
    """``mount(*workflows, at="/path")``: a server with the app at that path."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        yield lambda *workflows, at: pool.submit(stack.enter_context, mounted(*workflows, at=at)).result()


@pytest.fixture
def relayed(served: Callable[..., Served]) -> Iterator[Callable[..., Relay]]:
    """``relayed(*workflows)``: a server at the end of a line that can be cut."""
    with ExitStack() as stack:
        yield lambda *workflows: stack.enter_context(closing(Relay(served(*workflows).port)))


def keep(page: Page, name: str, **options: Any) -> None:
    """A screenshot to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled", **options)
