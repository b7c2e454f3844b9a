"""The world: a virtual clock, simulated processes with an event loop each, and the one that says what runs next.

A process may crash (nothing of it ever runs again, not even a ``finally``) or freeze (nothing of it runs for a while, and it
does not know). What happens outside of any process, such as a packet on its way to the database, is *nature*.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
import sys
import threading
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from workflow_runtime.engine.loop.process import Process, enter

__all__ = ["Boom", "EPOCH", "EventLoop", "ServerClock", "SimClock", "SimProcess", "World", "is_boom"]

EPOCH = 1_800_000_000.0  # unix seconds at the beginning of each world
_RETRY = (
    "_deliver_cancellation"  # anyio cancels a scope's tasks again in each turn of the loop until they are out of it
)
CALLBACK_SECONDS = 1e-6  # what each callback takes, or loops that wait for a time would never get there


class Boom(Exception):
    """A step that is to fail its run raises it."""


def is_boom(error: BaseException | None) -> bool:
    """Also of a run that was taken over while it was compensated: of its exception only the name is stored."""
    return type(error).__name__ == Boom.__name__


class EventLoop(asyncio.BaseEventLoop):
    """Collects callbacks; the world runs them. To the others, the loop of a dead process is closed."""

    def __init__(self, world: World, process: SimProcess) -> None:
        super().__init__()
        self.world, self.process = world, process
        self.ready: deque[Any] = deque()
        self.timers: list[tuple[float, int, Any]] = []
        self.tasks: dict[
            asyncio.Task[Any], None
        ] = {}  # asyncio's own references are weak, and a crash finalises nothing
        self._thread_id = threading.get_ident()  # by which asyncio knows that a loop is running
        self.set_task_factory(self._new_task)
        self.set_exception_handler(lambda _, context: world.unexpected(process, context))

    def _new_task(self, loop: Any, work: Any, **more: Any) -> Any:
        task = asyncio.Task(work, loop=self, **more)
        self.tasks[task] = None
        task.add_done_callback(self.tasks.pop)
        return task

    def time(self) -> float:
        return self.world.now

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        handle = events.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        if self.process.dead:
            raise RuntimeError("Event loop is closed")
        return self.call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        timer = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self.timers, (when, self.world.tick(), timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        return self.call_at(self.world.now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """A worker thread's time without its thread: ``func`` runs in one piece, a little later."""
        future = self.create_future()

        def work() -> None:
            found, error = None, None
            try:
                found = func(*args)
            except BaseException as raised:
                error = raised
            if not future.done():
                if error is None:
                    future.set_result(found)
                else:
                    future.set_exception(error)

        self.call_later(self.world.rng.uniform(0.0001, 0.003), work)
        return future

    def settle(self) -> None:
        """Make timers that are due ready."""
        while self.timers and self.timers[0][0] <= self.world.now:
            timer = heapq.heappop(self.timers)[2]
            if not timer._cancelled:
                self.ready.append(timer)

    def drop_cancelled(self) -> None:
        """Forget the next timers as far as they were called off: there is nothing to jump to."""
        while self.timers and self.timers[0][2]._cancelled:
            heapq.heappop(self.timers)

    def is_busy(self) -> bool:
        """Whether anything of ``ready``, which is not empty, is more than anyio's retry of a cancellation."""
        if getattr(self.ready[0]._callback, "__name__", "") != _RETRY:
            return True
        return any(getattr(handle._callback, "__name__", "") != _RETRY for handle in self.ready)


class SimProcess(Process):
    """A process of the world. ``skew`` is by how many seconds its clock is fast."""

    def __init__(self, world: World, name: str, slot: int, skew: float = 0.0) -> None:
        super().__init__()
        self.world, self.name, self.slot, self.skew = world, name, slot, skew
        self.dead = False
        self.frozen_until = 0.0
        self._owner = f"{name}:{world.rng.getrandbits(32):08x}"
        self.loop = EventLoop(world, self)
        self.things: dict[str, Any] = {}  # what its program has made: workflows, a Runtime

    def new_id(self) -> str:
        world = self.world
        milliseconds = int((EPOCH + world.now) * 1000)
        return f"{milliseconds:012x}7{world.tick() & 0xFFF:03x}{world.rng.getrandbits(64):016x}"

    def random(self) -> float:
        return self.world.rng.random()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        self.world.switch_to(self)
        return self.loop.create_task(work, name=name)


class SimClock:
    """The wall clock of one process."""

    def __init__(self, process: SimProcess) -> None:
        self._process = process

    def time(self) -> float:
        return EPOCH + self._process.world.now + self._process.skew

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random(self) -> float:
        return self._process.random()


class ServerClock:
    """The clock of the database, which is right."""

    def __init__(self, world: World) -> None:
        self._world = world

    def time(self) -> float:
        return EPOCH + self._world.now


