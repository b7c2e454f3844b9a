"""The tables of ``InMemoryDb``, and the orders in which runs and sessions are listed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from copy import copy
from heapq import heapify, heappop

from ..model.enums import RunStatus
from . import rules
from .base import EventRow, LimitRow, MessageRow, RequirementRow, RunFilter, RunRow, SignalRow, StepRow
from .rules import ACTIVE, CANCELLABLE, matches, requirement_to_store

__all__ = ["Ordered", "RunTable", "StoredRun"]

Key = tuple[float, str]


class Ordered:
    """A sorted set of (created_at, id). Adding at the end, which is what happens, costs O(1)."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def add(self, key: Key) -> None:
        insort(self._keys, key)

    def remove(self, key: Key) -> None:
        del self._keys[bisect_left(self._keys, key)]

    def newest_first(self, before: Key | None) -> Iterator[str]:
        """Ids from the newest on, or from below ``before``."""
        end = len(self._keys) if before is None else bisect_left(self._keys, before)
        for position in range(end - 1, -1, -1):
            yield self._keys[position][1]

    def oldest_first(self) -> list[str]:
        return [name for _, name in self._keys]

    def first(self, before: float, limit: int | None) -> list[str]:
        """The first ids, at most ``limit``, whose time is before ``before``."""
        end = bisect_left(self._keys, (before, ""))
        return [name for _, name in self._keys[: end if limit is None else min(end, limit)]]

    def __len__(self) -> int:
        return len(self._keys)


class StoredRun:
    """One run's rows. ``row`` is None if only steps, events or questions were written so far."""

    __slots__ = (
        "_seqs",
        "events",
        "keys",
        "limits",
        "mark",
        "messages",
        "requirements",
        "row",
        "signals",
        "steps",
        "tags",
        "touched",
    )

    def __init__(self) -> None:
        self.row: RunRow | None = None
        self.touched = 0
        self.tags: frozenset[str] = frozenset()
        self.limits: tuple[str, ...] = ()  # their keys
        self.keys: tuple[str, ...] = ()  # those, and its ``unique`` text
        self.mark = 0  # the kinds of events that ``prune`` has deleted
        self.steps: dict[str, StepRow] = {}
        self.events: list[EventRow] = []
        self._seqs: list[int] = []
        self.requirements: dict[str, RequirementRow] = {}
        self.messages: dict[str, MessageRow] = {}  # by id, in the order of their numbers
        self.signals: list[SignalRow] = []  # that were not taken yet

    @property
    def is_empty(self) -> bool:
        return self.row is None and not (self.steps or self.events or self.requirements)

    @property
    def tail(self) -> int:
        return self.events[-1].last_seq if self.events else 0

    def put_step(self, row: StepRow) -> None:
        new, old = copy(row), self.steps.get(row.path)
        if old is not None:
            new.position = old.position
        self.steps[row.path] = new

    def put_event(self, row: EventRow) -> None:
        at = bisect_left(self._seqs, row.seq)
        if at < len(self._seqs) and self._seqs[at] == row.seq:
            self.events[at] = copy(row)
        else:
            self._seqs.insert(at, row.seq)
            self.events.insert(at, copy(row))

    def put_requirement(self, row: RequirementRow) -> None:
        old = self.requirements.get(row.requirement_id)
        self.requirements[row.requirement_id] = requirement_to_store(old, row)

    def events_after(self, after: int, limit: int) -> list[EventRow]:
        # Rows do not overlap, so at most one of those that start at or before ``after`` ends after it.
        at = bisect_right(self._seqs, after)
        if at and self.events[at - 1].last_seq > after:
            at -= 1
        return [copy(row) for row in self.events[at : at + limit]]

    def drop_events(self, kinds: frozenset[str], limit: int) -> int:
        """Forget the oldest ``limit`` events of ``kinds``. How many went."""
        gone = [row.seq for row in self.events if row.kind in kinds][:limit]
        if gone:
            left = set(gone)
            self.events = [row for row in self.events if row.seq not in left]
            self._seqs = [row.seq for row in self.events]
        return len(gone)


