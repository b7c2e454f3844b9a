"""What the groups of verbs know of the Workflow that they belong to."""

from __future__ import annotations

from typing import Any

from ..engine.request import Definition
from ..storage.base import BaseDb

__all__ = ["Verbs"]


class Verbs:
    """The attributes of Workflow that its verbs use."""

    db: BaseDb | None
    id: str
    name: str | None
    description: str | None
    session_id: str | None
    user_id: str | None
    store_events: bool
    events_to_skip: list[Any]
    clock: Any
    _session_cache: dict[str, Any]
    _default_sessions: dict[str | None, str]

    def definition(self) -> Definition:
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def resolve_session(self, session_id: str | None, user_id: str | None) -> str:
        raise NotImplementedError
