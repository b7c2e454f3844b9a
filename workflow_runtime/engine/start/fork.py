"""Forks: a new run that shares the recorded prefix of another one, by reference. (D7)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ...core.journal import BEGUN, COMPENSATION, DONE, FAILURE, GIVEN_UP, INPUT, OPEN, VOID, Journal, Record, within
from ...core.plan import Node
from ...core.state import merged
from ...model import codec
from ...model.errors import RunNotFound, StorageError
from ...model.step_io import StepOutput
from ...model.unreadable import Unreadable
from ...storage.base import BaseDb, RunRow, StepRow
from ..bus.state_versions import START
from ..bus.states import DAMAGED, with_states
from ..bus.step_rows import row_to_record
from ..run.undo import result_of

__all__ = ["HistoryEntry", "Prefix", "journal_of", "load_history", "load_journal", "load_prefix", "load_steps"]

HIDDEN = (START, "!working")  # rows that are no entries of the journal


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a run's journal. Times are unix seconds; ``status`` is "done", "open" (entered, not ended), "failed" (it
    failed, and was neither skipped nor tried again) or "memo". An entry of kind "compensation" is "done" if the effects of
    the step were undone, and else "failed".

    ``error``, ``error_type`` and ``traceback`` are of its last attempt that failed, also where a later one succeeded or
    the step was skipped. The traceback is text without this package's frames, at most 8,000 characters.

    ``changes`` are the keys of the session state that were recorded with it, each with its value before and after (None:
    not there).
    """

    path: str
    kind: str
    status: str
    attempt: int = 1
    started_at: float | None = None
    finished_at: float | None = None
    output: StepOutput | None = None
    decision: Any = None
    value: Any = None
    changes: dict[str, tuple[Any, Any]] | None = None
    error: str | None = None
    error_type: str | None = None
    traceback: str | None = None


