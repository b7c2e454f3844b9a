"""Messages into runs: from callers with credentials, and from whoever has the address of a callback."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

from ... import CallbackNotFound, MessageReceipt, StepReceipt, Workflow, WorkflowRuntimeError
from ..auth import User
from ..requests import SendMessage, SteerStep
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
        if receipt.awaited:
            await self._go_on(workflow, run_id)
        return receipt

    async def steer(
        self, user: User, workflow_id: str, run_id: str, action: Literal["cancel", "skip", "retry"], order: SteerStep
    ) -> StepReceipt:
        """Cancel, skip or retry a step of a run of this user; a paused run goes on. Raises as ``Workflow.acancel_step``."""
        workflow, _ = await self.mine(user, workflow_id, run_id)
        verbs = {"cancel": workflow.acancel_step, "skip": workflow.askip_step, "retry": workflow.aretry_step}
        receipt = await verbs[action](run_id, order.path, reason=order.reason, message_id=order.message_id)
        if not receipt.taken:
            await self._go_on(workflow, run_id)
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
            if workflow is not None and workflow.db is db and receipt.awaited:
                await self._go_on(workflow, receipt.run_id)
            return receipt
        raise CallbackNotFound("no run has made this callback; check the address")

    async def _go_on(self, workflow: Workflow, run_id: str) -> None:
        """Continue a paused run. What it waited for is stored: what keeps the run from going on now is not its sender's
        business, and the Runtime tries again."""
        if workflow.db is None:
            return
        with suppress(WorkflowRuntimeError):
            await workflow.acontinue_run(run_id=run_id, step_requirements=[], background=True)
