"""Service: every verb that a client has, free of any framework, scoped by who asks. All protocols call only this.

With a database every run is started as a background run and this request is one of its readers, so any other client can
follow it by its id, and a restart of the server loses none. A client that leaves a run it did not put into the
background cancels it; a server that stops does not.
"""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec

from .. import (
    BaseDb,
    Event,
    RunNotFound,
    RunStatus,
    RunStream,
    SessionNotFound,
    Subscription,
    Workflow,
    WorkflowRunOutput,
)
from ..model.codec import decode_run
from ..storage.base import RunFilter, RunRow
from .auth import User
from .errors import Refused
from .limits import Limits
from .requests import StartRun
from .seats import Seats

__all__ = ["Page", "RunSummary", "ServedRun", "Service"]

_MOST = 200  # rows of one page


class RunSummary(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of a list of runs. Times are unix seconds; ``attempt`` is the epoch, ``last_seq`` the newest event's."""

    run_id: str
    session_id: str
    workflow_id: str | None = None
    workflow_name: str | None = None
    user_id: str | None = None
    status: RunStatus
    created_at: float
    updated_at: float
    attempt: int = 1
    last_seq: int = 0
    parent_run_id: str | None = None
    forked_from: str | None = None
    input: Any = None
    content: Any = None
    error: str | None = None


class Page(msgspec.Struct, kw_only=True):
    """Newest first. ``next`` goes into ``before`` of the next call; None: this was the last page."""

    items: list[Any]
    next: str | None = None


class ServedRun:
    """The events of a run that a request started, as they come; ends at its pause or its final event.

    Leaving it early (``aclose``, ``async with``) cancels the run if it was to be waited for, unless the server stops.
    """

    def __init__(self, workflow: Workflow, stream: RunStream, *, owner: bool, is_stopping: Callable[[], bool]) -> None:
        self.run_id = stream.run_id
        self._workflow = workflow
        self._stream = stream
        self._owner = owner
        self._is_stopping = is_stopping
        self._done = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self._done = True
            raise
        except Exception as error:  # the step's own, after WorkflowError told the reader of it
            self._ended_by(error)
            raise StopAsyncIteration from None

    async def take_some(self) -> list[Event]:
        """All events that are ready, at least one; empty at the end."""
        try:
            events = await self._stream.take_some()
        except Exception as error:
            self._ended_by(error)
            return []
        self._done = not events
        return events

    async def output(self) -> WorkflowRunOutput:
        """Read to the end, and how the run ended, also where it failed."""
        try:
            output = await self._stream.result()
        except Exception as error:
            return self._ended_by(error)
        self._done = True
        return output

    def _ended_by(self, error: Exception) -> WorkflowRunOutput:
        output = getattr(error, "run_output", None)
        if not isinstance(output, WorkflowRunOutput):
            raise error
        self._done = True
        return output

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        left, self._done = not self._done, True
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
            if left and self._owner and not self._is_stopping():
                await self._workflow.acancel_run(self.run_id)


class Service:
    """The verbs of a server over some workflows. ``stop()`` is called once, when the process is told to end.

    Every verb takes the ``User`` who asks. What belongs to another user is not there: RunNotFound, SessionNotFound.
    """

    def __init__(self, workflows: Iterable[Workflow], *, limits: Limits | None = None) -> None:
        self.workflows: Mapping[str, Workflow] = _by_id(workflows)
        self.limits = limits or Limits()
        self.seats = Seats(self.limits)
        self.stopping = anyio.Event()

    def stop(self) -> None:
        """Streams end, so that the server can close; the runs stay for the next process."""
        self.stopping.set()

    def workflow(self, workflow_id: str) -> Workflow:
        found = self.workflows.get(workflow_id)
        if found is None:
            raise Refused(404, "workflow_not_found", "no such workflow")
        return found

    # -- starting ------------------------------------------------------------------------------------------------------

    async def start(self, user: User, workflow_id: str, start: StartRun) -> WorkflowRunOutput | ServedRun:
        """Start a run: its PENDING output with ``background``, its events with ``stream``, else its output at the end.

        Raises:
            Refused: The run id is taken, or the session is another user's; nothing was started.
            InputError: The input does not fit the workflow's schema.
        """
        workflow = self.workflow(workflow_id)
        options = await self._options(user, workflow, start)
        if start.background and not start.stream:
            pending: WorkflowRunOutput = await workflow.arun(stream=False, background=True, **options)
            return pending
        stream = workflow.arun(stream=True, stream_events=start.stream_events, background=True, **options)
        return await self._served(workflow, stream, owner=not start.background, streamed=start.stream)

    async def _options(self, user: User, workflow: Workflow, start: StartRun) -> dict[str, Any]:
        """The arguments of ``arun``, once it is clear that this user may use these ids."""
        if user.scope is not None and start.user_id not in (None, user.scope):
            raise Refused(403, "other_user", "user_id is not yours; leave it out")
        user_id = user.scope or start.user_id
        if start.session_id is not None and user_id is not None and workflow.db is not None:
            session = await workflow.db.load_session(start.session_id)
            if session is not None and session.user_id != user_id:
                raise SessionNotFound("no such session")
        if start.run_id is not None and await self._known(workflow, start.run_id):
            raise Refused(409, "run_exists", "a run of this id exists; leave run_id out to get a new one")
        for item in (*(start.images or ()), *(start.videos or ()), *(start.audio or ()), *(start.files or ())):
            if item.filepath is not None:
                raise Refused(400, "bad_media", "filepath names a file of the server; send url or content")
        named = ("images", "videos", "audio", "files", "session_state", "additional_data", "metadata", "dependencies")
        return {
            "input": start.input,
            "user_id": user_id,
            "session_id": start.session_id,
            "run_id": start.run_id,
            **{name: getattr(start, name) for name in named},
        }

    async def _served(
        self, workflow: Workflow, stream: RunStream, *, owner: bool, streamed: bool
    ) -> WorkflowRunOutput | ServedRun:
        run = ServedRun(workflow, stream, owner=owner, is_stopping=self.stopping.is_set)
        await run.__aenter__()
        if streamed:
            return run
        async with run:
            return await run.output()

    async def _known(self, workflow: Workflow, run_id: str) -> bool:
        if workflow.db is not None and await workflow.db.load_run(run_id) is not None:
            return True
        return await workflow.aget_run(run_id) is not None

    # -- reading -------------------------------------------------------------------------------------------------------

    async def run(self, user: User, workflow_id: str, run_id: str) -> WorkflowRunOutput:
        """The run as it is now."""
        workflow = await self._mine(user, workflow_id, run_id)
        output = await workflow.aget_run(run_id)
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
        limit: int = 50,
        before: str | None = None,
    ) -> Page:
        """Stored runs as RunSummary, newest first; of all workflows of this server without ``workflow_id``."""
        workflows = [self.workflow(workflow_id)] if workflow_id is not None else list(self.workflows.values())
        limit, key = max(1, min(limit, _MOST)), _parse_cursor(before)
        rows: list[RunRow] = []
        for workflow in workflows:
            if workflow.db is not None:
                where = RunFilter(
                    workflow_id=workflow.id,
                    user_id=user.scope,
                    session_id=session_id,
                    statuses=frozenset(statuses) if statuses is not None else None,
                )
                rows.extend(await workflow.db.list_runs(where, limit=limit + 1, before=key))
        page = heapq.nlargest(limit + 1, rows, key=lambda row: (row.created_at, row.run_id))
        more = _cursor(page[limit - 1].created_at, page[limit - 1].run_id) if len(page) > limit else None
        return Page(items=[_summary(row) for row in page[:limit]], next=more)

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
        """The events of a run behind ``after`` (a seq, or an event's id), then live, to its final event.

        Raises:
            RunNotFound: There is no such run of this user.
            Refused: ``after`` is neither.
        """
        workflow = await self._mine(user, workflow_id, run_id)
        try:
            return workflow.subscribe(run_id, _checked_after(after), kinds, path)
        except ValueError:
            raise Refused(400, "bad_position", "after must be a seq or an event's id such as 1-42") from None

    async def cancel(self, user: User, workflow_id: str, run_id: str) -> bool:
        """True if the run was running, pending or paused, here or in another process."""
        workflow = await self._mine(user, workflow_id, run_id)
        return await workflow.acancel_run(run_id)

    # -- whose it is ---------------------------------------------------------------------------------------------------

    async def _mine(self, user: User, workflow_id: str, run_id: str) -> Workflow:
        """The workflow of a run that is there and is this user's; else RunNotFound."""
        workflow = self.workflow(workflow_id)
        found: RunRow | WorkflowRunOutput | None = None
        if workflow.db is not None:
            found = await workflow.db.load_run(run_id)
        if found is None:
            found = await workflow.aget_run(run_id)
        if found is None or found.workflow_id != workflow.id or user.scope not in (None, found.user_id):
            raise RunNotFound(f"no run {run_id!r}")
        return workflow

    def databases(self) -> list[BaseDb]:
        """Each database once, in the order of the workflows."""
        found: list[BaseDb] = []
        for workflow in self.workflows.values():
            if workflow.db is not None and not any(workflow.db is db for db in found):
                found.append(workflow.db)
        return found

    @asynccontextmanager
    async def reading(self, user: User, run_id: str | None = None) -> AsyncIterator[None]:
        """A place for one open stream or socket. Refused (429) where this user, or the run, has too many."""
        with self.seats.taken(user, run_id):
            yield


