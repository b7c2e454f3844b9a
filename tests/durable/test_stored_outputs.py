"""What a step returned stands as it was when the step ended, whatever later steps do to the object."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel
from verbs import MODES, run_async

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Steps,
    Workflow,
)
from workflow_runtime.core.kept import copy_of

pytestmark = pytest.mark.anyio

Again = Callable[[], BaseDb]


class Basket(BaseModel):
    items: list[str]


@dataclasses.dataclass
class Box:
    items: list[str]


class Bag(msgspec.Struct):
    items: list[str]


MADE: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "a list": (lambda: ["a"], lambda value: value.append("b")),
    "a list in a dict": (lambda: {"x": ["a"]}, lambda value: value["x"].append("b")),
    "a set": (lambda: {"a"}, lambda value: value.add("b")),
    "a list in a tuple": (lambda: (["a"],), lambda value: value[0].append("b")),
    "bytes": (lambda: bytearray(b"a"), lambda value: value.extend(b"b")),
    "a model": (lambda: Basket(items=["a"]), lambda value: value.items.append("b")),
    "a dataclass": (lambda: Box(items=["a"]), lambda value: value.items.append("b")),
    "a struct": (lambda: Bag(items=["a"]), lambda value: value.items.append("b")),
}


def content_of(output: Any, name: str) -> Any:
    """The content of the step of that name."""
    return next(step.content for top in output.step_results for step in top.walk() if step.step_name == name)


@pytest.mark.parametrize("kind", MADE)
async def test_a_later_step_does_not_change_what_is_stored_of_an_earlier_one(again: Again, kind: str) -> None:
    make, change = MADE[kind]

    async def spoil(step_input: StepInput) -> str:
        change(step_input.previous_step_content)
        return "spoilt"

    db = again()
    workflow = Workflow(
        id="w", steps=[Step("find", executor=make), Step("spoil", executor=spoil)], db=db, store_events=True
    )
    output = await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    expected = make()
    assert content_of(output, "find") == content_of(stored, "find") == expected
    assert (await workflow.history("r"))[0].output.content == expected  # type: ignore[union-attr]
    for events in (output.events, stored.events):
        completed = [event for event in events or () if event.event == "StepCompleted"]
        assert completed[0].content == expected
        ended = [event for event in events or () if event.event == "WorkflowCompleted"]
        assert ended[0].step_results[0].content == expected


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("run", "run-stream")])
async def test_in_every_mode_a_reader_sees_what_the_step_returned(again: Again, mode: str) -> None:
    def spoil(step_input: StepInput) -> str:
        step_input.previous_step_content.append("b")
        return "spoilt"

    steps = [Step("find", executor=lambda: ["a"]), Step("spoil", executor=spoil)]
    ran = await run_async(mode, Workflow(id="w", steps=steps, db=again(), store_events=True), "x", {})
    assert [event.content for event in ran.events if event.event == "StepCompleted"] == [["a"], "spoilt"]
    assert content_of(ran.output, "find") == ["a"]


def test_the_synchronous_verbs_keep_it_too(again: Again) -> None:
    def spoil(step_input: StepInput) -> str:
        step_input.previous_step_content.append("b")
        return "spoilt"

    workflow = Workflow(id="w", steps=[Step("find", executor=lambda: ["a"]), Step("spoil", executor=spoil)], db=again())
    assert content_of(workflow.run("x"), "find") == ["a"]
    stream = workflow.run("x", stream=True, stream_events=True)
    assert [event.content for event in stream if event.event == "StepCompleted"] == [["a"], "spoilt"]
    assert content_of(stream.result(), "find") == ["a"]


def spoiling(name: str) -> Step:
    async def spoil(step_input: StepInput) -> str:
        found = step_input.get_step_output("find")
        assert found is not None
        found.content.append(name)
        return name

    return Step(name, executor=spoil)


FIND = Step("find", executor=lambda: ["a"])


@pytest.mark.parametrize(
    "steps",
    [
        [Steps(name="all", steps=[FIND, spoiling("b")])],
        [Loop([FIND, spoiling("b")], max_iterations=2, name="rounds")],
        [FIND, Parallel(spoiling("b"), spoiling("c"), name="both")],
        [Step("inner", workflow=Workflow(name="in", steps=[FIND, spoiling("b")]))],
    ],
    ids=["Steps", "Loop", "Parallel", "Workflow"],
)
@pytest.mark.parametrize("stored", [True, False])
async def test_inside_containers_it_stands_as_well(steps: list[Any], stored: bool) -> None:
    workflow = Workflow(id="w", steps=steps, db=InMemoryDb() if stored else None, store_events=True)
    output = await workflow.arun("x")
    found = [step.content for top in output.step_results for step in top.walk() if step.step_name == "find"]
    assert found == [["a"]] * len(found)
    completed = [event.content for event in output.events or () if event.event == "StepCompleted"]
    assert completed[0] == ["a"]


async def test_items_of_a_map_stand(again: Again) -> None:
    kept: list[list[int]] = []

    async def one(step_input: StepInput) -> list[int]:
        kept.append([int(step_input.input)])
        return kept[-1]

    async def spoil() -> str:
        for item in kept:
            item.append(0)
        return "spoilt"

    workflow = Workflow(
        id="w", steps=[Map(Step("one", executor=one), over=lambda: [1, 2], name="all"), spoil], db=again()
    )
    output = await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    for found in (output, stored):
        assert [step.content for step in found.step_results[0].walk() if step.step_name == "one"] == [[1], [2]]


async def test_steps_of_a_function_stand(again: Again) -> None:
    async def flow(run_context: RunContext) -> int:
        found = await run_context.step("find", lambda: ["a"])
        found.append("b")
        return len(found)

    workflow = Workflow(id="w", steps=flow, db=again())
    output = await workflow.arun("x", run_id="r")
    assert output.content == 2
    assert content_of(output, "find") == ["a"]


async def test_the_object_itself_goes_on_to_the_next_step() -> None:
    made: list[Any] = []

    def find() -> list[str]:
        made.append(["a"])
        found: list[str] = made[0]
        return found

    async def look(step_input: StepInput) -> bool:
        return step_input.previous_step_content is made[0]

    assert (await Workflow(steps=[find, look]).arun("x")).content is True


async def test_a_run_that_is_continued_elsewhere_sees_what_was_stored(again: Again) -> None:
    def spoil(step_input: StepInput) -> list[str]:
        step_input.previous_step_content.append("b")
        return ["spoilt"]

    def look(step_input: StepInput) -> Any:
        found = step_input.get_step_content("find")
        found.append("c")
        return len(found)

    steps = [
        Step("find", executor=lambda: ["a"]),
        Step("spoil", executor=spoil),
        Step("look", executor=look, requires_confirmation=True),
    ]
    paused = await Workflow(id="w", steps=steps, db=again()).arun("x", run_id="r")
    assert content_of(paused, "find") == ["a"]
    paused.active_step_requirements[0].confirm()
    other = Workflow(id="w", steps=steps, db=again())
    output = await other.acontinue_run(run_id="r", step_requirements=paused.active_step_requirements)
    assert (output.status, output.content) == (RunStatus.completed, 2)
    assert content_of(output, "find") == ["a"]
    stored = await other.aget_run_output("r")
    assert stored is not None
    assert content_of(stored, "find") == ["a"]


async def test_what_once_has_computed_stands_for_the_next_attempt(again: Again) -> None:
    seen: list[Any] = []

    async def work(run_context: RunContext) -> str:
        found = await run_context.once("list", lambda: ["a"])
        seen.append(list(found))
        found.append("b")
        if len(seen) < 3:
            raise ValueError("again")
        return "done"

    workflow = Workflow(id="w", steps=[Step("work", executor=work, max_retries=2)], db=again())
    await workflow.arun("x", run_id="r")
    assert seen == [["a"]] * 3


def test_what_has_no_value_to_copy_is_shared() -> None:
    connection = object()
    found = copy_of({"db": connection, "rows": [1]})
    assert found["db"] is connection
    made = Box(items=[threading.Lock()])  # type: ignore[list-item]
    assert copy_of(made) is made
