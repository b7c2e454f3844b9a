"""What the first version stored is listed, read, followed, forked and checked."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from workflow_runtime import BaseDb, CustomEvent, RunStatus, SessionOwnerError, Workflow
from workflow_runtime.backends import SqliteDb
from workflow_runtime.cli.app import app
from workflow_runtime.cli.source import ENV
from workflow_runtime.storage.base import RunFilter

from . import main_values
from .classes import Booked, values
from .conftest import BACKENDS, DATA, copy_of_data
from .reading import see_run, see_session

pytestmark = pytest.mark.anyio

EXPECTED: dict[str, dict[str, Any]] = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
TO_CANCEL = "cancel-requested"  # is cancelled by whoever meets it first: test_continuing
TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("run_id", [run_id for run_id in EXPECTED["runs"] if run_id != TO_CANCEL])
async def test_a_run_is_read_as_the_first_version_read_it(
    db: BaseDb, workflows: dict[str, Workflow], run_id: str
) -> None:
    row = await db.load_run(run_id)
    assert row is not None
    expected = copy.deepcopy(EXPECTED["runs"][run_id])
    if isinstance(db, SqliteDb) and row.status in (RunStatus.RUNNING, RunStatus.PENDING):
        expected["run"][3] += 1  # the migration took the run away from its process
    if run_id == "dead-continued":  # the first version read the question as it was before its answer
        expected["questions"][0]["answered"] = 1700027861.0
    if run_id == "iteration":  # a review of an iteration takes an edit now, as the other reviews do
        schema = expected["questions"][0]["schema"]
        schema["properties"]["edited_output"] = {}
        schema["if"] = {"properties": {"confirmed": {"const": False}}, "required": ["confirmed"]}
        schema["then"], schema["else"] = {"properties": {"edited_output": False}}, {"required": []}
    assert await see_run(workflows[str(row.workflow_id)], run_id) == expected


@pytest.mark.parametrize("session_id", [session_id for session_id in EXPECTED["sessions"] if session_id != TO_CANCEL])
async def test_a_session_is_read_as_the_first_version_read_it(
    db: BaseDb, workflows: dict[str, Workflow], session_id: str
) -> None:
    row = await db.load_session(session_id)
    assert row is not None
    workflow = workflows[row.workflow_id or "chat"]
    assert await see_session(workflow, session_id) == EXPECTED["sessions"][session_id]


async def test_all_runs_and_sessions_are_listed_newest_first(db: BaseDb) -> None:
    rows = await db.list_runs(RunFilter(), limit=1000)
    assert [row.run_id for row in reversed(rows)] == [*EXPECTED["runs"], "main-values"]
    assert [row.run_id for row in await db.list_runs(RunFilter(user_id="ada"))] == [
        *("count-2", "count-1", "count-0", "chat-1", "chat-0")
    ]
    found = await db.list_runs(RunFilter(workflow_id="confirm", statuses=frozenset({RunStatus.completed})))
    assert [row.run_id for row in found] == ["refused", "confirmed"]
    assert [row.forked_from for row in await db.list_runs(RunFilter(session_id="forked"))] == ["all-kinds@7"]
    sessions = await db.list_sessions(limit=1000)
    assert [row.session_id for row in reversed(sessions)] == [*EXPECTED["sessions"], "main-values"]
    assert [row.session_id for row in await db.list_sessions(user_id="eve")] == ["made-by-hand", "eve"]


async def test_the_open_questions_are_listed_oldest_first(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    rows = await db.list_requirements(limit=1000)
    listed = [row.requirement_id for row in rows if row.run_id != "main-values"]
    expected = [
        item["id"]
        for run in EXPECTED["runs"].values()
        for item in run["questions"]
        if item["answered"] is None and run["run"][0] == "PAUSED"
    ]
    assert sorted(listed) == sorted(expected)
    assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)
    assert [item.id for item in await workflows["confirm"].alist_pending(user_id="eve")] == ["of-eve:1.pay@before"]


async def test_values_come_back_with_their_types(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    output = await workflows["keeps"].aget_run_output("keeps")
    assert output is not None
    state = await workflows["keeps"].aget_session_state("keeps")
    for name, value in values().items():
        for found in (output.content[name], state[name]):
            assert found == value
            assert type(found) is type(value)


async def test_media_and_events_of_the_users_come_back(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    log = [event async for event in workflows["shows"].subscribe("shows")]
    plain, booked = [event for event in log if isinstance(event, CustomEvent)]
    assert (type(plain), plain.kind, plain.amount) == (CustomEvent, "plain", 3)
    assert (type(booked), booked.seat, booked.price, booked.path) == (Booked, "12A", values()["decimal"], "0.show")
    [progress] = [event for event in log if event.event == "StepProgress"]
    assert (progress.done, progress.total, progress.text) == (1, 2, "half")
    output = await workflows["shows"].aget_run_output("shows")
    assert output is not None
    step = output.step_results[0]
    assert step.images[0].content == b"\x89PNG"
    assert (step.audio[0].url, step.videos[0].width, step.files[0].name) == ("https://example.org/a.mp3", 640, "a.txt")
    assert (step.metrics.total_tokens, step.metrics.cost) == (7, 0.25)


async def test_a_log_is_followed_from_any_place(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    whole = [event async for event in workflows["speaks"].subscribe("speaks")]
    assert "".join(event.content for event in whole if event.event == "RunContent") == "three small words"
    assert "".join(event.content for event in whole if event.event == "TeamRunContent") == "we agree"
    for event in whole[:-1]:
        rest = [event.id async for event in workflows["speaks"].subscribe("speaks", after=event.id)]
        assert rest == [later.id for later in whole if later.seq > event.seq]
    told = [event async for event in workflows["conflicts"].subscribe("conflicts", kinds=["SessionStateConflict"])]
    assert [(event.key, event.ours, event.theirs) for event in told[:-1]] == [("shared", "mine", "theirs")]


async def test_a_finished_run_is_forked(db: BaseDb, workflows: dict[str, Workflow], entered: list[str]) -> None:
    fork = await workflows["all-kinds"].fork("all-kinds", at="7.inner")
    assert (fork.status, fork.content) == (RunStatus.completed, "last: work 7.inner/0.in")
    assert entered == ["7.inner/0.in", "8.last"]
    entered.clear()
    fork = await workflows["all-kinds"].fork("forked-twice", at="8.last")
    assert fork.step_results[1].steps[0].content == "by hand"
    assert entered == ["8.last"]
    fork = await workflows["dead-third"].fork("dead-third")
    assert (fork.status, fork.content) == (RunStatus.completed, "work 3.four")


async def test_sessions_go_on(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    chat, counts = workflows["chat"], workflows["counts"]
    output = await counts.arun("more", session_id="counted", user_id="ada")
    assert output.content == 4
    metrics = await counts.aget_session_metrics("counted")
    assert metrics is not None
    assert metrics.runs == 4
    with pytest.raises(SessionOwnerError):
        await counts.arun("more", session_id="counted", user_id="bob")
    with pytest.raises(SessionOwnerError):
        await chat.aget_session("chat-ada", user_id="bob")
    await chat.aset_session_name("chat-bob", session_name="Bob's")
    await chat.aupdate_session_state({"language": "de"}, "chat-bob")
    session = await chat.aget_session("chat-bob")
    assert session is not None
    assert (session.session_name, session.session_state) == ("Bob's", {"language": "de", "first": "chat-2"})
    assert await chat.adelete_session("chat-bob")
    assert await db.load_run("chat-2") is None
    await chat.aupdate_session_state({"language": "fr"}, "bare")
    assert await chat.aget_session_state("bare") == {"language": "fr"}


def be_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give ``__main__`` the classes of main_values."""
    for name in ("Receipt", "Letter", "Mood"):
        monkeypatch.setattr(sys.modules["__main__"], name, getattr(main_values, name), raising=False)


