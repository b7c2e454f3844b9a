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
            changed[name] = _kept(value, lost)
        else:
            changed[name] = None
            lost.append(name)
    return (msgspec.structs.replace(event, **changed) if changed else event), lost


def _kept(entries: dict[Any, Any], lost: list[str]) -> dict[Any, Any]:
    """The entries that a database can keep, also of the dicts inside; the keys of the others go to ``lost``."""
    kept: dict[Any, Any] = {}
    for key, item in entries.items():
        if _keeps(item):
            kept[key] = item
        elif isinstance(item, dict):
            kept[key] = _kept(item, lost)
        else:
            lost.append(str(key))
    return kept


def _keeps(value: Any) -> bool:
    try:
        seal(value)
    except UnserializableError:
        return False
    return True
