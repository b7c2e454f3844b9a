"""Messages into a run of a server."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

from ..model.callback import MessageReceipt
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
