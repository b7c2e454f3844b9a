"""What a person answered to a step reaches its agent: in the message, and as keywords that it takes."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from workflow_runtime import BaseDb, InMemoryDb, Loop, Parallel, RunStatus, Step, Workflow

pytestmark = pytest.mark.anyio


class Writer:
    name = "writer"

    def __init__(self) -> None:
        self.heard: list[tuple[Any, dict[str, Any]]] = []

    async def arun(self, input: Any, **given: Any) -> str:
        answers = {
            name: given[name] for name in ("user_input", "previous_output", "rejection_feedback") if name in given
        }
        self.heard.append((input, answers))
        return f"draft {len(self.heard)}"


async def test_the_fields_of_a_form(db: BaseDb) -> None:
    writer = Writer()
    form = [{"name": "destination", "field_type": "str"}, {"name": "seats", "field_type": "int"}]
    step = Step(name="book", agent=writer, requires_user_input=True, user_input_schema=form)
    workflow = Workflow(name="w", steps=[step], db=db)
    output = await workflow.arun("book a flight")
    output.steps_requiring_user_input[0].set_user_input(destination="Rome", seats=2)
    await workflow.acontinue_run(output)
    values = {"destination": "Rome", "seats": 2}
    assert writer.heard == [
        ("book a flight\n\nUser preferences:\n- destination: Rome\n- seats: 2", {"user_input": values})
    ]


async def test_the_feedback_on_a_rejected_output_and_that_output(db: BaseDb) -> None:
    writer = Writer()
    step = Step(name="write", agent=writer, requires_output_review=True, on_reject="retry")
    workflow = Workflow(name="w", steps=[step], db=db)
    output = await workflow.arun("a poem")
    output.active_step_requirements[0].reject("shorter")
    output = await workflow.acontinue_run(output)
    output.active_step_requirements[0].confirm()
    done = await workflow.acontinue_run(output)
    assert done.content == "draft 2"
    assert writer.heard[0] == ("a poem", {})
    assert writer.heard[1] == (
        "a poem\n\nYour previous output:\ndraft 1\n\nFeedback from reviewer:\nshorter",
        {"rejection_feedback": "shorter", "previous_output": "draft 1"},
    )


async def test_the_feedback_on_an_iteration_of_a_loop_around_it() -> None:
    writer = Writer()
    loop = Loop(
        steps=[Step("write", agent=writer)],
        name="loop",
        max_iterations=2,
        requires_iteration_review=True,
        on_reject="retry",
    )
    workflow = Workflow(name="w", steps=[loop], db=InMemoryDb())
    output = await workflow.arun("a poem")
    output.active_step_requirements[0].reject("about owls")
    with anyio.fail_after(60):
        await workflow.acontinue_run(output)
    assert writer.heard[1][1] == {"rejection_feedback": "about owls"}
    assert "Feedback from reviewer:\nabout owls" in writer.heard[1][0]


@pytest.mark.parametrize("message", [{"topic": "owls"}, None], ids=["a mapping", "nothing"])
async def test_a_mapping_stays_as_it_is_and_a_missing_message_does_not_matter(message: Any) -> None:
    writer = Writer()
    form = [{"name": "seats", "field_type": "int"}]
    step = Step(name="book", agent=writer, requires_user_input=True, user_input_schema=form)
    workflow = Workflow(name="w", steps=[step], db=InMemoryDb())
    output = await workflow.arun(message)
    output.steps_requiring_user_input[0].set_user_input(seats=2)
    await workflow.acontinue_run(output)
    heard = message if message is not None else "User preferences:\n- seats: 2"
    assert writer.heard == [(heard, {"user_input": {"seats": 2}})]


async def test_what_the_run_was_given_under_these_names_is_no_answer() -> None:
    writer = Writer()
    workflow = Workflow(name="w", steps=[Step("write", agent=writer)])
    await workflow.arun("a poem", additional_data={"user_input": {"a": 1}, "rejection_feedback": "no"})
    assert writer.heard == [("a poem", {})]


class Remembering:
    """Asks for an approval; what it is given then is what it was given first."""

    name = "clerk"

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def _note(self, given: dict[str, Any]) -> None:
        names = ("session_id", "user_id", "run_id")
        self.given.append({name: given.get(name) for name in names} | {"context": given["run_context"].path})

    async def arun(self, input: Any, **given: Any) -> Any:
        from workflow_runtime.testing import ScriptedOutput

        self._note(given)
        given["session_state"]["before"] = 1
        return ScriptedOutput(status="PAUSED", requirements=[{"id": "t", "tool_execution": {"tool_name": "pay"}}])

    async def acontinue_run(self, run_response: Any, **given: Any) -> str:
        self._note(given)
        given["session_state"]["after"] = 2
        return "paid"


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another process", "same process"])
@pytest.mark.parametrize("container", ["none", "Parallel", "Parallel of two", "nested workflow"])
async def test_a_continued_agent_is_given_what_it_was_given_first(db: BaseDb, container: str, elsewhere: bool) -> None:
    agent = Remembering()

    def make() -> Workflow:
        step: Any = Step("clerk", agent=agent)
        other = Step("other", executor=lambda step_input, session_state: session_state.update(other=3))
        if container == "nested workflow":
            step = Step("inner", workflow=Workflow(name="inner", steps=[step]))
        elif container != "none":
            step = Parallel(*([step] if container == "Parallel" else [step, other]), name="both")
        return Workflow(name="w", steps=[step], db=db, evict_after=0.0 if elsewhere else 300.0)

    workflow = make()
    output = await workflow.arun("x", user_id="ada", session_id="s")
    output.active_step_requirements[0].confirm()
    workflow = make() if elsewhere else workflow
    requirements = output.active_step_requirements
    done = await workflow.acontinue_run(run_id=output.run_id, step_requirements=requirements)
    assert done.status is RunStatus.completed
    assert agent.given[0] == agent.given[1]
    assert agent.given[0]["user_id"] == "ada"
    others = {"other": 3} if container == "Parallel of two" else {}
    assert await workflow.aget_session_state("s") == {"before": 1, "after": 2, **others}
