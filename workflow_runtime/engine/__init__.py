"""How a run runs, in six wings. Each may import those above it in this list, and ``steps``, ``core``, ``storage`` and
``model``:

- ``loop``: event loops, the clock, the process and its portal, time limits. It knows no run.
- ``bus``: the bus of a run, its signals, and its log: the recorder, its commits and the rows that it stores.
- ``people``: questions and messages: how a step asks and receives, and how answers are taken over.
- ``run``: a run and its life: the execution, the walk over its steps, what executes them, and its end.
- ``readers``: streams, subscriptions, sockets, observers and telemetry.
- ``start``: how a run begins: new, continued, recovered, forked or taken from a queue; and the ``Runtime``.

Everything a run needs of the outside (time, ids, randomness) comes in through objects made here, so the rooms below stay
pure. The room is half of what a first run has to load, asyncio and anyio included. So the verbs name what they use by its
module, ``engine.host.run_awaited``: such a module is loaded when it is first asked for, and ``load`` brings all of them when
a workflow is made. A run finds them loaded, and who only names ``Workflow`` does not pay for them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bus import buffer, failures, relayed, states, stored, unreadable
    from .loop import clock, loops, portal
    from .readers import listing, observers, stream, subscription, sync_stream, telemetry, websocket
    from .run import deaths, ending, execution, host, inputs, joined, request, sessions
    from .start import (
        cancelling,
        continuation,
        delivering,
        fork,
        handed_over,
        named,
        ordering,
        prepare_fork,
        queued,
        recovery,
        resume,
        scheduling,
        sending,
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
    "states",
    "stored",
    "stream",
    "subscription",
    "sync_stream",
    "telemetry",
    "unreadable",
    "websocket",
]
_HOMES = {
    name: wing
    for wing, names in {
        "loop": "clock loops portal",
        "bus": "buffer failures relayed states stored unreadable",
        "run": "deaths ending execution host inputs joined request sessions",
        "readers": "listing observers stream subscription sync_stream telemetry websocket",
        "start": "cancelling continuation delivering fork handed_over named"
        " ordering prepare_fork queued recovery resume scheduling sending",
    }.items()
    for name in names.split()
}


@cache
def load() -> None:
    """Load every module that a verb or a run needs, so that none is loaded while a run holds the event loop. (D13)"""
    for name, wing in _HOMES.items():
        import_module(f".{wing}.{name}", __name__)


if not TYPE_CHECKING:  # to a type checker a module with __getattr__ has every name, also misspelt ones

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = import_module(f".{_HOMES[name]}.{name}", __name__)
        return found
