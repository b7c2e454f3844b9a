"""How deep what is sent may be nested: the same on every interpreter, whose own limits differ by thousands."""

from __future__ import annotations

import msgspec

__all__ = ["NESTING", "nested_too_deeply"]

NESTING = 200  # as deep as a value that is stored may be


def nested_too_deeply(sent: bytes | str) -> bool:
    """Whether this JSON has lists and objects more than ``NESTING`` deep in each other. False for what is no JSON."""
    data = sent.encode() if isinstance(sent, str) else sent
    if data.count(b"[") + data.count(b"{") <= NESTING:
        return False
    try:
        level = [msgspec.json.decode(data)]
    except RecursionError:
        return True
    except msgspec.DecodeError:
        return False
    for _ in range(NESTING):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, (dict, list)) for item in level)