class World:
    """Time, chance and the processes of one simulated run. One world at a time: the patches ask ``World.now_playing``."""

    now_playing: World | None = None

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.callbacks = 0
        self.processes: list[SimProcess] = []
        self.graveyard: list[SimProcess] = []  # kept until this interpreter is left by os._exit: nothing is finalised
        self.errors: list[
            tuple[str, str]
        ] = []  # what was logged as an error or reported by asyncio: its kind, its text
        self.running: SimProcess | None = None
        self.log: list[str] = []
        self._ticks = 0
        self._nature: list[tuple[float, int, Callable[[], None]]] = []
        self._watchers: list[Callable[[], bool]] = []
        World.now_playing = self

    # -- what is recorded ----------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """A number that has not been given out before; ties in time are decided by it."""
        self._ticks += 1
        return self._ticks

    def note(self, *words: object) -> None:
        """Add a line to the log."""
        self.log.append(f"{self.now:.6f} {' '.join(map(str, words))}")

    @property
    def trace(self) -> str:
        """The hash of the log: of every callback, every call of the database, and their moments."""
        return hashlib.blake2b("\n".join(self.log).encode(), digest_size=8).hexdigest()

    def unexpected(self, process: SimProcess, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.error(f"reported-{type(error).__name__}", f"{process.name}: {context.get('message')}: {error!r}")

    def error(self, kind: str, text: str) -> None:
        self.errors.append((kind, text))
        self.note("ERROR", kind, text)

    # -- processes -----------------------------------------------------------------------------------------------------

    def start(self, name: str, slot: int, skew: float = 0.0) -> SimProcess:
        process = SimProcess(self, name, slot, skew)
        self.processes.append(process)
        self.note("start", name)
        return process

    def crash(self, process: SimProcess) -> None:
        """As SIGKILL does it. A cancelled task would run its clean-up, and so would a dropped one."""
        process.dead = True
        self.processes.remove(process)
        self.graveyard.append(process)
        self.note("crash", process.name)

    def freeze(self, process: SimProcess, seconds: float) -> None:
        """As SIGSTOP does it, or a machine that swaps."""
        process.frozen_until = self.now + seconds
        self.note("freeze", process.name, seconds)

    def alive(self, slot: int) -> SimProcess | None:
        return next((process for process in self.processes if process.slot == slot), None)

    def switch_to(self, process: SimProcess) -> None:
        """Let what runs next run in ``process``."""
        if self.running is process:
            return
        self.running = process
        enter(process)
        loop = process.loop
        events._set_running_loop(loop)
        sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook)

    # -- time ----------------------------------------------------------------------------------------------------------

    def at(self, when: float, function: Callable[[], None]) -> None:
        """Nature calls ``function`` at ``when``, whatever has become of the processes."""
        heapq.heappush(self._nature, (when, self.tick(), function))

    def after_callbacks(self, number: int, latest: float, function: Callable[[], None]) -> None:
        """Call ``function`` between two callbacks, ``number`` callbacks from now or when it is ``latest``."""
        target = self.callbacks + number

        def look() -> bool:
            if self.callbacks < target and self.now <= latest:
                return False
            function()
            return True

        self._watchers.append(look)

    @property
    def is_quiet(self) -> bool:
        """Whether nature has nothing more to do."""
        return not self._nature

    def step(self) -> bool:
        """Run one callback, after a jump to the next moment where none is ready. False: nothing will happen any more."""
        while True:
            now = self.now
            while self._nature and self._nature[0][0] <= now:
                heapq.heappop(self._nature)[2]()
            busy, only_retries = [], []
            for process in self.processes:
                if process.frozen_until > now:
                    continue
                loop = process.loop
                if loop.timers and loop.timers[0][0] <= now:
                    loop.settle()
                if loop.ready:
                    (busy if loop.is_busy() else only_retries).append(process)
            if busy:
                self._run_one(busy[0] if len(busy) == 1 else self.rng.choice(busy))
                if self._watchers:
                    self._look()
                return True
            for process in only_retries:  # each once per moment, or time would stand still
                for _ in range(len(process.loop.ready)):
                    self._run_one(process)
            if any(process.loop.ready and process.loop.is_busy() for process in only_retries):
                continue
            if not self._jump():
                return False

    def _jump(self) -> bool:
        """To the next moment at which something is due."""
        due = [self._nature[0][0]] if self._nature else []
        for process in self.processes:
            if process.frozen_until > self.now:
                due.append(process.frozen_until)
                continue
            process.loop.drop_cancelled()
            if process.loop.timers:
                due.append(process.loop.timers[0][0])
        if due:
            self.now = max(self.now, min(due))
        return bool(due)

    def _look(self) -> None:
        watchers, self._watchers = self._watchers, []
        self._watchers += [look for look in watchers if not look()]

    def _run_one(self, process: SimProcess) -> None:
        """The first callback of this process. asyncio runs them in the order they came, so no other order can happen."""
        handle = process.loop.ready.popleft()
        if handle._cancelled:
            return
        self.callbacks += 1
        self.now += CALLBACK_SECONDS
        self.log.append(f"{self.now:.6f} {process.name} {_name_of(handle._callback)}")
        if self.running is not process:
            self.switch_to(process)
        handle._run()


def _name_of(callback: Any) -> str:
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        callback = task.get_coro()
    return str(getattr(callback, "__qualname__", type(callback).__name__))
