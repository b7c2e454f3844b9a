"""The rules of a write and its resulting rows: pure functions that every backend calls, so the rules exist once.

A backend loads the stored rows, calls these functions, and writes their results; a refusal is raised before anything was
written.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from hashlib import sha256

import msgspec

from ..model.enums import RunStatus
from ..model.errors import (
    AlreadyAnswered,
    AnswersArrived,
    CallbackExpired,
    CancelRequested,
    ConcurrentWrite,
    DuplicateRun,
    Fenced,
    MessageConflict,
    NotAwaited,
    QuestionWithdrawn,
    QueueFull,
    RunEnded,
    RunExists,
    RunNotFound,
    RunNotPaused,
    SessionOwnerError,
    StorageError,
)
from .base import (
    ORDERS,
    RECEIVES,
    Batch,
    Fence,
    LeaseState,
    LimitRow,
    MessageRow,
    QueueRow,
    RequirementRow,
    RunFilter,
    RunRow,
    SessionPatch,
    SessionRow,
)

__all__ = [
    "ACTIVE",
    "CANCELLABLE",
    "FINAL",
    "KEPT",
    "REFUSED_BY_CANCEL",
    "RECHECK",
    "REMEMBERED",
    "Verdict",
    "add_metrics",
    "awaits",
    "cancel_requested",
    "check_answers",
    "check_message",
    "claimed",
    "decide",
    "deleted",
    "check_queued",
    "counted_keys",
    "discardable",
    "expired",
    "frees",
    "is_full",
    "is_due",
    "is_old",
    "is_queued",
    "lane_of",
    "levels",
    "is_open",
    "locked_keys",
    "matches",
    "origin",
    "origin_of",
    "orphaned",
    "put_back",
    "queue_key",
    "queue_of",
    "queue_rows",
    "renewed",
    "requirement_to_store",
    "run_ids",
    "session_to_load",
    "signals_message",
    "subject",
    "wake_after",
    "wakes",
]

_NONE: Mapping[str, int] = {}
ACTIVE = frozenset({RunStatus.PENDING, RunStatus.RUNNING})
CANCELLABLE = ACTIVE | {RunStatus.PAUSED}
FINAL = frozenset(status for status in RunStatus if status.is_final)
REFUSED_BY_CANCEL = frozenset({RunStatus.COMPLETED, RunStatus.PAUSED, RunStatus.ERROR})

KEPT = 3
"""The mark of an old run that ``prune`` keeps for its forks; it is 2 when the last of them is deleted."""

REMEMBERED = 7 * 86_400.0
"""Seconds for which the deletion of a session is remembered."""

RECHECK = 0.25
"""Seconds after which ``changed`` reports a write that it cannot date by the run's ``seq`` (see ``wake_after``)."""


class Verdict(msgspec.Struct, frozen=True):
    """The rows that a backend writes for a batch. None: that table is not written."""

    run: RunRow | None
    session: SessionRow | None
    cancel_requested: bool


def subject(batch: Batch) -> str | None:
    """The run that a batch is about: its row's, else its fence's, else that of its first other row."""
    if batch.run is not None:
        return batch.run.run_id
    if batch.fence is not None:
        return batch.fence.run_id
    for rows in (batch.steps, batch.events, batch.requirements):
        for row in rows:
            return row.run_id
    return None


def session_to_load(batch: Batch, run: RunRow | None) -> str | None:
    """The session that ``decide`` needs, given the stored row of ``subject(batch)``; None: it needs none."""
    if batch.session is not None:
        return batch.session.session_id
    row = batch.run
    # The owner of the session was checked when the run was first stored.
    return None if row is None or (run is not None and run.user_id == row.user_id) else row.session_id


def run_ids(batch: Batch) -> set[str]:
    """Every run whose watchers a commit of ``batch`` may concern."""
    found = {row.run_id for rows in (batch.steps, batch.events, batch.requirements) for row in rows}
    if (run_id := subject(batch)) is not None:
        found.add(run_id)
    return found


def queue_key(queue: str) -> str:
    """What ``changed`` is asked for to hear of runs that are queued in ``queue``."""
    return f"queue:{queue}"


def queue_of(key: str) -> str | None:
    """The queue that ``queue_key`` made ``key`` of; None for the id of a run."""
    return key.removeprefix("queue:") if key.startswith("queue:") else None


