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
    SessionBusy,
    StorageError,
    Workflow,
)

from .book import Reader
from .tree import short
from .world import SimProcess, is_boom

if TYPE_CHECKING:
    from .play import Play

__all__ = ["FINAL", "answer", "call", "call_again", "cancel", "fork", "guarded", "misdirect", "person", "read_on"]

FINAL = {
    "WorkflowCompleted": RunStatus.completed,
    "WorkflowCancelled": RunStatus.cancelled,
    "WorkflowError": RunStatus.error,
}
SLOW_UNTIL = 60.0  # seconds until which readers take their time
MAY_COME_LATE = (RunNotFound, RunNotPaused, AlreadyAnswered, Fenced)


async def guarded(play: Play, what: str, work: Awaitable[Any]) -> Any:
    """The result of ``work``; None where it raised what somebody in its place has to expect. Anything else is wrong."""
    book = play.book
    try:
        return await work
    except MAY_COME_LATE as error:
        play.world.note("told", what, type(error).__name__)
    except StorageError as error:
        play.world.note("told", what, repr(error))
        if not (book.database_failed or _is_refusal(play, what, str(error))):
            book.wrong("storage-error-in-good-weather", what, error)
    except SessionBusy as error:
        play.world.note("told", what, repr(error))
        if play.case["policy"] != "reject":
            book.wrong("raised", what, repr(error))
    except (ValueError, PermissionError) as error:
        play.world.note("told", what, repr(error))
        if what != "answer":  # the question may have been answered, or have gone
            book.wrong("raised", what, repr(error))
    except LookupError as error:
        play.world.note("told", what, repr(error))
        if what != "fork" or "was compensated" not in str(error):
            book.wrong("raised", what, repr(error))
    except Exception as error:
        if is_boom(error):
            play.world.note("told", what, repr(error))
            return None
        book.wrong("raised", what, repr(error), traceback.extract_tb(error.__traceback__)[-1])
    return None


def _is_refusal(play: Play, what: str, text: str) -> bool:
    """Whether the database is well, and the call came too late for what it wanted."""
    if what in ("run", "again"):
        return "exists already" in text and any(op["op"] == "again" for op in play.case["ops"])
    return what == "read" and "retention" in play.case and "its events are not stored" in text


async def _wait_for(play: Play, process: SimProcess, run_id: str, how: str, start: Any) -> None:
    """Call ``start(**options)``, which starts or continues a run, in one of three ways; the book is told what came of it."""
    book = play.book

    async def wait() -> None:
        output = await start()
        if output.status.is_final:
            book.saw_end("caller", run_id, output.status, output.last_seq)
        else:
            book.promised[run_id] = "paused"

    async def leave_in_background() -> None:
        await start(background=True)
        book.promised[run_id] = "background"

    async def stream() -> None:
        async for event in start(stream=True, stream_events=True):
            if event.nested_depth == 0 and event.event in FINAL:
                book.saw_end("stream", run_id, FINAL[event.event], event.seq)
            if event.nested_depth == 0 and event.event == "WorkflowPaused":
                book.promised[run_id] = "paused"

    ways = {"await": wait, "background": leave_in_background, "stream": stream}
    caller = f"{run_id}, call {play.world.tick()}"
    book.callers[caller] = process
    try:
        await ways[how]()
    finally:
        book.callers.pop(caller, None)


async def call(play: Play, process: SimProcess, run: int, how: str, what: str = "run") -> None:
    """Start a run and wait for it, stream it, or leave it in the background."""
    workflow, run_id = play.workflow_in(process, run), play.run_id(run)

    def start(**more: Any) -> Any:
        return workflow.arun(input=f"r{run}", run_id=run_id, session_id=play.session_id(run), **more)

    await guarded(play, what, _wait_for(play, process, run_id, how, start))


async def call_again(play: Play, process: SimProcess, run: int, how: str) -> None:
    """Another call with the id of a run: it is refused, or it is the one that made the run."""
    await call(play, process, run, how, "again")


async def person(play: Play, process: SimProcess, workflow: Workflow) -> None:
    """Answer what is pending, again and again: some of it, or in calm weather all."""
    chance, case = play.world.rng, play.case
    while True:
        await anyio.sleep(1.0 if play.calm else chance.uniform(0.2, 0.9))
        pending = await guarded(play, "list", workflow.alist_pending()) or []
        if not play.calm:
            pending = [item for item in pending if not _is_left_alone(item, case.get("absent", 0.0))]
            pending = chance.sample(pending, chance.randint(min(1, len(pending)), len(pending)))
        for item in pending:
            answer(item)
            how = (
                "background" if play.calm or "people" not in case else chance.choice(["await", "background", "stream"])
            )
            run_id = play.run_of(item.id)
            if how == "background":
                await _give(play, process, workflow, run_id, item, how)
            else:
                process.spawn(_give(play, process, workflow, run_id, item, how), "caller")
                await anyio.sleep(chance.choice([0.0, 0.0, 0.05, 0.3]))


async def _give(play: Play, process: SimProcess, workflow: Workflow, run_id: str, item: Any, how: str) -> None:
    def start(**more: Any) -> Any:
        return workflow.acontinue_run(run_id=run_id, step_requirements=[item], **more)

    process.things["giving"] = process.things.get("giving", 0) + 1
    await guarded(play, "answer", _wait_for(play, process, run_id, how, start))
    process.things["giving"] -= 1


def _is_left_alone(item: Any, absent: float) -> bool:
    """Whether nobody ever answers this question, which has a deadline."""
    return item.timeout_at is not None and int(short(item.id), 16) % 100 < absent * 100


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


async def misdirect(play: Play, process: SimProcess, run: int, to: int) -> None:
    """Send the answer to a question of one run to another one: it is refused, and changes neither."""
    run_id, other, book = play.run_id(run), play.run_id(to), play.book
    workflow = play.workflow_in(process, to)
    pending = await guarded(play, "list", workflow.alist_pending()) or []
    mine = [item for item in pending if play.run_of(item.id) == run_id]
    if not mine or run_id == other or book.stored(other) is None:
        return
    answer(mine[0])
    try:
        await workflow.acontinue_run(run_id=other, step_requirements=[mine[0]], background=True)
    except (*MAY_COME_LATE, ValueError, StorageError) as error:
        play.world.note("told", "misdirect", repr(error))
    else:
        book.wrong("answer-in-another-run", mine[0].id, "was taken by", other)


async def read_on(play: Play, process: SimProcess, reader: Reader, run: int, at_a_time: int) -> None:
    """Follow the run from this process, coming back again and again, until its end is seen."""

    async def some() -> bool:
        count = 0
        workflow = play.workflow_in(process, run)
        async with workflow.subscribe(reader.run_id, after=reader.after) as events:
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
        pause = play.world.rng.uniform(0.05, 0.8)
        await anyio.sleep(pause if play.world.now < SLOW_UNTIL else 0.01)
    reader.done = True


async def cancel(play: Play, process: SimProcess, run: int) -> None:
    run_id = play.run_id(run)
    play.book.cancel_asked.add(run_id)
    if await guarded(play, "cancel", play.workflow_in(process, run).acancel_run(run_id)):
        play.book.granted[run_id] = play.world.now


async def fork(play: Play, process: SimProcess, run: int) -> None:
    """When the run has completed, fork it at a finished step of the top, or from its beginning."""
    workflow, run_id = play.workflow_in(process, run), play.run_id(run)
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
