"""The inspector in a real browser: what a person does there, and sees."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect
from server.serving import Served

from workflow_runtime import InMemoryDb

from .conftest import keep
from .workflows import Gate, asking, every_shape, failing, streaming, with_input

Serve = Callable[..., Served]


def begin(page: Page, served: Served, workflow: str, text: str = "a topic") -> None:
    """Start a run by its form."""
    page.goto(f"{served.url}/inspector/workflows/{workflow}")
    page.get_by_label("Input", exact=True).fill(text)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/inspector/runs/*")


def status(page: Page, word: str) -> None:
    expect(page.locator("#head .badge")).to_have_text(word)


def test_a_run_is_started_and_followed_to_its_end_without_a_reload(page: Page, served: Serve) -> None:
    server = served(every_shape(InMemoryDb()))
    page.goto(f"{server.url}/inspector")
    expect(page.get_by_text("No runs yet.")).to_be_visible()
    keep(page, "home-empty")
    begin(page, server, "report")
    keep(page, "run-begins")
    status(page, "completed")
    expect(page.locator("#detail")).to_contain_text("A letter in five languages.")
    expect(page.locator("#log-title")).to_contain_text("61 events")
    expect(page.locator("#log-rows strong").first).to_have_text("WorkflowCompleted")
    keep(page, "run-done")
    page.locator(".gantt").get_by_text("gather").click()
    expect(page.locator("#detail")).to_contain_text("three sources")
    keep(page, "run-step")


def test_streamed_text_is_seen_as_it_comes(page: Page, served: Serve) -> None:
    gate = Gate()
    server = served(streaming(InMemoryDb(), gate))
    begin(page, server, "story")
    expect(page.locator(".stream")).to_have_text("Once upon a time\n", use_inner_text=False)
    keep(page, "run-streams")
    gate.open()
    status(page, "completed")
    expect(page.locator("#detail")).to_contain_text("read: Once upon a time")


def test_a_question_is_answered_in_the_page_and_the_run_goes_on(page: Page, served: Serve) -> None:
    server = served(asking(InMemoryDb()))
    begin(page, server, "trip")
    status(page, "waiting for you")
    keep(page, "run-asks")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Budget")).to_be_visible()
    keep(page, "run-form", full_page=True)
    page.goto(f"{server.url}/inspector")
    keep(page, "home-inbox")


def test_a_failed_run_says_where_and_why_and_is_tried_again(page: Page, served: Serve) -> None:
    server = served(failing(InMemoryDb()))
    begin(page, server, "print")
    status(page, "failed")
    keep(page, "run-failed")
    page.get_by_role("button", name="Try again").click()
    status(page, "completed")


def test_the_form(page: Page, served: Serve) -> None:
    server = served(with_input(InMemoryDb()), every_shape(InMemoryDb()))
    page.goto(f"{server.url}/inspector/workflows/order")
    keep(page, "start-form")
    page.goto(f"{server.url}/inspector/workflows/report")
    keep(page, "start-text")
