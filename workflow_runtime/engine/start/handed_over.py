"""Paused runs of a pool that are continued in the background: their answers are stored here, and a worker continues them.

A paused run with a signal that nobody has taken is ready: the Runtime of each worker looks for such runs every second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from ...core.journal import Journal
from ...model.enums import RunStatus
from ...model.errors import RunNotFound
from ...model.run import WorkflowRunOutput
from ...storage.base import BaseDb, RunRow
from ..bus.pauses import Pauses
from ..bus.states import read_output
from ..bus.stored import requirement_row, requirements_of
from ..run.execution import Execution
from ..run.joined import Joined
from .continuation import Continuation, answers_of, check_plan
from .fork import load_journal
from .queued import DEFAULT_QUEUE, offer
from .recovery import ready_runs
from .resume import load_named, prepare_continued

if TYPE_CHECKING:
    from ..bus.buffer import Buffer

__all__ = ["belongs_to_workers", "continues_here", "hand_over"]

_POLL_SECONDS = 1.0  # the safety net under the database's own wake-up

_here: ContextVar[bool] = ContextVar("workflow_runtime_continues_here", default=False)


@contextmanager
def continues_here() -> Iterator[None]:
    """``acontinue_run(background=True)`` that is called within this block continues in this process, which is a worker."""
    token = _here.set(True)
    try:
        yield
    finally:
        _here.reset(token)


def belongs_to_workers(asked: Continuation) -> bool:
    """Whether the call is for a worker to carry out. Asked when the verb is called, not when it is awaited."""
    return asked.background and asked.definition.broker is not None and not (asked.allow_plan_change or _here.get())


async def hand_over(asked: Continuation) -> Execution | Joined:
    """Store the answers of the call, and follow the run until a worker has continued it. A run that is not paused, or that
    no worker would find ready, is continued as without a broker.

    Raises:
        RunNotFound, RunNotPaused, PlanChanged, AlreadyAnswered, QuestionWithdrawn, ValueError: As ``continue_run`` promises;
            nothing changed.
    """
    db = asked.definition.db
    assert db is not None
    row = await load_named(asked, db)
    if row.status is not RunStatus.paused or row.cancel_requested:
        return await prepare_continued(asked)
    if asked.answers == []:  # it is only to go on: with an answer, or a message, that is stored
        if all(ready.run_id != row.run_id for ready in await ready_runs(db, asked.definition.id)):
            return await prepare_continued(asked)
    else:
        await _answer(asked, db, row)
    await offer(asked.definition, row.run_id, row.queue or DEFAULT_QUEUE)
    output = await read_output(db, row)
    output.status, output.epoch = RunStatus.pending, row.attempt
    return HandedOver(run=None, output=output, db=db, row=row)


async def _answer(asked: Continuation, db: BaseDb, row: RunRow) -> None:
    pauses = Pauses(await requirements_of(db, row.run_id))
    if row.fingerprint != asked.definition.plan.fingerprint:
        check_plan(asked.definition.plan, Journal(await load_journal(db, row)), False, pauses.open)
    answers = answers_of(asked, pauses)
    if answers:
        await db.answer([requirement_row(item, row) for item in answers])


class HandedOver(Joined):
    """A continuation that a worker will begin."""

    async def result(self) -> WorkflowRunOutput:
        await self._begun()
        return await super().result()

    async def _read_log(self, buffer: Buffer) -> None:
        await self._begun()
        await super()._read_log(buffer)

    async def _begun(self) -> None:
        """Until the run is at a later attempt than when it paused, or has ended."""
        db, paused = self._db, self._row
        assert db is not None
        assert paused is not None
        while True:
            row = await db.load_run(self.id)
            if row is None:
                raise RunNotFound(f"run {self.id!r} was deleted while it was waited for")
            if row.attempt > paused.attempt or row.status.is_final:
                self._row = msgspec.structs.replace(row, seq=paused.seq)  # read from where it paused
                return
            await db.changed(self.id, seen=row.seq, timeout=_POLL_SECONDS)
