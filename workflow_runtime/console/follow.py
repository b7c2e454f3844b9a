"""Reading the events of a run into a view and onto a surface, and cancelling the run when the reader is cancelled."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import anyio

from .. import Event, RunNotFound, WorkflowRunOutput
from ..view.tree import View
from .surface import Surface, clock

__all__ = ["Elsewhere", "Known", "Stream", "follow"]

logger = logging.getLogger("workflow_runtime")
_NAP = 0.005  # seconds between two reads of text
_FEW = 64  # events; a reader that finds more waiting does not rest: the run would have to wait for it
_GRACE = 5.0  # seconds that a cancelled run gets to record its end


async def follow(
    workflow: Any, stream: Stream, view: View, surface: Surface, *, owns: bool = True
) -> WorkflowRunOutput:
    """Show the run to its end or its pause; its output.

    Cancelling this call cancels the run and shows its end; without ``owns``, it only stops following.

    Raises:
        Exception: The exception of the failed run.
    """
    reader = _Reader(stream, view, surface)
    try:
        await _read_and_draw(workflow, reader, surface, owns)
    finally:
        with anyio.move_on_after(_GRACE, shield=True):
            await surface.close()
    if reader.error is not None:
        raise reader.error
    assert reader.output is not None
    return reader.output


async def _read_and_draw(workflow: Any, reader: _Reader, surface: Surface, owns: bool) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_draw, surface)
        tasks.start_soon(reader.read)
        try:
            await reader.done.wait()
        except anyio.get_cancelled_exc_class():
            if owns:
                with anyio.move_on_after(_GRACE, shield=True):
                    await _cancel(workflow, reader)
            raise
        finally:
            reader.scope.cancel()
            tasks.cancel_scope.cancel()


class Stream(Protocol):
    """A source of events: a RunStream, or a run that another process executes."""

    @property
    def run_id(self) -> str: ...
    async def take_some(self) -> list[Event]: ...
    async def result(self) -> WorkflowRunOutput: ...
    async def aclose(self) -> None: ...


class Elsewhere:
    """A run that another process executes, read through the database to its end; or, if ``to_pause``, to its next pause."""

    def __init__(self, workflow: Any, run_id: str, after: int | str, *, to_pause: bool = True) -> None:
        self.run_id = run_id
        self._workflow = workflow
        self._events = workflow.subscribe(run_id, after=after)
        self._to_pause = to_pause
        self._ended = False

    async def take_some(self) -> list[Event]:
        if self._ended:
            return []
        event = await anext(self._events, None)
        paused = event is not None and event.event == "WorkflowPaused" and not event.nested_depth
        self._ended = event is None or (paused and self._to_pause)
        return [] if event is None else [event]

    async def result(self) -> WorkflowRunOutput:
        found: WorkflowRunOutput | None = await self._workflow.aget_run(self.run_id)
        if found is None:
            raise RunNotFound(f"run {self.run_id!r} is not stored any more")
        return found

    async def aclose(self) -> None:
        await self._events.aclose()


class Known:
    """A run without new events: only its output."""

    def __init__(self, output: WorkflowRunOutput) -> None:
        self.run_id = str(output.run_id)
        self._output = output

    async def take_some(self) -> list[Event]:
        return []

    async def result(self) -> WorkflowRunOutput:
        return self._output

    async def aclose(self) -> None:
        return


class _Reader:
    """Reads on when the caller is cancelled, so that the end of a cancelled run is seen as well."""

    def __init__(self, stream: Stream, view: View, surface: Surface) -> None:
        self.stream = stream
        self.view = view
        self.surface = surface
        self.done = anyio.Event()
        self.scope = anyio.CancelScope(shield=True)
        self.output: WorkflowRunOutput | None = None
        self.error: Exception | None = None

    async def read(self) -> None:
        with self.scope:
            try:
                await self._read()
            except Exception as error:
                self.error = error
                await self.stream.aclose()
            finally:
                self.done.set()

    async def _read(self) -> None:
        while batch := await self.stream.take_some():
            told = self.view.fold_all(batch, clock())
            if self.surface.wants_deltas:
                told = batch
            if told:
                await self.surface.events(told)
            elif len(batch) < _FEW:
                await anyio.sleep(_NAP)  # so that a fast stream is read in fewer, larger pieces
        self.output = await self.stream.result()


async def _draw(surface: Surface) -> None:
    try:
        await surface.run()
    except Exception:
        logger.exception("the terminal could not be drawn; the run continues")


async def _cancel(workflow: Any, reader: _Reader) -> None:
    """Cancel the run, which may be about to start in this moment, and wait until its end was read."""
    while not reader.done.is_set():
        if await workflow.acancel_run(reader.stream.run_id):
            await reader.done.wait()
        else:
            with anyio.move_on_after(0.02):
                await reader.done.wait()
