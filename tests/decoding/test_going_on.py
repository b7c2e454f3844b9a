"""A run that needs what cannot be read stays as it is, and goes on once it can be read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pydantic
import pytest

import workflow_runtime
from workflow_runtime import (
    BaseDb,
    Retry,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    UnreadableError,
    Workflow,
)

from .rows import Rows

pytestmark = [pytest.mark.anyio]
pydantic.create_model("First")  # with it pydantic reads its plugins, which it must not do on the loop


SHOP = """
from dataclasses import dataclass
from pydantic import BaseModel

@dataclass
class Order:
    item: str
    count: int = 1

class Result(BaseModel):
    n: int
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def late_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A module ``late_shop`` that is on the path. What it gives is another process, in which it is not loaded."""
    (tmp_path / "late_shop.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    from workflow_runtime.model import classes

    def unload() -> None:
        sys.modules.pop("late_shop", None)
        classes._allowed.pop("late_shop", None)

    yield unload
    unload()


def make(db: BaseDb, last: Any, **options: Any) -> Workflow:
    """A step that imports its model inside, a question, and ``last``."""

    async def order(step_input: StepInput) -> Any:
        import late_shop

        return late_shop.Order("lamp")

    async def fill(step_input: StepInput, run_context: RunContext) -> str:
        import late_shop

        run_context.session_state["order"] = late_shop.Order("lamp")
        run_context.session_state["n"] = 1
        return "filled"

    first = fill if options.pop("in_state", False) else order
    steps = [Step("first", executor=first), Step("last", executor=last, requires_confirmation=True, **options)]
    return Workflow(name="Shop", id="shop", db=db, steps=steps, store_events=True)


async def untouched(step_input: StepInput) -> str:
    return "done"


async def confirmed(workflow: Workflow) -> list[Any]:
    (question,) = await workflow.alist_pending()
    question.confirm()
    return [question]


async def bytes_of(rows: Rows) -> dict[Any, bytes]:
    return await anyio.to_thread.run_sync(rows.read)


async def test_a_run_that_needs_a_model_that_is_not_loaded_stays_as_it_is_and_goes_on_once_it_is(
    rows: Rows,
    late_shop: Callable[[], None],
) -> None:
    await make(rows.db, untouched).arun("x", run_id="r", session_id="s")
    late_shop()
    workflow = make(rows.db, untouched)
    before = await bytes_of(rows)
    row = await rows.db.load_run("r")
    answers = await confirmed(workflow)
    for verb in (
        lambda: workflow.acontinue_run(run_id="r", step_requirements=answers),
        lambda: workflow.acontinue_run(run_id="r", step_requirements=answers, background=True),
        lambda: workflow.fork("r", new_run_id="f"),
    ):
        with pytest.raises(UnreadableError, match=r"'r' cannot continue.*0\.first: .*late_shop:Order") as raised:
            await verb()
        assert (raised.value.class_name, raised.value.run_id) == ("late_shop:Order", "r")
    assert await bytes_of(rows) == before
    assert await rows.db.load_run("r") == row
    assert await rows.db.load_run("f") is None
    assert len(await workflow.alist_pending()) == 1
    workflow_runtime.allow("late_shop")
    output = await workflow.acontinue_run(run_id="r", step_requirements=answers)
    assert output.status is RunStatus.completed
    assert output.step_results[0].content.item == "lamp"


async def test_a_run_can_be_cancelled_though_its_values_cannot_be_read(
    rows: Rows,
    late_shop: Callable[[], None],
) -> None:
    await make(rows.db, untouched).arun("x", run_id="r", session_id="s")
    late_shop()
    workflow = make(rows.db, untouched)
    assert await workflow.acancel_run("r")
    output = await workflow.aget_run("r")
    assert output is not None
    assert output.status is RunStatus.cancelled
    assert "late_shop:Order" in str(output.step_results[0].content)
    workflow_runtime.allow("late_shop")
    output = await workflow.aget_run("r")
    assert output is not None
    assert output.step_results[0].content.item == "lamp"


async def test_state_that_no_step_touches_holds_nothing_up_and_is_stored_as_it_was(
    rows: Rows,
    late_shop: Callable[[], None],
) -> None:
    async def last(step_input: StepInput, run_context: RunContext) -> int:
        run_context.session_state["n"] += 1
        return run_context.session_state["n"]

    await make(rows.db, last, in_state=True).arun("x", run_id="r", session_id="s")
    late_shop()
    workflow = make(rows.db, last, in_state=True)
    before = await bytes_of(rows)
    output = await workflow.acontinue_run(run_id="r", step_requirements=await confirmed(workflow))
    assert (output.status, output.content) == (RunStatus.completed, 2)
    assert "late_shop:Order" in str(output.session_state["order"])
    after = await bytes_of(rows)
    places = [place for place in after if place[0] == "session_values" and place[-1] == "order"]
    assert places
    assert all(after[place] == before[place] for place in places)
    await workflow.aupdate_session_state({"more": 1}, "s")
    workflow_runtime.allow("late_shop")
    assert (await workflow.aget_session_state("s"))["order"].item == "lamp"


@pytest.mark.parametrize(
    "options",
    [{}, {"retry": Retry(attempts=3, delay=0.0)}, {"on_error": "skip"}, {"on_error": "pause"}],
    ids=["plain", "retry", "skip", "pause"],
)
async def test_a_continued_run_whose_step_touches_state_that_cannot_be_read_is_given_back(
    rows: Rows,
    late_shop: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
) -> None:
    tries: list[int] = []

    async def last(step_input: StepInput, run_context: RunContext) -> str:
        tries.append(1)
        run_context.session_state["n"] = 7
        return run_context.session_state["order"].item

    await make(rows.db, last, in_state=True, **options).arun("x", run_id="r", session_id="s")
    late_shop()
    workflow = make(rows.db, last, in_state=True, **options)
    answers = await confirmed(workflow)
    with pytest.raises(UnreadableError, match=r"session_state\['order'\] is a stored late_shop:Order"):
        await workflow.acontinue_run(run_id="r", step_requirements=answers)
    assert len(tries) == 1
    output = await workflow.aget_run("r")
    assert output is not None
    assert output.status is RunStatus.paused
    assert (await workflow.aget_session_state("s"))["n"] == 1, "what the step did not finish is not stored"
    with pytest.raises(UnreadableError):
        await workflow.acontinue_run(run_id="r")
    logged = [record for record in caplog.records if "was left alone" in record.getMessage()]
    assert len(logged) == 1
    workflow_runtime.allow("late_shop")
    output = await workflow.acontinue_run(run_id="r")
    assert (output.status, output.content) == (RunStatus.completed, "lamp")
    events = [event.event for event in output.events or ()]
    assert events.count("WorkflowCompleted") == 1
    assert "WorkflowError" not in events
    assert [event.seq for event in output.events or ()] == sorted({event.seq for event in output.events or ()})


async def lost(db: BaseDb, run_id: str) -> None:
    """The process of a paused run died while it went on with it."""
    row = await db.claim(
        run_id, owner="dead", now=1.0, lease=0.0, statuses=frozenset({RunStatus.paused}), expired_only=False
    )
    assert row is not None
    for item in await db.load_requirements(run_id):
        from workflow_runtime.model import codec

        question = codec.decode_requirement(item.data)
        question.confirm()
        question.answered_at = item.answered_at = 1.5
        item.data = codec.encode_requirement(question)
        await db.answer([item])


@pytest.mark.parametrize("in_state", [False, True], ids=["an output", "the state"])
async def test_an_interrupted_run_that_cannot_be_read_is_left_and_taken_over_once_it_can(
    rows: Rows,
    late_shop: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    in_state: bool,
) -> None:
    async def last(step_input: StepInput, run_context: RunContext) -> str:
        order = run_context.session_state["order"] if in_state else step_input.previous_step_content
        return order.item

    await make(rows.db, last, in_state=in_state).arun("x", run_id="r", session_id="s")
    await lost(rows.db, "r")
    late_shop()
    workflow = make(rows.db, last, in_state=in_state)

    async def ended(run_id: str) -> None:
        async with workflow.subscribe(run_id) as events:
            async for _ in events:
                pass

    async def settled() -> None:
        with anyio.fail_after(10):
            while workflow_runtime.engine.run.host.find_live("r") is not None:
                await anyio.lowlevel.checkpoint()

    for _ in range(3):
        await workflow.recover()
        await settled()
    row = await rows.db.load_run("r")
    assert row is not None
    assert row.status is RunStatus.running
    logged = [record for record in caplog.records if "was left alone" in record.getMessage()]
    assert len(logged) == 1
    assert row.attempt <= 3, "it is not taken over again and again"
    workflow_runtime.allow("late_shop")
    assert await workflow.recover() == ["r"]
    with anyio.fail_after(10):
        await ended("r")
    output = await workflow.aget_run("r")
    assert output is not None
    assert (output.status, output.content) == (RunStatus.completed, "lamp")
