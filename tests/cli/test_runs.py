"""Commands that work from the database alone: runs, show, tail, pending, answer, cancel, export, prune."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import anyio
import pytest

from workflow_runtime import RunStatus, WorkflowRunOutput
from workflow_runtime.cli.codes import Code
from workflow_runtime.model import codec
from workflow_runtime.storage.base import Batch, RunRow
from workflow_runtime.storage.registry import open_url

from .conftest import Wfr


def test_runs_are_listed_newest_first_and_filtered(wfr: Wfr) -> None:
    wfr("run", "flows:hello", "one", "--run-id", "r1", "--session", "s1", "--user", "ada")
    wfr("run", "flows:broken", "two", "--run-id", "r2", "--session", "s2")
    assert [run["run_id"] for run in wfr("runs", "--json").json] == ["r2", "r1"]
    assert [run["run_id"] for run in wfr("runs", "--json", "--limit", "1").json] == ["r2"]
    for option in (("--session", "s1"), ("--user", "ada"), ("--status", "completed"), ("--workflow", "hello")):
        assert [run["run_id"] for run in wfr("runs", "--json", *option).json] == ["r1"]
    assert wfr("runs", "--json", "--status", "error", "--status", "completed").json[0]["status"] == "ERROR"
    text = wfr("runs").lines
    assert re.match(r"r2 +ERROR +\S+ +\d\d-\d\d .* Broken +two", text[1])
    said = wfr("runs", "--status", "nonsense")
    assert said.code == 2
    assert "completed" in said.err


@pytest.mark.parametrize("width", ["60", "80", "200"])
def test_the_list_keeps_ids_whole_at_any_width(wfr: Wfr, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    run_id = wfr("run", "flows:hello", "one", "--json").json["run_id"]
    lines = wfr("runs").lines
    assert lines[1].startswith(run_id)
    assert all(len(line) <= int(width) for line in lines)


def test_a_run_is_shown_with_bars_outputs_and_end(wfr: Wfr) -> None:
    wfr("run", "flows:broken", "hi [b]there[/b]", "--run-id", "r1")
    said = wfr("show", "r1")
    assert said.code == 0
    assert "hi [b]there[/b]" in said.out
    assert re.search(r"✔ shout +[▏▎▍▌▋▊▉█]+ +\d+ms", said.out)
    assert "✘ refuse · failed" in said.out
    assert "LookupError: no such [b]page[/b]" in said.out


def test_the_step_that_failed_is_named_also_where_no_events_are_stored(wfr: Wfr) -> None:
    wfr("run", "flows:broken", "hi", "--run-id", "r1", "--no-events")
    said = wfr("show", "r1")
    assert "✘ refuse · failed" in said.out
    assert re.search(r"at refuse +\(1.refuse\)", said.out)
    (failed,) = wfr("show", "r1", "--json").json["failed_steps"]
    assert (failed["step_name"], failed["path"], failed["success"]) == ("refuse", "1.refuse", False)


def test_the_tracebacks_of_a_run_can_be_printed(wfr: Wfr) -> None:
    wfr("run", "flows:broken", "hi", "--run-id", "r1", "--no-events")
    said = wfr("show", "r1", "--traceback")
    assert said.code == 0
    assert said.lines[0] == "1.refuse, attempt 1"
    assert "flows.py" in said.out
    assert "LookupError: no such [b]page[/b]" in said.lines
    assert "/engine/" not in said.out
    entries = wfr("show", "r1", "--json").json["history"]
    assert [(entry["path"], entry["status"]) for entry in entries] == [("0.shout", "done"), ("1.refuse", "failed")]
    assert wfr("show", "r1", "--step", "refuse").code == 5
    wfr("run", "flows:hello", "hi", "--run-id", "r2")
    assert wfr("show", "r2", "--traceback").out == "no step of this run raised an exception\n"


def test_a_run_is_found_by_the_end_of_its_id(wfr: Wfr) -> None:
    wfr("run", "flows:hello", "hi", "--run-id", "run-aaaa-1234")
    assert wfr("show", "1234", "--json").json["run_id"] == "run-aaaa-1234"
    wfr("run", "flows:hello", "hi", "--run-id", "run-bbbb-1234")
    said = wfr("show", "1234")
    assert said.code == 2
    assert "2 runs end with" in said.err
    assert wfr("show", "234").code == 5


def test_a_run_as_json_has_its_journal(wfr: Wfr) -> None:
    wfr("run", "flows:hello", "hi", "--run-id", "r1")
    found = wfr("show", "r1", "--json").json
    assert found["status"] == "COMPLETED"
    assert [(entry["path"], entry["status"]) for entry in found["history"]] == [("0.shout", "done")]
    assert found["history"][0]["output"]["content"] == "HI"


def test_the_output_of_a_step_alone_can_be_piped(wfr: Wfr) -> None:
    wfr("run", "flows:broken", "hi", "--run-id", "r1")
    assert wfr("show", "r1", "--step", "shout").out == "HI\n"
    assert wfr("show", "r1", "--step", "0.shout").out == "HI\n"
    assert wfr("show", "r1", "--step", "nothing").code == 5


@pytest.mark.parametrize("events", ["--events", "--no-events"])
def test_a_finished_run_can_be_followed_from_its_events_or_its_journal(wfr: Wfr, events: str) -> None:
    wfr("run", "flows:broken", "hi", "--run-id", "r1", events)
    said = wfr("tail", "r1")
    assert said.code == 1
    assert [line.split()[:2] for line in said.lines if line.startswith(("start", "done"))][:2] == [
        ["start", "shout"],
        ["done", "shout"],
    ]
    assert any(line.startswith("error") for line in said.lines)
    names = [json.loads(line)["event"] for line in wfr("tail", "r1", "--json").lines]
    assert (names[0], names[-1]) == ("WorkflowStarted", "WorkflowError")


@pytest.mark.parametrize("events", ["--events", "--no-events"])
def test_what_was_compensated_is_shown_and_what_was_not(wfr: Wfr, events: str) -> None:
    wfr("run", "flows:undone", "hi", "--run-id", "r1", events)
    said = wfr("show", "r1")
    assert "ship (0.ship)  compensated" in said.out
    assert "pay (1.pay)  NOT compensated: ConnectionError: the bank is closed" in said.out
    assert wfr("show", "r1", "--json").json["compensations"][1] == {"path": "0.ship", "step_name": "ship"}
    lines = [line for line in wfr("tail", "r1").lines if line.startswith("und")]
    assert lines[-2:] == [
        "undo     pay  attempt 1 failed: ConnectionError: the bank is closed",
        "undone   ship",
    ]


def test_following_can_begin_behind_an_event(wfr: Wfr) -> None:
    wfr("run", "flows:hello", "hi", "--run-id", "r1")
    for after in ("3", "1-3"):
        assert [json.loads(line)["seq"] for line in wfr("tail", "r1", "--json", "--after", after).lines] == [4, 5]
    refused = wfr("tail", "r1", "--after", "yesterday")
    assert refused.code == 2
    assert "neither a seq nor an event's id" in refused.err


def test_what_waits_is_listed(wfr: Wfr) -> None:
    wfr("run", "flows:hello", "hi")
    assert wfr("pending").out == "nothing waits for a person\n"
    wfr("run", "flows:ask", "hi", "--run-id", "r1", "--session", "s1")
    wfr("run", "flows:flaky", "hi", "--run-id", "r2")
    text = wfr("pending").out
    assert "Publish it?" in text
    assert "wfr answer r1" in text
    assert "no such [b]page[/b]" in text
    assert [item["run_id"] for item in wfr("pending", "--json").json] == ["r1", "r2"]
    assert [item["kind"] for item in wfr("pending", "--json", "--session", "s1").json] == ["confirmation"]


@pytest.mark.parametrize(
    ("flow", "options", "content"),
    [
        ("ask", ("--yes",), {"input": "hi", "answer": None}),
        (
            "form",
            ("--set", "copies=3", "--set", "size=A4"),
            {"input": "hi", "answer": {"user_input": {"copies": 3, "size": "A4"}}},
        ),
        ("route", ("--choose", "fax"), "HI"),
        ("route", ("--choose", "1"), "HI"),
        ("review", ("--yes",), "HI"),
        ("middle", ("--set", "value=4"), "table for 4"),
    ],
)
def test_an_answer_is_given_by_options_and_the_run_goes_on(
    wfr: Wfr, flow: str, options: tuple[str, ...], content: object
) -> None:
    assert wfr("run", f"flows:{flow}", "hi", "--run-id", "r1").code == 3
    said = wfr("answer", "r1", *options, "--json")
    assert said.code == 0, said.err
    assert said.json["open"] == 0
    assert wfr("continue", f"flows:{flow}", "r1", "--json").json["content"] == content


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "copies=2", "--set", "address.street=Main", "--set", "address.zip=12345"),
        ("--set", "copies=2", "--set", 'address={"street": "Main", "zip": "12345"}'),
        ("--answer", '{"user_input": {"copies": 2, "address": {"street": "Main", "zip": "12345"}}}'),
    ],
)
def test_a_model_is_set_by_its_parts_or_whole(wfr: Wfr, options: tuple[str, ...]) -> None:
    wfr("run", "flows:model", "hi", "--run-id", "r1")
    assert wfr("answer", "r1", *options).code == 0
    found = wfr("continue", "flows:model", "r1", "--json").json["content"]["answer"]["user_input"]
    assert found == {"copies": 2, "address": {"street": "Main", "zip": "12345"}}


def test_what_waits_says_which_answer_fits(wfr: Wfr) -> None:
    wfr("run", "flows:model", "hi", "--run-id", "r1")
    (found,) = wfr("pending", "--json").json
    assert found["schema"]["properties"]["user_input"]["properties"]["copies"]["maximum"] == 5
    said = wfr("answer", "r1", "--answer", '{"user_input": {"copies": 9, "address": {"street": "", "zip": "1"}}}')
    assert said.code == 2
    assert "copies' must be at most 5" in said.err
    assert "address.zip'" in said.err


def test_an_agents_question_is_answered_as_json(wfr: Wfr) -> None:
    wfr("run", "flows:agent", "hi", "--run-id", "r1")
    said = wfr("answer", "r1", "--yes")
    assert said.code == 2
    assert "--answer JSON" in said.err
    whole = {"executor_requirements": [{"id": "t1", "external_execution_result": "nothing found"}]}
    assert wfr("answer", "r1", "--answer", json.dumps(whole)).code == 0
    assert "nothing found" in wfr("continue", "flows:agent", "r1", "--json").json["content"]


def test_an_output_is_replaced_by_a_file(wfr: Wfr, tmp_path: Path) -> None:
    wfr("run", "flows:review", "hi", "--run-id", "r1")
    assert wfr("answer", "r1", "--edit", str(tmp_path / "none")).code == 2
    (tmp_path / "new.md").write_text("a better draft\n")
    assert wfr("answer", "r1", "--edit", str(tmp_path / "new.md")).code == 0
    assert wfr("continue", "flows:review", "r1", "--json").json["content"] == "a better draft\n"


def test_a_rejection_carries_its_reason(wfr: Wfr) -> None:
    wfr("run", "flows:ask", "hi", "--run-id", "r1")
    assert wfr("answer", "r1", "--no", "--feedback", "not today").code == 0
    output = wfr("continue", "flows:ask", "r1", "--json").json
    assert output["step_results"][1]["error"] == "not today"


@pytest.mark.parametrize(("option", "code"), [("--skip", 0), ("--retry", 3)])
def test_a_failed_step_is_retried_or_skipped(wfr: Wfr, option: str, code: int) -> None:
    wfr("run", "flows:flaky", "hi", "--run-id", "r1")
    assert wfr("answer", "r1", option).code == 0
    assert wfr("continue", "flows:flaky", "r1").code == code


@pytest.mark.parametrize(
    ("flow", "options", "says"),
    [
        ("ask", ("--set", "a=b"), "no form"),
        ("ask", ("--choose", "x"), "no routes"),
        ("ask", ("--edit", "-"), "no output to --edit"),
        ("ask", ("--retry",), "--yes or --no"),
        ("form", ("--set", "copies=many"), "whole number"),
        ("form", ("--set", "nothing=1"), "no field 'nothing'"),
        ("form", ("--set", "copies"), "name=value"),
        ("form", ("--yes",), "--set name=value"),
        ("route", ("--choose", "pigeon"), "choose a number"),
        ("flaky", ("--yes",), "--retry or --skip"),
        ("both", ("--yes",), "choose one with --step: a, b"),
        ("ask", ("--step", "nothing", "--yes"), "no open question"),
        ("ask", (), "no terminal to ask at; answer with --yes or --no"),
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(wfr: Wfr, flow: str, options: tuple[str, ...], says: str) -> None:
    wfr("run", f"flows:{flow}", "hi", "--run-id", "r1")
    said = wfr("answer", "r1", *options)
    assert said.code in (2, 5)
    assert says in said.err
    assert wfr("pending", "--json").json


def test_the_first_answer_wins_and_one_of_several_can_be_chosen(wfr: Wfr) -> None:
    wfr("run", "flows:both", "hi", "--run-id", "r1")
    assert wfr("answer", "r1", "--step", "b", "--yes", "--json").json["open"] == 1
    assert wfr("answer", "r1", "--yes", "--json").json["open"] == 0
    said = wfr("answer", "r1", "--no")
    assert said.code == 6
    assert "wfr continue" in said.err
    assert wfr("continue", "flows:both", "r1").code == 0


def test_a_run_that_was_put_aside_is_requeued_without_its_workflow(wfr: Wfr, url: str) -> None:
    async def store() -> None:
        db = open_url(url)
        output = WorkflowRunOutput(
            run_id="put",
            session_id="s",
            workflow_id="w",
            status=RunStatus.error,
            error="died",
            error_type="RunPutAside",
        )
        row = RunRow(
            run_id="put", session_id="s", workflow_id="w", status=RunStatus.error, data=codec.encode_run(output)
        )
        await db.commit(Batch(create=True, run=row))
        await db.aclose()

    anyio.run(store)
    assert wfr("requeue", "put", "--json").json == {"run_id": "put", "requeued": True}
    again = wfr("requeue", "put")
    assert again.code == Code.refused
    assert "was not put aside" in again.err
    assert wfr("requeue", "nothing").code == wfr("cancel", "nothing").code


def test_a_waiting_run_is_cancelled_without_its_workflow(wfr: Wfr) -> None:
    wfr("run", "flows:ask", "hi", "--run-id", "r1")
    assert wfr("cancel", "r1", "--json").json == {"run_id": "r1", "status": "CANCELLED"}
    said = wfr("cancel", "r1")
    assert said.code == 6
    assert "CANCELLED" in said.err
    assert wfr("tail", "r1").code == 4
    assert wfr("cancel", "nothing").code == 5


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href") or name.startswith("on")]


def test_a_run_is_exported_as_one_page_that_loads_nothing(wfr: Wfr, tmp_path: Path) -> None:
    wfr("run", "flows:broken", "<script>alert(1)</script>", "--run-id", "r1")
    file = tmp_path / "run.html"
    assert wfr("export", "r1", "--html", "-o", str(file)).code == 0
    text = file.read_text()
    page = _Page()
    page.feed(text)
    assert page.loads == []
    assert "script" not in page.tags
    assert "&lt;SCRIPT&gt;ALERT(1)" in text
    assert "LookupError" in text
    assert "5 stored events" in text or "StepError" in text
    assert wfr("export", "r1").out == re.sub(r"Written by .*", "", text) or wfr("export", "r1").out.startswith(
        "<!doctype html>"
    )


def test_a_run_is_exported_as_json(wfr: Wfr, tmp_path: Path) -> None:
    wfr("run", "flows:hello", "hi", "--run-id", "r1")
    found = wfr("export", "r1", "--json").json
    assert found["content"] == "HI"
    assert found["events"][0]["event"] == "WorkflowStarted"
    assert wfr("export", "r1", "--html", "--json").code == 2
    assert wfr("export", "r1", "-o", str(tmp_path / "no" / "such" / "place")).code == 2


def test_old_runs_or_only_their_events_are_deleted(wfr: Wfr) -> None:
    wfr("run", "flows:hello", "hi", "--run-id", "r1")
    assert wfr("prune", "--older-than", "1d", "--yes", "--json").json == {"runs": 0}
    assert wfr("prune", "--older-than", "0s", "--events", "--yes", "--json").json["events"] >= 4
    assert "None were stored" in wfr("export", "r1").out
    assert wfr("prune", "--older-than", "0s", "--yes").out == "1 run deleted\n"
    assert wfr("runs").out == "no runs\n"
    assert wfr("prune", "--older-than", "soon").code == 2


def test_a_database_that_cannot_be_opened_is_told_in_one_line(wfr: Wfr) -> None:
    said = wfr("runs", "--db", "sqlite:////no/such/place/runs.db")
    assert said.code == 7
    assert said.err.count("\n") == 1


def test_run_ids_are_completed_in_the_shell(wfr: Wfr, url: str) -> None:
    import typer

    from workflow_runtime.cli.app import app, complete_run

    wfr("run", "flows:hello", "hi", "--run-id", "r1")
    wfr("run", "flows:hello", "hi", "--run-id", "x1")
    context = typer.Context(typer.main.get_command(app))
    assert complete_run(context, "r") == ["r1"]
    context.params["db"] = "sqlite:////no/such/place/runs.db"
    assert complete_run(context, "r") == []


def test_a_message_is_sent_and_refused_by_the_command(wfr: Wfr) -> None:
    assert wfr("run", "flows:waits", "x", "--run-id", "r1", "--json").code == Code.paused
    order = '{"copies": 2, "address": {"street": "Elm", "zip": "12345"}}'
    assert wfr("send", "r1", "orders", "no order").code == Code.usage
    assert wfr("send", "r2", "orders", order).code == Code.not_found
    assert wfr("send", "r1", "else", "1", "--only-if-awaited").code == Code.refused
    kept = wfr("send", "r1", "else", "1", "--id", "m")
    assert (kept.code, kept.lines[0]) == (0, "sent: m")
    assert "no step waits for else now" in kept.out
    assert wfr("send", "r1", "else", "2", "--id", "m").code == Code.refused
    assert wfr("send", "r1", "else", "1", "--id", "m").lines == ["sent before: m"]
    sent = wfr("send", "r1", "orders", "-", "--json", input=order)
    assert sent.json["awaited"] is True, sent
    done = wfr("continue", "flows:waits", "r1", "--json")
    assert done.code == 0, done
    done = done.json
    assert (done["status"], done["content"]["copies"]) == ("COMPLETED", 2)
    assert wfr("send", "r1", "orders", order).code == Code.refused
