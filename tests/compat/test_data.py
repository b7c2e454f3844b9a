"""Workflows and steps as data: what agno's form cannot say, what it says wrong, and whose data can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import workflow_runtime as strict
from workflow_runtime import InMemoryDb, Retry
from workflow_runtime.compat.agno.db.sqlite import SqliteDb
from workflow_runtime.compat.agno.registry import Registry
from workflow_runtime.compat.agno.workflow import (
    Condition,
    HumanReview,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    Steps,
    Workflow,
)
from workflow_runtime.model.errors import BuildError


def one(step_input: StepInput) -> str:
    return "one"


def boom(step_input: StepInput) -> str:
    raise KeyError("boom")


def pick(step_input: StepInput) -> str:
    return "one"


def is_long(output: Any) -> bool:
    return len(output.content) > 2


class Agent:
    def __init__(self, name: str, id: str) -> None:
        self.name, self.id = name, id

    def deep_copy(self) -> Agent:
        return Agent(self.name, self.id)

    async def arun(self, input: Any, **call: Any) -> Any:
        return f"{self.name} says {input}"


AGENT = Agent("Ada", "ada-1")
INNER = Workflow(name="inner", id="inner", steps=[one])
REGISTRY = Registry(functions=[one, boom, pick, is_long, KeyError], agents=[AGENT])

COMPONENTS: dict[str, Callable[[], Any]] = {
    "retry": lambda: Step(executor=one, retry=Retry(attempts=3, delay=0.5, on=(KeyError,)), timeout=5, offload=False),
    "written fail": lambda: Step(executor=boom, on_error="fail"),
    "written skip": lambda: Step(executor=boom, on_error="skip"),
    "unwritten": lambda: Step(executor=boom),
    "guards": lambda: Step(executor=boom, human_review=HumanReview(requires_output_review=is_long, on_error="pause")),
    "agent": lambda: Step(agent=AGENT),
    "workflow": lambda: Step(name="w", workflow=INNER),
    "parallel": lambda: Parallel(one, name="p", max_concurrency=2, fail_fast=False, wait_for="first", timeout=3),
    "function": lambda: Steps(name="s", steps=[one, [one, boom], AGENT, INNER]),
    "strict": lambda: Steps(name="s", steps=[strict.Step(name="b", executor=boom), strict.Map(one, over="input")]),
    "loop": lambda: Loop(name="l", steps=[one], end_condition=True, timeout=4),
    "condition": lambda: Condition(name="c", steps=[one], human_review=HumanReview(on_error="fail")),
    "router": lambda: Router(name="r", choices=[one], selector=pick, on_reject="retry"),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_the_same_after_json(name: str) -> None:
    component = COMPONENTS[name]()
    data = json.loads(json.dumps(component.to_dict()))
    again = type(component).from_dict(data, registry=REGISTRY)
    assert again.to_dict() == component.to_dict()
    workflow = Workflow(name="W", steps=[component])
    rebuilt = Workflow.from_dict(json.loads(json.dumps(workflow.to_dict())), registry=REGISTRY)
    assert rebuilt.to_dict() == workflow.to_dict()


def test_what_was_not_written_is_still_left_to_the_container() -> None:
    for name, status in {"unwritten": [False], "written skip": [True]}.items():
        step = Step.from_dict(COMPONENTS[name]().to_dict(), registry=REGISTRY)
        output = Workflow(name="W", steps=[Steps(name="s", steps=[step])]).run("x")
        assert [bool(box.steps) for box in output.step_results] == status
    step = Step.from_dict(COMPONENTS["written fail"]().to_dict(), registry=REGISTRY)
    with pytest.raises(KeyError):
        Workflow(name="W", steps=[Steps(name="s", steps=[step])]).run("x")


def test_a_step_of_the_strict_classes_is_one_again() -> None:
    data = Workflow(name="W", steps=[strict.Step(name="b", executor=boom)]).to_dict()
    with pytest.raises(KeyError):
        Workflow.from_dict(data, registry=REGISTRY).run("x")


def test_an_agent_is_a_copy_of_the_registrys() -> None:
    step = Step.from_dict({"name": "s", "agent_id": "ada-1"}, registry=REGISTRY)
    assert isinstance(step.agent, Agent)
    assert step.agent is not AGENT
    assert Step.from_dict({"name": "s", "agent_id": "Ada"}, registry=REGISTRY).agent.id == "ada-1"


def test_a_name_that_cannot_be_found_is_an_error_at_once() -> None:
    unknown = {"type": "Condition", "name": "c", "evaluator": "nowhere", "steps": []}
    with pytest.raises(ValueError, match=r"'nowhere' not found in registry: .*which knows"):
        Condition.from_dict(unknown, registry=REGISTRY)
    with pytest.raises(ValueError, match=r"Registry required .*'nowhere'"):
        Condition.from_dict(unknown)
    with pytest.raises(ValueError, match="agent 'nobody' of Step 's' not found in registry"):
        Step.from_dict({"name": "s", "agent_id": "nobody"}, registry=REGISTRY)
    with pytest.raises(ValueError, match="must have one executor"):
        Step.from_dict({"name": "s"})
    with pytest.raises(BuildError, match="Step 's' has no max_retrys"):
        Step.from_dict({"name": "s", "executor_ref": "one", "max_retrys": 1}, registry=REGISTRY)
    with pytest.raises(ValueError, match="HumanReview has no timeot"):
        HumanReview.from_dict({"timeot": 1})


def test_what_is_incomplete_can_be_loaded_but_no_workflow_can_be_made_of_it() -> None:
    assert Condition.from_dict({"type": "Condition", "evaluator": False, "steps": []}).steps == []
    router = Router.from_dict({"type": "Router", "name": "r", "choices": []})
    assert router.selector is None
    with pytest.raises(BuildError, match="Router 'r' has no choices"):
        Workflow(name="W", steps=[router])
    with pytest.raises(BuildError, match="Router 'r': give it a selector="):
        Workflow(name="W", steps=[Router(name="r", choices=[one])])
    with pytest.raises(BuildError, match="Parallel 'p' has no steps"):
        Workflow(name="W", steps=[Parallel(name="p")])


def test_a_guard_is_read_only_since_a_workflow_takes_it_over_when_it_is_built() -> None:
    step = Step(executor=one, requires_confirmation=True)
    with pytest.raises(AttributeError):
        step.requires_confirmation = False
    step.human_review = HumanReview()
    assert not step.requires_confirmation


def test_the_database_is_the_given_one_or_the_described_one(tmp_path: Path) -> None:
    db = SqliteDb(db_file=str(tmp_path / "a.db"), id="files")
    workflow = Workflow(name="W", db=db, steps=[one])
    data = json.loads(json.dumps(workflow.to_dict()))
    workflow.run("x", session_id="s")
    loaded = Workflow.from_dict(data, registry=REGISTRY)
    session = loaded.get_session("s")
    assert session is not None
    assert [run.content for run in session.runs or ()] == ["one"]
    other = InMemoryDb()
    assert Workflow.from_dict(data, db=other, registry=REGISTRY).db is other
    assert Workflow.from_dict(data, registry=Registry(functions=[one], dbs=[db])).db is db
    assert Workflow.from_dict({"name": "W", "db": {"type": "mongo"}, "steps": []}).db is None


def test_a_step_names_its_executor_and_a_registry_takes_more() -> None:
    assert [(step.executor_type, step.executor_name) for step in (Step(executor=one), Step(agent=AGENT))] == [
        ("function", "one"),
        ("agent", "Ada"),
    ]
    assert Step(name="w", workflow=INNER).executor_type == "workflow"
    assert Router(name="r", choices=[one], requires_user_input=True).requires_hitl
    registry, db = Registry(), InMemoryDb()
    registry.add_function(one)
    registry.add_schema(Agent)
    registry.add_db(db)
    assert (registry.get_function("one"), registry.get_schema("Agent"), registry.get_db(db.id)) == (one, Agent, db)


def test_a_registry_has_agnos_lists_and_questions() -> None:
    assert REGISTRY.get_function("one") is one
    assert REGISTRY.get_function("nowhere") is None
    assert REGISTRY.get_agent("ada-1") is AGENT
    assert Registry(name="mine", description="all", tools=[1], models=[2]).get_function("mine") is None
