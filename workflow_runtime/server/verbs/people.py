"""What waits for a person, and the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ... import ErrorRequirement, RunNotFound, RunNotPaused, StepRequirement, Unanswered, WorkflowRunOutput
from ...model.codec import decode_requirement
from ..auth import User
from ..errors import Refused
from ..rows import MOST, PendingItem, pending_item
from ..served_run import ServedRun
from .runs import RunVerbs

__all__ = ["PeopleVerbs"]

Requirement = StepRequirement | ErrorRequirement


class PeopleVerbs(RunVerbs):
    async def pending(
        self, user: User, workflow_id: str | None = None, *, session_id: str | None = None, limit: int = 100
    ) -> list[PendingItem]:
        """The open questions of paused runs, oldest first."""
        limit = max(1, min(limit, MOST))
        found: list[tuple[float, PendingItem]] = []
        for workflow in self.chosen(workflow_id):
            if workflow.db is not None:
                rows = await workflow.db.list_requirements(
                    workflow_id=workflow.id, user_id=user.scope, session_id=session_id, limit=limit
                )
                found.extend((row.created_at, pending_item(row, decode_requirement(row.data, row))) for row in rows)
        found.sort(key=lambda pair: pair[0])
        return [item for _, item in found[:limit]]

    async def answer(
        self,
        user: User,
        workflow_id: str,
        run_id: str,
        answers: Mapping[str, Mapping[str, Any]],
        *,
        stream: bool = False,
        stream_events: bool = True,
        background: bool = False,
    ) -> WorkflowRunOutput | ServedRun:
        """Answer some of a paused run's questions, and go on with it: its events with ``stream``, the output as it is now
        with ``background``, else that at its end or next pause. Arguments and errors are those of ``proceed``."""
        run = await self.proceed(user, workflow_id, run_id, answers, stream_events=stream_events)
        if stream:
            return run
        async with run:
            return await self.run(user, workflow_id, run_id) if background else await run.output()

    async def proceed(
        self,
        user: User,
        workflow_id: str,
        run_id: str,
        answers: Mapping[str, Mapping[str, Any]],
        *,
        stream_events: bool = True,
    ) -> ServedRun:
        """Answer some of a paused run's questions, and go on with it. No answers: go on with those that are stored.

        ``answers`` maps a requirement's id to what its JSON Schema describes. Whoever leaves before the run's end does
        not cancel it: they answered, and the run is another one's.

        Raises:
            RunNotFound, RunNotPaused, AlreadyAnswered, PlanChanged: As ``acontinue_run``; nothing was changed.
            Refused: An answer does not fit, or names no question of this run; nothing was changed.
        """
        workflow, _ = await self.mine(user, workflow_id, run_id)
        output = await workflow.aget_run(run_id)
        if output is None:
            raise RunNotFound(f"no run {run_id!r}")
        if not output.is_paused:
            raise RunNotPaused(f"run {run_id!r} is {output.status}")
        answered = answer_all([*(output.step_requirements or ()), *(output.error_requirements or ())], answers)
        options: dict[str, Any] = {"run_response": output} if workflow.db is None else {}
        continued = workflow.acontinue_run(
            **options,
            run_id=run_id,
            step_requirements=answered,
            stream=True,
            stream_events=stream_events,
            background=True,
        )
        try:
            return await self.served(workflow, continued, owner=False)
        except Unanswered:
            raise Refused(409, "unanswered", "nothing of what is open was answered") from None


def answer_all(asked: Sequence[Requirement], answers: Mapping[str, Mapping[str, Any]]) -> list[Requirement]:
    """The questions that ``answers`` names, each with its answer put in. Refused (400) with every problem named."""
    by_id = {item.id: item for item in asked}
    problems: list[str] = []
    found: list[Requirement] = []
    for key, data in answers.items():
        item = by_id.get(key)
        if item is None:
            problems.append(f"there is no requirement {key!r}; the run has {sorted(by_id)}")
            continue
        try:
            item.answer(data)
        except ValueError as error:
            problems.append(str(error))
        found.append(item)
    if problems:
        raise Refused(400, "bad_answer", "\n".join(problems))
    return found
