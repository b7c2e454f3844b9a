"""Commits and answers as arguments of the functions on the server, and the reason of a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeVar

import msgspec

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage import rules
from workflow_runtime.storage.base import Batch, DeliveryRow, EventRow, RequirementRow, RunRow, SessionPatch, StepRow

__all__ = ["answer_values", "commit_values", "lock_order", "names", "never"]

Row = TypeVar("Row")

_NO_RUN: tuple[Any, ...] = (False, False, None, False, *[None] * 12, False, None, 0, False, None, 0, None, None, None)
_FINAL = sorted(status.value for status in rules.FINAL)
_NO_LIMITS: tuple[Any, ...] = (None,) * 8
_NO_PATCH: tuple[Any, ...] = (False, *[None] * 8)


def names(statuses: frozenset[RunStatus]) -> list[str]:
    return sorted(status.value for status in statuses)


def never(batch: Batch) -> bool:
    """Whether ``batch`` contradicts itself, whatever is stored."""
    row, patch = batch.run, batch.session
    if row is None or patch is None:
        return False
    users = {user for user in (row.user_id, patch.user_id) if user is not None}
    return row.session_id != patch.session_id or len(users) > 1


def lock_order(batch: Batch) -> tuple[str, str]:
    """The order of a commit in its transaction: by session, and within a session by run."""
    part = batch.run if batch.session is None else batch.session
    return "" if part is None else part.session_id, rules.subject(batch) or ""


def commit_values(batch: Batch) -> tuple[Any, ...]:
    """The arguments of ``commit_batch`` after writer and number, in its order."""
    row, patch, fence = batch.run, batch.session, batch.fence
    return (
        rules.subject(batch),
        sorted(rules.wakes(batch)),
        *((None, None, None) if fence is None else (fence.run_id, fence.attempt, fence.owner)),
        None if batch.statuses is None else names(batch.statuses),
        _FINAL,
        sorted(batch.waits_for) or None,
        patch.session_id if patch is not None else None if row is None else row.session_id,
        next((part.user_id for part in (row, patch) if part is not None and part.user_id is not None), None),
        *(_NO_RUN if row is None else _run(row, batch.create)),
        *(_NO_PATCH if patch is None else _patch(patch)),
        *((None, None, None) if patch is None or not patch.state else _state(patch)),
        *_steps(batch.steps),
        *_events(batch.events),
        *_requirements(batch.requirements),
        batch.messages_seen,
        list(row.tags) if row is not None and row.tags else None,
        *_deliveries(batch.deliveries),
        *(_limits(row) if row is not None and batch.create and (row.limits or row.unique) else _NO_LIMITS),
    )


def _deliveries(rows: Sequence[DeliveryRow]) -> tuple[Any, ...]:
    if not rows:
        return (None, None, None, None)
    return (
        [row.hook for row in rows],
        [row.seq for row in rows],
        [row.workflow_id for row in rows],
        [row.created_at for row in rows],
    )


def answer_values(rows: Sequence[RequirementRow]) -> tuple[Any, ...]:
    """Runs, ids, data and times of these answers."""
    return (
        [row.run_id for row in rows],
        [row.requirement_id for row in rows],
        [row.data for row in rows],
        [row.answered_at for row in rows],
    )


def _run(row: RunRow, create: bool) -> tuple[Any, ...]:
    status = RunStatus(row.status)
    return (
        True,
        create,
        status.value,
        status in rules.ACTIVE,
        row.user_id,
        row.workflow_id,
        row.workflow_name,
        row.parent_run_id,
        row.attempt,
        row.seq,
        row.fingerprint,
        row.created_at,
        row.updated_at,
        row.owner,
        row.lease_until,
        row.lease,
        row.cancel_requested,
        row.forked_from,
        row.deaths,
        row.reserved,
        row.queue,
        row.priority,
        row.not_before,
        rules.lane_of(row.limits) if create else None,
        row.data,
    )


def _limits(row: RunRow) -> tuple[Any, ...]:
    limits = row.limits
    return (
        rules.locked_keys(row) or None,
        row.unique,
        rules.counted_keys(row),
        [limit.key for limit in limits],
        [limit.concurrency for limit in limits],
        [limit.rate for limit in limits],
        [float(limit.period) for limit in limits],
        [limit.max_queued for limit in limits],
    )


def _patch(patch: SessionPatch) -> tuple[Any, ...]:
    return (
        True,
        patch.user_id,
        patch.workflow_id,
        patch.workflow_name,
        patch.name,
        patch.metadata,
        msgspec.json.encode(patch.metrics).decode() if patch.metrics else None,
        patch.workflow_data,
        patch.now,
    )


def _state(patch: SessionPatch) -> tuple[Any, ...]:
    expected = patch.expected
    return list(patch.state), list(patch.state.values()), [expected.get(key) for key in patch.state]


def _steps(given: Sequence[StepRow]) -> tuple[Any, ...]:
    if not given:
        return (None,) * 9
    rows = _once(given, lambda row: (row.run_id, row.path), _replaced_step)
    return (
        [row.run_id for row in rows],
        [row.path for row in rows],
        [row.position for row in rows],
        [str(row.status) for row in rows],
        [row.attempt for row in rows],
        [row.started_at for row in rows],
        [row.finished_at for row in rows],
        [row.data for row in rows],
        [row.state for row in rows],
    )


def _events(given: Sequence[EventRow]) -> tuple[Any, ...]:
    if not given:
        return (None,) * 7
    rows = _once(given, lambda row: (row.run_id, row.seq), lambda _, new: new)
    return (
        [row.run_id for row in rows],
        [row.seq for row in rows],
        [row.last_seq for row in rows],
        [row.epoch for row in rows],
        [str(row.kind) for row in rows],
        [row.path for row in rows],
        [row.data for row in rows],
    )


def _requirements(given: Sequence[RequirementRow]) -> tuple[Any, ...]:
    if not given:
        return (None,) * 13
    rows = _once(given, lambda row: (row.run_id, row.requirement_id), rules.requirement_to_store)
    return (
        [row.run_id for row in rows],
        [row.requirement_id for row in rows],
        [row.session_id for row in rows],
        [row.user_id for row in rows],
        [row.workflow_id for row in rows],
        [row.path for row in rows],
        [str(row.kind) for row in rows],
        [row.created_at for row in rows],
        [row.timeout_at for row in rows],
        [row.answered_at for row in rows],
        [row.used_at for row in rows],
        [row.withdrawn_at for row in rows],
        [row.data for row in rows],
    )


def _once(rows: Sequence[Row], key: Callable[[Row], object], replaced: Callable[[Row, Row], Row]) -> Sequence[Row]:
    # One statement cannot write a row twice, so what the second would make of the first is made here.
    found: dict[object, Row] = {}
    for row in rows:
        name = key(row)
        found[name] = replaced(found[name], row) if name in found else row
    return rows if len(found) == len(rows) else list(found.values())


def _replaced_step(old: StepRow, new: StepRow) -> StepRow:
    row = copy(new)
    row.position = old.position
    return row
