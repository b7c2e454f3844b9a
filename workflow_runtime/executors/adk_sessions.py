"""The session of one entry of an agent of Google ADK: in memory, begun with what a session service of the user's or the
stored pause has, and given back to that service when the run has ended.

A run that fails, is cancelled or killed leaves nothing in the user's service.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import copy
import json
from typing import Any

from google.adk.events import Event
from google.adk.sessions import InMemorySessionService

from .adapter import Call
from .events import plain

__all__ = ["Conversation"]

_USER = "user"
"""Whose session it is where the run has no user: the library wants one."""


class Conversation:
    """The library's session, and what crosses between it and the run's."""

    def __init__(self, call: Call, app_name: str, theirs: Any) -> None:
        self._call, self._app, self._theirs = call, app_name, theirs
        self.service = InMemorySessionService()
        self.user_id = call.user_id or _USER
        self.session_id = call.session_id or call.run_id
        self._known: dict[str, Any] = {}
        self._old = 0

    @classmethod
    async def begun(cls, call: Call, app_name: str, services: dict[str, Any]) -> Conversation:
        made = cls(call, app_name, services.get("session_service"))
        events, state, made._old = await made._before()
        session = await made.service.create_session(**made._name, state=state)
        for event in events:
            await made.service.append_event(session, event)
        made._known = dict(session.state)
        return made

    @property
    def _name(self) -> dict[str, Any]:
        return {"app_name": self._app, "user_id": self.user_id, "session_id": self.session_id}

    async def _before(self) -> tuple[list[Any], dict[str, Any], int]:
        """The events and the state at the start, and how many of the events are older than the run."""
        paused = self._call.paused
        if paused is not None:
            stored = paused["session"]
            events = [Event.model_validate_json(json.dumps(event)) for event in stored["events"]]
            return events, stored["state"], stored["old"]
        session = await self._theirs.get_session(**self._name) if self._theirs is not None else None
        if session is None:
            return [], {}, 0
        return list(session.events), dict(session.state), len(session.events)

    # -- state ---------------------------------------------------------------------------------------------------------

    def state_to_give(self) -> dict[str, Any] | None:
        """What the run's session state has and the library's has not."""
        live = self._call.session_state
        changed = {key: live[key] for key in live if key not in self._known or self._known[key] != live[key]}
        return copy.deepcopy(changed) or None

    def take_state(self, event: Any) -> None:
        """What the agent has changed becomes the run's, but for the keys of the app, of the user and of one call."""
        if event.partial or event.author == "user":
            return
        for key, value in event.actions.state_delta.items():
            if ":" not in key:
                self._call.session_state[key] = copy.deepcopy(value)

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _events(self) -> list[Any]:
        session = await self.service.get_session(**self._name)
        return list(session.events) if session is not None else []

    async def messages(self) -> list[Any]:
        """The contents of this run's events."""
        events = (await self._events())[self._old :]
        return [_builtins(event.content) for event in events if event.content is not None]

    async def stored(self) -> dict[str, Any]:
        """The session as builtins, for a run that pauses."""
        session = await self.service.get_session(**self._name)
        state = {key: plain(value) for key, value in session.state.items() if ":" in key}
        return {"events": [_builtins(event) for event in session.events], "state": state, "old": self._old}

    async def keep(self) -> None:
        """Give the events of the run to the user's service, once also after a crash."""
        if self._theirs is None:
            return

        async def write() -> bool:
            session = await self._theirs.get_session(**self._name)
            if session is None:
                session = await self._theirs.create_session(**self._name)
            for event in (await self._events())[self._old :]:
                await self._theirs.append_event(session, event)
            return True

        await (write() if self._call.once is None else self._call.once("session", write))


def _builtins(model: Any) -> Any:
    return json.loads(model.model_dump_json(exclude_none=True))
