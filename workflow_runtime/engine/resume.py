"""Going on with a stored run: loading it, answering its questions, claiming it. (D7, D8)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..core.journal import Journal
from ..core.plan import Plan
from ..model import codec
from ..model.enums import RunStatus
from ..model.errors import AlreadyAnswered, PlanChanged, RunNotFound, RunNotPaused
from ..model.requirements import StepRequirement
from ..model.run import WorkflowRunOutput
from ..model.session import WorkflowSession
from ..storage.base import BaseDb, Batch, EventRow, RequirementRow, RunRow
from .execution import Execution, owner_of_this_process
from .fork import load_journal
from .form_models import find_model
from .host import find_parked, register
from .pauses import Pauses, Requirement, due, merge_answers, unused, validated
from .request import Definition, Input, RunRequest
from .sessions import open_session
from .unreadable import refuse_unreadable

__all__ = ["Continuation", "load_output", "prepare_continued"]

_PAGE = 2000


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """A call to ``continue_run``, resolved. ``output`` is the paused output, needed where there is no database."""

    definition: Definition
    run_id: str
    session_id: str | None = None
    output: WorkflowRunOutput | None = None
    answers: list[Requirement] | None = None
    store_events: bool = False
    keep_log: bool = False
    skip: Any = None
    user_id: str | None = None
    allow_plan_change: bool = False
    cancel_reason: str | None = None
    background: bool = False


async def load_output(db: BaseDb, run_id: str, *, events: bool = True) -> WorkflowRunOutput | None:
    """The stored output of a run, with its questions and its stored events; None if there is no such run."""
    row = await db.load_run(run_id)
    return await output_of(db, row, events=events) if row is not None else None


async def output_of(db: BaseDb, row: RunRow, *, events: bool = True) -> WorkflowRunOutput:
    output = codec.decode_run(row.data, row)
    output.status = row.status
    output.epoch = row.attempt
    if row.status is RunStatus.paused:
        _put_requirements(output, await requirements_of(db, row.run_id))
    output.last_seq = max(output.last_seq, row.seq)
    if output.events is not None:
        rows = await all_events(db, row.run_id) if events else []
        output.events = [codec.decode_event(item.data, item) for item in rows] or None
    return output


async def all_events(db: BaseDb, run_id: str, after: int = 0) -> list[EventRow]:
    found: list[EventRow] = []
    while True:
        page = await db.load_events(run_id, after=after, limit=_PAGE)
        found.extend(page)
        if len(page) < _PAGE:
            return found
        after = page[-1].last_seq


def _put_requirements(output: WorkflowRunOutput, requirements: list[Requirement]) -> None:
    output.step_requirements = [item for item in requirements if item.kind != "error"] or None  # type: ignore[misc]  # told apart by kind
    output.error_requirements = [item for item in requirements if item.kind == "error"] or None  # type: ignore[misc]  # told apart by kind


async def requirements_of(db: BaseDb, run_id: str) -> list[Requirement]:
    found: list[Requirement] = []
    for row in await db.load_requirements(run_id):
        item = codec.decode_requirement(row.data, row)
        item.answered_at = row.answered_at
        found.append(item)
    return found


async def prepare_continued(asked: Continuation) -> Execution:
    """The run, claimed for this process, its answers stored, ready to be walked again.

    Raises:
        RunNotFound, RunNotPaused, PlanChanged, AlreadyAnswered, ValueError: As ``continue_run`` promises; nothing changed.
    """
    if asked.definition.db is None:
        return await _from_memory(asked)
    return await _from_database(asked, asked.definition.db)


async def _from_memory(asked: Continuation) -> Execution:
    output = asked.output
    if output is None:
        raise RunNotFound(f"run {asked.run_id!r}: without a database, continue_run needs the paused output itself")
    refuse_other_session(asked, output.session_id)
    refuse_unless_paused(output.status, asked.run_id)
    if not isinstance(output.journal, Journal):
        raise RunNotPaused(
            f"run {asked.run_id!r} cannot be continued from this copy of its output: it has no journal; use the object"
            " that the run returned, or a database"
        )
    requirements: list[Requirement] = [*(output.step_requirements or ()), *(output.error_requirements or ())]
    pauses = Pauses(requirements)
    check_plan(asked.definition.plan, output.journal, asked.allow_plan_change, pauses.open)
    for item in _answers(asked, pauses):
        pauses.add(item)
    _refresh(pauses)
    parked = find_parked(asked.run_id)
    output.status = RunStatus.running  # from here on a second continue of this object is refused
    if parked is not None and parked.loop.is_here():
        return _unpark(parked, asked, pauses, parked.epoch + 1)
    state = output.session_state if output.session_state is not None else {}
    fresh = msgspec.structs.replace(
        output, journal=None, epoch=output.epoch + 1, step_results=list(output.step_results)
    )
    session = WorkflowSession(session_id=output.session_id or "", user_id=output.user_id, session_state=state)
    return _execution(asked, fresh, pauses, output.journal, session, state, {}, seq=output.last_seq)


async def _from_database(asked: Continuation, db: BaseDb) -> Execution:
    row = await db.load_run(asked.run_id)
    if row is None:
        raise RunNotFound(f"Could not find run with id {asked.run_id}; check the id and the workflow's db")
    refuse_other_session(asked, row.session_id)
    allowed = {RunStatus.paused, RunStatus.pending} if asked.cancel_reason is not None else {RunStatus.paused}
    if row.status not in allowed:
        refuse_unless_paused(row.status, asked.run_id)
    if asked.user_id is not None and row.user_id is not None and asked.user_id != row.user_id:
        raise PermissionError(f"run {asked.run_id!r} belongs to another user")
    journal = Journal(await load_journal(db, row))
    pauses = Pauses(await requirements_of(db, asked.run_id))
    if asked.cancel_reason is None and row.fingerprint != asked.definition.plan.fingerprint:
        check_plan(asked.definition.plan, journal, asked.allow_plan_change, pauses.open)
    stored = codec.decode_run(row.data, row)
    refuse_unreadable(row.run_id, journal, stored, pauses.by_id.values(), to_cancel=asked.cancel_reason is not None)
    try:
        accepted = _answers(asked, pauses)
    except AlreadyAnswered:
        # Another caller may have gone on with the run between the two reads above: then it is that which is to be told.
        current = await db.load_run(asked.run_id)
        refuse_unless_paused(current.status if current is not None else row.status, asked.run_id)
        raise
    now = asked.definition.clock.time()
    claimed = await db.claim(
        asked.run_id,
        owner=owner_of_this_process(),
        now=now,
        lease_until=now + asked.definition.lease,
        statuses=frozenset(allowed),
        expired_only=False,
    )
    if claimed is None:
        raise RunNotPaused(f"run {asked.run_id!r} was continued by another caller first")
    try:
        if accepted:
            await db.answer([requirement_row(item, claimed) for item in accepted])
    except AlreadyAnswered:
        await db.commit(Batch(run=msgspec.structs.replace(claimed, status=RunStatus.paused, updated_at=now)))
        raise
    for item in accepted:
        pauses.by_id[item.id] = item
    _refresh(pauses)
    parked = find_parked(asked.run_id)
    if parked is not None and parked.loop.is_here():
        if parked.epoch == row.attempt:
            return _unpark(parked, asked, pauses, claimed.attempt)
        parked.evict()  # the run went on elsewhere meanwhile
    return await execution_of(asked, db, claimed, journal, pauses)


def _refresh(pauses: Pauses) -> None:
    """Note which answers no node has used: those of now, and those that came while others were open still."""
    for item in unused(pauses):
        pauses.fresh[item.id] = None


def _unpark(run: Execution, asked: Continuation, known: Pauses, epoch: int) -> Execution:
    """The run whose steps still wait here, with all the answers that are ``known`` now, ready to be woken."""
    for item in known.by_id.values():
        if item.answered_at is not None and item.id in {waiting.id for waiting in run.pauses.open}:
            run.pauses.by_id[item.id] = item
            run.pauses.fresh[item.id] = None
    run.epoch = run.output.epoch = epoch
    run.cancel_reason = asked.cancel_reason
    run.reopen([item.id for item in run.pauses.by_id.values() if item.answered_at is not None])
    return run


async def execution_of(asked: Continuation, db: BaseDb, row: RunRow, journal: Journal, pauses: Pauses) -> Execution:
    """The execution of a claimed row. A log that was begun is kept on, whoever goes on with the run: it has readers."""
    if not asked.keep_log and await db.load_events(row.run_id, limit=1):
        asked = msgspec.structs.replace(asked, keep_log=True)
    output = codec.decode_run(row.data, row)
    output.epoch, output.status = row.attempt, RunStatus.running
    events = await all_events(db, row.run_id, 0 if asked.store_events else row.seq)
    if asked.store_events:
        output.events = [codec.decode_event(item.data, item) for item in events] or None
    session, _, stored = await open_session(asked.definition, row.session_id, row.user_id, None)
    return _execution(
        asked,
        output,
        pauses,
        journal,
        session,
        session.session_state,
        stored,
        seq=max(row.seq, events[-1].last_seq if events else 0),
    )


def _execution(
    asked: Continuation,
    output: WorkflowRunOutput,
    pauses: Pauses,
    journal: Journal,
    session: WorkflowSession,
    state: dict[str, Any],
    stored: dict[str, bytes],
    *,
    seq: int,
) -> Execution:
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
    )
    run.cancel_reason = asked.cancel_reason
    register(run)
    return run


def refuse_other_session(asked: Continuation, session_id: str | None) -> None:
    """RunNotFound when the caller named another session than the run's."""
    if asked.session_id not in (None, session_id):
        raise RunNotFound(
            f"Could not find run with id {asked.run_id} in session {asked.session_id}: it is of another session; leave"
            " session_id out, or give the run's own"
        )


