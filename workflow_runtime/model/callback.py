"""Callbacks, with which a service without credentials can send one message to a run; and the receipts of messages."""

from __future__ import annotations

import msgspec

__all__ = ["Callback", "MessageReceipt"]


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A capability to send one message on ``topic`` to the run that made it, without credentials.

    ``token`` cannot be guessed, and is good for a first use until ``expires_at`` (unix seconds). Everyone who knows it can
    use it, so put it into an address and not into a log.
    """

    token: str
    topic: str
    expires_at: float

    @property
    def path(self) -> str:
        """The path at which a server accepts it, below the address of its app."""
        return f"/callbacks/{self.token}"

    def url(self, base: str) -> str:
        """The whole address; ``base`` is that of the app, such as ``https://flows.example.com``."""
        return base.rstrip("/") + self.path


class MessageReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is stored. ``number`` counts the messages of the run from 1, ``created_at`` (unix seconds) is when it
    was first stored. ``repeated``: it had been before, so this call has changed nothing. ``awaited``: a step was waiting
    for its topic."""

    run_id: str
    topic: str
    message_id: str
    number: int
    created_at: float
    repeated: bool = False
    awaited: bool = False
