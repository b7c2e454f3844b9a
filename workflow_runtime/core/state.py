"""Session state: how a call's state is merged into the stored one, and which keys a run has changed."""

from __future__ import annotations

from typing import Any

from ..model.codec import encode_value
from ..model.errors import UnreadableError

__all__ = ["changes", "copied", "differ", "merged", "snapshot"]


def copied(value: Any) -> Any:
    """A copy of the containers, so that nobody else's dict or list is changed (D16); leaves are shared."""
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


def differ(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether two mappings are not the same; also where they hold what cannot be read, and so not be compared."""
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
    return {_key(key): encode_value(copied(value), f"session_state[{key!r}]") for key, value in list(state.items())}


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"session_state keys are strings; got {key!r} ({type(key).__name__})")
    return key


def changes(before: dict[str, bytes], after: dict[str, bytes]) -> dict[str, bytes | None]:
    """What to write to get from ``before`` to ``after``; None deletes."""
    patch: dict[str, bytes | None] = {key: value for key, value in after.items() if before.get(key) != value}
    for key in before:
        if key not in after:
            patch[key] = None
    return patch
