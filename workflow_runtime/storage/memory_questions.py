"""The open questions that ``InMemoryDb`` keeps, in the orders in which they are asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import islice

from .base import RequirementRow

__all__ = ["OpenQuestions"]

Question = tuple[str, str]  # run and requirement
_Place = tuple[float, str, str]  # when it was asked, requirement, run; or its deadline, run, requirement
_Scope = tuple[str, str | None]  # "all", or a session, a user or a workflow


class OpenQuestions:
    """Each costs what finding its places costs; a listing costs what it gives, not what is open."""

    def __init__(self) -> None:
        self._rows: dict[Question, tuple[list[_Scope], _Place, _Place | None]] = {}
        self._listed: dict[_Scope, list[_Place]] = {}
        self._due: dict[_Scope, list[_Place]] = {}

    def add(self, row: RequirementRow) -> None:
        self.remove(row.run_id, row.requirement_id)
        scopes: list[_Scope] = [
            ("all", None),
            ("session", row.session_id),
            ("user", row.user_id),
            ("workflow", row.workflow_id),
        ]
        listed = (row.created_at, row.requirement_id, row.run_id)
        due = None if row.timeout_at is None else (row.timeout_at, row.run_id, row.requirement_id)
        self._rows[row.run_id, row.requirement_id] = scopes, listed, due
        for scope in scopes:
            insort(self._listed.setdefault(scope, []), listed)
            if due is not None:
                insort(self._due.setdefault(scope, []), due)

    def remove(self, run_id: str, requirement_id: str) -> None:
        """Nothing where it is not open."""
        found = self._rows.pop((run_id, requirement_id), None)
        if found is None:
            return
        scopes, listed, due = found
        for scope in scopes:
            _drop(self._listed, scope, listed)
            if due is not None:
                _drop(self._due, scope, due)

    def oldest_first(
        self, session_id: str | None, user_id: str | None, workflow_id: str | None, after: tuple[float, str] | None
    ) -> Iterator[Question]:
        """Those of one of the three that are given, behind ``after``. The others are left to the caller."""
        listed = self._listed.get(_scope(session_id, user_id, workflow_id), [])
        start = 0 if after is None else bisect_right(listed, (*after, "\U0010ffff"))
        for _, requirement_id, run_id in islice(listed, start, None):
            yield run_id, requirement_id

    def due(
        self, session_id: str | None, user_id: str | None, workflow_id: str | None, before: float
    ) -> Iterator[Question]:
        """Those whose deadline is at ``before`` or earlier, by deadline."""
        due = self._due.get(_scope(session_id, user_id, workflow_id), [])
        for deadline, run_id, requirement_id in due:
            if deadline > before:
                return
            yield run_id, requirement_id


def _scope(session_id: str | None, user_id: str | None, workflow_id: str | None) -> _Scope:
    for name, value in (("session", session_id), ("user", user_id), ("workflow", workflow_id)):
        if value is not None:
            return name, value
    return "all", None


def _drop(lists: dict[_Scope, list[_Place]], scope: _Scope, item: _Place) -> None:
    listed = lists[scope]
    del listed[bisect_left(listed, item)]
    if not listed:
        del lists[scope]
