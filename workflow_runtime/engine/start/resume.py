"""Going on with a stored run: loading it, answering its questions, claiming it. (D7, D8)"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from ...brokers.base import Broker
from ...core.journal import Journal
from ...core.life import Happening, Life
from ...model import codec
from ...model import events as ev
from ...model.enums import RunStatus
from ...model.errors import AlreadyAnswered, BrokerError, InputError, QuestionWithdrawn, RunNotFound, RunNotPaused
from ...model.run import WorkflowRunOutput
from ...model.session import WorkflowSession
from ...storage.base import BaseDb, RequirementRow, RunRow
from ...storage.rules import ACTIVE
from ..bus.pauses import Pauses, Requirement
from ..bus.states import read_output
from ..bus.stored import all_events, output_of, requirement_row, requirements_of
from ..bus.unreadable import refuse_unreadable
from ..loop.loops import whole
from ..loop.process import current
from ..people.inbox import Inbox
from ..run.deaths import put_aside_if_deadly
from ..run.ending import CANCELLED_ELSEWHERE
from ..run.execution import Execution
from ..run.host import find_live, find_parked, register, run_awaited
from ..run.joined import Joined
from ..run.request import Definition, Input, RunRequest
from ..run.sessions import open_session, turn_after_claim, turn_before_claim
from ..run.steering import carried_out, order_of
from .continuation import (
    Continuation,
    answers_of,
    check_plan,
    new_answers_of,
    refuse_other_session,
    refuse_unless_paused,
)
from .fork import journal_of, load_journal, load_steps

__all__ = [
    "claim",
    "end_cancelled",
    "load_named",
    "new_execution",
    "prepare_continued",
    "recovered",
    "signal_owner",
    "taken_over",
]

logger = logging.getLogger("workflow_runtime")
_PAUSED = frozenset({RunStatus.paused})


async def prepare_continued(asked: Continuation) -> Execution | Joined:
    """The run, its answers stored and claimed for this process, ready to be walked again; or, where it is RUNNING, the
    continuation that its new answers have joined.

    Raises:
        RunNotFound, RunNotPaused, PlanChanged, AlreadyAnswered, QuestionWithdrawn, ValueError: As ``continue_run`` promises;
            nothing changed.
    """
    if asked.output is not None and asked.output.run_id != asked.run_id:
        raise InputError(
            f"run_response is of run {asked.output.run_id!r}, and run_id names run {asked.run_id!r}; give one of the two"
        )
    if asked.definition.db is None:
        return await _from_memory(asked)
    return await _from_database(asked, asked.definition.db)


# -- without a database ------------------------------------------------------------------------------------------------


async def _from_memory(asked: Continuation) -> Execution | Joined:
    live = find_live(asked.run_id)
    if live is not None and live.loop.is_here():
        return _join_unstored(asked, live)
    output = asked.output
    if output is None:
        raise RunNotFound(f"run {asked.run_id!r}: without a database, continue_run needs the paused output itself")
    refuse_other_session(asked, output.session_id)
    if output.status is RunStatus.running:  # as the continue below leaves it
        raise RunNotPaused(
            f"run {asked.run_id!r} was continued with this output before; without a database, only the output that"
            " continue_run returned can be continued again"
        )
    refuse_unless_paused(output.status, asked.run_id)
    if not isinstance(output.journal, Journal):
        raise RunNotPaused(
            f"run {asked.run_id!r} cannot be continued from this copy of its output: it has no journal; use the object"
            " that the run returned, or a database"
        )
    requirements: list[Requirement] = [*(output.step_requirements or ()), *(output.error_requirements or ())]
    pauses = Pauses(requirements)
    check_plan(asked.definition.plan, output.journal, asked.allow_plan_change, pauses.open)
    parked = find_parked(asked.run_id)
    if parked is not None and parked.loop.is_here():
        parked.people.take_messages(parked)
        pauses.absorb(parked.pauses.unused())
        pauses.has_orders = bool(parked.steering.pending)
    answers = answers_of(asked, pauses)
    output.status = RunStatus.running  # from here on a second continue of this object is refused
    if parked is not None and parked.loop.is_here():
        parked.pauses.absorb(answers)
        return reopened(parked, parked.epoch + 1)
    for item in answers:
        pauses.add(item)
        pauses.fresh[item.id] = None
    state = output.session_state if output.session_state is not None else {}
    fresh = msgspec.structs.replace(
        output, journal=None, epoch=output.epoch + 1, step_results=list(output.step_results)
    )
    session = WorkflowSession(session_id=output.session_id or "", user_id=output.user_id, session_state=state)
    return new_execution(asked, fresh, pauses, output.journal, session, state, {}, seq=output.last_seq)


def _join_unstored(asked: Continuation, live: Execution) -> Joined:
    refuse_other_session(asked, live.output.session_id)
    answers = new_answers_of(asked, live.pauses)
    if not answers:
        refuse_unless_paused(RunStatus.running, asked.run_id)
    return Joined(run=live, output=live.output, answers=answers)


# -- with a database ---------------------------------------------------------------------------------------------------


async def _from_database(asked: Continuation, db: BaseDb) -> Execution | Joined:
    answered: list[Requirement] = []
    while True:
        row = await load_named(asked, db)
        if row.cancel_requested and row.status is RunStatus.paused:
            await end_cancelled(asked.definition, row, skip=asked.skip, store_events=asked.store_events)
            row = await load_named(asked, db)
        if answered and row.status not in ACTIVE and not _has_unused(await requirements_of(db, row.run_id), row):
            # Another caller went on with it, and it has paused again or ended: that is what became of these answers.
            return Joined(run=None, output=await output_of(db, row), db=db, row=row)
        if row.status is RunStatus.paused:
            # From the claim on the run is ours: cut off in between, it would wait for its lease to run out.
            run = await whole(partial(_claimed, asked, db, row, bool(answered)))
            if run is not None:
                return run
        elif row.status is RunStatus.running:
            answered = answered or await _answer_running(asked, db, row)
            taken = await _taken_over(asked, db, row)
            return taken if taken is not None else await _joined(asked, db, row, answered)
        else:
            refuse_unless_paused(row.status, asked.run_id)


def _has_unused(requirements: list[Requirement], row: RunRow) -> bool:
    return row.status is RunStatus.paused and bool(Pauses(requirements).fresh)


class _Taken(Exception):
    """Another caller claimed the run first."""


async def _claimed(asked: Continuation, db: BaseDb, row: RunRow, answered: bool) -> Execution | None:
    claimed = await _claim_with_answers(asked, db, row, answered)
    if claimed is None:
        return None
    async with turn_after_claim(asked.definition, row.session_id, current().owner, row.run_id):
        return await continued(asked, db, row, claimed)


async def _claim_with_answers(asked: Continuation, db: BaseDb, row: RunRow, answered: bool) -> RunRow | None:
    """Claim a paused run and store the answers of the call with that; None when another caller was first.

    Raises as ``prepare_continued`` does; then nothing was stored.
    """
    pauses = Pauses(await requirements_of(db, row.run_id))
    journal = Journal(await load_journal(db, row))
    messages = await db.load_messages(row.run_id)
    if messages:
        inbox = Inbox(row.run_id, journal, pauses)
        inbox.keep(messages)
        inbox.take_in(pauses, asked.definition.clock.time())
        pauses.has_orders = any(not carried_out(journal, order_of(item, early=True)) for item in inbox.orders())
    if row.fingerprint != asked.definition.plan.fingerprint:
        check_plan(asked.definition.plan, journal, asked.allow_plan_change, pauses.open)
    refuse_unreadable(row.run_id, journal, codec.decode_run(row.data, row), pauses.by_id.values())
    try:
        answers = [] if answered else answers_of(asked, pauses)
        rows = [requirement_row(item, row) for item in answers]
        async with turn_before_claim(asked.definition, row.session_id, current().owner, row.run_id):
            claimed = await claim(asked.definition, row.run_id, _PAUSED, answers=rows)
            if claimed is None:
                raise _Taken
            return claimed
    except _Taken:
        return None
    except (AlreadyAnswered, QuestionWithdrawn):
        # Another caller may have gone on with the run since it was read: then it is that which is to be told.
        latest = await load_named(asked, db)
        if latest.attempt == row.attempt:
            raise
        return None


async def _answer_running(asked: Continuation, db: BaseDb, row: RunRow) -> list[Requirement]:
    """Store the new answers to a running run, and give them. RunNotPaused when there are none."""
    while True:
        pauses = Pauses(await requirements_of(db, row.run_id))
        try:
            answers = new_answers_of(asked, pauses)
        except (AlreadyAnswered, QuestionWithdrawn):
            answers = []
        if not answers:
            refuse_unless_paused(row.status, asked.run_id)
        try:
            await db.answer([requirement_row(item, row) for item in answers])
            if row.owner is not None and find_live(row.run_id) is None:
                await signal_owner(asked.definition.broker, row.owner, row.run_id)
        except (AlreadyAnswered, QuestionWithdrawn):
            continue  # by somebody else in this moment: what is left of these answers is looked at again
        return answers


async def signal_owner(broker: Broker | None, owner: str, run_id: str) -> None:
    """Something is stored for the run that another process executes: let it look now instead of with its next beat."""
    if broker is not None:
        try:
            await broker.signal(owner, run_id)
        except BrokerError as error:
            logger.debug("run %s: its owner was not told: %s", run_id, error)


async def load_named(asked: Continuation, db: BaseDb) -> RunRow:
    """The run that the call names. RunNotFound, PermissionError."""
    row = await db.load_run(asked.run_id)
    if row is None:
        raise RunNotFound(f"Could not find run with id {asked.run_id}; check the id and the workflow's db")
    refuse_other_session(asked, row.session_id)
    if asked.user_id is not None and row.user_id is not None and asked.user_id != row.user_id:
        raise PermissionError(f"run {asked.run_id!r} belongs to another user")
    return row


async def _joined(asked: Continuation, db: BaseDb, row: RunRow, answers: list[Requirement]) -> Joined:
    live = find_live(asked.run_id)
    if live is not None and live.loop.is_here():
        return Joined(run=live, output=live.output, answers=answers)
    if live is not None:
        live.loop.call(partial(live.answered, answers))
    output = await read_output(db, row)
    output.status, output.epoch = row.status, row.attempt
    return Joined(run=None, output=output, db=db, row=row, take_over=taken_over(asked, db))


def taken_over(asked: Continuation, db: BaseDb) -> Callable[[RunRow], Awaitable[WorkflowRunOutput | None]]:
    """Goes on with the run of a dead process, for those who wait for it."""

    async def take_over(row: RunRow) -> WorkflowRunOutput | None:
        run = await _taken_over(asked, db, row)
        if run is None:
            return None

        async def same() -> Execution:
            return run

        return await run_awaited(same)

    return take_over


async def _taken_over(asked: Continuation, db: BaseDb, row: RunRow) -> Execution | None:
    """The run of a dead process, recovered here; None while its lease lasts."""
    if not row.expired or find_live(row.run_id) is not None:
        return None

    async def take() -> Execution | None:
        claimed = await claim(asked.definition, row.run_id, ACTIVE, expired_only=True)
        return await recovered(asked, db, row, claimed) if claimed is not None else None

    return await whole(take)


async def claim(
    definition: Definition,
    run_id: str,
    statuses: frozenset[RunStatus],
    *,
    expired_only: bool = False,
    answers: Sequence[RequirementRow] = (),
) -> RunRow | None:
    """Become the owner of a stored run, storing ``answers`` with that; its row, None when it cannot be had."""
    assert definition.db is not None
    return await definition.db.claim(
        run_id,
        owner=current().owner,
        now=definition.clock.time(),
        lease=definition.lease,
        statuses=statuses,
        expired_only=expired_only,
        answers=answers,
    )


async def continued(asked: Continuation, db: BaseDb, before: RunRow, claimed: RunRow) -> Execution:
    """The claimed run. What it goes on with is read now: until the claim, others could change it."""
    requirements = await requirements_of(db, asked.run_id)
    parked = find_parked(asked.run_id)
    if parked is not None and parked.loop.is_here():
        if parked.life is Life.PAUSING:
            await parked.completion.wait()
        await parked.people.inbox(parked).read(parked)
        if parked.parked and parked.epoch == claimed.attempt - 1:
            parked.pauses.absorb(requirements)
            parked.people.take_messages(parked)
            parked.goes_on(background=asked.background, keep_log=asked.keep_log)
            return _cancelled_if_asked(reopened(parked, claimed.attempt), asked, claimed)
        parked.evict()  # the run went on elsewhere meanwhile
    journal = Journal(await load_journal(db, claimed))
    run = await execution_of(asked, db, claimed, journal, Pauses(requirements), before.status)
    return _cancelled_if_asked(run, asked, claimed)


async def recovered(asked: Continuation, db: BaseDb, before: RunRow, claimed: RunRow) -> Execution:
    """The claimed run of a process that died; it says that it goes on, if it had begun."""
    steps = await load_steps(db, claimed)
    journal = Journal(journal_of(steps, claimed.run_id))
    # A run that was stored before it began has readers, which come by its id.
    keep_log = asked.keep_log or before.status is RunStatus.pending or before.queue is not None
    asked = msgspec.structs.replace(asked, background=True, keep_log=keep_log)
    pauses = Pauses(await requirements_of(db, claimed.run_id))
    run = await execution_of(asked, db, claimed, journal, pauses, before.status)
    if before.status is RunStatus.pending or (before.queue is not None and not run.bus.seq and not steps):
        # It was claimed at most, and nothing of it was begun.
        run.resumed = False
        run.may_have_begun = before.owner is not None
        run.output.status = RunStatus.pending
    else:
        run.opening = lambda: run.publish(ev.WorkflowResumedEvent, attempt=run.epoch, after_seq=run.bus.seq)
    if run.recorder is not None:
        run.recorder.died(claimed.deaths)
    _cancelled_if_asked(run, asked, claimed)
    if not run.cancelled:
        put_aside_if_deadly(run, steps)
    return run


def _cancelled_if_asked(run: Execution, asked: Continuation, claimed: RunRow) -> Execution:
    """A run that somebody wants cancelled ends so, before anything else of it is done."""
    if claimed.cancel_requested or asked.cancel_reason is not None:
        run.cancel(asked.cancel_reason or CANCELLED_ELSEWHERE)
    return run


def reopened(run: Execution, epoch: int) -> Execution:
    """The run whose steps still wait here, ready to be woken."""
    run.happen(Happening.CLAIM)
    run.reopen(epoch)
    return run


async def end_cancelled(definition: Definition, row: RunRow, *, store_events: bool, skip: Any) -> bool:
    """End a stored run that nobody executes as CANCELLED. False when another process has it, or was first."""
    db = definition.db
    assert db is not None
    refuse_unreadable(row.run_id, Journal(), codec.decode_run(row.data, row), (), to_cancel=True)
    paused = row.status is RunStatus.paused
    statuses = _PAUSED if paused else ACTIVE
    claimed = await claim(definition, row.run_id, statuses, expired_only=not paused)
    if claimed is None:
        return False
    asked = Continuation(
        definition=definition, run_id=row.run_id, store_events=store_events, skip=skip, cancel_reason="cancel_run"
    )

    async def prepare() -> Execution:
        return await (continued if paused else recovered)(asked, db, row, claimed)

    await run_awaited(prepare)
    return True


async def execution_of(
    asked: Continuation, db: BaseDb, row: RunRow, journal: Journal, pauses: Pauses, was: RunStatus
) -> Execution:
    """The execution of a claimed row. A log that was begun is kept on, whoever goes on with the run: it has readers."""
    if not asked.keep_log and await db.load_events(row.run_id, limit=1):
        asked = msgspec.structs.replace(asked, keep_log=True)
    output = codec.decode_run(row.data, row)
    output.epoch, output.status = row.attempt, RunStatus.running
    output.error = output.error_type = output.failed_steps = None  # of an end that a requeue took back
    events = await all_events(db, row.run_id, 0 if asked.store_events else row.seq)
    if asked.store_events:
        output.events = [codec.decode_event(item.data, item) for item in events] or None
    session, _, stored = await open_session(asked.definition, row.session_id, row.user_id, None)
    messages = await db.load_messages(row.run_id)
    run = new_execution(
        asked,
        output,
        pauses,
        journal,
        session,
        session.session_state,
        stored,
        seq=max(row.seq, events[-1].last_seq if events else 0),
        was=was,
    )
    if run.recorder is not None:
        run.recorder.anchored(row.state_from)
    if messages:
        run.people.inbox(run).keep(messages)
        run.people.take_messages(run, early=True)
    return run


def new_execution(
    asked: Continuation,
    output: WorkflowRunOutput,
    pauses: Pauses,
    journal: Journal,
    session: WorkflowSession,
    state: dict[str, Any],
    stored: dict[str, bytes],
    *,
    seq: int,
    was: RunStatus = RunStatus.paused,
) -> Execution:
    """The execution of a stored run, which can be found by its id."""
    request = RunRequest(
        definition=asked.definition,
        run_id=asked.run_id,
        session_id=output.session_id or session.session_id,
        user_id=output.user_id,
        input=Input(
            value=output.input,
            additional_data=output.additional_data,
            images=output.images,
            videos=output.videos,
            audio=output.audio,
            files=output.files,
            dependencies=output.dependencies,
            metadata=output.metadata,
        ),
        parent_run_id=output.parent_run_id,
        store_events=asked.store_events,
        keep_log=asked.keep_log,
        skip=asked.skip,
        background=asked.background,
    )
    run = Execution(
        request,
        output=output,
        state=state,
        session=session,
        journal=Journal(journal.records.values()),
        pauses=pauses,
        seq=seq,
        epoch=output.epoch,
        created_at=float(output.created_at),
        state_base=stored,
        created=True,
        was=was,
    )
    register(run)
    return run
