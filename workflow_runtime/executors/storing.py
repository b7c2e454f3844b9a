"""What can be stored of the events that other libraries make: a provider's own objects are left out."""

from __future__ import annotations

from typing import Any

import msgspec

from ..model.errors import UnserializableError
from ..model.events import CustomEvent, WorkflowEvent
from ..model.values import seal
from .events import plain

__all__ = ["storable"]

_FIELDS = ("content", "tool", "metrics", "extra")


def storable(event: WorkflowEvent | CustomEvent) -> tuple[WorkflowEvent | CustomEvent, list[str]]:
    """``event`` without what a database could not keep, and the names of what was left out."""
    if isinstance(event, CustomEvent):
        lost = [name for name, value in event.fields().items() if not _keeps(value)]
        for name in lost:
            delattr(event, name)
        return event, lost
    changed: dict[str, Any] = {}
    lost = []
    for name in _FIELDS:
        value = getattr(event, name, None)
        if value is None or type(value) is str or _keeps(value):
            continue
        if callable(told := getattr(value, "to_dict", None)) and _keeps(data := plain(told())):
            changed[name] = data
        elif isinstance(value, dict):
            changed[name] = {key: item for key, item in value.items() if _keeps(item)}
            lost.extend(str(key) for key in value if key not in changed[name])
        else:
            changed[name] = None
            lost.append(name)
    return (msgspec.structs.replace(event, **changed) if changed else event), lost


def _keeps(value: Any) -> bool:
    try:
        seal(value)
    except UnserializableError:
        return False
    return True
