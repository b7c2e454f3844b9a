"""A program that is interrupted: again and again by itself, or once from outside.

interrupted.py rounds KIND SEED COUNT    Ctrl-C at COUNT random moments; prints what was wrong, and how the runs ended
interrupted.py bytecodes KIND            Ctrl-C at each bytecode of the synchronous API and of the caller's loop
interrupted.py once KIND                 one call, which the parent interrupts; prints "begun" when it may
"""

from __future__ import annotations

import collections
import io
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import anyio

import workflow_runtime
from workflow_runtime import InMemoryDb, Step, Workflow

PACKAGE = Path(workflow_runtime.__file__).parent
HERE = Path(__file__)
TRACED = {
    *(str(PACKAGE / "engine" / name) for name in ("portal.py", "sync_stream.py", "interrupts.py", "stream.py")),
    str(HERE),
}
CHUNKS, PAUSE = (2, 0.0) if "bytecodes" in sys.argv else (5, 0.001)
inside = 0
begun = 0


async def talk(step_input: Any) -> Any:
    global inside, begun
    inside += 1
    begun += 1
    if "once" in sys.argv:
        print("begun", flush=True)
    try:
        for number in range(CHUNKS):
            yield f"{number} "
            await anyio.sleep(PAUSE)
        if "once" in sys.argv:
            await anyio.sleep(0.2)
    finally:
        inside -= 1


def think(step_input: Any) -> str:
    time.sleep(0.001)
    return "thought"


db: Any = InMemoryDb() if "bytecodes" in sys.argv else "sqlite:///runs.db"
workflow = Workflow(name="w", db=db, session_id="s", steps=[talk, think])
asking = Workflow(
    name="asking",
    db=db,
    session_id="a",
    steps=[Step(name="ask", executor=think, requires_confirmation=True), talk],
)


def body(event: Any) -> None:
    """The caller's own work for an event."""
    for _ in range(3):
        str(event.event)


def run(run_id: str) -> None:
    workflow.run("x", run_id=run_id)


def stream(run_id: str) -> None:
    for event in workflow.run("x", run_id=run_id, stream=True, stream_events=True):
        body(event)


def stream_in_with(run_id: str) -> None:
    with workflow.run("x", run_id=run_id, stream=True) as events:
        for event in events:
            body(event)


def stream_result(run_id: str) -> None:
    workflow.run("x", run_id=run_id, stream=True).result()


def stream_in_variable(run_id: str) -> None:
    """Held beyond the call: left at the interpreter's end."""
    global kept
    kept = workflow.run("x", run_id=run_id, stream=True)
    for event in kept:
        body(event)


def paused(run_id: str) -> Any:
    output = asking.run("x", run_id=run_id)
    output.steps_requiring_confirmation[0].confirm()
    return output


def continue_run(output: Any) -> None:
    asking.continue_run(output)


def continue_as_stream(output: Any) -> None:
    for event in asking.continue_run(output, stream=True):
        body(event)


def print_response(run_id: str) -> None:
    workflow.print_response("x", run_id=run_id, console=console())


def cli_app(run_id: str) -> None:
    """Ctrl-C ends the run, and the chat goes on: here to the end of its input."""
    sys.stdin = io.StringIO()
    workflow.cli_app("x", run_id=run_id, console=console())


def console() -> Any:
    from rich.console import Console

    return Console(file=io.StringIO())


PREPARED = {"continue_run": paused, "continue_as_stream": paused}
CALLS: dict[str, Callable[[Any], None]] = {
    call.__name__: call
    for call in (
        run,
        stream,
        stream_in_with,
        stream_result,
        stream_in_variable,
        continue_run,
        continue_as_stream,
        print_response,
        cli_app,
    )
}


def status(kind: str, run_id: str) -> str:
    output = (asking if kind in PREPARED else workflow).get_run_output(run_id)
    return output.status.value if output is not None else "none"


def ended(kind: str, run_id: str, before: int, ends: collections.Counter[str]) -> str | None:
    """What is wrong with a run that was interrupted."""
    found = status(kind, run_id)
    ends[found] += 1
    if inside:
        return f"a step of {run_id} is running"
    if found == "none" and begun == before:
        return None  # it came before the run
    if found == "PAUSED" and begun == before and kind in PREPARED:
        return None  # it came before the answer was given
    return None if found in ("CANCELLED", "COMPLETED") else f"{run_id} is {found}"


def rounds(kind: str, seed: str, count: str) -> None:
    chance = random.Random(int(seed))
    ends: collections.Counter[str] = collections.Counter()
    CALLS[kind](PREPARED.get(kind, str)("warm"))
    for number in range(int(count)):
        run_id = f"r{number}"
        target = PREPARED.get(kind, str)(run_id)
        before, delay = begun, chance.uniform(0.0, chance.choice((0.001, 0.03)))
        thread = threading.Thread(target=interrupt_after, args=(delay,))
        try:
            thread.start()
            CALLS[kind](target)
            thread.join()
            if kind != "cli_app":
                time.sleep(60)  # it had ended before
                print(f"{run_id} was not interrupted")
        except KeyboardInterrupt:
            pass
        thread.join()
        wrong = ended(kind, run_id, before, ends)
        if wrong:
            print(wrong)
    print("ends", dict(ends), file=sys.stderr)


def interrupt_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGINT)


def bytecodes(kind: str) -> None:
    ends: collections.Counter[str] = collections.Counter()
    CALLS[kind](PREPARED.get(kind, str)("warm"))
    number, fired = 0, True
    while fired:
        number += 1
        target = PREPARED.get(kind, str)(f"r{number}")
        before, left, fired = begun, number, False

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left, fired
            if frame.f_code.co_filename not in TRACED or frame.f_code.co_name in ("bytecodes", "trace"):
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                left -= 1
                if left == 0:
                    fired = True
                    sys.settrace(None)
                    signal.raise_signal(signal.SIGINT)
            return trace

        try:
            sys.settrace(trace)
            CALLS[kind](target)
        except KeyboardInterrupt:
            sys.settrace(None)
            wrong = ended(kind, f"r{number}", before, ends)
            if wrong:
                print(f"bytecode {number}: {wrong}")
        else:
            sys.settrace(None)
            if fired:
                print(f"bytecode {number}: the interrupt was lost")
    print("ends", number, dict(ends), file=sys.stderr)


def once(kind: str) -> None:
    CALLS[kind](PREPARED.get(kind, str)("r"))
    time.sleep(60)


if __name__ == "__main__":
    {"rounds": rounds, "bytecodes": bytecodes, "once": once}[sys.argv[1]](*sys.argv[2:])
