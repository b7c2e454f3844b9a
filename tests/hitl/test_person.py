"""workflow_runtime.testing.answers: the scripted person that is shipped for users' tests."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_runtime import BaseDb, HumanReview, InMemoryDb, Router, RunStatus, Step, StepInput, Workflow
from workflow_runtime.testing import FakeClock, Reply, ScriptedAgent, answers


def said(step_input: StepInput) -> str:
    data = {k: v for k, v in (step_input.additional_data or {}).items() if k in ("user_input", "rejection_feedback")}
    return f"{step_input.previous_step_content or step_input.input} {data}"


def fails_once() -> Any:
    tries: list[int] = []

    def work() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError("not yet")
        return "at last"

    return work


@pytest.mark.anyio
async def test_a_person_answers_every_kind_of_question(db: BaseDb) -> None:
    tool = Reply(asks=[{"id": "t1"}], then=lambda answered: f"paid {answered[0]['confirmation']}")
    workflow = Workflow(
        name="w",
        db=db,
        steps=[
            Step(name="yes", executor=said, requires_confirmation=True),
            Step(name="no", executor=said, requires_confirmation=True),
            Step(
                name="form",
                executor=said,
                requires_user_input=True,
                user_input_schema=[{"name": "n", "field_type": "int"}],
            ),
            Step(name="draft", executor=lambda: "long", requires_output_review=True),
            Step(name="again", executor=said, requires_output_review=True, on_reject="retry"),
            Step(name="broken", executor=fails_once(), on_error="pause"),
            Router(
                [Step(name="left", executor=said), Step(name="right", executor=said)],
                name="way",
                requires_user_input=True,
            ),
            Step(name="agent", agent=ScriptedAgent("agent", tool)),
        ],
    )
    person = (
        answers({"yes": True})
        .rejects("no", "never")
        .fills_in("form", n=2)
        .edits("draft", "short")
        .rejects("again", "shorter")
        .confirms("again")
        .retries("broken")
        .selects("way", "right")
        .confirms("agent")
    )
    output = await person.run(workflow, "in")
    assert output.status is RunStatus.completed
    contents = {step.step_name: step.content for step in output.step_results}
    assert contents["yes"] == "in {}"
    assert "skipped" in contents["no"]
    assert contents["form"].endswith("{'user_input': {'n': 2}}")
    assert contents["draft"] == "short"
    assert contents["again"] == "short {'rejection_feedback': 'shorter'}"
    assert contents["broken"] == "at last"
    assert contents["agent"] == "paid True"
    assert [item.step_name for item in person.asked] == [
        "yes", "no", "form", "draft", "again", "again", "broken", "way", "agent",
    ]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize(("policy", "status"), [("cancel", RunStatus.cancelled), ("skip", RunStatus.completed)])
async def test_a_person_lets_a_deadline_pass(db: BaseDb, policy: str, status: RunStatus) -> None:
    review = HumanReview(requires_confirmation=True, timeout=60, on_timeout=policy)
    workflow = Workflow(steps=[Step(name="offer", executor=said, human_review=review)], db=db, clock=FakeClock())
    output = await answers().times_out("offer").run(workflow, "x")
    assert output.status is status


@pytest.mark.anyio
async def test_a_question_that_is_not_in_the_script_is_named_with_what_it_asks_for() -> None:
    workflow = Workflow(steps=[Step(name="pay", executor=said, requires_confirmation=True)])
    with pytest.raises(
        LookupError, match=r"no answer for step 'pay' at '0.pay', which asks for confirmation; .*'confirmed'"
    ):
        await answers({"pax": True}).run(workflow)
    assert (await answers().confirms().run(workflow)).status is RunStatus.completed


@pytest.mark.anyio
async def test_an_answer_that_does_not_fit_is_refused_as_a_real_person_s() -> None:
    workflow = Workflow(steps=[Step(name="pay", executor=said, requires_confirmation=True)])
    with pytest.raises(ValueError, match="Unknown field 'user_input'"):
        await answers().fills_in("pay", n=1).run(workflow)


@pytest.mark.anyio
async def test_a_deadline_can_only_pass_with_a_timeout_and_a_clock_that_is_moved() -> None:
    step = Step(name="pay", executor=said, requires_confirmation=True)
    with pytest.raises(LookupError, match=r"\['pay'\] have no deadline"):
        await answers().times_out("pay").run(Workflow(steps=[step], clock=FakeClock()))
    step = Step(name="pay", executor=said, requires_confirmation=True, hitl_timeout=1)
    with pytest.raises(TypeError, match="clock=FakeClock"):
        await answers().times_out("pay").run(Workflow(steps=[step]))


def test_a_person_fills_in_a_paused_output_for_a_test_that_continues_by_itself() -> None:
    workflow = Workflow(steps=[Step(name="pay", executor=said, requires_confirmation=True)], db=InMemoryDb())
    paused = workflow.run("x")
    (item,) = answers({"pay": True}).answer(paused)
    assert item.is_resolved
    assert workflow.continue_run(paused).status is RunStatus.completed
