"""Reading a session from a database of the layer, without its workflow at hand."""

from __future__ import annotations

from typing import Any

from workflow_runtime.model.session import WorkflowSession

__all__ = ["ReadsSessions", "ReadsSessionsAsync"]


def _workflow(db: Any) -> Any:
    from workflow_runtime.workflow import Workflow

    return Workflow(db=db, telemetry=False)


class ReadsSessions:
    def get_session(
        self, session_id: str, session_type: Any = None, user_id: str | None = None, deserialize: bool | None = True
    ) -> WorkflowSession | dict[str, Any] | None:
        """The session with its runs, or None; as a dictionary without ``deserialize``. All sessions are of workflows."""
        session: WorkflowSession | None = _workflow(self).get_session(session_id, user_id)
        return session if session is None or deserialize else session.to_dict()


class ReadsSessionsAsync:
    async def get_session(
        self, session_id: str, session_type: Any = None, user_id: str | None = None, deserialize: bool | None = True
    ) -> WorkflowSession | dict[str, Any] | None:
        """The same for a running event loop."""
        session: WorkflowSession | None = await _workflow(self).aget_session(session_id, user_id)
        return session if session is None or deserialize else session.to_dict()
