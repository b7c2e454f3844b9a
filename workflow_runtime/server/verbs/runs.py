"""Starting, reading, following and cancelling runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from ... import (
    Event,
    InputError,
    RunNotFound,
    RunStatus,
    RunStream,
    SessionNotFound,
    Subscription,
    Workflow,
    WorkflowRunOutput,
)
from ...core.position import Position, parse_position
from ...model.codec import decode_event
from ...storage.base import RunFilter, RunRow
from ..auth import User
from ..errors import Refused
from ..requests import StartRun
from ..rows import MOST, Page, RunSummary, page_of, parse_cursor, run_summary
from ..served_run import ServedRun
from .base import Verbs

__all__ = ["RunVerbs", "refuse_ids"]


class RunVerbs(Verbs):
    async def start(self, user: User, workflow_id: str, start: StartRun) -> WorkflowRunOutput | ServedRun:
        """Start a run: its PENDING output with ``background``, its events with ``stream``, else its output at the end.

        A run without ``session_id`` has a session of its own.

        Raises:
            Refused: The run id is taken, by a run that is not to be joined or differs; or media name a file of the
                server. Nothing was started.
            SessionNotFound: The session is another user's.
            InputError: The input does not fit the workflow's schema.
        """
        if start.background and not start.stream:
            workflow = self.workflow(workflow_id)
            options = await self._options(user, workflow, start)
            pending: WorkflowRunOutput = await workflow.arun(stream=False, background=True, **options)
            return pending
        run = await self.begin(user, workflow_id, start)
        if start.stream:
            return run
        async with run:
            return await run.output()

    async def begin(self, user: User, workflow_id: str, start: StartRun) -> ServedRun:
        """``start`` for who wants the run's events, whatever ``start.stream`` says. Leave it with ``aclose``."""
        workflow = self.workflow(workflow_id)
        options = await self._options(user, workflow, start)
        stream = workflow.arun(stream=True, stream_events=start.stream_events, background=True, **options)
        return await self.served(workflow, stream, owner=not start.background)

    async def served(self, workflow: Workflow, stream: RunStream, *, owner: bool) -> ServedRun:
        """The run of ``stream``, started: it is stored, and can be found by its id."""
        run = ServedRun(workflow, stream, owner=owner, is_stopping=self.stopping.is_set)
        return await run.__aenter__()

    async def _options(self, user: User, workflow: Workflow, start: StartRun) -> dict[str, Any]:
        """The arguments of ``arun``, once it is clear that this user may use these ids."""
        if user.scope is not None and start.user_id not in (None, user.scope):
            raise Refused(403, "other_user", "user_id is not yours; leave it out")
        user_id = start.user_id or user.user_id
        join = start.if_exists == "join"
        await refuse_ids(workflow, user_id, start.session_id, None if join else start.run_id)
        session_id = start.session_id or (await _session_of(workflow, start.run_id) if join else None)
        for item in (*(start.images or ()), *(start.videos or ()), *(start.audio or ()), *(start.files or ())):
            if item.filepath is not None:
                raise Refused(400, "bad_media", "filepath names a file of the server; send url or content")
        named = (
            "images",
            "videos",
            "audio",
            "files",
            "session_state",
            "additional_data",
            "metadata",
            "dependencies",
            "tags",
        )
        return {
            "input": start.input,
            "user_id": user_id,
            "session_id": session_id or str(uuid.uuid4()),
            "run_id": start.run_id,
            "if_exists": start.if_exists,
            **{name: getattr(start, name) for name in named},
        }

    async def run(self, user: User, workflow_id: str, run_id: str, *, events: bool = True) -> WorkflowRunOutput:
        """The run as it is now; ``events=False`` leaves those that are stored unread."""
        workflow, _ = await self.mine(user, workflow_id, run_id)
        output = await workflow.read_run(run_id, events=events)
        if output is None:
            raise RunNotFound(f"no run {run_id!r}")
        return output

    async def runs(
        self,
        user: User,
        workflow_id: str | None = None,
        *,
        session_id: str | None = None,
        statuses: Iterable[RunStatus] | None = None,
        tags: Iterable[str] = (),
        since: float | None = None,
        until: float | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page:
        """Stored runs as RunSummary, newest first; of all workflows of this server without ``workflow_id``."""
        limit, key = max(1, min(limit, MOST)), parse_cursor(before)
        wanted = frozenset(statuses) if statuses is not None else None
        found: list[RunSummary] = []
        for workflow in self.chosen(workflow_id):
            if workflow.db is not None:
                where = RunFilter(
                    workflow_id=workflow.id,
                    user_id=user.scope,
                    session_id=session_id,
                    statuses=wanted,
                    tags=frozenset(tags),
                    since=since,
                    until=until,
                )
                rows = await workflow.db.list_runs(where, limit=limit + 1, before=key)
                found.extend(run_summary(row, workflow.left_alone(row.run_id)) for row in rows)
        return page_of(found, limit)

    async def subscribe(
        self,
        user: User,
        workflow_id: str,
        run_id: str,
        *,
        after: int | str = 0,
        kinds: Sequence[str] | None = None,
        path: str | None = None,
    ) -> Subscription:
        """The events of a run after ``after`` (an event's id, or a seq), then live, to its final event.

        Raises:
            RunNotFound: There is no such run of this user.
            Refused: ``after`` is neither (400); the run has ended and its events are gone (410).
        """
        workflow, run = await self.mine(user, workflow_id, run_id)
        seen = position(after)
        subscription = workflow.subscribe(run_id, seen if isinstance(seen, int) else str(seen), kinds, path)
        if run.status.is_final and not (workflow.db is not None and subscription.ends_are_skipped):
            is_kept = (
                bool(await workflow.db.load_events(run_id, limit=1)) if workflow.db is not None else run_events(run)
            )
            if not is_kept:
                raise Refused(410, "events_gone", "the run has ended and its events are not stored")
        return subscription

    async def events(
        self, user: User, workflow_id: str, run_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        """The events behind ``after`` that are stored, or where nothing is stored in memory: in order, at most ``limit``."""
        workflow, _ = await self.mine(user, workflow_id, run_id)
        if workflow.db is not None:
            return [
                decode_event(row.data, row) for row in await workflow.db.load_events(run_id, after=after, limit=limit)
            ]
        output = await workflow.aget_run(run_id)
        return [event for event in (output.events if output else None) or () if event.seq > after][:limit]

    async def has_seen_all(self, user: User, workflow_id: str, run_id: str, after: int | str) -> bool:
        """Whether nothing will follow behind ``after``: the run has ended, and that was its last event."""
        _, run = await self.mine(user, workflow_id, run_id)
        if not run.status.is_final:
            return False
        newest = Position(run.attempt, run.seq) if isinstance(run, RunRow) else Position(run.epoch, run.last_seq)
        seen = position(after)
        return seen >= newest.seq if isinstance(seen, int) else seen >= newest

    async def cancel(self, user: User, workflow_id: str, run_id: str) -> bool:
        """True if the run was running, pending or paused, here or in another process."""
        workflow, _ = await self.mine(user, workflow_id, run_id)
        return await workflow.acancel_run(run_id)


async def refuse_ids(workflow: Workflow, user_id: str | None, session_id: str | None, run_id: str | None) -> None:
    """SessionNotFound for a session of another user; Refused (409) for the id of a run that is there."""
    if session_id is not None and user_id is not None and workflow.db is not None:
        session = await workflow.db.load_session(session_id)
        if session is not None and session.user_id != user_id:
            raise SessionNotFound("no such session")
    if run_id is not None and await _is_taken(workflow, run_id):
        raise Refused(409, "run_exists", "a run of this id exists; leave run_id out to get a new one")


def run_events(run: RunRow | WorkflowRunOutput) -> bool:
    """Whether a run that no database keeps still has its events."""
    return isinstance(run, WorkflowRunOutput) and bool(run.events)


async def _session_of(workflow: Workflow, run_id: str | None) -> str | None:
    """The session of a run that a call may join, which then names none."""
    if run_id is None:
        return None
    found = await (workflow.db.load_run(run_id) if workflow.db is not None else workflow.aget_run(run_id))
    return None if found is None else found.session_id


async def _is_taken(workflow: Workflow, run_id: str) -> bool:
    if workflow.db is not None and await workflow.db.load_run(run_id) is not None:
        return True
    return await workflow.aget_run(run_id) is not None


def position(after: int | str) -> Position | int:
    """An event's id such as "1-42", or a seq. Refused (400) for anything else, and for what no database can count to."""
    try:
        return parse_position(after)
    except InputError:
        raise Refused(400, "bad_position", "after must be an event's id such as 1-42, or a seq") from None
