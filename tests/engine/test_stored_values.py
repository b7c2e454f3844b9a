"""Every kind of value, wherever a run keeps one, through both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from model.kinds import KEPT, REFUSED
from model.test_value_kinds import same
from verbs import of_kind

from workflow_runtime import (
    BaseDb,
    Parallel,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Steps,
    UnserializableError,
    Workflow,
)

UNSTORABLE = sorted(REFUSED.keys() - {"generator"})  # a step that returns a generator streams it

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.mark.parametrize("kind", KEPT)
async def test_a_value_is_the_same_wherever_a_stored_run_keeps_it(db: BaseDb, kind: str) -> None:
    value = KEPT[kind]

    async def give(step_input: StepInput, run_context: RunContext) -> Any:
        run_context.session_state["kept"] = value
        run_context.emit(found=value)
        return await run_context.once("memo", lambda: value)

    async def stream(step_input: StepInput) -> AsyncIterator[Any]:
        yield [value]

    async def ask(step_input: StepInput) -> None: ...

    def make() -> Workflow:
        steps = [give, stream, Step(name="ask", executor=ask, requires_confirmation=True)]
        return Workflow(name="w", steps=steps, db=db, store_events=True)

    await make().arun(value, run_id="r", session_id="s", additional_data={"extra": value}, metadata={"m": value})
    found = await make().aget_run_output("r")
    assert found is not None
    assert found.status is RunStatus.paused
    chunk = of_kind(found.events or (), "StepContent")[0].delta
    custom = of_kind(found.events or (), "CustomEvent")[0].found
    completed = of_kind(found.events or (), "StepCompleted")[0].content
    (requirement,) = found.step_requirements or ()
    assert requirement.step_input is not None
    places = {
        "input": found.input,
        "additional_data": (found.additional_data or {})["extra"],
        "metadata": (found.metadata or {})["m"],
        "step_results": found.step_results[0].content,
        "chunk": chunk[0],
        "custom event": custom,
        "event content": completed,
        "session_state": (await make().aget_session_state("s"))["kept"],
        "a question's input": requirement.step_input.input,
        "a question's last content": requirement.step_input.previous_step_content[0][0],
    }
    assert {place: found for place, found in places.items() if not same(found, value)} == {}
    requirement.confirm()
    done = await make().acontinue_run(run_id="r", step_requirements=[requirement])
    assert done.status is RunStatus.completed
    assert same(done.step_results[0].content, value), "what the journal gave back"


@pytest.mark.parametrize("kind", UNSTORABLE)
async def test_a_value_that_cannot_be_kept_fails_the_run_with_the_steps_path(db: BaseDb, kind: str) -> None:
    async def finished(step_input: StepInput) -> str:
        return "finished"

    async def give(step_input: StepInput) -> Any:
        return REFUSED[kind]

    box = Parallel(Steps(name="deep", steps=[finished, Step(name="give", executor=give)]), name="box")
    workflow = Workflow(name="w", steps=[Step(name="first", executor=finished), box], db=db, store_events=True)
    with pytest.raises(UnserializableError, match=r"1\.box/0\.deep/1\.give"):
        await workflow.arun("x", run_id="r", session_id="s")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert (stored.status, stored.error_type) == (RunStatus.error, "UnserializableError")
    assert "1.box/0.deep/1.give" in str(stored.error)
    assert stored.step_results[0].content == "finished"
    assert (stored.events or [])[-1].event == "WorkflowError"


@pytest.mark.parametrize("kind", ["object", "dict subclass", "object in a dataclass"])
async def test_an_input_that_cannot_be_kept_fails_the_run_and_says_it_is_the_input(db: BaseDb, kind: str) -> None:
    async def never(step_input: StepInput) -> None: ...

    with pytest.raises(UnserializableError, match="input"):
        await Workflow(steps=[never], db=db).arun(REFUSED[kind], session_id="s")


@pytest.mark.parametrize("kind", ["object", "dict subclass", "object in a dataclass"])
async def test_a_state_that_cannot_be_kept_fails_the_run_with_its_key(db: BaseDb, kind: str) -> None:
    async def first(session_state: dict[str, Any]) -> None:
        session_state["fine"] = 1

    async def spoil(session_state: dict[str, Any]) -> None:
        session_state["bad"] = REFUSED[kind]

    workflow = Workflow(steps=[first, spoil], db=db)
    with pytest.raises(UnserializableError, match=r"session_state\['bad'\]"):
        await workflow.arun(run_id="r", session_id="s")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.error
    assert [result.step_name for result in stored.step_results][:1] == ["first"]
    assert await workflow.aget_session_state("s") == {"fine": 1}


@pytest.mark.parametrize("kind", UNSTORABLE)
async def test_without_a_database_any_value_passes_between_steps(kind: str) -> None:
    async def give(step_input: StepInput) -> Any:
        return REFUSED[kind]

    async def take(step_input: StepInput) -> Any:
        return step_input.previous_step_content is REFUSED[kind]

    output = await Workflow(steps=[give, take]).arun()
    assert output.content is True
