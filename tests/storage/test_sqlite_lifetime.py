"""What SQLite's connections outlive: loops that close, scripts that end, forks, Ctrl-C, a loop that is blocked."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from workflow_runtime import Step, Workflow
from workflow_runtime.model.errors import StorageError
from workflow_runtime.storage.base import RunFilter
from workflow_runtime.testing.contract_rows import started
from workflow_runtime_sqlite import SqliteDb

from .processes import finish, start


def close_mid_commit(loop: asyncio.AbstractEventLoop, db: SqliteDb, name: str) -> None:
    task = loop.create_task(db.commit(started(name)))
    loop.call_soon(loop.call_soon, loop.stop)  # the task has submitted its commit by then
    loop.run_forever()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # that it is left behind is what is tested
    loop.close()


def cancel_mid_commit(db: SqliteDb, name: str) -> None:
    async def leave() -> None:
        asyncio.ensure_future(db.commit(started(name)))  # noqa: RUF006  # its loop closes before it is answered
        await asyncio.sleep(0)

    asyncio.run(leave())


def leave_trio_mid_commit(db: SqliteDb, name: str) -> None:
    async def leave() -> None:
        with trio.move_on_after(0):
            await db.commit(started(name))

    trio.run(leave)


@pytest.mark.parametrize("how", ["closed", "cancelled", "trio"])
def test_200_loops_that_end_in_a_commit_take_no_later_commit_along(tmp_path: Path, how: str) -> None:
    db = SqliteDb(tmp_path / "runs.db", synchronous="NORMAL")
    for number in range(200):
        if how == "closed":
            close_mid_commit(asyncio.new_event_loop(), db, f"r{number}")
        elif how == "cancelled":
            cancel_mid_commit(db, f"r{number}")
        else:
            leave_trio_mid_commit(db, f"r{number}")

    async def one_more() -> set[str]:
        with anyio.fail_after(60):
            await db.commit(started("after"))
            return {row.run_id for row in await db.list_runs(RunFilter(), limit=500)}

    found = asyncio.run(one_more())
    assert "after" in found
    if how != "trio":  # there a cancelled scope may end before it has submitted anything
        assert found == {"after", *(f"r{number}" for number in range(200))}
    asyncio.run(db.aclose())


def test_threads_with_loops_of_their_own_share_one_connection(tmp_path: Path) -> None:
    db, errors = SqliteDb(tmp_path / "runs.db", synchronous="NORMAL"), []

    async def work(name: str) -> None:
        for number in range(5):
            await asyncio.gather(*(db.commit(started(f"{name}-{number}-{place}")) for place in range(4)))
            assert await db.load_run(f"{name}-{number}-0") is not None

    def thread(name: str) -> None:
        try:
            for part in range(3):
                asyncio.run(work(f"{name}-{part}"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=thread, args=(f"t{number}",)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    assert errors == []
    assert len(asyncio.run(db.list_runs(RunFilter(), limit=1000))) == 6 * 3 * 5 * 4
    assert sum(one.name == "workflow_runtime databases" for one in threading.enumerate()) == 1
    asyncio.run(db.aclose())


def test_a_step_that_blocks_the_loop_of_the_sync_api_holds_no_commit_of_others_up(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    async def block(step_input: Any) -> str:
        entered.set()
        while not go_on.is_set():  # not wait(), which the watch over blocked loops refuses
            pass
        return "done"

    db = SqliteDb(tmp_path / "runs.db")
    blocked = Workflow(id="blocked", steps=[Step("block", executor=block)], db=db, telemetry=False)
    other = Workflow(id="other", steps=[Step("same", executor=lambda step_input: "x")], db=db, telemetry=False)
    thread = threading.Thread(target=lambda: blocked.run("in", run_id="blocked"))
    thread.start()
    assert entered.wait(60)

    async def run_beside() -> Any:
        with anyio.fail_after(60):
            return await other.arun("in")

    assert asyncio.run(run_beside()).content == "x"
    go_on.set()
    thread.join(60)
    run = blocked.get_run("blocked")
    assert run is not None
    assert run.content == "done"
    asyncio.run(db.aclose())


SCRIPTS = {
    "sync": """
        from workflow_runtime import Step, Workflow
        wf = Workflow(id="w", db=f"sqlite:///{path}", steps=[Step("a", executor=lambda step_input: "x")])
        print(wf.run("in", run_id="last").content)
    """,
    "async": """
        from workflow_runtime import Step, Workflow
        wf = Workflow(id="w", db=f"sqlite:///{path}", steps=[Step("a", executor=lambda step_input: "x")])
        print(asyncio.run(wf.arun("in", run_id="last")).content)
    """,
    "portal first": """
        from workflow_runtime import Step, Workflow
        Workflow(id="first", steps=[Step("a", executor=lambda step_input: "x")]).run("in")
        wf = Workflow(id="w", db=f"sqlite:///{path}", steps=[Step("a", executor=lambda step_input: "x")])
        print(asyncio.run(wf.arun("in", run_id="last")).content)
    """,
    "several": """
        from workflow_runtime import Step, Workflow
        for number in range(3):
            wf = Workflow(id="w", db=f"sqlite:///{path}", steps=[Step("a", executor=lambda step_input: "x")])
            print(asyncio.run(wf.arun("in", run_id=f"last {number}")).content)
        wf.run("in", run_id="last")
    """,
    "stream": """
        from workflow_runtime import Step, Workflow
        wf = Workflow(id="w", db=f"sqlite:///{path}", steps=[Step("a", executor=lambda step_input: "x")])
        events = wf.run("in", run_id="last", stream=True)
        print(len([event for event in events]) > 0)
    """,
    "exit": """
        from workflow_runtime import Step, Workflow
        wf = Workflow(id="w", db=f"sqlite:///{path}", steps=[Step("a", executor=lambda step_input: "x")])
        wf.run("in", run_id="last")
        print("x", flush=True)
        raise SystemExit(0)
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_never_closes_ends_with_everything_stored(tmp_path: Path, name: str) -> None:
    path = tmp_path / "runs.db"
    assert finish(start(SCRIPTS[name], path)).split()[0] in ("x", "True")
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs.db"], "its log is in the file"
    db = SqliteDb(path)
    assert asyncio.run(db.load_run("last")) is not None
    asyncio.run(db.aclose())


