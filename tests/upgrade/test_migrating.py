"""The way from version 1 to 2: several processes at once, one that is killed on the way, and what the rows are then."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from servers import TestServer

from . import old_process
from .conftest import BACKENDS, copy_of_data, unpack
from .raw import ADDED, Rows, columns_of_version_1, rows

TESTS = Path(__file__).resolve().parents[1]
VERSION = {"sqlite": "PRAGMA user_version", "postgres": "SELECT max(version)::int FROM workflow_runtime.versions"}


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return copy_of_data(request, tmp_path)


def new_process(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of this version."""
    head = "import asyncio, os, sys\nfrom workflow_runtime.storage.base import RunFilter\n"
    head += "from workflow_runtime.storage.registry import open_url\nurl = sys.argv[1]\n"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", head + textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TESTS,
    )


OPEN = """
    async def main():
        db = open_url(url)
        print("ready", flush=True)
        sys.stdin.readline()
        print(len(await db.list_runs(RunFilter(), limit=1000)), flush=True)
        await db.aclose()
    asyncio.run(main())
"""


def version(url: str, postgres: TestServer) -> int:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        [(found,)] = connection.execute(VERSION["sqlite"]).fetchall()
        connection.close()
    else:
        [(found,)] = postgres.execute(VERSION["postgres"], url)
    return int(found)


def change(url: str, postgres: TestServer, statement: str) -> None:
    """Run ``statement`` below the contract; {} is the table of questions."""
    if not url.startswith("sqlite"):
        postgres.execute(statement.format("workflow_runtime.requirements"), url)
        return
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute(statement.format("workflow_requirements"))
    connection.commit()
    connection.close()


def migrate(url: str) -> None:
    process = new_process(OPEN, url)
    out, err = process.communicate("go\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[0] == "ready"


def test_of_processes_that_start_at_once_one_migrates_and_all_go_on(url: str, postgres: TestServer) -> None:
    processes = [new_process(OPEN, url) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=90) for process in processes]
    assert said == [("90\n", "")] * 4
    assert version(url, postgres) == 3


def test_the_rows_of_version_1_are_kept_and_the_new_columns_have_their_defaults(url: str, postgres: TestServer) -> None:
    # Behind this answer the run asked again; the clock of the data stood still, so nothing shows the order.
    change(url, postgres, "UPDATE {} SET created_at = created_at + 1 WHERE requirement_id = 'ask-twice:1.desk@ask1'")
    before = rows(url)
    migrate(url)
    after = rows(url)
    assert version(url, postgres) == 3
    live = {key for key, row in before["runs"].items() if row["status"] in ("PENDING", "RUNNING")}
    expected = columns_of_version_1(before)
    if url.startswith("sqlite"):
        for key in live:  # taken away from their processes
            expected["runs"][key]["attempt"] += 1
    assert columns_of_version_1(after) == expected
    for table, columns in ADDED.items():
        for key, row in after[table].items():
            found = {name: row[name] for name in columns}
            if table == "requirements" and row["answered_at"] is not None:
                used = found.pop("used_at")
                assert used in (None, row["answered_at"]), key
                found["used_at"] = None
            if table == "runs" and row["status"] in ("COMPLETED", "ERROR", "CANCELLED"):
                assert found.pop("ended_at") == row["updated_at"], key
                found["ended_at"] = None
            assert found == columns, key
    # Used is an answer behind which the run has asked again; what nobody has acted on has its signal.
    used = {key[1] for key, row in after["requirements"].items() if row["used_at"] is not None}
    assert used == {"ask-twice:1.desk@ask0"}
    signals = sorted((row["run_id"], row["kind"], row["taken_at"]) for row in after["signals"].values())
    assert signals == [
        ("answer-stored", "answered", None),
        ("cancel-requested", "cancel", None),
        ("dead-cancel", "cancel", None),
        ("half-answered", "answered", None),
        ("half-stored", "answered", None),
    ]
    assert after["deletions"] == {}


@pytest.mark.parametrize("statements", [0, 1, 9, 25, -1])
def test_a_file_whose_migration_is_killed_is_as_it_was(tmp_path: Path, postgres: TestServer, statements: int) -> None:
    file = unpack(tmp_path / "runs.db")
    before = rows(f"sqlite:///{file}")
    script = """
        from workflow_runtime_sqlite import schema
        real, left = schema._statements, int(sys.argv[2])
        def cut_off(script):
            found = real(script)
            yield from found[:left] if left >= 0 else found
            os.kill(os.getpid(), 9)
        schema._statements = cut_off
        asyncio.run(open_url(url).open())
    """
    process = new_process(script, f"sqlite:///{file}", statements)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert version(f"sqlite:///{file}", postgres) == 1
    assert rows(f"sqlite:///{file}") == before
    migrate(f"sqlite:///{file}")
    assert version(f"sqlite:///{file}", postgres) == 3


