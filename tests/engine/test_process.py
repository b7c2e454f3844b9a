"""What a process has once: a forked child, and a second process in one interpreter, share nothing of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import anyio
import pytest

from workflow_runtime import InMemoryDb, RunContext, StepInput, Workflow
from workflow_runtime.engine.loop.process import Process, current, enter
from workflow_runtime.engine.run import host

pytestmark = pytest.mark.anyio


@pytest.fixture
def other() -> Iterator[Process]:
    before = current()
    yield Process()
    enter(before)


async def test_two_processes_in_one_interpreter_share_no_runs_and_no_owner(other: Process) -> None:
    first = current()
    seen = []

    async def look(step_input: StepInput, run_context: RunContext) -> None:
        seen.append((host.find_live("r") is not None, current().owner))
        enter(other)
        seen.append((host.find_live("r") is not None, current().owner))
        enter(first)

    await Workflow(steps=[look]).arun(run_id="r")
    assert [live for live, _ in seen] == [True, False]
    assert len({owner for _, owner in seen}) == 2


def test_ids_and_chance_come_from_the_process(other: Process) -> None:
    class Fixed(Process):
        def new_id(self) -> str:
            return "0" * 32

        def random(self) -> float:
            return 0.25

    enter(Fixed())
    workflow = Workflow(steps=[lambda: "x"])
    assert workflow.id == "workflow-" + "0" * 12
    assert workflow.clock.random() == 0.25


def test_a_forked_child_is_another_owner_has_no_runs_and_watches_its_own_loops() -> None:
    script = """
        import anyio, logging, os, threading
        from workflow_runtime import Runtime, Workflow
        from workflow_runtime.engine.loop.process import current
        from workflow_runtime.engine.run.host import live_runs

        began, end, told = threading.Event(), threading.Event(), threading.Event()

        async def step():
            began.set()
            await anyio.to_thread.run_sync(end.wait)

        async def parent():
            async with Runtime(stall_after=0.05):  # its watchdog is a thread, and no child has its parent's threads
                await Workflow(steps=[step]).arun()

        class Told(logging.Handler):
            def emit(self, record):
                told.set()

        async def child():
            logging.getLogger("workflow_runtime").addHandler(Told())
            async with Runtime(stall_after=0.05):
                await anyio.sleep(0)
                return told.wait(20)  # holds the loop up until the watchdog says so

        thread = threading.Thread(target=anyio.run, args=(parent,))
        thread.start()
        began.wait()
        mine = current().owner
        pid = os.fork()
        if pid == 0:
            other = current().owner
            print(other != mine, str(os.getpid()) in other, live_runs(), anyio.run(child), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        end.set()
        thread.join()
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in script.splitlines())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == ["True True [] True"], done.stderr


async def test_a_state_that_is_read_again_has_its_keys_in_the_stored_order() -> None:
    db = InMemoryDb()
    names = ["north", "east", "south", "west", "up", "down", "in", "out"]
    began, stored = anyio.Event(), anyio.Event()

    async def late(step_input: StepInput, run_context: RunContext) -> list[str]:
        began.set()
        await stored.wait()
        async with run_context.edit_state() as state:
            return list(state)

    async def writes(step_input: StepInput, run_context: RunContext) -> None:
        assert run_context.session_state is not None
        run_context.session_state.update(dict.fromkeys(names, 1))

    async with anyio.create_task_group() as tasks:

        async def first() -> None:
            output = await Workflow(name="late", steps=[late], db=db).arun(session_id="s")
            assert output.content == names

        tasks.start_soon(first)
        await began.wait()
        await Workflow(name="writes", steps=[writes], db=db).arun(session_id="s")
        stored.set()
