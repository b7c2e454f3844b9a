"""Verbs about stored and running runs: reading, cancelling, listing what waits for a person."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from types import NoneType
from typing import Any

from .. import engine
from ..core.filters import skip_sieve, skips_an_end, subscription_sieve
from ..model import checks
from ..model.enums import RunStatus
from ..model.errors import InputError, RunNotFound
from ..model.requirements import ErrorRequirement, StepRequirement
from ..model.run import WorkflowRunOutput
from ..storage.base import RunFilter, RunRow
from .base import Verbs

__all__ = ["RunVerbs"]

logger = logging.getLogger("workflow_runtime")
_PAGE = 500


class RunVerbs(Verbs):
    async def aget_run(self, run_id: str, session_id: str | None = None) -> WorkflowRunOutput | None:
        """The run as it is now, running ones included; None if it is unknown, or not of the session that was named."""
        _check_run(run_id, session_id)
        found = await self.read_run(run_id)
        return found if found is None or session_id in (None, found.session_id) else None

    async def read_run(self, run_id: str, *, events: bool = True) -> WorkflowRunOutput | None:
        """The run as it is now, None if it is unknown. ``events=False`` does not read those that the database keeps, of
        which a run may have many."""
        live = engine.host.find_live(run_id)
        if live is not None:
            return live.output
        if self.db is None:
            return engine.host.find_finished(run_id)
        return await self._load(run_id, events=events)

    def get_run(self, run_id: str, session_id: str | None = None) -> WorkflowRunOutput | None:
        """The synchronous form of ``aget_run``."""
        return engine.portal.call(lambda: self.aget_run(run_id, session_id))

    async def aget_run_output(
        self, run_id: str, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The stored output of a run; None (and a warning) if there is none."""
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
        return await engine.stored.output_of(self.db, await self._settled(row))

    async def _load(self, run_id: str, *, events: bool = True) -> WorkflowRunOutput | None:
        assert self.db is not None
        row = await self.db.load_run(run_id)
        if row is None:
            return None
        return await engine.stored.output_of(self.db, await self._settled(row), events=events)

    async def _settled(self, row: RunRow) -> RunRow:
        """``row``, or what it became: a paused run whose cancel was granted, and whose canceller died then, is ended."""
        assert self.db is not None
        if not (row.cancel_requested and row.status is RunStatus.paused and row.workflow_id == self.id):
            return row
        skip = skip_sieve(self.events_to_skip)
        await engine.resume.end_cancelled(self.definition(), row, store_events=self.store_events, skip=skip)
        return await self.db.load_run(row.run_id) or row

    def get_run_output(
        self, run_id: str, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The synchronous form of ``aget_run_output``."""
        return engine.portal.call(lambda: self.aget_run_output(run_id, session_id, user_id))

    async def aget_last_run_output(
        self, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The newest run of the session; None if it has none. Reads one row."""
        if self.db is None:
            return None
        chosen = self.resolve_session(session_id, user_id or self.user_id)
        rows = await self.db.list_runs(RunFilter(session_id=chosen), limit=1)
        if not rows:
            return None
        engine.sessions.refuse_other_user(rows[0], user_id)
        return await engine.stored.output_of(self.db, await self._settled(rows[0]))

    def get_last_run_output(
        self, session_id: str | None = None, user_id: str | None = None
    ) -> WorkflowRunOutput | None:
        """The synchronous form of ``aget_last_run_output``."""
        return engine.portal.call(lambda: self.aget_last_run_output(session_id, user_id))

    async def alist_pending(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        limit: int | None = None,
        after: Any = None,
    ) -> list[Any]:
        """The open requirements of this workflow's paused and running runs, oldest first.

        Each names its run in ``run_id``. ``limit`` is how many to give (None: all); ``after`` is the last requirement of the
        page before.
        """
        checks.number(limit, "limit", "list_pending(): ", least=1, whole=True, none="all", error=InputError)
        if after is not None and not isinstance(after, StepRequirement | ErrorRequirement):
            raise InputError(f"after={after!r} must be the last requirement of the page before")
        if self.db is None:
            return []
        key = None if after is None else (after.created_at or 0.0, after.id)
        found: list[Any] = []
        while limit is None or len(found) < limit:
            page = await self.db.list_requirements(
                session_id=session_id,
                user_id=user_id,
                workflow_id=self.id,
                limit=_PAGE if limit is None else min(_PAGE, limit - len(found)),
                after=key,
            )
            found.extend(engine.stored.requirement_of(row) for row in page)
            if not page:
                break
            key = page[-1].created_at, page[-1].requirement_id
        return found

    def left_alone(self, run_id: str) -> str | None:
        """Why this process has left a run as it is that it was to go on with: what it needs of what is stored cannot be
        read here. None where it has not, or a module was loaded since."""
        return engine.unreadable.aside(self.db, run_id) if self.db is not None else None

    def list_pending(
        self,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        limit: int | None = None,
        after: Any = None,
    ) -> list[Any]:
        """The synchronous form of ``alist_pending``."""
        return engine.portal.call(lambda: self.alist_pending(session_id, user_id, limit=limit, after=after))

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
        """Follow a run: its stored events after ``after``, then live ones, to its final event.

        ``after`` is an event's ``id``: a reader that had seen more than a process stored before it died gets
        WorkflowResumed, and all events of the attempt that took the run over. Of a reader that comes before that, the
        same, when it happens. A plain number (``seq``) counts in the attempt that the run is at when the reader begins.

        Any number of readers, in this process or another one that shares the database; leaving one touches nothing.
        ``kinds`` are event names or classes, ``path`` a glob such as "research.*"; the final event and WorkflowResumed
        always come. ``policy`` (coalesce, drop, disconnect, block) only matters where no log is kept.
        """
        return engine.subscription.Subscription(
            self.db,
            run_id,
            after=after,
            sieve=subscription_sieve(kinds, path),
            policy=policy,
            size=size,
            ends_are_skipped=skips_an_end(self.events_to_skip),
            broker=self.broker,
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

    async def requeue(self, run_id: str) -> None:
        """Let a run that was put aside (its process died too often while a step was executing) be continued from its last
        outcome by the next Runtime, or ``recover()``, of its workflow.

        Raises:
            RunNotFound, RunNotPaused: There is no such run; it was not put aside.
        """
        _check_run(run_id)
        db = engine.sessions.storage_needed(self.db, "requeue()")
        await engine.deaths.requeue(db, run_id, self.clock.time())

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
        checks.text(new_run_id, "new_run_id", error=InputError)
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
        return await (self._detach(prepare) if background else engine.host.run_awaited(prepare))


def _check_run(run_id: Any, session_id: Any = None) -> None:
    """InputError for ids that are no text; None is none, where no session is meant."""
    checks.required(run_id, "run_id")
    checks.identifier(session_id, "session_id", error=InputError)
