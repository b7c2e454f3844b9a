"""The inspector in a real browser: what a person does there, and sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from histories import Owner
from playwright.sync_api import Page, expect
from server.serving import Served

from workflow_runtime import (
    InMemoryDb,
    StepCompletedEvent,
    StepContentEvent,
    StepStartedEvent,
    WorkflowCompletedEvent,
)

from .conftest import keep
from .relay import Relay
from .workflows import Gate, asking, asking_twice, every_shape, failing, streaming, with_input

Serve = Callable[..., Served]


def begin(page: Page, served: Served | Relay, workflow: str, text: str = "a topic") -> str:
    """Start a run by its form; its address."""
    page.goto(f"{served.url}/inspector/workflows/{workflow}")
    page.get_by_label("Input", exact=True).fill(text)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/inspector/runs/*")
    return page.url


def status(page: Page, word: str) -> None:
    expect(page.locator("#head .badge")).to_have_text(word)


def test_a_run_is_started_and_followed_to_its_end_without_a_reload(page: Page, served: Serve) -> None:
    server = served(every_shape(InMemoryDb()))
    page.goto(f"{server.url}/inspector")
    expect(page.get_by_text("No runs yet.")).to_be_visible()
    keep(page, "home-empty")
    begin(page, server, "report")
    status(page, "completed")
    expect(page.locator("#detail")).to_contain_text("A letter in five languages.")
    expect(page.locator("#log-title")).to_contain_text("61 events")
    expect(page.locator("#log-rows strong").first).to_have_text("WorkflowCompleted")
    keep(page, "run-done")


def test_a_step_shows_its_attempts_input_output_and_what_it_changed(page: Page, served: Serve) -> None:
    server = served(every_shape(InMemoryDb()))
    begin(page, server, "report")
    status(page, "completed")
    timeline, detail = page.locator(".gantt"), page.locator("#detail")
    expect(timeline.locator("li", has_text="gather").locator("rect")).to_have_count(3)  # one bar per attempt
    timeline.get_by_text("gather").click()
    expect(detail).to_contain_text("three sources")
    expect(detail.locator(".attempts li")).to_have_count(3)
    expect(detail.locator(".attempts")).to_contain_text("the second was slow")
    expect(detail.locator(".changes")).to_contain_text('{"found": 3, "names": ["a", "b", "c"]}')
    keep(page, "run-step")
    timeline.get_by_text("judge").last.click()
    expect(detail).to_contain_text("the output of draft")
    page.locator('.graph a[data-step="2.write#2/0.draft"]').click()
    expect(detail.locator(".changes tbody")).to_have_text(re.compile(r"sources\.found\s*5\s*6"))
    assert page.url.endswith("?step=2.write%232%2F0.draft")
    page.reload()
    expect(detail.locator(".changes")).to_contain_text("sources.found")
    detail.get_by_text("Change the session state first").click()
    page.get_by_label("Keys to set").fill("{not json")
    page.get_by_role("button", name="Run again from here").click()
    expect(page.locator("#connection")).to_contain_text("not a JSON object")
    page.get_by_label("Keys to set").fill('{"sources": {"found": 40}}')
    page.get_by_role("button", name="Run again from here").click()
    page.wait_for_url(lambda url: "step=" not in url)
    status(page, "completed")
    expect(detail).to_contain_text('"found": 41')


def test_streamed_text_is_seen_as_it_comes_and_is_whole_after_a_reload_in_the_middle(page: Page, served: Serve) -> None:
    gate = Gate()
    begin(page, served(streaming(InMemoryDb(), gate)), "story")
    expect(page.locator(".stream")).to_have_text("Once upon a time")
    page.reload()
    expect(page.locator(".stream")).to_have_text("Once upon a time")
    keep(page, "run-streams")
    gate.tell("  there was")
    expect(page.locator(".stream")).to_have_text("Once upon a time there was")
    assert page.locator(".stream").evaluate("element => element.textContent") == "Once upon a time\n  there was"
    gate.open()
    status(page, "completed")
    expect(page.locator("#detail .value").first).to_have_text("read: Once upon a time there was an end.")


def test_a_lost_connection_is_said_and_what_happened_meanwhile_is_there_when_it_is_back(
    page: Page, relayed: Callable[..., Relay]
) -> None:
    gate = Gate()
    line = relayed(streaming(InMemoryDb(), gate))
    begin(page, line, "story")
    expect(page.locator(".stream")).to_have_text("Once upon a time")
    line.cut()
    expect(page.locator("#connection")).to_have_text("Connection lost. Trying again…")
    keep(page, "run-lost")
    gate.tell("  there was")
    line.mend()
    expect(page.locator("#connection")).to_have_text("")
    expect(page.locator(".stream")).to_have_text("Once upon a time there was")
    gate.open()
    status(page, "completed")


def test_a_run_that_another_process_takes_over_is_shown_as_that_one_has_it(page: Page, served: Serve) -> None:
    db, gate = InMemoryDb(), Gate()
    server = served(streaming(db, gate))
    address = begin(page, server, "story")
    expect(page.locator(".stream")).to_have_text("Once upon a time")
    other = Owner(db, address.rpartition("/")[2])
    place = {"path": "0.write", "step_name": "write"}

    async def take_over() -> None:
        await other.take_over()
        gate.tell("  there was")  # what is superseded
        await other.store(other.resumed())
        await other.store(*other.said(StepStartedEvent, StepContentEvent, delta="Another time", **place))

    async def end() -> None:
        await other.store(*other.said(StepCompletedEvent, content="Another time", **place))
        await other.store(*other.said(WorkflowCompletedEvent, content="done elsewhere"))

    server.call(take_over)
    expect(page.locator(".stream")).to_have_text("Another time")
    expect(page.locator("#log-rows")).to_contain_text("WorkflowResumed")
    status(page, "running")
    server.call(end)
    status(page, "completed")
    expect(page.locator("#detail")).to_contain_text("done elsewhere")


def test_the_list_says_that_its_connection_is_lost_and_goes_on(page: Page, relayed: Callable[..., Relay]) -> None:
    line = relayed(failing(InMemoryDb()))
    page.goto(f"{line.url}/inspector")
    line.cut()
    expect(page.locator("#connection")).to_have_text("Connection lost. Trying again…")
    line.mend()
    expect(page.locator("#connection")).to_be_empty()
    expect(page.get_by_text("No runs yet.")).to_be_visible()


def test_it_works_where_another_app_mounts_it(page: Page, mount: Callable[..., Served]) -> None:
    server = mount(every_shape(InMemoryDb()), asking(InMemoryDb()), at="/some/where")
    page.goto(f"{server.url}/some/where/inspector")
    page.get_by_role("link", name="Trip").click()
    page.get_by_role("button", name="Start").click()
    status(page, "waiting for you")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Budget", exact=True)).to_be_visible()
    page.locator("#log-rows summary").first.click()
    expect(page.locator("#log-rows pre").first).to_contain_text('"event"')
    page.get_by_role("link", name="as JSON").click()
    expect(page.locator("body")).to_contain_text('"status":"PAUSED"')
    page.go_back()
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.locator("#inbox")).to_contain_text("Where to?")
    assert page.url == f"{server.url}/some/where/inspector"


def test_a_running_run_is_cancelled_and_a_cancelled_one_tried_again(page: Page, served: Serve) -> None:
    gate = Gate()
    first = begin(page, served(streaming(InMemoryDb(), gate)), "story")
    page.get_by_role("button", name="Cancel").click()  # and the question whether it is meant is accepted
    status(page, "cancelled")
    gate.open()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(lambda url: url != first)
    status(page, "completed")


def test_a_failed_run_says_where_and_why_and_goes_on_from_there(page: Page, served: Serve) -> None:
    first = begin(page, served(failing(InMemoryDb())), "print")
    status(page, "failed")
    expect(page.locator("#head .notice")).to_contain_text("no paper left in the printer")
    keep(page, "run-failed")
    page.locator("#head .notice a").click()
    expect(page.locator("#detail")).to_contain_text("RuntimeError: no paper left in the printer")
    traceback = page.locator("#detail").get_by_role("region", name="Traceback")
    expect(traceback).to_be_hidden()
    page.get_by_text("Traceback", exact=True).click()
    expect(traceback).to_contain_text("raise error")
    expect(traceback).to_contain_text("In step 'press' (path 1.press, attempt 1) of run ")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(lambda url: not url.startswith(first))
    status(page, "completed")
    expect(page.locator("#log-rows")).not_to_contain_text("0.write")  # it had been done


def test_a_failed_run_whose_events_were_not_stored_says_where_too(page: Page, served: Serve, tmp_path: Path) -> None:
    workflow = failing(f"sqlite:///{tmp_path}/runs.db")
    with pytest.raises(RuntimeError):
        workflow.run("print", run_id="r1")
    page.goto(f"{served(workflow).url}/inspector/runs/r1")
    status(page, "failed")
    page.locator("#head .notice a").click()
    expect(page.locator("#detail")).to_contain_text("RuntimeError: no paper left in the printer")


def fill_trip(page: Page) -> None:
    page.get_by_label("To", exact=True).fill("BER")
    page.get_by_label("Seats").fill("3")
    page.get_by_label("Budget", exact=True).fill("250.5")
    page.get_by_role("group", name="Window").get_by_label("No", exact=True).check()
    page.get_by_label("rice").check()
    page.get_by_label("bike").check()
    page.get_by_label("dog").check()
    page.get_by_label("Stops").fill("PRG\nVIE\n")
    page.get_by_label("Name", exact=True).fill("Ann Other")
    page.get_by_label("Age", exact=True).fill("40")
    page.get_by_label("Note").fill("two lines\nof it")
    page.get_by_label("More").fill('{"any": [1, null]}')


def test_questions_are_answered_in_the_page_with_every_kind_of_field(page: Page, served: Serve) -> None:
    server = served(asking(InMemoryDb()))
    address = begin(page, server, "trip")
    status(page, "waiting for you")
    keep(page, "run-asks")
    page.goto(f"{server.url}/inspector")
    expect(page.locator("#inbox")).to_contain_text("Shall I pack for a week?")
    expect(page.locator("#inbox")).to_contain_text("a topic")
    expect(page.locator("#inbox code")).to_have_text(address[-8:])
    page.get_by_role("link", name="Answer").click()
    page.wait_for_url(f"{address}#waiting")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Budget", exact=True)).to_be_visible()
    fill_trip(page)
    keep(page, "run-form", full_page=True)
    page.get_by_role("button", name="Send").click()
    status(page, "completed")
    booked = page.locator("#detail .value").first
    for part in (
        '"to": "BER"',
        '"seats": 3',
        '"budget": 250.5',
        '"window": false',
        '"meal": "rice"',
        '"bike"',
        '"dog"',
    ):
        expect(booked).to_contain_text(part)
    for part in ('"PRG"', '"VIE"', '"Ann Other"', '"age": 40', r'"two lines\nof it"', '"any"', "null"):
        expect(booked).to_contain_text(part)
    expect(page.locator("#waiting")).to_be_empty()


def test_what_does_not_fit_is_said_by_the_server_and_what_was_typed_stays(page: Page, served: Serve) -> None:
    begin(page, served(asking(InMemoryDb())), "trip")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Budget", exact=True)).to_be_visible()
    page.locator("#waiting form").evaluate("form => form.noValidate = true")  # as a browser that checks nothing
    fill_trip(page)
    page.get_by_label("To", exact=True).fill("Berlin"[:3])
    page.get_by_label("Age", exact=True).fill("400")
    page.get_by_label("More").fill("{not json")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#waiting")).to_contain_text("This is not JSON")
    page.locator("#waiting form").evaluate("form => form.noValidate = true")
    page.get_by_label("More").fill("{}")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Age", exact=True)).to_have_accessible_description("Must be at most 150, got 400")
    expect(page.get_by_label("To", exact=True)).to_have_accessible_description(re.compile("does not match the pattern"))
    expect(page.get_by_label("To", exact=True)).to_be_focused()
    expect(page.get_by_label("Stops")).to_have_value("PRG\nVIE\n")
    expect(page.get_by_label("bike")).to_be_checked()
    keep(page, "run-form-wrong", full_page=True)
    status(page, "waiting for you")


def test_several_questions_at_once_are_answered_one_by_one(page: Page, served: Serve) -> None:
    begin(page, served(asking_twice(InMemoryDb())), "twice")
    page.get_by_role("button", name="Approve").nth(1).click()
    expect(page.get_by_text("Your answer was sent.")).to_be_visible()
    status(page, "waiting for you")
    page.reload()
    expect(page.get_by_role("button", name="Approve")).to_have_count(1)
    expect(page.locator("#waiting")).to_contain_text("May the first go?")
    page.get_by_label("Why, if you reject it").fill("not today")
    page.get_by_role("button", name="Reject").click()
    status(page, "completed")
    expect(page.locator(".gantt li[data-state=skipped]")).to_contain_text("first")


def test_a_half_filled_form_survives_a_lost_connection(page: Page, relayed: Callable[..., Relay]) -> None:
    line = relayed(asking(InMemoryDb()))
    begin(page, line, "trip")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_label("Budget", exact=True)).to_be_visible()
    fill_trip(page)
    line.cut()
    expect(page.locator("#connection")).not_to_be_empty()
    line.mend()
    expect(page.locator("#connection")).to_be_empty()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Ann Other")
    expect(page.get_by_label("rice")).to_be_checked()
    page.get_by_role("button", name="Send").click()
    status(page, "completed")


def test_a_question_that_was_answered_elsewhere_says_so(open_page: Callable[..., Page], served: Serve) -> None:
    server, first, second = served(asking(InMemoryDb())), open_page(), open_page(java_script_enabled=False)
    second.goto(begin(first, server, "trip"))
    third = open_page()
    third.goto(first.url)
    third.locator("#live").evaluate("element => element.remove()")  # a page that hears of nothing
    first.get_by_role("button", name="Approve").click()
    expect(first.get_by_label("Budget", exact=True)).to_be_visible()
    third.get_by_role("button", name="Approve").click()
    expect(third.locator("#connection")).to_contain_text("the first answer stands")
    second.get_by_role("button", name="Reject").click()
    expect(second.get_by_role("alert")).to_contain_text("the first answer stands")


def reload_until(page: Page, text: str) -> None:
    """A page without scripts shows what is new when it is loaded again."""
    for _ in range(50):
        if page.get_by_text(text).count():
            return
        page.reload()
    raise AssertionError(f"{text!r} was not seen: {page.locator('#head').inner_text()}")


def test_all_of_it_works_without_scripts(open_page: Callable[..., Page], served: Serve) -> None:
    page = open_page(java_script_enabled=False)
    server = served(asking(InMemoryDb()), with_input(InMemoryDb()))
    page.goto(f"{server.url}/inspector/workflows/order")
    page.get_by_label("Item").fill("tea")
    page.get_by_label("Count").fill("2")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/inspector/runs/*")
    reload_until(page, "completed")
    page.locator(".gantt a").click()
    expect(page.locator("#detail")).to_contain_text("tea")
    address = begin(page, server, "trip")
    reload_until(page, "waiting for you")
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url(address)
    reload_until(page, "Where to?")
    fill_trip(page)
    page.get_by_label("To", exact=True).fill("XXX")
    page.get_by_label("More").fill("[")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("This is not JSON")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Ann Other")
    page.goto(address)
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(address)
    reload_until(page, "cancelled")


def test_runs_are_filtered_turned_over_and_followed_in_the_list(page: Page, served: Serve) -> None:
    gate = Gate()
    server = served(streaming(InMemoryDb(), gate), with_input(InMemoryDb()))

    async def some() -> None:
        order = server.service.workflow("order")
        for number in range(30):
            await order.arun({"item": f"thing {number}", "count": 1}, session_id=f"s{number % 2}")

    server.call(some)
    begin(page, server, "story")
    page.goto(f"{server.url}/inspector")
    rows = page.locator("#runs tbody tr")
    expect(rows.first).to_contain_text("running")
    keep(page, "home-runs")
    gate.open()
    expect(rows.first).to_contain_text("completed")  # by itself
    page.get_by_role("link", name="Older runs").click()
    expect(rows).to_have_count(6)
    page.get_by_role("link", name="Newest").click()
    expect(rows).to_have_count(25)
    page.get_by_label("Session").fill("s1")
    expect(rows).to_have_count(15)
    page.get_by_label("Status").select_option("ERROR")
    expect(page.get_by_text("No run fits these filters.")).to_be_visible()
    assert "status=ERROR" in page.url
    page.get_by_label("Status").select_option("")
    page.get_by_label("Session").fill("")
    page.get_by_label("Workflow").select_option("story")
    expect(rows).to_have_count(1)


def test_events_are_searched_and_read_in_full(page: Page, served: Serve) -> None:
    begin(page, served(every_shape(InMemoryDb())), "report")
    status(page, "completed")
    page.keyboard.press("/")
    page.keyboard.type("stepretry SLOW")
    expect(page.locator("#log-title")).to_contain_text("1 of 61 events")
    row = page.locator("#log-rows li")
    expect(row).to_have_count(1)
    row.locator("summary").click()
    expect(row.locator("pre")).to_contain_text('"error_type": "TimeoutError"')
    page.locator("#log-search").fill("nothing like this")
    expect(page.get_by_text("No event holds these words.")).to_be_visible()
    page.locator("#log-search").fill("")
    page.get_by_role("link", name="Older events").click()
    expect(page.locator("#log-rows strong").last).to_have_text("WorkflowStarted")


def test_a_keyboard_is_enough(page: Page, served: Serve) -> None:
    server = served(every_shape(InMemoryDb()))
    begin(page, server, "report")
    status(page, "completed")
    page.locator(".gantt a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_contain_text('"growth": 0.12')
    expect(page.locator("#detail")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#detail-title")).to_have_text("Result")
    page.goto(f"{server.url}/inspector")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_a_phone_shows_all_of_it_without_turning_sideways(open_page: Callable[..., Page], served: Serve) -> None:
    page = open_page(viewport={"width": 375, "height": 720}, device_scale_factor=2, has_touch=True, is_mobile=True)
    server = served(every_shape(InMemoryDb()), asking(InMemoryDb()))

    def fits(name: str) -> None:
        keep(page, f"phone-{name}", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], name
        broken = "all => all.filter(e => e.offsetHeight > 30).map(e => e.innerText)"
        assert page.locator(".events strong").evaluate_all(broken) == [], f"{name}: an event's name is on two lines"

    page.goto(f"{server.url}/inspector/workflows/report")
    fits("start")
    begin(page, server, "report")
    status(page, "completed")
    expect(page.locator(".events strong").first).to_have_text("WorkflowCompleted")
    page.locator(".gantt a").first.tap()
    expect(page.locator("#detail-title")).to_be_in_viewport()
    fits("run")
    page.set_viewport_size({"width": 768, "height": 900})
    fits("tablet")
    said = page.locator(".events summary").first.evaluate("e => e.offsetWidth")
    assert said > 300, "what an event says has room"
    page.set_viewport_size({"width": 375, "height": 720})
    begin(page, server, "trip")
    page.get_by_role("button", name="Approve").tap()
    expect(page.get_by_label("Budget", exact=True)).to_be_visible()
    fits("form")
    page.goto(f"{server.url}/inspector")
    fits("home")


def test_colours_are_the_systems_or_the_readers_choice(open_page: Callable[..., Page], served: Serve) -> None:
    page = open_page(color_scheme="dark")
    page.goto(f"{served(failing(InMemoryDb())).url}/inspector")

    def ground() -> Any:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert ground() == "rgb(15, 19, 24)"
    page.get_by_role("button", name="Colours").click()
    assert ground() == "rgb(246, 247, 249)"
    page.reload()
    assert ground() == "rgb(246, 247, 249)"
