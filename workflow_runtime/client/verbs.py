"""The methods for existing runs: reading, cancelling, following, listing open questions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from ..core.filters import event_name
from ..engine.start.fork import HistoryEntry
from ..model.enums import RunStatus
from ..model.errors import RunNotFound
from ..model.requirements import ErrorRequirement, StepRequirement, requirement_from_dict
from ..model.run import WorkflowRunOutput
from .errors import ServerError
from .follower import FINAL, Follower
from .subscription import RemoteSubscription
from .transport import Transport
from .views import Page, RunSummary
from .wire import Wire, told

__all__ = ["Cancelled", "RunVerbs", "pending"]

Requirement = StepRequirement | ErrorRequirement


class _Runs(msgspec.Struct):
    runs: list[RunSummary]
    next: str | None = None


class _History(msgspec.Struct):
    history: list[HistoryEntry]


class _Question(msgspec.Struct):
    requirement: dict[str, Any]


class _Pending(msgspec.Struct):
    pending: list[_Question]


class Cancelled(msgspec.Struct):
    """The server's response to a request to cancel."""

    cancelled: bool


class RunVerbs:
    transport: Transport
    wire: Wire
    path: str

    async def aget_run(self, run_id: str) -> WorkflowRunOutput | None:
        """The run as it is now; None if the server does not know it (or it is another user's)."""
        try:
            return self.wire.output(await self.transport.call("GET", self._of(run_id)))
        except RunNotFound:
            return None

    async def alist_runs(
        self,
        session_id: str | None = None,
        status: RunStatus | None = None,
        limit: int = 50,
        before: str | None = None,
        *,
        tags: Iterable[str] = (),
        since: float | None = None,
        until: float | None = None,
    ) -> Page[RunSummary]:
        """Stored runs, newest first; ``before`` is the ``next`` of the page before. ``tags``: runs that have all of these;
        ``since`` and ``until``: created from the one on and before the other (unix seconds)."""
        query = {
            "session_id": session_id,
            "status": status,
            "limit": limit,
            "before": before,
            "tags": ",".join(tags) or None,
            "since": since,
            "until": until,
        }
        page = told(await self.transport.call("GET", f"{self.path}/runs", query=query), _Runs)
        return Page(items=page.runs, next=page.next)

    async def acancel_run(self, run_id: str) -> bool:
        """Cancel a run that is running, pending or paused. True if it was found so.

        Raises:
            RunNotFound: The server does not know it.
        """
        return told(await self.transport.call("POST", f"{self._of(run_id)}/cancel"), Cancelled).cancelled

    async def alist_pending(self, session_id: str | None = None) -> list[Requirement]:
        """The open requirements of this workflow's paused runs, oldest first. Their ``id`` starts with the run's id."""
        return await pending(self.transport, f"{self.path}/pending", session_id)

    async def history(self, run_id: str) -> list[HistoryEntry]:
        """The journal of a run: each node with its times, attempt and output. Contents are plain JSON."""
        return told(await self.transport.call("GET", f"{self._of(run_id)}/history"), _History).history

    def subscribe(
        self,
        run_id: str,
        after: int | str = 0,
        kinds: Iterable[Any] | None = None,
        path: str | None = None,
    ) -> RemoteSubscription:
        """Follow a run: its stored events after ``after``, then live ones, to its final event. Across lost connections.

        ``after`` is an event's ``id``, or a seq, which counts in the attempt that the run is at when this begins;
        ``kinds`` are event names or classes, ``path`` a glob such as "research.*"; the final event and WorkflowResumed
        always come.
        """
        query = {"kinds": ",".join(map(event_name, kinds)) if kinds is not None else None, "path": path}
        follower = Follower(self.transport, self.wire, run_id, self._of(run_id), ends=FINAL, after=after, query=query)
        return RemoteSubscription(follower)

    def _of(self, run_id: str) -> str:
        return f"{self.path}/runs/{quote(run_id, safe='')}"


async def pending(transport: Transport, path: str, session_id: str | None) -> list[Requirement]:
    found = told(await transport.call("GET", path, query={"session_id": session_id}), _Pending)
    try:
        return [requirement_from_dict(item.requirement) for item in found.pending]
    except ValueError as error:
        raise ServerError(f"the server sent a question that is none: {error}") from error
