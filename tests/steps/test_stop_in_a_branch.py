"""A branch that says stop: what waits for a place does not begin; what had begun stays. spec: decisions 4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from verbs import Verb

from workflow_runtime import BaseDb, Map, Parallel, RunContext, Step, StepInput, StepOutput, Steps, Workflow
from workflow_runtime.backends import SqliteDb


def contents(output: Any) -> list[Any]:
    return [step.content for step in output.step_results[0].steps]


def test_a_map_begins_no_item_after_one_that_stops(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        def work(step_input: StepInput) -> StepOutput:
            return StepOutput(step_input.input, stop=step_input.input == 1)

        each = Map(Step("work", executor=work), over="input", name="each", max_concurrency=1)
        return Workflow(name="w", steps=[each, lambda: "after"], db=db, store_events=True)

    ran = verb(make, [0, 1, 2, 3])
    assert contents(ran.output) == [0, 1]
    assert [step.step_name for step in ran.output.step_results] == ["each"]
    assert ran.names.count("StepStarted") == 2


def test_a_parallel_begins_no_branch_after_one_that_stops(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        def step(name: str, stop: bool = False) -> Step:
            return Step(name, executor=lambda step_input: StepOutput(name, stop=stop))

        inside = Steps(name="inside", steps=[step("b", stop=True), step("not b2")])
        both = Parallel(step("a"), inside, step("c"), step("d"), name="both", max_concurrency=1)
        return Workflow(name="w", steps=[both, step("after")], db=db, store_events=True)

    ran = verb(make, "x")
    assert [step.step_name for step in ran.output.step_results[0].steps or ()] == ["a", "inside"]
    assert ran.names.count("StepStarted") == 2


@pytest.mark.anyio
async def test_an_item_that_had_begun_before_another_stopped_is_kept_when_the_run_continues(db: BaseDb) -> None:
    began: list[int] = []
    last = anyio.Event()

    async def work(step_input: StepInput, run_context: RunContext) -> StepOutput:
        item = step_input.input
        began.append(item)
        if item == 0:
            return StepOutput(await run_context.ask("Which?", str))
        if item == 1:
            await last.wait()
        if item == 3:
            last.set()
        return StepOutput(item, stop=item == 1)

    def flow() -> Workflow:
        each = Map(Step("work", executor=work), over="input", name="each", max_concurrency=3)
        return Workflow(name="w", id="w", steps=[each], db=db)

    with anyio.fail_after(30):
        paused = await flow().arun([0, 1, 2, 3])
        assert sorted(began) == [0, 1, 2, 3]
        (question,) = paused.active_step_requirements
        question.set_user_input(value="this")
        output = await flow().acontinue_run(paused)
    assert contents(output) == ["this", 1, 2, 3]
    assert sorted(began) in ([0, 1, 2, 3], [0, 0, 1, 2, 3])


@pytest.mark.anyio
async def test_a_question_that_was_asked_before_another_item_stopped_is_asked_still(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    asked = anyio.Event()

    async def work(step_input: StepInput, run_context: RunContext) -> StepOutput:
        if step_input.input == 0:
            await asked.wait()
            return StepOutput("stopped", stop=True)
        asked.set()
        return StepOutput(await run_context.ask("Which?", str))

    def flow(db: SqliteDb) -> Workflow:
        each = Map(Step("work", executor=work), over="input", name="each", max_concurrency=2)
        return Workflow(name="w", id="w", steps=[each, lambda: "after"], db=db)

    first = SqliteDb(path)
    with anyio.fail_after(30):
        paused = await flow(first).arun([0, 1, 2], run_id="r")
        assert paused.is_paused
        await first.aclose()
        second = SqliteDb(path)
        workflow = flow(second)
        (question,) = await workflow.alist_pending()
        question.set_user_input(value="this")
        output = await workflow.acontinue_run(run_id="r", session_id=paused.session_id, step_requirements=[question])
        await second.aclose()
    assert contents(output) == ["stopped", "this"]
    assert not output.is_paused
