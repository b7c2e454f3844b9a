"""What the caller gives to a run is not changed by it, and what cannot be stored may still be given to the constructor."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_runtime import BaseDb, RunContext, Step, StepInput, UnserializableError, Workflow

pytestmark = pytest.mark.anyio


class Client:
    """A live object, such as a database client."""

    def __init__(self) -> None:
        self.calls = 0


def touch(step_input: StepInput, run_context: RunContext, dependencies: dict[str, Any]) -> list[int]:
    data, metadata = step_input.additional_data or {}, run_context.metadata or {}
    parts = [run_context.session_state, dependencies, data, metadata]
    for part in parts:
        part["list"].append(1)
        part["dict"]["list"].append(1)
    return [len(part["list"]) + len(part["dict"]["list"]) for part in parts]


@pytest.mark.parametrize("mode", ["await", "stream", "background"])
async def test_a_run_changes_nothing_that_its_caller_gave(db: BaseDb, mode: str) -> None:
    def fresh() -> dict[str, Any]:
        return {"list": [], "dict": {"list": []}}

    given = {name: fresh() for name in ("session_state", "dependencies", "additional_data", "metadata")}
    workflow = Workflow(name="w", steps=[touch], db=db)
    for number in range(2):
        session = f"s{number}"
        if mode == "stream":
            output = await workflow.arun("x", session_id=session, stream=True, **given).result()
        elif mode == "background":
            started = await workflow.arun("x", session_id=session, background=True, **given)
            async for _ in workflow.subscribe(started.run_id):
                pass
            output = await workflow.aget_run_output(started.run_id)
            assert output is not None
        else:
            output = await workflow.arun("x", session_id=session, **given)
        assert output.content == [2, 2, 2, 2]
    assert given == {name: fresh() for name in given}


async def test_the_constructor_s_dependencies_may_be_live_objects(db: BaseDb) -> None:
    client, log = Client(), []

    def use(step_input: StepInput, dependencies: dict[str, Any], run_context: RunContext) -> str:
        log.append(dependencies["client"] is client and (run_context.dependencies or {})["client"] is client)
        return str(dependencies["key"])

    gate = Step("gate", executor=use, requires_confirmation=True)
    inner = Workflow(name="inner", steps=[Step("inside", executor=use)])
    own = {"client": client, "key": "own"}
    workflow = Workflow(name="w", steps=[use, inner, gate], db=db, dependencies=own)
    paused = await workflow.arun("x", dependencies={"key": "the call's"})
    paused.active_step_requirements[0].confirm()
    output = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=paused.step_requirements)
    assert output.content == "the call's"
    assert log == [True, True, True]
    assert output.dependencies == {"key": "the call's"}


async def test_live_objects_in_a_call_s_dependencies_are_refused_with_the_place_for_them(db: BaseDb) -> None:
    workflow = Workflow(name="w", steps=[Step("a", executor=lambda step_input: 1)], db=db)
    with pytest.raises(UnserializableError, match=r"Give it to the constructor instead: Workflow\(dependencies="):
        await workflow.arun("x", dependencies={"client": Client()})
