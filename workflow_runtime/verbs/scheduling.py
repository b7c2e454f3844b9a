"""Verbs of schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from .. import engine
from ..model.schedule import Schedule
from .base import Verbs

__all__ = ["ScheduleVerbs"]


class ScheduleVerbs(Verbs):
    async def aschedule(
        self,
        name: str,
        *,
        cron: str | None = None,
        every: float | timedelta | None = None,
        tz: str | None = None,
        input: Any = None,
        user_id: str | None = None,
        session_id: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> Schedule:
        """Queue a run again and again: at the times of ``cron``, or ``every`` so many seconds from now on.

        The schedule is stored. A Runtime or a worker of the workflow queues the run within about a second after its time,
        once, however many there are. A schedule of the same name is replaced; one that is the same stays as it is, so a
        program may call this each time that it starts. If times were missed, one run is queued when the first Runtime
        starts again.

        Args:
            name: The name within the workflow, of at most 100 bytes. A run's id is made of workflow, name and time.
            cron: Five fields, as in "0 3 * * *". Needs the extra ``schedule``.
            every: Seconds, at least 1, or a timedelta.
            tz: The time zone of ``cron``, as in "Europe/Berlin". None: UTC.
            input, user_id, queue, priority: As for ``arun``.
            session_id: The session of all runs. None: each run has its own.

        Raises:
            InputError: An argument is not valid.
            BuildError: The package for ``cron`` is missing.
            StorageError: The workflow has no database.
        """
        db = engine.sessions.storage_needed(self.db, "schedule()")
        return await engine.scheduling.put_schedule(
            db,
            self.id,
            name,
            cron=cron,
            every=every,
            tz=tz,
            now=self.clock.time(),
            value=engine.inputs.checked_input(input, self.input_schema),
            user_id=user_id or self.user_id,
            session_id=session_id or self.session_id,
            queue=queue,
            priority=priority,
        )

    def schedule(
        self,
        name: str,
        *,
        cron: str | None = None,
        every: float | timedelta | None = None,
        tz: str | None = None,
        input: Any = None,
        user_id: str | None = None,
        session_id: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> Schedule:
        """The same as ``aschedule`` for code that is not async."""
        options: dict[str, Any] = {"cron": cron, "every": every, "tz": tz, "input": input, "user_id": user_id}
        options |= {"session_id": session_id, "queue": queue, "priority": priority}
        return engine.portal.call(lambda: self.aschedule(name, **options))

    async def alist_schedules(self) -> list[Schedule]:
        """The schedules of this workflow, by name. StorageError if the workflow has no database."""
        db = engine.sessions.storage_needed(self.db, "list_schedules()")
        return await engine.scheduling.list_schedules(db, self.id)

    def list_schedules(self) -> list[Schedule]:
        """The same as ``alist_schedules`` for code that is not async."""
        return engine.portal.call(self.alist_schedules)

    async def adelete_schedule(self, name: str) -> bool:
        """Delete a schedule; runs that it has queued stay. False if there is none. StorageError without a database."""
        db = engine.sessions.storage_needed(self.db, "delete_schedule()")
        return await engine.scheduling.delete_schedule(db, self.id, name)

    def delete_schedule(self, name: str) -> bool:
        """The same as ``adelete_schedule`` for code that is not async."""
        return engine.portal.call(lambda: self.adelete_schedule(name))