async def test_values_of_a_script_are_read_where_its_workflow_is_built(url: str, opened: BaseDb) -> None:
    workflow = main_values.build(url)
    assert workflow.db is not None
    output = await workflow.aget_run_output("main-values")
    assert output is not None
    assert output.step_results[0].content == main_values.content()
    await workflow.db.aclose()


# -- from outside ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=BACKENDS)
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A copy of one test's own."""
    return copy_of_data(request, tmp_path)


def test_a_script_goes_on_with_values_of_its_own_classes(own_url: str) -> None:
    code = [sys.executable, "-m", "upgrade.main_values", "read", own_url]
    done = subprocess.run(code, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "True Receipt(number=8, mood=<Mood.GOOD: 'good'>)",
        "{'receipt': Receipt(number=9, mood=<Mood.GOOD: 'good'>)}",
        "COMPLETED True",
    ]


def test_the_command_reads_answers_cancels_and_checks(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, own_url)
    monkeypatch.setenv("COLUMNS", "120")
    be_the_script(monkeypatch)

    def wfr(*arguments: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, list(arguments), prog_name="wfr")
        assert found.exit_code == code, found.output
        return found.stdout

    listed = json.loads(wfr("runs", "--json", "--limit", "1000", "--status", "paused"))
    assert {run["run_id"] for run in listed} == {
        *(run_id for run_id, run in EXPECTED["runs"].items() if run["run"][0] == "PAUSED"),
        "main-values",
    }
    shown = json.loads(wfr("show", "all-kinds", "--json"))
    assert [entry["path"] for entry in shown["history"]] == [
        entry[0] for entry in EXPECTED["runs"]["all-kinds"]["history"]
    ]
    assert re.search(r"✔ writer .*\n.*✔ team", wfr("show", "speaks"))
    names = [json.loads(line)["event"] for line in wfr("tail", "confirmed", "--json").splitlines()]
    assert (names[0], names[-1], len(names)) == ("WorkflowStarted", "WorkflowCompleted", 14)
    pending = json.loads(wfr("pending", "--json", "--session", "eve"))
    assert [(item["run_id"], item["confirmation_message"]) for item in pending] == [("of-eve", "Pay 120 EUR?")]
    wfr("answer", "of-eve", "--yes")
    assert json.loads(wfr("pending", "--json", "--session", "eve")) == []
    wfr("answer", "form", "--set", "seats=3", "--set", "side=window")
    wfr("answer", "route", "--choose", "b")
    wfr("answer", "error", "--skip")
    wfr("cancel", "gates")
    assert json.loads(wfr("show", "gates", "--json"))["status"] == "CANCELLED"
    report = json.loads(wfr("db", "check", "--json", code=7))  # not 0: runs are stranded, and one has lost its origin
    assert (report["problems"], report["read"], list(report["unreadable"])) == ([], 90, ["fork-of-pruned"])
    active = ("PENDING", "RUNNING")
    assert set(report["stranded"]) == {name for name, run in EXPECTED["runs"].items() if run["run"][0] in active}
