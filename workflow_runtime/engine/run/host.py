"""The host: starts runs, keeps the live ones by id, and is the only one that lets a run outlive its caller. (D1, D10)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from ...core.journal import Journal
from ...core.life import REFUSE, Happening, Life
from ...core.state import differ, merged
from ...model import codec
from ...model.errors import RunExists
from ...model.run import WorkflowRunOutput
from ...model.unreadable import Unreadable
from ...storage.base import BaseDb
from ...storage.rules import deleted
from ..bus.buffer import Buffer
from ..bus.failures import Exited, for_caller, shorten
from ..loop.loops import spawn
from ..loop.process import current
from .ending import CUT_OFF
from .execute import execute_run, refuse_run
from .execution import Execution
from .heartbeat import unwatch, watch
from .joined import Joined
from .pausing import wake
from .request import RunRequest
from .run_group import start_task
from .sessions import Turn, open_session, remember_session

__all__ = [
    "Prepare",
    "build_new",
    "end_deleted",
    "find_finished",
    "find_live",
    "leave_line",
    "line_up",
    "live_runs",
    "prepare_new",
    "register",
    "run_awaited",
    "runs_of_session",
    "start_hosted",
    "store_first",
]

Prepare = Callable[[], Any]

_KEPT = 256  # outputs of finished background runs that no database keeps


def find_live(run_id: str) -> Execution | None:
    """The run of that id if this process is executing it."""
    process = current()
    with process.lock:
        run = process.live.get(run_id)
    return run if run is not None and not run.ended else None


def find_paused(run_id: str) -> WorkflowRunOutput | None:
    """The paused output of a run that no database keeps, while somebody holds it."""
    process = current()
    with process.lock:
        return process.paused.get(run_id)


def find_parked(run_id: str) -> Execution | None:
    """The paused run of that id whose steps still wait in this process; its pause may not be stored yet."""
    process = current()
    with process.lock:
        run = process.live.get(run_id)
    return run if run is not None and run.life in (Life.PARKED, Life.PAUSING) else None


def live_runs() -> list[Execution]:
    """All runs that this process is executing now."""
    process = current()
    with process.lock:
        return [run for run in process.live.values() if not run.ended]


def runs_of_session(db: BaseDb, session_id: str) -> list[Execution]:
    """The runs of a session of ``db`` that this process executes, or whose steps wait here."""
    process = current()
    with process.lock:
        return [
            run
            for run in process.live.values()
            if run.request.session_id == session_id
            and run.definition.db is db
            and (not run.ended or run.life in (Life.PARKED, Life.PAUSING))
        ]


def end_deleted(run: Execution) -> None:
    """End a run whose session was deleted: nothing of it can be stored any more. From any thread."""

    def end() -> None:
        if run.life is Life.PARKED:
            run.evict()
        else:
            run.fail(deleted(run.request.session_id, run.id))

    run.loop.call(end)


def find_finished(run_id: str) -> WorkflowRunOutput | None:
    """The output of a background run that ended in this process and that no database keeps."""
    process = current()
    with process.lock:
        return process.finished.get(run_id)


async def prepare_new(request: RunRequest) -> Execution:
    """Everything a new run needs, its session loaded; nothing is written yet. ``named.prepare_named`` is for a run whose
    caller chose its id.

    Raises:
        RunExists: This process executes a run of this id.
        SessionOwnerError: The session is another user's.
    """
    run = await build_new(request, line_up(request))
    live = find_live(run.id)
    if live is not None:
        await leave_line(run.turn)
        raise RunExists(f"run {live.id!r} exists already ({live.output.status}); leave run_id out to get a new one")
    return register(run)


def line_up(request: RunRequest) -> Turn | None:
    """The run's place among those of its session, taken when it is called: what it waits for before its turn puts no later
    call first. None with policy "merge", which has no line."""
    if request.definition.session_policy == "merge":
        return None
    turn = Turn(request, current().owner)
    turn.join()
    return turn


async def leave_line(turn: Turn | None) -> None:
    """The run does not begin: the others of its session need not wait for it."""
    if turn is not None:
        with anyio.CancelScope(shield=True):
            await turn.give_up()


async def build_new(request: RunRequest, turn: Turn | None) -> Execution:
    """The run, its session loaded, which nobody finds yet. What raises here has left the line."""
    try:
        run = await _built(request)
    except BaseException:
        await leave_line(turn)
        raise
    run.turn = turn
    if turn is not None:
        turn.belongs_to(run)
    return run


async def _built(request: RunRequest) -> Execution:
    definition = request.definition
    session, state, stored = await open_session(definition, request.session_id, request.user_id, request.state)
    given = request.input
    created = definition.clock.time()
    seconds = int(created)
    output = WorkflowRunOutput(
        run_id=request.run_id,
        session_id=request.session_id,
        user_id=request.user_id,
        workflow_id=definition.id,
        workflow_name=definition.name,
        input=given.value,
        additional_data=given.additional_data,
        dependencies=given.dependencies,
        metadata=given.metadata,
        tags=list(request.tags) or None,
        images=list(given.images) if given.images else None,
        videos=list(given.videos) if given.videos else None,
        audio=list(given.audio) if given.audio else None,
        files=list(given.files) if given.files else None,
        parent_run_id=request.parent_run_id,
        created_at=seconds,
        updated_at=seconds,
    )
    run = Execution(
        request,
        output=output,
        state=state,
        session=session,
        journal=Journal(),
        created_at=created,
        state_base=stored,
    )
    if definition.db is not None:
        _describe(run)
    return run


def _describe(run: Execution) -> None:
    """Give the session what the workflow says of itself: its metadata over the session's, and its steps."""
    definition, session = run.definition, run.session
    if not isinstance(session.metadata, Unreadable):  # that is left as it is stored
        known = session.metadata or {}
        metadata = merged(known, definition.metadata)
        if differ(metadata, known):
            session.metadata = metadata
            run.session_metadata = codec.encode_value(metadata, "Workflow metadata")
    if session.workflow_data is None:
        run.workflow_data = definition.outline
        session.workflow_data = codec.decode_value(definition.outline)


