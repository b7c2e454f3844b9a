"""agno's ``utils.merge_dict``: nested dicts into each other, and what parallel steps changed into one state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["merge_dictionaries", "merge_parallel_session_states"]


def merge_dictionaries(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Put ``b`` into ``a``: dicts at the same place are merged, anything else of ``b`` replaces what is there."""
    for key, value in b.items():
        there = a.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            merge_dictionaries(there, value)
        else:
            a[key] = value


def merge_parallel_session_states(
    original_state: dict[str, Any], modified_states: Iterable[dict[str, Any] | None]
) -> None:
    """Put into ``original_state`` what the others have that it has not, or has differently; of two that changed one key,
    the later wins. An empty original stays empty, as in agno. What was removed from a copy stays."""
    if not original_state:
        return
    before = dict(original_state)
    for state in modified_states:
        for key, value in (state or {}).items():
            if key not in before or before[key] != value:
                original_state[key] = value
