"""Verbs that send messages into a run."""

from __future__ import annotations

from typing import Any

from .. import engine
from ..model.callback import MessageReceipt
from .base import Verbs

__all__ = ["SendVerbs"]


class SendVerbs(Verbs):
    async def asend(
        self,
        run_id: str,
        topic: str,
        value: Any = None,
        *,
        message_id: str | None = None,
        only_if_awaited: bool = False,
    ) -> MessageReceipt:
        """Send a message to a run, for a step of it that receives from ``topic`` now or later.

        It is stored when this returns, and received once; a paused run that waits for it is continued by the next Runtime
        or server of its workflow, or by ``acontinue_run(run_id=...)``. Without a database the run must be in this process.

        Args:
            value: Anything that can be stored.
            message_id: The sender's own name for it: sent again with the same id, it counts once. None: a new one.
            only_if_awaited: Refuse it unless a step waits for a message on the topic now.

        Raises:
            RunNotFound, RunEnded: There is no such run; it has ended.
            MessageConflict: The run has another message with this id.
            NotAwaited: ``only_if_awaited``, and no step waits for the topic.
            InputError: A step waits for the topic, and its schema refuses the value; or an argument is wrong.
            UnserializableError: The value cannot be stored.
        """
        return await engine.sending.send(
            self.db,
            run_id,
            topic,
            value,
            now=self.clock.time(),
            message_id=message_id,
            only_if_awaited=only_if_awaited,
        )

    def send(
        self,
        run_id: str,
        topic: str,
        value: Any = None,
        *,
        message_id: str | None = None,
        only_if_awaited: bool = False,
    ) -> MessageReceipt:
        """The same as ``asend`` for code that is not async."""
        return engine.portal.call(
            lambda: self.asend(run_id, topic, value, message_id=message_id, only_if_awaited=only_if_awaited)
        )

    async def acall_back(self, token: str, value: Any = None) -> MessageReceipt:
        """Send the one message of a callback that a step has made (``run_context.callback``). Called again with the same
        value, it changes nothing and returns what it did the first time.

        Raises:
            CallbackNotFound: No run in this workflow's database has made it.
            CallbackExpired, MessageConflict, RunEnded: It had expired, was used with another value, or its run has ended.
            InputError: The step's schema refuses the value; the callback can be used again.
        """
        db = engine.sessions.storage_needed(self.db, "call_back()")
        return await engine.sending.call_back(db, token, value, now=self.clock.time())

    def call_back(self, token: str, value: Any = None) -> MessageReceipt:
        """The same as ``acall_back`` for code that is not async."""
        return engine.portal.call(lambda: self.acall_back(token, value))
