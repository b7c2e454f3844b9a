"""The broker contract: wake a worker, tell the owner of a run, show a run's events to other processes.

An implementer's obligations, each checked by ``workflow_runtime.testing.BrokerContract``:

1. A ticket that was offered reaches one of the workers that wait for its queue and workflow, normally within
   milliseconds: a hint that is not ``done`` within a minute is given again, to any of them.
2. Nothing but the database is authoritative: a ticket may be lost, or be given twice, and nobody is hurt.
3. ``offer`` and ``signal`` raise BrokerError when the broker cannot be reached; they do not wait for long.
4. ``relay`` never waits and never raises. What it is given reaches those that ``follow`` the run now, in order; a part of it
   may be lost, where a reader is slow or a connection breaks.
5. Every call may come from any task of any event loop. After a lost connection the broker connects again by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec

__all__ = ["CONTRACT", "Broker", "Follower", "Hint", "Hints", "Listening", "Ticket"]

CONTRACT = 1
"""The version of the contract that the engine needs."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was queued: whoever gets it asks the database for the next run of that queue."""

    queue: str
    workflow_id: str
    run_id: str


class Hint(ABC):
    """A reason to ask the database for runs.

    ``runs``: how many may be there on account of this hint; None: any number, so ask until there is none.
    """

    runs: int | None = 1

    @abstractmethod
    async def done(self) -> None:
        """The database was asked: nobody needs this hint again."""


class Hints(ABC):
    """The hints for one worker."""

    @abstractmethod
    async def next(self, timeout: float) -> Hint | None:
        """The next hint, None after ``timeout`` seconds without one. BrokerError when the broker cannot be reached."""

    @abstractmethod
    async def aclose(self) -> None:
        """Wait for no more; a hint that was not given out goes to others."""


class Follower(ABC):
    """The live events of one run."""

    @abstractmethod
    async def next(self, timeout: float) -> list[bytes]:
        """What was relayed since the last call, at least one event; empty after ``timeout`` seconds."""

    @abstractmethod
    async def aclose(self) -> None: ...


class Listening(ABC):
    """Somebody is told of signals, until it is closed."""

    @abstractmethod
    async def aclose(self) -> None: ...


class Broker(ABC):
    """See the module. ``open`` is idempotent and is called by every other method's first use on a loop."""

    contract = 0
    """Which version of this contract the class keeps: ``CONTRACT``, once it passes ``testing.BrokerContract``."""

    place: str = "broker"
    """Where it is, for messages: a URL without a password."""

    relays: bool = False
    """Whether ``relay`` and ``follow`` do anything."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. BrokerError says what to do when that cannot be."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of all connections. The object can be opened again."""

    @abstractmethod
    async def check(self) -> None:
        """Ask the broker whether it is there. BrokerError when it does not answer."""

    @abstractmethod
    async def offer(self, ticket: Ticket) -> None:
        """A run was queued that may be taken now."""

    @abstractmethod
    async def hints(self, queues: Sequence[str], workflows: Sequence[str]) -> Hints:
        """Wait for runs of these queues and of these workflows, by id."""

    async def signal(self, owner: str, run_id: str) -> None:
        """There is something to look at for this run, which is ``owner``'s: a signal in the database, or a reader that has
        joined. Nothing where owners look often enough."""
        return None

    async def listen(self, owner: str, heard: Callable[[str], None]) -> Listening | None:
        """Call ``heard`` with the id of each run of ``owner`` that was signalled, on this loop."""
        return None

    def relay(self, run_id: str, event: bytes) -> None:
        """Show an event to the followers of the run."""
        return None

    async def follow(self, run_id: str) -> Follower | None:
        """The events of the run that are relayed from now on; None where the broker relays none."""
        return None
