"""Attempts that are ended since nothing was heard of them for too long."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...model.events import Event
from ...model.step_io import StepOutput
from .limits import limited

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["unless_idle"]


async def unless_idle(
    run: Execution, idle: float, limit: float | None, path: str, work: Awaitable[StepOutput], attempt: int
) -> StepOutput:
    """What ``work`` gives, if it publishes something at least every ``idle`` seconds, and ends within ``limit`` seconds.

    Raises:
        TimeoutError: It did not.
    """
    silent = f"{path}: attempt {attempt} published nothing for {idle:g} s, its idle_timeout"
    with _listening(run):
        watched = limited(run, idle, path, work, silent, attempt=True, idle=True)
        if limit is None:
            found: StepOutput = await watched
            return found
        late = f"{path}: attempt {attempt} took longer than {limit:g} s"
        found = await limited(run, limit, path, watched, late, attempt=True)
        return found


@contextmanager
def _listening(run: Execution) -> Iterator[None]:
    limits = run.parking.limits

    def heard(event: Event) -> None:
        limits.heard_of(event.path)

    run.observe(heard)
    try:
        yield
    finally:
        run.bus.observers = tuple(one for one in run.bus.observers if one is not heard)
