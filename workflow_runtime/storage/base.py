"""The database contract. It speaks of runs, not of tables, and of bytes, not of values.

The engine encodes; a database keeps bytes, so every backend has the same value semantics. An implementer's obligations,
each checked by ``workflow_runtime.testing.DbContract``:

1. ``commit`` is one transaction: all of a batch or nothing, visible to other processes once it returns.
2. A batch with a ``fence`` is refused with ``Fenced``, and changes nothing, when the stored run's attempt is newer or
   its owner is another (a run without an owner has no other one). No write lowers a stored attempt.
3. A session patch is refused with ``ConcurrentWrite``, and nothing of the batch is written, when the stored bytes of
   one of its keys are not the ``expected`` ones. Other keys of the session merge silently.
4. A session of another user is refused with ``SessionOwnerError``; a run id that exists in another session likewise. A
   ``user_id`` of None means unspecified: it is not another user, and does not change the owner of a session.
5. Rows are appended or replaced by key; no call's cost grows with the number of runs of a session.
6. ``answer`` is a compare-and-set: the first answer wins, every later one raises ``AlreadyAnswered``. It,
   ``request_cancel`` and ``send`` leave a signal for the run in the same transaction.
7. ``claim`` succeeds for one caller only; it raises the attempt by one.
8. Errors of the driver become ``StorageError`` (chained); cancellation is re-raised, and a commit that was cancelled
   has either happened wholly or not at all.
9. Every call may come from any task of any event loop, also from several loops in several threads.
10. An ended run keeps its end: a fenced run row is refused with ``Fenced`` where the stored run has ended. A run with a
    request to cancel is not stored as COMPLETED, PAUSED or ERROR (``CancelRequested``), and none as PAUSED while one of the
    questions it ``waits_for`` is answered, or a message has come that it has not seen (``AnswersArrived``).
11. Leases and locks are measured with the database's clock alone: calls say for how many seconds, the database adds its
    now, and it alone decides whether a lease has expired. A server uses its own clock, a file or memory the clock it was
    given. All other times are those of the caller, and are only stored and compared with each other.
12. ``send`` keeps a message once per (run, message id), and numbers the messages of a run from 1 in the order in which they
    are stored: a reader that has read up to a number finds all later ones after it.
13. The deliveries of a batch are stored with its events or not at all, and are deleted with their run.
14. ``claim_next`` exceeds no limit (``LimitRow``), however many callers there are at once, and each key gets its turn.
    Whether a queue is full, or a ``unique`` text is taken, is decided in the transaction that stores the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from ..model.enums import RunStatus

__all__ = [
    "CONTRACT",
    "ORDERS",
    "BaseDb",
    "Batch",
    "Committed",
    "DbReport",
    "DeliveryRow",
    "EventRow",
    "Fence",
    "LeaseClock",
    "LeaseState",
    "LimitRow",
    "MessageRow",
    "Pruned",
    "QueueRow",
    "RequirementRow",
    "RunFilter",
    "RunRow",
    "ScheduleRow",
    "SessionPatch",
    "SessionRow",
    "Sent",
    "SignalRow",
    "StepRow",
]


CONTRACT = 3
"""The version of the contract that the engine needs."""


class LeaseClock(Protocol):
    """The clock of a database that has none of its own. The module ``time`` is one, and so is a workflow's clock."""

    def time(self) -> float:
        """Unix seconds."""
        ...


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a queued run. Runs of one ``key`` count together, in all queues; the numbers of the run that was stored
    last hold for all of them. None: not limited.

    ``concurrency``: how many runs of the key may be RUNNING when one is claimed from a queue. ``rate``: how many are claimed
    from queues in any ``period`` seconds. ``max_queued``: how many may be PENDING when one is stored.
    """

    key: str
    concurrency: int | None = None
    rate: int | None = None
    period: float = 0.0
    max_queued: int | None = None


class RunRow(msgspec.Struct, kw_only=True):
    """One run. ``data`` is the encoded WorkflowRunOutput; times are unix seconds; ``seq`` the last published number.

    ``owner``, ``lease_until`` and ``cancel_requested`` are changed by the lease calls only: the commit that creates the
    run stores them, later ones leave them alone, but a row with a status that is neither PENDING nor RUNNING gives the
    lease up.

    ``deaths`` counts the claims of the run whose owner had died (``claim``); a commit stores it as it is in its row.
    ``reserved``: nothing is stored of the run but its id, so that no other process runs it; ``discard`` deletes the row.

    ``lease`` is written only: in a commit that creates the run, the seconds from the database's now for which it is leased
    (None: until ``lease_until``, as it is). ``expired`` is read only: whether the lease had run out by the database's clock
    when the row was read.

    ``tags`` is written only, by the commit that creates the run; ``RunFilter.tags`` finds it by them.

    ``queue``, ``priority`` (the higher is taken first) and ``not_before`` (infinite: parked) are stored by the commit that
    creates the run, and changed by the queue's calls only. A run is queued while it is PENDING, has a ``queue`` and no
    ``owner``.

    ``limits`` and ``unique`` are written only, by the commit that creates a queued run. ``unique`` is a text that no two
    runs have which have not ended. ``lane`` is read only: a name for the keys of the run's limits, None if it has none.
    """

    run_id: str
    session_id: str
    status: RunStatus
    user_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    parent_run_id: str | None = None
    attempt: int = 1
    seq: int = 0
    fingerprint: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    data: bytes = b"{}"
    owner: str | None = None
    lease_until: float | None = None
    cancel_requested: bool = False
    forked_from: str | None = None
    deaths: int = 0
    reserved: bool = False
    tags: Sequence[str] = ()
    queue: str | None = None
    priority: int = 0
    not_before: float | None = None
    limits: Sequence[LimitRow] = ()
    unique: str | None = None
    lane: str | None = None
    lease: float | None = None
    expired: bool = False


class StepRow(msgspec.Struct, kw_only=True):
    """One entry of the journal: the record of the node at ``path``. Replaced by key (run_id, path).

    ``position`` orders the rows of a run by their first write (rows of one position by path); a replaced row keeps its
    first. ``data`` is an encoded outcome, ``state`` the encoded
    session keys that were committed with it.
    """

    run_id: str
    path: str
    position: int
    status: str
    attempt: int = 1
    started_at: float | None = None
    finished_at: float | None = None
    data: bytes | None = None
    state: bytes | None = None


class EventRow(msgspec.Struct, kw_only=True):
    """One stored event; ``last_seq`` is larger than ``seq`` where adjacent text was merged. Key (run_id, seq); the
    ranges of a run's rows do not overlap."""

    run_id: str
    seq: int
    last_seq: int
    epoch: int
    kind: str
    path: str
    data: bytes


