"""A deleted session stays deleted: runs that began before are refused, whatever of them was stored; later ones start it
afresh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from workflow_runtime import BaseDb, Fenced, RunContext, RunNotFound, RunStatus, Step, StepInput, Workflow
from workflow_runtime.backends import SqliteDb
from workflow_runtime.engine.run.host import find_parked
from workflow_runtime.storage.base import Batch, RunFilter
from workflow_runtime.testing.contract_rows import event, run, session

pytestmark = pytest.mark.anyio

Again = Callable[[], BaseDb]


class Working:
    """A workflow that changes its session's state, then waits until it is let go."""

    def __init__(self, db: BaseDb, **options: Any) -> None:
        self.began, self.go = anyio.Event(), anyio.Event()
        self.workflow = Workflow(id="w", steps=[Step("work", executor=self.work)], db=db, **options)

    async def work(self, step_input: StepInput, run_context: RunContext) -> str:
        run_context.session_state["word"] = step_input.input
        self.began.set()
        await self.go.wait()
        return "done"


@pytest.mark.parametrize("run_id", [None, "r"])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("verb", ["arun", "stream", "background"])
async def test_a_run_that_began_before_the_deletion_is_not_stored(
    again: Again, durability: str, run_id: str | None, verb: str
) -> None:
    first, other = Working(again(), durability=durability), Working(again())
    call: dict[str, Any] = {"session_id": "s", "run_id": run_id}
    raised: list[BaseException] = []

    async def start() -> None:
        try:
            if verb == "stream":
                await first.workflow.arun("old", stream=True, **call).result()
            else:
                await first.workflow.arun("old", background=verb == "background", **call)
        except Fenced as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await first.began.wait()
        await other.workflow.adelete_session("s")
        first.go.set()
    db = other.workflow.db
    assert db is not None
    if verb == "background":
        while any(item.id for item in _live()):
            await anyio.lowlevel.checkpoint()
    else:
        assert len(raised) == 1
    assert await db.load_session("s") is None
    assert await db.list_runs(RunFilter(session_id="s")) == []


def _live() -> list[Any]:
    from workflow_runtime.engine.run.host import live_runs

    return live_runs()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("verb", ["arun", "stream", "background"])
async def test_a_run_at_work_ends_when_its_session_is_deleted_here(again: Again, durability: str, verb: str) -> None:
    work = Working(again(), durability=durability)  # nobody lets it go
    raised: list[BaseException] = []

    async def start() -> None:
        try:
            if verb == "stream":
                await work.workflow.arun("x", session_id="s", stream=True).result()
            else:
                await work.workflow.arun("x", session_id="s", background=verb == "background")
        except Fenced as error:
            raised.append(error)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(start)
            await work.began.wait()
            await work.workflow.adelete_session("s")
        while _live():
            await anyio.lowlevel.checkpoint()
    if verb != "background":
        assert "session 's' was deleted after run" in str(raised[0])
    db = work.workflow.db
    assert db is not None
    assert await db.load_session("s") is None
    assert await db.list_runs(RunFilter(session_id="s")) == []


async def test_a_run_that_waits_for_a_person_is_let_go_when_its_session_is_deleted(again: Again) -> None:
    async def ask(run_context: RunContext) -> str:
        return await run_context.ask("Which?", str)

    workflow = Workflow(id="w", steps=[ask], db=again())
    await workflow.arun("x", session_id="s", run_id="r")
    assert find_parked("r") is not None
    await workflow.adelete_session("s")
    with anyio.fail_after(60):
        while find_parked("r") is not None:
            await anyio.lowlevel.checkpoint()


async def test_a_run_of_another_session_goes_on(again: Again) -> None:
    work = Working(again())
    outputs: list[Any] = []

    async def start() -> None:
        outputs.append(await work.workflow.arun("x", session_id="other"))

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await work.began.wait()
        await work.workflow.adelete_session("s")
        work.go.set()
    assert outputs[0].content == "done"


async def test_a_run_that_begins_after_the_deletion_starts_the_session_afresh(again: Again) -> None:
    work = Working(again())
    work.go.set()
    await work.workflow.arun("old", session_id="s", session_state={"kept": 1})
    assert await work.workflow.adelete_session("s") is True
    output = await work.workflow.arun("new", session_id="s")
    assert output.status is RunStatus.completed
    found = await work.workflow.aget_session("s")
    assert found is not None
    assert found.session_state == {"word": "new"}
    assert [item.run_id for item in found.runs or ()] == [output.run_id]


async def test_a_run_of_a_session_that_is_deleted_before_its_first_commit_is_refused(again: Again) -> None:
    work = Working(again(), durability="exit")
    raised: list[BaseException] = []

    async def start() -> None:
        with pytest.raises(Fenced, match="session 's' was deleted after run") as error:
            await work.workflow.arun("x", session_id="s")
        raised.append(error.value)

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await work.began.wait()
        assert await work.workflow.adelete_session("s") is False  # nothing is stored yet
        work.go.set()
    assert len(raised) == 1


async def test_a_fork_of_a_run_whose_session_was_deleted_is_refused(again: Again) -> None:
    work = Working(again())
    work.go.set()
    first = await work.workflow.arun("x", session_id="s")
    fork = await work.workflow.fork(str(first.run_id), "0.work")
    await work.workflow.adelete_session("s")
    with pytest.raises(RunNotFound):
        await work.workflow.fork(str(first.run_id), "0.work")
    with pytest.raises(RunNotFound, match="shares its beginning with run"):
        await work.workflow.history(str(fork.run_id))
    stored = await work.workflow.aget_run(str(fork.run_id))
    assert stored is not None
    assert stored.content == "done"


class Vanishing:
    """A database whose run is pruned between the two reads of a fork."""

    def __init__(self, db: BaseDb) -> None:
        self._db = db

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def load_steps(self, run_id: str) -> Any:
        await self._db.prune(kinds=None, before=9e9, limit=10)
        return await self._db.load_steps(run_id)


async def test_a_run_that_is_pruned_while_it_is_read_was_not_found(again: Again) -> None:
    db = again()
    first = await Workflow(id="w", steps=[lambda: "x"], db=db).arun("x", run_id="r")
    assert first.status is RunStatus.completed
    from workflow_runtime.engine.start.fork import load_prefix

    with pytest.raises(RunNotFound, match="run 'r' is not stored any more"):
        await load_prefix(Vanishing(db), "r", "0.lambda")  # type: ignore[arg-type]  # reads through to the real one


async def test_a_large_session_is_deleted_in_several_transactions(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "runs.db")
    for number in range(350):
        name = f"r{number}"
        await db.commit(Batch(run=run(name), events=[event(1, run_id=name)], session=session()))
    before = db.transactions
    assert await db.delete_session("s1", now=10.0)
    assert db.transactions - before >= 4
    assert await db.load_events("r0") == []
    await db.aclose()
