"""The inspector keeps out what does not belong there: markup, other sites, other users; and keeps in what does."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from httpx2 import Client
from playwright.sync_api import Page, expect
from server.serving import Served

from workflow_runtime import InMemoryDb

from .conftest import keep
from .test_pages import begin, status
from .workflows import XSS, Gate, asking, busy, every_shape, failing, hostile, streaming, with_input

Serve = Callable[..., Served]
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
WCAG_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def no_violation(page: Page, where: str) -> None:
    """axe-core finds nothing that WCAG A and AA forbid; what light and dark differ in, the contrasts, in both."""
    page.evaluate(AXE)
    for scheme, only in (("light", WCAG_AA), ("dark", {"type": "rule", "values": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate("only => axe.run({runOnly: only, resultTypes: ['violations']})", only)
        told = [(rule["id"], [node["html"][:160] for node in rule["nodes"][:3]]) for rule in found["violations"]]
        assert told == [], f"{where}, {scheme}"
        keep(page, f"{where}-{scheme}")


def test_every_page_can_be_read_and_used_by_everybody(page: Page, served: Serve) -> None:
    gate = Gate()
    flows = [every_shape, asking, failing, with_input]
    server = served(*(make(InMemoryDb()) for make in flows), streaming(InMemoryDb(), gate))
    page.goto(f"{server.url}/inspector")
    no_violation(page, "a11y-empty")
    page.goto(f"{server.url}/inspector/workflows/order")
    no_violation(page, "a11y-start")
    begin(page, server, "report")
    status(page, "completed")
    no_violation(page, "a11y-done")
    page.locator(".gantt a").first.click()
    expect(page.locator(".attempts")).to_be_visible()
    page.locator("#log-rows summary").first.click()
    no_violation(page, "a11y-step")
    begin(page, server, "print")
    status(page, "failed")
    no_violation(page, "a11y-failed")
    begin(page, server, "story")
    expect(page.locator(".stream")).to_have_text("Once upon a time")
    no_violation(page, "a11y-running")
    begin(page, server, "trip")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Budget", exact=True)).to_be_visible()
    page.locator("#waiting form").evaluate("form => form.noValidate = true")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("This is needed").first).to_be_visible()
    no_violation(page, "a11y-form")
    page.goto(f"{server.url}/inspector")
    expect(page.locator("#inbox")).to_be_visible()
    no_violation(page, "a11y-home")
    page.goto(f"{server.url}/inspector/runs/00_nobody")
    no_violation(page, "a11y-missing")
    gate.open()


def test_markup_in_every_name_content_question_and_error_stays_text(page: Page, served: Serve) -> None:
    server = served(hostile(InMemoryDb()))
    page.goto(f"{server.url}/inspector/workflows/hostile")
    page.get_by_label("Input", exact=True).fill(XSS)
    page.get_by_label("Session").fill(XSS.replace("/", "|"))  # no address can hold a slash
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/inspector/runs/*")
    status(page, "waiting for you")
    expect(page.locator("#waiting")).to_contain_text(XSS)
    expect(page.locator("#log-rows")).to_contain_text(XSS[:60])
    keep(page, "hostile-asks", full_page=True)
    page.locator("#waiting input[type=text], #waiting textarea").first.fill(XSS)
    page.get_by_role("button", name="Send").click()
    status(page, "failed")
    expect(page.locator("#head .notice")).to_contain_text(XSS)
    for step in range(3):
        page.locator(".gantt a").nth(step).click()
        expect(page.locator("#detail-title")).to_contain_text(XSS[:40])
    expect(page.locator(".changes tbody")).to_have_count(0)
    page.locator(".gantt a").first.click()
    expect(page.locator(".changes tbody")).to_contain_text(XSS)
    page.locator("#log-rows summary").nth(2).click()
    expect(page.locator("#log-rows details pre").first).to_contain_text("<img src=x")
    page.locator("#log-search").fill(XSS)
    expect(page.get_by_text("No event holds these words.")).to_be_visible()
    page.reload()
    expect(page.locator("#head .notice")).to_contain_text(XSS)
    page.goto(f"{server.url}/inspector")
    expect(page.locator("#runs tbody")).to_contain_text(XSS[:60])
    page.get_by_label("Session").fill(XSS.replace("/", "|"))
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0


def test_a_run_of_ten_thousand_events_stays_usable(page: Page, served: Serve) -> None:
    server = served(busy(InMemoryDb(), 10_000))
    address = begin(page, server, "busy")
    status(page, "completed")
    expect(page.locator("#log-title")).to_contain_text("10,0")
    page.locator("#log-search").fill("item 7777")
    expect(page.locator("#log-rows li")).to_have_count(2)  # that item, and the event of that number
    page.locator(".gantt a").first.click()
    expect(page.locator("#detail .value").first).to_contain_text("done")
    page.goto(address)
    assert len(page.content().encode()) < 100_000
    assert page.locator("*").count() < 2_000


def test_scripts_and_pages_are_small(page: Page, served: Serve) -> None:
    static = files("workflow_runtime.server.inspector").joinpath("static")
    scripts = [item for item in static.iterdir() if item.name.endswith(".js")]
    assert sum(len(item.read_bytes()) for item in scripts) <= 60 * 1024
    begin(page, served(every_shape(InMemoryDb())), "report")
    status(page, "completed")
    with Client() as client:
        assert len(client.get(page.url).content) < 60_000
        addresses = re.findall(r'(?:src|href)="(/inspector/static/[^"]+)"', client.get(page.url).text)
        assert len(addresses) == 5
        origin = page.url.partition("/inspector")[0]
        loaded = [client.get(page.url), *(client.get(f"{origin}{address}") for address in addresses)]
        assert sum(answer.num_bytes_downloaded for answer in loaded) < 100_000, "the page with its style and scripts"


def forms(client: Client, address: str) -> dict[str, str]:
    """The hidden fields of a page's first form."""
    text = client.get(address).text
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text))


