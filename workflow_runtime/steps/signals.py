"""How a node reports that it cannot continue. Not an ``Exception``, so that a user's ``except`` does not catch it."""

from __future__ import annotations

__all__ = ["Rejected", "Suspended"]


class Suspended(BaseException):
    """This branch waits for a person. Its requirement is open; the run pauses once all other branches have ended."""


class Rejected(BaseException):
    """A person's answer ends the run as cancelled."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
