"""A process of an earlier version that is at work while another one migrates its database: it reads on, its next write of
any kind is refused with what to do, and nothing of that write is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers import TestServer

from workflow_runtime import BaseDb
from workflow_runtime.storage.base import RunFilter

from .conftest import BACKENDS
from .old_process import ask, finish, start

pytestmark = pytest.mark.anyio

# Each kind of write was made before, so the process has all of its statements prepared.
AT_WORK = """
    FINAL = frozenset({RunStatus.COMPLETED})
    PAUSED = frozenset({RunStatus.PAUSED})
    calls = {
        "a new run": lambda n: db.commit(started(f"new{n}")),
        "a checkpoint": lambda n: db.commit(Batch(run=run(seq=n), fence=fence(), steps=[step(f"{n}.a")])),
        "an end": lambda n: db.commit(Batch(run=run(f"end{n}", status=RunStatus.COMPLETED), fence=fence(f"end{n}"))),
        "an outcome": lambda n: db.commit(Batch(fence=fence(), steps=[step(f"{n}.b")])),
        "a part of the log": lambda n: db.commit(Batch(fence=fence(), events=[event(n + 1)])),
        "a question": lambda n: db.commit(Batch(fence=fence(), requirements=[requirement(f"r1:q{n}")])),
        "a change of state": lambda n: db.commit(Batch(session=session(state={f"k{n}": b"1"}))),
        "a new session": lambda n: db.commit(Batch(session=session(f"new{n}"))),
        "an answer": lambda n: db.answer([requirement(f"q{n}", "asks", answered_at=5.0)]),
        "a claim": lambda n: db.claim(f"waits{n}", owner="a", now=1.0, lease_until=9.0, statuses=PAUSED, expired_only=False),
        "a heartbeat": lambda n: db.renew(fence(), lease_until=100.0 + n),
        "a request to cancel": lambda n: db.request_cancel(f"waits{n}", now=3.0),
        "a lock": lambda n: db.acquire(f"lock{n}", owner="a", now=1.0, until=9.0),
        "a deletion": lambda n: db.delete_session(f"gone{n}"),
        "a deletion of a session without runs": lambda n: db.delete_session(f"empty{n}"),
        "pruned runs": lambda n: db.prune(kinds=None, before=2.0 + n, limit=1),
        "pruned events": lambda n: db.prune(kinds=frozenset({"StepCompleted"}), before=2.0 + n, limit=1),
    }

    async def prepare():
        await db.commit(started())
        await db.commit(Batch(run=run("asks", status=RunStatus.PAUSED), requirements=[
            requirement(f"q{n}", "asks") for n in range(2)]))
        for n in range(2):
            await db.commit(started(f"end{n}"))
            await db.commit(Batch(run=run(f"waits{n}", status=RunStatus.PAUSED)))
            await db.commit(Batch(run=run(f"gone{n}", session_id=f"gone{n}"), session=session(f"gone{n}")))
            await db.commit(Batch(session=session(f"empty{n}")))
            for kind in ("old", "kept"):
                await db.commit(Batch(
                    run=run(f"{kind}{n}", status=RunStatus.COMPLETED, created_at=1.0 + n, updated_at=1.0 + n),
                    events=[event(1, run_id=f"{kind}{n}"), event(2, run_id=f"{kind}{n}")]))
        for call in calls.values():
            await call(0)
        await db.acquire("held", owner="a", now=1.0, until=9e9)

    async def main():
        await db.open()
        await prepare()
        say("ready")
        await wait()
        for name, call in calls.items():
            try:
                say([name, repr(await call(1))])
            except Exception as error:
                say([name, f"{type(error).__name__}: {error}"])
        await db.release("held", owner="a")
        row = await db.load_run("r1")
        say([row.status, len(await db.load_steps("r1")), len(await db.load_events("r1")),
            len(await db.list_runs(RunFilter(), limit=100)), (await db.load_session("s1")).state["k0"].decode(),
            len(await db.list_requirements())])
        await wait()
        await db.aclose()
    asyncio.run(main())