def wakes(batch: Batch) -> set[str]:
    """The watched keys that a commit of ``batch`` may concern: runs, and the queue of a new one."""
    found = run_ids(batch)
    if batch.run is not None and batch.create and batch.run.queue is not None and is_queued(batch.run):
        found.add(queue_key(batch.run.queue))
    return found


def is_queued(row: RunRow) -> bool:
    """Whether the run is queued (``claim_next`` may take it)."""
    return row.queue is not None and row.owner is None and row.status is RunStatus.PENDING


def lane_of(limits: Sequence[LimitRow]) -> str | None:
    """A name for the keys of these limits: runs of one lane can be claimed when the first of them can."""
    if not limits:
        return None
    return sha256("\0".join(sorted(limit.key for limit in limits)).encode()).hexdigest()[:32]


def counted_keys(row: RunRow) -> list[str]:
    """The keys of the run's limits, and its ``unique`` text."""
    keys = [limit.key for limit in row.limits]
    return sorted({*keys, row.unique} if row.unique is not None else {*keys})


def locked_keys(row: RunRow) -> list[str]:
    """Those of ``counted_keys`` of which one run at a time may be stored: whether it may depends on others."""
    keys = {limit.key for limit in row.limits if limit.max_queued is not None}
    return sorted({*keys, row.unique} if row.unique is not None else keys)


def is_full(limit: LimitRow, *, running: int, begun: int) -> bool:
    """Whether no run of the key may be claimed: ``running`` are RUNNING, ``begun`` were claimed within the period."""
    if limit.concurrency is not None and running >= limit.concurrency:
        return True
    return limit.rate is not None and begun >= limit.rate


def frees(batch: Batch, stored: RunRow | None) -> str | None:
    """The queue whose runs may be claimed since the run of ``batch`` is RUNNING no more; ``stored`` is its row before."""
    row = batch.run
    if row is None or stored is None or stored.lane is None or stored.queue is None:
        return None
    return queue_key(stored.queue) if stored.status is RunStatus.RUNNING and row.status not in ACTIVE else None


def check_queued(row: RunRow, *, duplicate: str | None, queued: Mapping[str, int]) -> None:
    """Raise unless a new run may be stored. ``duplicate`` is the run that has its ``unique`` text and has not ended,
    ``queued`` how many runs are PENDING of each key.

    Raises:
        DuplicateRun: There is such a run.
        QueueFull: There are too many of them.
    """
    if duplicate is not None:
        raise DuplicateRun(f"run {duplicate!r} has the same deduplication_id and has not ended", run_id=duplicate)
    for limit in row.limits:
        if limit.max_queued is not None and queued.get(limit.key, 0) >= limit.max_queued:
            workflow, _, what = limit.key.partition("\n")
            raise QueueFull(
                f"workflow {workflow!r} has {queued[limit.key]} queued runs{f' of {what}' if what else ''}"
                f" (max_queued={limit.max_queued}); nothing was stored. Call again later, or raise max_queued",
                key=what or None,
                max_queued=limit.max_queued,
            )


def is_due(row: RunRow, now: float) -> bool:
    """Whether the run is queued and may be taken at ``now``."""
    return is_queued(row) and (row.not_before is None or row.not_before <= now)


def put_back(stored: RunRow | None, fence: Fence, not_before: float | None) -> RunRow | None:
    """The row after a claimed run was queued again, or None if it is not that owner's any more."""
    if stored is None or stored.queue is None or stored.status not in ACTIVE or not renewed(stored, fence).held:
        return None
    new = copy(stored)
    new.status, new.owner, new.lease_until, new.not_before = RunStatus.PENDING, None, None, not_before
    new.expired = False
    return new


def queue_rows(runs: Iterable[RunRow], now: float) -> list[QueueRow]:
    """``list_queues`` of these runs."""
    found: dict[str, QueueRow] = {}
    for row in runs:
        if row.queue is None or not (is_queued(row) or row.status is RunStatus.RUNNING):
            continue
        old = found.get(row.queue) or QueueRow(queue=row.queue)
        if row.status is RunStatus.RUNNING:
            new = msgspec.structs.replace(old, running=old.running + 1)
        elif is_due(row, now):
            oldest = row.created_at if old.oldest is None else min(old.oldest, row.created_at)
            new = msgspec.structs.replace(old, waiting=old.waiting + 1, oldest=oldest)
        elif row.not_before == math.inf:
            new = msgspec.structs.replace(old, parked=old.parked + 1)
        else:
            new = msgspec.structs.replace(old, delayed=old.delayed + 1)
        found[row.queue] = new
    return [found[name] for name in sorted(found)]


