"""``@pause`` and how to look at what it has left on a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workflow_runtime.model.review import pause

__all__ = ["get_pause_metadata", "has_pause_metadata", "pause"]


def get_pause_metadata(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments that were given to ``pause``; empty for a function without it."""
    return dict(getattr(function, "__workflow_pause__", {}))


def has_pause_metadata(function: Callable[..., Any]) -> bool:
    return hasattr(function, "__workflow_pause__")
