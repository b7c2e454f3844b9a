"""The sync twin of RunStream: drains what is ready per hop to the portal's loop. (D12)"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Generator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.lowlevel

from ...model.events import Event
from ...model.run import WorkflowRunOutput
from ..bus.failures import shorten
from ..loop import portal
from ..run.host import live_runs
from .stream import RunStream

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["SyncRunStream"]

_of_main_thread: weakref.WeakSet[RunStream] = weakref.WeakSet()


class SyncRunStream:
    """Iterator over the events of one run. Leaving early (``close``, ``with``, Ctrl-C, or dropping it) cancels the run, and
    so does leaving a ``for`` loop over it, if nobody reads on within a quarter of a second.

    ``close``, ``with`` and Ctrl-C wait for its end; after dropping it, the thread's next verb that reads waits, at most a
    few seconds. What is still open when the interpreter ends is closed then.
    """

    def __init__(self, stream: RunStream) -> None:
        self._stream = stream
        self._events = _events(stream)

    @property
    def run_id(self) -> str:
        return self._stream.run_id

    def __iter__(self) -> Generator[Event, None, None]:
        # Not ``self``: Ctrl-C may fall on the first bytecode of a ``__next__``, before any ``try``. A generator goes on
        # inside its own.
        return _loop(self._events, self._stream)

    def __next__(self) -> Event:
        return next(self._events)

    def result(self) -> WorkflowRunOutput:
        """Read to the end, and the run's output. Raises what the run failed with."""
        try:
            for _ in self._events:
                pass
            return portal.call(self._stream.result, at_once=True)
        except Exception as error:
            shorten(error)
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave; a run that is still going is cancelled, and its end is waited for."""
        portal.call(self._stream.aclose, at_once=True)
        with contextlib.suppress(ValueError):  # another thread is reading; it sees the end
            self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _loop(events: Generator[Event, None, None], stream: RunStream) -> Generator[Event, None, None]:
    """What one ``for`` iterates over: it is closed when the loop is left, and ``events`` is not, to be read on."""
    try:
        for event in events:  # noqa: UP028  # ``yield from`` would close ``events``
            yield event
    except GeneratorExit:
        stream.loop_was_left()
        raise
    except Exception:
        raise
    except BaseException:  # Ctrl-C, between two events
        _abandon(stream, wait=True)
        raise


def _events(stream: RunStream) -> Generator[Event, None, None]:
    if threading.current_thread() is threading.main_thread():
        _of_main_thread.add(stream)
    take = partial(portal.call, stream.take_some, at_once=True)
    try:
        # No ``while``: from Python 3.13 on, its jump back is in no ``try`` block, and Ctrl-C may fall on it.
        for events in iter(take, []):
            yield from events
    except Exception as error:
        shorten(error)
        raise
    except BaseException as error:
        _abandon(stream, wait=not isinstance(error, GeneratorExit))  # nobody waits in a finaliser
        raise


def _abandon(stream: RunStream, *, wait: bool) -> None:
    run = stream.abandon()
    if run is not None:
        portal.leave(partial(_ended, weakref.ref(run)))
        if wait:
            portal.settle()


async def _ended(weak: weakref.ref[Execution]) -> None:
    run = weak()
    if run is not None:
        await run.wait_ended()


async def _end_runs() -> None:
    """Leave what the main thread has open, and wait for all runs that were left."""
    for stream in list(_of_main_thread):
        stream.abandon()
    await anyio.lowlevel.checkpoint()
    for run in live_runs():
        if run.cancelled and run.loop.is_here():
            await run.wait_ended()


portal.at_exit(_end_runs)