def _by_id(workflows: Iterable[Workflow]) -> dict[str, Workflow]:
    found: dict[str, Workflow] = {}
    for workflow in workflows:
        if found.setdefault(workflow.id, workflow) is not workflow:
            raise ValueError(f"two workflows have the id {workflow.id!r}; give one of them another id=")
    return found


def _summary(row: RunRow) -> RunSummary:
    output = decode_run(row.data)
    return RunSummary(
        run_id=row.run_id,
        session_id=row.session_id,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        user_id=row.user_id,
        status=row.status,
        created_at=row.created_at,
        updated_at=row.updated_at,
        attempt=row.attempt,
        last_seq=row.seq,
        parent_run_id=row.parent_run_id,
        forked_from=row.forked_from,
        input=output.input,
        content=output.content,
        error=output.error,
    )


def _cursor(created_at: float, row_id: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([created_at, row_id])).decode().rstrip("=")


def _parse_cursor(text: str | None) -> tuple[float, str] | None:
    if not text:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[float, str])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Refused(400, "bad_cursor", "before must be the next of an earlier page") from None


_LARGEST = 2**63 - 1  # what databases count with


def _checked_after(after: int | str) -> int | str:
    """``after`` if its numbers are such as a database can compare; ValueError otherwise."""
    if isinstance(after, str) and after.isascii() and after.isdigit():
        after = int(after)
    parts = [after] if isinstance(after, int) else [int(part) for part in after.split("-") if part.isdigit()]
    if any(not 0 <= part <= _LARGEST for part in parts) or (isinstance(after, str) and not after.isascii()):
        raise ValueError(after)
    return after
