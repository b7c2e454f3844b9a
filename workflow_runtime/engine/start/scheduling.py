"""Schedules: stored with the time of their next run. Whichever Runtime sees first that the time has come queues the run.

The run's id is made of the tick, so a second process cannot queue it. The time is moved on by a compare-and-set when the run
is stored; a process that dies before that leaves the tick to the next one.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread

from ...model import checks, codec
from ...model.errors import InputError, RunExists
from ...model.schedule import Schedule
from ...storage.base import BaseDb, ScheduleRow
from .queued import DEFAULT_QUEUE
from .recovery import is_away
from .ticks import next_tick, run_id_of
from .upkeep import Backoff

__all__ = ["delete_schedule", "fire_due", "list_schedules", "put_schedule"]

logger = logging.getLogger("workflow_runtime")
_WHERE = "aschedule(): "
_MOST_NAME = 100  # bytes
_LONGEST = 100 * 366 * 86_400  # seconds: a hundred years, so that the next time is a date


class _Stored(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``ScheduleRow.data``."""

    cron: str | None = None
    every: float | None = None
    tz: str = "UTC"
    input: msgspec.Raw = msgspec.Raw(b"null")
    user_id: str | None = None
    session_id: str | None = None
    queue: str = DEFAULT_QUEUE
    priority: int = 0


async def put_schedule(
    db: BaseDb,
    workflow_id: str,
    name: str,
    *,
    cron: str | None,
    every: float | timedelta | None,
    tz: str | None,
    now: float,
    value: Any,
    user_id: str | None,
    session_id: str | None,
    queue: str | None,
    priority: int | None,
) -> Schedule:
    """Store the schedule; the one of that name is replaced, and stays as it is if it is the same.

    Raises:
        InputError: An argument is not valid.
        UnserializableError: The input cannot be stored.
    """
    checks.identifier(checks.required(name, "name"), "name", _WHERE, most=_MOST_NAME, error=InputError)
    if not name:
        raise InputError(f"{_WHERE}name={name!r} must not be empty; write for example name='nightly'")
    for what, text in (("user_id", user_id), ("session_id", session_id), ("queue", queue)):
        checks.identifier(text, what, _WHERE, error=InputError)
    checks.number(
        priority, "priority", _WHERE, least=-(2**31 - 1), most=2**31 - 1, whole=True, error=InputError, none="0"
    )
    if (cron is None) is (every is None):
        raise InputError(f"schedule {name!r} needs cron= or every=, and not both; write for example cron='0 3 * * *'")
    seconds = every.total_seconds() if isinstance(every, timedelta) else every
    if seconds is not None:
        checks.number(seconds, "every", _WHERE, least=1, most=_LONGEST, none=None, error=InputError)
    zone: str = checks.text(tz, "tz", _WHERE, error=InputError) or "UTC"
    checks.text(cron, "cron", _WHERE, error=InputError)
    if cron is not None and len(cron.split()) != 5:  # a sixth field would be seconds, which a look each second can miss
        raise InputError(f"cron={cron!r} is not valid (Wrong number of fields); write for example cron='0 3 * * *'")
    checks.identifier(run_id_of(workflow_id, name, now), "the id of its runs", _WHERE, error=InputError)
    stored = _Stored(
        cron=cron,
        every=None if seconds is None else float(seconds),
        tz=zone,
        input=codec.raw(codec.encode_value(value, "input")),
        user_id=user_id,
        session_id=session_id,
        queue=queue or DEFAULT_QUEUE,
        priority=priority or 0,
    )
    first = await _next(stored.cron, stored.every, zone, now, now)
    row = ScheduleRow(
        workflow_id=workflow_id, name=name, next_at=first, created_at=now, data=msgspec.json.encode(stored)
    )
    return _schedule(await db.put_schedule(row))


async def _next(cron: str | None, every: float | None, tz: str, last: float, now: float) -> float:
    """``next_tick``, in a thread: the files of time zones are read there. One of its own, as steps may fill the others."""
    return await to_thread.run_sync(next_tick, cron, every, tz, last, now, limiter=CapacityLimiter(1))


async def list_schedules(db: BaseDb, workflow_id: str | None) -> list[Schedule]:
    """The stored schedules, of one workflow or of all, by workflow and name."""
    return [_schedule(row) for row in await db.list_schedules(workflow_id=workflow_id)]


async def delete_schedule(db: BaseDb, workflow_id: str, name: str) -> bool:
    """Delete the schedule. False if there is none."""
    return await db.delete_schedule(workflow_id, checks.required(name, "name"))


def _schedule(row: ScheduleRow) -> Schedule:
    stored = msgspec.json.decode(row.data, type=_Stored)
    return Schedule(
        workflow_id=row.workflow_id,
        name=row.name,
        next_at=datetime.fromtimestamp(row.next_at, UTC),
        cron=stored.cron,
        every=stored.every,
        tz=stored.tz,
        input=codec.decode_value(bytes(stored.input)),
        user_id=stored.user_id,
        session_id=stored.session_id,
        queue=stored.queue,
        priority=stored.priority,
    )


async def fire_due(workflow: Any, backoff: Backoff) -> list[str]:
    """Queue the runs of the workflow's schedules whose time has come, one of each; the ids of those that were queued here.
    After ticks that were missed one run is queued, that of the first of them. What fails is tried again."""
    db: BaseDb = workflow.db
    found: list[str] = []
    for row in await db.list_schedules(workflow_id=workflow.id, due_before=workflow.clock.time()):
        run_id = run_id_of(row.workflow_id, row.name, row.next_at)
        if not backoff.is_due(run_id):
            continue
        try:
            if await _fire(workflow, row, run_id):
                found.append(run_id)
        except Exception as error:
            if is_away(error):
                raise
            if backoff.failed(run_id):
                logger.error("schedule %s of workflow %s could not be run: %s", row.name, row.workflow_id, error)
            continue
        backoff.succeeded(run_id)
    return found


async def _fire(workflow: Any, row: ScheduleRow, run_id: str) -> bool:
    schedule = _schedule(row)
    queued = True
    try:
        await workflow.arun(
            schedule.input,
            background=True,
            stream=False,
            run_id=run_id,
            user_id=schedule.user_id,
            session_id=schedule.session_id or run_id,
            queue=schedule.queue,
            priority=schedule.priority,
        )
    except RunExists:
        queued = False  # another process was first, and may have died before it moved the time on
    after = await _next(schedule.cron, schedule.every, schedule.tz, row.next_at, workflow.clock.time())
    await workflow.db.move_schedule(row, next_at=after)
    return queued
