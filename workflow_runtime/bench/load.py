"""Load on one workflow: how fast it answers when so many runs come at once, or so many a second.

The workflow is a local one or one of a server (``workflow_runtime.client``): both have ``arun``.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from .clock import forget_peak, peak, resident

__all__ = ["Load", "Outcome", "Target", "apply"]


class Target(Protocol):
    """What has ``arun``: a Workflow, or a WorkflowClient."""

    def arun(self, input: Any = None, *, session_id: str | None = None) -> Awaitable[Any]: ...


@dataclass(frozen=True)
class Load:
    """What to send.

    Attributes:
        seconds: No run begins after so long.
        runs: At most so many; None: as many as come.
        concurrency: At most so many runs at once.
        rate: Arrivals per second, evenly spaced; a run that finds all places taken waits for one, and that counts as its
            latency. None: a new run begins as soon as a place is free.
        session: Let all runs share one session; otherwise each has its own.
    """

    seconds: float = 10.0
    runs: int | None = None
    concurrency: int = 10
    rate: float | None = None
    session: bool = False

    def __post_init__(self) -> None:
        positive = {"seconds": self.seconds, "concurrency": self.concurrency, "rate": self.rate, "runs": self.runs}
        if wrong := [name for name, value in positive.items() if value is not None and value <= 0]:
            raise ValueError(f"{', '.join(wrong)} must be more than 0")


@dataclass
class Outcome:
    """What came of it. Latencies are seconds, from arrival to the run's output, of all runs that gave one. ``messages`` is
    what the first error of each class said."""

    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    latencies: Sequence[float] = field(default_factory=lambda: array("d"))
    memory_before: int = 0
    memory_most: int = 0
    memory_after: int = 0

    @property
    def runs(self) -> int:
        return self.statuses.total() + self.errors.total()

    @property
    def throughput(self) -> float:
        """Runs that gave an output, per second."""
        return self.statuses.total() / self.seconds if self.seconds else 0.0

    def latency(self, share: float) -> float | None:
        """Seconds within which this share of the runs was done (0.5: half of them; 1: all); None: there were none."""
        found = sorted(self.latencies)
        return found[min(len(found) - 1, int(share * len(found)))] if found else None

    def to_dict(self) -> dict[str, Any]:
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        return {
            "seconds": self.seconds,
            "runs": self.runs,
            "runs_per_second": self.throughput,
            "statuses": dict(self.statuses),
            "errors": dict(self.errors),
            "messages": self.messages,
            "latency_seconds": {name: self.latency(share) for name, share in shares.items()},
            "memory_bytes": {
                "before": self.memory_before,
                "most": self.memory_most,
                "after": self.memory_after,
            },
        }


async def apply(
    target: Target, load: Load, input: Any = None, *, clock: Callable[[], float] = time.perf_counter
) -> Outcome:
    """Put the load on the workflow and wait until every run that began has ended.

    The memory is that of this process: a served workflow's is looked for at the server.
    """
    outcome = Outcome(memory_before=await asyncio.to_thread(_begin))
    latencies = array("d")
    name = f"load-{uuid4().hex[:12]}"
    arrived = 0
    start = clock()

    async def place() -> None:
        nonlocal arrived
        while load.runs is None or arrived < load.runs:
            number, now = arrived, clock()
            due = now if load.rate is None else start + number / load.rate
            if due - start >= load.seconds:
                return
            arrived += 1
            if due > now:
                await asyncio.sleep(due - now)
            try:
                output = await target.arun(input, session_id=name if load.session else f"{name}-{number}")
            except Exception as error:
                outcome.errors[type(error).__name__] += 1
                outcome.messages.setdefault(type(error).__name__, str(error))
            else:
                outcome.statuses[getattr(output.status, "value", str(output.status))] += 1
                latencies.append(clock() - due)

    async with asyncio.TaskGroup() as group:
        for _ in range(load.concurrency):
            group.create_task(place())
    outcome.seconds = clock() - start
    outcome.latencies = latencies
    outcome.memory_most, outcome.memory_after = await asyncio.to_thread(lambda: (peak(), resident()))
    return outcome


def _begin() -> int:
    forget_peak()
    return resident()
