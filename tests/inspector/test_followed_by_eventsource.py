"""The example of a page that is not ours: a browser's EventSource follows a run, over a line that is cut."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from server.serving import Served

from .relay import Relay

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "follow_in_browser.py"
STORY = "once upon a time there was a run that everybody could follow"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Relay]:
    """The example, at the end of a line that can be cut."""
    with ThreadPoolExecutor(1) as pool:  # the browser's client has a loop in this thread
        build = pool.submit(runpy.run_path, str(EXAMPLE)).result()["build"]
        app = pool.submit(build, f"sqlite:///{tmp_path}/stories.db").result()
        server = Served(app, None)
        pool.submit(server.start).result()
        with closing(Relay(server.port)) as relay:
            yield relay
        pool.submit(server.stop).result()


def test_a_page_follows_a_run_over_a_line_that_is_cut(page: Page, line: Relay) -> None:
    page.goto(line.url)
    page.get_by_role("button", name="Tell me a story").click()
    expect(page.locator("#text")).to_contain_text("once upon")
    line.cut()
    expect(page.get_by_role("status")).to_have_text("reconnecting")
    line.mend()
    expect(page.get_by_role("status")).to_have_text("done")
    expect(page.locator("#text")).to_have_text(STORY)
    page.reload()
    expect(page.get_by_role("status")).to_have_text("done")
    expect(page.locator("#text")).to_have_text(STORY)
