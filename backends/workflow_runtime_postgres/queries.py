"""Listings: the text and the arguments for a filter. The rows that they read do not grow with the database.

Where an index leads with the status, the newest rows of each requested status are read and merged; so at most ``limit``
rows of each status are read. A session's newest runs of any status are read from an index of their own.
"""

from __future__ import annotations

from typing import Any

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import RunFilter

from . import statements as sql
from .commits import names

__all__ = ["list_requirements", "list_runs", "list_sessions"]

Key = tuple[float, str]
Query = tuple[str, list[Any]]

_ALL = frozenset(RunStatus)


class _Where:
    """Conditions that are joined by AND, with the arguments they name."""

    def __init__(self, *values: Any) -> None:
        self.values: list[Any] = list(values)
        self._text = ""

    def equal(self, **columns: str | None) -> _Where:
        for column, value in columns.items():
            if value is not None:
                self.add(f"{column} = {self.mark(value)}")
        return self

    def below(self, before: Key | None, column: str) -> _Where:
        if before is not None:
            self.add(f"(created_at, {column}) < ({self.mark(float(before[0]))}, {self.mark(before[1])})")
        return self

    def add(self, condition: str) -> None:
        self._text += f" AND {condition}"

    def mark(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def __str__(self) -> str:
        return self._text


def list_runs(where: RunFilter, limit: int, before: Key | None) -> Query:
    """``BaseDb.list_runs``."""
    if where.statuses is None and not _leads_with_status(where):
        found = _Where()
    else:
        found = _Where(names(_ALL if where.statuses is None else where.statuses))
    found.equal(
        session_id=where.session_id,
        user_id=where.user_id,
        workflow_id=where.workflow_id,
        parent_run_id=where.parent_run_id,
    ).below(before, "run_id")
    if where.expired:
        found.add("leased_until <= extract(epoch FROM now())::float8")
        if where.expired_within is not None:
            found.add(f"leased_until > extract(epoch FROM now())::float8 - {found.mark(where.expired_within)}")
    if where.since is not None:
        found.add(f"created_at >= {found.mark(float(where.since))}")
    if where.until is not None:
        found.add(f"created_at < {found.mark(float(where.until))}")
    if where.signalled:
        # Few signals wait at any time, so it is their runs that are looked up.
        found.add("run_id = ANY (ARRAY(SELECT run_id FROM @.signals WHERE taken_at IS NULL))")
    order = f"ORDER BY created_at DESC, run_id DESC LIMIT {found.mark(limit)}"
    if where.tags:
        return _tagged(where, found, order, before), found.values
    if _leads_with_status(where):
        text = f"""
            SELECT newest.* FROM unnest($1::text[]) AS wanted (name) CROSS JOIN LATERAL (
                SELECT {sql.RUN_COLUMNS} FROM @.runs WHERE status = wanted.name{found} {order}
            ) AS newest {order}"""
    else:
        chosen = "true" if where.statuses is None else "status = ANY ($1::text[])"
        text = f"SELECT {sql.RUN_COLUMNS} FROM @.runs WHERE {chosen}{found} {order}"
    return text, found.values


def _tagged(where: RunFilter, found: _Where, order: str, before: Key | None) -> str:
    """Runs with all of the tags, from the index of one of them; ``found`` is what their rows must fulfil as well."""
    first, *others = sorted(where.tags)
    tagged = f"tag = {found.mark(first)} AND status = wanted.name"
    if where.workflow_id is not None:
        tagged += f" AND workflow_id = {found.mark(where.workflow_id)}"
    for bound, sign in ((where.since, ">="), (where.until, "<")):
        if bound is not None:
            tagged += f" AND created_at {sign} {found.mark(float(bound))}"
    if before is not None:
        tagged += f" AND (created_at, run_id) < ({found.mark(float(before[0]))}, {found.mark(before[1])})"
    for other in others:
        mark = found.mark(other)
        tagged += f" AND EXISTS (SELECT FROM @.tags AS other WHERE other.run_id = tagged.run_id AND other.tag = {mark})"
    return f"""
        SELECT {sql.RUN_COLUMNS} FROM @.runs WHERE run_id = ANY (ARRAY(
            SELECT newest.run_id FROM unnest($1::text[]) AS wanted (name) CROSS JOIN LATERAL (
                SELECT run_id, created_at FROM @.tags AS tagged
                WHERE {tagged} AND EXISTS (SELECT FROM @.runs WHERE run_id = tagged.run_id{found}) {order}
            ) AS newest {order}
        )) {order}"""


def _leads_with_status(where: RunFilter) -> bool:
    if where.tags:
        return True
    if where.expired or where.parent_run_id is not None or where.signalled:
        return False
    if where.session_id is not None:
        return where.statuses is not None
    return where.user_id is None and where.workflow_id is None


def list_sessions(user_id: str | None, workflow_id: str | None, limit: int, before: Key | None) -> Query:
    """``BaseDb.list_sessions``."""
    found = _Where().equal(user_id=user_id, workflow_id=workflow_id).below(before, "session_id")
    text = f"""
        SELECT {sql.SESSION_COLUMNS} FROM @.sessions WHERE true{found}
        ORDER BY created_at DESC, session_id DESC LIMIT {found.mark(limit)}"""
    return text, found.values


def list_requirements(
    session_id: str | None,
    user_id: str | None,
    workflow_id: str | None,
    due_before: float | None,
    limit: int,
    after: Key | None,
) -> Query:
    """``BaseDb.list_requirements``."""
    found = _Where().equal(session_id=session_id, user_id=user_id, workflow_id=workflow_id)
    if due_before is not None:
        found.add(f"timeout_at <= {found.mark(float(due_before))}")
    if after is not None:
        found.add(f"(created_at, requirement_id) > ({found.mark(float(after[0]))}, {found.mark(after[1])})")
    text = f"""
        SELECT {sql.REQUIREMENT_COLUMNS} FROM @.requirements AS asked
        WHERE answered_at IS NULL AND withdrawn_at IS NULL{found}
        AND EXISTS (SELECT FROM @.runs WHERE run_id = asked.run_id AND status IN ('PAUSED', 'RUNNING'))
        ORDER BY created_at, requirement_id LIMIT {found.mark(limit)}"""
    return text, found.values
