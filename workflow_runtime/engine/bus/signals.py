"""Signals: what is said to a run, as events are what the run says.

They have no number, and are handled at once, by the one subscriber of the run's bus whose ``handles`` names their class.
What must not be lost is stored before it is signalled; then a signal only says "look".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from ...storage.base import MessageRow
    from ..run.execution import Execution
    from .pauses import Requirement

__all__ = ["Answered", "Arrived", "Cancel", "Evict", "Fail", "Release", "Signal", "SignalSubscriber"]


@dataclass(frozen=True, slots=True)
class Cancel:
    """The run is to end as cancelled."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The run is to end with this error, which came from beside its steps: a commit was refused, the lease was lost."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Evict:
    """The run's task is to end without an outcome: the database, or another process, has the run."""


@dataclass(frozen=True, slots=True)
class Release:
    """As ``Evict``; its lease is given up once the task has ended, so that another process goes on at once."""


@dataclass(frozen=True, slots=True)
class Answered:
    """These answers are stored, among others that may be known."""

    requirements: list[Requirement]


@dataclass(frozen=True, slots=True)
class Arrived:
    """These messages to the run are stored, among others that may be known."""

    messages: Sequence[MessageRow]


Signal = Cancel | Fail | Evict | Release | Answered | Arrived


class SignalSubscriber(Protocol):
    """A subscriber of a run's bus that is told signals. It is given the run with each, and keeps no reference to it."""

    handles: ClassVar[Mapping[type[Any], Callable[[Any, Execution, Any], Any]]]
    """By class of signal: the method that handles it."""
