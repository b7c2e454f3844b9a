"""Those who use the runs of a case: callers, people who answer questions, readers far away, and who cancels and forks."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import anyio

from workflow_runtime import (
    AlreadyAnswered,
    Fenced,
    RunNotFound,
    RunNotPaused,
    RunStatus,
    StorageError,
    Workflow,
)

from .book import Reader
from .tree import short
from .world import SimProcess

if TYPE_CHECKING:
    from .play import Play

__all__ = ["FINAL", "answer", "call", "cancel", "fork", "guarded", "person", "read_on"]

FINAL = {
    "WorkflowCompleted": RunStatus.completed,
    "WorkflowCancelled": RunStatus.cancelled,
    "WorkflowError": RunStatus.error,
}


async def guarded(play: Play, what: str, work: Awaitable[Any]) -> Any:
    """The result of ``work``; None where it raised what somebody in its place has to expect. Anything else is wrong."""
    book = play.book
    try:
        return await work
    except (RunNotFound, RunNotPaused, AlreadyAnswered, StorageError) as error:
        play.world.note("told", what, type(error).__name__)
        expected = isinstance(error, (RunNotFound, RunNotPaused, AlreadyAnswered, Fenced)) or book.database_failed
        if not expected:
            book.wrong("storage-error-in-good-weather", what, error)
    except (ValueError, PermissionError) as error:
        play.world.note("told", what, repr(error))
        if what != "answer":  # the question may have been answered, or have gone
            book.wrong("raised", what, repr(error))
    except Exception as error:
        book.wrong("raised", what, repr(error), traceback.extract_tb(error.__traceback__)[-1])
    return None


def workflow_of(process: SimProcess) -> Workflow:
    workflow: Workflow = process.things["workflow"]
    return workflow


async def call(play: Play, process: SimProcess, run: int, how: str) -> None:
    """Start a run and wait for it, stream it, or leave it in the background."""
    book, run_id = play.book, play.run_id(run)
    workflow = workflow_of(process)
    options = {"input": f"r{run}", "run_id": run_id, "session_id": play.session_id(run)}

    async def wait() -> None:
        output = await workflow.arun(**options)
        if output.status.is_final:
            book.saw_end("caller", run_id, output.status, output.last_seq)
        else:
            book.promised[run_id] = "paused"

    async def leave_in_background() -> None:
        await workflow.arun(**options, background=True)
        book.promised[run_id] = "background"

    async def stream() -> None:
        async for event in workflow.arun(**options, stream=True, stream_events=True):
            if event.nested_depth == 0 and event.event in FINAL:
                book.saw_end("stream", run_id, FINAL[event.event], event.seq)
            if event.nested_depth == 0 and event.event == "WorkflowPaused":
                book.promised[run_id] = "paused"

    ways = {"await": wait, "background": leave_in_background, "stream": stream}
    book.callers[run_id] = process
    try:
        await guarded(play, "run", ways[how]())
    finally:
        book.callers.pop(run_id, None)


async def person(play: Play, process: SimProcess) -> None:
    """Answer what is pending, again and again: some of it, or in calm weather all."""
    workflow, chance = workflow_of(process), play.world.rng
    while True:
        await anyio.sleep(1.0 if play.calm else chance.uniform(0.2, 0.9))
        pending = await guarded(play, "list", workflow.alist_pending()) or []
        if not pending:
            continue
        chosen = pending if play.calm else chance.sample(pending, chance.randint(1, len(pending)))
        for item in chosen:
            answer(item)
            run_id = play.run_of(item.id)
            await guarded(
                play, "answer", workflow.acontinue_run(run_id=run_id, step_requirements=[item], background=True)
            )


def answer(item: Any) -> None:
    """The same question gets the same answer, whoever gives it."""
    number = int(short(f"{item.path}:{item.kind}"), 16)
    if item.kind == "error":
        item.retry()
    elif getattr(item, "user_input_schema", None):
        item.set_user_input(value=number % 97)
    elif item.kind == "output_review" or number % 5:
        item.confirm()
    else:
        item.reject("no")


async def read_on(play: Play, process: SimProcess, reader: Reader, at_a_time: int) -> None:
    """Follow the run from this process, coming back again and again, until its end is seen."""
    reader.process = process

    async def some() -> bool:
        count = 0
        async with workflow_of(process).subscribe(reader.run_id, after=reader.after) as events:
            async for event in events:
                last = getattr(event, "last_seq", None) or event.seq
                reader.seen.append((event.epoch, event.seq, last, event.event))
                reader.after, count = event.id, count + 1
                if event.nested_depth == 0 and event.event in FINAL:
                    play.book.saw_end("reader", reader.run_id, FINAL[event.event], event.seq)
                    return True
                if count >= at_a_time:
                    return False
            return True

    while not await guarded(play, "read", some()):
        await anyio.sleep(play.world.rng.uniform(0.05, 0.8))
    reader.done = True


async def cancel(play: Play, process: SimProcess, run: int) -> None:
    run_id = play.run_id(run)
    play.book.cancel_asked.add(run_id)
    if await guarded(play, "cancel", workflow_of(process).acancel_run(run_id)):
        play.book.granted[run_id] = play.world.now


async def fork(play: Play, process: SimProcess, run: int) -> None:
    """When the run has completed, fork it at a finished step of the top, or from its beginning."""
    workflow, run_id = workflow_of(process), play.run_id(run)
    for _ in range(20):
        row = play.book.stored(run_id)
        if row is not None and row.status is RunStatus.completed:
            break
        await anyio.sleep(0.5)
    else:
        return
    history = await guarded(play, "history", workflow.history(run_id)) or ()
    done = [entry.path for entry in history if entry.status == "done" and not set(entry.path) & set("!/#")]
    where = play.world.rng.choice([None, *done])
    new_id = f"fork{run}x{play.world.tick()}"
    output = await guarded(play, "fork", workflow.fork(run_id, at=where, new_run_id=new_id, background=True))
    if output is not None:
        play.book.promised[output.run_id] = f"fork of {run_id}"
