"""How a node tells the run that it cannot go on. No ``Exception``, so that a user's ``except`` keeps out."""

from __future__ import annotations

__all__ = ["Rejected", "Suspended"]


class Suspended(BaseException):
    """This branch waits for a person. Its requirement is open; the run pauses once all other branches have ended."""


class Rejected(BaseException):
    """A person's answer ends the run as cancelled."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
