"""The work of a Runtime that is not about one run: pruning old rows, and when to try a run again that failed to continue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio

from ...model.codec import event_names
from ...model.retention import Retention
from ...storage.base import Pruned

__all__ = ["DELTAS", "Backoff", "Pruning"]

DELTAS = frozenset({"StepContent", "StepProgress", "RunContent", "TeamRunContent", "ReasoningContentDelta"})
_SLICE = 200  # rows that one prune deletes at a time, so that no run waits long for the writer
_LONGEST = 60.0  # seconds


class Backoff:
    """Runs that failed to continue, each with the moment of its next try."""

    def __init__(self) -> None:
        self._tries: dict[str, tuple[float, float]] = {}

    def is_due(self, run_id: str) -> bool:
        return self._tries.get(run_id, (0.0, 0.0))[0] <= anyio.current_time()

    def failed(self, run_id: str) -> bool:
        """Put the run off. True the first time."""
        is_first = run_id not in self._tries
        pause = min(_LONGEST, 1.0 if is_first else 2 * self._tries[run_id][1])
        self._tries[run_id] = (anyio.current_time() + pause, pause)
        return is_first

    def succeeded(self, run_id: str) -> None:
        self._tries.pop(run_id, None)


class Pruning:
    """Deletes what the workflows' retentions do not keep."""

    def __init__(self, retention: Retention | None) -> None:
        self._retention = retention
        self._next: dict[tuple[str, int], tuple[float, float]] = {}

    async def prune(self, workflows: list[Any], seconds: float) -> int:
        """Prune in small slices until nothing is due, for at most about ``seconds``. How many rows went."""
        end = anyio.current_time() + seconds
        went = 0
        for workflow in workflows:
            retention = self._retention or workflow.retention
            if retention is None or workflow.db is None:
                continue
            for mark, age, kinds in (
                (1, retention.deltas, DELTAS),
                (2, retention.events, event_names()),
                (0, retention.runs, None),
            ):
                if age is not None:
                    went += await self._prune(workflow, mark, age, kinds, end)
        return went

    async def _prune(
        self, workflow: Any, mark: int, age: float | timedelta, kinds: frozenset[str] | None, end: float
    ) -> int:
        seconds = age.total_seconds() if isinstance(age, timedelta) else age
        now = workflow.clock.time()
        last, pause = self._next.get((workflow.id, mark), (now, 0.0))
        if 0 <= now - last < pause:
            return 0
        went = 0
        while True:
            found: Pruned = await workflow.db.prune(
                kinds=kinds, before=now - seconds, limit=_SLICE, workflow_id=workflow.id, mark=mark
            )
            went += found.rows
            if not found.more:
                # What is kept for a day need not be looked for each second.
                self._next[workflow.id, mark] = (now, min(_LONGEST, seconds / 100))
                return went
            if anyio.current_time() >= end:
                return went
