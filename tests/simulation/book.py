"""The book: what was seen of a case, and the rules for what steps, callers and readers see while it is played.

A rule that is broken is noted once, by its name; the rest of the case is still played. Rules for what the database is told
are in ``stored``, those of the end in ``verdict``.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from workflow_runtime import AnswerRejected, InMemoryDb, RunContext, RunStatus
from workflow_runtime.model import codec
from workflow_runtime.storage.base import EventRow, RequirementRow, RunFilter, RunRow, StepRow

from .drawing import Case
from .world import SimProcess, World

__all__ = ["Book", "Broken", "Reader", "read"]

LEASE = 2.0
CANCEL_SECONDS = 3.0  # in calm weather, no step begins that long after a granted cancel


class Broken(NamedTuple):
    """A rule that was broken, and how."""

    rule: str
    text: str


class Reader:
    """A client far away that follows a run: what it has seen outlives the process that serves it."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.seen: list[tuple[int, int, int, str]] = []  # epoch, first and last number, kind
        self.after: Any = 0
        self.done = False


class Final(NamedTuple):
    """A run as it was when its end was stored: it may be pruned later."""

    row: RunRow
    events: list[EventRow]
    requirements: list[RequirementRow]


def read(call: Coroutine[Any, Any, Any]) -> Any:
    """The result of a call of InMemoryDb, which never waits."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the call awaited something")


def attempt_of(context: RunContext) -> int:
    """The attempt of the run that this step works for."""
    return context._frame.run.epoch


class Book:
    def __init__(self, case: Case, world: World, server: InMemoryDb) -> None:
        self.case, self.world, self.server = case, world, server
        self.broken: list[Broken] = []
        self.database_failed = False  # from then on a run may end as ERROR, and a call may raise StorageError
        self.disturbed_until = 0.0  # when a process was last frozen, or the database slow or failing
        self.cancel_asked: set[str] = set()
        self.caller_left = False  # a caller was cancelled, and its run with it
        self.shut_down = False  # a Runtime may have cancelled runs
        self.granted: dict[str, float] = {}  # runs whose cancel was granted, and when
        self.promised: dict[str, str] = {}  # runs that somebody was told of, and how
        self.ends: list[tuple[str, RunStatus, int]] = []  # what callers and readers saw as the end of a run
        self.callers: dict[str, SimProcess] = {}  # who waits for which run, and where
        self.readers: list[Reader] = []
        self.finals: dict[str, Final] = {}
        self.entries: dict[tuple[str, str], set[int]] = {}  # by run and path: the attempts that entered the step
        self.recoveries: dict[str, int] = {}  # by run: how often it was taken over while it ran
        self._working: dict[str, list[tuple[str, SimProcess]]] = {}  # by session: the runs at work in a step

    def wrong(self, rule: str, *words: object) -> None:
        text = " ".join(map(str, words))
        self.world.note("WRONG", rule, text)
        if all(rule != broken.rule for broken in self.broken):
            self.broken.append(Broken(rule, text))

    def pause(self) -> float:
        """How long a step works at something."""
        return self.world.rng.choice([0.001, 0.01, 0.1, 0.4])

    def disturb(self, seconds: float) -> None:
        """For so long, and for a lease after that, things may take any time."""
        self.disturbed_until = max(self.disturbed_until, self.world.now + seconds)

    @property
    def is_calm(self) -> bool:
        return self.world.now > self.disturbed_until + 2 * LEASE

    # -- what is stored ------------------------------------------------------------------------------------------------

    def stored(self, run_id: str) -> RunRow | None:
        row: RunRow | None = read(self.server.load_run(run_id))
        return row

    def known(self, run_id: str) -> RunRow | None:
        """The stored run, or as it was when it ended, where it has been pruned since."""
        row = self.stored(run_id)
        return row or (self.finals[run_id].row if run_id in self.finals else None)

    def events(self, run_id: str, after: int = 0) -> list[EventRow]:
        rows: list[EventRow] = read(self.server.load_events(run_id, after=after, limit=100_000))
        return rows

    def requirements(self, run_id: str) -> list[RequirementRow]:
        rows: list[RequirementRow] = read(self.server.load_requirements(run_id))
        return rows

    def stored_ids(self) -> list[str]:
        """Of the runs that are stored now, the oldest first."""
        rows: list[RunRow] = read(self.server.list_runs(RunFilter(), limit=10_000))
        return [row.run_id for row in reversed(rows)]

    def known_ids(self) -> list[str]:
        """Of all runs that have ended, or are stored."""
        return list(dict.fromkeys([*self.finals, *self.stored_ids()]))

    def known_events(self, run_id: str) -> list[EventRow]:
        """The log, or as it was when the run ended."""
        return self.finals[run_id].events if run_id in self.finals else self.events(run_id)

    def known_requirements(self, run_id: str) -> list[RequirementRow]:
        """The questions, or as they were when the run ended."""
        return self.finals[run_id].requirements if run_id in self.finals else self.requirements(run_id)

    # -- what steps say ------------------------------------------------------------------------------------------------

    def _is_owner(self, context: RunContext) -> bool:
        """Whether this step works for the attempt that the database knows; another one may not know yet that it is over."""
        row = self.stored(context.run_id)
        return row is None or row.attempt == attempt_of(context)

    def _record(self, context: RunContext, path: str) -> StepRow | None:
        return next((row for row in read(self.server.load_steps(context.run_id)) if row.path == path), None)

    @contextmanager
    def working(self, context: RunContext) -> Iterator[None]:
        """Inside, the function of a step works."""
        self._entered(context)
        mine = self._begin_work(context)
        try:
            yield
        finally:
            self._end_work(context, mine)

    @contextmanager
    def asking(self, context: RunContext) -> Iterator[None]:
        """Inside, it waits for a person."""
        process = self.world.running
        assert process is not None
        at_work, mine = self._working.get(context.session_id, []), (context.run_id, process)
        was_working = mine in at_work
        if was_working:
            at_work.remove(mine)
        try:
            yield
        except AnswerRejected:
            if was_working:
                self._begin_work(context)
            raise
        if was_working:  # and not evicted or cancelled
            self._begin_work(context)

    def _begin_work(self, context: RunContext) -> tuple[str, SimProcess]:
        """With every policy but "merge", the runs of a session work one after the other."""
        process = self.world.running
        assert process is not None
        at_work = self._working.setdefault(context.session_id, [])
        others = {run_id for run_id, where in at_work if run_id != context.run_id and not where.dead}
        if others and self.case["policy"] != "merge" and self.disturbed_until == 0 and self._is_owner(context):
            self.wrong("two-at-once", context.run_id, context.path, "works beside", *sorted(others))
        at_work.append((context.run_id, process))
        return at_work[-1]

    def _end_work(self, context: RunContext, mine: tuple[str, SimProcess]) -> None:
        at_work = self._working[context.session_id]
        if mine in at_work:
            at_work.remove(mine)

    def _entered(self, context: RunContext) -> None:
        run_id, path = context.run_id, context.path
        if not self._is_owner(context):
            return
        self.entries.setdefault((run_id, path), set()).add(attempt_of(context))
        record = self._record(context, path)
        if record is not None and record.status == "done":
            self.wrong("ran-again", run_id, path, "is stored as done")
        row = self.stored(run_id)
        if row is not None and row.status.is_final:
            self.wrong("works-after-end", run_id, path, "the run is", row.status)
        granted = self.granted.get(run_id)
        if granted is not None and self.is_calm and self.world.now > granted + CANCEL_SECONDS:
            self.wrong("works-after-cancel", run_id, path, f"granted at {granted:.2f}")

    def paid(self, context: RunContext) -> str:
        path = f"{context.path}!once:pay"
        if self._is_owner(context) and self._record(context, path) is not None:
            self.wrong("paid-twice", context.run_id, path)
        return "paid"

    def undone(self, context: RunContext) -> None:
        """The compensation of a step is called: the step is stored as done, and what came of the compensation is not."""
        if not self._is_owner(context) or self.case["durability"] == "exit":
            return
        path = context.path.rpartition("!compensate")[0]
        record = self._record(context, path)
        if record is None or record.status != "done":
            self.wrong("undone-not-done", context.run_id, path)
        if self._record(context, context.path) is not None:
            self.wrong("undone-twice", context.run_id, path)

    def answered(self, context: RunContext, value: object) -> None:
        rows = [row for row in self.requirements(context.run_id) if row.path == context.path]
        values = [_value(row.data) for row in rows if row.answered_at is not None]
        if value not in values:
            self.wrong("answer-from-nowhere", context.run_id, context.path, value, "stored:", values)

    # -- what callers and readers say ----------------------------------------------------------------------------------

    def saw_end(self, where: str, run_id: str, status: RunStatus, seq: int) -> None:
        """Somebody was shown this end. Nobody sees one that is not stored, unless the database failed."""
        if status is RunStatus.error and self.database_failed:
            return
        row = self.known(run_id)
        if row is None or row.status is not status:
            self.wrong("end-not-stored", where, run_id, status, "stored:", row and row.status)
        self.ends.append((run_id, status, seq))


def _value(data: bytes) -> object:
    return (codec.decode_requirement(data).user_input or {}).get("value")
