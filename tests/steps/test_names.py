"""Steps are known by their paths: a name may stand at several places, and looking it up tells them apart or says so."""

from __future__ import annotations

from typing import Any

import pytest
from verbs import Verb

from workflow_runtime import (
    BaseDb,
    Condition,
    Loop,
    Map,
    Parallel,
    Router,
    Step,
    StepInput,
    StepNotFound,
    Steps,
    Workflow,
)


async def clean(step_input: StepInput) -> str:
    return f"{step_input.previous_step_content or step_input.input}."


async def other(step_input: StepInput) -> str:
    return "other"


TREES: dict[str, list[Any]] = {
    "loop": [clean, Loop([clean], name="in", max_iterations=2)],
    "condition": [clean, Condition(evaluator=True, steps=[clean], else_steps=[other], name="in")],
    "both branches": [Condition(evaluator=True, steps=[clean], else_steps=[clean], name="in"), clean],
    "parallel": [Parallel(clean, other, name="in"), clean],
    "two parallels": [Parallel(clean, other, name="in"), Parallel(clean, other, name="in 2")],
    "group": [clean, Steps(name="in", steps=[clean])],
    "list": [clean, [clean, other]],
    "router": [Router(choices=[clean, other], selector=lambda step_input: "clean", name="in"), clean],
    "map": [clean, Map(clean, over=lambda step_input: [1, 2], name="in")],
    "deep": [Steps(name="in", steps=[clean, Loop([clean], name="deep", max_iterations=1)])],
}


@pytest.mark.parametrize("where", TREES)
def test_a_function_may_stand_at_two_places_of_a_tree(verb: Verb, where: str) -> None:
    ran = verb(lambda db: Workflow(name="w", steps=TREES[where], db=db, store_events=True), "x", ordered=False)
    leaves = [leaf.step_name for result in ran.output.step_results for leaf in result.walk() if not leaf.steps]
    assert leaves.count("clean") >= 2
    paths = [event.path for event in ran.events if event.event == "StepStarted" and event.step_name == "clean"]
    assert len(set(paths)) == len(paths) >= 2


@pytest.mark.anyio
async def test_a_function_at_two_places_is_not_confused_when_a_run_is_continued(db: BaseDb) -> None:
    gate = Step("clean", executor=clean, requires_confirmation=True)
    workflow = Workflow(name="w", steps=[gate, Loop([gate], name="again", max_iterations=2)], db=db)
    output = await workflow.arun("x")
    for _ in range(3):
        output.active_step_requirements[0].confirm()
        output = await workflow.acontinue_run(output)
    assert output.content == "x.."


def looking(name: str, *steps: Any) -> Workflow:
    return Workflow(steps=[*steps, Step("look", executor=lambda step_input: step_input.get_step_output(name).content)])


@pytest.mark.parametrize("verb_name", ["get_step_output", "get_step_content"])
def test_a_name_that_stands_for_several_steps_is_told_when_it_is_looked_up(verb_name: str) -> None:
    def look(step_input: StepInput) -> Any:
        return getattr(step_input, verb_name)("clean")

    workflow = Workflow(steps=[clean, Loop([clean], name="again", max_iterations=1), look])
    with pytest.raises(StepNotFound, match="several steps are named 'clean': clean, again/clean; give each a name"):
        workflow.run("x")


def test_iterations_items_and_executions_of_one_step_are_one_step() -> None:
    assert looking("clean", Loop([clean], name="l", max_iterations=3)).run("x").content == "x."
    assert looking("clean", Map(clean, over=lambda step_input: ["ab"], name="m")).run("x").content == "ab."
    router = Router(choices=[clean, other], selector=lambda step_input: ["clean", "clean"], name="r")
    assert looking("clean", router).run("x").content == "x."


def test_a_step_of_a_nested_workflow_does_not_hide_one_of_the_workflow_itself() -> None:
    inner = Step("inner", workflow=Workflow(name="i", steps=[Step("clean", executor=other)]))
    assert looking("clean", clean, inner).run("x").content == "x."
    assert looking("clean", inner).run("x").content == "other"


@pytest.mark.parametrize("verb_name", ["get_step_output", "get_step_content"])
@pytest.mark.parametrize("where", ["top", "container", "nested"])
def test_a_name_that_no_step_has_is_told_with_those_that_are_there(verb_name: str, where: str) -> None:
    def look(step_input: StepInput) -> Any:
        return getattr(step_input, verb_name)("claen")

    steps: dict[str, list[Any]] = {
        "top": [clean, look],
        "container": [clean, Loop([look], name="l")],
        "nested": [Workflow(name="i", steps=[clean, look])],
    }
    with pytest.raises(StepNotFound, match=r"the workflow has no step 'claen'; it has clean, .*did you mean 'clean'\?"):
        Workflow(steps=steps[where]).run("x")


