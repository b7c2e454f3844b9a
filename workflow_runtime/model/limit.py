"""How many queued runs work at the same time, begin in a time, and wait."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from . import checks
from .errors import BuildError
from .keywords import Suggesting

__all__ = ["Limit", "QueuedRun", "checked_limits"]

_RATE = re.compile(r"\s*([1-9][0-9]*)\s*/\s*(second|minute|hour|day)\s*")
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_FIELDS = ("user_id", "session_id")
_MOST = 2**31 - 1


class QueuedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What the ``key`` function of a ``Limit`` is called with: the arguments of the call that queues the run."""

    workflow_id: str
    run_id: str
    session_id: str
    user_id: str | None = None
    input: Any = None
    additional_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()
    queue: str = "default"


class Limit(msgspec.Struct, metaclass=Suggesting, frozen=True, kw_only=True):
    """A limit of a workflow's queued runs, kept over all processes that share the database.

    Attributes:
        key: What is counted together: "user_id", "session_id", or a function of a ``QueuedRun`` that returns a string (None:
            the limit is not for this run). Runs without a user count together. None: all runs of the workflow.
        concurrency: How many runs of a key may work at the same time.
        rate: How many runs of a key may begin in any period, as in "10/minute": a number, "/", and "second", "minute",
            "hour" or "day".
        max_queued: How many runs of a key may wait; a call for one more raises QueueFull.
        name: The name of the limit among those of the workflow. None: that of the key.

    Raises:
        BuildError: There is no number, or one that is not valid.
    """

    key: str | Callable[[QueuedRun], str | None] | None = None
    concurrency: int | None = None
    rate: str | None = None
    max_queued: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        where = "Limit: "
        if not (self.key is None or callable(self.key) or self.key in _FIELDS):
            raise BuildError(f"{where}key={self.key!r} must be 'user_id', 'session_id', a function, or None")
        for name in ("concurrency", "max_queued"):
            checks.number(getattr(self, name), name, where, least=1, most=_MOST, whole=True, none="no limit")
        checks.identifier(self.name, "name", where, most=100)
        if self.rate is not None and not (isinstance(self.rate, str) and _RATE.fullmatch(self.rate)):
            raise BuildError(
                f"{where}rate={self.rate!r} must be a number per second, minute, hour or day, as in '10/minute'"
            )
        if self.concurrency is None and self.rate is None and self.max_queued is None:
            raise BuildError("Limit() limits nothing; write for example Limit(key='user_id', concurrency=2)")

    @property
    def label(self) -> str:
        """The name, else that of the key; "" for all runs of a workflow."""
        if self.name is not None or self.key is None:
            return self.name or ""
        return self.key if isinstance(self.key, str) else getattr(self.key, "__name__", type(self.key).__name__)

    @property
    def per_period(self) -> tuple[int, float] | None:
        """The rate as a number of runs and a number of seconds."""
        found = None if self.rate is None else _RATE.fullmatch(self.rate)
        return None if found is None else (int(found[1]), _SECONDS[found[2]])


def checked_limits(value: Any, where: str) -> tuple[Limit, ...]:
    """The limits of a workflow. BuildError unless they are a list of Limit with different names."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or not all(isinstance(item, Limit) for item in value):
        raise BuildError(f"{where}limits={value!r} must be a list of Limit; write limits=[Limit(key='user_id', ...)]")
    labels = [item.label for item in value]
    for label in labels:
        if labels.count(label) > 1:
            what = f"two limits are named {label!r}" if label else "two limits are for all runs"
            raise BuildError(f"{where}{what}; write one Limit with all numbers, or give one a name=")
    return tuple(value)
