"""What a library's adapter is asked to do: one function per case.

An adapter is a module with these functions, each done as the library's own documentation says is best. It imports
nothing of ours. What a library cannot do it leaves out, with the reason in ``CANNOT``; what it can do only in part
raises NotImplementedError(reason) for the rest. Either is shown as "-" with its reason.

What a function does before it returns is preparation and not measured; what is measured is the awaiting of what it
returns. Every number that is returned is taken from what the library gives back or has stored, not counted beside it:
it is the proof that the work was done.

A step is an async function that returns what the run was given ("x") after ``asyncio.sleep(nap)`` if ``nap`` is not 0.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TextIO

__all__ = ["FUNCTIONS", "Adapter", "Commits", "Paused", "Saved"]


class Saved(Protocol):
    """A workflow with a database."""

    async def run(self, session: str) -> int:
        """One run in that session, which is made if it is not there; how many steps its result tells of."""
        ...

    async def stored(self, session: str) -> int:
        """How many steps of the session's last run are in the database, read back from it."""
        ...


class Paused(Protocol):
    """A workflow of three steps with a database; it waits for a person before the second one."""

    async def pause(self, session: str) -> Any:
        """Run it until it waits and all that is stored. What ``go_on`` needs, or None if it does not wait."""
        ...

    async def go_on(self, paused: Any) -> int:
        """Say yes, and run it to its end; how many steps the result tells of."""
        ...


class Commits(Protocol):
    """A store by itself, without the engine."""

    async def commit(self, run: str, number: int) -> None:
        """The checkpoint of step ``number`` of that run, each in a session of its own: the run, a step, two events, a key of
        the session's state."""
        ...

    async def stored(self, run: str) -> tuple[int, int]:
        """(steps, events) of the run, read back."""
        ...


class Adapter(Protocol):
    """The functions, and three facts."""

    IMPORT: str
    """The statements with which a program begins that runs such workflows."""

    FIRST_RUN: str
    """Statements that follow those and run a workflow of one step without a database, with an assert that it was run.

    They show what a library puts off until its first run.
    """

    CANNOT: Mapping[str, str]
    """Why a function, or FIRST_RUN, is not there."""

    def steps(self, count: int, nap: float) -> Callable[[], Awaitable[int]]:
        """A workflow of ``count`` steps, one after the other, without a database.

        Each call is one run, and any number may go on at once. Returns how many steps the result tells of.
        """
        ...

    def events(self, count: int) -> Callable[[], Awaitable[tuple[int, int]]]:
        """The same as a stream of its life: at least one event at the end of each step.

        Each call reads one run's stream to its end. Returns (events read, those that told of a step's end).
        """
        ...

    def chunks(self, count: int, patient: bool) -> Callable[[], Awaitable[int]]:
        """One step that makes ``count`` chunks of text, "x" each; if ``patient`` it awaits ``sleep(0)`` before each.

        Each call streams one run to its end. Returns how many chunks were read, one by one.
        """
        ...

    def first(self) -> Callable[[], Awaitable[float]]:
        """A stream of a run of three steps, of which only the first event is read; then it is closed.

        Returns the seconds from the call that starts the run to the event.
        """
        ...

    def parallel(self, count: int, nap: float) -> Callable[[], Awaitable[int]]:
        """A workflow of ``count`` steps that run at once and are waited for. Returns how many results there are."""
        ...

    def saved(self, url: str, count: int, durability: str, events: bool) -> AbstractAsyncContextManager[Saved]:
        """A workflow of ``count`` steps with the database at ``url`` (``sqlite:///path`` or ``postgresql://...``).

        Tables are made if they are not there. ``events``: all events of a run's life are stored with it.
        ``durability`` says when the outcome of a step is committed: "sync": before the next step begins; "async": maybe
        a little later; "exit": all at once, at the end of the run.
        """
        ...

    def call(self) -> Callable[[], int]:
        """A workflow of one step, run from synchronous code. Returns how many steps the result tells of."""
        ...

    def replay(self, url: str, count: int) -> AbstractAsyncContextManager[Callable[[], Awaitable[tuple[int, int]]]]:
        """A run of at least ``count`` events whose events are stored.

        Each call reads them all from the database, in order. Returns (events read, events that the run had).
        """
        ...

    def paused(self, url: str) -> AbstractAsyncContextManager[Paused]:
        """See Paused."""
        ...

    async def dies(self, url: str, log: str) -> None:
        """A run of ten steps, each committed before the next, whose process kills itself (SIGKILL) in the sixth.

        Each step first adds a line with its number, from 0, to the file ``log``.
        """
        ...

    async def recovers(self, url: str, log: str) -> int:
        """In a new process, after the other one's death is known: bring that run to its end. Returns its steps."""
        ...

    def commits(self, url: str, relaxed: bool) -> AbstractAsyncContextManager[Commits]:
        """The store at ``url``. ``relaxed``: SQLite does not flush every commit (synchronous=NORMAL)."""
        ...

    def drawing(
        self, rate: int, seconds: float, terminal: TextIO | None, markdown: bool
    ) -> Callable[[], Awaitable[int]]:
        """A run of one step that streams ``rate`` chunks a second for ``seconds``, drawn on the terminal; None: only read.

        Returns how many pictures were drawn.
        """
        ...


FUNCTIONS = tuple(name for name, value in vars(Adapter).items() if callable(value) and not name.startswith("_"))
"""The names of the functions, in the order of the contract."""
