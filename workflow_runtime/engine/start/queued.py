"""Runs that are not begun here: stored in a queue of the database, for whichever process takes them. (D1, D7)

Such a run is PENDING, has no owner, and is at attempt 0: whoever claims it first begins it at attempt 1. Its caller follows
it as a run that another process executes.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import msgspec

from ...brokers.base import Ticket
from ...core.journal import Journal
from ...model import checks, codec
from ...model.enums import RunStatus
from ...model.errors import BrokerError, DuplicateRun, InputError, RunExists
from ...storage.base import LimitRow, RunRow
from ..bus.pauses import Pauses
from ..bus.unreadable import refuse_unreadable
from ..loop.loops import whole
from ..run.execution import Execution
from ..run.host import build_new
from ..run.joined import Joined
from ..run.request import Definition, RunRequest
from ..run.sessions import open_session
from .continuation import Continuation
from .named import Whole, join_existing, joined_to
from .queue_keys import limit_rows, unique_text
from .resume import new_execution, recovered

__all__ = ["DEFAULT_QUEUE", "Place", "begin_queued", "offer", "place_of", "prepare_queued"]

logger = logging.getLogger("workflow_runtime")
DEFAULT_QUEUE = "default"
_MOST = 2**31 - 1


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run waits: in which queue, before which others, and until when (unix seconds)."""

    queue: str = DEFAULT_QUEUE
    priority: int = 0
    not_before: float | None = None
    limits: tuple[LimitRow, ...] = ()
    unique: str | None = None


_OPTIONS = ("queue", "delay", "priority", "deduplication_id")


def place_of(call: dict[str, Any], request: RunRequest, background: bool) -> Place | None:
    """The queue's options of a call of ``arun``; None for a run that begins here and now.

    Raises:
        InputError: A queue for a run that somebody waits for, or that no database keeps; arguments that cannot be stored.
    """
    definition = request.definition
    queue, delay, priority, same = (call[name] for name in _OPTIONS)
    named = [name for name in _OPTIONS if call[name] is not None]
    if named and not background:
        raise InputError(f"{named[0]}= is for runs in the background; add background=True")
    if definition.broker is None and not named and not definition.limits:
        return None
    if not background:
        return None
    if definition.db is None:
        what = named[0] if named else "limits"
        raise InputError(f"{what}= needs a database, in which the run waits; give the workflow a db")
    if call["kwargs"]:
        raise InputError(
            f"{sorted(call['kwargs'])[0]!r} cannot be stored with a run that waits in a queue; use input= or"
            " additional_data="
        )
    checks.identifier(queue, "queue", error=InputError)
    checks.identifier(same, "deduplication_id", error=InputError)
    checks.number(priority, "priority", "arun(): ", least=-_MOST, most=_MOST, whole=True, none="0", error=InputError)
    return Place(
        queue=queue or DEFAULT_QUEUE,
        priority=priority or 0,
        not_before=_not_before(delay, definition.clock.time()),
        limits=limit_rows(request, queue or DEFAULT_QUEUE),
        unique=unique_text(request, same),
    )


def _not_before(delay: Any, now: float) -> float | None:
    from datetime import datetime, timedelta

    if delay is None:
        return None
    if isinstance(delay, datetime):
        if delay.tzinfo is None:
            raise InputError(f"delay={delay!r} has no time zone; write datetime(..., tzinfo=timezone.utc), or seconds")
        return delay.timestamp()
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    checks.seconds(seconds, "delay", "arun(): ", zero=True, error=InputError)
    return now + float(seconds) if seconds else None


async def prepare_queued(request: RunRequest, place: Place, *, join: bool, session_chosen: bool) -> Joined:
    """Store the run in its queue, and wake somebody who may take it; what its caller sees of it. With ``join`` it may be
    the run that has the id already.

    Where another run has the ``deduplication_id`` of this one and has not ended, its caller sees that one.

    Raises:
        RunExists: There is a run of this id, and it is not to be joined, or is another one. Nothing was stored.
        QueueFull: A limit's ``max_queued`` is reached. Nothing was stored.
    """
    db = request.definition.db
    assert db is not None
    while True:
        if request.run_id_chosen:
            existing = await join_existing(request, db, join=join, session_chosen=session_chosen)
            if existing is not None:
                return existing
        try:
            run = await whole(partial(_store, request, place))
        except DuplicateRun as other:
            row = await db.load_run(other.run_id)
            if row is None or row.status.is_final:
                continue  # it has ended since
            return await joined_to(msgspec.structs.replace(request, run_id=row.run_id), db, row)
        except RunExists:
            if not join:
                raise
            continue
        if place.not_before is None:
            await offer(request.definition, run.id, place.queue)
        row = RunRow(run_id=run.id, session_id=request.session_id, status=RunStatus.pending, attempt=0)
        joined = Whole(run=None, output=run.output, db=db, row=row)
        joined.broker = request.definition.broker
        return joined


async def _store(request: RunRequest, place: Place) -> Execution:
    run = await build_new(request, None)
    assert run.recorder is not None
    run.epoch = run.output.epoch = 0
    run.recorder.place = place
    await run.recorder.commit()
    run.evict()  # whoever claims it makes it again
    run.end()
    return run


async def offer(definition: Definition, run_id: str, queue: str) -> None:
    """Wake a worker for a run that is stored. It looks by itself, too."""
    broker = definition.broker
    if broker is None:
        return
    try:
        await broker.offer(Ticket(queue=queue, workflow_id=definition.id, run_id=run_id))
    except BrokerError as error:
        logger.warning("run %s is stored, and no worker could be told: %s", run_id, error)


async def begin_queued(definition: Definition, row: RunRow, *, store_events: bool, skip: Any) -> Execution:
    """The execution of a run that was claimed from its queue.

    Raises:
        Exception: It cannot be begun here. Nothing of it was done.
    """
    db = definition.db
    assert db is not None
    asked = Continuation(
        definition=definition,
        run_id=row.run_id,
        store_events=store_events,
        keep_log=True,
        skip=skip,
        background=True,
    )
    refuse_unreadable(row.run_id, Journal(), codec.decode_run(row.data, row), ())
    if row.attempt != 1 or row.seq:  # there may be more of it than its row
        before = msgspec.structs.replace(row, status=RunStatus.pending)
        return await recovered(asked, db, before, row)
    return await _first(asked, row)


async def _first(asked: Continuation, row: RunRow) -> Execution:
    """As ``resume.recovered``, without reading what cannot be there yet."""
    output = codec.decode_run(row.data, row)
    session, _, stored = await open_session(asked.definition, row.session_id, row.user_id, None)
    output.epoch, output.status = row.attempt, RunStatus.pending
    run = new_execution(
        asked,
        output,
        Pauses([]),
        Journal(),
        session,
        session.session_state,
        stored,
        seq=0,
        was=RunStatus.pending,
    )
    run.resumed = False
    if row.cancel_requested:
        run.cancel("cancel_run")
    return run