def deleted(session_id: str, run_id: str) -> Fenced:
    """What a run is refused with whose session was deleted while it was at work."""
    return Fenced(
        f"session {session_id!r} was deleted after run {run_id!r} began, so the run is not stored; start it again"
    )


def decide(
    batch: Batch,
    *,
    run: RunRow | None,
    fenced: RunRow | None,
    session: SessionRow | None,
    state: Mapping[str, bytes],
    answered: Collection[str] = (),
    has_unseen: bool = False,
    deleted_at: float | None = None,
    now: float = 0.0,
    duplicate: str | None = None,
    queued: Mapping[str, int] = _NONE,
) -> Verdict:
    """Whether ``batch`` may be written, and the resulting run and session rows.

    Args:
        batch: What is to be written.
        run: The stored row of ``subject(batch)``; its ``data`` is not looked at.
        fenced: The stored row of ``batch.fence.run_id``, mostly the same.
        session: The stored row of ``session_to_load(...)``; its ``state`` is not looked at.
        state: The session's stored values, at least those of the patch's keys.
        answered: Which of ``batch.waits_for`` are stored as answered.
        has_unseen: Whether the run has a message after ``batch.messages_seen``.
        deleted_at: When the session of a run that is not stored was last deleted, if that is remembered.
        now: The database's time, from which a new lease is counted.
        duplicate, queued: As for ``check_queued``, of a run that is created.

    Raises:
        SessionOwnerError: The session, or the run, is of another user, or the run of another session.
        RunExists: ``create`` of a run that exists.
        DuplicateRun, QueueFull: As ``check_queued``.
        Fenced: The run was taken over, has ended, or is not stored any more; its session was deleted since it began.
        StorageError: A batch of two sessions.
        RunNotPaused: The run is in none of ``statuses``.
        CancelRequested: The run is to be cancelled, and the batch would end or pause it otherwise.
        AnswersArrived: The run would wait for a question that is answered, or for a message that may have come.
        ConcurrentWrite: The session's keys are not as expected.
    """
    row = batch.run
    if batch.create and row is not None and run is not None:
        raise RunExists(f"run {row.run_id!r} exists already ({run.status}); leave run_id out to get a new one")
    if row is not None and run is not None and run.session_id != row.session_id:
        raise SessionOwnerError(
            f"run {row.run_id!r} belongs to session {run.session_id!r}, not {row.session_id!r}; use another run_id"
        )
    if batch.fence is not None:
        _check_fence(batch.fence, fenced)
        if row is not None and run is not None and run.status.is_final:
            raise Fenced(f"run {row.run_id!r} has ended as {run.status}; its end stands")
    if row is not None and run is None and deleted_at is not None and row.created_at < deleted_at:
        raise deleted(row.session_id, row.run_id)
    if batch.statuses is not None and (run is None or run.status not in batch.statuses):
        found = "is not stored" if run is None else f"is {run.status}"
        wanted = " or ".join(sorted(str(status) for status in batch.statuses))
        raise RunNotPaused(f"run {subject(batch)!r} {found}; this needs {wanted}. Another caller may have continued it")
    _check_owner(batch, run, session)
    if row is not None and run is not None and run.cancel_requested and row.status in REFUSED_BY_CANCEL:
        raise CancelRequested(f"run {row.run_id!r} is to be cancelled; end it as CANCELLED")
    if answered:
        names = ", ".join(map(repr, sorted(answered)))
        raise AnswersArrived(
            f"run {subject(batch)!r} cannot wait for {names}: answered meanwhile; read the answers and go on",
            requirement_ids=frozenset(answered),
        )
    if has_unseen:
        raise AnswersArrived(
            f"run {subject(batch)!r} cannot wait for messages: some came after message {batch.messages_seen}; read them",
            requirement_ids=frozenset(),
        )
    if batch.create and row is not None:
        check_queued(row, duplicate=duplicate, queued=queued)
    changed = None if row is None else _next_run(run, row, now)
    patched = None if batch.session is None else _next_session(session, batch.session, state)
    stands = changed or run
    return Verdict(changed, patched, stands is not None and stands.cancel_requested)


