"""Each kind of answer to an agent that stopped to ask reaches it through continue_run: here, elsewhere, streamed or not."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from verbs import listen, names

from workflow_runtime import BaseDb, RunStatus, Step, StepRequirement, Workflow
from workflow_runtime.testing import Reply, ScriptedAgent

pytestmark = pytest.mark.anyio

FORM = [{"name": "euros", "field_type": "int"}]
# What the agent asks, what a person answers, what the agent is given.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "confirmation": ({"tool_execution": {"tool_name": "pay"}}, {"confirmation": True}),
    "a no with its reason": (
        {"tool_execution": {"tool_name": "pay"}},
        {"confirmation": False, "confirmation_note": "too much"},
    ),
    "user input": ({"tool_execution": {"tool_name": "pay", "user_input_schema": FORM}}, {"user_input": {"euros": 7}}),
    "user feedback": ({"user_feedback_schema": [{"question": "Which?"}]}, {"user_feedback": {"Which?": "red"}}),
    "external result": (
        {"tool_execution": {"tool_name": "ssh", "external_execution_required": True}},
        {"external_execution_result": "done by hand"},
    ),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "not streamed"])
@pytest.mark.parametrize("elsewhere", [True, False], ids=["another process", "same process"])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_answer_reaches_the_agent(db: BaseDb, kind: str, elsewhere: bool, streamed: bool) -> None:
    asked, answer = KINDS[kind]
    got: list[dict[str, Any]] = []

    def then(requirements: list[dict[str, Any]]) -> str:
        got.extend(requirements)
        return "went on"

    def make() -> Workflow:
        agent = ScriptedAgent("clerk", Reply(asks=[{"id": "t1", **asked}], then=then))
        return Workflow(name="w", steps=[Step(name="clerk", agent=agent)], db=db, store_events=True)

    workflow = make()
    paused = await workflow.arun("x")
    workflow = make() if elsewhere else workflow
    (item,) = await workflow.alist_pending()
    assert isinstance(item, StepRequirement)
    with pytest.raises(ValueError, match="executor_requirements"):
        item.answer({"executor_requirements": [{"id": "another", **answer}]})
    item.answer({"executor_requirements": [{"id": "t1", **answer}]})
    with anyio.fail_after(10):
        if streamed:
            stream = await _stream(workflow, str(paused.run_id), item)
            events, error = await listen(stream)
            assert error is None
            assert names(events)[-1] == "WorkflowCompleted"
        else:
            await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[item])
    done = await make().aget_run_output(str(paused.run_id))
    assert done is not None
    assert (done.status, done.content) == (RunStatus.completed, "went on")
    assert got == [{"id": "t1", **asked, **answer}]
    assert names(done.events or ()).count("StepExecutorContinued") == 1


async def _stream(workflow: Workflow, run_id: str, item: StepRequirement) -> Any:
    found: Any = workflow.acontinue_run(run_id=run_id, step_requirements=[item], stream=True, stream_events=True)
    return await found if hasattr(found, "__await__") and not hasattr(found, "__aiter__") else found
