"""Runs whose process of the first version died are taken over and brought to their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import BaseDb, RunStatus, Workflow

from .conftest import BACKENDS, copy_of_data
from .reading import numbers

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Dead:
    """What a run comes to, and which of its steps are entered for it. ``before``: events of the log of the dead process;
    ``after``: how the log goes on."""

    content: Any
    entered: list[str]
    before: int
    after: list[str]
    workflow: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)


STEP = ["StepStarted", "StepOutput", "StepCompleted"]
INNER = ["StepStarted", "StepCompleted"]
END = [*STEP, "WorkflowCompleted"]
ROUND = ["LoopIterationStarted", *INNER, "LoopIterationCompleted"]

DEAD = {
    "dead-first": Dead("work 1.two", ["0.one", "1.two"], 1, [*STEP, *END], results={"one": "one of the input"}),
    "dead-third": Dead("work 3.four", ["2.three", "3.four"], 7, [*STEP, *END], results={"one": "work 0.one"}),
    "dead-parallel": Dead(
        # by name: the first version gave the last branch
        "last: {'left': 'work 1.both/0.left', 'right': 'right of first the input'}",
        ["1.both/1.right", "2.last"],
        7,
        [*INNER, "ParallelExecutionCompleted", *END],
    ),
    "dead-map": Dead(
        # the same
        "last: {'item': ['x: 1.each#0/0.item', 'y: 1.each#1/0.item', 'z: 1.each#2/0.item']}",
        ["1.each#1/0.item", "2.last"],
        10,
        [*INNER, "MapExecutionCompleted", *END],
    ),
    "dead-loop": Dead(
        "last: the input: 1.loop#2/0.count",
        ["1.loop#1/0.count", "1.loop#2/0.count", "2.last"],
        9,
        [*ROUND, *ROUND, "LoopExecutionCompleted", *END],
    ),
    "dead-condition": Dead(
        "last: b of work 1.if/if.0.a",
        ["1.if/if.1.b", "2.last"],
        7,
        [*INNER, "ConditionExecutionCompleted", *END],
    ),
    "dead-router": Dead(
        "last: b of work 1.way/0.a", ["1.way/1.b", "2.last"], 7, [*INNER, "RouterExecutionCompleted", *END]
    ),
    "dead-nested": Dead(
        "last: b of work 1.inner/0.in",
        ["1.inner/1.b", "2.last"],
        9,
        [*STEP, "WorkflowCompleted", "StepCompleted", *END],
    ),
    "dead-text": Dead(
        "last: once upon a time",
        ["1.tell", "2.last"],
        6,
        ["StepStarted", "StepContent", "StepOutput", "StepCompleted", *END],
    ),
    "dead-once": Dead("last: drew a card", ["1.draw", "2.last"], 5, [*STEP, *END]),
    "dead-sleep": Dead("last: slept", ["1.wait", "2.last"], 5, [*STEP, *END]),
    "dead-state": Dead(
        "last: unsaved True",
        ["1.change", "2.last"],
        4,
        [*STEP, *END],
        state={"first": "changed", "unsaved": True},
    ),
    "dead-by-hand": Dead(
        "work one, two of work one", ["two"], 4, [*STEP, "WorkflowCompleted"], results={"one": "work one"}
    ),
    "dead-continued": Dead("work 2.c", ["1.b", "2.c"], 7, [*STEP, *END], results={"desk": "4 pieces"}),
    "dead-fork": Dead(
        "work 2.c", ["1.b", "2.c"], 1, [*STEP, *END], workflow="dead-continued", results={"desk": "by hand"}
    ),
    "dead-turn": Dead("one of the input", ["0.one"], 1, END, workflow="waits"),
}


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A copy per test: recovery takes all runs of a workflow."""
    return copy_of_data(request, tmp_path)


async def test_the_runs_of_dead_processes_are_read_as_running(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    for run_id, dead in DEAD.items():
        row = await db.load_run(run_id)
        assert row is not None
        assert (row.status, row.owner) == (RunStatus.running, "a-machine:1:00000001"), run_id
        assert len(await db.load_events(run_id)) == dead.before, run_id
    row = await db.load_run("waiting")
    assert row is not None
    assert (row.status, row.seq, row.cancel_requested) == (RunStatus.pending, 0, False)
    row = await db.load_run("dead-cancel")
    assert row is not None
    assert (row.status, row.cancel_requested) == (RunStatus.running, True)
    tell = [row for row in await db.load_events("dead-text") if row.kind == "StepContent"]
    assert [(row.seq, row.last_seq) for row in tell] == [(6, 8)]
    [state] = [row.state for row in await db.load_steps("dead-state") if row.path == "0.first"]
    assert state is not None
    assert b"unsaved" not in state


@pytest.mark.parametrize("workflow_id", sorted({dead.workflow or run_id for run_id, dead in DEAD.items()}))
async def test_the_run_of_a_dead_process_is_recovered(
    db: BaseDb, workflows: dict[str, Workflow], entered: list[str], workflow_id: str
) -> None:
    workflow = workflows[workflow_id]
    mine = {run_id: dead for run_id, dead in DEAD.items() if (dead.workflow or run_id) == workflow_id}
    taken = await workflow.recover()
    assert set(taken) - {"waiting", "dead-cancel"} == set(mine)
    for run_id in taken:
        async for _ in workflow.subscribe(run_id):
            pass
    expected = [path for dead in mine.values() for path in dead.entered]
    if workflow_id == "waits":
        expected.append("0.one")  # of the run that waited for its turn
    if workflow_id != "dead-third":  # a run of it that somebody wants cancelled is taken too
        assert sorted(entered) == sorted(expected)
    for run_id, dead in mine.items():
        output = await workflow.aget_run_output(run_id)
        assert output is not None
        assert (output.status, output.content) == (RunStatus.completed, dead.content)
        log = output.events or []
        assert [event.event for event in log[dead.before :]] == ["WorkflowResumed", *dead.after]
        assert numbers(log) == list(range(1, log[-1].seq + 1))
        assert "drawn" not in entered
        for name, content in dead.results.items():
            assert [step.content for step in output.step_results if step.step_name == name] == [content]
        if dead.state:
            assert await workflow.aget_session_state(run_id) == dead.state


async def test_a_run_that_waited_for_its_turn_is_begun(
    db: BaseDb, workflows: dict[str, Workflow], entered: list[str]
) -> None:
    workflow = workflows["waits"]
    await workflow.recover()
    events = [event.event async for event in workflow.subscribe("waiting")]
    # Its process may have begun it, and shown what it did not store.
    assert events == ["WorkflowStarted", "WorkflowResumed", *END]
    output = await workflow.aget_run_output("waiting")
    assert output is not None
    assert (output.status, output.content) == (RunStatus.completed, "one of the input")


async def test_a_reader_of_the_dead_process_is_served_the_rest(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    """It had seen text that was not stored; what replaces it comes behind a WorkflowResumed."""
    workflow = workflows["dead-text"]
    await workflow.recover()
    rest = [event async for event in workflow.subscribe("dead-text", after="1-8")]
    assert [event.event for event in rest][:3] == ["WorkflowResumed", "StepStarted", "StepContent"]
    assert rest[-1].event == "WorkflowCompleted"
