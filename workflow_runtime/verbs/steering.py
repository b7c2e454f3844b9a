"""Verbs that end or restart one step of a run."""

from __future__ import annotations

from .. import engine
from ..model.steering import StepReceipt
from .base import Verbs

__all__ = ["SteerVerbs"]


class SteerVerbs(Verbs):
    async def acancel_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """Cancel one step or container of a run, which runs or waits now; the run continues without it. Its output has
        ``cancelled=True``, ``success=False`` and ``reason`` as its error; a container keeps the outputs that its steps had.

        The order is stored first, and the process that executes the run takes it. A paused run is continued by the next
        Runtime or server of its workflow, or by ``acontinue_run(run_id=...)``. Without a database the run must be in this
        process.

        Args:
            path: The step's place, as events, ``history`` and ``wfr show`` have it, such as "0.fetch/1.parse".
            reason: Text for the log and the output.
            message_id: The caller's own name for the order: sent again with the same id, it counts once. None: a new one.

        Raises:
            RunNotFound, RunEnded: There is no such run; it has ended.
            StepNotFound: The workflow has no step at ``path``.
            StepNotRunning: The step neither runs nor waits: it has not begun, or it has ended. Nothing was changed.
            MessageConflict: The run has another message with this id.
            InputError: An argument is wrong.
        """
        return await engine.ordering.order_step(
            self.definition(), run_id, path, "cancel", reason=reason, message_id=message_id
        )

    def cancel_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """The same as ``acancel_step`` for code that is not async."""
        return engine.portal.call(lambda: self.acancel_step(run_id, path, reason=reason, message_id=message_id))

    async def askip_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """Skip one step or container of a run, which runs or waits now. Its output has ``skipped=True`` and the step's input
        as its content, so the next step gets that. Otherwise the same as ``acancel_step``."""
        return await engine.ordering.order_step(
            self.definition(), run_id, path, "skip", reason=reason, message_id=message_id
        )

    def skip_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """The same as ``askip_step`` for code that is not async."""
        return engine.portal.call(lambda: self.askip_step(run_id, path, reason=reason, message_id=message_id))

    async def aretry_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """End the attempt of a step that runs or waits now, and begin another one. Its open questions are withdrawn; what it
        recorded with ``once`` stays recorded. In a container, all steps that run now begin again. Otherwise the same as
        ``acancel_step``."""
        return await engine.ordering.order_step(
            self.definition(), run_id, path, "retry", reason=reason, message_id=message_id
        )

    def retry_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """The same as ``aretry_step`` for code that is not async."""
        return engine.portal.call(lambda: self.aretry_step(run_id, path, reason=reason, message_id=message_id))
