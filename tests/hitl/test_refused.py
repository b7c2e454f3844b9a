"""Answers and continues that are refused say all that is wrong, and change nothing: not a row of the database differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import (
    AlreadyAnswered,
    BaseDb,
    ErrorRequirement,
    Parallel,
    PlanChanged,
    Router,
    RunNotFound,
    RunNotPaused,
    RunStatus,
    Step,
    StepRequirement,
    Steps,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.storage.base import RunFilter
from workflow_runtime.testing import Reply, ScriptedAgent, answers

pytestmark = pytest.mark.anyio

Requirement = StepRequirement | ErrorRequirement


def fail() -> None:
    raise LookupError("no")


def work() -> str:
    return "done"


def everything(db: BaseDb) -> Workflow:
    """One question of every kind, all open at once."""
    form = [{"name": "n", "field_type": "int"}, {"name": "side", "allowed_values": ["left", "right"]}]
    branches = [
        Step(name="confirm", executor=work, requires_confirmation=True),
        Step(name="form", executor=work, requires_user_input=True, user_input_schema=form),
        Router([Step(name="a", executor=work), Step(name="b", executor=work)], name="route", requires_user_input=True),
        Step(name="review", executor=work, requires_output_review=True),
        Step(name="tool", agent=ScriptedAgent("tool", Reply(asks=[{"id": "t1"}], then="ok"))),
        Step(name="broken", executor=fail, on_error="pause"),
    ]
    return Workflow(name="w", steps=[Parallel(*branches, name="all", fail_fast=False)], db=db, store_events=True)


async def rows(db: BaseDb, run_id: str) -> list[Any]:
    """All that the database knows of the run and its session."""
    run = await db.load_run(run_id)
    assert run is not None
    return [
        run,
        await db.load_steps(run_id),
        await db.load_requirements(run_id),
        await db.load_events(run_id, limit=10_000),
        await db.load_session(run.session_id),
        await db.list_runs(RunFilter()),
    ]


def by_name(output: WorkflowRunOutput) -> dict[str, Any]:
    found: list[Requirement] = [*(output.step_requirements or ()), *(output.error_requirements or ())]
    return {str(item.step_name): item for item in found}


def put(item: Any, **fields: Any) -> Any:
    """What a careless client sends: fields set without any check."""
    for name, value in fields.items():
        setattr(item, name, value)
    return item


BAD: dict[str, tuple[Callable[[dict[str, Any]], list[Any]], list[str]]] = {
    "unknown id": (
        lambda q: [put(q["confirm"], id="r9", path="9.x", confirmed=True)],
        ["requirement 'r9' is unknown; open: ["],
    ),
    "wrong types": (
        lambda q: [put(q["confirm"], confirmed="yes"), put(q["form"], user_input={"n": "1", "side": 4})],
        [
            "Field 'confirmed' expected bool, got str",
            "Field 'user_input.n' expected int, got str",
            "Field 'user_input.side' expected str, got int",
        ],
    ),
    "missing fields": (
        lambda q: [put(q["form"], user_input={})],
        ["Required field 'user_input.n' is missing", "Required field 'user_input.side' is missing"],
    ),
    "unknown field": (
        lambda q: [put(q["form"], user_input={"n": 1, "side": "left", "sid": "x"})],
        ["Unknown field 'user_input.sid'; known: n, side"],
    ),
    "choice not offered": (
        lambda q: [put(q["route"], selected_choices=["c"])],
        ["Field 'selected_choices[0]' value 'c' is not in allowed values: ['a', 'b']"],
    ),
    "too many choices": (lambda q: [put(q["route"], selected_choices=["a", "b"])], ["must have at most 1 item(s)"]),
    "another kind of answer": (
        lambda q: [put(ErrorRequirement(id=q["confirm"].id), decision="retry")],
        ["Required field 'confirmed' is missing", "Unknown field 'decision'"],
    ),
    "no decision": (
        lambda q: [put(q["broken"], decision="perhaps")],
        ["Field 'decision' value 'perhaps' is not in allowed values: ['retry', 'skip']"],
    ),
    "tool": (
        lambda q: [put(q["tool"], executor_requirements=[{"id": "t2", "confirmation": True}])],
        ["'executor_requirements[0]' is none of what is asked", "lacks an item with id 't1'"],
    ),
    "one good and two bad": (
        lambda q: [
            put(q["confirm"], confirmed=True),
            put(q["form"], user_input={"n": 1.5, "side": "left"}),
            put(q["route"], selected_choices=["z"]),
        ],
        ["Field 'user_input.n' expected int, got float", "value 'z' is not in allowed values"],
    ),
}


@pytest.mark.parametrize(("spoil", "said"), BAD.values(), ids=BAD)
async def test_a_bad_answer_names_every_field_and_changes_nothing(
    db: BaseDb, spoil: Callable[[dict[str, Any]], list[Any]], said: list[str]
) -> None:
    workflow = everything(db)
    paused = await workflow.arun("x", run_id="r")
    before = await rows(db, "r")
    with pytest.raises(ValueError, match="cannot continue, nothing was changed") as caught:
        await workflow.acontinue_run(run_id="r", step_requirements=spoil(by_name(paused)))
    for part in said:
        assert part in str(caught.value)
    assert await rows(db, "r") == before
    person = answers().confirms().fills_in("form", n=1, side="left").selects("route", "a").skips("broken")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert (await person.go_on(workflow, stored)).status is RunStatus.completed


async def test_nothing_answered_lists_what_is_open(db: BaseDb) -> None:
    workflow = everything(db)
    await workflow.arun("x", run_id="r")
    before = await rows(db, "r")
    with pytest.raises(ValueError, match="Cannot continue run") as caught:
        await workflow.acontinue_run(run_id="r", step_requirements=[])
    assert "unresolved step requirements: [" in str(caught.value)
    assert "unresolved error requirements: ['broken']" in str(caught.value)
    assert await rows(db, "r") == before


async def test_an_answer_to_what_was_answered_says_when_and_changes_nothing(db: BaseDb) -> None:
    workflow = everything(db)
    paused = await workflow.arun("x", run_id="r")
    first, second = (StepRequirement.from_dict(by_name(paused)["confirm"].to_dict()) for _ in range(2))
    first.confirm()
    assert (await workflow.acontinue_run(run_id="r", step_requirements=[first])).is_paused
    before = await rows(db, "r")
    second.reject()
    with pytest.raises(AlreadyAnswered, match=r"was answered at \d{4}-.*; the first answer stands"):
        await workflow.acontinue_run(run_id="r", step_requirements=[second])
    assert await rows(db, "r") == before


@pytest.mark.parametrize("ended", ["cancelled", "completed"])
async def test_an_answer_to_a_run_that_ended_meanwhile_is_refused_and_changes_nothing(db: BaseDb, ended: str) -> None:
    workflow = Workflow(name="w", steps=[Step(name="gate", executor=work, requires_confirmation=True)], db=db)
    paused = await workflow.arun("x", run_id="r")
    (item,) = paused.active_step_requirements
    item.confirm()
    if ended == "cancelled":
        assert await workflow.acancel_run("r")
    else:
        await workflow.acontinue_run(run_id="r", step_requirements=[item])
    before = await rows(db, "r")
    with pytest.raises(RunNotPaused, match=f"Current status: {ended.upper()}") as caught:
        await workflow.acontinue_run(run_id="r", step_requirements=[item])
    assert isinstance(caught.value, ValueError)
    assert await rows(db, "r") == before


async def test_an_answer_cannot_change_the_question(db: BaseDb) -> None:
    gate = Step(name="gate", executor=work, requires_confirmation=True, on_reject="cancel")
    workflow = Workflow(name="w", steps=[gate], db=db)
    paused = await workflow.arun("x")
    (item,) = paused.active_step_requirements
    item.reject()
    put(item, on_reject="skip", step_name="else", requires_confirmation=False)
    assert (await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[item])).status is RunStatus.cancelled


# -- the plan changed ----------------------------------------------------------------------------------------------------


def steps(*names: str, gate: Any = None) -> list[Any]:
    found: list[Any] = [Step(name=name, executor=work) for name in names]
    return [*found, gate or Step(name="gate", executor=work, requires_confirmation=True)]


PLANS: dict[str, tuple[list[Any], str | None]] = {
    "the same": (steps("a", "b"), None),
    "more behind it": ([*steps("a", "b"), Step(name="later", executor=work)], None),
    "another name": (steps("a", "c"), "no step at '1.b' any more"),
    "another order": (steps("b", "a"), "no step at '0.a' any more"),
    "a step fewer": (steps("b"), "no step at '0.a' any more"),
    "another kind": ([Steps(name="a", steps=[]), *steps("b")[:1], *steps()], "'0.a' is a Steps now and was a Step"),
    "the open question is gone": (
        steps("a", "b", gate=Step(name="else", executor=work)),
        "no step at '2.gate' any more",
    ),
    "the open question is of another kind": (
        steps("a", "b", gate=Steps(name="gate", steps=[])),
        "'2.gate' is a Steps now and was a Step",
    ),
}


@pytest.mark.parametrize(("changed", "said"), PLANS.values(), ids=PLANS)
async def test_a_plan_that_no_longer_fits_names_the_first_step_that_differs(
    db: BaseDb, changed: list[Any], said: str | None
) -> None:
    paused = await Workflow(name="w", steps=steps("a", "b"), db=db).arun("x", run_id="r")
    (item,) = paused.active_step_requirements
    item.confirm()
    workflow = Workflow(name="w", steps=changed, db=db)
    before = await rows(db, "r")
    if said is not None:
        with pytest.raises(PlanChanged, match=said) as caught:
            await workflow.acontinue_run(run_id="r", step_requirements=[item])
        assert caught.value.path in said
        assert "allow_plan_change=True" in str(caught.value)
        assert await rows(db, "r") == before
    options = {"allow_plan_change": True} if said is not None else {}
    output = await workflow.acontinue_run(run_id="r", step_requirements=[item], **options)
    done = await answers().confirms().go_on(workflow, output)  # a gate at another place asks anew
    assert done.status is RunStatus.completed
    names = [getattr(step, "name", None) for step in changed]
    assert [output.step_name for output in done.step_results] == names


async def test_without_a_database_a_changed_plan_is_refused_too() -> None:
    paused = await Workflow(name="w", steps=steps("a")).arun("x")
    paused.active_step_requirements[0].confirm()
    with pytest.raises(PlanChanged, match=r"no step at '0\.a'"):
        await Workflow(name="w", steps=steps("b")).acontinue_run(paused)


async def test_a_run_of_another_workflow_or_session_is_not_found(db: BaseDb) -> None:
    paused = await Workflow(name="w", steps=steps(), db=db).arun("x", session_id="s")
    with pytest.raises(RunNotFound, match="in session t"):
        await Workflow(name="w", steps=steps(), db=db).acontinue_run(run_id=paused.run_id, session_id="t")
