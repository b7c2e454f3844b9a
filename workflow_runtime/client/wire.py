"""From the server's JSON to typed events and outputs, as untrusted data.

Only values of classes that the client was given are rebuilt; a value of any other class is the plain JSON of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from ..model.errors import BuildError
from ..model.events import CustomEvent, Event
from ..model.foreign import event_of
from ..model.payloads import event_names
from ..model.reading import Given
from ..model.run import WorkflowRunOutput
from ..model.text import read_json
from .errors import ServerError

__all__ = ["Wire", "told"]

_T = TypeVar("_T")


def told(found: Any, kind: type[_T]) -> _T:
    """A response as the expected type. ServerError if it is something else."""
    try:
        return msgspec.convert(found, kind, strict=False)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise ServerError(f"the server sent something else than was asked for: {str(found)[:200]} ({error})") from error


class Wire:
    """Reads a server's responses. ``types`` are the classes of values and of custom events that may be rebuilt."""

    def __init__(self, types: Iterable[type] = ()) -> None:
        kinds = list(types)
        for kind in kinds:
            if not isinstance(kind, type):
                raise BuildError(f"types holds {kind!r}, which is no class")
        self._reader = Given(kinds)

    def event(self, data: str) -> Event:
        """The event with its type; UnknownEvent for one that only a newer version knows.

        Raises:
            ServerError: It is not an event.
        """
        try:
            fields = told(read_json(data), dict[str, Any])
            named = fields.get("type")
            if isinstance(named, str) and ":" in named and named not in self._reader.types:
                del fields["type"]  # a custom event, of a class that was not passed as a type
                if fields.get("event") not in event_names():
                    fields["event"] = CustomEvent.event
            return event_of(fields, self._reader)
        except Exception as error:  # whatever it contains: this client continues, or ends with its own error
            raise ServerError(f"the server sent something that is no event: {data[:200]!r} ({error})") from error

    def output(self, data: Any) -> WorkflowRunOutput:
        """A run as ``to_dict`` described it: contents are plain JSON."""
        try:
            return WorkflowRunOutput.from_dict(data)
        except ValueError as error:
            raise ServerError(f"the server sent something that is no run: {str(data)[:200]} ({error})") from error