def register(run: Execution) -> Execution:
    """Make the run findable by its id, and let the workflow's observers watch it."""
    for make in run.definition.observers:
        observer = make(run)
        if observer is not None:
            run.observe(observer)
    process = current()
    with process.lock:
        process.live[run.id] = run
    return run


async def _execute(run: Execution) -> None:
    """The task of a run: its turn in the session, then the run itself, until it needs no task any more."""
    if run.recorder is not None:
        watch(run)
    try:
        if run.definition.session_policy != "merge":
            try:
                await run.take_turn()
            except anyio.get_cancelled_exc_class():  # the loop ends, say: whoever waits for the run must see its end
                run.cancel(CUT_OFF)
                with anyio.CancelScope(shield=True):
                    await _begin(run)
                raise
        await _begin(run)
    except Exception as error:
        await refuse_run(run, error)
    finally:
        remember_session(run)  # before the next run of the session begins
        try:
            if run.turn is not None:
                with anyio.CancelScope(shield=True):
                    await run.turn.give_up()
        finally:  # also where the task is cancelled once more, by who does not know of scopes
            unwatch(run)
            _forget(run)
            run.let_go()


async def _begin(run: Execution) -> None:
    if run.happen(Happening.BEGIN) is REFUSE:  # it was let go before its turn came
        run.end()
    else:
        await execute_run(run)


def _forget(run: Execution) -> None:
    process, output = current(), run.completion.output
    with process.lock:
        if process.live.get(run.id) is run:
            del process.live[run.id]
        if run.definition.db is None and output.is_paused:
            process.paused[run.id] = output
        else:  # it may have been, before it was continued
            process.paused.pop(run.id, None)
        if run.definition.db is None and (run.request.background or run.id in process.finished):
            process.finished[run.id] = output
            while len(process.finished) > _KEPT:
                process.finished.popitem(last=False)


async def store_first(run: Execution) -> None:
    """Store a run whose caller may leave as soon as it knows of it. One that cannot be stored is none: nothing waits for
    its end, and its id finds nothing."""
    if run.recorder is None or run.recorder.created:
        return
    try:
        await run.recorder.commit()
    except BaseException:
        run.evict()
        run.end()
        _forget(run)
        await leave_line(run.turn)
        raise


async def run_awaited(prepare: Prepare) -> WorkflowRunOutput:
    """Run to the end (or the pause) and give the output. In the caller's own task, unless a step may ask a person in its
    middle: then the run must be able to outlive this call."""
    try:
        run: Execution | Joined = await prepare()
        del prepare  # and what it holds
        if isinstance(run, Joined):
            run.begin()
            return await run.result()
        if run.definition.plan.hosted or run.waking:
            return await _run_hosted(run)
        await _execute(run)
        return await run.result()
    except Exited as error:
        shorten(error)
        failure = for_caller(error)
    except Exception as error:
        shorten(error)
        raise
    raise failure


async def _run_hosted(run: Execution) -> WorkflowRunOutput:
    completion = run.completion
    launch(run)
    try:
        await completion.wait()
    except BaseException:
        if run.completion is completion:
            run.cancel(CUT_OFF)
        with anyio.CancelScope(shield=True):
            await completion.wait()
        raise
    return await completion.result()


async def start_hosted(prepare: Prepare, buffer: Buffer | None = None) -> Execution | Joined:
    """Start the run in a task of its own and return at once; ``buffer`` sees its events from the first."""
    run: Execution | Joined = await prepare()
    if buffer is not None:
        run.attach(buffer)
    if isinstance(run, Joined):
        run.begin()
    else:
        launch(run)
    return run


def launch(run: Execution) -> None:
    """Give the run a task, or wake the one that it has."""
    if not run.waking:
        if run.definition.session_policy != "merge":
            run.turn = run.turn or Turn.of(run)
            run.turn.join()
        start_task(run, lambda: _execute(run), f"run {run.id}", lambda: _never(run))
    else:
        run.waking = False
        spawn(lambda: wake(run), f"continue {run.id}", lambda: _never(run))


def _never(run: Execution) -> None:
    """The loop ended before the run's task began. What is stored of the run is left to a recovery."""
    run.evict()
    run.end()
    _forget(run)
