"""Which of the code a saved run spends its time in: a profile of each thread, by room and by function.

``python benchmarks/profile_saved.py [--toy]``. Runs of three steps, 32 at a time, saved in SQLite with "exit", and with
"sync" and all events; the event loop's thread and the writer's thread apart (the little that the loop of the databases
takes counts as the writer's). Every call is seen (``sys.setprofile``), so the calls of a run are the same on any machine,
but for how many runs met in one commit. A function's share is that of its own time:
CPU time of its thread while nothing that it called was running; waiting for the interpreter's lock or for the disk is not
in it. Making an object counts for the function that makes it, and garbage collection stands by itself,
in whichever thread it struck.

The microseconds are shares of what the thread takes without a profile, which is measured before (the median of three).
What the profile itself takes is measured too and left out; but the interpreter has its fast paths only without one, so
Python code looks dearer beside C code than it is, and much of a share is right to the tens, not to the ones.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from time import thread_time_ns
from types import BuiltinFunctionType, CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

from shares import PLACES, batch, in_sqlite, middle

WAYS = (("exit", False), ("sync", True))
LOOP = ("asyncio", "select", "selectors", "socket", "contextvars")
"""What an asyncio loop is made of."""
APART = ("builtins", "sqlite3")
"""Of the standard library, what has a line of its own."""
THREADS = {"MainThread": "event loop's thread", "workflow_runtime_sqlite writer": "writer's thread"}


class Function(NamedTuple):
    """One line of a profile. ``room`` is a folder of ours or a package, ``place`` where the function is."""

    room: str
    name: str
    place: str


class Spent:
    """Own time in nanoseconds, in how many pieces it was measured, and calls."""

    __slots__ = ("calls", "pieces", "time")

    def __init__(self) -> None:
        self.time = self.pieces = self.calls = 0


COLLECTING = Function("garbage collection", "collections", "gc")
OUTSIDE = Function("the thread itself", "outside of all functions", "")


def room(module: str) -> str:
    """Of the module's name."""
    first, _, rest = module.partition(".")
    if first in ("__main__", "shares") or module.startswith("workflow_runtime.bench"):
        return "the benchmark"
    if first == "workflow_runtime":
        inner, dot, _ = rest.partition(".")
        return f"{inner}/" if dot else f"{inner or '__init__'}.py"
    if first.startswith("workflow_runtime_"):
        return first.replace("workflow_runtime_", "backends/")
    if first.lstrip("_") in LOOP:
        return "asyncio"
    return "standard library" if first in sys.stdlib_module_names and first not in APART else first


def of_python(frame: FrameType) -> Function:
    module, code = frame.f_globals.get("__name__", "?"), frame.f_code
    return Function(room(module), code.co_qualname, f"{module}:{code.co_firstlineno}")


def of_c(function: BuiltinFunctionType) -> Function:
    owner = function.__self__
    module = owner.__name__ if isinstance(owner, ModuleType) else (function.__module__ or type(owner).__module__)
    return Function(room(module), function.__qualname__, module)


class Thread:
    """The profile of one thread: what ``sys.setprofile`` calls in it."""

    def __init__(self) -> None:
        self.spent: defaultdict[Function, Spent] = defaultdict(Spent)
        self.collecting = False
        self._known: dict[CodeType, Function] = {}
        self._now = OUTSIDE
        self._since = thread_time_ns()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        spent = self.spent[self._now]
        spent.time += thread_time_ns() - self._since
        spent.pieces += 1
        if event == "c_call":
            self._enter(of_c(argument))
        elif event == "call":
            self._enter(self._function(frame))
        elif event == "return":
            # A generator or coroutine that waits returns too; its caller then is whoever resumed it.
            back = frame.f_back
            self._now = COLLECTING if self.collecting else OUTSIDE if back is None else self._function(back)
        else:
            self._now = self._function(frame)
        self._since = thread_time_ns()

    def _enter(self, function: Function) -> None:
        self._now = function
        self.spent[function].calls += 1

    def _function(self, frame: FrameType) -> Function:
        found = self._known.get(frame.f_code)
        if found is None:
            found = self._known[frame.f_code] = of_python(frame)
        return found


