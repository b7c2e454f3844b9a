"""Verbs about sessions: reading, naming, saving, deleting."""

from __future__ import annotations

import logging
from typing import Any

from .. import engine
from ..core.state import changes, snapshot
from ..model import checks
from ..model.errors import ConcurrentWrite, InputError, SessionNotFound, StorageError
from ..model.metrics import SessionMetrics
from ..model.session import WorkflowChatInteraction, WorkflowSession
from ..storage.base import Batch, SessionPatch, SessionRow
from .base import Verbs
from .saving import columns, refuse_unsaved

__all__ = ["SessionVerbs"]

logger = logging.getLogger("workflow_runtime")


class SessionVerbs(Verbs):
    async def _row(
        self, session_id: str | None, user_id: str | None = None, *, cached: SessionRow | None = None
    ) -> SessionRow:
        chosen = self.resolve_session(session_id, user_id or self.user_id)
        row = cached
        if row is None and self.db is not None:
            row = await self.db.load_session(chosen)
        if row is None:
            why = "" if self.db is not None else "; the workflow has no db, so no session is stored"
            raise SessionNotFound(f"Session not found: {chosen!r}{why}")
        engine.sessions.refuse_other_user(row, user_id)
        return row

    async def aget_session(
        self, session_id: str | None = None, user_id: str | None = None, last_n_runs: int | None = None
    ) -> WorkflowSession | None:
        """The session with its runs (the last ``last_n_runs``), oldest first; None if it is unknown."""
        if self.db is None:
            logger.warning("get_session: the workflow has no db, so no session is stored")
            return None
        check_last(last_n_runs)
        chosen = self.resolve_session(session_id, user_id or self.user_id)
        row = await self.db.load_session(chosen)
        if row is None:
            return None
        engine.sessions.refuse_other_user(row, user_id)
        session = engine.sessions.decode_session(row)
        session.runs = list(await engine.sessions.load_runs(self.db, chosen, last_n_runs)) or None
        if session.loaded is not None:
            session.loaded = (*session.loaded[:2], [run.run_id for run in session.runs or ()])
        return session

    def get_session(
        self, session_id: str | None = None, user_id: str | None = None, last_n_runs: int | None = None
    ) -> WorkflowSession | None:
        """The synchronous form of ``aget_session``."""
        return engine.portal.call(lambda: self.aget_session(session_id, user_id, last_n_runs))

    async def aget_session_state(self, session_id: str | None = None) -> dict[str, Any]:
        """The stored state; with ``cache_session`` that of the session in memory, without a look at the database.

        Raises:
            SessionNotFound: The session is unknown; a KeyError.
        """
        row = await self._row(
            session_id, cached=self._session_cache.get(self.resolve_session(session_id, self.user_id))
        )
        return {key: engine.sessions.decode_state(row, key) for key in row.state}

    def get_session_state(self, session_id: str | None = None) -> dict[str, Any]:
        """The synchronous form of ``aget_session_state``."""
        return engine.portal.call(lambda: self.aget_session_state(session_id))

    async def aget_session_name(self, session_id: str | None = None) -> str:
        """The name; "" if none was set."""
        return (await self._row(session_id)).name or ""

    def get_session_name(self, session_id: str | None = None) -> str:
        """The synchronous form of ``aget_session_name``."""
        return engine.portal.call(lambda: self.aget_session_name(session_id))

    async def aget_session_metrics(self, session_id: str | None = None) -> SessionMetrics | None:
        """The sums over the session's finished runs; None if none has finished."""
        return engine.sessions.decode_session(await self._row(session_id)).session_metrics

    def get_session_metrics(self, session_id: str | None = None) -> SessionMetrics | None:
        """The synchronous form of ``aget_session_metrics``."""
        return engine.portal.call(lambda: self.aget_session_metrics(session_id))

    async def aset_session_name(
        self, session_id: str | None = None, autogenerate: bool = False, session_name: str | None = None
    ) -> WorkflowSession:
        """Set the name, or make one of the description and the time. The updated session."""
        row = await self._row(session_id)
        name = checks.identifier(session_name, "session_name", most=checks.MOST_KEY, error=InputError)
        if autogenerate:
            import time

            stamp = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.clock.time()))
            name = f"{self.description[:40]} - {stamp}" if self.description else f"Workflow Session {stamp}"
        if not name:
            raise ValueError("give session_name=, or autogenerate=True")
        await self._patch(row.session_id, name=name)
        return engine.sessions.decode_session(await self._row(row.session_id))

    def set_session_name(
        self, session_id: str | None = None, autogenerate: bool = False, session_name: str | None = None
    ) -> WorkflowSession:
        """The synchronous form of ``aset_session_name``."""
        return engine.portal.call(lambda: self.aset_session_name(session_id, autogenerate, session_name))

    async def aupdate_session_state(self, updates: dict[str, Any], session_id: str | None = None) -> dict[str, Any]:
        """Set these keys, whatever others are writing; the state after it."""
        checks.storable_keys(updates, "updates", error=InputError)
        row = await self._row(session_id)
        await self._write_state(row.session_id, snapshot(updates or {}), row.state)
        return await self.aget_session_state(row.session_id)

    def update_session_state(self, updates: dict[str, Any], session_id: str | None = None) -> dict[str, Any]:
        """The synchronous form of ``aupdate_session_state``."""
        return engine.portal.call(lambda: self.aupdate_session_state(updates, session_id))

    async def aget_chat_history(
        self, session_id: str | None = None, last_n_runs: int | None = None
    ) -> list[WorkflowChatInteraction]:
        """Input and content of the session's runs that have both, oldest first. Reads only what it returns.

        Raises:
            SessionNotFound: The session that was named is unknown. Without a name there is just no history yet.
        """
        try:
            row = await self._row(session_id)
        except SessionNotFound:
            if session_id is not None:
                raise
            return []
        assert self.db is not None
        check_last(last_n_runs)
        if last_n_runs == 0:
            return []
        session = engine.sessions.decode_session(row)
        session.runs = list(await engine.sessions.load_runs(self.db, row.session_id, last_n_runs))
        return session.get_chat_history()

    def get_chat_history(
        self, session_id: str | None = None, last_n_runs: int | None = None
    ) -> list[WorkflowChatInteraction]:
        """The synchronous form of ``aget_chat_history``."""
        return engine.portal.call(lambda: self.aget_chat_history(session_id, last_n_runs))

    async def asave_session(self, session: WorkflowSession) -> None:
        """Store the session's name, metadata, state, ``workflow_data``, and what else is in its ``session_data``; None
        clears the name and the metadata. Nothing without a db.

        Of the state what was changed since the session was read is written, so that what others have stored meanwhile
        under other keys stays.

        Raises:
            InputError: It is no session, or something of it was changed that is not stored so: its runs, metrics or times.
            SessionOwnerError: It is another user's.
        """
        if not isinstance(session, WorkflowSession):
            raise InputError(
                f"session must be a WorkflowSession, got {type(session).__name__}; get_session() gives one"
            )
        if self.db is None:
            return
        known = await self.db.load_session(session.session_id)
        stored = known.state if known is not None else {}
        if known is not None:
            engine.sessions.refuse_other_user(known, session.user_id)
        await refuse_unsaved(self.db, session, known)
        after = snapshot(session.session_state)
        before = stored if known is None or session.loaded_state is None else session.loaded_state
        await self._write_state(
            session.session_id, changes(before, after), stored, columns(session, known, self.definition().outline)
        )
        session.loaded_state = after

    def save_session(self, session: WorkflowSession) -> None:
        """The synchronous form of ``asave_session``."""
        engine.portal.call(lambda: self.asave_session(session))

    async def adelete_session(self, session_id: str, user_id: str | None = None) -> bool:
        """Delete the session with all its runs. False if there was none.

        A run of the session that is under way, here or in another process, is not stored any more: it ends, and its caller
        gets ``Fenced``, also where nothing of it was stored yet. Runs of this workflow's database object end at once, others
        with their next commit or beat of their lease. A run that begins later starts the session afresh.
        """
        checks.required(session_id, "session_id")
        if self.db is None:
            return False
        if user_id is not None:
            await self._row(session_id, user_id)
        self._session_cache.pop(session_id, None)
        for key in [key for key, value in self._default_sessions.items() if value == session_id]:
            del self._default_sessions[key]
        before = engine.host.runs_of_session(self.db, session_id)
        deleted = await self.db.delete_session(session_id, now=self.clock.time())
        for run in before:
            engine.host.end_deleted(run)
        return deleted

    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        """The synchronous form of ``adelete_session``."""
        return engine.portal.call(lambda: self.adelete_session(session_id, user_id))

    async def aread_or_create_session(
        self, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowSession:
        """The stored session, or a new one that is not stored yet."""
        chosen = self.resolve_session(session_id or engine.clock.new_id(), user_id or self.user_id)
        found = await self.aget_session(chosen, user_id) if self.db is not None else None
        return found or WorkflowSession(
            session_id=chosen, user_id=user_id, workflow_id=self.id, workflow_name=self.name
        )

    def read_or_create_session(self, session_id: str | None = None, user_id: str | None = None) -> WorkflowSession:
        """The synchronous form of ``aread_or_create_session``."""
        return engine.portal.call(lambda: self.aread_or_create_session(session_id, user_id))

    # -- writing -------------------------------------------------------------------------------------------------------

    async def _patch(self, session_id: str, **fields: Any) -> None:
        if self.db is None:
            raise StorageError("the workflow has no db, so there is nowhere to store a session")
        self._session_cache.pop(session_id, None)
        fields = {"workflow_id": self.id, "workflow_name": self.name, **fields}
        patch = SessionPatch(session_id=session_id, now=self.clock.time(), **fields)
        await self.db.commit(Batch(session=patch))

    async def _write_state(
        self,
        session_id: str,
        state: dict[str, Any],
        known: dict[str, bytes],
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Write these keys; a caller who sets a key means it, so a concurrent value of the same key is replaced."""
        expected: dict[str, bytes | None] = {key: known.get(key) for key in state}
        while True:
            try:
                await self._patch(session_id, state=dict(state), expected=expected, **(extra or {}))
                return
            except ConcurrentWrite as conflict:
                expected.update(conflict.current)


def check_last(last_n_runs: Any) -> None:
    """InputError unless it is a number of runs, or None for all."""
    checks.number(last_n_runs, "last_n_runs", least=0, whole=True, none="all", error=InputError)
