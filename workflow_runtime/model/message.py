"""A chat message, for inputs that are a conversation."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Message"]


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One turn of a conversation. ``role`` is free text: usually system, user, assistant or tool."""

    role: str
    content: Any = None
    name: str | None = None

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data
