"""The sync API only waits: from scripts, from a running loop, from several threads, and until Ctrl-C. (D12)"""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from verbs import names

from workflow_runtime import InMemoryDb, Parallel, RunStatus, Step, StepInput, Workflow
from workflow_runtime.backends import SqliteDb


def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


async def words(step_input: StepInput) -> AsyncIterator[str]:
    for word in str(step_input.input).split():
        yield word
        await anyio.lowlevel.checkpoint()


def script(text: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``text`` as a user's program."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


# -- scripts -------------------------------------------------------------------------------------------------------------


def test_a_step_that_exits_ends_the_script_and_no_other_run_waits_for_ever(tmp_path: Path) -> None:
    done = script(
        """
        import sys
        from workflow_runtime import Workflow

        def leave(step_input):
            sys.exit(3)

        async def leave_the_loop(step_input):
            sys.exit(4)

        def stay(step_input):
            return "still here"

        try:
            Workflow(name="w", steps=[leave_the_loop]).run("x", run_id="r")
        except SystemExit as error:
            print("exit", error.code)
        print(Workflow(steps=[stay]).run("x").content)
        Workflow(name="w", steps=[leave], db="sqlite:///runs.db").run("x", run_id="r")
        print("not reached")
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("exit 4\nstill here\n", "", 3)
    stored = Workflow(name="w", steps=[shout], db=SqliteDb(tmp_path / "runs.db")).get_run_output("r")
    assert stored is not None
    assert (stored.status, stored.error_type, stored.error) == (RunStatus.error, "SystemExit", "3")


def test_a_script_runs_streams_reads_back_and_exits_by_itself(tmp_path: Path) -> None:
    done = script(
        """
        from workflow_runtime import Workflow

        async def shout(step_input):
            return step_input.input.upper()

        workflow = Workflow(name="w", steps=[shout], db="sqlite:///runs.db", session_id="s")
        print(workflow.run("one").content)
        for event in workflow.run("two", stream=True):
            print(event.event)
        print([run.content for run in workflow.get_session().runs])
        """,
        tmp_path,
    )
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        "ONE",
        "WorkflowStarted",
        "StepOutput",
        "WorkflowCompleted",
        "['ONE', 'TWO']",
        "",
    ]
    assert done.returncode == 0


def test_a_script_that_leaves_a_stream_open_still_exits(tmp_path: Path) -> None:
    done = script(
        """
        import anyio
        from workflow_runtime import Workflow

        async def hang(step_input):
            await anyio.sleep_forever()

        stream = Workflow(steps=[hang]).run("x", stream=True)
        print(next(stream).event)
        """,
        tmp_path,
    )
    assert (done.stdout, done.returncode) == ("WorkflowStarted\n", 0), done.stderr


def test_a_forked_child_runs_workflows_of_its_own(tmp_path: Path) -> None:
    done = script(
        """
        import os
        from workflow_runtime import Workflow

        workflow = Workflow(steps=[lambda step_input: step_input.input])
        print(workflow.run("parent").content, flush=True)
        child = os.fork()
        if child == 0:
            print(workflow.run("child").content, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(workflow.run("parent again").content)
        """,
        tmp_path,
    )
    assert done.stdout.split("\n")[:3] == ["parent", "child", "parent again"], done.stderr


# -- a running loop, as in a notebook -----------------------------------------------------------------------------------


def test_run_works_inside_a_running_loop(sqlite: SqliteDb) -> None:
    workflow = Workflow(steps=[shout], db=sqlite)

    async def cell() -> list[Any]:
        found: list[Any] = [workflow.run("x", session_id="s").content]
        found.append(names(workflow.run("y", stream=True, session_id="s")))
        found.append([run.content for run in (workflow.get_session("s") or pytest.fail("none")).runs or ()])
        return found

    content, events, runs = asyncio.run(cell())
    assert (content, events[-1], runs) == ("X", "WorkflowCompleted", ["X", "Y"])


def test_run_works_inside_a_running_trio_loop() -> None:
    async def cell() -> Any:
        return Workflow(steps=[shout], db=InMemoryDb()).run("x").content

    assert anyio.run(cell, backend="trio") == "X"


def test_one_workflow_serves_both_apis_and_several_loops(sqlite: SqliteDb) -> None:
    workflow = Workflow(steps=[shout], db=sqlite)
    workflow.run("a", session_id="s")
    for letter in "bc":
        anyio.run(lambda letter=letter: workflow.arun(letter, session_id="s"))
    workflow.run("d", session_id="s")
    session = workflow.get_session("s")
    assert session is not None
    assert [run.content for run in session.runs or ()] == ["A", "B", "C", "D"]


# -- threads -------------------------------------------------------------------------------------------------------------


def test_runs_of_several_threads_overlap_and_each_gets_its_own(sqlite: SqliteDb) -> None:
    barrier = threading.Barrier(4)
    found: dict[str, Any] = {}

    def meet(step_input: StepInput) -> str:
        barrier.wait(60)
        return str(step_input.input).upper()

    workflow = Workflow(steps=[meet], db=sqlite)

    def call(name: str) -> None:
        stream = workflow.run(name, stream=True, session_id=name)
        found[name] = (names(stream)[-1], stream.result().content)

    threads = [threading.Thread(target=call, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {name: ("WorkflowCompleted", name.upper()) for name in "abcd"}


def test_a_sync_stream_is_live_and_does_not_wait_for_the_end() -> None:
    go = threading.Event()

    async def half(step_input: StepInput) -> AsyncIterator[str]:
        yield "half"
        while not go.is_set():
            await anyio.lowlevel.checkpoint()
        yield "whole"

    seen = []
    for event in Workflow(steps=[half]).run("x", stream=True):
        seen.append(event.event)
        if event.event == "StepContent":
            go.set()  # it would wait for ever if the chunk came only with the rest
    assert seen.count("StepContent") == 2


def test_dropping_a_sync_stream_cancels_the_run(sqlite: SqliteDb) -> None:
    ended = threading.Event()

    async def hang(step_input: StepInput) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    workflow = Workflow(steps=[shout, hang], db=sqlite, store_events=True)
    for event in workflow.run("x", stream=True, stream_events=True, run_id="r"):
        if event.event == "StepStarted" and event.step_name == "hang":
            break
    gc.collect()
    assert ended.wait(60)

    async def end() -> None:
        async for _ in workflow.subscribe("r"):
            pass

    anyio.run(end)
    found = workflow.get_run_output("r")
    assert found is not None
    assert found.status is RunStatus.cancelled


def test_the_result_of_a_sync_stream_raises_what_the_run_failed_with() -> None:
    def fail(step_input: StepInput) -> None:
        raise LookupError("no such page")

    stream = Workflow(steps=[fail]).run("x", stream=True)
    with pytest.raises(LookupError, match="no such page"):
        stream.result()


def test_a_sync_stream_may_be_read_in_pieces_and_then_asked_for_its_result() -> None:
    stream = Workflow(steps=[words]).run("a b c", stream=True)
    assert next(stream).event == "WorkflowStarted"
    assert stream.result().content == "abc"
    assert list(stream) == []


def test_a_paused_run_is_continued_by_sync_code(sqlite: SqliteDb) -> None:
    workflow = Workflow(steps=[Step(name="ask", executor=shout, requires_confirmation=True)], db=sqlite)
    paused = workflow.run("x")
    paused.steps_requiring_confirmation[0].confirm()
    assert names(workflow.continue_run(paused, stream=True))[-1] == "WorkflowCompleted"
    last = workflow.get_last_run_output()
    assert last is not None
    assert last.content == "X"


# -- Ctrl-C --------------------------------------------------------------------------------------------------------------

INTERRUPTED = """
import sys
import anyio
from workflow_runtime import Parallel, Step, Steps, Workflow

async def first(step_input):
    return "done"

async def hang(step_input):
    print("hanging", flush=True)
    await anyio.sleep_forever()

both = Parallel(Steps(name="deep", steps=[hang]), Step(name="wide", executor=first))
Workflow(name="w", db="sqlite:///runs.db", steps=[first, both]).run("x", run_id="r")
"""


def test_ctrl_c_from_outside_ends_the_program_and_the_run_as_cancelled(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "hanging\n"
        program.send_signal(signal.SIGINT)
        _, error = program.communicate(timeout=120)
    assert program.returncode in (-signal.SIGINT, 130)
    assert error.strip().endswith("KeyboardInterrupt")
    found = Workflow(name="w", db=f"sqlite:///{tmp_path}/runs.db", steps=[]).get_run_output("r")
    assert found is not None
    assert found.status is RunStatus.cancelled
    assert [result.step_name for result in found.step_results] == ["first", "Parallel"]


def test_ctrl_c_between_two_runs_leaves_the_next_one_alone() -> None:
    workflow = Workflow(steps=[Parallel(shout, words)])
    assert workflow.run("a").status is RunStatus.completed
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert workflow.run("b").status is RunStatus.completed
