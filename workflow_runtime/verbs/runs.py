"""Verbs about stored and running runs: reading, cancelling, listing what waits for a person."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from types import NoneType
from typing import Any

from .. import engine
from ..core.filters import skip_sieve, subscription_sieve
from ..model import checks, codec
from ..model.enums import RunStatus
from ..model.errors import InputError, RunNotFound, RunNotPaused
from ..model.run import WorkflowRunOutput
from ..storage.base import RunFilter
from .base import Verbs

__all__ = ["RunVerbs"]

logger = logging.getLogger("workflow_runtime")


class RunVerbs(Verbs):
    async def aget_run(self, run_id: str, session_id: str | None = None) -> WorkflowRunOutput | None:
        """The run as it is now, running ones included; None if it is unknown, or not of the session that was named.
        spec: get_run."""
        _check_run(run_id, session_id)
        live = engine.host.find_live(run_id)
        if live is not None:
            found: WorkflowRunOutput | None = live.output
        elif self.db is None:
            found = engine.host.find_finished(run_id)
        else:
            found = await engine.resume.load_output(self.db, run_id)
        return found if found is None or session_id in (None, found.session_id) else None

    def get_run(self, run_id: str, session_id: str | None = None) -> WorkflowRunOutput | None:
        return engine.portal.call(lambda: self.aget_run(run_id, session_id))

    async def aget_run_output(
        self, run_id: str, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The stored output of a run; None (and a warning) if there is none. spec: get_run_output."""
        _check_run(run_id, session_id)
        if self.db is None:
            logger.warning("get_run_output(%r): the workflow has no db, so nothing is stored", run_id)
            return None
        row = await self.db.load_run(run_id)
        if row is None or (session_id is not None and row.session_id != session_id):
            logger.warning(
                "get_run_output(%r): no such run%s", run_id, f" in session {session_id}" if session_id else ""
            )
            return None
        engine.sessions.refuse_other_user(row, user_id)
        return await engine.resume.output_of(self.db, row)

    def get_run_output(
        self, run_id: str, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        return engine.portal.call(lambda: self.aget_run_output(run_id, session_id, user_id))

    async def aget_last_run_output(
        self, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The newest run of the session; None if it has none. Reads one row. spec: get_last_run_output."""
        if self.db is None:
            return None
        chosen = self.resolve_session(session_id, user_id or self.user_id)
        rows = await self.db.list_runs(RunFilter(session_id=chosen), limit=1)
        if not rows:
            return None
        engine.sessions.refuse_other_user(rows[0], user_id)
        return await engine.resume.output_of(self.db, rows[0])

    def get_last_run_output(
        self, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        return engine.portal.call(lambda: self.aget_last_run_output(session_id, user_id))

    async def alist_pending(self, session_id: str | None = None, user_id: str | None = None) -> list[Any]:
        """The open requirements of this workflow's paused runs, oldest first. Their ``id`` starts with the run's id."""
        if self.db is None:
            return []
        rows = await self.db.list_requirements(session_id=session_id, user_id=user_id, workflow_id=self.id)
        return [codec.decode_requirement(row.data, row) for row in rows]

    def left_alone(self, run_id: str) -> str | None:
        """Why this process has left a run as it is that it was to go on with: what it needs of what is stored cannot be
        read here. None where it has not, or a module was loaded since."""
        return engine.unreadable.aside(self.db, run_id) if self.db is not None else None

    def list_pending(self, session_id: str | None = None, user_id: str | None = None) -> list[Any]:
        return engine.portal.call(lambda: self.alist_pending(session_id, user_id))

    # -- following, looking back, going elsewhere ----------------------------------------------------------------------

    def subscribe(
        self,
        run_id: str,
        after: int | str = 0,
        kinds: Iterable[Any] | None = None,
        path: str | None = None,
        *,
        policy: str = "coalesce",
        size: int = 256,
    ) -> engine.subscription.Subscription:
        """Follow a run: its stored events behind ``after``, then live ones, to its final event.

        ``after`` is a ``seq``, or an event's ``id``: with the id, a reader that had seen more than a process that died
        had stored is served from where the two part.

        Any number of readers, in this process or another one that shares the database; leaving one touches nothing.
        ``kinds`` are event names or classes, ``path`` a glob such as "research.*"; the final event always comes.
        ``policy`` (coalesce, drop, disconnect, block) only matters where no log is kept.
        """
        return engine.subscription.Subscription(
            self.db, run_id, after=after, sieve=subscription_sieve(kinds, path), policy=policy, size=size
        )

    async def history(self, run_id: str) -> list[engine.fork.HistoryEntry]:
        """The journal of a run: each node with its times, attempt and output, in the order of first writes."""
        _check_run(run_id)
        db = engine.sessions.storage_needed(self.db, "history()")
        row = await db.load_run(run_id)
        if row is None:
            raise RunNotFound(f"no run {run_id!r}; check the id and the workflow's db")
        return await engine.fork.load_history(db, row)

    async def recover(self) -> list[str]:
        """Take over this workflow's runs whose process died (their lease ran out): the ids of those that go on here.

        Finished steps are not run again; the runs go on in the background of this event loop.
        """
        runs = await engine.recovery.recover_runs(
            self.definition(), store_events=self.store_events, skip=skip_sieve(self.events_to_skip)
        )
        return [run.id for run in runs]

    async def fork(
        self,
        run_id: str,
        at: str | int | None = None,
        session_state: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
        *,
        session_id: str | None = None,
        new_run_id: str | None = None,
        background: bool = False,
    ) -> WorkflowRunOutput:
        """Start a new run that shares what another one had done before ``at``, and wait for it.

        ``at`` is the path of the step to run again, or the ``seq`` of a stored event up to which things stand; None keeps
        all that is done. ``session_state`` is merged over the state of that moment; ``outputs`` maps paths to contents
        that count as done. The fork has a session of its own unless ``session_id`` names one.

        Raises:
            RunNotFound, LookupError: No such run, step or event.
        """
        _check_run(run_id, session_id)
        _check_run(new_run_id)
        if not isinstance(at, (str, int, NoneType)) or isinstance(at, bool):
            raise InputError(f"at={at!r} must be a step's path or the seq of an event")
        checks.mapping(session_state, "session_state", error=InputError)
        checks.mapping(outputs, "outputs", error=InputError)
        engine.sessions.storage_needed(self.db, "fork()")
        prepare = await engine.prepare_fork.prepare_fork(
            self.definition(),
            run_id,
            at,
            session_state,
            outputs,
            session_id=session_id,
            run_id_new=new_run_id,
            store_events=self.store_events,
            skip=skip_sieve(self.events_to_skip),
            background=background,
        )
        if background:
            run = await engine.host.start_hosted(prepare)
            return engine.ending.copy_output(run.output)
        return await engine.host.run_awaited(prepare)

    async def _cancel_stored(self, run_id: str) -> bool:
        """Cancel a run that this process does not execute: at once if it waits, by a mark if another process runs it."""
        if self.db is None:
            return await self._cancel_unstored(run_id)
        status = await self.db.request_cancel(run_id, now=self.clock.time())
        if status is None:
            return False
        if status in (RunStatus.paused, RunStatus.pending):
            asked = engine.resume.Continuation(
                definition=self.definition(),
                run_id=run_id,
                cancel_reason="cancel_run",
                store_events=self.store_events,
                skip=skip_sieve(self.events_to_skip),
            )
            try:
                await engine.host.run_awaited(lambda: engine.resume.prepare_continued(asked))
            except RunNotPaused:  # it was continued in this moment; the mark reaches whoever runs it
                logger.debug("run %s is running again; its process will see the request to cancel", run_id)
        return True

    async def _cancel_unstored(self, run_id: str) -> bool:
        """Cancel a paused run that only this process knows: its waiting steps end, its output cannot be continued."""
        parked = engine.host.find_parked(run_id)
        if parked is not None and parked.loop.is_here():
            known, parked.cancel_reason = parked.last_output, "cancelled by cancel_run"
            parked.reopen([])
            engine.host.launch(parked)
            await parked.wait_ended()
            known.status = RunStatus.cancelled
            return True
        paused = engine.host.find_paused(run_id)
        if paused is None or not paused.is_paused:
            return False
        paused.status, paused.content = RunStatus.cancelled, f"Run {run_id} was cancelled"
        return True


def _check_run(run_id: Any, session_id: Any = None) -> None:
    """InputError for ids that are no text; None is none."""
    checks.text(run_id, "run_id", error=InputError)
    checks.text(session_id, "session_id", error=InputError)
