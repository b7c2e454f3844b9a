"""Runs of one session take their turns in the order in which they were called, whatever each waits for before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from workflow_runtime import BaseDb, InMemoryDb, RunStatus, StepInput, Workflow

pytestmark = pytest.mark.anyio

Again = Callable[[], BaseDb]


@pytest.mark.parametrize("named", [False, True])
async def test_a_queue_keeps_the_order_of_the_calls(again: Again, named: bool) -> None:
    order: list[int] = []

    async def step(step_input: StepInput) -> None:
        order.append(step_input.input)

    workflow = Workflow(id="w", steps=[step], db=again(), session_policy="queue")
    tasks = [
        asyncio.create_task(workflow.arun(number, session_id="s", run_id=f"r{number}" if named else None))
        for number in range(20)
    ]
    outputs = await asyncio.gather(*tasks)
    assert order == list(range(20))
    assert {output.status for output in outputs} == {RunStatus.completed}


async def test_a_queue_keeps_it_where_the_first_call_is_answered_last() -> None:
    order: list[int] = []

    class Slow(InMemoryDb):
        async def load_session(self, session_id: str) -> Any:
            mine = anyio.Event()
            waiting.append(mine)
            await mine.wait()
            return await super().load_session(session_id)

    waiting: list[anyio.Event] = []

    async def step(step_input: StepInput) -> None:
        order.append(step_input.input)

    workflow = Workflow(id="w", steps=[step], db=Slow(), session_policy="queue")
    tasks = [asyncio.create_task(workflow.arun(number, session_id="s")) for number in range(3)]
    while len(waiting) < 3:
        await anyio.lowlevel.checkpoint()
    for event in reversed(waiting[:3]):
        event.set()
        await anyio.wait_all_tasks_blocked()
    while not all(task.done() for task in tasks):
        for event in waiting:
            event.set()
        await anyio.lowlevel.checkpoint()
    assert order == [0, 1, 2]


async def test_a_call_that_fails_before_its_turn_lets_the_next_one_have_it(again: Again) -> None:
    ran: list[int] = []

    async def step(step_input: StepInput) -> None:
        ran.append(step_input.input)

    workflow = Workflow(id="w", steps=[step], db=again(), session_policy="queue")
    await workflow.arun(0, session_id="s", user_id="u")
    results = await asyncio.gather(
        workflow.arun(1, session_id="s", user_id="other"),
        workflow.arun(2, session_id="s", user_id="u"),
        workflow.arun(3, session_id="s", user_id="u", run_id="r"),
        workflow.arun(4, session_id="s", user_id="u", run_id="r"),
        workflow.arun(5, session_id="s", user_id="u"),
        return_exceptions=True,
    )
    kinds = [type(result).__name__ for result in results]
    assert [kinds[0], kinds[1], kinds[4]] == ["SessionOwnerError", "WorkflowRunOutput", "WorkflowRunOutput"]
    assert sorted(kinds[2:4]) == ["RunExists", "WorkflowRunOutput"], "the database gives the id to one of them"
    assert ran == [0, 2, 4 if kinds[2] == "RunExists" else 3, 5]
