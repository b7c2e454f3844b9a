"""A workflow as data: ``to_dict``, and ``from_dict`` with a registry of what the data names."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_runtime import (
    BuildError,
    Condition,
    HumanReview,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Registry,
    Retry,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    UnserializableError,
    Workflow,
    WorkflowRunEvent,
)
from workflow_runtime.verbs.registry import qualified_name


class Topic(BaseModel):
    title: str


class Agent:
    name = "writer"

    async def arun(self, input: Any) -> str:
        return f"wrote {input}"


def fetch(step_input: StepInput) -> str:
    return f"fetched {step_input.input}"


def shout(step_input: StepInput) -> str:
    return str(step_input.previous_step_content).upper()


def holds(step_input: StepInput) -> bool:
    return True


def ended(outputs: list[StepOutput]) -> bool:
    return len(outputs) > 0


def pick(step_input: StepInput) -> str:
    return "left"


def items(step_input: StepInput) -> list[int]:
    return [1, 2, 3]


def double(step_input: StepInput) -> int:
    return int(step_input.input) * 2


def long_text(output: StepOutput) -> bool:
    return len(str(output.content)) > 1000


def whole(workflow: Workflow, execution_input: Any) -> str:
    return f"{workflow.name} {execution_input.input}"


FUNCTIONS = [fetch, shout, holds, ended, pick, items, double, long_text, whole, Topic]
agent = Agent()


def everything() -> Workflow:
    """A workflow with every kind of step and every option that is not at its default."""
    inner = Workflow(name="Inner", steps=[Step(name="in", executor=fetch)], metadata={"inner": True})
    return Workflow(
        name="Everything",
        description="All of it",
        session_state={"n": 1, "when": datetime(2026, 1, 2, tzinfo=UTC)},
        metadata={"team": "a"},
        dependencies={"k": (1, 2)},
        stream_events=True,
        store_events=True,
        events_to_skip=[WorkflowRunEvent.step_started, "StepContent"],
        input_schema=Topic,
        num_history_runs=5,
        run_timeout=60,
        session_policy="queue",
        steps=[
            fetch,
            Step(
                name="careful",
                executor=shout,
                description="Loud",
                retry=Retry(attempts=4, delay=0.5, on=(ValueError, ConnectionError)),
                timeout=10,
                on_error="skip",
                human_review=HumanReview(requires_output_review=long_text, on_reject="retry", max_retries=2),
            ),
            Step(name="retried", executor=shout, max_retries=2, offload=False),
            Step(name="agent step", agent=agent),
            Step(name="nested", workflow=inner),
            Steps(name="group", steps=[Step(name="grouped", executor=fetch), [Step(name="listed", executor=fetch)]]),
            Parallel(
                Step(name="p1", executor=fetch),
                Step(name="p2", executor=shout),
                name="both",
                max_concurrency=1,
                wait_for="first",
                fail_fast=False,
            ),
            Map(Step(name="doubled", executor=double), items, name="map", max_concurrency=2),
            Map(Step(name="each", executor=double), "session_state.todo", name="map by path"),
            Loop(name="loop", steps=[Step(name="again", executor=shout)], max_iterations=2, end_condition=ended),
            Loop(name="cel loop", steps=[Step(name="more", executor=shout)], end_condition="current_iteration >= 2"),
            Condition(
                name="cond",
                evaluator=holds,
                steps=[Step(name="yes", executor=shout)],
                else_steps=[Step(name="no", executor=fetch)],
                on_error="skip",
            ),
            Condition(name="constant", evaluator=False, steps=[Step(name="never", executor=fetch)]),
            Router(name="route", selector=pick, choices=[Step(name="left", executor=shout), Step("r", executor=fetch)]),
            Step(
                name="asked",
                executor=fetch,
                requires_user_input=True,
                user_input_schema=[{"name": "n", "field_type": "int"}],
                hitl_timeout=5.0,
            ),
            Step(name="form", executor=fetch, requires_user_input=True, user_input_schema=Topic),
        ],
    )


def test_every_kind_of_step_comes_back_from_json_as_it_was() -> None:
    workflow = everything()
    data = json.loads(json.dumps(workflow.to_dict()))
    again = Workflow.from_dict(data, registry=[*FUNCTIONS, agent])
    assert again.to_dict() == workflow.to_dict()
    assert again.definition().plan.fingerprint == workflow.definition().plan.fingerprint
    assert again.session_state == workflow.session_state
    assert again.dependencies == {"k": (1, 2)}
    assert again.input_schema is Topic
    careful = again.steps[1]
    assert careful.retry == Retry(attempts=4, delay=0.5, on=(ValueError, ConnectionError))
    assert careful.human_review.requires_output_review is long_text


def test_a_workflow_from_data_runs_as_the_original_does() -> None:
    workflow = Workflow(
        name="Runs",
        steps=[
            fetch,
            Step(name="nested", workflow=Workflow(name="Inner", steps=[shout])),
            Map(Step(name="doubled", executor=double), items, name="map"),
            Router(name="route", selector=pick, choices=[Step(name="left", executor=shout)]),
        ],
    )
    again = Workflow.from_dict(json.loads(json.dumps(workflow.to_dict())), registry=FUNCTIONS)
    first, second = workflow.run("x"), again.run("x")
    assert second.content == first.content
    assert [step.content for step in second.step_results] == [step.content for step in first.step_results]


def test_the_description_has_the_keys_that_readers_of_agno_know() -> None:
    data = everything().to_dict()
    for key in ("name", "id", "description", "session_state", "metadata", "dependencies", "steps", "num_history_runs"):
        assert key in data
    assert data["input_schema"] == f"{__name__}:Topic"
    assert data["events_to_skip"] == ["StepStarted", "StepContent"]
    by_name = {step.get("name"): step for step in data["steps"]}
    assert by_name["careful"]["executor_ref"] == f"{__name__}:shout"
    assert by_name["cond"]["evaluator_type"] == "function"
    assert by_name["constant"] | {"evaluator": False, "evaluator_type": "bool"} == by_name["constant"]
    assert by_name["cel loop"]["end_condition_type"] == "cel"
    assert by_name["route"]["selector"] == f"{__name__}:pick"
    assert by_name["nested"]["workflow"]["name"] == "Inner"
    assert by_name["agent step"]["agent_ref"] == "writer"


def test_a_callable_workflow_is_found_again_by_its_name() -> None:
    workflow = Workflow(name="Whole", steps=whole)
    data = workflow.to_dict()
    assert data["steps_ref"] == f"{__name__}:whole"
    assert Workflow.from_dict(data, registry={"anything": whole}).run("x").content == "Whole x"


def test_a_steps_as_the_whole_workflow_stays_one() -> None:
    workflow = Workflow(name="S", steps=Steps(name="all", steps=[fetch]))
    again = Workflow.from_dict(workflow.to_dict(), registry=[fetch])
    assert isinstance(again.steps, Steps)
    assert again.run("x").content == "fetched x"


def test_the_database_is_described_and_given_anew() -> None:
    db = InMemoryDb(id="here")
    data = Workflow(name="Db", steps=[fetch], db=db).to_dict()
    assert data["db"] == {"type": "InMemoryDb", "id": "here"}
    assert Workflow.from_dict(data, registry=[fetch]).db is None
    assert Workflow.from_dict(data, registry=[fetch], db=db).db is db


def test_an_unknown_callable_is_named_with_the_step_that_needs_it() -> None:
    data = Workflow(name="W", steps=[Step(name="load", executor=fetch)]).to_dict()
    with pytest.raises(BuildError, match=r"Step 'load' \(executor\) needs '.*:fetch'.*which knows .*:shout"):
        Workflow.from_dict(data, registry=[shout])
    with pytest.raises(BuildError, match="which knows nothing"):
        Workflow.from_dict(data)


def test_an_unknown_type_of_step_or_field_is_refused() -> None:
    with pytest.raises(BuildError, match=r"'Jump' is not a type of step; known: Condition, "):
        Workflow.from_dict({"name": "W", "steps": [{"type": "Jump"}]})
    with pytest.raises(BuildError, match="colour"):
        Workflow.from_dict({"name": "W", "colour": "red"})
    data = Workflow(name="W", steps=[Step(name="load", executor=fetch)]).to_dict()
    data["steps"][0]["colour"] = "red"
    with pytest.raises(BuildError, match=r"Step 'load'.*colour"):
        Workflow.from_dict(data, registry=[fetch])


def test_what_data_cannot_say_is_an_error_that_names_it() -> None:
    workflow = Workflow(name="W", steps=[fetch], dependencies={"client": object()})
    with pytest.raises(UnserializableError, match=r"dependencies\['client'\]"):
        workflow.to_dict()


def test_a_registry_takes_lists_names_and_decorators() -> None:
    registry = Registry(fetch, functions=[holds], loud=shout)

    @registry.register("local")
    def inner(step_input: StepInput) -> str:
        return "inner"

    assert registry.find(f"{__name__}:fetch", "x") is fetch
    assert registry.find("fetch", "x") is fetch
    assert registry.find("loud", "x") is shout
    assert registry.find("local", "x") is inner
    assert Registry.of(registry) is registry
    assert f"{__name__}:holds" in registry.names()
    workflow = Workflow(name="W", steps=[inner, shout])
    assert Workflow.from_dict(workflow.to_dict(), registry=registry).run("x").content == "INNER"


def test_two_things_of_one_name_are_an_error_when_they_are_registered() -> None:
    registry = Registry(fetch)
    registry.add(fetch)
    with pytest.raises(BuildError, match="another 'f' already"):
        Registry(f=fetch).add(shout, "f")
    one, two = lambda step_input: 1, lambda step_input: 2  # lambdas share their name
    with pytest.raises(BuildError, match="two different"):
        Registry(one, two)


def test_names_of_callables_say_where_they_are() -> None:
    assert qualified_name(fetch) == f"{__name__}:fetch"
    assert qualified_name(functools.partial(fetch, None)) == f"{__name__}:fetch(partial)"
    assert qualified_name(agent) == "writer"
    assert qualified_name(Topic) == f"{__name__}:Topic"
