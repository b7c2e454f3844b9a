"""What the product and its libraries leave to chance, made to follow the seed. Called once per interpreter, before the first
workflow is made.

Ids, owners, jitter and the tables of a process need no patch: they come from ``engine.process``, and the world's processes
have their own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterable
from typing import Any

import anyio._backends._asyncio as backend
import anyio.to_thread

from workflow_runtime import engine

from .world import World, is_boom

__all__ = ["apply"]


class OrderedSet(dict[Any, None]):
    """A set in the order of insertion. anyio keeps tasks and scopes in sets, whose order follows addresses."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__((item, None) for item in items)

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)

    def remove(self, item: Any) -> None:
        del self[item]

    def update(self, items: Iterable[Any]) -> None:  # type: ignore[override]  # as a set has it
        for item in items:
            self[item] = None

    def copy(self) -> OrderedSet:
        return OrderedSet(self)


async def _in_no_thread(
    func: Any, *args: Any, abandon_on_cancel: bool = False, cancellable: bool = False, limiter: Any = None
) -> Any:
    with backend.CancelScope(shield=not (abandon_on_cancel or cancellable)):
        return await asyncio.get_running_loop().run_in_executor(None, func, *args)


class _Errors(logging.Handler):
    """Errors in the log of the product belong to the world that is playing."""

    def emit(self, record: logging.LogRecord) -> None:
        world = World.now_playing
        if world is not None and world.running is not None:
            text = record.getMessage()
            error = record.exc_info[1] if record.exc_info else None
            if is_boom(error):
                return
            if error is not None:
                text += f": {error!r}"
            world.error(f"logged-{type(error).__name__}", f"{world.running.name}: {text}")


def apply() -> None:
    engine.load()
    gc.disable()  # a collection would finalise what a crash left behind; a child process per batch frees it
    gc.freeze()
    backend.set = OrderedSet  # type: ignore[attr-defined]  # a module's name is found before the builtin
    anyio.to_thread.run_sync = _in_no_thread
    logger = logging.getLogger("workflow_runtime")
    logger.handlers[:] = [_Errors(logging.ERROR)]
    logger.propagate = False
    logger.setLevel(logging.ERROR)
