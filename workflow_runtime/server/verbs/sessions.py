"""Sessions: list, read, name, change the state of, delete."""

from __future__ import annotations

from typing import Any

from ... import SessionNotFound, WorkflowSession
from ..auth import User
from ..rows import MOST, Page, SessionSummary, page_of, parse_cursor, session_summary
from .base import Verbs

__all__ = ["SessionVerbs"]


class SessionVerbs(Verbs):
    async def sessions(
        self, user: User, workflow_id: str | None = None, *, limit: int = 50, before: str | None = None
    ) -> Page:
        """Stored sessions as SessionSummary, newest first."""
        limit, key = max(1, min(limit, MOST)), parse_cursor(before)
        if workflow_id is not None:
            self.workflow(workflow_id)
        found: list[SessionSummary] = []
        for _, db in self.databases():
            rows = await db.list_sessions(user_id=user.scope, workflow_id=workflow_id, limit=limit + 1, before=key)
            found.extend(map(session_summary, rows))
        return page_of(found, limit)

    async def session(self, user: User, session_id: str) -> WorkflowSession:
        """The session with its state, name and metrics, without its runs."""
        workflow, _ = await self.my_session(user, session_id)
        session = await workflow.aget_session(session_id, last_n_runs=0)
        if session is None:
            raise SessionNotFound(f"no session {session_id!r}")
        return session

    async def session_state(self, user: User, session_id: str) -> dict[str, Any]:
        return (await self.session(user, session_id)).session_state

    async def change_session_state(self, user: User, session_id: str, updates: dict[str, Any]) -> dict[str, Any]:
        """Set these keys, whatever others are writing; the state after it."""
        workflow, _ = await self.my_session(user, session_id)
        return await workflow.aupdate_session_state(updates, session_id)

    async def rename_session(self, user: User, session_id: str, name: str) -> WorkflowSession:
        workflow, _ = await self.my_session(user, session_id)
        await workflow.aset_session_name(session_id, session_name=name)
        return await self.session(user, session_id)

    async def delete_session(self, user: User, session_id: str) -> None:
        """Delete it with all its runs. Raises SessionNotFound."""
        workflow, _ = await self.my_session(user, session_id)
        await workflow.adelete_session(session_id)
