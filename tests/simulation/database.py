"""A connection to the one database of the world: requests and answers travel, may be late, refused or lost."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from workflow_runtime import InMemoryDb, StorageError
from workflow_runtime.storage.base import CONTRACT, BaseDb

from .stored import StoredRules
from .world import SimProcess, World

__all__ = ["SimDb", "Weather"]


class Weather:
    """How the database behaves now, for all processes.

    ``slow``: seconds that one way takes at most. ``error``: how likely a call is refused before anything happened.
    ``lost``: how likely a call happens and its answer is a StorageError all the same.
    """

    def __init__(self, slow: float = 0.002) -> None:
        self.calm = self.slow = slow
        self.error = self.lost = 0.0


class SimDb(BaseDb):
    """One process's way to the server. A call is one moment at the server, between the moments of other calls.

    Whether a request of a process that dies, or of a task that is cancelled, still arrives is chance; but when the
    cancellation is over it has happened wholly, or will never happen.
    """

    contract = CONTRACT

    def __init__(
        self, world: World, process: SimProcess, server: InMemoryDb, weather: Weather, rules: StoredRules
    ) -> None:
        self.id = "simulated"
        self._world, self._process, self._server = world, process, server
        self._weather, self._rules = weather, rules

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def changed(self, run_id: str, *, seen: int, timeout: float) -> bool:
        return await self._server.changed(run_id, seen=seen, timeout=timeout)

    async def _call(self, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        call = _Call(self, name, args, named)
        return await call.travel()

    def _at_the_server(self, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Exception | None]:
        before = self._rules.before(name, args)
        try:
            getattr(self._server, name)(*args, **named).send(None)
        except StopIteration as done:
            value, error = done.value, None
        except Exception as raised:
            value, error = None, raised
        else:
            raise AssertionError(f"InMemoryDb.{name} awaited something, so it is no single moment")
        self._world.note("db", self._process.name, name, _summary(args), type(error).__name__ if error else "ok")
        if error is None:
            self._rules.after(name, args, named, value, before, self._process)
        return value, error


class _Call:
    def __init__(self, db: SimDb, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        world, weather = db._world, db._weather
        self.db, self.name, self.args, self.named = db, name, args, named
        self.there = world.rng.uniform(0.1, 1) * weather.slow
        self.back = world.rng.uniform(0.1, 1) * weather.slow
        self.refused = world.rng.random() < weather.error
        self.lost = world.rng.random() < weather.lost
        self.survives_its_sender = world.rng.random() < 0.5
        self.done = self.given_up = False
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def travel(self) -> Any:
        world = self.db._world
        world.at(world.now + self.there, self.arrive)
        try:
            return await self.answer
        except asyncio.CancelledError:
            if self.survives_its_sender:
                self.arrive()
            self.done = self.given_up = True
            raise

    def arrive(self) -> None:
        db, world = self.db, self.db._world
        if self.done or (db._process.dead and not self.survives_its_sender):
            return
        self.done = True
        value: Any = None
        error: Exception | None
        if self.refused:
            error = StorageError("simulated: the database is away")
        else:
            value, error = db._at_the_server(self.name, self.args, self.named)
            if self.lost and error is None:
                error = StorageError("simulated: the answer was lost")
        world.at(world.now + self.back, lambda: self.send_answer(value, error))

    def send_answer(self, value: Any, error: Exception | None) -> None:
        def receive() -> None:
            if not self.answer.done():
                if error is None:
                    self.answer.set_result(value)
                else:
                    self.answer.set_exception(error)

        if not (self.db._process.dead or self.given_up):
            self.db._process.loop.call_soon(receive)


def _summary(args: tuple[Any, ...]) -> str:
    """What a call is about, for the log."""
    if not args:
        return ""
    first = args[0]
    if not hasattr(first, "fence"):
        return str(first) if isinstance(first, str) else str(getattr(first, "run_id", ""))
    run, fence, events, session = first.run, first.fence, first.events, first.session
    words = [
        run.run_id if run else fence.run_id if fence else "-",
        f"attempt {fence.attempt}" if fence else "unfenced",
        run.status.name if run else "",
        f"{events[0].seq}..{events[-1].last_seq}" if events else "",
        f"state {','.join(session.state)}" if session and session.state else "",
        f"{len(first.requirements)} questions" if first.requirements else "",
    ]
    return " ".join(word for word in words if word)


def _forward(name: str) -> Any:
    async def call(self: SimDb, *args: Any, **named: Any) -> Any:
        return await self._call(name, args, named)

    call.__name__ = call.__qualname__ = name
    return call


# Every call of the contract travels, also those that later versions add.
for _name, _function in inspect.getmembers(BaseDb, inspect.iscoroutinefunction):
    if _name not in SimDb.__dict__ and not _name.startswith("_"):
        setattr(SimDb, _name, _forward(_name))
SimDb.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # they were filled in above
