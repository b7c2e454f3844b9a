"""Reading the events of a run into a view and onto a surface, and cancelling the run when the reader is cancelled."""

from __future__ import annotations

import logging
from typing import Any

import anyio

from .. import RunStream, StepContentEvent, StepProgressEvent, WorkflowRunOutput
from .surface import Surface, clock
from .tree import View

__all__ = ["follow"]

logger = logging.getLogger("workflow_runtime")
_GRACE = 5.0  # seconds that a cancelled run gets to record its end
_DELTAS = (StepContentEvent, StepProgressEvent)


async def follow(workflow: Any, stream: RunStream, view: View, surface: Surface) -> WorkflowRunOutput:
    """Show the run to its end or its pause; its output.

    Cancelling this call cancels the run, and shows how that ended.

    Raises:
        Exception: What the run failed with.
    """
    reader = _Reader(stream, view, surface)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_draw, surface)
        tasks.start_soon(reader.read)
        try:
            await reader.done.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_GRACE, shield=True):
                await _cancel(workflow, reader)
            raise
        finally:
            reader.scope.cancel()
            tasks.cancel_scope.cancel()
            with anyio.move_on_after(_GRACE, shield=True):
                await surface.close()
    if reader.error is not None:
        raise reader.error
    assert reader.output is not None
    return reader.output


class _Reader:
    """Reads on when the caller is cancelled, so that the end of a cancelled run is seen as well."""

    def __init__(self, stream: RunStream, view: View, surface: Surface) -> None:
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
        fold, deltas = self.view.fold, self.surface.wants_deltas
        while batch := await self.stream.take_some():
            now = clock()
            told = batch if deltas else []
            for event in batch:
                fold(event, now)
                if not deltas and type(event) not in _DELTAS:
                    told.append(event)
            if told:
                await self.surface.events(told)
        self.output = await self.stream.result()


async def _draw(surface: Surface) -> None:
    try:
        await surface.run()
    except Exception:
        logger.exception("the terminal could not be drawn; the run goes on")


async def _cancel(workflow: Any, reader: _Reader) -> None:
    """Cancel the run, which may be about to start in this moment, and wait until its end was read."""
    while not reader.done.is_set():
        if await workflow.acancel_run(reader.stream.run_id):
            await reader.done.wait()
        else:
            with anyio.move_on_after(0.02):
                await reader.done.wait()