"""

# What version 2 calls otherwise.
OF_VERSION_2 = {
    "lease_until=9.0": "lease=9.0",
    "db.renew(fence(), lease_until=100.0 + n)": "db.renew([(fence(), 100.0 + n)])",
    'owner="a", now=1.0, until=9.0': 'owner="a", lease=9.0',
    'owner="a", now=1.0, until=9e9': 'owner="a", lease=9e9',
}

TOLD = (
    "a newer version of workflow-runtime has migrated this {}; stop this process, upgrade the package workflow-runtime, "
    "and start it again"
)
# SQLite: what a run's own process writes is refused as after a take-over, for that is what the migration was.
OF_THE_RUN = ("a checkpoint", "an end", "an outcome", "a part of the log", "a question")


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    postgres: TestServer = request.getfixturevalue("postgres")
    return postgres.new_database()


@pytest.fixture
def run_old(url: str) -> Iterator[Callable[[str], Any]]:
    """``run_old(script, version=1)``: a process of that version, ended with the test."""
    started: list[Any] = []

    def run(script: str, version: int = 1) -> Any:
        started.append(start(script, url, version=version))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


async def everything(db: BaseDb) -> list[Any]:
    """All that is stored and can be read."""
    runs = await db.list_runs(RunFilter(), limit=1000)
    parts = [
        [await db.load_steps(row.run_id), await db.load_events(row.run_id), await db.load_requirements(row.run_id)]
        for row in runs
    ]
    sessions = [await db.load_session(row.session_id) for row in await db.list_sessions(limit=1000)]
    return [runs, parts, sessions]


@pytest.mark.parametrize("version", [1, 2])
async def test_the_next_write_of_a_process_of_an_earlier_version_is_refused(
    url: str, opened: BaseDb, run_old: Callable[..., Any], version: int
) -> None:
    sqlite = url.startswith("sqlite")
    script = AT_WORK
    for before, now in OF_VERSION_2.items() if version == 2 else ():
        assert before in script
        script = script.replace(before, now)
    old = await anyio.to_thread.run_sync(run_old, script, version)
    assert await anyio.to_thread.run_sync(ask, old) == "ready"
    before = await everything(opened)  # migrates it
    refused: dict[str, str] = {}
    name, said = await anyio.to_thread.run_sync(ask, old, "go")
    while len(refused) < 17:
        refused[name] = said
        if len(refused) < 17:
            name, said = await anyio.to_thread.run_sync(ask, old)
    told = TOLD.format("file" if sqlite else "database")
    for name, said in refused.items():
        if sqlite and name in OF_THE_RUN:
            assert "was taken over: its attempt is 2, this writer's 1; stop" in said, name
        elif sqlite and name == "a heartbeat":
            assert "LeaseState(held=False, cancel_requested=False" in said
        else:
            assert said.startswith("StorageError: "), (name, said)
            assert told in said, (name, said)
    assert await everything(opened) == before
    # It reads on, and may let go of what it holds.
    read = await anyio.to_thread.run_sync(ask, old)
    open_questions = version  # from version 2 on also those of running runs
    assert read == ["RUNNING", 2, 1, 11, "1", open_questions]
    assert await opened.acquire("held", owner="b", lease=5.0)
    await opened.aclose()
    await anyio.to_thread.run_sync(old.stdin.write, "\n")
    await anyio.to_thread.run_sync(finish, old)


async def test_a_process_of_the_first_version_that_starts_later_is_told_to_upgrade(
    url: str, opened: BaseDb, run_old: Callable[[str], Any]
) -> None:
    await opened.open()
    await opened.aclose()
    script = """
        async def main():
            try:
                await db.load_run("r1")
            except StorageError as error:
                say(str(error))
        asyncio.run(main())
    """
    old = await anyio.to_thread.run_sync(run_old, script)
    said = await anyio.to_thread.run_sync(ask, old)
    assert "is version 3, this package knows 1; upgrade the package workflow-runtime" in said
    await anyio.to_thread.run_sync(finish, old)
