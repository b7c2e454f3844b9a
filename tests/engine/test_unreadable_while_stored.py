"""Values whose own class raises while they are stored: the run ends, and the error names the value. spec: decisions 5."""

from __future__ import annotations

import dataclasses
from datetime import datetime, tzinfo
from typing import Any, NoReturn

import anyio
import msgspec
import pytest

from workflow_runtime import (
    BaseDb,
    Map,
    Parallel,
    RunContext,
    RunStatus,
    UnserializableError,
    Workflow,
)

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Job:
    name: str
    result: str = dataclasses.field(init=False)


@dataclasses.dataclass(slots=True)
class Slotted:
    name: str
    result: str = dataclasses.field(init=False)


class Lazy(msgspec.Struct):
    name: str
    result: str


class Lost(tzinfo):
    """A zone whose data is not there."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def utcoffset(self, when: datetime | None) -> NoReturn:
        raise self.error

    dst = utcoffset

    def tzname(self, when: datetime | None) -> str:
        return "lost"


def unset_struct() -> Lazy:
    value = Lazy("a", "b")
    del value.result
    return value


def of_a_lost_zone(error: Exception) -> datetime:
    return datetime(2030, 1, 1, tzinfo=Lost(error))


VALUES: dict[str, Any] = {
    "dataclass": lambda: Job("a"),
    "slots": lambda: Slotted("a"),
    "struct": unset_struct,
    "zone": lambda: of_a_lost_zone(LookupError("no zones here")),
    "runtime error": lambda: of_a_lost_zone(RuntimeError("no zones here")),
    "nested": lambda: {"jobs": [(Job("a"),)]},
}


@pytest.fixture(params=VALUES)
def make(request: pytest.FixtureRequest) -> Any:
    return VALUES[request.param]


CONTAINERS: dict[str, Any] = {
    "top": lambda step: step,
    "parallel": lambda step: Parallel(step, name="p"),
    "map": lambda step: Map(step, over=lambda step_input: [1], name="m"),
}


@pytest.mark.parametrize("container", CONTAINERS)
async def test_a_state_that_cannot_be_read_fails_its_run(make: Any, db: BaseDb, container: str) -> None:
    async def spoil(run_context: RunContext) -> str:
        run_context.session_state["job"] = make()
        return "done"

    workflow = Workflow(name="W", steps=[CONTAINERS[container](spoil)], db=db)
    with anyio.fail_after(30), pytest.raises(UnserializableError, match=r"session_state\['job'\].* reading it raised"):
        await workflow.arun("x", run_id="r", session_id="s")
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status is RunStatus.error
    assert await workflow.aget_session_state("s") == {}


async def test_a_step_that_fails_after_such_a_value_fails_with_its_own_error(make: Any, db: BaseDb) -> None:
    async def spoil(run_context: RunContext) -> str:
        run_context.session_state["job"] = make()
        raise ValueError("the step's own")

    workflow = Workflow(name="W", steps=[spoil], db=db)
    with anyio.fail_after(30), pytest.raises(ValueError, match="the step's own"):
        await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status is RunStatus.error


async def test_an_output_that_cannot_be_read_fails_its_run(make: Any, db: BaseDb) -> None:
    async def spoil() -> Any:
        return make()

    workflow = Workflow(name="W", steps=[spoil], db=db)
    with anyio.fail_after(30), pytest.raises(UnserializableError, match="reading it raised"):
        await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status is RunStatus.error


async def test_a_cancelled_run_with_such_a_state_ends_cancelled(make: Any, db: BaseDb) -> None:
    began = anyio.Event()

    async def spoil(run_context: RunContext) -> None:
        run_context.session_state["job"] = make()
        began.set()
        await anyio.sleep_forever()

    workflow = Workflow(name="W", steps=[spoil], db=db)
    with anyio.fail_after(30):
        async with workflow.arun("x", run_id="r", stream=True) as stream:
            await anext(stream)
            await began.wait()
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status in (RunStatus.cancelled, RunStatus.error)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_fault_in_the_end_of_a_run_is_raised(
    db: BaseDb, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run: Any) -> NoReturn:
        raise ArithmeticError("no end")

    monkeypatch.setattr("workflow_runtime.engine.run.ending._metrics", broken)
    workflow = Workflow(name="W", steps=[lambda: "done"], db=db)
    run = workflow.arun("x", stream=True).result() if streamed else workflow.arun("x")
    with anyio.fail_after(30), pytest.raises(ArithmeticError, match="no end"):
        await run