def _check_fence(fence: Fence, stored: RunRow | None) -> None:
    # No owner is not another owner: a paused or finished run has none, and its last attempt may still write.
    if stored is None:
        raise Fenced(f"run {fence.run_id!r} is not stored any more: it was deleted or pruned; stop working on it")
    if stored.attempt > fence.attempt:
        raise Fenced(
            f"run {fence.run_id!r} was taken over: its attempt is {stored.attempt}, this writer's {fence.attempt}; stop"
        )
    if fence.owner is not None and stored.owner is not None and stored.owner != fence.owner:
        raise Fenced(f"run {fence.run_id!r} is owned by {stored.owner!r}, not by {fence.owner!r}; stop working on it")


def _check_owner(batch: Batch, run: RunRow | None, session: SessionRow | None) -> None:
    # ``user_id=None`` means unspecified, not another user.
    row, patch = batch.run, batch.session
    if row is not None and patch is not None and row.session_id != patch.session_id:
        raise StorageError(
            f"a batch is of one session: run {row.run_id!r} is of {row.session_id!r}, not {patch.session_id!r}"
        )
    users = {user for user in (row and row.user_id, patch and patch.user_id) if user is not None}
    if session is not None and session.user_id is not None:
        users.add(session.user_id)
    if row is not None and run is not None and run.user_id is not None:
        users.add(run.user_id)
    if len(users) > 1:
        session_id = patch.session_id if patch is not None else row.session_id if row is not None else ""
        raise SessionOwnerError(f"session {session_id!r} belongs to another user; nothing was written")


def _next_run(stored: RunRow | None, row: RunRow, now: float) -> RunRow:
    new = copy(row)
    new.status = RunStatus(row.status)
    if row.lease is not None:
        new.lease_until = now + row.lease
    new.lease, new.expired = None, False
    if stored is not None:
        # A row that was read before a take-over must not lower the attempt: it is the fence.
        new.attempt = max(stored.attempt, row.attempt)
        new.owner, new.lease_until, new.cancel_requested = stored.owner, stored.lease_until, stored.cancel_requested
        new.user_id = row.user_id if stored.user_id is None else stored.user_id
        new.queue, new.priority, new.not_before = stored.queue, stored.priority, stored.not_before
        new.lane = stored.lane
    else:
        new.lane = lane_of(row.limits)
    if new.status not in ACTIVE:
        new.owner = new.lease_until = None
    return new


def _next_session(stored: SessionRow | None, patch: SessionPatch, state: Mapping[str, bytes]) -> SessionRow:
    version = 0 if stored is None else stored.version
    current: dict[str, bytes | None] = {}
    for key in patch.state:
        there = state.get(key)
        if there != patch.expected.get(key):
            current[key] = there
    if current:
        names = ", ".join(map(repr, sorted(current)))
        raise ConcurrentWrite(
            f"session {patch.session_id!r}: {names} changed since read (version now {version}); merge and commit again",
            current=current,
            version=version,
        )
    old = stored or SessionRow(session_id=patch.session_id, created_at=patch.now)
    return SessionRow(
        session_id=patch.session_id,
        user_id=old.user_id if patch.user_id is None else patch.user_id,
        workflow_id=old.workflow_id if patch.workflow_id is None else patch.workflow_id,
        workflow_name=old.workflow_name if patch.workflow_name is None else patch.workflow_name,
        name=old.name if patch.name is None else patch.name,
        version=version + 1,
        metadata=old.metadata if patch.metadata is None else patch.metadata,
        metrics=add_metrics(old.metrics, patch.metrics),
        workflow_data=old.workflow_data if patch.workflow_data is None else patch.workflow_data,
        created_at=old.created_at,
        updated_at=patch.now,
    )


def add_metrics(stored: bytes | None, counters: Mapping[str, float] | None) -> bytes | None:
    """``stored`` (a JSON object of numbers, or None) with ``counters`` added; whole numbers stay whole."""
    if not counters:
        return stored
    total: dict[str, float] = {} if stored is None else msgspec.json.decode(stored)
    for name, value in counters.items():
        total[name] = total.get(name, 0) + value
    return msgspec.json.encode(total)


