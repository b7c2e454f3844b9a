"""What holds an event loop up, and what does not end when it is told to. (D9, D13)

Both are found from outside, so a run pays nothing for it: a thread asks the loop for a sign of life, and where none comes
it reads from the loop's stack which step is running. It lives while somebody wants to know: a ``Runtime``, or a run with
``debug_mode``. A step that caught its cancellation is looked for among the loop's tasks, a while after it was cancelled.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from .loops import Loop, coroutines, current_loop, later, loop_key, on_trio
from .process import Process, current
from .step_frames import DRIVERS, STEPS

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["Stall", "expect_end", "expect_timeout", "watch_loop"]

logger = logging.getLogger("workflow_runtime")

LATE_SECONDS = 5.0  # after which a step that was cancelled, or whose time ran out, and did not end is reported
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
_STDLIB = os.path.dirname(linecache.__file__)


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """An event loop that stood still: for how many seconds, and at what. ``run_id`` and ``path`` are None where no step
    was running; ``where`` is the line, as "file:line in function: text"."""

    run_id: str | None
    path: str | None
    where: str
    seconds: float

    def __str__(self) -> str:
        step = f"step {self.path!r} of run {self.run_id}" if self.path is not None else "code outside of any step"
        return f"{step}, at {self.where}"


def watch_loop(after: float, tell: Callable[[Stall], None] | None = None) -> Callable[[], None]:
    """Report each time that the running loop stands still for more than ``after`` seconds: as a warning at once, and with
    its whole length to ``tell`` (on the loop) when it goes on. What is returned ends it; it may be called twice."""
    process, key = current(), loop_key()
    holder = (after, tell)
    with process.lock:
        watch = process.watches.get(key)
        if watch is None:
            watch = process.watches[key] = _Watch(current_loop(), threading.get_ident())
        watch.holders.append(holder)
        if process.watchdog is None:
            process.watchdog = threading.Thread(
                target=_look, args=(process,), name="workflow_runtime watchdog", daemon=True
            )
            process.watchdog.start()
    process.watches_changed.set()

    def release() -> None:
        with process.lock:
            if holder in watch.holders:
                watch.holders.remove(holder)
            if not watch.holders and process.watches.get(key) is watch:
                del process.watches[key]
        process.watches_changed.set()

    return release


class _Watch:
    """One loop: when it was asked for a sign of life, and what was found when it gave none."""

    def __init__(self, loop: Loop, thread_id: int) -> None:
        self.holders: list[tuple[float, Callable[[Stall], None] | None]] = []
        self._loop = loop
        self._thread_id = thread_id
        self._asked: float | None = None
        self._found: Stall | None = None

    @property
    def after(self) -> float:
        return min((after for after, _ in self.holders), default=1.0)

    def look(self, now: float, slept_well: bool) -> bool:
        """Ask, or see what the loop does instead of answering; False when it has ended. In the watchdog's thread."""
        asked = self._asked
        if (
            asked is None or not slept_well
        ):  # the machine gave this thread no time either, so it says nothing of the loop
            self._asked = now
            return asked is not None or self._loop.call(self._answer)
        if now - asked > self.after and self._found is None:
            frame = sys._current_frames().get(self._thread_id)  # what it is there for
            found = _stall(_outwards(frame), now - asked)
            if self._asked == asked:
                self._found = found
                logger.warning(
                    "the event loop has been blocked for %.2f s: %s; move the blocking call into a function without async,"
                    " which runs in a thread, or wrap it in anyio.to_thread.run_sync",
                    found.seconds,
                    found,
                    extra={"run_id": found.run_id, "step_path": found.path},
                )
        return True

    def _answer(self) -> None:
        asked, self._asked = self._asked, None
        found, self._found = self._found, None
        if found is None or asked is None:
            return
        whole = msgspec.structs.replace(found, seconds=time.monotonic() - asked)
        logger.warning(
            "the event loop stood still for %.2f s: %s",
            whole.seconds,
            whole,
            extra={"run_id": whole.run_id, "step_path": whole.path},
        )
        for _, tell in list(self.holders):
            if tell is not None:
                tell(whole)


