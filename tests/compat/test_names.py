"""Modules and small functions under agno's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import TestServer

from workflow_runtime import WorkflowSession
from workflow_runtime.compat.agno.db.async_postgres import AsyncPostgresDb as Again
from workflow_runtime.compat.agno.db.base import SessionType
from workflow_runtime.compat.agno.db.in_memory import InMemoryDb
from workflow_runtime.compat.agno.db.postgres import AsyncPostgresDb, PostgresDb
from workflow_runtime.compat.agno.db.sqlite import AsyncSqliteDb, SqliteDb
from workflow_runtime.compat.agno.utils.merge_dict import merge_dictionaries, merge_parallel_session_states
from workflow_runtime.compat.agno.workflow import Step, StepInput, StepOutput, Workflow
from workflow_runtime.compat.agno.workflow.cel import is_cel_expression, validate_cel_expression
from workflow_runtime.compat.agno.workflow.loop import StepInput as LoopInput
from workflow_runtime.compat.agno.workflow.step import StepInput as InputOfStep
from workflow_runtime.compat.agno.workflow.step import StepOutput as OutputOfStep
from workflow_runtime.compat.agno.workflow.types import StepRequirement
from workflow_runtime.model.errors import BuildError


def echo(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"echo {step_input.input}")


def test_the_modules_of_steps_have_the_types_of_steps() -> None:
    assert InputOfStep is LoopInput is StepInput
    assert OutputOfStep is StepOutput


@pytest.mark.parametrize("text", ["", "   ", "123", "3point14", "name", "_x", "true", "a b", "in"])
def test_what_has_no_sign_of_an_expression_is_none(text: str) -> None:
    assert is_cel_expression(text) is False


@pytest.mark.parametrize(
    "text",
    ["a.b", "x == 5", "!a", "a && b", "a ? 'b' : 'c'", "(a)", "m['k']", '"text"', "x in names", "1 + 2", "-x", "a % 2"],
)
def test_what_has_one_is_an_expression(text: str) -> None:
    assert is_cel_expression(text) is True


def test_blank_text_is_no_valid_expression() -> None:
    assert [validate_cel_expression(text) for text in ("", "  ", "1 + 2", "1 +")] == [False, False, True, False]


def test_nested_dictionaries_are_merged_in_place() -> None:
    target: dict[str, Any] = {"a": {"x": 1, "y": 1}, "b": [1]}
    merge_dictionaries(target, {"a": {"y": 2}, "b": [2], "c": 3})
    assert target == {"a": {"x": 1, "y": 2}, "b": [2], "c": 3}


def test_what_parallel_steps_changed_is_merged_into_one_state() -> None:
    state: dict[str, Any] = {"a": 1, "b": 1, "c": 1}
    merge_parallel_session_states(state, [{"a": 2, "b": 1, "c": 1}, {}, {"a": 1, "b": 3, "c": 1, "new": True}])
    assert state == {"a": 2, "b": 3, "c": 1, "new": True}
    empty: dict[str, Any] = {}
    merge_parallel_session_states(empty, [{"a": 1}])
    assert empty == {}


def test_a_requirement_of_a_run_is_one_of_agnos() -> None:
    workflow = Workflow(name="W", steps=[Step(name="s", executor=echo, requires_confirmation=True)])
    paused = workflow.run("x")
    (asked,) = paused.active_step_requirements
    assert isinstance(asked, StepRequirement)
    again = StepRequirement.from_dict(asked.to_dict())
    assert (again.id, again.on_reject, again.max_retries) == (asked.id, "skip", 3)
    again.confirm()
    assert workflow.continue_run(paused, step_requirements=[again]).content == "echo x"
    assert not isinstance(echo, StepRequirement)


@pytest.mark.parametrize("make", [lambda path: InMemoryDb(), lambda path: SqliteDb(db_file=str(path / "a.db"))])
def test_a_database_can_be_asked_for_a_session(make: Callable[[Path], Any], tmp_path: Path) -> None:
    db = make(tmp_path)
    Workflow(name="W", db=db, steps=[echo], user_id="u").run("one", session_id="s")
    session = db.get_session("s", SessionType.WORKFLOW)
    assert [run.content for run in session.runs] == ["echo one"]
    assert db.get_session(session_id="s", session_type="workflow", deserialize=False)["session_id"] == "s"
    assert db.get_session("nowhere") is None
    with pytest.raises(PermissionError):
        db.get_session("s", user_id="another")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asynchronous_database_is_awaited(tmp_path: Path) -> None:
    db = AsyncSqliteDb(db_file=str(tmp_path / "a.db"))
    await Workflow(name="W", db=db, steps=[echo]).arun("one", session_id="s")
    session = await db.get_session("s", SessionType.WORKFLOW)
    assert isinstance(session, WorkflowSession)
    assert len(session.runs or ()) == 1


# -- PostgreSQL ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda url: PostgresDb(url.replace("postgresql://", "postgresql+psycopg://"), session_table="mine"),
        lambda url: AsyncPostgresDb(db_url=url, db_schema="elsewhere", id="mine"),
    ],
)
def test_a_workflow_runs_on_postgresql_as_agnos_users_name_it(
    postgres: TestServer, make: Callable[[str], PostgresDb]
) -> None:
    workflow = Workflow(name="W", db=make(postgres.new_database()), steps=[echo], session_state={"n": 1})
    workflow.run("one", session_id="s")
    session = workflow.get_session("s")
    assert session is not None
    assert [run.content for run in session.runs or ()] == ["echo one"]
    assert workflow.get_session_state("s") == {"n": 1}


def test_arguments_of_a_postgresql_database_are_agnos() -> None:
    assert Again is AsyncPostgresDb
    db = AsyncPostgresDb("mine", "postgresql+asyncpg://user:secret@host/name", db_schema="ai", memory_table="m")
    assert (db.id, db.settings.schema) == ("mine", "ai")
    assert db.to_dict() == {"type": "postgres", "id": "mine", "db_schema": "ai"}
    assert PostgresDb.from_dict({"db_url": "postgresql://host/name", "db_schema": "ai"}).settings.schema == "ai"
    with pytest.raises(BuildError, match="needs db_url="):
        PostgresDb(db_engine=object())
    with pytest.raises(BuildError, match="needs db_url="):
        PostgresDb()
    with pytest.raises(TypeError, match="bogus"):
        PostgresDb("postgresql://host/name", bogus=1)