class Prefix(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork starts with: the records that stand, and the session state of that moment."""

    source: RunRow
    cut: int
    records: list[Record]
    state: dict[str, Any]


async def load_steps(db: BaseDb, row: RunRow, heirs: tuple[str, ...] = (), *, states: bool = False) -> list[StepRow]:
    """The journal of a run: its own rows, over those that it shares with the run that it was forked from. What that run has
    begun or undone is not the fork's. ``states``: with the session state of steps that have ended, and of the start, and
    with the rows of records that do not hold any more, but whose changes of the state do."""
    own = await db.load_steps(row.run_id)
    if not own and await db.load_run(row.run_id) is None:
        raise RunNotFound(f"run {row.run_id!r} is not stored any more: it was deleted or pruned a moment ago")
    own = await with_states(db, own, row.session_id, done=states)
    if row.forked_from is None:
        return [item for item in own if _holds(item)]
    parent_id, _, cut = row.forked_from.rpartition("@")
    if parent_id in heirs or not cut.isdecimal():
        raise StorageError(f"run {row.run_id!r} is stored as forked from {row.forked_from!r}, which cannot be")
    parent = await db.load_run(parent_id)
    if parent is None:
        raise RunNotFound(
            f"run {row.run_id!r} shares its beginning with run {parent_id!r}, which is not stored any more"
        )
    known = {item.path for item in own}
    shared = _before(await load_steps(db, parent, (*heirs, row.run_id), states=states), int(cut))
    found = [*(item for item in shared if item.path not in known and not _is_of_undoing(item.path)), *own]
    return [item for item in found if _holds(item)]


def _holds(row: StepRow) -> bool:
    """Whether the row says something: of a record that does not hold any more, what it has changed of the state."""
    return row.status != VOID or row.state is not None


def _is_of_undoing(path: str) -> bool:
    return COMPENSATION in path or path.endswith((BEGUN, GIVEN_UP))


async def load_journal(db: BaseDb, row: RunRow) -> list[Record]:
    """The records of a run, shared ones included."""
    return journal_of(await load_steps(db, row), row.run_id)


def journal_of(rows: list[StepRow], run_id: str) -> list[Record]:
    """The records that these rows are. What the run has not done itself is not its own to undo."""
    found: list[Record] = []
    for item in rows:
        if item.path not in HIDDEN:
            record = row_to_record(item)
            if item.run_id != run_id:
                record.order = None
            found.append(record)
    return found


async def load_history(db: BaseDb, row: RunRow) -> list[HistoryEntry]:
    """The journal of a run as a person reads it, shared entries included, in the order of first writes."""
    found: list[HistoryEntry] = []
    state: dict[str, Any] = {}
    rows = sorted(await load_steps(db, row, states=True), key=lambda item: item.position)
    failures = {item.path.removesuffix(FAILURE): item for item in rows if item.path.endswith(FAILURE)}
    places = {item.path: item.run_id for item in rows if item.status != VOID}
    for item in rows:
        changes = _patch(state, item)
        if item.status == VOID or item.path in HIDDEN or item.path.endswith(INPUT):
            continue
        if item.path.endswith(FAILURE):
            step = item.path.removesuffix(FAILURE)
            if step not in places and item.run_id == row.run_id:  # of a fork's origin it says nothing about the fork
                found.append(_failed(step, row_to_record(item)))
            continue
        record = row_to_record(item)
        if record.kind == "compensation":
            found.append(_compensation(record, changes))
            continue
        failure = failures.get(item.path)
        about: dict[str, Any] = {}
        if failure is not None and failure.run_id == item.run_id:
            about = row_to_record(failure).value
        found.append(
            HistoryEntry(
                path=record.path,
                kind=record.kind,
                status=record.status,
                attempt=record.attempt,
                started_at=record.started_at,
                finished_at=record.finished_at,
                output=record.output,
                decision=record.decision,
                value=record.value,
                changes=changes or None,
                error=about.get("error"),
                error_type=about.get("error_type"),
                traceback=about.get("traceback"),
            )
        )
    return found


def _compensation(record: Record, changes: dict[str, tuple[Any, Any]]) -> HistoryEntry:
    result = result_of(record)
    return HistoryEntry(
        path=record.path,
        kind=record.kind,
        status="done" if result.is_undone else "failed",
        attempt=result.attempts,
        started_at=record.started_at,
        finished_at=record.finished_at,
        changes=changes or None,
        error=result.error,
        error_type=result.error_type,
        traceback=record.value.get("traceback"),
    )


def _failed(path: str, record: Record) -> HistoryEntry:
    """The entry of a step that has no outcome, since it failed."""
    about: dict[str, Any] = record.value
    error, kind = about["error"], about["kind"]
    return HistoryEntry(
        path=path,
        kind=kind,
        status="failed",
        attempt=about["attempt"],
        finished_at=record.finished_at,
        output=StepOutput(None, about["name"], step_type=kind, success=False, error=error),
        error=error,
        error_type=about["error_type"],
        traceback=about["traceback"],
    )


def _before(rows: list[StepRow], cut: int) -> list[StepRow]:
    """The rows written before ``cut``; a container that the cut lies in is open again, in its first attempt."""
    kept = [row for row in rows if row.position < cut]
    reopened = {outer for row in rows if row.position >= cut for outer in _enclosing(row.path)}
    found: list[StepRow] = []
    for row in kept:
        if row.status == DONE and row.path in reopened:
            row = msgspec.structs.replace(row, status=OPEN, attempt=1)
        found.append(row)
    return found


def _enclosing(path: str) -> Iterator[str]:
    """The paths of all containers and iterations that ``path`` is in."""
    for place, letter in enumerate(path):
        if letter in "/#":
            yield path[:place]


async def load_prefix(db: BaseDb, run_id: str, at: str | int | None) -> Prefix:
    """What of a run stands before ``at``: a step's path (that step runs again), a ``seq`` of its stored events (what had
    happened by then stands), or None (all that is done stands).

    Raises:
        RunNotFound, LookupError: No such run; no such path or event in it.
    """
    source = await db.load_run(run_id)
    if source is None:
        raise RunNotFound(f"no run {run_id!r} to fork; check the id and the workflow's db")
    stored = await load_steps(db, source, states=True)
    rows = [row for row in stored if row.status != VOID]
    cut = await _cut(db, source, rows, at)
    kept = [row for row in _before(rows, cut) if not _is_of_undoing(row.path)]
    _refuse_undone(source.run_id, rows, kept)
    state = await _state(db, source, stored, cut)
    if isinstance(state.get(DAMAGED), Unreadable):
        bool(state[DAMAGED])  # raises: nobody knows the state of that moment
    done = {row.path for row in kept if row.status == DONE}
    kept = [row for row in kept if not row.path.endswith(FAILURE) or row.path.removesuffix(FAILURE) in done]
    return Prefix(
        source=source,
        cut=cut,
        records=[_reopened(row_to_record(row)) for row in kept if row.path not in HIDDEN],
        state=state,
    )


def _refuse_undone(run_id: str, rows: list[StepRow], kept: list[StepRow]) -> None:
    """LookupError where a step would stand whose effects were undone since."""
    records = [row_to_record(row) for row in rows if COMPENSATION in row.path]
    undone = {record.path for record in records if record.kind == "compensation"}
    places = {path[: path.rindex(COMPENSATION)] for path in undone}
    found = [
        row
        for row in kept
        if row.status == DONE
        and row.path in places
        and f"{row.path}{COMPENSATION}:{row_to_record(row).order}" in undone  # else it has completed again since
    ]
    if found:
        path = min(found, key=lambda row: row.position).path
        raise LookupError(
            f"run {run_id!r} cannot be forked there: the step at {path!r} was compensated, so its outcome does not hold any"
            f" more; fork at {path!r} or before it"
        )


def _reopened(record: Record) -> Record:
    record.order = None  # the fork has not run it
    if record.status == OPEN:
        record.output = None
    return record


async def _cut(db: BaseDb, source: RunRow, rows: list[StepRow], at: str | int | None) -> int:
    if at is None:
        return max((row.position for row in rows), default=0) + 1
    if isinstance(at, str):
        found = next((row for row in rows if row.path in (at, at + FAILURE)), None)
        if found is None:
            known = ", ".join(
                row.path.removesuffix(FAILURE) for row in rows if "!" not in row.path.removesuffix(FAILURE)
            )
            raise LookupError(f"run {source.run_id!r} has no step at {at!r}; it has {known}")
        inside = (at + "/", at + "#", at + "!")
        return min(row.position for row in rows if row.path == at or row.path.startswith(inside))
    ended: set[str] = set()
    seen = 0
    for row in await _events_until(db, source.run_id, at):
        event = codec.decode_event(row.data, row)
        seen = row.last_seq
        if event.event.endswith(("Completed", "Started")):
            ended.add(event.path)
    if not seen:
        raise LookupError(f"run {source.run_id!r} has no stored event with a seq up to {at}")
    return min((row.position for row in rows if row.path not in ended and "!" not in row.path), default=len(rows) + 1)


async def _events_until(db: BaseDb, run_id: str, seq: int) -> list[Any]:
    found: list[Any] = []
    after = 0
    while True:
        page = await db.load_events(run_id, after=after, limit=1000)
        found.extend(row for row in page if row.seq <= seq)
        if len(page) < 1000 or page[-1].seq > seq:
            return found
        after = page[-1].last_seq


async def _state(db: BaseDb, source: RunRow, rows: list[StepRow], cut: int) -> dict[str, Any]:
    """The session state as it was at ``cut``: the run's first, with each step's changes in the order they were recorded. A
    fork's first is of the moment at which it was forked; what was before is its origin's."""
    is_whole = False  # what the steps of its origin changed is in it
    if source.forked_from is not None:
        parent_id, _, shared = source.forked_from.rpartition("@")
        parent = await db.load_run(parent_id) if cut < int(shared) else None
        if parent is not None:
            return await _state(db, parent, await load_steps(db, parent, states=True), cut)
        is_whole = any(row.path == START and row.run_id == source.run_id for row in rows)
    state: dict[str, Any] = {}
    for row in sorted(rows, key=lambda item: item.position):
        if row.position < cut and (row.run_id == source.run_id or not is_whole):
            _patch(state, row)
    return state


def _patch(state: dict[str, Any], row: StepRow) -> dict[str, tuple[Any, Any]]:
    """Put what was recorded with ``row`` into ``state``; each changed key with its value before and after."""
    found: dict[str, tuple[Any, Any]] = {}
    if row.state is None:
        return found
    parts = codec.decode_parts(row.state, f"{row.path}: session_state", row.run_id)
    if isinstance(parts, Unreadable):  # whatever it changed
        state[DAMAGED] = parts
        return {DAMAGED: (None, parts)}
    for key, value in parts.items():
        before = state.pop(key, None)
        if value is not None:
            state[key] = codec.decode_value(value, f"{row.path}: session_state[{key!r}]", row.run_id)
        found[key] = (before, state.get(key))
    return found


def fork_journal(prefix: Prefix, outputs: dict[str, Any] | None, find: Any) -> tuple[Journal, list[Record]]:
    """The journal of the fork, and those records that are its own: the ``outputs`` that were put in by hand, and what
    encloses them, which is open again so that its own output is made of theirs.

    Raises:
        LookupError: The workflow has no such step, or what encloses it ended without it.
    """
    journal = Journal(prefix.records)
    own: dict[str, Record] = {}
    for path, value in (outputs or {}).items():
        node: Node | None = None if "!" in path else find(path)
        if node is None:
            raise LookupError(f"outputs: the workflow has no step at {path!r}")
        known = journal.get(path)
        for outer in list(journal.records.values()):
            if outer.status != DONE or outer.path == path or not within(path, outer.path):
                continue
            if known is None:
                raise LookupError(
                    f"outputs: {outer.path!r} is done, and {path!r} did not run in it; fork at a path before"
                )
            if outer.path not in (outputs or {}):
                reopened = msgspec.structs.replace(outer, status=OPEN, output=None, attempt=1)
                own[outer.path] = journal.records[outer.path] = reopened
        output = value if isinstance(value, StepOutput) else StepOutput(value, node.name, node.step_id, node.kind)
        own[path] = journal.records[path] = Record(
            path=path,
            position=known.position if known is not None else len(journal.records),
            kind=node.kind,
            status=DONE,
            output=output,
        )
    journal.replaying = bool(journal.records)
    return journal, list(own.values())


def fork_state(prefix: Prefix, given: dict[str, Any] | None) -> dict[str, Any]:
    return merged(prefix.state, given)
