"""agno's base classes of events: the events of a run are instances of them, and users subclass them for their own.

A subclass is a CustomEvent, so that the engine publishes and stores it like any other; ``@dataclass`` works on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from workflow_runtime.model.events import CustomEvent, WorkflowEvent
from workflow_runtime.model.executor_events import ExecutorEvent

__all__ = ["BaseAgentRunEvent", "BaseRunOutputEvent", "BaseTeamRunEvent", "BaseWorkflowRunOutputEvent"]


class _Family(type):
    """A class that has instances of other classes too; its subclasses have their own only."""

    def __instancecheck__(cls, item: Any) -> bool:
        counts: Callable[[Any], bool] | None = cls.__dict__.get("counts")
        return type.__instancecheck__(cls, item) or (counts is not None and counts(item))


class BaseRunOutputEvent(CustomEvent, metaclass=_Family):
    """Any event."""

    counts: ClassVar[Any] = staticmethod(lambda item: isinstance(item, (WorkflowEvent, CustomEvent)))


class BaseWorkflowRunOutputEvent(BaseRunOutputEvent):
    """An event of a workflow, or one of the user's own."""

    counts: ClassVar[Any] = staticmethod(
        lambda item: isinstance(item, (WorkflowEvent, CustomEvent)) and not isinstance(item, ExecutorEvent)
    )


class BaseAgentRunEvent(BaseRunOutputEvent):
    """An event of an agent."""

    counts: ClassVar[Any] = staticmethod(
        lambda item: isinstance(item, ExecutorEvent) and not item.event.startswith("Team")
    )


class BaseTeamRunEvent(BaseRunOutputEvent):
    """An event of a team."""

    counts: ClassVar[Any] = staticmethod(lambda item: isinstance(item, ExecutorEvent) and item.event.startswith("Team"))