def claimed(
    stored: RunRow | None,
    *,
    owner: str,
    now: float,
    updated_at: float,
    lease: float,
    statuses: frozenset[RunStatus],
    expired_only: bool,
) -> RunRow | None:
    """The row after ``owner`` took the run over at the database's ``now``, or None when it may not. A run without a lease
    has none to wait for. A request to cancel that a finished run had is over and done."""
    if stored is None or stored.status not in statuses:
        return None
    if expired_only and stored.lease_until is not None and not expired(stored, now):
        return None
    new = copy(stored)
    new.status, new.attempt, new.owner = RunStatus.RUNNING, stored.attempt + 1, owner
    new.lease_until, new.updated_at = now + lease, updated_at
    new.expired = expired(new, now)
    new.cancel_requested = stored.cancel_requested and not stored.status.is_final
    if stored.status.is_final:
        new.deaths = 0
    elif expired_only and stored.status is RunStatus.RUNNING and stored.owner is not None:
        new.deaths = stored.deaths + 1
    return new


def discardable(stored: RunRow | None, now: float) -> bool:
    """Whether ``discard`` deletes this row at the database's ``now``."""
    return stored is not None and stored.reserved and expired(stored, now)


def expired(row: RunRow, now: float) -> bool:
    """Whether the run has a lease that has run out at the database's ``now``; one that ends now has."""
    return row.lease_until is not None and row.lease_until <= now


def renewed(stored: RunRow | None, fence: Fence) -> LeaseState:
    """Whether the lease of ``fence`` is still valid and may be extended."""
    if stored is None:
        return LeaseState(held=False)
    held = (
        stored.status in ACTIVE
        and stored.attempt == fence.attempt
        and stored.owner is not None
        and fence.owner in (None, stored.owner)
    )
    return LeaseState(held=held, cancel_requested=stored.cancel_requested)


def cancel_requested(stored: RunRow | None, now: float) -> RunRow | None:
    """The row with the request noted, or None when the run cannot be cancelled."""
    if stored is None or stored.status not in CANCELLABLE:
        return None
    new = copy(stored)
    new.cancel_requested, new.updated_at = True, now
    return new


def check_answers(
    rows: Sequence[RequirementRow],
    stored: Mapping[tuple[str, str], tuple[float | None, float | None]],
    statuses: Mapping[str, RunStatus],
) -> None:
    """Raise unless each row is stored and open, and its run has not ended. ``stored`` maps (run_id, requirement_id) to
    (answered_at, withdrawn_at), ``statuses`` the ids of stored runs to their status."""
    answered: dict[tuple[str, str], float | None] = {}
    for row in rows:
        key = (row.run_id, row.requirement_id)
        if row.answered_at is None:
            raise StorageError(f"the answer to requirement {row.requirement_id!r} has no answered_at; set the time")
        if key not in stored:
            raise StorageError(
                f"run {row.run_id!r} has no requirement {row.requirement_id!r}; load its requirements again"
            )
        before, withdrawn = stored[key]
        at = before if before is not None else answered.get(key)
        if at is None and withdrawn is not None:
            raise QuestionWithdrawn(
                f"requirement {row.requirement_id!r} was withdrawn at {withdrawn}: its branch was given up, so it needs no"
                " answer",
                requirement_id=row.requirement_id,
            )
        if at is None and (status := statuses.get(row.run_id)) is not None and status.is_final:
            raise RunNotPaused(f"run {row.run_id!r} has ended as {status}; its question needs no answer any more")
        if at is not None:
            raise AlreadyAnswered(
                f"requirement {row.requirement_id!r} was answered at {at}; the first answer stands",
                requirement_id=row.requirement_id,
                answered_at=at,
            )
        answered[key] = row.answered_at


def awaits(row: RequirementRow, topic: str) -> bool:
    """Whether the question waits for a message on ``topic``."""
    return is_open(row) and row.kind == RECEIVES + topic


