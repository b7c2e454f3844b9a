"""An agent that asks by the run's own means, stops for an approval, and asks again when it goes on: each answer reaches the
question it was given to. (D7, D8)"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from workflow_runtime import BaseDb, RunContext, RunStatus, Step, Workflow, WorkflowRunOutput
from workflow_runtime.testing import FakeClock, ScriptedOutput

pytestmark = pytest.mark.anyio

APPROVAL = {"id": "t", "tool_execution": {"tool_name": "pay"}}


class Clerk:
    """``first`` and then one of ``later`` per continuation are what it asks; each list but the last ends in an approval."""

    def __init__(self, first: list[str], *later: list[str]) -> None:
        self.name = "clerk"
        self.rounds = [first, *later]
        self.heard: list[tuple[str, Any]] = []

    async def arun(self, input: Any, run_context: RunContext) -> ScriptedOutput:
        return await self.go(0, run_context)

    async def acontinue_run(self, run_response: Any, run_context: RunContext) -> ScriptedOutput:
        return await self.go(run_response.reply + 1, run_context)

    async def go(self, number: int, run_context: RunContext) -> ScriptedOutput:
        for question in self.rounds[number]:
            self.heard.append((question, await run_context.ask(question, int)))
        if number + 1 < len(self.rounds):
            return ScriptedOutput(status=RunStatus.paused, requirements=[dict(APPROVAL)], reply=number)
        return ScriptedOutput(content=" ".join(f"{question}={value}" for question, value in self.heard))


async def answered(make: Any, values: dict[str, list[int]]) -> tuple[WorkflowRunOutput, list[str]]:
    """Approve all, and give the next of its ``values`` to each question; what was asked, in order."""
    asked: list[str] = []
    output = await make().arun("x")
    while output.is_paused:
        await anyio.wait_all_tasks_blocked()  # what is to be evicted is
        (item,) = [item for item in output.active_step_requirements if item.answered_at is None]
        if item.kind == "executor":
            item.confirm()
            asked.append("approval")
        else:
            item.answer({"user_input": {"value": values[str(item.user_input_message)].pop(0)}})
            asked.append(str(item.user_input_message))
        output = await make().acontinue_run(run_id=output.run_id, step_requirements=[item])
    return output, asked


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another process", "same process"])
async def test_what_is_asked_behind_an_approval_is_a_question_of_its_own(db: BaseDb, elsewhere: bool) -> None:
    clerks: list[Clerk] = []

    def make() -> Workflow:
        if elsewhere or not clerks:
            clerks.append(Clerk(["seats?", "day?"], ["seats?", "sure?"], ["seats?"]))
        steps = [Step(name="clerk", agent=clerks[-1])]
        return Workflow(name="w", steps=steps, db=db, evict_after=0.0 if elsewhere else 300.0)

    output, asked = await answered(make, {"seats?": [1, 2, 3], "day?": [10], "sure?": [20]})
    assert asked == ["seats?", "day?", "approval", "seats?", "sure?", "approval", "seats?"]
    heard = [("seats?", 1), ("day?", 10), ("seats?", 2), ("sure?", 20), ("seats?", 3)]
    if elsewhere:  # the last clerk went on behind the last approval
        assert clerks[-1].heard == heard[-1:]
        assert output.content == "seats?=3"
    else:
        assert clerks[-1].heard == heard


async def test_a_sleep_behind_an_approval_is_not_over_because_an_earlier_one_is(db: BaseDb) -> None:
    class Sleeper(Clerk):
        async def go(self, number: int, run_context: RunContext) -> ScriptedOutput:
            await run_context.sleep(60)
            return await super().go(number, run_context)

    clock = FakeClock()
    workflow = Workflow(name="w", steps=[Step(name="clerk", agent=Sleeper([], []))], db=db, clock=clock)
    asked: list[str] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                output, questions = await answered(lambda: workflow, {})
                asked.extend([*questions, output.status.value])

            tasks.start_soon(run)
            for _ in range(2):
                await clock.wait_sleeping()
                clock.advance(60)
    assert asked == ["approval", "COMPLETED"]
    assert clock.slept == [60, 60]