class Profile:
    """While it is entered, all threads that start and this one are profiled."""

    def __init__(self) -> None:
        self.threads: defaultdict[threading.Thread, Thread] = defaultdict(Thread)

    def __enter__(self) -> Profile:
        threading.setprofile(self._begin)
        sys.setprofile(self.threads[threading.current_thread()])
        gc.callbacks.append(self._collects)
        return self

    def __exit__(self, *error: object) -> None:
        gc.callbacks.remove(self._collects)
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # as its documentation says

    def _begin(self, frame: FrameType, event: str, argument: Any) -> None:
        # The first event of a thread: from the next one on, its own profile is called.
        sys.setprofile(self.threads[threading.current_thread()])

    def _collects(self, phase: str, info: Mapping[str, int]) -> None:
        # Called in the thread that collects, before and after it; the time in between begins as this returns.
        profiled = self.threads[threading.current_thread()]
        profiled.collecting = phase == "start"
        profiled.spent[COLLECTING].calls += phase == "start"

    def forget(self) -> None:
        """What was before is not counted."""
        for profiled in self.threads.values():
            profiled.spent.clear()


def price() -> float:
    """Nanoseconds that the profile adds to each piece: the least of five measurements."""
    found = []
    for _ in range(5):
        began = thread_time_ns()
        _calls()
        plain = thread_time_ns() - began
        with Profile() as profile:
            _calls()
        spent = profile.threads[threading.current_thread()].spent.values()
        found.append((sum(one.time for one in spent) - plain) / sum(one.pieces for one in spent))
    return min(found)


def _calls() -> None:
    for _ in range(10_000):
        len("")


async def profiled(durability: str, events: bool, runs: int) -> dict[str, dict[Function, Spent]]:
    """By thread."""
    from workflow_runtime.bench.ours.stored import saved

    with tempfile.TemporaryDirectory() as folder, Profile() as profile:
        async with saved(f"sqlite:///{folder}/runs.db", 3, durability, events) as workflow:
            await batch(workflow, "first", 2 * PLACES)
            profile.forget()
            await batch(workflow, "then", runs)
            return {thread.name: dict(found.spent) for thread, found in profile.threads.items()}


def show(spent: Mapping[Function, Spent], added: float, runs: int, measured: float, top: int) -> None:
    """The rooms, and the functions that took the most. ``measured``: microseconds of the thread without a profile."""
    times = {function: max(0.0, one.time - added * one.pieces) for function, one in spent.items()}
    whole = sum(times.values())
    rooms: defaultdict[str, list[Function]] = defaultdict(list)
    for function in spent:
        rooms[function.room].append(function)

    def line(functions: Sequence[Function], *what: str) -> tuple[float, str]:
        share = sum(times[function] for function in functions) / whole
        calls = sum(spent[function].calls for function in functions) / runs
        return share, f"    {share:6.1%} {share * measured:7.1f} us {calls:7.2f} calls  {'  '.join(what)}"

    for lines in (
        [line(functions, room) for room, functions in rooms.items()],
        [line([one], f"{one.room:16}", f"{one.name}  ({one.place})") for one in spent],
    ):
        for _, text in sorted(lines, reverse=True)[:top]:
            print(text)
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="few runs, to see that it works")
    parser.add_argument("--top", type=int, default=25, help="how many lines of each list")
    given = parser.parse_args()
    runs = PLACES if given.toy else 2000
    for durability, events in WAYS:
        cpu, loop, _ = middle(partial(in_sqlite, durability, events, runs))
        threads = asyncio.run(profiled(durability, events, runs))
        added = price()
        for (name, title), measured in zip(THREADS.items(), (loop, cpu - loop), strict=True):
            calls = sum(one.calls for one in threads[name].values()) / runs
            what = f"SQLite, {durability}{', events' if events else ''}, {title}"
            print(f"{what}: {measured:.0f} of {cpu:.0f} us CPU a run ({measured / cpu:.0%}), {calls:,.0f} calls")
            show(threads[name], added, runs, measured, given.top)


if __name__ == "__main__":
    main()