class RequirementRow(msgspec.Struct, kw_only=True):
    """One question of a run. Key (run_id, requirement_id). It is open while ``answered_at`` and ``withdrawn_at`` are None.

    ``used_at`` is when a step first used the answer, ``withdrawn_at`` when the question's branch was abandoned. A commit
    sets both as they are in its row, but it does not open an answered question again: of a row without an answer it leaves
    out ``data`` and ``answered_at`` where the stored one has an answer.
    """

    run_id: str
    requirement_id: str
    session_id: str
    user_id: str | None = None
    workflow_id: str | None = None
    path: str
    kind: str
    created_at: float
    timeout_at: float | None = None
    answered_at: float | None = None
    used_at: float | None = None
    withdrawn_at: float | None = None
    data: bytes


class SignalRow(msgspec.Struct, kw_only=True):
    """A notice from another process to a run: a reason to look, never the only place where a fact is stored.

    ``kind`` is "cancel", "answered" or "message". ``number`` is given by the database and grows with each signal.
    """

    run_id: str
    kind: str
    created_at: float
    data: bytes = b"{}"
    number: int = 0


ORDERS = "!step"
"""The topic of the messages that are orders to a step of the run (``Workflow.cancel_step``). No step receives from it; a
paused run gets a signal of each."""

RECEIVES = "receive:"
"""The beginning of the ``kind`` of a requirement that waits for a message; the topic follows."""


