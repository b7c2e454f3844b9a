"""Play a case: start its processes, let its operations happen at their moments, until all has settled or time is up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio

from workflow_runtime import InMemoryDb, Runtime, StorageError, Workflow

from . import people
from .book import Book, Reader
from .database import SimDb, Weather
from .drawing import Case
from .tree import TreeBuilder
from .world import SimClock, SimProcess, World

__all__ = ["Play"]

LEASE = 2.0
OPERATIONS_END = 15.0  # seconds after which no operation begins or lasts
TIME_IS_UP = 150.0  # a run that has not ended by then never will
TWIN_SECONDS = 40.0  # what each run of the calm twin has for itself
MOST_CALLBACKS = 60_000


class Play:
    """One playing of a case. ``calm``: as the twin, in one process, one run after the other, where nothing fails."""

    def __init__(self, case: Case, *, calm: bool = False) -> None:
        self.case, self.calm = case, calm
        self.world = World(case["seed"])
        self.server = InMemoryDb()
        self.weather = Weather(0.0002 if calm else 0.002)
        self.book = Book(self.world, self.server)
        self._lives: dict[int, int] = {}
        self._forks_to_come = 0

    # -- names ---------------------------------------------------------------------------------------------------------

    def run_id(self, run: int) -> str:
        return f"run{run}"

    def session_id(self, run: int) -> str:
        return f"s{run % self.case['sessions']}"

    def run_of(self, requirement_id: str) -> str:
        """The run of a question, as a person's list would show it."""
        for run_id, kept in self.server._runs.by_id.items():
            if requirement_id in kept.requirements:
                return run_id
        return requirement_id

    # -- processes -----------------------------------------------------------------------------------------------------

    def boot(self, slot: int) -> SimProcess:
        """A new process in this slot: a service, with a person who uses it."""
        life = self._lives[slot] = self._lives.get(slot, -1) + 1
        process = self.world.start(f"p{slot}.{life}", slot)
        self.world.switch_to(process)
        process.things["workflow"] = self._workflow(process)
        process.spawn(self._serve(process), "service")
        process.spawn(people.person(self, process), "person")
        return process

    def _workflow(self, process: SimProcess) -> Workflow:
        case = self.case
        return Workflow(
            name="w",
            steps=TreeBuilder(self.book).build_all(case["tree"]),
            db=SimDb(self.world, process, self.server, self.weather, self.book),
            durability=case["durability"],
            session_policy=case["policy"],
            lease=LEASE,
            evict_after=300.0 if self.calm else case["evict"],
            store_events=True,
            telemetry=False,
            clock=SimClock(process),
            session_state={},
        )

    async def _serve(self, process: SimProcess) -> None:
        while True:
            try:
                runtime = Runtime(
                    process.things["workflow"], grace=10.0, stall_after=None, interval=4.0 if self.calm else 0.5
                )
                async with runtime:
                    await anyio.sleep_forever()
            except StorageError:  # as whoever looks after services would start it again
                await anyio.sleep(0.2)

    # -- operations ----------------------------------------------------------------------------------------------------

    def _operation(self, op: dict[str, Any]) -> Callable[[], None]:
        def happen() -> None:
            self.world.note("op", json.dumps(op))
            match op["op"]:
                case "slow":
                    self._weather(op["d"], "slow", op["s"], self.weather.calm)
                case "error" | "lost":
                    self.book.database_failed = True
                    self._weather(op["d"], op["op"], 0.3, 0.0)
                case _:
                    process = self.world.alive(op["p"])
                    if process is not None:
                        self._in_process(process, op)

        return happen

    def _weather(self, seconds: float, what: str, value: float, normal: float) -> None:
        setattr(self.weather, what, value)
        self.world.at(self.world.now + seconds, lambda: setattr(self.weather, what, normal))

    def _in_process(self, process: SimProcess, op: dict[str, Any]) -> None:
        world = self.world
        match op["op"]:
            case "crash":
                world.after_callbacks(op["at"], op["t"] + 5, lambda: self._crash(process, op["down"]))
            case "freeze":
                world.freeze(process, op["d"])
            case "leave":
                callers = [task for task in process.loop.tasks if task.get_name() == "caller"]
                if callers:
                    world.switch_to(process)
                    callers[0].cancel()
                    self.book.caller_left = True
            case "run":
                process.spawn(people.call(self, process, op["n"], op["how"]), "caller")
            case "cancel":
                process.spawn(people.cancel(self, process, op["n"]), "cancel")
            case "read":
                reader = Reader(self.run_id(op["n"]))
                self.book.readers.append(reader)
                self._serve_reader(process, reader, op["k"])
            case "fork":
                self._forks_to_come += 1
                task = process.spawn(people.fork(self, process, op["n"]), "fork")
                task.add_done_callback(lambda _: self._fork_done())
            case kind:
                raise AssertionError(f"the operation {kind!r} is unknown")

    def _fork_done(self) -> None:
        self._forks_to_come -= 1

    def _crash(self, process: SimProcess, down: float) -> None:
        if process.dead:
            return
        self.world.crash(process)
        self._forks_to_come -= sum(task.get_name() == "fork" and not task.done() for task in process.loop.tasks)
        self.world.at(self.world.now + down, lambda: self.boot(process.slot))

    def _serve_reader(self, process: SimProcess, reader: Reader, at_a_time: int) -> None:
        """Serve the reader here, and where this process dies, in another one."""
        process.spawn(people.read_on(self, process, reader, at_a_time), "read")

        def look() -> None:
            if reader.done:
                return
            if not process.dead:
                self.world.at(self.world.now + 0.1, look)
                return
            awake = [other for other in self.world.processes if other.frozen_until <= self.world.now]
            if awake:
                self._serve_reader(self.world.rng.choice(awake), reader, at_a_time)
            else:
                self.world.at(self.world.now + 0.3, look)

        self.world.at(self.world.now + 0.1, look)

    # -- the whole -----------------------------------------------------------------------------------------------------

    def run(self) -> Book:
        case, world = self.case, self.world
        for slot in range(1 if self.calm else case["procs"]):
            self.boot(slot)
        for op in case["ops"]:
            if not self.calm:
                world.at(op["t"], self._operation(op))
            elif op["op"] == "run":
                world.at(op["n"] * TWIN_SECONDS, self._operation({**op, "p": 0, "how": "background"}))
        earliest = TWIN_SECONDS * (case["runs"] - 1) + 1 if self.calm else OPERATIONS_END
        end = TWIN_SECONDS * (case["runs"] + 1) if self.calm else TIME_IS_UP
        settled = False
        while world.step() and world.now < end and world.callbacks < MOST_CALLBACKS:
            if not settled and world.callbacks & 127 == 0 and world.now > earliest and self._has_settled():
                settled = True
                end = min(end, world.now + 3.0)
        world.graveyard.extend(world.processes)
        return self.book

    def _has_settled(self) -> bool:
        book = self.book
        rows = [book.stored(run_id) for run_id in book.run_ids()]
        return (
            not self._forks_to_come
            and all(row is None or row.status.is_final for row in rows)
            and all(process.dead for process in book.callers.values())
            and all(reader.done or book.stored(reader.run_id) is None for reader in book.readers)
        )
