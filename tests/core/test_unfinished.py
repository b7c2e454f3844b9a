"""core.unfinished: which outputs of a run that ended early are inside steps that had not ended."""

from __future__ import annotations

from workflow_runtime import Loop, Parallel, Step, StepInput, StepOutput, Steps, Workflow
from workflow_runtime.core.journal import DONE, Record
from workflow_runtime.core.unfinished import unfinished


def nothing(step_input: StepInput) -> None:
    return None


def step(name: str) -> Step:
    return Step(name=name, executor=nothing)


PLAN = (
    Workflow(steps=[step("a"), Steps(name="b", steps=[step("c"), Loop([step("d")], name="e")]), Parallel(step("f"))])
    .definition()
    .plan
)


def done(path: str, content: str = "x", **fields: str) -> Record:
    return Record(path=path, position=0, kind="Step", status=DONE, output=StepOutput(content, path, **fields))


def opened(path: str) -> Record:
    return Record(path=path, position=0, kind="Steps")


def test_nothing_is_unfinished_when_every_step_that_began_has_ended() -> None:
    assert unfinished(PLAN, [done("0.a"), done("1.b/0.c"), done("1.b")], {}) == []


def test_the_ended_steps_of_a_container_are_kept_in_an_unsuccessful_output_of_it() -> None:
    (found,) = unfinished(PLAN, [done("0.a"), opened("1.b"), done("1.b/0.c", "made")], {})
    assert (found.step_name, found.step_type, found.success, found.error) == ("b", "Steps", False, "Not finished")
    assert [inner.content for inner in found.steps or ()] == ["made"]


def test_what_lies_in_an_ended_container_is_not_told_twice() -> None:
    records = [opened("1.b"), done("1.b/1.e#0/0.d", "1st"), done("1.b/1.e#0", step_type="Iteration"), done("1.b/1.e")]
    (found,) = unfinished(PLAN, records, {})
    assert [inner.step_name for inner in found.steps or ()] == ["1.b/1.e"]


def test_iterations_of_an_unfinished_loop_are_all_kept() -> None:
    records = [done("1.b/1.e#0/0.d", "1st"), done("1.b/1.e#0", step_type="Iteration"), done("1.b/1.e#1/0.d", "2nd")]
    (found,) = unfinished(PLAN, records, {})
    assert [inner.content for inner in found.steps or ()] == ["1st", "2nd"]


def test_a_partial_output_stands_for_itself_at_the_top_and_in_its_container_below() -> None:
    top, below = StepOutput("half", "a", success=False), StepOutput("half", "f", success=False)
    found = unfinished(PLAN, [], {"0.a": top, "2.Parallel/0.f": below})
    assert found[0] is top
    assert (found[1].step_name, found[1].steps) == ("Parallel", [below])
