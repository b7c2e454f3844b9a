"""Runs that the first version paused are answered and continued, cancelled, or end by their deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from workflow_runtime import (
    AlreadyAnswered,
    BaseDb,
    ErrorRequirement,
    RunNotPaused,
    RunStatus,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
)

from .classes import Address, Delivery
from .reading import numbers

pytestmark = pytest.mark.anyio

Question = StepRequirement | ErrorRequirement

YES: dict[str, Any] = {"confirmed": True}
FOUR: dict[str, Any] = {"user_input": {"value": 4}}
SEATS: dict[str, Any] = {"user_input": {"seats": 2, "side": "aisle"}}
DELIVERY: dict[str, Any] = {"user_input": {"copies": 2, "address": {"street": "Elm", "zip": "12345"}}}


def tool(**answer: Any) -> dict[str, Any]:
    return {"executor_requirements": [{"id": "t1", **answer}]}


@dataclass(frozen=True)
class Case:
    """``answers`` by the part of a requirement's id behind its run, in the order in which the run asks; what the run comes
    to then, and the steps that it enters."""

    answers: dict[str, dict[str, Any]]
    content: Any
    entered: list[str]
    results: dict[str, Any] | None = None  # content of further steps, by name


def gated(path: str, content: str, *entered: str, **results: Any) -> Case:
    return Case({f"{path}@before": YES}, f"last: {content}", [*entered, "2.last"], results)


# The step after a Parallel or a Map gets all branches by name now, also in a run that the first version began: it gave the
# content of the last branch.
PAID = "{'paid': 'first the input'}"
SUCCESS = '### ✅ SUCCESS: {}\n{{\n  "paid": "first the input"\n}}'

CASES: dict[str, Case] = {
    "confirm": gated("1.pay", PAID, "1.pay", first="first the input"),
    "confirm-steps": gated(
        "1.group", "work 1.group/1.b", "1.group/0.a", "1.group/1.b", group="Steps group completed with 2 results"
    ),
    "confirm-parallel": gated("1.both", "{'a': 'work 1.both/0.a', 'b': 'work 1.both/1.b'}", "1.both/0.a", "1.both/1.b"),
    "confirm-map": gated(
        "1.each",
        "{'a': ['work 1.each#0/0.a', 'work 1.each#1/0.a']}",
        "1.each#0/0.a",
        "1.each#1/0.a",
        each="Map each completed 2 items",
    ),
    "confirm-loop": gated("1.loop", "work 1.loop#1/0.a", "1.loop#0/0.a", "1.loop#1/0.a"),
    "confirm-condition": gated("1.if", "work 1.if/if.0.a", "1.if/if.0.a"),
    "confirm-router": gated("1.way", "work 1.way/1.b", "1.way/1.b"),
    "form": Case(
        {"1.book@before": SEATS},
        "last: {'paid': 'first the input', 'user_input': {'seats': 2, 'side': 'aisle'}}",
        ["1.book", "2.last"],
    ),
    "form-model": Case(
        {"1.book@before": DELIVERY},
        "last: {'paid': 'first the input', 'user_input': {'copies': 2, 'address': {'street': 'Elm', 'zip': '12345'}}}",
        ["1.book", "2.last"],
    ),
    "review": Case({"1.draft@review0": YES}, "last: work 1.draft", ["2.last"]),
    "review-router": Case({"1.way@review0": YES}, "last: work 1.way/1.b", ["2.last"]),
    "iteration": Case({"1.loop#0@iteration": YES}, "last: work 1.loop#0/0.a", ["2.last"]),
    "route": Case({"1.way@before": {"selected_choices": ["b"]}}, "last: work 1.way/1.b", ["1.way/1.b", "2.last"]),
    "routes": Case(
        {"1.way@before": {"selected_choices": ["b", "a"]}},
        "last: work 1.way/0.a",
        ["1.way/1.b", "1.way/0.a", "2.last"],
    ),
    "error": Case({"1.risky@error1": {"decision": "retry"}}, "last: attempt 2", ["1.risky", "2.last"]),
    "error-condition": Case(
        {"1.if@error1": {"decision": "retry"}}, "last: work 1.if/if.0.a", ["1.if/if.0.a", "2.last"]
    ),
    "ask-text": Case({"1.desk@ask0": {"user_input": {"value": "Ada"}}}, "last: hello Ada", ["1.desk", "2.last"]),
    "ask-number": Case({"1.desk@ask0": FOUR}, "last: 4 pieces", ["1.desk", "2.last"]),
    "ask-model": Case(
        {"1.desk@ask0": DELIVERY},
        "last: copies=2 address=Address(street='Elm', zip='12345')",
        ["1.desk", "2.last"],
        {"desk": Delivery(copies=2, address=Address(street="Elm", zip="12345"))},
    ),
    "ask-form": Case({"1.desk@ask0": {"user_input": {"days": 3}}}, "last: {'days': 3}", ["1.desk", "2.last"]),
    "ask-twice": Case({"1.desk@ask1": FOUR}, "last: before between 1 after 4 with a card", ["1.desk", "2.last"]),
    "ask-later": Case({"1.desk@ask0": FOUR}, "last: attempt 2: 4", ["1.desk", "2.last"]),
    "agent-confirm": Case(
        {"1.clerk@executor0": tool(confirmation=True)},
        "last: clerk got [True]",
        ["2.last"],
        {"clerk": "clerk got [True]"},
    ),
    "agent-input": Case(
        {"1.clerk@executor0": tool(user_input={"to": "Ada"})}, "last: clerk got [{'to': 'Ada'}]", ["2.last"]
    ),
    "agent-choice": Case(
        {"1.clerk@executor0": tool(user_feedback={"Which?": ["red"]})},
        "last: clerk got [{'Which?': ['red']}]",
        ["2.last"],
    ),
    "agent-call": Case(
        {"1.clerk@executor0": tool(external_execution_result="83%")}, "last: clerk got ['83%']", ["2.last"]
    ),
    "branches": Case(
        {
            "1.all/0.yes@before": YES,
            "1.all/1.book@before": SEATS,
            "1.all/2.desk@ask0": FOUR,
            "1.all/3.clerk@executor0": tool(confirmation=False, confirmation_note="no"),
        },
        f"last: {{'yes': {PAID}, 'book': {{'paid': 'first the input', 'user_input': {{'seats': 2, 'side': 'aisle'}}}}, "
        "'desk': '4 pieces', 'clerk': \"clerk got [False, 'no']\", 'done': 'work 1.all/4.done'}",
        ["1.all/0.yes", "1.all/1.book", "1.all/2.desk", "2.last"],
    ),
    "gates": Case(
        {"1.all/0.a@before": YES, "1.all/1.b@before": YES, "1.all/2.c@before": YES},
        f"last: {{'a': {PAID}, 'b': {PAID}, 'c': {PAID}}}",
        ["1.all/0.a", "1.all/1.b", "1.all/2.c", "2.last"],
        {"all": "## Parallel Execution Results\n\n" + "\n\n".join(SUCCESS.format(name) for name in "abc")},
    ),
    "nested": Case(
        {"1.inner/1.pay@before": YES},
        "last: work 1.inner/2.out",
        ["1.inner/1.pay", "1.inner/2.out", "2.last"],
        {"inner": "work 1.inner/2.out"},
    ),
    "nested-ask": Case({"1.inner/1.desk@ask0": FOUR}, "last: 4 pieces", ["1.inner/1.desk", "2.last"]),
    "map-ask": Case(
        {"1.each#0/0.desk@ask0": FOUR, "1.each#1/0.desk@ask0": {"user_input": {"value": 5}}},
        "last: {'desk': ['4 pieces', '5 pieces']}",
        ["1.each#0/0.desk", "1.each#1/0.desk", "2.last"],
    ),
    "loop-ask": Case({"1.loop#1/0.desk@ask0": FOUR}, "last: 4", ["1.loop#1/0.desk", "2.last"]),
    "by-hand": Case({"gate@before": YES, "@ask0": FOUR}, "work one, work gate, 4", ["gate"]),
    "half-answered": Case(
        {"1.all/1.b@before": YES, "1.all/2.c@before": {"confirmed": False}},
        f"last: {{'a': {PAID}, 'b': {PAID}, 'c': 'Step c skipped: rejected by a person'}}",
        ["1.all/0.a", "1.all/1.b", "2.last"],
    ),
    "half-stored": Case(
        {"1.all/0.a@before": YES, "1.all/2.c@before": YES},
        f"last: {{'a': {PAID}, 'b': 'Step b skipped: rejected by a person', 'c': {PAID}}}",
        ["1.all/0.a", "1.all/2.c", "2.last"],
    ),
    "answer-stored": Case({}, f"last: {PAID}", ["1.pay", "2.last"]),
    "evicted": Case({"1.desk@ask0": FOUR}, "last: 4 pieces", ["1.desk", "2.last"]),
    "unlogged": Case({"1.pay@before": YES}, f"last: {PAID}", ["1.pay", "2.last"]),
    "of-eve": Case({"1.pay@before": YES}, f"last: {PAID}", ["1.pay", "2.last"]),
    "forked-pause": Case({"1.pay@before": YES}, f"last: {PAID}", ["1.pay", "2.last"]),
}

LATE = {
    "late-skip": (RunStatus.completed, "last: first the input", ["2.last"]),
    "late-approve": (RunStatus.completed, f"last: {PAID}", ["1.pay", "2.last"]),
    "late-cancel": (RunStatus.cancelled, "Workflow cancelled: timed out", []),
    "late-ask": (
        RunStatus.completed,
        "last: Step desk skipped due to error: 1.desk: 'How many?' was declined: timed out",
        ["1.desk", "2.last"],
    ),
}


async def owner_of(db: BaseDb, workflows: dict[str, Workflow], run_id: str) -> Workflow:
    row = await db.load_run(run_id)
    assert row is not None
    return workflows[str(row.workflow_id)]


def open_ones(output: WorkflowRunOutput | None) -> list[Question]:
    assert output is not None
    items: list[Question] = [*(output.step_requirements or ()), *(output.error_requirements or ())]
    return [item for item in items if item.answered_at is None]


@pytest.mark.parametrize("run_id", CASES)
async def test_a_paused_run_is_answered_and_continued(
    db: BaseDb, workflows: dict[str, Workflow], entered: list[str], run_id: str
) -> None:
    case = CASES[run_id]
    workflow = await owner_of(db, workflows, run_id)
    output = await workflow.aget_run_output(run_id)
    assert output is not None
    assert output.status is RunStatus.paused
    answers = dict(case.answers)
    while output.status is RunStatus.paused:
        items = open_ones(output)
        for item in items:
            item.answer(answers.pop(item.id.removeprefix(f"{run_id}:")))
        output = await workflow.acontinue_run(run_id=run_id, step_requirements=items)
    assert (output.status, output.content, answers) == (RunStatus.completed, case.content, {})
    assert sorted(entered) == sorted(case.entered)
    for name, content in (case.results or {}).items():
        assert [step.content for step in output.step_results if step.step_name == name] == [content]
    stored = await workflow.aget_run_output(run_id)
    assert stored is not None
    assert (stored.status, stored.content) == (RunStatus.completed, case.content)
    assert [step.content for step in stored.step_results] == [step.content for step in output.step_results]
    if run_id != "unlogged":
        log = [event async for event in workflow.subscribe(run_id)]
        assert log[-1].event == "WorkflowCompleted"
        assert numbers(log) == list(range(1, log[-1].seq + 1))


async def test_the_no_of_a_person_reaches_a_step_that_was_asked_for_by_the_first_version(
    db: BaseDb, workflows: dict[str, Workflow], entered: list[str]
) -> None:
    workflow = workflows["confirm"]
    fork = await workflow.fork("confirmed", at="1.pay", background=False)
    assert fork.status is RunStatus.paused
    (item,) = open_ones(fork)
    item.answer({"confirmed": False, "rejection_feedback": "too much"})
    output = await workflow.acontinue_run(run_id=fork.run_id, step_requirements=[item])
    assert (output.status, output.content) == (RunStatus.completed, "last: first the input")
    assert output.step_results[1].error == "too much"
    assert entered == ["2.last"]


@pytest.mark.parametrize("run_id", LATE)
async def test_a_deadline_that_has_passed_takes_effect(
    db: BaseDb, workflows: dict[str, Workflow], entered: list[str], run_id: str
) -> None:
    status, content, steps = LATE[run_id]
    output = await workflows[run_id].acontinue_run(run_id=run_id, step_requirements=[])
    assert (output.status, output.content, entered) == (status, content, steps)


async def test_an_answer_that_was_stored_stands(db: BaseDb, workflows: dict[str, Workflow]) -> None:
    (requirement,) = [row for row in await db.load_requirements("half-stored") if row.path == "1.all/1.b"]
    assert requirement.answered_at is not None
    with pytest.raises(AlreadyAnswered, match="first answer stands"):
        await db.answer([requirement])


async def test_a_run_whose_cancelling_was_asked_for_ends_cancelled(
    db: BaseDb, workflows: dict[str, Workflow], entered: list[str]
) -> None:
    row = await db.load_run("cancel-requested")
    assert row is not None
    assert row.cancel_requested
    assert await workflows["confirm"].acancel_run("cancel-requested")
    stored = await workflows["confirm"].aget_run_output("cancel-requested")
    assert stored is not None
    assert (stored.status, entered) == (RunStatus.cancelled, [])
    with pytest.raises(RunNotPaused):
        await workflows["confirm"].acontinue_run(run_id="cancel-requested", step_requirements=[])


async def test_the_rest_of_a_fork_whose_origin_was_pruned_is_kept(
    db: BaseDb, workflows: dict[str, Workflow], entered: list[str]
) -> None:
    """The first version let the origin go before its fork: such a run is read, and says what it lacks."""
    stored = await workflows["confirm"].aget_run_output("fork-of-pruned")
    assert stored is not None
    (item,) = open_ones(stored)
    item.answer(YES)
    with pytest.raises(LookupError, match="shares its beginning with run 'pruned-whole', which is not stored any more"):
        await workflows["confirm"].acontinue_run(run_id="fork-of-pruned", step_requirements=[item])
    row = await db.load_run("fork-of-pruned")
    assert row is not None
    assert (row.status, entered) == (RunStatus.paused, [])
