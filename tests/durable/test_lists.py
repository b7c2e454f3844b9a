"""Runs are listed by status, time, tags and metadata, and cancelled, retried and forked many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2 as httpx
import pytest
from server.serving import Served, serving

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    InputError,
    RunNotFound,
    RunNotPaused,
    RunStatus,
    RunSummary,
    Step,
    StepInput,
    Workflow,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.client import Client
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio


class Work:
    """A first step that counts, and one that fails while it is told to."""

    def __init__(self) -> None:
        self.fails = True
        self.first = 0

    async def begin(self, step_input: StepInput) -> Any:
        self.first += 1
        return step_input.input

    async def end(self, step_input: StepInput) -> Any:
        if self.fails and step_input.input == "bad":
            raise LookupError("no such page")
        return f"done {step_input.input}"


def build(db: BaseDb | None, work: Work | None = None, **options: Any) -> Workflow:
    work = work or Work()
    steps = [
        Step(name="begin", executor=work.begin),
        Step(name="end", executor=work.end),
        Step(name="ask", executor=lambda: "asked", requires_confirmation=True),
    ]
    return Workflow(name="w", steps=steps[: options.pop("steps", 2)], db=db, **options)


def ids(runs: list[RunSummary]) -> list[str]:
    return [run.run_id for run in runs]


async def filled(db: BaseDb) -> tuple[Workflow, Work]:
    """Runs r1 to r5, a second apart from 1,000 on; r2 and r4 have failed."""
    clock, work = FakeClock(1000.0), Work()
    workflow = build(db, work, clock=clock)
    for number, (text, tags) in enumerate(
        (("a", ["x"]), ("bad", ["x", "y"]), ("c", []), ("bad", ["y"]), ("e", ["x", "y"]))
    ):
        call = workflow.arun(
            text, run_id=f"r{number + 1}", tags=tags, metadata={"n": number % 2, "all": True}, user_id="u"
        )
        with suppress(LookupError):
            await call
        clock.advance(1)
    return workflow, work


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["r5", "r4", "r3", "r2", "r1"]),
        ({"status": "error"}, ["r4", "r2"]),
        ({"status": [RunStatus.completed, "paused"]}, ["r5", "r3", "r1"]),
        ({"tags": "x"}, ["r5", "r2", "r1"]),
        ({"tags": ["x", "y"]}, ["r5", "r2"]),
        ({"tags": ["x"], "status": RunStatus.error}, ["r2"]),
        ({"tags": ["unknown"]}, []),
        ({"since": 1002.0}, ["r5", "r4", "r3"]),
        ({"since": datetime.fromtimestamp(1001, UTC), "until": datetime.fromtimestamp(1003, UTC)}, ["r3", "r2"]),
        ({"metadata": {"n": 1}}, ["r4", "r2"]),
        ({"metadata": {"n": 0, "all": True}, "tags": ["y"]}, ["r5"]),
        ({"metadata": {"unknown": None}}, []),
        ({"user_id": "somebody else"}, []),
        ({"session_id": "unknown"}, []),
        ({"limit": 2}, ["r5", "r4"]),
    ],
)
async def test_runs_are_listed_by_what_is_known_of_them(db: BaseDb, filters: Any, found: list[str]) -> None:
    workflow, _ = await filled(db)
    filters = dict(filters)
    assert ids(await workflow.alist_runs(**filters)) == found
    paged: list[str] = []
    last: RunSummary | None = None
    limit = filters.pop("limit", None)
    while page := await workflow.alist_runs(**filters, limit=1, after=last):
        paged += ids(page)
        last = page[-1]
    assert paged[:limit] == found


async def test_a_listed_run_says_what_it_is(db: BaseDb) -> None:
    workflow, _ = await filled(db)
    run = (await workflow.alist_runs(tags=["x", "y"], status="error"))[0]
    assert (run.run_id, run.status, run.tags, run.metadata, run.error, run.input, run.created_at) == (
        "r2",
        RunStatus.error,
        ["x", "y"],
        {"n": 1, "all": True},
        "no such page",
        "bad",
        1001.0,
    )
    output = await workflow.aget_run("r2")
    assert output is not None
    assert output.tags == ["x", "y"]


async def test_another_workflow_is_not_listed_and_no_database_lists_nothing(db: BaseDb) -> None:
    await filled(db)
    assert await Workflow(name="other", steps=[lambda: 1], db=db).alist_runs(tags="x") == []
    assert await build(None).alist_runs() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "nonsense"},
        {"status": 5},
        {"tags": [5]},
        {"tags": [""]},
        {"since": "yesterday"},
        {"until": datetime(2026, 1, 1)},
        {"metadata": []},
        {"limit": 0},
        {"after": "r1"},
        {"user_id": 5},
    ],
)
async def test_a_wrong_filter_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError):
        await build(InMemoryDb()).alist_runs(**wrong)


@pytest.mark.parametrize("tags", ["x", [5], [""], ["a\0b"], ["x" * 300], 5])
async def test_wrong_tags_start_nothing(tags: Any) -> None:
    workflow = build(InMemoryDb())
    with pytest.raises(InputError, match="tag"):
        await workflow.arun("a", tags=tags)
    assert await workflow.alist_runs() == []


# -- many --------------------------------------------------------------------------------------------------------------


async def test_failed_runs_are_retried_from_the_step_that_failed(db: BaseDb) -> None:
    workflow, work = await filled(db)
    work.fails, begun = False, work.first
    report = await workflow.aretry_many(tags=["y"])
    assert (set(report.done), report.failed) == ({"r2", "r4"}, {})
    for run_id in report.done.values():
        async for _ in workflow.subscribe(run_id):
            pass
        output = await workflow.aget_run(run_id)
        assert output is not None
        assert (output.status, output.content) == (RunStatus.completed, "done bad")
    assert work.first == begun
    again = await workflow.alist_runs(tags=["y"], status="completed")
    assert {run.forked_from.rpartition("@")[0] for run in again if run.forked_from} == {"r2", "r4"}


async def test_only_a_failed_run_is_retried(db: BaseDb) -> None:
    workflow, _ = await filled(db)
    with pytest.raises(RunNotPaused, match="has not failed"):
        await workflow.aretry("r1")
    with pytest.raises(RunNotFound):
        await workflow.aretry("nobody")


async def test_paused_runs_are_cancelled_and_ended_ones_left(db: BaseDb) -> None:
    workflow = build(db, steps=3)
    for number in range(3):
        await workflow.arun("a", run_id=f"r{number}", tags=["t"])
    paused = await workflow.aget_run("r0")
    assert paused is not None
    (question,) = paused.active_step_requirements
    question.confirm()
    await workflow.acontinue_run(run_id="r0", step_requirements=[question])
    report = await workflow.acancel_many(tags="t")
    assert (report.done, report.failed) == ({"r1": "r1", "r2": "r2"}, {})
    assert ids(await workflow.alist_runs(status="cancelled")) == ["r2", "r1"]
    late = await workflow.acancel_many(tags="t", status=["completed", "cancelled"])
    assert (late.done, set(late.failed)) == ({}, {"r0", "r1", "r2"})


async def test_many_runs_are_forked(db: BaseDb) -> None:
    workflow, work = await filled(db)
    begun = work.first
    report = await workflow.afork_many(status="completed", at="1.end")
    assert set(report.done) == {"r1", "r3", "r5"}
    for run_id in report.done.values():
        async for _ in workflow.subscribe(run_id):
            pass
    assert work.first == begun


@pytest.mark.parametrize("name", ["acancel_many", "aretry_many", "afork_many"])
async def test_verbs_for_many_runs_need_a_filter_that_fits(db: BaseDb, name: str) -> None:
    workflow, _ = await filled(db)
    verb: Callable[..., Any] = getattr(workflow, name)
    with pytest.raises(InputError, match="say which runs"):
        await verb()
    with pytest.raises(InputError, match="there is no filter 'tag'"):
        await verb(tag="x")
    with pytest.raises(RunNotFound, match="nothing was changed"):
        await verb(tags="unknown")
    assert len(await workflow.alist_runs()) == 5


def test_the_sync_verbs_do_the_same(tmp_path: Path) -> None:
    work = Work()
    workflow = build(SqliteDb(tmp_path / "runs.db"), work)
    with pytest.raises(LookupError):
        workflow.run("bad", run_id="r1", tags=["x"])
    assert ids(workflow.list_runs(tags="x")) == ["r1"]
    work.fails = False
    (retried,) = workflow.retry_many(tags="x").done.values()
    assert retried in ids(workflow.list_runs(tags="x"))
    assert workflow.db is not None
    anyio.run(workflow.db.aclose)


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serving(*args, **options))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_tags_and_times_go_over_http(served: Callable[..., Served], tmp_path: Path, anyio_backend: str) -> None:
    server = await anyio.to_thread.run_sync(lambda: served(build(SqliteDb(tmp_path / "runs.db"))))
    async with Client(server.url) as client:
        remote = client.workflow("w")
        await remote.arun("a", run_id="r1", tags=["x", "y"])
        await remote.arun("b", run_id="r2", tags=["y"])
        assert ids((await remote.alist_runs(tags=["y"])).items) == ["r2", "r1"]
        (first,) = (await remote.alist_runs(tags=["x", "y"])).items
        assert (first.run_id, first.tags) == ("r1", ["x", "y"])
        assert (await remote.alist_runs(since=first.created_at + 1e6)).items == []
        assert ids((await remote.alist_runs(until=first.created_at + 1e6, limit=1)).items) == ["r2"]
        with pytest.raises(InputError):
            await remote.arun("c", tags=[""])
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/workflows/w/runs", params={"since": "soon"})).status_code == 400