class RunTable:
    """Runs by id, with the orders that listings need. A run's cost does not grow with those before it."""

    def __init__(self) -> None:
        self.by_id: dict[str, StoredRun] = {}
        # Each by session, and under None of all sessions; ``live`` holds those that have not ended.
        self._all: dict[str | None, Ordered] = {}
        self._live: dict[str | None, Ordered] = {}
        # Runs that have ended, by workflow ("" for none) and mark, in the order of their ends; forks by their origins.
        self._ended: dict[tuple[str, int], Ordered] = {}
        self._forks: dict[str, set[str]] = {}
        # Queued runs by queue, in the order in which they are taken.
        self._queued: dict[str, list[tuple[int, float, str]]] = {}
        # Queued runs with limits by queue, and workflow, priority (negative) and lane; when a lane was claimed from.
        self._lanes: dict[str, dict[tuple[str, int, str], list[Key]]] = {}
        self._served: dict[tuple[str, tuple[str, int, str]], tuple[float, int]] = {}
        self._turn = 0
        self._limits: dict[str, LimitRow] = {}
        self._of_key: dict[tuple[str, RunStatus], dict[str, None]] = {}
        self._claims: dict[str, dict[str, float]] = {}
        self._signals = 0
        self._signalled: dict[str, None] = {}

    def row(self, run_id: str | None) -> RunRow | None:
        found = None if run_id is None else self.by_id.get(run_id)
        return None if found is None else found.row

    def ensure(self, run_id: str) -> StoredRun:
        found = self.by_id.get(run_id)
        if found is None:
            found = self.by_id[run_id] = StoredRun()
        return found

    def put(self, row: RunRow) -> None:
        """Store ``row`` (the caller gives it away)."""
        run = self.ensure(row.run_id)
        old, run.row = run.row, row
        if old is None:
            run.tags = frozenset(row.tags)
            run.limits = tuple(limit.key for limit in row.limits)
            run.keys = tuple(rules.counted_keys(row))
            self._limits.update({limit.key: limit for limit in row.limits})
        row.tags, row.limits, row.unique = (), (), None
        self._count(run, old, row)
        if old is None or row.seq <= old.seq:
            run.touched = row.seq
        if old is not None:
            self._put_aside(old, run.mark, there=False)
        if not row.status.is_final:
            run.mark = 0
        self._put_aside(row, run.mark, there=True)
        if row.queue is not None:
            self._unqueue(old)
            if rules.is_queued(row) and row.lane is not None:
                lanes = self._lanes.setdefault(row.queue, {})
                insort(lanes.setdefault(_lane(row), []), (row.created_at, row.run_id))
            elif rules.is_queued(row):
                insort(self._queued.setdefault(row.queue, []), (-row.priority, row.created_at, row.run_id))
        if (
            old is None
            or old.created_at != row.created_at
            or (old.status in CANCELLABLE) != (row.status in CANCELLABLE)
        ):
            if old is not None:
                self._unlist(old)
            self._list(row)

    def delete(self, run_id: str) -> None:
        self._signalled.pop(run_id, None)
        run = self.by_id.pop(run_id)
        row = run.row
        if row is not None:
            self._unlist(row)
            self._put_aside(row, run.mark, there=False)
            self._unqueue(row)
            self._count(run, row, None)
            self._let_go(rules.origin(row))

    def _let_go(self, origin: str | None) -> None:
        """One of its forks is gone: it may be pruned, unless there are others."""
        run = None if origin is None else self.by_id.get(origin)
        if run is not None and run.mark == rules.KEPT:
            self._set_mark(run, rules.KEPT - 1)

    def _put_aside(self, row: RunRow, mark: int, *, there: bool) -> None:
        """Enter the row in the lists that ``prune`` reads, or take it out."""
        origin = rules.origin(row)
        if origin is not None and there:
            self._forks.setdefault(origin, set()).add(row.run_id)
        elif origin is not None:
            self._forks[origin].discard(row.run_id)
            if not self._forks[origin]:
                del self._forks[origin]
        if row.status.is_final:
            ended = self._ended.setdefault((row.workflow_id or "", mark), Ordered())
            (ended.add if there else ended.remove)((row.updated_at, row.run_id))

    def set_mark(self, run_id: str, mark: int) -> None:
        """Record which events of a run were deleted."""
        self._set_mark(self.by_id[run_id], mark)

    def _set_mark(self, run: StoredRun, mark: int) -> None:
        if run.row is not None:
            self._put_aside(run.row, run.mark, there=False)
            run.mark = mark
            self._put_aside(run.row, mark, there=True)

    def has_forks(self, run_id: str) -> bool:
        return run_id in self._forks

    def old(self, workflow_id: str | None, marks: range, before: float, limit: int | None) -> list[str]:
        """The runs of a workflow (None: of all) that have ended before ``before``, with one of these marks."""
        names = sorted({name for name, _ in self._ended}) if workflow_id is None else [workflow_id]
        found: list[str] = []
        for name in names:
            for mark in marks:
                ended = self._ended.get((name, mark))
                if ended is not None:
                    found += ended.first(before, None if limit is None else limit - len(found))
        return found

    def signal(self, signal: SignalRow) -> None:
        """Keep a signal until the run's owner takes it."""
        self._signals += 1
        signal.number = self._signals
        self.by_id[signal.run_id].signals.append(signal)
        self._signalled[signal.run_id] = None

    def take_signals(self, run_id: str, kind: str | None = None) -> list[SignalRow]:
        """The signals of one run, or those of one kind, that were not taken yet; each is returned once."""
        run = self.by_id.get(run_id)
        if run is None:
            return []
        taken = [signal for signal in run.signals if kind in (None, signal.kind)]
        run.signals = [signal for signal in run.signals if kind not in (None, signal.kind)]
        if not run.signals:
            self._signalled.pop(run_id, None)
        return taken

    def signalled(self, owner: str) -> list[str]:
        """The active runs of ``owner`` that have signals."""
        rows = [self.row(run_id) for run_id in self._signalled]
        return [row.run_id for row in rows if row is not None and row.owner == owner and row.status in ACTIVE]

    def of_session(self, session_id: str) -> list[str]:
        return self._all[session_id].oldest_first() if session_id in self._all else []

    def _count(self, run: StoredRun, old: RunRow | None, new: RunRow | None) -> None:
        """Move the run from its old status to its new one under each of its keys."""
        for key in run.keys:
            if old is not None:
                held = self._of_key[key, old.status]
                del held[old.run_id]
                if not held:
                    del self._of_key[key, old.status]
                if new is None:
                    self._claims.get(key, {}).pop(old.run_id, None)
            if new is not None:
                self._of_key.setdefault((key, new.status), {})[new.run_id] = None
            elif not any((key, status) in self._of_key for status in RunStatus):
                self._limits.pop(key, None)
                self._claims.pop(key, None)

    def duplicate(self, row: RunRow) -> str | None:
        """The run that has the ``unique`` text of ``row`` and has not ended."""
        if row.unique is None:
            return None
        return next((name for status in CANCELLABLE for name in self._of_key.get((row.unique, status), ())), None)

    def queued(self, row: RunRow) -> dict[str, int]:
        """How many runs wait of each of the keys of ``row``."""
        return {limit.key: len(self._of_key.get((limit.key, RunStatus.PENDING), ())) for limit in row.limits}

    def note_claim(self, row: RunRow, now: float) -> None:
        """The run was claimed from its queue."""
        for key in self.by_id[row.run_id].limits:
            claims = self._claims.setdefault(key, {})
            for name in [name for name, at in claims.items() if at <= now - self._limits[key].period]:
                del claims[name]
            claims[row.run_id] = now
        if row.queue in self._lanes and _lane(row) in self._lanes[row.queue]:
            self._turn += 1
            self._served[row.queue, _lane(row)] = now, self._turn

    def _is_full(self, run_id: str, now: float) -> bool:
        for key in self.by_id[run_id].limits:
            limit = self._limits[key]
            claims = self._claims.get(key, {})
            begun = sum(at > now - limit.period for at in claims.values())
            if rules.is_full(limit, running=len(self._of_key.get((key, RunStatus.RUNNING), ())), begun=begun):
                return True
        return False

    def _free_lanes(
        self, queue: str, workflows: Sequence[str] | None, now: float
    ) -> Iterator[tuple[int, float, int, str]]:
        """The first run of each lane whose limits are not reached, with its place among the others, in their order."""
        places: list[tuple[int, float, int, str]] = []
        for lane, waiting in self._lanes.get(queue, {}).items():
            workflow_id, priority, _ = lane
            if workflows is not None and workflow_id not in workflows:
                continue
            first = next((key for key in waiting if self._is_due(key[1], now)), None)
            if first is not None:
                places.append((priority, *self._served.get((queue, lane), (first[0], 0)), first[1]))
        heapify(places)
        while places:
            place = heappop(places)
            if not self._is_full(place[-1], now):
                yield place

    def _is_due(self, run_id: str, now: float) -> bool:
        row = self.by_id[run_id].row
        return row is not None and rules.is_due(row, now)

    def _unqueue(self, row: RunRow | None) -> None:
        if row is None or row.queue is None or not rules.is_queued(row):
            return
        if row.lane is not None:
            lanes = self._lanes[row.queue]
            waiting = lanes[_lane(row)]
            del waiting[bisect_left(waiting, (row.created_at, row.run_id))]
            if not lanes[_lane(row)]:
                del lanes[_lane(row)]
                self._served.pop((row.queue, _lane(row)), None)
        else:
            queued = self._queued[row.queue]
            del queued[bisect_left(queued, (-row.priority, row.created_at, row.run_id))]
            if not queued:
                del self._queued[row.queue]

    def first_due(self, queues: Sequence[str], workflows: Sequence[str], now: float) -> RunRow | None:
        """The queued run that is to be taken next."""
        for queue in queues:
            found = next(self._free_lanes(queue, workflows, now), None)
            for priority, created_at, run_id in self._queued.get(queue, ()):
                row = self.by_id[run_id].row
                if row is not None and rules.is_due(row, now) and row.workflow_id in workflows:
                    place = (priority, created_at, 0, run_id)
                    found = place if found is None else min(found, place)
                    break
            if found is not None:
                return self.by_id[found[-1]].row
        return None

    def is_waiting(self, queue: str, now: float) -> bool:
        """Whether a run of ``queue`` has no time to wait for, and no limit."""
        return any(self._free_lanes(queue, None, now)) or any(
            row is not None and row.not_before is None
            for *_, run_id in self._queued.get(queue, ())
            for row in [self.by_id[run_id].row]
        )

    def with_queue(self) -> list[RunRow]:
        """The queued runs, and those of a queue that have not ended."""
        listed = self._live.get(None)
        rows = (self.by_id[run_id].row for run_id in (() if listed is None else listed.oldest_first()))
        return [row for row in rows if row is not None and row.queue is not None]

    def newest_first(self, where: RunFilter, before: Key | None, now: float) -> Iterator[RunRow]:
        """The runs that match, newest first; only those that have not ended are looked at when only they can match."""
        live = where.expired or (where.statuses is not None and where.statuses <= CANCELLABLE)
        listed = (self._live if live else self._all).get(where.session_id)
        for run_id in () if listed is None else listed.newest_first(before):
            row = self.by_id[run_id].row
            if row is None or not matches(row, where, now) or not where.tags <= self.by_id[run_id].tags:
                continue
            if not where.signalled or run_id in self._signalled:
                yield row

    def _list(self, row: RunRow) -> None:
        for lists in (self._all, self._live) if row.status in CANCELLABLE else (self._all,):
            for name in (row.session_id, None):
                if name not in lists:
                    lists[name] = Ordered()
                lists[name].add((row.created_at, row.run_id))

    def _unlist(self, row: RunRow) -> None:
        for lists in (self._all, self._live) if row.status in CANCELLABLE else (self._all,):
            for name in (row.session_id, None):
                lists[name].remove((row.created_at, row.run_id))
                if not len(lists[name]):
                    del lists[name]


def _lane(row: RunRow) -> tuple[str, int, str]:
    return row.workflow_id or "", -row.priority, row.lane or ""
