"""get_run, get_run_output and get_last_run_output, each with its a-twin, on both databases."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from workflow_runtime import (
    BaseDb,
    Image,
    Parallel,
    RunStatus,
    SessionOwnerError,
    Step,
    StepOutput,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
)

from .helpers import Agent, Api, Launch, echo, finished, names


class Report(BaseModel):
    title: str


def rich(step_input: Any) -> StepOutput:
    return StepOutput({"k": (1, Report(title="t"))}, images=[Image(content=b"png")])


def two_steps(db: BaseDb | None, **options: Any) -> Workflow:
    steps = [
        Step(name="a", executor=echo),
        Parallel(Step(name="b", executor=rich), Step(name="c", agent=Agent()), name="p"),
    ]
    return Workflow(name="w", id="w-1", steps=steps, db=db, **options)


def same(stored: WorkflowRunOutput, returned: WorkflowRunOutput) -> bool:
    """Every field but the journal, which is not for people."""
    fields = [name for name in returned.__struct_fields__ if name not in ("journal", "updated_at")]
    different = {name for name in fields if getattr(stored, name) != getattr(returned, name)}
    assert different == set(), different
    return True


# -- get_run_output -------------------------------------------------------------------------------------------------


def test_get_run_output_is_what_the_run_returned(db: BaseDb, api: Api, launch: Launch) -> None:
    workflow = two_steps(db)
    output = launch(workflow, "x", session_id="s", user_id="u", metadata={"m": 1}, additional_data={"a": 1})
    stored = api(workflow).get_run_output(run_id=output.run_id, session_id="s")
    assert same(stored, output)
    assert stored.status is RunStatus.completed
    branch = stored.step_results[1].steps[0]
    assert branch.content == {"k": (1, Report(title="t"))}
    assert branch.images == [Image(content=b"png")]


def test_get_run_output_session_id_may_be_left_out(db: BaseDb, api: Api) -> None:
    workflow = two_steps(db)
    output = workflow.run("x", session_id="s")
    assert api(workflow).get_run_output(output.run_id).run_id == output.run_id
    assert api(two_steps(db)).get_run_output(output.run_id).run_id == output.run_id


def test_get_run_output_session_id_of_another_session_finds_nothing(
    db: BaseDb, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    workflow = two_steps(db)
    output = workflow.run("x", session_id="s")
    with caplog.at_level(logging.WARNING, "workflow_runtime"):
        assert api(workflow).get_run_output(output.run_id, session_id="other") is None
    assert "no such run in session other" in caplog.text


def test_get_run_output_of_an_unknown_run_is_none(db: BaseDb, api: Api) -> None:
    assert api(two_steps(db)).get_run_output("nothing") is None


def test_get_run_output_without_a_db_is_none(api: Api) -> None:
    workflow = two_steps(None)
    output = workflow.run("x")
    assert api(workflow).get_run_output(output.run_id) is None


def test_get_run_output_of_another_user_is_refused(db: BaseDb, api: Api) -> None:
    workflow = two_steps(db)
    output = workflow.run("x", user_id="ann")
    assert api(workflow).get_run_output(output.run_id, user_id="ann") is not None
    with pytest.raises(SessionOwnerError):
        api(workflow).get_run_output(output.run_id, user_id="bob")


def test_get_run_output_has_the_stored_events_of_a_run_that_stores_them(db: BaseDb, api: Api, launch: Launch) -> None:
    workflow = two_steps(db, store_events=True)
    output = launch(workflow, "x")
    stored = api(workflow).get_run_output(output.run_id)
    assert names(stored.events) == names(output.events)
    assert [event.seq for event in stored.events] == list(range(1, output.last_seq + 1))


def test_get_run_output_of_a_paused_run_has_its_open_requirements(db: BaseDb, api: Api) -> None:
    workflow = Workflow(steps=[Step(name="ask", executor=echo, requires_confirmation=True)], db=db)
    paused = workflow.run("x")
    stored = api(workflow).get_run_output(paused.run_id)
    assert stored.is_paused
    assert isinstance(stored.active_step_requirements[0], StepRequirement)
    assert stored.active_step_requirements[0].id == paused.active_step_requirements[0].id
    assert (stored.paused_step_name, stored.paused_step_index, stored.pause_kind) == ("ask", 0, "step")


# -- get_run ----------------------------------------------------------------------------------------------------------


def test_get_run_needs_no_session_id(db: BaseDb, api: Api) -> None:
    workflow = two_steps(db)
    output = workflow.run("x", session_id="s")
    assert same(api(workflow).get_run(run_id=output.run_id), output)
    assert same(api(two_steps(db)).get_run(output.run_id), output)


def test_get_run_session_id_of_another_session_finds_nothing(db: BaseDb, api: Api) -> None:
    workflow = two_steps(db)
    output = workflow.run("x", session_id="s")
    assert api(workflow).get_run(output.run_id, session_id="s") is not None
    assert api(workflow).get_run(output.run_id, session_id="other") is None


def test_get_run_of_an_unknown_run_is_none(db: BaseDb, api: Api) -> None:
    assert api(two_steps(db)).get_run("nothing") is None
    assert api(two_steps(None)).get_run("nothing") is None


@pytest.mark.anyio
async def test_get_run_shows_a_background_run_as_it_goes_on(db: BaseDb) -> None:
    started, gate = anyio.Event(), anyio.Event()

    async def wait() -> str:
        started.set()
        await gate.wait()
        return "done"

    workflow = Workflow(steps=[Step(name="a", executor=echo), Step(name="wait", executor=wait)], db=db)
    pending = await workflow.arun("x", background=True)
    await started.wait()
    running = await workflow.aget_run(str(pending.run_id))
    assert running is not None
    assert running.status is RunStatus.running
    assert [step.content for step in running.step_results] == ["echo x"]
    gate.set()
    done = await finished(workflow, pending.run_id)
    assert (done.status, done.content) == (RunStatus.completed, "done")


@pytest.mark.anyio
async def test_get_run_finds_a_background_run_that_no_database_keeps() -> None:
    workflow = Workflow(steps=[Step(name="a", executor=echo)])
    pending = await workflow.arun("x", background=True)
    done = await finished(workflow, pending.run_id)
    assert (done.status, done.content) == (RunStatus.completed, "echo x")


@pytest.mark.parametrize("ending", ["failed", "paused", "cancelled"])
def test_get_run_knows_how_a_run_ended(db: BaseDb, api: Api, ending: str) -> None:
    def refuse() -> None:
        raise LookupError("no")

    steps = {
        "failed": [Step(name="bad", executor=refuse)],
        "paused": [Step(name="ask", executor=echo, requires_confirmation=True)],
        "cancelled": [Step(name="ask", executor=echo, requires_confirmation=True)],
    }
    workflow = Workflow(steps=[echo, *steps[ending]], db=db)
    if ending == "failed":
        with pytest.raises(LookupError):
            workflow.run("x", run_id="r")
    else:
        workflow.run("x", run_id="r")
    if ending == "cancelled":
        assert workflow.cancel_run("r")
    status = {"failed": RunStatus.error, "paused": RunStatus.paused, "cancelled": RunStatus.cancelled}
    found = api(workflow).get_run("r")
    assert found.status is status[ending]
    assert [step.content for step in found.step_results] == ["echo x"]


# -- get_last_run_output -------------------------------------------------------------------------------------------------


def test_get_last_run_output_is_the_newest_of_the_session(db: BaseDb, api: Api) -> None:
    workflow = two_steps(db)
    workflow.run("a", session_id="s")
    last = workflow.run("b", session_id="s")
    workflow.run("c", session_id="other")
    assert same(api(workflow).get_last_run_output(session_id="s"), last)


def test_get_last_run_output_without_a_session_id_is_that_of_the_default_session(db: BaseDb, api: Api) -> None:
    workflow = two_steps(db)
    assert api(workflow).get_last_run_output() is None
    workflow.run("a")
    last = workflow.run("b")
    workflow.run("c", session_id="other")
    assert api(workflow).get_last_run_output().run_id == last.run_id


def test_get_last_run_output_of_an_unknown_session_is_none(db: BaseDb, api: Api) -> None:
    assert api(two_steps(db)).get_last_run_output("nobody") is None
    assert api(two_steps(None)).get_last_run_output("nobody") is None


def test_get_last_run_output_of_another_user_is_refused(db: BaseDb, api: Api) -> None:
    workflow = two_steps(db)
    workflow.run("a", session_id="s", user_id="ann")
    with pytest.raises(PermissionError):
        api(workflow).get_last_run_output("s", user_id="bob")


def test_get_last_run_output_reads_one_run(db: BaseDb, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = two_steps(db)
    for number in range(5):
        workflow.run(str(number), session_id="s")
    read: list[int] = []
    listed = db.list_runs

    async def counting(*args: Any, **kwargs: Any) -> Any:
        rows = await listed(*args, **kwargs)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(db, "list_runs", counting)
    assert api(workflow).get_last_run_output("s").input == "4"
    assert read == [1]