def refuse_unless_paused(status: RunStatus, run_id: str) -> None:
    if status != RunStatus.paused:
        onward = "; fork() runs it again from one of its steps" if RunStatus(status).is_final else ""
        raise RunNotPaused(
            f"Cannot continue a run that is not paused. Current status: {RunStatus(status).value} (run {run_id}){onward}"
        )


def check_plan(plan: Plan, journal: Journal, allowed: bool, asked: Sequence[Requirement] = ()) -> None:
    """PlanChanged naming the first step that the run has been at, or waits at, and that the plan no longer has, or has as
    another kind of step. ``asked``: the open questions."""
    if allowed or plan.dynamic:
        return
    been = sorted(journal.records.values(), key=lambda record: record.position)
    places = [(record.path, record.kind) for record in been if "!" not in record.path]
    # What asks in its middle has a record; the other questions stand before or behind their node, which may have none.
    places += [
        (item.path, item.step_type)
        for item in asked
        if isinstance(item, StepRequirement) and item.kind != "ask" and item.step_type
    ]
    for path, kind in places:
        node = plan.find(path)
        if node is None:
            raise PlanChanged(
                f"the workflow has no step at {path!r} any more, where the stored run has been;"
                " restore the step, or pass allow_plan_change=True",
                path=path,
            )
        if node.kind != kind:
            raise PlanChanged(
                f"step {path!r} is a {node.kind} now and was a {kind} when the run was stored;"
                " restore it, or pass allow_plan_change=True",
                path=path,
            )


