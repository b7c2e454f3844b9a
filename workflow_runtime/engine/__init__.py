"""How a run runs: the host, the execution, the bus and its subscribers, the streams, limits and the sync portal.

Imports ``steps``, ``core``, ``storage`` and ``model``. Everything a run needs of the outside (time, ids, randomness)
comes in through ``Runtime`` objects made here, so the rooms below stay pure.

The room is half of what a first run has to load, asyncio and anyio included. So the verbs name what they use by its place,
``engine.host.run_awaited``: such a module is loaded when it is first asked for, and ``load`` brings all of them when a
workflow is made. A run finds them loaded, and who only names ``Workflow`` does not pay for them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        buffer,
        cancelling,
        clock,
        continuation,
        deaths,
        delivering,
        ending,
        execution,
        failures,
        fork,
        handed_over,
        host,
        inputs,
        joined,
        listing,
        loops,
        named,
        observers,
        ordering,
        portal,
        prepare_fork,
        queued,
        recovery,
        relayed,
        request,
        resume,
        scheduling,
        sending,
        sessions,
        stored,
        stream,
        subscription,
        sync_stream,
        telemetry,
        unreadable,
        websocket,
    )

# What the verbs use; the rest of the room comes with them.
__all__ = [
    "buffer",
    "cancelling",
    "clock",
    "continuation",
    "deaths",
    "delivering",
    "ending",
    "execution",
    "failures",
    "fork",
    "handed_over",
    "host",
    "inputs",
    "joined",
    "listing",
    "loops",
    "named",
    "observers",
    "ordering",
    "portal",
    "prepare_fork",
    "queued",
    "recovery",
    "relayed",
    "request",
    "resume",
    "scheduling",
    "sending",
    "sessions",
    "stored",
    "stream",
    "subscription",
    "sync_stream",
    "telemetry",
    "unreadable",
    "websocket",
]


@cache
def load() -> None:
    """Load every module that a verb or a run needs, so that none is loaded while a run holds the event loop. (D13)"""
    for name in __all__:
        import_module(f".{name}", __name__)


if not TYPE_CHECKING:  # to a type checker a module with __getattr__ has every name, also misspelt ones

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f".{name}", __name__)