@pytest.mark.parametrize("verb", ["arun", "run", "commit"])
def test_ctrl_c_ends_a_script_that_commits(tmp_path: Path, verb: str) -> None:
    script = """
        from workflow_runtime import Step, Workflow
        signal.signal(signal.SIGINT, signal.default_int_handler)
        db = SqliteDb(path)
        wf = Workflow(id="w", db=db, durability="sync", steps=[Step("a", executor=lambda step_input: "x")])
        async def commits():
            for number in range(10**6):
                await db.commit(started(f"r{number}"))
                print(number, flush=True)
        async def runs():
            for number in range(10**6):
                await wf.arun("in")
                print(number, flush=True)
        try:
            if sys.argv[2] == "run":
                for number in range(10**6):
                    wf.run("in")
                    print(number, flush=True)
            else:
                asyncio.run(commits() if sys.argv[2] == "commit" else runs())
        except KeyboardInterrupt:
            pass
        asyncio.run(db.commit(started("after")))
        print("end")
    """
    path = tmp_path / "runs.db"
    process = start(script, path, verb)
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert finish(process).endswith("end\n")
    db = SqliteDb(path)
    assert asyncio.run(db.load_run("after")) is not None
    asyncio.run(db.aclose())


def test_a_workflow_that_was_made_but_not_used_works_in_a_forked_child(tmp_path: Path) -> None:
    script = """
        from workflow_runtime import Step, Workflow
        steps = [Step("a", executor=lambda step_input: "x")]
        wf = Workflow(id="w", db=f"sqlite:///{path}", steps=steps)
        closed = SqliteDb(path + ".closed")
        asyncio.run(closed.commit(started("before")))
        asyncio.run(closed.aclose())
        child = os.fork()
        if child == 0:
            print(wf.run("in", run_id="sync").content, asyncio.run(wf.arun("in", run_id="async")).content)
            asyncio.run(closed.commit(started("child")))
            print(sorted(row.run_id for row in asyncio.run(closed.list_runs(RunFilter()))), flush=True)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(wf.get_run("sync").content, wf.run("in").content)
    """
    assert finish(start(script, tmp_path / "runs.db")).splitlines() == ["x x", "['before', 'child']", "x x"]


def test_a_workflow_that_was_used_says_so_in_a_forked_child_and_the_parent_loses_nothing(tmp_path: Path) -> None:
    script = """
        import gc
        from workflow_runtime import Step, Workflow
        wf = Workflow(id="w", db=f"sqlite:///{path}", steps=[Step("a", executor=lambda step_input: "x")])
        wf.run("in", run_id="before")
        child = os.fork()
        if child == 0:
            for verb in (lambda: wf.get_run("before"), lambda: asyncio.run(wf.aget_run("before"))):
                try:
                    verb()
                except StorageError as error:
                    assert "before this process was forked" in str(error), error
            del wf, verb
            gc.collect()
            print("told", flush=True)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert os.path.exists(path + "-wal"), "the child has closed the parent's file"
        wf.run("in", run_id="after")
        print(wf.get_run("before").content, wf.get_run("after").content)
    """
    assert finish(start(script, tmp_path / "runs.db")).splitlines() == ["told", "x x"]


def test_a_database_in_memory_is_gone_after_closing_and_works_again() -> None:
    db = SqliteDb(":memory:")
    asyncio.run(db.commit(started("r1")))
    assert asyncio.run(db.load_run("r1")) is not None
    asyncio.run(db.aclose())
    assert asyncio.run(db.load_run("r1")) is None
    asyncio.run(db.commit(started("r1")))
    asyncio.run(db.aclose())


def test_a_thread_that_cannot_be_started_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db, start_thread = SqliteDb(tmp_path / "runs.db"), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StorageError, match=r"runs\.db: can't start new thread"):
        asyncio.run(db.commit(started()))
    monkeypatch.setattr(threading.Thread, "start", start_thread)
    asyncio.run(db.commit(started()))
    asyncio.run(db.aclose())
