"""Looking back at a run, and going elsewhere from there."""

from __future__ import annotations

import msgspec

from ... import HistoryEntry, RunNotFound, WorkflowRunOutput
from ..auth import User
from ..errors import Refused
from ..requests import ForkRun
from .people import PeopleVerbs
from .runs import refuse_ids

__all__ = ["ForkVerbs"]


class ForkVerbs(PeopleVerbs):
    async def history(self, user: User, workflow_id: str, run_id: str) -> list[HistoryEntry]:
        """The journal of a run: each node with its times, attempt and output, in the order of first writes. Tracebacks show
        the server's files and code, so only an admin, or anybody where nobody is asked who they are, sees them."""
        workflow, _ = await self.mine(user, workflow_id, run_id)
        if workflow.db is None:
            raise Refused(409, "no_database", "this workflow stores nothing, so a run has no history")
        entries = await workflow.history(run_id)
        if user.scope is None:
            return entries
        return [msgspec.structs.replace(entry, traceback=None) for entry in entries]

    async def fork(self, user: User, workflow_id: str, run_id: str, fork: ForkRun) -> WorkflowRunOutput:
        """A new run, of the same user, that shares what another one had done before ``at``: its output at the end, or its
        PENDING output with ``background``.

        Raises:
            Refused: There is no such step or event (404), the workflow stores nothing, or the new id is taken (409).
        """
        workflow, source = await self.mine(user, workflow_id, run_id)
        if workflow.db is None:
            raise Refused(409, "no_database", "this workflow stores nothing, so there is nothing to fork from")
        await refuse_ids(workflow, source.user_id, fork.session_id, fork.run_id)
        try:
            forked = await workflow.fork(
                run_id,
                fork.at,
                fork.session_state,
                fork.outputs,
                session_id=fork.session_id,
                new_run_id=fork.run_id,
                background=True,
            )
        except RunNotFound:
            raise
        except LookupError as error:
            raise Refused(404, "no_such_place", str(error.args[0] if error.args else error)) from None
        if fork.background:
            return forked
        new_id = str(forked.run_id)
        async with workflow.subscribe(new_id, kinds=["WorkflowPaused"]) as events:
            async for _ in events:
                break  # it ended, or it waits for a person
        return await self.run(user, workflow_id, new_id)
