"""Verbs about many runs: listing them, and cancelling, retrying and forking those that a filter chooses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from .. import engine
from ..model import checks
from ..model.enums import RunStatus
from ..model.errors import InputError, RunNotFound, RunNotPaused, StorageError, WorkflowRuntimeError
from ..model.run import WorkflowRunOutput
from ..model.run_summary import RunSummary
from .runs import RunVerbs

__all__ = ["BulkReport", "ListVerbs"]

_LIVE = (RunStatus.pending, RunStatus.running, RunStatus.paused)


class BulkReport(msgspec.Struct, kw_only=True):
    """What a verb for many runs did. ``done`` maps the id of each run to that of the run that came of it (the same for a
    cancel); ``failed`` the id of each that was left to the reason."""

    done: dict[str, str] = msgspec.field(default_factory=dict)
    failed: dict[str, str] = msgspec.field(default_factory=dict)


class ListVerbs(RunVerbs):
    async def alist_runs(
        self,
        *,
        status: RunStatus | str | Iterable[RunStatus | str] | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        tags: str | Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        limit: int = 50,
        after: RunSummary | None = None,
    ) -> list[RunSummary]:
        """This workflow's stored runs that fit, newest first; empty without a database.

        Args:
            status: One status, or several.
            since: Created at or after this (unix seconds, or a datetime with a time zone).
            until: Created before this.
            tags: Runs that have this tag, or all of these.
            metadata: Runs whose metadata hold these keys with these values. Compared run by run; the other filters are
                looked up.
            limit: At most so many.
            after: The last run of the page before.
        """
        where = "list_runs(): "
        checks.number(limit, "limit", where, least=1, whole=True, error=InputError)
        if after is not None and not isinstance(after, RunSummary):
            raise InputError(f"{where}after={after!r} must be the last run of the page before")
        what = engine.listing.chosen(
            self.id,
            where,
            status=status,
            since=since,
            until=until,
            tags=tags,
            metadata=metadata,
            user_id=user_id,
            session_id=session_id,
        )
        if self.db is None:
            return []
        found, _ = await engine.listing.page(
            self.db, what, limit, (after.created_at, after.run_id) if after is not None else None
        )
        return found

    def list_runs(self, **filters: Any) -> list[RunSummary]:
        """The same as ``alist_runs`` for code that is not async."""
        return engine.portal.call(lambda: self.alist_runs(**filters))

    async def aretry(self, run_id: str) -> WorkflowRunOutput:
        """Run a failed run again from the step that failed, as a new run in the background: what was done counts as done,
        and ``forked_from`` links the two. Its PENDING output.

        Raises:
            RunNotFound, RunNotPaused: There is no such run; it has not failed.
        """
        checks.required(run_id, "run_id")
        db = engine.sessions.storage_needed(self.db, "retry()")
        row = await db.load_run(run_id)
        if row is None:
            raise RunNotFound(f"no run {run_id!r}; check the id and the workflow's db")
        if row.status is not RunStatus.error:
            raise RunNotPaused(f"run {run_id!r} has not failed: it is {row.status}; fork() runs it again from any step")
        return await self.fork(run_id, background=True)

    def retry(self, run_id: str) -> WorkflowRunOutput:
        """The same as ``aretry`` for code that is not async."""
        return engine.portal.call(lambda: self.aretry(run_id))

    # -- many ----------------------------------------------------------------------------------------------------------

    async def acancel_many(self, **filters: Any) -> BulkReport:
        """Cancel the runs that have not ended and that the filters of ``alist_runs`` choose; at least one is needed.

        Raises:
            InputError: No filter was given, or one is wrong.
            RunNotFound: No run fits. Nothing was changed.
        """

        async def cancel(run_id: str) -> str:
            if not await self.acancel_run(run_id):
                raise RunNotPaused(f"run {run_id!r} has ended")
            return run_id

        return await self._each("cancel_many(): ", {"status": _LIVE, **filters}, bool(filters), cancel)

    def cancel_many(self, **filters: Any) -> BulkReport:
        """The same as ``acancel_many`` for code that is not async."""
        return engine.portal.call(lambda: self.acancel_many(**filters))

    async def aretry_many(self, **filters: Any) -> BulkReport:
        """``aretry`` of the failed runs that the filters of ``alist_runs`` choose; at least one is needed. Raises as
        ``acancel_many``."""

        async def retry(run_id: str) -> str:
            return str((await self.aretry(run_id)).run_id)

        return await self._each("retry_many(): ", {**filters, "status": RunStatus.error}, bool(filters), retry)

    def retry_many(self, **filters: Any) -> BulkReport:
        """The same as ``aretry_many`` for code that is not async."""
        return engine.portal.call(lambda: self.aretry_many(**filters))

    async def afork_many(self, *, at: str | int | None = None, **filters: Any) -> BulkReport:
        """A fork, in the background, of each run that the filters of ``alist_runs`` choose; at least one is needed. ``at``
        is as for ``fork``. Raises as ``acancel_many``."""

        async def fork(run_id: str) -> str:
            return str((await self.fork(run_id, at, background=True)).run_id)

        return await self._each("fork_many(): ", filters, bool(filters), fork)

    def fork_many(self, *, at: str | int | None = None, **filters: Any) -> BulkReport:
        """The same as ``afork_many`` for code that is not async."""
        return engine.portal.call(lambda: self.afork_many(at=at, **filters))

    async def acancel_run(self, run_id: str) -> bool:
        raise NotImplementedError

    async def _each(
        self, call: str, filters: dict[str, Any], is_filtered: bool, act: Callable[[str], Awaitable[str]]
    ) -> BulkReport:
        """Do it to each run that is there now; the runs that come of it are not among them."""
        db = engine.sessions.storage_needed(self.db, call.removesuffix(": "))
        known = ("status", "since", "until", "tags", "metadata", "user_id", "session_id")
        unknown = [name for name in filters if name not in known]
        if unknown:
            raise InputError(f"{call}there is no filter {unknown[0]!r}; there are {', '.join(known)}")
        if not is_filtered:
            raise InputError(f"{call}say which runs: {', '.join(known)}")
        what = engine.listing.chosen(self.id, call, **{**dict.fromkeys(known), **filters})
        wanted = [run.run_id async for found in engine.listing.pages(db, what) for run in found]
        if not wanted:
            raise RunNotFound(f"{call}no run of workflow {self.id!r} fits; nothing was changed")
        report = BulkReport()
        for run_id in wanted:
            try:
                report.done[run_id] = await act(run_id)
            except StorageError:
                raise
            except (WorkflowRuntimeError, LookupError) as error:
                report.failed[run_id] = str(error)
        return report
