"""Session state: how a call's state is merged into the stored one, and which keys a run has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..model.checks import unstorable
from ..model.codec import decode_value, encode_value
from ..model.errors import UnreadableError, UnserializableError

__all__ = ["Frozen", "changes", "copied", "differ", "freeze", "merged", "patched", "replace", "snapshot", "thaw"]

_T = TypeVar("_T")
Frozen = bytes | tuple[Any]
"""An immutable form of a value: encoded, or (if nothing is stored) a copy in a tuple."""


def copied(value: Any) -> Any:
    """A copy of the containers, so that no other owner's dict or list is changed (D16); leaves are shared."""
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    if type(value) is set:
        return set(value)
    return value


def merged(base: dict[str, Any], over: dict[str, Any] | None) -> dict[str, Any]:
    """A new dict: nested dicts are merged, everything else of ``over`` replaces. Neither argument is changed."""
    result: dict[str, Any] = copied(base) if base else {}
    if not over:
        return result
    for key, value in over.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else copied(value)
    return result


def storable(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """Those of ``values`` that a database can keep with their types."""
    return {key: value for key, value in (values or {}).items() if _can_be_stored(value)} or None


def _can_be_stored(value: Any) -> bool:
    try:
        encode_value(value)
    except UnserializableError:
        return False
    return True


def differ(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether two mappings differ; also True if they contain values that cannot be read, and so cannot be compared."""
    try:
        return left != right
    except UnreadableError:
        return encode_value(left) != encode_value(right)


def snapshot(state: dict[str, Any]) -> dict[str, bytes]:
    """Each key's encoded value. UnserializableError names the key."""
    if not state:
        return {}
    for _ in range(3):
        try:
            return {_key(key): encode_value(value, f"session_state[{key!r}]") for key, value in list(state.items())}
        except RuntimeError:  # a worker thread changed a nested dict under our feet: look again
            continue
        except UnserializableError as error:
            if not isinstance(error.__cause__, RuntimeError):  # a nested set, for one
                raise
    return {_key(key): encode_value(copied(value), f"session_state[{key!r}]") for key, value in list(state.items())}


def freeze(state: dict[str, Any], *, stored: bool) -> dict[str, Frozen]:
    """Each key's current value; encoded if the run is ``stored``."""
    if stored:
        return dict(snapshot(state))
    return {key: (copied(value),) for key, value in list(state.items())}


def thaw(value: Frozen) -> Any:
    """A value of one's own."""
    return copied(value[0]) if isinstance(value, tuple) else decode_value(value)


def replace(state: dict[str, Any], changed: Mapping[str, Frozen | None]) -> None:
    """Give ``state`` these values; None removes the key."""
    for key, value in changed.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = thaw(value)


def patched(before: Mapping[str, _T], patch: Mapping[str, _T | None]) -> dict[str, _T]:
    """A new dict: ``before`` with the values of ``patch``; None removes a key."""
    after = dict(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"session_state keys are strings; got {key!r} ({type(key).__name__})")
    if (why := unstorable(key)) is not None:
        raise UnserializableError(f"the key {key[:60]!r} of session_state {why}", where="session_state")
    return key


def changes(before: Mapping[str, _T], after: Mapping[str, _T]) -> dict[str, _T | None]:
    """The changes that lead from ``before`` to ``after``; None deletes."""
    patch: dict[str, _T | None] = {key: value for key, value in after.items() if before.get(key) != value}
    for key in before:
        if key not in after:
            patch[key] = None
    return patch
