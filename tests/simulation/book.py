"""The book: what was seen of a case, and the rules that hold at every moment.

Steps, callers, readers and the database say here what happens. A rule that is broken is noted once, by its name; the rest
of the case is still played. Rules of the end are in ``verdict``.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, NamedTuple

from workflow_runtime import InMemoryDb, RunContext, RunStatus
from workflow_runtime.model import codec
from workflow_runtime.storage.base import EventRow, RunRow

from .world import SimProcess, World

__all__ = ["Book", "Broken", "Reader", "read"]


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
        self.process: SimProcess | None = None


class _Before(NamedTuple):
    """What was stored of the subject of a call before it."""

    run: RunRow | None
    state: dict[str, bytes]


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
    def __init__(self, world: World, server: InMemoryDb) -> None:
        self.world, self.server = world, server
        self.broken: list[Broken] = []
        self.database_failed = False  # from then on a run may end as ERROR, and a call may raise StorageError
        self.cancel_asked: set[str] = set()
        self.caller_left = False
        self.granted: dict[str, float] = {}  # runs whose cancel was granted, and when
        self.promised: dict[str, str] = {}  # runs that somebody was told of, and how
        self.ends: list[tuple[str, RunStatus, int]] = []  # what callers and readers saw as the end of a run
        self.callers: dict[str, SimProcess] = {}  # runs whose caller waits, and where
        self.readers: list[Reader] = []
        self._logged: dict[str, tuple[int, int]] = {}  # the last number and epoch of each checked log

    def wrong(self, rule: str, *words: object) -> None:
        text = " ".join(map(str, words))
        self.world.note("WRONG", rule, text)
        if all(rule != broken.rule for broken in self.broken):
            self.broken.append(Broken(rule, text))

    def pause(self) -> float:
        """How long a step works at something."""
        return self.world.rng.choice([0.001, 0.01, 0.1, 0.4])

    def stored(self, run_id: str) -> RunRow | None:
        row: RunRow | None = read(self.server.load_run(run_id))
        return row

    def events(self, run_id: str, after: int = 0) -> list[EventRow]:
        rows: list[EventRow] = read(self.server.load_events(run_id, after=after, limit=100_000))
        return rows

    def run_ids(self) -> list[str]:
        return list(self.server._runs.by_id)

    # -- what steps say ------------------------------------------------------------------------------------------------

    def _is_owner(self, context: RunContext) -> bool:
        """Whether this step works for the attempt that the database knows; another one may not know yet that it is over."""
        row = self.stored(context.run_id)
        return row is None or row.attempt == attempt_of(context)

    def _record(self, context: RunContext, path: str) -> Any:
        return next((row for row in read(self.server.load_steps(context.run_id)) if row.path == path), None)

    def entered(self, context: RunContext) -> None:
        if not self._is_owner(context):
            return
        record = self._record(context, context.path)
        if record is not None and record.status == "done":
            self.wrong("ran-again", context.run_id, context.path, "is stored as done")
        row = self.stored(context.run_id)
        if row is not None and row.status.is_final:
            self.wrong("works-after-end", context.run_id, context.path, "the run is", row.status)

    def paid(self, context: RunContext) -> str:
        path = f"{context.path}!once:pay"
        if self._is_owner(context) and self._record(context, path) is not None:
            self.wrong("paid-twice", context.run_id, path)
        return "paid"

    def answered(self, context: RunContext, value: object) -> None:
        rows = [row for row in read(self.server.load_requirements(context.run_id)) if row.path == context.path]
        values = [_value(row.data) for row in rows if row.answered_at is not None]
        if value not in values:
            self.wrong("answer-from-nowhere", context.run_id, context.path, value, "stored:", values)

    # -- what the database says ----------------------------------------------------------------------------------------

    def before(self, name: str, args: tuple[Any, ...]) -> _Before:
        if name != "commit":
            return _Before(None, {})
        (batch,) = args
        session = batch.session and read(self.server.load_session(batch.session.session_id))
        return _Before(self.stored(batch.run.run_id) if batch.run else None, session.state if session else {})

    def after(
        self,
        name: str,
        args: tuple[Any, ...],
        value: object,
        error: Exception | None,
        before: _Before,
        process: SimProcess,
    ) -> None:
        if name != "commit" or error is not None:
            return
        (batch,) = args
        row, run = before.run, batch.run
        if row is not None and row.status.is_final and run is not None and run.data != row.data:
            self.wrong("end-changed", run.run_id, row.status, "->", run.status, "by", process.name)
        if row is not None and run is not None and run.attempt < row.attempt:
            self.wrong("old-attempt-wrote", run.run_id, run.attempt, "over", row.attempt)
        if batch.session is not None and "count" in batch.session.state:
            self._check_count(before.state.get("count"), batch.session.state["count"], process)
        if batch.events:
            self.check_log(batch.events[0].run_id)

    def _check_count(self, before: bytes | None, after: bytes | None, process: SimProcess) -> None:
        """Each edit adds one to the counter, alone."""
        old = codec.decode_value(before) if before is not None else 0
        new = codec.decode_value(after) if after is not None else 0
        if new not in (old, old + 1):
            self.wrong("edit-taken-back", f"count {old} -> {new} by {process.name}")

    def check_log(self, run_id: str) -> None:
        last, epoch = self._logged.get(run_id, (0, 0))
        for row in self.events(run_id, last):
            if row.seq != last + 1:
                self.wrong("log-gap", run_id, f"{last} -> {row.seq}")
            if row.epoch < epoch:
                self.wrong("log-epoch", run_id, f"epoch {epoch} -> {row.epoch} at {row.seq}")
            last, epoch = row.last_seq, row.epoch
        self._logged[run_id] = (last, epoch)

    # -- what callers and readers say ----------------------------------------------------------------------------------

    def saw_end(self, where: str, run_id: str, status: RunStatus, seq: int) -> None:
        """Somebody was shown this end. Nobody sees one that is not stored, unless the database failed."""
        if status is RunStatus.error and self.database_failed:
            return
        row = self.stored(run_id)
        if row is None or row.status is not status:
            self.wrong("end-not-stored", where, run_id, status, "stored:", row and row.status)
        self.ends.append((run_id, status, seq))


def _value(data: bytes) -> object:
    return (codec.decode_requirement(data).user_input or {}).get("value")
