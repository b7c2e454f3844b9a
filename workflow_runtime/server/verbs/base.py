"""What the groups of verbs share: the workflows, and whose a run or a session is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import anyio

from ... import BaseDb, RunNotFound, SessionNotFound, Workflow, WorkflowRunOutput
from ...storage.base import RunRow, SessionRow
from ..auth import User
from ..errors import Refused
from ..limits import Limits
from ..seats import Seats

__all__ = ["Verbs"]


class Verbs:
    """Workflows by id, limits, and the sign that the process is told to end."""

    def __init__(self, workflows: Iterable[Workflow], *, limits: Limits | None = None, grace: float = 10.0) -> None:
        self.workflows: Mapping[str, Workflow] = _by_id(workflows)
        self.limits = limits or Limits()
        self.seats = Seats(self.limits)
        self.grace = grace  # seconds that a request which waits for a run may go on when the process is told to end
        self.stopping = anyio.Event()
        self.started = False

    def workflow(self, workflow_id: str) -> Workflow:
        """Refused (404) where there is none."""
        found = self.workflows.get(workflow_id)
        if found is None:
            raise Refused(404, "workflow_not_found", "no such workflow")
        return found

    def chosen(self, workflow_id: str | None) -> list[Workflow]:
        """That workflow, or all."""
        return [self.workflow(workflow_id)] if workflow_id is not None else list(self.workflows.values())

    def databases(self) -> list[tuple[Workflow, BaseDb]]:
        """Each database once, with the first workflow that uses it."""
        found: list[tuple[Workflow, BaseDb]] = []
        for workflow in self.workflows.values():
            db = workflow.db
            if db is not None and not any(db is known for _, known in found):
                found.append((workflow, db))
        return found

    async def mine(self, user: User, workflow_id: str, run_id: str) -> tuple[Workflow, RunRow | WorkflowRunOutput]:
        """A run of this workflow and user: as it is stored, or as it is in memory where nothing is stored of it.

        Raises:
            RunNotFound: There is none, or it is another user's.
        """
        workflow = self.workflow(workflow_id)
        found: RunRow | WorkflowRunOutput | None = None
        if is_key(run_id):
            if workflow.db is not None:
                found = await workflow.db.load_run(run_id)
            if found is None:
                found = await workflow.aget_run(run_id)
        if found is None or found.workflow_id != workflow.id or user.scope not in (None, found.user_id):
            raise RunNotFound(f"no run {run_id!r}")
        return workflow, found

    async def workflow_of(self, user: User, run_id: str) -> str:
        """The id of the workflow that a run is of. Raises RunNotFound."""
        for workflow_id in self.workflows:
            try:
                await self.mine(user, workflow_id, run_id)
            except RunNotFound:
                continue
            return workflow_id
        raise RunNotFound(f"no run {run_id!r}")

    async def my_session(self, user: User, session_id: str) -> tuple[Workflow, SessionRow]:
        """A session of this user, and a workflow that has its database. Raises SessionNotFound."""
        for workflow, db in self.databases():
            row = await db.load_session(session_id) if is_key(session_id) else None
            if row is not None and user.scope in (None, row.user_id):
                return workflow, row
        raise SessionNotFound(f"no session {session_id!r}")


def is_key(text: str) -> bool:
    """Whether a database can look for it: PostgreSQL refuses a NUL in a text."""
    return "\x00" not in text and len(text) <= 1000


def _by_id(workflows: Iterable[Workflow]) -> dict[str, Workflow]:
    found: dict[str, Workflow] = {}
    for workflow in workflows:
        if found.setdefault(workflow.id, workflow) is not workflow:
            raise ValueError(f"two workflows have the id {workflow.id!r}; give one of them another id=")
    return found
