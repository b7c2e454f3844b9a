"""Each kind of answer to an agent that stopped to ask reaches it through continue_run: here, elsewhere, streamed or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from verbs import listen, names

from workflow_runtime import BaseDb, Retry, RunStatus, Step, StepRequirement, Workflow
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
    with anyio.fail_after(60):
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


@dataclass
class Ask:
    """A requirement of another library: an object that is answered by its methods, once."""

    id: str
    need: str
    said: list[Any] = field(default_factory=list)

    @property
    def needs_confirmation(self) -> bool:
        return self.need == "confirmation" and not self.said

    def is_resolved(self) -> bool:
        return bool(self.said)

    def to_dict(self) -> dict[str, Any]:
        tool = {"tool_name": "pay", **(KINDS[self.need][0].get("tool_execution") or KINDS[self.need][0])}
        return {"id": self.id, "tool_execution": tool}

    def _say(self, *said: Any) -> None:
        if self.said:
            raise ValueError("answered before")
        self.said.extend(said)

    def confirm(self) -> None:
        self._say("confirm")

    def reject(self, note: str | None = None) -> None:
        self._say("reject", note)

    def provide_user_input(self, values: dict[str, Any]) -> None:
        self._say(values)

    def provide_user_feedback(self, selections: dict[str, Any]) -> None:
        self._say(selections)

    def set_external_execution_result(self, result: str) -> None:
        self._say(result)


@dataclass
class Asked:
    content: str | None = None
    status: str = "COMPLETED"
    requirements: list[Ask] = field(default_factory=list)


class Foreign:
    """An agent of another library. It fails the first time that it is continued."""

    name = "clerk"

    def __init__(self, need: str) -> None:
        self.need = need
        self.continued = 0

    async def arun(self, input: Any) -> Asked:
        return Asked(status="PAUSED", requirements=[Ask("a", self.need)])

    async def acontinue_run(self, run_response: Asked, requirements: list[Ask]) -> Asked:
        self.continued += 1
        assert requirements == run_response.requirements
        if self.continued == 1:
            raise ConnectionError("try again")
        return Asked(repr([item.said for item in requirements]))


@pytest.mark.parametrize(
    ("need", "answer", "said"),
    [
        ("confirmation", {"confirmation": True}, ["confirm"]),
        ("confirmation", {"confirmation": False, "confirmation_note": "too much"}, ["reject", "too much"]),
        ("user input", {"user_input": {"euros": 7}}, [{"euros": 7}]),
        ("user feedback", {"user_feedback": {"Which?": "red"}}, [{"Which?": "red"}]),
        ("external result", {"external_execution_result": "done"}, ["done"]),
    ],
)
async def test_an_object_that_asks_is_answered_by_its_own_methods_once(
    db: BaseDb, need: str, answer: dict[str, Any], said: list[Any]
) -> None:
    retry = Retry(attempts=2, delay=0.001)
    workflow = Workflow(name="w", steps=[Step(name="clerk", agent=Foreign(need), retry=retry)], db=db)
    paused = await workflow.arun("x")
    (item,) = paused.steps_requiring_executor_resolution
    item.answer({"executor_requirements": [{"id": "a", **answer}]})
    done = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[item])
    assert (done.status, done.content) == (RunStatus.completed, repr([said]))


async def _stream(workflow: Workflow, run_id: str, item: StepRequirement) -> Any:
    found: Any = workflow.acontinue_run(run_id=run_id, step_requirements=[item], stream=True, stream_events=True)
    return await found if hasattr(found, "__await__") and not hasattr(found, "__aiter__") else found