def test_a_schema_whose_migration_is_killed_is_as_it_was(postgres: TestServer, template: str) -> None:
    url = postgres.new_database(template)
    before = rows(url)
    script = """
        from workflow_runtime_postgres import schema
        first, *others = schema.MIGRATIONS
        schema.MIGRATIONS = (first, *((*parts, "SELECT pg_sleep(3600);") for parts in others))
        asyncio.run(open_url(url).open())
    """
    process = new_process(script, url)
    busy = f"""
        SELECT pid FROM pg_stat_activity
        WHERE datname = '{url.rpartition("/")[2]}' AND wait_event = 'PgSleep'"""
    while not (found := postgres.execute(busy)):
        assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    # What the server does as soon as it notices that its client is gone.
    postgres.execute(f"SELECT pg_terminate_backend({found[0][0]}, 10000)")
    assert version(url, postgres) == 1
    assert rows(url) == before
    migrate(url)
    assert version(url, postgres) == 3


# -- the same calls, the same rows -------------------------------------------------------------------------------------

# Every run of the data, made again call by call.
COPY = """
    import inspect
    import time
    from copy import copy
    from workflow_runtime.model.enums import RunStatus
    from workflow_runtime.storage.base import BaseDb, Batch, Fence, SessionPatch
    RUNNING = frozenset({RunStatus.RUNNING})

    def changed(row, **fields):
        new = copy(row)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    # Version 1 was told until when a lease lasts, version 2 for how long.
    NEW = "lease" in inspect.signature(BaseDb.claim).parameters

    def lease(until):
        return {"lease": until - time.time()} if NEW else {"lease_until": until}

    async def main():
        source, target = open_url(url), open_url(sys.argv[2])
        for row in reversed(await source.list_runs(RunFilter(), limit=1000)):
            session = await source.load_session(row.session_id)
            asked = await source.load_requirements(row.run_id)
            attempt = 1 if row.status in ("RUNNING", "PENDING") else row.attempt  # a migration may have raised it
            first = changed(row, status=RunStatus.RUNNING, attempt=1, seq=1, owner="o", lease_until=5.0,
                            cancel_requested=False)
            there = await target.load_session(row.session_id)
            patch = SessionPatch(
                session_id=row.session_id, user_id=session.user_id, workflow_id=session.workflow_id, now=row.created_at,
                state=session.state, name=session.name, metadata=session.metadata, workflow_data=session.workflow_data,
                expected=there.state if there is not None else {}, metrics={"runs": 1, "cost": 0.25})
            await target.commit(Batch(create=True, run=first, session=patch))
            fence = Fence(run_id=row.run_id, attempt=1, owner="o")
            await target.commit(Batch(
                fence=fence, run=changed(first, seq=row.seq), steps=await source.load_steps(row.run_id),
                events=await source.load_events(row.run_id),
                requirements=[changed(item, answered_at=None) for item in asked]))
            answers = [item for item in asked if item.answered_at is not None]
            if answers:
                await target.answer(answers)
            for number in range(2, attempt + 1):
                await target.claim(row.run_id, owner="o", now=6.0 + number, statuses=RUNNING, expired_only=False,
                                   **lease(50.0))
            fence = Fence(run_id=row.run_id, attempt=attempt, owner="o")
            await (target.renew([(fence, 70.0 - time.time())]) if NEW else target.renew(fence, lease_until=70.0))
            if row.cancel_requested and row.status == "CANCELLED":
                await target.request_cancel(row.run_id, now=8.0)
            await target.commit(Batch(run=changed(row, attempt=attempt), fence=Fence(run_id=row.run_id, attempt=attempt)))
            if row.cancel_requested:
                await target.request_cancel(row.run_id, now=9.0)
        for name in ("held", "released"):
            await target.acquire(name, owner="o", **(lease(9.0) if NEW else {"now": 1.0, "until": 9.0}))
        await target.release("released", owner="o")
        await target.delete_session("counted")
        await target.prune(kinds=frozenset({"StepContent"}), before=1.8e9, limit=1000)
        await source.aclose()
        await target.aclose()
    asyncio.run(main())
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_calls_leave_the_same_rows_in_both_versions(
    backend: str, tmp_path: Path, postgres: TestServer
) -> None:
    def place(name: str) -> str:
        return f"sqlite:///{tmp_path / name}.db" if backend == "sqlite" else postgres.new_database()

    old, new = place("old"), place("new")
    one, two = (f"sqlite:///{unpack(tmp_path / name)}" for name in ("source1.db", "source2.db"))
    head = "from workflow_runtime.storage.registry import open_url\nimport os\nurl = sys.argv[1]\n"
    processes = [
        old_process.start(head + textwrap.dedent(COPY), one, old),
        new_process(COPY, two, new),
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (0, "", "")
    before, after = _about(rows(old)), _about(columns_of_version_1(rows(new)))
    assert len(before["runs"]) == 87
    for table, by_key in columns_of_version_1(before).items():
        assert by_key == after[table], table


def _about(found: Rows) -> Rows:
    """``found`` with ends of leases to ten seconds: what version 2 stores is counted from its own now."""
    for row in (*found["runs"].values(), *found["locks"].values()):
        for name in ("lease_until", "held_until"):
            if row.get(name) is not None:
                row[name] = round(row[name], -1)
    return found