def test_a_step_that_has_not_run_has_no_output() -> None:
    def look(step_input: StepInput) -> Any:
        return [step_input.get_step_output("later"), step_input.get_step_content("later")]

    assert Workflow(steps=[look, Step("later", executor=other)]).run("x").step_results[0].content == [None, None]


def test_the_steps_of_a_function_are_known_only_as_they_run() -> None:
    async def whole(run_context: Any) -> Any:
        return await run_context.step("look", lambda step_input: step_input.get_step_output("nowhere"))

    assert Workflow(name="w", steps=whole).run("x").content is None


# -- what is handed on ---------------------------------------------------------------------------------------------------


async def one(step_input: StepInput) -> int:
    return 1


async def two(step_input: StepInput) -> dict[str, int]:
    return {"b": 2}


async def previous(step_input: StepInput) -> list[Any]:
    return [step_input.previous_step_content, step_input.get_last_step_content()]


BRANCHES = {"one": 1, "two": {"b": 2}}
HANDED_ON: dict[str, tuple[list[Any], Any]] = {
    "parallel": ([Parallel(one, two, name="p")], BRANCHES),
    "map of a list": ([Map(one, over=lambda step_input: ["x", "y"], name="m")], {"one": [1, 1]}),
    "group that ends with a parallel": ([Steps(name="s", steps=[one, Parallel(one, two, name="p")])], BRANCHES),
    "loop": ([Loop([Parallel(one, two, name="p")], name="l", max_iterations=2)], BRANCHES),
    "condition": ([Condition(evaluator=True, steps=[Parallel(one, two, name="p")], name="c")], BRANCHES),
    "parallel in a parallel": (
        [Parallel(one, Parallel(one, two, name="inner"), name="p")],
        {"one": 1, "inner": BRANCHES},
    ),
    "map in a parallel": (
        [Parallel(two, Map(one, over=lambda step_input: [1, 2], name="m"), name="p")],
        {"two": {"b": 2}, "m": {"one": [1, 1]}},
    ),
    "empty map": ([two, Map(one, over=lambda step_input: [], name="m")], {"b": 2}),
    "false condition": ([two, Condition(evaluator=False, steps=[one], name="c")], {"b": 2}),
    "router that chose nothing": ([two, Router(choices=[one], selector=lambda step_input: None, name="r")], {"b": 2}),
    "group of what ran nothing": (
        [two, Steps(name="s", steps=[Condition(evaluator=False, steps=[one], name="c")])],
        {"b": 2},
    ),
    "nothing before": ([Condition(evaluator=False, steps=[one], name="c")], None),
    "nothing at the end of a group": (
        [Steps(name="s", steps=[two, Condition(evaluator=False, steps=[one], name="c")])],
        {"b": 2},
    ),
}


@pytest.mark.parametrize("what", HANDED_ON)
def test_the_next_step_gets_what_all_branches_made_with_their_types(verb: Verb, what: str) -> None:
    steps, expected = HANDED_ON[what]
    ran = verb(lambda db: Workflow(name="w", steps=[*steps, previous], db=db, store_events=True), "x", ordered=False)
    content, last = ran.content
    assert content == expected
    assert what == "nothing before" or last == expected


def test_the_content_of_a_container_can_be_looked_up_with_its_types() -> None:
    def look(step_input: StepInput) -> Any:
        return [step_input.get_step_content("p"), step_input.get_step_content("m")]

    steps = [Parallel(one, two, name="p"), Map(one, over=lambda step_input: [1, 2], name="m"), look]
    assert Workflow(steps=steps).run("x").content == [BRANCHES, {"one": [1, 1]}]


def test_a_container_that_ran_nothing_does_not_take_the_input_from_an_agent() -> None:
    class Agent:
        name = "agent"

        def run(self, input: Any) -> Any:
            return input

    nothing = Condition(evaluator=False, steps=[one], name="c")
    assert Workflow(steps=[two, nothing, Agent()]).run("x").content == {"b": 2}
    assert Workflow(steps=[nothing, Agent()]).run("x").content == "x"
    steps = [Parallel(one, two, name="p"), nothing, Agent()]
    assert Workflow(steps=steps).run("x").content == '=== one ===\n1\n\n=== two ===\n{\n  "b": 2\n}'


def test_the_content_of_the_run_stays_that_of_its_last_step() -> None:
    assert Workflow(steps=[Parallel(one, two, name="p")]).run("x").content == {"b": 2}
    assert str(Workflow(steps=[Parallel(one, two, name="p")]).run("x").step_results[0].content).startswith(
        "## Parallel"
    )