def _answers(asked: Continuation, pauses: Pauses) -> list[Requirement]:
    """The accepted answers; ValueError that lists what is still open when nothing new was answered."""
    if asked.cancel_reason is not None:
        return []
    now = asked.definition.clock.time()
    timed_out = due(pauses, now)
    late = {item.id for item in timed_out}
    given = asked.answers
    if given is None and asked.output is not None:
        given = [*(asked.output.step_requirements or ()), *(asked.output.error_requirements or ())]
    usable = [item for item in given or () if item.id not in late]
    accepted = [*timed_out, *validated(merge_answers(pauses, usable, now), models(asked))]
    if not accepted and pauses.open:
        steps = [item.step_name for item in pauses.open if item.kind != "error"]
        errors = [item.step_name for item in pauses.open if item.kind == "error"]
        parts = ([f"unresolved step requirements: {steps}"] if steps else []) + (
            [f"unresolved error requirements: {errors}"] if errors else []
        )
        refused = ValueError(f"Cannot continue run - {'; '.join(parts)}")
        refused.add_note("answer them, such as by confirm(), and pass them as step_requirements")
        raise refused
    return accepted


def models(asked: Continuation) -> Callable[[Requirement], Any]:
    """Which pydantic model, if any, the form of a question is of: that of a step that waits here, the workflow's own, or the
    one that is known by the name that was stored."""
    parked = find_parked(asked.run_id)

    def model(item: Requirement) -> Any:
        if not isinstance(item, StepRequirement):
            return None
        if parked is not None and item.id in parked.parking.models:
            return parked.parking.models[item.id]
        node = asked.definition.plan.find(item.path) if item.kind == "user_input" else None
        if node is not None and node.review is not None:
            return node.review.user_input_schema
        return find_model(item.input_model, item.input_json_schema)

    return model


def requirement_row(item: Requirement, run: RunRow) -> RequirementRow:
    return RequirementRow(
        run_id=run.run_id,
        requirement_id=item.id,
        session_id=run.session_id,
        user_id=run.user_id,
        workflow_id=run.workflow_id,
        path=item.path,
        kind=item.kind,
        created_at=item.created_at or 0.0,
        timeout_at=item.timeout_at.timestamp() if item.timeout_at else None,
        answered_at=item.answered_at,
        data=codec.encode_requirement(item),
    )