def test_a_form_counts_only_with_the_token_of_one_of_our_own_pages(served: Serve) -> None:
    address = f"{served(with_input(InMemoryDb())).url}/inspector/workflows/order"
    data = {"/input/item": "tea", "/input/count": "1"}
    with Client() as client, Client() as other:
        refused = client.post(address, data=data)
        assert refused.status_code == 403
        assert "HttpOnly" in refused.headers["set-cookie"]
        assert "SameSite=strict" in refused.headers["set-cookie"]
        token = forms(client, address)
        assert client.post(address, data={**data, **token}).status_code == 303
        assert other.post(address, data={**data, **token}).status_code == 403, "the token of another browser"
        headers = {"Origin": "https://evil.example"}
        assert client.post(address, data={**data, **token}, headers=headers).status_code == 403


def test_the_policy_of_every_page_allows_nothing_inline_and_nobody_else(served: Serve) -> None:
    server = served(with_input(InMemoryDb()))
    with Client() as client:
        for path in ("", "/workflows/order", "/runs/00_nobody", "/nowhere"):
            answer = client.get(f"{server.url}/inspector{path}")
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy, path
            assert "unsafe" not in policy
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", answer.text)


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/..%2f..%2fsafety.py", "/LICENSE.htmx", "/nothing.js", "/"])
def test_only_the_pages_own_files_are_served(served: Serve, path: str) -> None:
    with Client() as client:
        answer = client.get(f"{served(with_input(InMemoryDb())).url}/inspector/static{path}")
        assert answer.status_code == 404


def test_what_belongs_to_another_user_is_not_there(served: Serve) -> None:
    def auth(connection: Any) -> str | None:
        return connection.headers.get("x-user")

    server = served(asking(InMemoryDb()), auth=auth)
    users = [Client(headers={"x-user": name}) for name in ("ann", "bob")]
    with users[0] as ann, users[1] as bob, Client() as nobody:
        home = f"{server.url}/inspector"
        token = forms(ann, f"{home}/workflows/trip")
        run = ann.post(f"{home}/workflows/trip", data={**token, "text": "go"}).headers["location"]
        while "Shall I pack" not in ann.get(home).text:
            pass
        run = f"{server.url}{run}"
        assert "Shall I pack" not in bob.get(home).text
        assert run.rpartition("/")[2] not in bob.get(home).text
        for part in ("", "/detail", "/log", "/events/1", "/live"):
            assert ann.get(f"{run}{part}", headers={"x-user": "ann"}).status_code == 200 if part != "/live" else True
            assert bob.get(f"{run}{part}").status_code == 404, part
        theirs = forms(bob, f"{home}/workflows/trip")
        asked = forms(ann, run)["requirement"]
        for action in ("cancel", "fork", "answer"):
            data = {**theirs, "requirement": asked, "do": "yes"}
            assert bob.post(f"{run}/{action}", data=data).status_code == 404, action
        assert "waiting for you" in ann.get(run).text
        assert nobody.get(home).status_code == 401
