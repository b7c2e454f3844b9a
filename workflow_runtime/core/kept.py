"""The contents of steps as they were returned: later steps may change the objects, but not the record of the run. (D7)"""

from __future__ import annotations

import copy
from dataclasses import is_dataclass
from typing import Any

import msgspec

from ..model.step_io import StepOutput

__all__ = ["UNCHANGING", "Kept", "copy_of"]

UNCHANGING = frozenset({type(None), str, int, float, bool, bytes, complex})
"""Types of immutable values. Most contents have one of them, and cost nothing here."""


def copy_of(value: Any) -> Any:
    """A copy that does not change with ``value``: of containers, models, dataclasses and structs. Other objects, which have
    no value that could be copied (a connection, a lock), are shared, and so is a value that contains itself or is nested too
    deep, which no database could keep either."""
    try:
        return _copy_of(value)
    except RecursionError:
        return value


def _copy_of(value: Any) -> Any:
    kind = type(value)
    if kind in UNCHANGING:
        return value
    if kind is list:
        return [_copy_of(item) for item in value]
    if kind is dict:
        return {key: _copy_of(item) for key, item in value.items()}
    if kind is tuple:
        return tuple([_copy_of(item) for item in value])
    if kind is set or kind is bytearray:
        return kind(value)
    if isinstance(value, (list, dict, set, msgspec.Struct)) or is_dataclass(kind) or hasattr(kind, "model_copy"):
        try:
            return copy.deepcopy(value)
        except Exception:  # it contains something that cannot be copied
            return value
    return value


class Kept:
    """The mutable contents of a run's outputs, each as it was when its step ended."""

    __slots__ = ("_contents",)

    def __init__(self) -> None:
        self._contents: dict[int, tuple[StepOutput, Any]] = {}

    def keep(self, output: StepOutput) -> None:
        """Call as the step ends, before anybody sees ``output``; again for the same output, the first time counts."""
        if id(output) not in self._contents:
            self._contents[id(output)] = (output, copy_of(output.content))

    def as_kept(self, output: StepOutput) -> StepOutput:
        """``output`` for an event, with content that no step can change any more."""
        known = self._contents.get(id(output))
        return output if known is None else msgspec.structs.replace(output, content=known[1])

    def restore(self) -> None:
        """Put the recorded content back into every output; later steps get another copy."""
        for output, content in self._contents.values():
            output.content = copy_of(content)
