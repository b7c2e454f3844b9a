"""run_context.ask: a question in the middle of a step. The step waits while its process lives, and is entered again where it
does not."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from pydantic import BaseModel, model_validator

from workflow_runtime import (
    AnswerRejected,
    BaseDb,
    Condition,
    EngineError,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Router,
    RunContext,
    RunStatus,
    Step,
    StepChanged,
    StepInput,
    StepOutput,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.engine.bus.stored import requirement_row
from workflow_runtime.testing import ScriptedPerson, answers

pytestmark = pytest.mark.anyio


class Trip(BaseModel):
    days: int
    nights: int

    @model_validator(mode="after")
    def fits(self) -> Trip:
        if self.nights > self.days:
            raise ValueError("more nights than days")
        return self


class Body:
    """A step that asks twice, and what was done in it. ``questions`` may change between two processes."""

    def __init__(self, *questions: str) -> None:
        self.questions = questions or ("first?", "second?")
        self.done: list[str] = []

    async def ask(self, run_context: RunContext) -> str:
        self.done.append("entered")
        drawn = await run_context.once("draw", lambda: self.done.append("drawn") or 17)
        found = []
        for question in self.questions:
            found.append(await run_context.ask(question, int))
            self.done.append(question)
        return f"{drawn} {found}"


def build(body: Any, db: BaseDb | None, **options: Any) -> Workflow:
    return Workflow(name="w", steps=[Step(name="ask", executor=getattr(body, "ask", body))], db=db, **options)


def question(output: WorkflowRunOutput) -> StepRequirement:
    (item,) = [item for item in output.active_step_requirements if item.answered_at is None]
    return item


async def through(person: ScriptedPerson, workflow: Workflow) -> WorkflowRunOutput:
    """Let the person answer, each time only when nothing moves any more, so that what is to be evicted is."""
    output = await workflow.arun()
    while output.is_paused:
        await anyio.wait_all_tasks_blocked()
        output = await workflow.acontinue_run(output, step_requirements=person.answer(output))
    return output


async def reply(workflow: Workflow, output: WorkflowRunOutput, value: Any) -> WorkflowRunOutput:
    item = question(output)
    item.answer({"user_input": {"value": value}})
    return await workflow.acontinue_run(output, step_requirements=[item])


@pytest.mark.parametrize("stored", [True, False], ids=["database", "no database"])
async def test_in_the_same_process_the_body_is_not_entered_again(db: BaseDb, stored: bool) -> None:
    body = Body()
    workflow = build(body, db if stored else None)
    paused = await workflow.arun()
    assert (question(paused).user_input_message, question(paused).kind) == ("first?", "ask")
    again = await reply(workflow, paused, 1)
    assert again.is_paused
    assert question(again).user_input_message == "second?"
    done = await reply(workflow, again, 2)
    assert (done.status, done.content) == (RunStatus.completed, "17 [1, 2]")
    assert body.done == ["entered", "drawn", "first?", "second?"]


async def test_after_eviction_the_body_is_entered_again_and_gets_what_was_recorded(db: BaseDb) -> None:
    body = Body()
    workflow = build(body, db, evict_after=0.0)
    output = await through(answers().fills_in("ask", value=1).fills_in("ask", value=2), workflow)
    assert output.content == "17 [1, 2]"
    assert body.done.count("drawn") == 1
    assert body.done[:3] == ["entered", "drawn", "entered"]


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        (("second?", "first?"), "question 1 was 'first\\?' when the step first ran and is 'second\\?' now"),
        (("else?",), "else"),
    ],
)
async def test_a_changed_order_of_questions_raises_step_changed(
    db: BaseDb, questions: tuple[str, ...], said: str
) -> None:
    paused = await build(Body(), db, evict_after=0.0).arun()
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(StepChanged, match=said):
        await reply(build(Body(*questions), db), paused, 1)


async def test_a_declined_question_raises_in_the_step_which_may_catch_it(db: BaseDb) -> None:
    async def careful(run_context: RunContext) -> str:
        try:
            return str(await run_context.ask("Sure?", bool))
        except AnswerRejected as error:
            return f"no: {error}"

    for body, status in ((careful, RunStatus.completed), (Body(), RunStatus.error)):
        workflow = build(body, db)
        paused = await workflow.arun()
        item = question(paused)
        item.answer({"confirmed": False, "rejection_feedback": "ask later"})
        if status is RunStatus.error:
            with pytest.raises(AnswerRejected, match="ask later"):
                await workflow.acontinue_run(paused)
        else:
            assert str((await workflow.acontinue_run(paused)).content).startswith("no: 0.ask: 'Sure?' was declined")


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        (None, {"value": "text"}, "text"),
        (float, {"value": 1}, 1),
        (bool, {"value": False}, False),
        (list, {"value": [1]}, [1]),
        ([{"name": "n", "field_type": "int"}], {"n": 4}, {"n": 4}),
        (Trip, {"days": 3, "nights": 2}, Trip(days=3, nights=2)),
    ],
    ids=["text", "float", "bool", "list", "fields", "model"],
)
async def test_the_answer_has_the_type_that_was_asked_for(schema: Any, given: Any, expected: Any) -> None:
    got: list[Any] = []

    async def ask(run_context: RunContext) -> None:
        got.append(await run_context.ask("What?", schema))

    for evict_after in (300.0, 0.0):
        await through(answers().fills_in("ask", **given), build(ask, InMemoryDb(), evict_after=evict_after))
    assert got == [expected, expected]


async def test_what_only_the_model_knows_is_checked_before_anything_changes(db: BaseDb) -> None:
    async def ask(run_context: RunContext) -> str:
        return str(await run_context.ask("When?", Trip))

    guarded = Step(name="form", executor=lambda: "trip", requires_user_input=True, user_input_schema=Trip)
    for workflow in (build(ask, db), Workflow(name="w2", steps=[guarded], db=db)):
        paused = await workflow.arun()
        item = question(paused)
        item.answer({"user_input": {"days": 1, "nights": 2}})
        with pytest.raises(ValueError, match=r"nothing was changed:\n- .*more nights than days"):
            await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[item])
        item.answer({"user_input": {"days": 2, "nights": 1}})
        done = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[item])
        assert done.status is RunStatus.completed


async def test_in_another_process_a_model_of_a_function_checks_the_answer_when_the_step_asks_again(db: BaseDb) -> None:
    class Nameless(Trip):
        """Another process cannot know it by a name."""

    async def ask(run_context: RunContext) -> str:
        try:
            return str(await run_context.ask("When?", Nameless))
        except ValueError as error:
            return f"{await run_context.ask('Nights?', int)} since {error}"

    paused = await build(ask, db, evict_after=0.0).arun()
    await anyio.wait_all_tasks_blocked()  # nobody waits here any more, as in another process
    item = question(paused)
    with pytest.raises(ValueError, match="days"):
        item.answer(
            {"user_input": {"days": "many", "nights": 2}}
        )  # what the form's JSON Schema knows is known everywhere
    item.answer({"user_input": {"days": 1, "nights": 2}})
    again = await build(ask, db).acontinue_run(run_id=paused.run_id, step_requirements=[item])
    assert question(again).user_input_message == "Nights?"
    done = await reply(build(ask, db), again, 1)
    assert str(done.content).startswith("1 since 1 validation error for Nameless")
    assert "more nights than days" in str(done.content)


async def asked_where_it_is_decided(step_input: StepInput, run_context: RunContext) -> Any:
    return await run_context.ask("yes?", bool)


async def asked_where_a_loop_ends(outputs: list[StepOutput], run_context: RunContext) -> bool:
    return bool(await run_context.ask("enough?", bool))


@pytest.mark.parametrize(
    "make",
    [
        lambda step: Condition([step], evaluator=asked_where_it_is_decided, name="c"),
        lambda step: Router([step], selector=asked_where_it_is_decided, name="c"),
        lambda step: Loop([step], end_condition=asked_where_a_loop_ends, max_iterations=2, name="c"),
        lambda step: Map(step, over=asked_where_it_is_decided, name="c"),
    ],
    ids=["condition", "router", "loop", "map"],
)
async def test_a_function_that_decides_may_not_ask_and_is_told_where_to(db: BaseDb, make: Any) -> None:
    workflow = Workflow(name="w", steps=[make(Step("one", executor=lambda: "one"))], db=db)
    with anyio.fail_after(60), pytest.raises(EngineError, match="not in one that decides; ask in a step before it"):
        await workflow.arun("x")


async def test_branches_that_ask_pause_once_with_all_questions_and_keep_their_places(db: BaseDb) -> None:
    left, right = Body("left?"), Body("right?")
    steps = [Parallel(Step(name="left", executor=left.ask), Step(name="right", executor=right.ask), name="both")]
    workflow = Workflow(name="w", steps=steps, db=db)
    paused = await workflow.arun()
    assert {item.user_input_message for item in paused.active_step_requirements} == {"left?", "right?"}
    output = await answers().fills_in("left", value=1).fills_in("right", value=2).go_on(workflow, paused)
    assert [step.content for step in output.step_results[0].steps or ()] == ["17 [1]", "17 [2]"]
    assert left.done.count("entered") == right.done.count("entered") == 1


async def test_a_question_may_stand_in_a_callable_workflow_and_in_a_nested_one(db: BaseDb) -> None:
    async def flow(run_context: RunContext) -> str:
        first = await run_context.step("one", lambda: "one")
        return f"{first} {await run_context.ask('How many?', int)}"

    inner = Workflow(name="inner", steps=[Step(name="asks", executor=Body("n?").ask)])
    for evict_after in (300.0, 0.0):
        asked = answers().fills_in("flow", value=3).fills_in("asks", value=4)
        output = await through(asked, Workflow(name="flow", steps=flow, db=db, evict_after=evict_after))
        assert output.content == "one 3"
        output = await through(asked, Workflow(name="outer", steps=[inner], db=db, evict_after=evict_after))
        assert output.content == "17 [4]"


async def test_questions_of_branches_may_be_answered_one_by_one_while_their_steps_wait(db: BaseDb) -> None:
    bodies = {"left": Body("left?"), "right": Body("right?")}
    steps = [Parallel(*(Step(name=name, executor=body.ask) for name, body in bodies.items()), name="both")]
    workflow = Workflow(name="w", steps=steps, db=db, store_events=True)
    output = await workflow.arun()
    for name, value in (("right", 2), ("left", 1)):
        (item,) = [item for item in output.active_step_requirements if item.step_name == name]
        item.answer({"user_input": {"value": value}})
        with anyio.fail_after(60):
            output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[item])
    assert output.status is RunStatus.completed
    assert [step.content for step in output.step_results[0].steps or ()] == ["17 [1]", "17 [2]"]
    assert [body.done.count("entered") for body in bodies.values()] == [1, 1]
    assert [event.event for event in output.events or ()].count("StepContinued") == 2


async def test_an_answer_that_another_process_stored_wakes_the_step_that_waits_here(db: BaseDb) -> None:
    workflow = build(Body("n?"), db)
    paused = await workflow.arun()
    item = question(paused)
    item.answer({"user_input": {"value": 5}})
    row = await db.load_run(str(paused.run_id))
    assert row is not None
    item.answered_at = workflow.clock.time()
    await db.answer([requirement_row(item, row)])  # as the command "wfr answer" does
    done = await workflow.acontinue_run(run_id=paused.run_id)
    assert (done.status, done.content) == (RunStatus.completed, "17 [5]")


@pytest.mark.parametrize("waits", [True, False], ids=["same process", "another process"])
async def test_every_answer_is_told_once_though_others_were_open_when_it_came(db: BaseDb, waits: bool) -> None:
    def make() -> Workflow:
        gates = [Step(name=name, executor=lambda: "x", requires_confirmation=True) for name in ("a", "b", "c")]
        return Workflow(name="w", steps=[Parallel(*gates, name="all")], db=db, store_events=True)

    workflow = make()
    output = await workflow.arun()
    for item in output.active_step_requirements:
        item.confirm()
        workflow = workflow if waits else make()
        output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[item])
    told = [event.path for event in output.events or () if event.event == "StepContinued"]
    assert sorted(told) == ["0.all/0.a", "0.all/1.b", "0.all/2.c"]


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another process", "same process"])
async def test_a_question_inside_once_pauses_the_run(db: BaseDb, elsewhere: bool) -> None:
    async def booked(step_input: StepInput, run_context: RunContext) -> str:
        async def seats() -> int:
            return int(await run_context.ask("seats?", int))

        return f"{await run_context.once('seats', seats)} seats"

    def make() -> Workflow:
        return Workflow(name="w", steps=[booked], db=db, evict_after=0.0 if elsewhere else 300.0)

    workflow = make()
    with anyio.fail_after(60):
        output = await workflow.arun("x")
        (question,) = output.active_step_requirements
        question.answer({"user_input": {"value": 2}})
        workflow = make() if elsewhere else workflow
        done = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[question])
    assert done.content == "2 seats"
