"""Play a case: start its processes, let its operations happen at their moments, until all has settled or time is up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anyio

from workflow_runtime import InMemoryDb, Retention, Runtime, StorageError, Workflow
from workflow_runtime.engine.run.host import live_runs

from . import people
from .book import LEASE, Book, Reader
from .database import SimDb, Weather
from .drawing import Case
from .stored import StoredRules
from .tree import TreeBuilder
from .world import ServerClock, SimClock, SimProcess, World

__all__ = ["Play"]

OPERATIONS_END = 15.0  # seconds after which no operation begins or lasts
TIME_IS_UP = 150.0  # a run that has not ended by then never will
TWIN_SECONDS = 40.0  # what each run of the calm twin has for itself
MOST_CALLBACKS = 60_000


class Play:
    """One playing of a case. ``calm``: as the twin, in one process, one run after the other, where nothing fails."""

    def __init__(self, case: Case, *, calm: bool = False) -> None:
        self.case, self.calm = case, calm
        self.world = World(case["seed"])
        self.server = InMemoryDb(clock=ServerClock(self.world))
        self.weather = Weather(0.0002 if calm else 0.002)
        self.book = Book(case, self.world, self.server)
        self.rules = StoredRules(self.book)
        self._lives: dict[int, int] = {}
        self._forks_to_come = 0

    # -- names ---------------------------------------------------------------------------------------------------------

    def run_id(self, run: int) -> str:
        return f"run{run}"

    def session_id(self, run: int) -> str:
        return f"s{run % self.case['sessions']}"

    def run_of(self, requirement_id: str) -> str:
        """The run of a question, as a person's list would show it."""
        rows = (row for run_id in self.book.stored_ids() for row in self.book.requirements(run_id))
        return next((row.run_id for row in rows if row.requirement_id == requirement_id), requirement_id)

    def _workflow_of(self, run: int) -> int:
        return run % 2 if "tree2" in self.case else 0

    def workflow_in(self, process: SimProcess, run: int) -> Workflow:
        """The workflow of a run, in a process that has it."""
        workflow: Workflow = process.things["workflows"][self._workflow_of(run)]
        return workflow

    # -- processes -----------------------------------------------------------------------------------------------------

    def boot(self, slot: int) -> SimProcess:
        """A new process in this slot: a service, with the people who use it."""
        case, life = self.case, self._lives.get(slot, -1) + 1
        self._lives[slot] = life
        skew = 0.0 if self.calm else case.get("skew", [0.0] * case["procs"])[slot]
        process = self.world.start(f"p{slot}.{life}", slot, skew)
        self.world.switch_to(process)
        homes = case.get("homes", [[0]] * case["procs"])[slot] if not self.calm else range(1 + ("tree2" in case))
        workflows = process.things["workflows"] = {index: self._workflow(process, index) for index in homes}
        process.things["stop"] = anyio.Event()
        process.spawn(self._serve(process), "service")
        for _ in range(1 if self.calm else case.get("people", 1)):
            for workflow in workflows.values():
                process.spawn(people.person(self, process, workflow), "person")
        return process

    def _workflow(self, process: SimProcess, index: int) -> Workflow:
        case, builder = self.case, TreeBuilder(self.book)
        tree = case["tree2"] if index else case["tree"]
        is_function = case.get("form") == "function" and not index
        has_retention = "retention" in case and not index and not self.calm
        return Workflow(
            name="wv"[index],
            steps=builder.build_function(tree) if is_function else builder.build_all(tree),
            db=SimDb(self.world, process, self.server, self.weather, self.rules),
            durability=case["durability"],
            session_policy=case["policy"],
            lease=LEASE,
            evict_after=300.0 if self.calm else case["evict"],
            retention=Retention(**case["retention"]) if has_retention else None,
            store_events=True,
            telemetry=False,
            clock=SimClock(process),
            session_state={},
        )

    async def _serve(self, process: SimProcess) -> None:
        """A Runtime until the process is to stop. Where it fails, whoever looks after services would start it again."""
        stop: anyio.Event = process.things["stop"]
        while not stop.is_set():
            try:
                runtime = Runtime(
                    *process.things["workflows"].values(),
                    grace=self.case.get("grace", 10.0),
                    on_exit=self.case.get("on_exit", "cancel"),
                    stall_after=None,
                    interval=4.0 if self.calm else 0.5,
                )
                async with runtime:
                    await stop.wait()
            except StorageError:
                await anyio.sleep(0.2)

    async def _shut_down(self, process: SimProcess, down: float) -> None:
        """As asyncio.run() ends: the service is left, then every other task is cancelled and awaited; the process ends."""
        process.things["stop"].set()
        self.book.shut_down = True
        await asyncio.wait({task for task in process.loop.tasks if task.get_name() == "service"})
        self.book.caller_left |= any(task.get_name() == "caller" and not task.done() for task in process.loop.tasks)
        self.book.caller_left |= any(not run.request.background for run in live_runs()) or bool(
            process.things.get("giving")
        )
        while rest := [task for task in process.loop.tasks if task is not asyncio.current_task()]:
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)
        self.world.at(self.world.now, lambda: self._crash(process, down))

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
        self.book.disturb(seconds)
        self.world.at(self.world.now + seconds, lambda: setattr(self.weather, what, normal))

    def _in_process(self, process: SimProcess, op: dict[str, Any]) -> None:
        world, kind = self.world, op["op"]
        if kind == "crash":
            world.after_callbacks(op["at"], op["t"] + 5, lambda: self._crash(process, op["down"]))
        elif kind == "freeze":
            world.freeze(process, op["d"])
            self.book.disturb(op["d"])
        elif kind == "drain":
            process.spawn(self._shut_down(process, op["down"]), "shut down")
        elif kind == "leave":
            callers = [task for task in process.loop.tasks if task.get_name() == "caller"]
            if callers:
                world.switch_to(process)
                callers[0].cancel()
                self.book.caller_left = True
        elif (place := self._with_workflow(process, op["n"])) is not None:
            self._use(place, op)

    def _with_workflow(self, process: SimProcess, run: int) -> SimProcess | None:
        """This process if it has the workflow of the run, or another one."""
        wanted = self._workflow_of(run)
        having = [other for other in self.world.processes if wanted in other.things["workflows"]]
        return process if process in having else having[0] if having else None

    def _use(self, process: SimProcess, op: dict[str, Any]) -> None:
        run = op["n"]
        match op["op"]:
            case "run":
                process.spawn(people.call(self, process, run, op["how"]), "caller")
            case "again":
                process.spawn(people.call_again(self, process, run, op["how"]), "caller")
            case "cancel":
                process.spawn(people.cancel(self, process, run), "cancel")
            case "misdirect":
                if self._workflow_of(run) == self._workflow_of(op["to"]):
                    process.spawn(people.misdirect(self, process, run, op["to"]), "misdirect")
            case "read":
                reader = Reader(self.run_id(run))
                self.book.readers.append(reader)
                self._serve_reader(process, reader, run, op["k"])
            case "fork":
                self._forks_to_come += 1
                task = process.spawn(people.fork(self, process, run), "fork")
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

    def _serve_reader(self, process: SimProcess, reader: Reader, run: int, at_a_time: int) -> None:
        """Serve the reader here, and where this process ends, in another one."""
        task = process.spawn(people.read_on(self, process, reader, run, at_a_time), "read")

        def look() -> None:
            if reader.done:
                return
            if not (process.dead or task.done()):
                self.world.at(self.world.now + 0.1, look)
                return
            awake = [other for other in self.world.processes if other.frozen_until <= self.world.now]
            having = [other for other in awake if self._workflow_of(run) in other.things["workflows"]]
            if having:
                self._serve_reader(self.world.rng.choice(having), reader, run, at_a_time)
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
        rows = [book.stored(run_id) for run_id in book.stored_ids()]
        return (
            not self._forks_to_come
            and all(row is None or row.status.is_final for row in rows)
            and all(process.dead for process in book.callers.values())
            and all(
                reader.done or book.stored(reader.run_id) is None or "retention" in self.case for reader in book.readers
            )
        )