class MessageRow(msgspec.Struct, kw_only=True):
    """A message to a run. Key (run_id, message_id). ``data`` is the encoded value. The database gives ``number``.

    ``expires_at`` and ``only_if_awaited`` are not stored: they are conditions under which ``send`` refuses a new message.
    """

    run_id: str
    message_id: str
    topic: str
    created_at: float
    data: bytes
    number: int = 0
    expires_at: float | None = None
    only_if_awaited: bool = False


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``send``. ``number`` is the message's position among those of its run, ``created_at`` when it was
    stored first; ``repeated``: it had been stored before, and nothing has changed. ``awaited``: the run was waiting for its
    topic."""

    number: int
    created_at: float
    repeated: bool = False
    awaited: bool = False


class DeliveryRow(msgspec.Struct, kw_only=True):
    """An event of a run that is to be sent to a webhook. Key (hook, run_id, seq).

    ``attempts`` counts the claims. ``due_at`` is when it may be claimed, None when it is dead: it failed too often.
    ``error`` is the reason of the last failure. The database sets ``due_at`` of a new one to its own now.
    """

    hook: str
    run_id: str
    seq: int
    workflow_id: str
    created_at: float
    attempts: int = 0
    due_at: float | None = None
    error: str | None = None


class ScheduleRow(msgspec.Struct, kw_only=True):
    """When runs of a workflow are to be queued. Key (workflow_id, name). ``next_at`` is the unix time of the next one,
    ``data`` the encoded schedule."""

    workflow_id: str
    name: str
    next_at: float
    created_at: float = 0.0
    data: bytes = b"{}"


class SessionRow(msgspec.Struct, kw_only=True):
    """A session with its state. ``state`` maps each key to its encoded value; ``version`` counts the writes."""

    session_id: str
    user_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    name: str | None = None
    version: int = 0
    state: dict[str, bytes] = msgspec.field(default_factory=dict)
    metadata: bytes | None = None
    metrics: bytes | None = None
    workflow_data: bytes | None = None
    created_at: float = 0.0
    updated_at: float = 0.0


class SessionPatch(msgspec.Struct, kw_only=True):
    """The changes of a commit to a session; the session is created if it does not exist. None leaves a column as it is.

    ``state`` maps changed keys to encoded values, None deletes the key. ``expected`` maps the same keys to the bytes
    that the writer believes to be stored (None or missing: no such key). ``metrics`` are counters that are added to
    the stored ones.
    """

    session_id: str
    user_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    state: dict[str, bytes | None] = msgspec.field(default_factory=dict)
    expected: dict[str, bytes | None] = msgspec.field(default_factory=dict)
    name: str | None = None
    metadata: bytes | None = None
    metrics: dict[str, float] | None = None
    workflow_data: bytes | None = None
    now: float = 0.0


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """Who may write a run: this owner, at this attempt. ``owner`` None checks the attempt only."""

    run_id: str
    attempt: int
    owner: str | None = None


class Batch(msgspec.Struct, kw_only=True):
    """The content of one commit. ``statuses``: the stored run must be in one of these (None: any, or not there yet);
    otherwise ``RunNotPaused`` and nothing is written. ``create``: the run must not exist yet. ``waits_for``: the ids of the
    questions whose answers the run waits for; if one is answered, ``AnswersArrived`` and nothing is written.
    ``messages_seen``: the number of the last message that the run has seen (None: it waits for none); if there is a later
    one, likewise. ``deliveries`` are stored with ``events``; one that is stored already stays as it is."""

    fence: Fence | None = None
    run: RunRow | None = None
    create: bool = False
    statuses: frozenset[RunStatus] | None = None
    steps: Sequence[StepRow] = ()
    events: Sequence[EventRow] = ()
    requirements: Sequence[RequirementRow] = ()
    session: SessionPatch | None = None
    waits_for: frozenset[str] = frozenset()
    messages_seen: int | None = None
    deliveries: Sequence[DeliveryRow] = ()

    @property
    def is_empty(self) -> bool:
        return self.run is None and self.session is None and not (self.steps or self.events or self.requirements)


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """``session_version`` after the commit (0: the batch had no session); ``cancel_requested`` as stored for the run of
    the batch."""

    session_version: int = 0
    cancel_requested: bool = False


class LeaseState(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a renewal: is the lease still ours, and is there a request to cancel the run? ``renewed`` is False
    where it is ours, but the run was being written: try again soon."""

    held: bool
    cancel_requested: bool = False
    renewed: bool = True


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """``rows``: how many were deleted. ``more``: the limit was reached, so there may be more to delete."""

    rows: int = 0
    more: bool = False


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs of a queue wait, wait for their ``not_before``, are parked, and are RUNNING; ``oldest`` is when the
    oldest of those that wait was created, in unix seconds."""

    queue: str
    waiting: int = 0
    delayed: int = 0
    parked: int = 0
    running: int = 0
    oldest: float | None = None


class DbReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a database. ``place`` has no password; ``version`` is that of its schema (0: it has none); ``size`` in
    bytes, None where it is not known. ``problems``: damage, each with its fix; empty if there are none."""

    place: str
    engine: str
    version: int = 0
    size: int | None = None
    problems: Sequence[str] = ()


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; None means any. ``expired``: only runs whose lease has run out, by the database's clock, and
    ``expired_within``: not more than so many seconds ago. ``signalled``: only runs with a signal that was not taken yet.
    ``tags``: only runs that have all of these. ``since`` and ``until``: ``created_at`` from the one on, and before the
    other."""

    session_id: str | None = None
    user_id: str | None = None
    workflow_id: str | None = None
    parent_run_id: str | None = None
    statuses: frozenset[RunStatus] | None = None
    expired: bool = False
    expired_within: float | None = None
    signalled: bool = False
    tags: frozenset[str] = frozenset()
    since: float | None = None
    until: float | None = None


class BaseDb(ABC):
    """The database contract of the engine. ``open`` is idempotent and is called by every other method's first use."""

    contract = 1
    """Which version of this contract the class keeps: ``CONTRACT``, once it passes ``testing.DbContract``."""

    id: str = "db"

    @abstractmethod
    async def open(self) -> None:
        """Connect and migrate the schema forward. A newer schema than this version knows is a StorageError."""

    @abstractmethod
    async def aclose(self) -> None:
        """Finish the submitted calls, then release everything. The object can be opened again."""

    async def exists(self) -> bool:
        """Whether there is something to open; False where ``open`` would begin a new database."""
        return True

    async def check(self) -> DbReport:
        """Look for damage below the rows; may read all that is stored. A database without checks reports its name only."""
        return DbReport(place=self.id, engine=type(self).__name__)

    async def vacuum(self) -> int | None:
        """Return the space of deleted rows to the disk; may take long, and others may wait. Returns the number of bytes,
        None if the database does not support it."""
        return None

    # -- writing ------------------------------------------------------------------------------------------------------

    @abstractmethod
    async def commit(self, batch: Batch) -> Committed:
        """Write ``batch`` in one transaction. Raises Fenced, ConcurrentWrite, SessionOwnerError, RunNotPaused
        (``statuses``), CancelRequested, AnswersArrived, RunExists (``create`` of a known id), DuplicateRun (``unique``),
        QueueFull (``limits``), StorageError (driver errors);
        after each of them nothing has changed. The signals of a run that ends are taken, and those that
        tell of messages of a run that pauses: it has seen them, or waits for none."""

    @abstractmethod
    async def answer(self, rows: Sequence[RequirementRow]) -> None:
        """Store these rows' ``data`` and ``answered_at``, and a signal "answered" for each of their runs; all or none.

        Raises:
            AlreadyAnswered, QuestionWithdrawn: One of them is not open.
            RunNotPaused: Its run has ended.
            StorageError: It is unknown.
        """

    @abstractmethod
    async def send(self, row: MessageRow) -> Sent:
        """Store a message for a run that has not ended, and a signal "message" for the run, unless it is PAUSED and no open
        requirement waits for the topic (``RECEIVES``): then it is found when the run goes on. A message on ``ORDERS`` always
        leaves its signal. A message whose id is stored
        with the same topic and data is stored no second time, also where the run has ended since.

        Raises:
            RunNotFound: There is no such run.
            MessageConflict: Another message of this id is stored.
            RunEnded: The run has ended.
            CallbackExpired: ``created_at`` is later than ``expires_at``.
            NotAwaited: ``only_if_awaited``, and no open requirement waits for the topic.
        """

    # -- webhooks ------------------------------------------------------------------------------------------------------

    @abstractmethod
    async def claim_deliveries(self, hooks: Sequence[str], *, lease: float, limit: int) -> list[DeliveryRow]:
        """Deliveries to these hooks that are due by the database's now, those due first, each given to one caller: its
        ``attempts`` grows by one, and it is due again after ``lease`` seconds, unless it is settled."""

    @abstractmethod
    async def settle_delivery(self, row: DeliveryRow, *, error: str | None = None, delay: float | None = None) -> bool:
        """The end of the attempt that ``row`` was claimed for. Without ``error`` it was delivered, and is deleted. With
        ``error`` it is due again after ``delay`` seconds; None: it is dead. False, and nothing changes, if it was claimed
        again since."""

    @abstractmethod
    async def list_deliveries(self, *, dead: bool | None = None, limit: int = 100) -> list[DeliveryRow]:
        """Deliveries that are not done, oldest first by (created_at, hook, run_id, seq); ``dead``: only those that are, or
        are not."""

    @abstractmethod
    async def retry_deliveries(self, *, hook: str | None = None, run_id: str | None = None) -> int:
        """Make dead deliveries due now, with no attempts; of one hook and one run, if they are named. How many."""

    @abstractmethod
    async def claim(
        self,
        run_id: str,
        *,
        owner: str,
        now: float,
        lease: float,
        statuses: frozenset[RunStatus],
        expired_only: bool,
        answers: Sequence[RequirementRow] = (),
    ) -> RunRow | None:
        """Become the owner of a run in one of ``statuses`` for ``lease`` seconds, and set it RUNNING with ``attempt + 1``;
        the new row. With ``expired_only`` a run whose lease has not run out is left; a run without one has none to wait
        for. None when nothing was claimed. ``now`` is stored as ``updated_at``. A request to cancel stays, but that of a
        run which had ended is forgotten. The run's signals are taken: what they tell of is read after the claim. With
        ``expired_only`` a RUNNING run that still has an owner counts one more of its ``deaths``; one that had ended has
        none.
        ``answers`` to its questions are stored with the claim, or not at all; raises as ``answer`` does."""

    @abstractmethod
    async def renew(self, leases: Sequence[tuple[Fence, float]]) -> list[LeaseState]:
        """Of each run whose lease is still this owner's at this attempt, let it run out so many seconds from now (0: at
        once, and the run has no owner any more, so that its next claim is no death). What is true of each, in their
        order. However many they are, it is one transaction and a few statements:
        a process renews all of its leases with it."""

    @abstractmethod
    async def claim_next(
        self, queues: Sequence[str], *, workflows: Sequence[str], owner: str, now: float, lease: float
    ) -> RunRow | None:
        """Claim one queued run of these workflows, by id, whose ``not_before`` is not after ``now``: of the first of
        ``queues`` that has one, that of the highest ``priority``, and of these the one that was created first. As
        ``claim`` does; None where there is none. Two callers never get the same run.

        A run is left while one of its limits is reached: as many runs of the key are RUNNING, whether their leases have run
        out or not, as ``concurrency`` says; or as many were claimed in the ``period`` before ``now`` as ``rate`` says. Of
        the same priority, lanes take turns: each counts as created when it was last claimed from. When a run with limits is
        RUNNING no more, those who wait for changes of its queue are woken."""

    @abstractmethod
    async def put_back(self, fence: Fence, *, not_before: float | None) -> bool:
        """Queue a claimed run again that has not started yet. False, and nothing has changed, where the run is not this
        owner's at this attempt any more, or had no queue."""

    @abstractmethod
    async def reschedule(self, run_id: str, *, not_before: float | None) -> bool:
        """Let a queued run wait until ``not_before``: None: it may be taken now; infinite: it is parked. False where the run
        is not queued."""

    @abstractmethod
    async def list_queues(self, *, now: float) -> list[QueueRow]:
        """The queues that have runs which wait or run, by name."""

    @abstractmethod
    async def put_schedule(self, row: ScheduleRow) -> ScheduleRow:
        """Store a schedule, or replace the one of its key; the row as it is stored. One whose ``data`` is the same stays as
        it is, with its ``next_at``; a replaced one keeps its ``created_at``."""

    @abstractmethod
    async def move_schedule(self, row: ScheduleRow, *, next_at: float) -> bool:
        """Set the time of the next run, if the stored schedule has the ``next_at`` and the ``data`` of ``row``. False where
        it has not, or is gone; then nothing has changed."""

    @abstractmethod
    async def delete_schedule(self, workflow_id: str, name: str) -> bool:
        """Delete a schedule. False where there was none."""

    @abstractmethod
    async def list_schedules(
        self, *, workflow_id: str | None = None, due_before: float | None = None
    ) -> list[ScheduleRow]:
        """Schedules by (workflow_id, name), of one workflow; with ``due_before`` those whose ``next_at`` is not later."""

    @abstractmethod
    async def request_cancel(self, run_id: str, *, now: float) -> RunStatus | None:
        """Mark a PENDING, RUNNING or PAUSED run as to be cancelled, and leave a signal "cancel" for it; its status, or None
        when it is not one of those. ``now`` is stored as the time of the request."""

    @abstractmethod
    async def take_signals(self, owner: str) -> list[SignalRow]:
        """The signals for this owner's PENDING and RUNNING runs that were not taken yet, oldest first. Each is returned
        once. Writes only if there are any."""

    @abstractmethod
    async def acquire(self, name: str, *, owner: str, lease: float) -> bool:
        """Take the named lock, or keep it, for ``lease`` seconds, unless another owner holds it."""

    @abstractmethod
    async def release(self, name: str, *, owner: str) -> None:
        """Release the named lock if it is this owner's."""

    @abstractmethod
    async def discard(self, run_id: str) -> bool:
        """Delete a ``reserved`` run whose lease has run out. False where there is none; then nothing has changed."""

    @abstractmethod
    async def delete_session(self, session_id: str, *, now: float | None = None) -> bool:
        """Delete the session with its state, runs, steps, events and requirements. False when there was none.

        All of it disappears at once for other callers, whatever its size. With ``now`` the deletion is remembered: runs of
        the session that were ``created_at`` before it are refused with ``Fenced`` when they are first stored. Deletions
        that are a week older than ``now`` are forgotten."""

    @abstractmethod
    async def prune(
        self,
        *,
        kinds: frozenset[str] | None,
        before: float,
        limit: int,
        workflow_id: str | None = None,
        mark: int = 0,
    ) -> Pruned:
        """Delete at most ``limit`` rows: events of these kinds of finished runs that were last written before
        ``before``, or, with None, such runs whole. Of one workflow, by id of all; of a workflow by ``mark``, then those that
        ended first. A run is kept whole while a run that was forked from it (``RunRow.forked_from``) is stored.

        ``mark`` is 1 or 2: runs that have lost all events of these kinds get it, and runs that have it, or a higher one,
        are not looked at again; at most ``limit`` runs are looked at. 0 looks at all, and marks none. A call finds what is
        due by an index: where nothing is due it reads next to nothing, however many runs are stored."""

    # -- reading ------------------------------------------------------------------------------------------------------

    @abstractmethod
    async def load_run(self, run_id: str) -> RunRow | None: ...

    @abstractmethod
    async def load_steps(self, run_id: str, *, path: str | None = None) -> list[StepRow]:
        """The journal in the order of first writes; with ``path`` that entry alone."""

    @abstractmethod
    async def load_messages(self, run_id: str, *, after: int = 0) -> list[MessageRow]:
        """The messages to a run with a larger ``number`` than ``after``, in their order."""

    @abstractmethod
    async def load_events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> list[EventRow]:
        """Events whose ``last_seq`` is larger than ``after``, in order, at most ``limit``."""

    @abstractmethod
    async def load_requirements(self, run_id: str) -> list[RequirementRow]:
        """All questions of a run, answered ones included, in the order of creation."""

    @abstractmethod
    async def list_requirements(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        workflow_id: str | None = None,
        due_before: float | None = None,
        limit: int = 100,
        after: tuple[float, str] | None = None,
    ) -> list[RequirementRow]:
        """Open questions of PAUSED and RUNNING runs, oldest first by (created_at, requirement_id); ``after`` is the key of
        the last row of the page before. ``due_before``: only those whose ``timeout_at`` is at or before this unix time.
        """

    @abstractmethod
    async def load_session(self, session_id: str) -> SessionRow | None: ...

    @abstractmethod
    async def list_runs(
        self, where: RunFilter, *, limit: int = 50, before: tuple[float, str] | None = None
    ) -> list[RunRow]:
        """Runs newest first by (created_at, run_id); ``before`` is the key of the last row of the page before."""

    @abstractmethod
    async def list_sessions(
        self,
        *,
        user_id: str | None = None,
        workflow_id: str | None = None,
        limit: int = 50,
        before: tuple[float, str] | None = None,
    ) -> list[SessionRow]:
        """Sessions newest first by (created_at, session_id), without their state."""

    @abstractmethod
    async def changed(self, run_id: str, *, seen: int, timeout: float) -> bool:
        """Wait until the run's stored row or events may differ from what they were at ``seq`` = ``seen``, or for
        ``timeout`` seconds. A wake-up too many is allowed, one too few is not. False on time-out.

        ``rules.queue_key(name)`` in the place of a run's id waits for runs that are queued there; where some wait already,
        that is reported after ``rules.RECHECK`` seconds.

        Answers count, renewals of the lease do not. A write that left ``seq`` as it is and came before this call may be
        reported up to ``rules.RECHECK`` seconds late, so that a loop around this call cannot spin."""
