"""The verbs about sessions on a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from ..model.errors import SessionNotFound
from ..model.session import WorkflowSession
from ..model.text import builtins
from .transport import Transport
from .wire import Wire

__all__ = ["SessionVerbs"]


class SessionVerbs:
    transport: Transport
    wire: Wire

    async def aget_session(self, session_id: str) -> WorkflowSession | None:
        """The session; None if the server does not know it (or it is another user's)."""
        try:
            return _session(await self.transport.call("GET", _of(session_id)))
        except SessionNotFound:
            return None

    async def aget_session_state(self, session_id: str) -> dict[str, Any]:
        """The stored state, as plain JSON.

        Raises:
            SessionNotFound: The server does not know the session; a KeyError.
        """
        found = await self.transport.call("GET", f"{_of(session_id)}/state")
        return dict(found["session_state"])

    async def aupdate_session_state(self, updates: dict[str, Any], session_id: str) -> dict[str, Any]:
        """Set these keys, whatever others are writing; the state after it."""
        found = await self.transport.call(
            "PATCH", f"{_of(session_id)}/state", body={"session_state": builtins(updates)}
        )
        return dict(found["session_state"])

    async def aset_session_name(self, session_id: str, session_name: str) -> WorkflowSession:
        """Set the name. The updated session."""
        found = await self.transport.call("PATCH", _of(session_id), body={"session_name": session_name})
        return _session(found)

    async def adelete_session(self, session_id: str) -> bool:
        """Delete the session with all its runs. False if there was none."""
        try:
            await self.transport.call("DELETE", _of(session_id))
        except SessionNotFound:
            return False
        return True


def _of(session_id: str) -> str:
    return f"/sessions/{quote(session_id, safe='')}"


def _session(found: dict[str, Any]) -> WorkflowSession:
    fields = {**found, "session_metrics": found.get("metrics")}
    return msgspec.convert(
        {name: fields[name] for name in WorkflowSession.__struct_fields__ if name in fields}, WorkflowSession
    )
