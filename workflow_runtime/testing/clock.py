"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import anyio.lowlevel

from ..engine.loop.loops import Loop, current_loop

__all__ = ["FakeClock"]


class FakeClock:
    """``Workflow(clock=FakeClock())``: time passes when ``advance`` is called, and sleepers whose time has come wake.

    Args:
        start: Unix seconds at the beginning.
        random: What ``random()`` returns, in [0, 1): 0.5 means half of a back-off's jitter.

    ``slept`` lists the seconds of every sleep that was begun, in order. Timeouts of steps, containers, attempts and runs
    pass on this clock, too: a step that calls ``advance`` takes that long. One clock may be used by several loops and
    threads. A ``Runtime`` sleeps on the clock of its first workflow between its rounds, so ``advance`` fires the deadlines
    that have come.
    """

    def __init__(self, start: float = 1_700_000_000.0, *, random: float = 0.5) -> None:
        self.slept: list[float] = []
        self._now = start
        self._random = random
        self._lock = threading.Lock()
        self._sleepers: list[_Sleeper] = []
        self._alarms: list[_Alarm] = []
        self._watchers: list[tuple[int, _Sleeper]] = []

    def time(self) -> float:
        return self._now

    def random(self) -> float:
        return self._random

    async def sleep(self, seconds: float) -> None:
        """Until ``seconds`` have been advanced; a checkpoint if that is none."""
        self.slept.append(seconds)
        sleeper = _Sleeper(self._now + seconds)
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        with self._lock:
            self._sleepers.append(sleeper)
            for wanted, watcher in self._watchers:
                if len(self._sleepers) >= wanted:
                    watcher.wake()
        try:
            await sleeper.event.wait()
        finally:
            with self._lock:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass. From any thread; sleepers on the caller's loop run when it next awaits."""
        with self._lock:
            self._now += seconds
            due = [sleeper for sleeper in self._sleepers if sleeper.due <= self._now]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper.due > self._now]
            rung = [alarm for alarm in self._alarms if alarm.due <= self._now]
            self._alarms = [alarm for alarm in self._alarms if alarm.due > self._now]
        waking: list[_Sleeper | _Alarm] = [*due, *rung]
        for item in sorted(waking, key=lambda item: item.due):
            item.wake()

    def later(self, seconds: float, function: Callable[[], None]) -> Callable[[], float]:
        """Call ``function`` on this event loop when ``seconds`` have been advanced; what is returned calls it off, and
        gives the seconds that were left."""
        alarm = _Alarm(self._now + seconds, function)
        with self._lock:
            self._alarms.append(alarm)

        def call_off() -> float:
            with self._lock:
                if alarm in self._alarms:
                    self._alarms.remove(alarm)
            return alarm.due - self._now

        return call_off

    @property
    def sleeping(self) -> int:
        """How many sleepers wait now."""
        return len(self._sleepers)

    async def wait_sleeping(self, count: int = 1) -> None:
        """Until at least ``count`` sleepers wait: then ``advance`` finds them."""
        watcher = (count, _Sleeper(0.0))
        with self._lock:
            if len(self._sleepers) >= count:
                return
            self._watchers.append(watcher)
        try:
            await watcher[1].event.wait()
        finally:
            with self._lock:
                self._watchers.remove(watcher)


class _Sleeper:
    """A task that waits on its own loop, woken from any thread."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.event = anyio.Event()
        self._loop: Loop = current_loop()

    def wake(self) -> None:
        if self._loop.is_here():
            self.event.set()
        else:
            self._loop.call(self.event.set)


class _Alarm:
    """A call that is made on the loop that asked for it."""

    def __init__(self, due: float, function: Callable[[], None]) -> None:
        self.due = due
        self._function = function
        self._loop: Loop = current_loop()

    def wake(self) -> None:
        if self._loop.is_here():
            self._function()
        else:
            self._loop.call(self._function)
