"""Messages into runs: from callers with credentials, and from whoever has the address of a callback."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ... import CallbackNotFound, MessageReceipt, Workflow, WorkflowRuntimeError
from ..auth import User
from ..requests import SendMessage
from .people import PeopleVerbs

__all__ = ["SendVerbs"]


class SendVerbs(PeopleVerbs):
    async def send(self, user: User, workflow_id: str, run_id: str, message: SendMessage) -> MessageReceipt:
        """Send a message to a run of this user; a paused run that waits for it goes on. Raises as ``Workflow.asend``."""
        workflow, _ = await self.mine(user, workflow_id, run_id)
        receipt = await workflow.asend(
            run_id,
            message.topic,
            message.value,
            message_id=message.message_id,
            only_if_awaited=message.only_if_awaited,
        )
        await self._go_on(workflow, receipt)
        return receipt

    async def call_back(self, token: str, value: Any) -> MessageReceipt:
        """Send the message of a callback, whoever asks. Raises as ``Workflow.acall_back``."""
        for first, db in self.databases():
            try:
                receipt = await first.acall_back(token, value)
            except CallbackNotFound:
                continue
            row = await db.load_run(receipt.run_id)
            workflow = None if row is None else self.workflows.get(row.workflow_id or "")
            if workflow is not None and workflow.db is db:
                await self._go_on(workflow, receipt)
            return receipt
        raise CallbackNotFound("no run has made this callback; check the address")

    async def _go_on(self, workflow: Workflow, receipt: MessageReceipt) -> None:
        """Continue a run that waited for the message. The message is stored: what keeps the run from going on now is not
        its sender's business, and the Runtime tries again."""
        if not receipt.awaited or workflow.db is None:
            return
        with suppress(WorkflowRuntimeError):
            await workflow.acontinue_run(run_id=receipt.run_id, step_requirements=[], background=True)
