"""Which events a reader sees. A run publishes all of them; these are the subscribers' sieves. (D2)"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from ..model import checks
from ..model import events as ev
from ..model.checks import nearest
from ..model.enums import RunEvent, TeamRunEvent, WorkflowRunEvent
from ..model.errors import BuildError
from ..model.events import CustomEvent, Event
from ..model.executor_events import ExecutorEvent
from .lifecycle import TERMINAL_EVENTS

__all__ = ["Sieve", "event_name", "named_events", "skip_sieve", "skips_an_end", "stream_sieve", "subscription_sieve"]

Sieve = Callable[[Event], bool]

_ALWAYS = (
    ev.WorkflowStartedEvent,
    ev.WorkflowResumedEvent,
    ev.WorkflowCompletedEvent,
    ev.WorkflowPausedEvent,
    ev.WorkflowCancelledEvent,
    ev.WorkflowErrorEvent,
    ev.StepOutputEvent,
    ev.StepContentEvent,
    ev.StepRetryEvent,
    ev.StepPausedEvent,
    ev.RouterPausedEvent,
    ev.StepOutputReviewEvent,
    ev.StepExecutorPausedEvent,
    ev.StepErrorEvent,
    ev.StepSteeredEvent,
)
_EXECUTOR_CONTENT = {"RunContent", "RunIntermediateContent", "TeamRunContent", "TeamRunIntermediateContent"}
_UNFILTERED = {"WorkflowCompleted", "WorkflowCancelled", "WorkflowError", "WorkflowResumed"}
_NESTED_END = {"WorkflowCompleted", "WorkflowCancelled", "WorkflowError"}


def event_name(name: Any) -> str:
    """The text of an event's name: an enum member, an event class or the text itself."""
    if isinstance(name, type):
        config = getattr(name, "__struct_config__", None)
        return str(config.tag) if config is not None else str(getattr(name, "event", name.__name__))
    return str(getattr(name, "value", name))


def stream_sieve(stream_events: bool, stream_executor_events: bool) -> Sieve | None:
    """The filter of the caller's stream; None if it shows everything."""
    if stream_events and stream_executor_events:
        return None

    def by_kind(kind: type) -> bool:
        if issubclass(kind, CustomEvent):
            return True
        if issubclass(kind, ExecutorEvent):
            name = event_name(kind)
            return stream_executor_events and (stream_events or name in _EXECUTOR_CONTENT)
        return stream_events or issubclass(kind, _ALWAYS)

    known: dict[type, bool] = {}

    def shows(event: Event) -> bool:
        kind = type(event)
        shown = known.get(kind)
        if shown is None:
            shown = known[kind] = by_kind(kind)
        if shown and event.nested_depth and not stream_executor_events:
            return event.event in _NESTED_END
        return shown

    return shows


def named_events(given: Iterable[Any] | None, what: str) -> list[Any] | None:
    """``given`` as a list of event names, enum members and event classes. BuildError for an unknown name, since a typo
    would silently skip or show nothing."""
    if given is None:
        return None
    if isinstance(given, (str, type)) or not isinstance(given, Iterable):
        raise BuildError(f"{what}={given!r} must be a list of events; write {what}=[{given!r}]")
    found = list(given)
    for item in found:
        if isinstance(item, type):
            if not issubclass(item, (ev.WorkflowEvent, CustomEvent)):
                raise BuildError(f"{what} names the class {item.__name__}, which is no event")
        elif not isinstance(item, str):
            raise BuildError(f"{what} holds {item!r}; an event is its name, a member of WorkflowRunEvent or its class")
        elif item not in _known_names():
            hint = (
                nearest(item, _known_names()) or "; for an event of your own give its class, or 'CustomEvent' for all"
            )
            raise BuildError(f"{what}: there is no event {str(item)!r}{hint}")
    return found


def _known_names() -> frozenset[str]:
    names: set[str] = set(map(str, (*WorkflowRunEvent, *RunEvent, *TeamRunEvent)))
    kinds: list[type[Any]] = [CustomEvent]
    while kinds:  # those of the user's own that are loaded
        kind = kinds.pop()
        names.add(event_name(kind))
        kinds.extend(kind.__subclasses__())
    return frozenset(names)


def _among(names: frozenset[str]) -> Sieve:
    """Events with one of these names; "CustomEvent" matches all custom events, whatever their names."""
    custom = CustomEvent.event in names
    return lambda event: event.event in names or (custom and isinstance(event, CustomEvent))


def skip_sieve(events_to_skip: Iterable[Any] | None) -> Sieve | None:
    """The filter of stored events: all but the named ones; None for all. WorkflowResumed is always stored, because it shows
    readers which of their events are superseded."""
    skipped = frozenset(map(event_name, events_to_skip or ())) - {"WorkflowResumed"}
    if not skipped:
        return None
    among = _among(skipped)
    return lambda event: not among(event)


def skips_an_end(events_to_skip: Iterable[Any] | None) -> bool:
    """Whether an event is skipped that a run or a pause ends with."""
    return not TERMINAL_EVENTS.keys().isdisjoint(map(event_name, events_to_skip or ()))


def subscription_sieve(kinds: Iterable[Any] | None, path: str | None) -> Sieve | None:
    """Events of these names (None: all) whose path matches the glob ``path``. The final event always passes, and so does
    WorkflowResumed, since it supersedes events that had passed."""
    wanted = named_events(kinds, "kinds")
    checks.text(path, "path")
    if wanted is None and path is None:
        return None
    among = None if wanted is None else _among(frozenset(map(event_name, wanted)))

    def shows(event: Event) -> bool:
        if event.nested_depth == 0 and event.event in _UNFILTERED:
            return True
        if among is not None and not among(event):
            return False
        return path is None or _matches(event.path, path)

    return shows


def _matches(path: str, pattern: str) -> bool:
    """Match the path itself, or the path without the indexes of its parts, since people do not type indexes."""
    names = "/".join(part.split(".", 1)[-1] for part in path.split("/"))
    dotted = names.replace("/", ".")
    return any(fnmatchcase(text, pattern) for text in (path, names, dotted)) or (
        pattern.endswith(".*") and any(text == pattern[:-2] for text in (path, names, dotted))
    )
