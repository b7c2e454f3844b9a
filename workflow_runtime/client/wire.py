"""From the server's JSON to typed events and outputs, without trusting it with this process.

The stored form of a value names its class, and reviving it imports that class and makes an instance: fine for one's own
database, not for whatever a server at some address says. So only classes that the client was given come back as
themselves; a value of any other becomes the plain JSON of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..model import codec
from ..model.errors import BuildError
from ..model.events import CustomEvent, Event
from ..model.run import WorkflowRunOutput
from ..model.values import _READERS, TAG
from .errors import ServerError

__all__ = ["Wire"]

_MARK = f'"{TAG}"'


class Wire:
    """Reads what a server says. ``types`` are the classes of values and of custom events that may come back as they are."""

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._known = frozenset(map(_name, types))

    def event(self, data: str) -> Event:
        """The event with its type; UnknownEvent for one that only a newer version knows.

        Raises:
            ServerError: It is no event at all.
        """
        try:
            if _MARK not in data and '"type"' not in data:
                return codec.decode_event(data.encode())
            found = msgspec.json.decode(data, type=dict[str, Any])
            named = found.get("type")
            if isinstance(named, str) and named not in self._known:
                del found["type"]  # an event of the user's own, in a class that nobody named here
                if found.get("event") not in codec.event_names():
                    found["event"] = CustomEvent.event
            return codec.decode_event(msgspec.json.encode(self._safe(found)))
        except Exception as error:  # whatever it says: this client goes on, or ends with an error of its own
            raise ServerError(f"the server sent something that is no event: {data[:200]!r} ({error})") from error

    def output(self, data: Any) -> WorkflowRunOutput:
        """A run as ``to_dict`` described it: contents are plain JSON."""
        try:
            output = WorkflowRunOutput.from_dict({key: value for key, value in data.items() if key != "events"})
            if data.get("events") is not None:
                output.events = [self.event(msgspec.json.encode(item).decode()) for item in data["events"]]
        except (AttributeError, TypeError, ValueError) as error:
            raise ServerError(f"the server sent something that is no run: {str(data)[:200]} ({error})") from error
        return output

    def _safe(self, value: Any) -> Any:
        """``value`` without the classes that were not given."""
        if isinstance(value, list):
            return [self._safe(item) for item in value]
        if not isinstance(value, dict):
            return value
        tag = value.get(TAG)
        if tag is None or "v" not in value:
            return {key: self._safe(item) for key, item in value.items()}
        body = self._safe(value["v"])
        keep = tag in _READERS if "t" not in value else value["t"] in self._known
        return {**value, "v": body} if keep else body


def _name(kind: type) -> str:
    if not isinstance(kind, type):
        raise BuildError(f"types holds {kind!r}, which is no class")
    return f"{kind.__module__}:{kind.__qualname__}"
