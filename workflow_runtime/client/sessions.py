"""The verbs about sessions on a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from ..model.errors import SessionNotFound
from ..model.session import WorkflowSession
from ..model.text import builtins
from .transport import Transport
from .wire import Wire, told

__all__ = ["SessionVerbs"]


class _State(msgspec.Struct):
    session_state: dict[str, Any]


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
        return told(await self.transport.call("GET", f"{_of(session_id)}/state"), _State).session_state

    async def aupdate_session_state(self, updates: dict[str, Any], session_id: str) -> dict[str, Any]:
        """Set these keys, also while others write; returns the state afterwards."""
        found = await self.transport.call(
            "PATCH", f"{_of(session_id)}/state", body={"session_state": builtins(updates)}
        )
        return told(found, _State).session_state

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


def _session(found: Any) -> WorkflowSession:
    fields = told(found, dict[str, Any])
    fields = {**fields, "session_metrics": fields.get("metrics"), "runs": None}
    return told({name: fields[name] for name in WorkflowSession.__struct_fields__ if name in fields}, WorkflowSession)
