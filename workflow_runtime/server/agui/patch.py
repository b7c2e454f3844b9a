"""The difference of two JSON values as a JSON Patch (RFC 6902)."""

from __future__ import annotations

from typing import Any

__all__ = ["json_patch"]


def json_patch(before: Any, after: Any, path: str = "") -> list[dict[str, Any]]:
    """The operations that make ``after`` of ``before``; empty when they are equal.

    Objects are compared key by key and lists of one length item by item; everything else is replaced as a whole, which
    is always right, if not always the shortest.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        operations: list[dict[str, Any]] = []
        for key, value in before.items():
            place = f"{path}/{_escaped(key)}"
            if key in after:
                operations += json_patch(value, after[key], place)
            else:
                operations.append({"op": "remove", "path": place})
        operations += [
            {"op": "add", "path": f"{path}/{_escaped(key)}", "value": value}
            for key, value in after.items()
            if key not in before
        ]
        return operations
    if isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        operations = []
        for index, value in enumerate(after):
            if index < len(before):
                operations += json_patch(before[index], value, f"{path}/{index}")
            else:
                operations.append({"op": "add", "path": f"{path}/-", "value": value})
        return operations
    if type(before) is type(after) and before == after:  # 1, 1.0 and True are three values of JSON
        return []
    return [{"op": "replace", "path": path, "value": after}]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