def check_message(row: MessageRow, *, status: RunStatus | None, stored: MessageRow | None, awaited: bool) -> bool:
    """Whether the message is to be stored; False where it has been before. ``status`` is that of its run (None: there is no
    such run), ``stored`` the stored message of its id, ``awaited``: an open requirement waits for its topic.

    Raises as ``BaseDb.send`` does.
    """
    if status is None:
        raise RunNotFound(f"no run {row.run_id!r}; check the id and the workflow's db")
    if stored is not None:
        if (stored.topic, stored.data) == (row.topic, row.data):
            return False
        raise MessageConflict(
            f"run {row.run_id!r} has another message with the id {row.message_id!r}; it stands. Choose another message_id"
        )
    if status.is_final:
        raise RunEnded(f"run {row.run_id!r} has ended as {status}; it takes no more messages")
    if row.expires_at is not None and row.created_at > row.expires_at:
        raise CallbackExpired("this callback has expired; nothing was stored")
    if row.only_if_awaited and not awaited:
        raise NotAwaited(f"no step of run {row.run_id!r} waits for a message on {row.topic!r} now; nothing was stored")
    return True


def signals_message(status: RunStatus, topic: str, awaited: bool) -> bool:
    """Whether a new message leaves a signal: a running run checks it, a paused one only if it waits for it, or if it is an
    order to one of its steps."""
    return status in ACTIVE or awaited or topic == ORDERS


def requirement_to_store(stored: RequirementRow | None, row: RequirementRow) -> RequirementRow:
    """The row after a commit of ``row``; a stored answer is kept."""
    new = copy(row)
    if stored is not None and stored.answered_at is not None and row.answered_at is None:
        new.data, new.answered_at = stored.data, stored.answered_at
    return new


def is_open(row: RequirementRow) -> bool:
    """Whether the question waits for an answer."""
    return row.answered_at is None and row.withdrawn_at is None


def matches(row: RunRow, where: RunFilter, now: float) -> bool:
    """Whether ``row`` is one of the runs that ``where`` asks for at the database's ``now``; its signals and tags are not
    looked at."""
    wanted: Iterable[tuple[str | None, str | None]] = (
        (where.session_id, row.session_id),
        (where.user_id, row.user_id),
        (where.workflow_id, row.workflow_id),
        (where.parent_run_id, row.parent_run_id),
    )
    if any(want is not None and want != have for want, have in wanted):
        return False
    if where.statuses is not None and row.status not in where.statuses:
        return False
    if not (where.since is None or row.created_at >= where.since) or not (
        where.until is None or row.created_at < where.until
    ):
        return False
    if not where.expired:
        return True
    within = where.expired_within
    return expired(row, now) and (within is None or row.lease_until is None or row.lease_until > now - within)


def is_old(row: RunRow, before: float) -> bool:
    """Whether ``prune`` may delete of the run: it ended, and was last written before ``before``."""
    return row.status.is_final and row.updated_at < before


def origin(row: RunRow) -> str | None:
    """The id of the run that this one was forked from."""
    return None if row.forked_from is None else origin_of(row.forked_from)


def origin_of(forked_from: str) -> str:
    """The run that ``forked_from`` (run id, "@", position) names."""
    return forked_from.rpartition("@")[0]


def levels(kinds: Collection[str] | None, mark: int) -> range:
    """The marks of the runs that ``prune`` looks at."""
    return range(mark) if kinds is not None and mark else range(KEPT)


def wake_after(*, seq: int | None, touched: int, tail: int, seen: int) -> float | None:
    """How many seconds a watcher that has seen the run up to ``seen`` may be left waiting: 0 (it has missed something),
    ``RECHECK``, or None (there is nothing new; the next write wakes it).

    ``seq`` is the stored run's (None: no row), ``tail`` the last stored event's ``last_seq`` (0: none). ``touched``
    is the ``seq`` at which the run was last written without moving on (made, claimed, asked to cancel, answered): the
    watcher may have read the run before that write or after it, which its number cannot tell. It is woken, but not at
    once, or the usual loop around ``changed`` would spin. The same holds for a watcher that is ahead of what is stored.
    """
    if max(seq or 0, tail) > seen:
        return 0.0
    if seq is None:
        return RECHECK if seen > 0 else None
    return RECHECK if touched >= seq or max(seq, tail) < seen else None


def orphaned(count: int, table: str) -> str:
    """The report of ``check`` about rows without a run."""
    runs = "1 run" if count == 1 else f"{count:,} runs"
    return f"{table} has rows of {runs} that the table of runs lacks; restore a backup, or delete them"
