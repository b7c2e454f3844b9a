"""Verbs about stored and running runs: reading, cancelling, listing what waits for a person."""

from __future__ import annotations

import logging
from typing import Any

from ..core.filters import skip_sieve
from ..engine import portal
from ..engine.host import find_finished, find_live, run_awaited
from ..engine.resume import Continuation, load_output, output_of, prepare_continued
from ..model import codec
from ..model.enums import RunStatus
from ..model.errors import RunNotPaused
from ..model.run import WorkflowRunOutput
from ..storage.base import RunFilter
from .base import Verbs

__all__ = ["RunVerbs"]

logger = logging.getLogger("workflow_runtime")


class RunVerbs(Verbs):
    async def aget_run(self, run_id: str, session_id: str | None = None) -> WorkflowRunOutput | None:
        """The run as it is now, running ones included; None if it is unknown. spec: get_run."""
        live = find_live(run_id)
        if live is not None:
            return live.output
        if self.db is None:
            return find_finished(run_id)
        return await load_output(self.db, run_id)

    def get_run(self, run_id: str, session_id: str | None = None) -> WorkflowRunOutput | None:
        return portal.call(lambda: self.aget_run(run_id, session_id))

    async def aget_run_output(
        self, run_id: str, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The stored output of a run; None (and a warning) if there is none. spec: get_run_output."""
        if self.db is None:
            logger.warning("get_run_output(%r): the workflow has no db, so nothing is stored", run_id)
            return None
        row = await self.db.load_run(run_id)
        if row is None or (session_id is not None and row.session_id != session_id):
            logger.warning(
                "get_run_output(%r): no such run%s", run_id, f" in session {session_id}" if session_id else ""
            )
            return None
        if user_id is not None and row.user_id not in (None, user_id):
            raise PermissionError(f"run {run_id!r} belongs to another user")
        return await output_of(self.db, row)

    def get_run_output(
        self, run_id: str, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        return portal.call(lambda: self.aget_run_output(run_id, session_id, user_id))

    async def aget_last_run_output(
        self, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The newest run of the session; None if it has none. Reads one row. spec: get_last_run_output."""
        if self.db is None:
            return None
        chosen = self.resolve_session(session_id, user_id or self.user_id)
        rows = await self.db.list_runs(RunFilter(session_id=chosen), limit=1)
        return await output_of(self.db, rows[0]) if rows else None

    def get_last_run_output(
        self, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        return portal.call(lambda: self.aget_last_run_output(session_id, user_id))

    async def alist_pending(self, session_id: str | None = None, user_id: str | None = None) -> list[Any]:
        """The open requirements of this workflow's paused runs, oldest first. Their ``id`` starts with the run's id."""
        if self.db is None:
            return []
        rows = await self.db.list_requirements(session_id=session_id, user_id=user_id, workflow_id=self.id)
        return [codec.decode_requirement(row.data) for row in rows]

    def list_pending(self, session_id: str | None = None, user_id: str | None = None) -> list[Any]:
        return portal.call(lambda: self.alist_pending(session_id, user_id))

    async def _cancel_stored(self, run_id: str) -> bool:
        """Cancel a run that this process does not execute: at once if it waits, by a mark if another process runs it."""
        if self.db is None:
            return False
        status = await self.db.request_cancel(run_id, now=self.clock.time())
        if status is None:
            return False
        if status in (RunStatus.paused, RunStatus.pending):
            asked = Continuation(
                definition=self.definition(),
                run_id=run_id,
                cancel_reason="cancel_run",
                store_events=self.store_events,
                skip=skip_sieve(self.events_to_skip),
            )
            try:
                await run_awaited(lambda: prepare_continued(asked))
            except RunNotPaused:  # it was continued in this moment; the mark reaches whoever runs it
                logger.debug("run %s is running again; its process will see the request to cancel", run_id)
        return True
