"""Messages into a run of a server."""

from __future__ import annotations

import uuid
from typing import Any, Literal
from urllib.parse import quote

from ..model.callback import MessageReceipt
from ..model.steering import StepReceipt
from ..model.text import shown
from .transport import Transport
from .wire import told

__all__ = ["SendVerbs"]


class SendVerbs:
    transport: Transport
    path: str

    async def asend(
        self,
        run_id: str,
        topic: str,
        value: Any = None,
        *,
        message_id: str | None = None,
        only_if_awaited: bool = False,
    ) -> MessageReceipt:
        """Send a message to a run, as ``Workflow.asend`` does; the run continues with it immediately. ``value`` is sent as
        plain JSON. A lost call is retried with the same ``message_id``, and counts once.

        Raises:
            RunNotFound, RunEnded, MessageConflict, NotAwaited, InputError: As a local call.
        """
        body = {
            "topic": topic,
            "value": shown(value),
            "message_id": message_id or uuid.uuid4().hex,
            "only_if_awaited": only_if_awaited,
        }
        where = f"{self.path}/runs/{quote(run_id, safe='')}/messages"
        return told(await self.transport.call("POST", where, body=body), MessageReceipt)

    async def acancel_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """Cancel one step of a run, as ``Workflow.acancel_step`` does; a paused run continues immediately. A lost call is
        retried with the same ``message_id``, and counts once.

        Raises:
            RunNotFound, RunEnded, StepNotFound, StepNotRunning, MessageConflict, InputError: As a local call.
        """
        return await self._steer(run_id, "cancel", path, reason, message_id)

    async def askip_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """Skip one step of a run: the next step gets its input. Otherwise the same as ``acancel_step``."""
        return await self._steer(run_id, "skip", path, reason, message_id)

    async def aretry_step(
        self, run_id: str, path: str, *, reason: str | None = None, message_id: str | None = None
    ) -> StepReceipt:
        """End the attempt of one step of a run, and begin another one. Otherwise the same as ``acancel_step``."""
        return await self._steer(run_id, "retry", path, reason, message_id)

    async def _steer(
        self,
        run_id: str,
        action: Literal["cancel", "skip", "retry"],
        path: str,
        reason: str | None,
        message_id: str | None,
    ) -> StepReceipt:
        body = {"path": path, "reason": reason, "message_id": message_id or uuid.uuid4().hex}
        where = f"{self.path}/runs/{quote(run_id, safe='')}/steps/{action}"
        return told(await self.transport.call("POST", where, body=body), StepReceipt)