def _look(process: Process) -> None:
    """The watchdog's thread: four looks in the shortest time that anybody wants to hear of."""
    before, tick = time.monotonic(), 0.0
    while True:
        with process.lock:
            if not process.watches:
                process.watchdog = None
                return
            known = list(process.watches.items())
        now = time.monotonic()
        slept_well = now - before < tick * 3 + 0.05
        for key, watch in known:
            if not watch.look(now, slept_well):
                with process.lock:
                    process.watches.pop(key, None)
        before, tick = now, min(max(min(watch.after for _, watch in known) / 4, 0.01), 0.25)
        process.watches_changed.wait(tick)
        process.watches_changed.clear()


# -- what does not end ---------------------------------------------------------------------------------------------------


def expect_end(run: Execution) -> Callable[[], None]:
    """The run was cancelled: report, in ``LATE_SECONDS``, what of it still goes on then. What is returned calls it off."""
    known, late = weakref.ref(run), LATE_SECONDS

    def report() -> None:
        live = known()
        if live is not None and not live.ended:
            _report(live, "", late, "was cancelled")

    return later(late, report)


def expect_timeout(run: Execution, path: str, seconds: float, scope: anyio.CancelScope) -> Callable[[], None]:
    """Report what still goes on at ``path`` ("": all of the run) ``LATE_SECONDS`` after its time ran out, which is when
    ``scope`` is cancelled: it may be put off. What is returned calls it off."""
    known, late = weakref.ref(run), LATE_SECONDS
    # A callback of asyncio's loop is no task, so anyio does not know the time there.
    now = anyio.current_time if on_trio() else asyncio.get_running_loop().time

    def look() -> None:
        live = known()
        if live is None:
            return
        if scope.cancel_called:
            _report(live, path, late, f"took longer than {seconds:g} s at {path or 'all'}, was cancelled")
        else:
            handles.append(later(late + min(max(scope.deadline - now(), 0.0), 60.0), look))

    handles = [later(late + seconds, look)]
    return lambda: handles[-1]()


def _report(run: Execution, path: str, late: float, why: str) -> None:
    for stall in _going_on(run, path, late):
        logger.warning(
            "run %s %s %.0f s ago, and still runs: %s; it catches its cancellation, shields itself from it, or is a"
            " thread that does not check run_context.cancelled",
            run.id,
            why,
            late,
            stall,
            extra={"run_id": stall.run_id, "step_path": stall.path},
        )


def _going_on(run: Execution, path: str, seconds: float) -> Iterator[Stall]:
    for coroutine in coroutines():
        frames = list(_inwards(coroutine))
        found = _stall(reversed(frames), seconds)
        if found.run_id == run.id and (not path or found.path == path or str(found.path).startswith(f"{path}/")):
            yield found


# -- reading stacks ------------------------------------------------------------------------------------------------------


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _inwards(coroutine: Any) -> Iterator[FrameType]:
    """The frames of a coroutine that waits, from its task's to where it waits."""
    while coroutine is not None:
        frame = next(
            (found for name in ("cr", "ag", "gi") if (found := getattr(coroutine, f"{name}_frame", None))), None
        )
        if frame is None:
            return
        yield frame
        inner = next(
            (getattr(coroutine, name) for name in ("cr_await", "ag_await", "gi_yieldfrom") if hasattr(coroutine, name)),
            None,
        )
        driven = DRIVERS.get(frame.f_code)
        coroutine = inner if driven is None else frame.f_locals.get(driven)


def _of_a_library(file: str) -> bool:
    return file.startswith(_STDLIB) or "-packages" in file


def _stall(frames: Iterator[FrameType], seconds: float) -> Stall:
    """The innermost line of somebody else's code, and the step that it is of. ``frames`` from the inside out."""
    where: str | None = None
    library = False
    for frame in frames:
        code = frame.f_code
        if code in STEPS:
            place = frame.f_locals
            return Stall(run_id=place["frame"].run.id, path=place["path"], where=where or "a thread", seconds=seconds)
        if code.co_filename.startswith(_PACKAGE):
            continue
        if where is None or library:
            library = _of_a_library(code.co_filename)
            if where is None or not library:  # the line that called a library says more than the line inside of it
                line = linecache.getline(code.co_filename, frame.f_lineno).strip()
                where = f"{code.co_filename}:{frame.f_lineno} in {code.co_name}" + (f": {line}" if line else "")
    return Stall(run_id=None, path=None, where=where or "nothing known", seconds=seconds)
