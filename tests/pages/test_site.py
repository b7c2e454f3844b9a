"""The built documentation in a browser: nothing is cut off, all can be read, and the search finds names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from inspector.conftest import FLAGS, chromium
from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).parents[2]
READ = ("", "tutorial/1-streamed/", "deployment/", "reference/events/")
"""Pages with every kind of element; what is wrong in one is wrong in all."""

CUT_OFF = """() => [...document.querySelectorAll(".md-content img, .md-content pre, .md-content p, .md-content li")]
    .filter((item) => item.getBoundingClientRect().right > innerWidth + 1 && !item.closest(".md-typeset__scrollwrap"))
    .map((item) => item.outerHTML.slice(0, 200))"""
HIDDEN_CODE = """() => [...document.querySelectorAll(".md-content pre > code")]
    .filter((code) => code.scrollWidth > code.clientWidth + 1).map((code) => code.textContent.slice(0, 200))"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing: the test says what is wrong."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield found
        found.close()


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_no_page_is_wider_than_its_window_and_no_code_is_hidden(
    browser: Browser, url: str, site: Path, width: int
) -> None:
    pages = sorted(path.parent.relative_to(site).as_posix() for path in site.rglob("index.html"))
    assert len(pages) > 50
    wrong: dict[str, Any] = {}
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        for name in pages:
            page.goto(f"{url}{'' if name == '.' else name + '/'}", wait_until="load")
            found = page.evaluate(CUT_OFF) + page.evaluate(HIDDEN_CODE)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append("the page scrolls sideways")
            if found:
                wrong[name] = found
    assert wrong == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_by_everybody(browser: Browser, url: str, scheme: Any) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    with browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme) as context:
        for name in READ:
            page = context.new_page()
            page.goto(url + name, wait_until="load")
            page.evaluate(axe)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            serious = [
                f"{item['id']}: {node['target']} {node['failureSummary']}"
                for item in found
                if item["impact"] in ("serious", "critical")
                for node in item["nodes"]
            ]
            assert serious == [], name
            page.close()


def test_the_search_finds_a_name_of_the_reference(browser: Browser, url: str) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(url)
        page.locator(".md-search__input").fill("StepRetryEvent")
        first = page.locator(".md-search-result__item a").first
        expect(first).to_be_visible(timeout=60_000)
        first.click()
        expect(page.locator("h3#stepretryevent")).to_be_visible(timeout=60_000)
